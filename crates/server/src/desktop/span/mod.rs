//! A desktop that spans several heads of a machine, for clients with several monitors. One task copies what changes on
//! each head into its place, another takes input to the head under the pointer; for everybody else the span is a desktop
//! as any other. It is made for the first such client and ends when nobody has its handle any more.
//!
//! Both tasks end by themselves: the desktop's own task when it has taken the last farewell, `input` when that has gone,
//! `pixels` when nobody can look any more, or when head 0 is gone.

mod input;
mod pixels;
mod place;

use std::sync::Arc;

use rdpmux_model::{DesktopName, Guest, HeadShape, InputEvent, Rect};
use rdpmux_rdp::Monitor;
use tokio::sync::{mpsc, watch};

use super::heads::{Heads, Member};
use super::sizes::Shown;
use super::{DesktopHandle, DesktopSource, Part, Shared};
use pixels::Pixels;

/// A head in its place, for input.
#[derive(Clone)]
struct Place {
    rect: Rect<Guest>,
    input: mpsc::Sender<InputEvent>,
}

/// Starts the span of `parts` on the current tokio runtime.
pub(super) fn start(
    heads: &Heads,
    machine: &DesktopName,
    parts: Vec<(u32, Member, Option<HeadShape>)>,
    changed: watch::Receiver<u64>,
) -> DesktopHandle {
    let (events, inbox) = mpsc::channel(INPUT);
    let (pointed, under) = watch::channel(0);
    let audience = watch::Sender::default();
    let peripherals = parts.first().map(|(_, member, _)| member.peripherals.clone());
    let (pixels, ends) = Pixels::new(heads.clone(), parts, changed, (under, audience.subscribe()));
    let part = Part {
        heads: heads.clone(),
        shown: Shown::Span,
        monitors: Some(ends.monitors),
    };
    // Its task ends when all handles and seats are gone and the last farewell is taken.
    let source = DesktopSource {
        surface: ends.surface,
        frames: ends.frames,
        state: ends.state,
        input: events,
        peripherals: peripherals.unwrap_or_default(),
        audience,
        head: None,
    };
    let (shared, _task) = Shared::spawn(machine.clone(), source, Some(part));
    tokio::spawn(pixels.run());
    tokio::spawn(input::run(inbox, ends.places, pointed));
    DesktopHandle(shared)
}

/// Where the heads are, as the primary and the other monitors of the span.
fn monitors(places: &[Rect<Guest>]) -> Vec<Monitor> {
    let shown = places.iter().enumerate().filter(|(_, rect)| !rect.is_empty());
    shown
        .map(|(index, rect)| Monitor {
            rect: rect.cast(),
            primary: index == 0,
        })
        .collect()
}

/// What sessions read of the span's monitors.
pub(super) type Monitors = watch::Receiver<Arc<[Monitor]>>;

/// Input events between the span's desktop and its heads.
const INPUT: usize = 256;
