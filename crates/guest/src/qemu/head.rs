//! One head of a QEMU for as long as the backend runs: its sink, which a listener borrows while QEMU is there, and its
//! input task and the one that tells its size.

use rdpmux_engine::SurfaceReader;
use rdpmux_model::{Audience, HeadState, LockKeys, MouseMode, PointerShape, Presence, Size};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::display::{Change, Console};
use super::floor::Floor;
use super::input::{self, InputPort, Target};
use super::size::{self, SizePort};
use crate::port::HeadPort;
use crate::sink::{GuestSink, change_state};

/// Size of a head that has shown nothing yet.
const FIRST_SIZE: Size = Size::new(1024, 768);

#[derive(Debug)]
pub(super) struct Head {
    /// INVARIANT: away only while a listener runs.
    sink: Option<GuestSink>,
    surface: SurfaceReader,
    /// The console's own size by QEMU's word.
    announced: Size,
    state: watch::Sender<HeadState>,
    target: watch::Sender<Option<Target>>,
    tasks: [JoinHandle<()>; 2],
    audience: watch::Receiver<Audience>,
    /// So that waiting for the audience never ends early, whatever the owner does with its port.
    _audience_teller: watch::Sender<Audience>,
    /// Since when nobody has looked.
    idle_since: Option<Instant>,
}

impl Head {
    pub(super) fn open(index: u32, label: String, floor: &Floor) -> (Self, HeadPort) {
        let (sink, events, port) = GuestSink::open(index, label, FIRST_SIZE);
        let (target, target_seen) = watch::channel(None);
        let state = sink.state();
        let input = tokio::spawn(input::run(InputPort {
            events,
            target: target_seen,
            surface: port.surface.clone(),
            state: state.subscribe(),
            index,
            floor: floor.clone(),
        }));
        let size = tokio::spawn(size::run(SizePort {
            index,
            shape: port.shape.subscribe(),
            target: target.subscribe(),
            surface: port.surface.clone(),
            floor: floor.clone(),
        }));
        let head = Self {
            sink: Some(sink),
            surface: port.surface.clone(),
            announced: FIRST_SIZE,
            state,
            target,
            tasks: [input, size],
            audience: port.audience.subscribe(),
            _audience_teller: port.audience.clone(),
            idle_since: None,
        };
        (head, port)
    }

    /// Lends the sink to a listener.
    pub(super) fn lend(&mut self) -> Option<GuestSink> {
        self.sink.take()
    }

    /// Resolves when the audience has changed. Cancel-safe.
    pub(super) async fn turned(&mut self) {
        // The sender is ours too, so this cannot fail.
        let _ = self.audience.changed().await;
    }

    /// Takes note of who looks at `now`.
    pub(super) fn note_audience(&mut self, now: Instant) {
        let is_there = self.audience.borrow_and_update().is_there();
        self.idle_since = (!is_there).then(|| self.idle_since.unwrap_or(now));
    }

    /// Since when nobody has looked; `None` while somebody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    /// Says that the surface is not brought up to date any more, or that it is again.
    pub(super) fn set_resting(&self, resting: bool) {
        change_state(&self.state, |state| state.resting = resting);
    }

    /// Takes the sink back.
    pub(super) fn take_back(&mut self, sink: GuestSink) {
        self.sink = Some(sink);
    }

    /// QEMU shows the head and takes its input at `target`.
    pub(super) fn begin(&mut self, console: &Console, target: Target) {
        self.announced = console.size;
        self.idle_since = None;
        change_state(&self.state, |state| {
            state.resting = false;
            state.presence = Presence::Running;
            state.mouse = console.mouse;
            state.locks = console.locks;
        });
        self.target.send_replace(Some(target));
    }

    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Mouse(mouse) => change_state(&self.state, |state| state.mouse = mouse),
            Change::Locks(locks) => change_state(&self.state, |state| state.locks = locks),
            Change::Width(width) => self.announced.width = width,
            Change::Height(height) => self.announced.height = height,
        }
    }

    /// The console has this size.
    pub(super) fn announce(&mut self, size: Size) {
        self.announced = size;
    }

    /// Whether QEMU shows another size than its listener has seen. QEMU 7.2 announces a new mode by the console's
    /// properties, and to a listener only with the first picture that fills it, which a text mode may never send.
    pub(super) fn is_behind(&self) -> bool {
        self.announced.is_valid() && self.announced != self.surface.size()
    }

    /// Input goes nowhere from now on.
    pub(super) fn detach(&self) {
        self.target.send_replace(None);
    }

    /// Whether the viewers were told that the machine runs.
    pub(super) fn is_running(&self) -> bool {
        self.state.borrow().presence == Presence::Running
    }

    /// Says why there is no picture.
    pub(super) fn show_absence(&mut self, presence: Presence, title: &str, lines: &[&str]) {
        if let Some(sink) = &mut self.sink {
            sink.card(title, lines);
        }
        change_state(&self.state, |state| {
            *state = HeadState {
                presence,
                pointer: PointerShape::Default,
                locks: LockKeys::default(),
                mouse: MouseMode::default(),
                ..HeadState::default()
            };
        });
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_head_is_idle_from_when_the_last_viewer_left_and_never_before_its_owner_counts() {
        let (mut head, port) = Head::open(0, "VGA".to_owned(), &Floor::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        head.note_audience(at(0));
        assert_eq!(head.idle_since(), None);
        let mut steps = Vec::new();
        for (second, viewers) in [(1, 0), (2, 0), (3, 1), (4, 2), (5, 0), (6, 0)] {
            port.audience.send_replace(Audience::new(viewers, 30));
            head.turned().await;
            head.note_audience(at(second));
            steps.push(head.idle_since());
        }
        assert_eq!(steps, [Some(at(1)), Some(at(1)), None, None, Some(at(5)), Some(at(5))]);
    }
}
