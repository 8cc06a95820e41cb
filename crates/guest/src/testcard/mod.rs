//! The built-in guest: a drawn desktop that needs no hypervisor. It echoes what viewers do, so every path from a key
//! press to a pixel can be tried and tested. Not an operating system and not configurable beyond [`Config`].
//!
//! `scene` is the state, `paint` draws it, `keys` names keys, `pointer` makes pointer pictures; this file is the task.

mod keys;
mod paint;
mod pointer;
mod scene;

use std::time::Duration;

use rdpmux_model::{InputEvent, MouseMode, Presence, Size};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::port::GuestEvent;
use crate::sink::GuestSink;
use scene::{Dirty, Scene};

/// How the test card starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Pixels, from 640x480 to 4096x4096; anything else is brought into that range.
    pub size: Size,
    /// Start with nothing moving; F2 turns motion on. Two still cards with one title and size are equal pixel by pixel.
    pub still: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            size: Size::new(1024, 768),
            still: false,
        }
    }
}

/// Ten pictures a second while somebody looks …
const STEP: Duration = Duration::from_millis(100);
/// … and one in this many steps otherwise.
const IDLE_STEPS: u32 = 10;
/// Input events taken before the picture is drawn.
const BATCH: usize = 64;

/// The task behind [`crate::spawn`].
pub(crate) async fn run(config: Config, title: String, events: mpsc::Sender<GuestEvent>) {
    let mut scene = Scene::new(title, config.size, !config.still);
    let (mut sink, mut input, port) = GuestSink::open(0, "testcard".to_owned(), scene.size());
    sink.set_state(|state| {
        state.presence = Presence::Running;
        state.mouse = MouseMode::Absolute;
    });
    show(&mut sink, &mut scene, &Dirty::everything());
    sink.rest();
    if events.send(GuestEvent::HeadAdded(port)).await.is_err() {
        return;
    }
    let mut clock = tokio::time::interval(STEP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut steps = 0;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let dirty = tokio::select! {
            biased;
            () = events.closed() => return,
            taken = input.recv_many(&mut batch, BATCH) => match taken {
                0 => return,
                _ => apply_all(&mut scene, &mut batch),
            },
            _ = clock.tick(), if scene.moving => {
                steps += 1;
                if steps < IDLE_STEPS && !sink.is_watched() {
                    continue;
                }
                scene.advance(std::mem::take(&mut steps))
            }
        };
        show(&mut sink, &mut scene, &dirty);
        if !scene.moving {
            sink.rest();
        }
    }
}

fn apply_all(scene: &mut Scene, batch: &mut Vec<InputEvent>) -> Dirty {
    let mut dirty = Dirty::default();
    for event in batch.drain(..) {
        dirty.merge(scene.apply(event));
    }
    dirty
}

/// Brings the surface and the pointer up to the scene.
fn show(sink: &mut GuestSink, scene: &mut Scene, dirty: &Dirty) {
    if sink.size() != scene.size()
        && let Err(error) = sink.resize(scene.size())
    {
        tracing::warn!(%error, size = %scene.size(), "test card cannot change its size");
        scene.set_size(sink.size());
    }
    for area in dirty.areas(scene.size()) {
        sink.draw(|canvas| paint::paint(canvas, scene, area));
    }
    if dirty.pointer() {
        let shape = pointer::shape(scene.pointer());
        sink.set_state(|state| state.pointer = shape);
    }
    if dirty.locks() {
        let locks = scene.locks();
        sink.set_state(|state| state.locks = locks);
    }
}

#[cfg(test)]
mod tests;
