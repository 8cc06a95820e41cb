//! The task that takes one head's input to QEMU. It lives as long as the head; while QEMU is away, input is taken and
//! dropped, so that no viewer ever waits for a machine. QEMU itself lifts held keys when our listener goes.

use std::time::Duration;

use rdpmux_engine::SurfaceReader;
use rdpmux_model::{HeadState, InputEvent};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::display::{Display, KEYBOARD, MOUSE};
use super::floor::Floor;
use super::gesture::{Gesture, Gestures, merge_motion};

/// Events taken at once; motion among them is merged.
const BATCH: usize = 64;
/// Calls sent before one of them is waited for, so that QEMU's queue stays short.
const UNANSWERED: u32 = 32;
/// Longest wait for that one. A guest that keeps QEMU's lock for long is slow, not gone.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Where a head's input goes now.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) display: Display,
    /// The console's object path.
    pub(super) path: String,
}

/// What the task reads and where it looks.
pub(super) struct InputPort {
    pub(super) events: mpsc::Receiver<InputEvent>,
    pub(super) target: watch::Receiver<Option<Target>>,
    pub(super) surface: SurfaceReader,
    pub(super) state: watch::Receiver<HeadState>,
    /// The head's number, and where it is among the others.
    pub(super) index: u32,
    pub(super) floor: Floor,
}

/// Runs until the last sender of the head's input is gone.
pub(super) async fn run(mut port: InputPort) {
    let mut gestures = Gestures::default();
    let mut unanswered = 0;
    let mut batch = Vec::with_capacity(BATCH);
    let mut calls = Vec::new();
    while port.events.recv_many(&mut batch, BATCH).await > 0 {
        let Some(target) = port.target.borrow().clone() else {
            batch.clear();
            gestures = Gestures::default();
            continue;
        };
        merge_motion(&mut batch);
        let size = port.surface.size();
        let (mouse, locks) = {
            let state = port.state.borrow();
            (state.mouse, state.locks)
        };
        for event in batch.drain(..) {
            gestures.translate(event, size, mouse, locks, &mut calls);
        }
        for mut gesture in calls.drain(..) {
            if let Gesture::Position { x, y } = &mut gesture {
                (*x, *y) = port.floor.position(port.index, *x, *y);
            }
            unanswered = (unanswered + 1) % UNANSWERED;
            let sent = send(&target, gesture, unanswered == 0);
            if timeout(ANSWER_TIME, sent).await.is_err() {
                tracing::warn!(console = %target.path, "qemu takes no input at the moment");
            }
        }
    }
}

/// Makes one call. What QEMU answers changes nothing: it refuses a position, for example, if the guest has changed its
/// mouse meanwhile, and the session task sees a lost connection by itself.
async fn send(target: &Target, gesture: Gesture, answered: bool) {
    let path = &target.path;
    let (interface, member, arguments) = call_of(gesture);
    let sent = match (arguments, answered) {
        (Arguments::One(a), false) => target.display.post(path, interface, member, &(a,)).await,
        (Arguments::Two(a, b), false) => target.display.post(path, interface, member, &(a, b)).await,
        (Arguments::Signed(a, b), false) => target.display.post(path, interface, member, &(a, b)).await,
        (Arguments::One(a), true) => target.display.call(path, interface, member, &(a,)).await.map(drop),
        (Arguments::Two(a, b), true) => target.display.call(path, interface, member, &(a, b)).await.map(drop),
        (Arguments::Signed(a, b), true) => target.display.call(path, interface, member, &(a, b)).await.map(drop),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, console = %path, member, "qemu refused input");
    }
}

enum Arguments {
    One(u32),
    Two(u32, u32),
    Signed(i32, i32),
}

fn call_of(gesture: Gesture) -> (&'static str, &'static str, Arguments) {
    let edge = |down| if down { "Press" } else { "Release" };
    match gesture {
        Gesture::Key { qnum, down } => (KEYBOARD, edge(down), Arguments::One(qnum)),
        Gesture::Button { number, down } => (MOUSE, edge(down), Arguments::One(number)),
        Gesture::Position { x, y } => (MOUSE, "SetAbsPosition", Arguments::Two(x, y)),
        Gesture::Motion { dx, dy } => (MOUSE, "RelMotion", Arguments::Signed(dx, dy)),
    }
}
