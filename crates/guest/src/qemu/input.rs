//! The task that takes one head's input to QEMU. It lives as long as the head; while QEMU is away, input is taken and
//! dropped, so that no viewer ever waits for a machine. QEMU itself lifts held keys when our listener goes.

use std::time::Duration;

use rdpmux_engine::SurfaceReader;
use rdpmux_model::{HeadState, InputEvent};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::display::{Display, KEYBOARD, MOUSE, TOUCH};
use super::floor::Floor;
use super::gesture::{Gesture, Gestures, Now};
use crate::motion::merge_motion;

/// Events taken at once; motion among them is merged.
const BATCH: usize = 64;
/// Calls sent before one of them is waited for, so that QEMU's queue stays short.
const UNANSWERED: u32 = 32;
/// QEMU's keyboards and mice hold 16 steps and forget what comes then. A person never gets there; a text that a client
/// sends at once does. So many steps go at once, then one in each span: a USB keyboard is asked for one every 8 ms.
const BURST: u32 = 10;
const SPAN: Duration = Duration::from_millis(8);
/// Longest wait for that one. A guest that keeps QEMU's lock for long is slow, not gone.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Where a head's input goes now.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) display: Display,
    /// The console's object path.
    pub(super) path: String,
    /// Fingers reach the guest as fingers.
    pub(super) has_fingers: bool,
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
    let mut stride = Stride::new();
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
        let now = {
            let state = port.state.borrow();
            Now {
                size: port.surface.size(),
                mouse: state.mouse,
                locks: state.locks,
                has_fingers: target.has_fingers,
            }
        };
        for event in batch.drain(..) {
            gestures.translate(event, &now, &mut calls);
        }
        for mut gesture in calls.drain(..) {
            if let Gesture::Position { x, y } | Gesture::Touch { x, y, .. } = &mut gesture {
                (*x, *y) = port.floor.position(port.index, *x, *y);
            }
            stride.step(gesture.places()).await;
            unanswered = (unanswered + 1) % UNANSWERED;
            let sent = send(&target, gesture, unanswered == 0);
            if timeout(ANSWER_TIME, sent).await.is_err() {
                tracing::warn!(console = %target.path, "qemu takes no input at the moment");
            }
            tracing::trace!("a step went to qemu");
        }
    }
}

/// Keeps QEMU's small queues from running over.
struct Stride {
    /// When all that was sent has been taken, at the slowest.
    settled: Instant,
}

impl Stride {
    fn new() -> Self {
        Self {
            settled: Instant::now(),
        }
    }

    /// Waits until there is room, and takes `places` of it.
    async fn step(&mut self, places: u32) {
        if places == 0 {
            return;
        }
        let room = self.settled.checked_sub(BURST * SPAN);
        if let Some(room) = room.filter(|room| *room > Instant::now()) {
            sleep_until(room).await;
        }
        self.settled = self.settled.max(Instant::now()) + places * SPAN;
    }
}

/// Makes one call. What QEMU answers changes nothing: it refuses a position, for example, if the guest has changed its
/// mouse meanwhile, and the session task sees a lost connection by itself.
async fn send(target: &Target, gesture: Gesture, answered: bool) {
    let path = &target.path;
    let (interface, member, arguments) = call_of(gesture);
    let sent = match arguments {
        Arguments::One(a) => target.display.tell(path, interface, member, &(a,), answered).await,
        Arguments::Two(a, b) => target.display.tell(path, interface, member, &(a, b), answered).await,
        Arguments::Signed(a, b) => target.display.tell(path, interface, member, &(a, b), answered).await,
        Arguments::Touch(a, b, c, d) => {
            let body = (a, b, c, d);
            target.display.tell(path, interface, member, &body, answered).await
        }
    };
    if let Err(error) = sent {
        tracing::debug!(%error, console = %path, member, "qemu refused input");
    }
}

enum Arguments {
    One(u32),
    Two(u32, u32),
    Signed(i32, i32),
    Touch(u32, u64, f64, f64),
}

fn call_of(gesture: Gesture) -> (&'static str, &'static str, Arguments) {
    let edge = |down| if down { "Press" } else { "Release" };
    match gesture {
        Gesture::Key { qnum, down } => (KEYBOARD, edge(down), Arguments::One(qnum)),
        Gesture::Button { number, down } => (MOUSE, edge(down), Arguments::One(number)),
        Gesture::Position { x, y } => (MOUSE, "SetAbsPosition", Arguments::Two(x, y)),
        Gesture::Motion { dx, dy } => (MOUSE, "RelMotion", Arguments::Signed(dx, dy)),
        Gesture::Touch { kind, slot, x, y } => (
            TOUCH,
            "SendEvent",
            Arguments::Touch(kind, slot, f64::from(x), f64::from(y)),
        ),
    }
}
