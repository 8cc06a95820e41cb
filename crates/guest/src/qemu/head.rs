//! One head of a QEMU for as long as the backend runs: its sink, which a listener borrows while QEMU is there, and its
//! input task.

use rdpmux_model::{HeadState, LockKeys, MouseMode, PointerShape, Presence, Size};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::display::{Change, Console};
use super::input::{self, InputPort, Target};
use crate::port::HeadPort;
use crate::sink::{GuestSink, change_state};

/// Size of a head that has shown nothing yet.
const FIRST_SIZE: Size = Size::new(1024, 768);

#[derive(Debug)]
pub(super) struct Head {
    /// INVARIANT: away only while a listener runs.
    sink: Option<GuestSink>,
    state: watch::Sender<HeadState>,
    target: watch::Sender<Option<Target>>,
    input: JoinHandle<()>,
}

impl Head {
    pub(super) fn open(index: u32, label: String) -> (Self, HeadPort) {
        let (sink, events, port) = GuestSink::open(index, label, FIRST_SIZE);
        let (target, target_seen) = watch::channel(None);
        let state = sink.state();
        let input = tokio::spawn(input::run(InputPort {
            events,
            target: target_seen,
            surface: port.surface.clone(),
            state: state.subscribe(),
        }));
        let head = Self {
            sink: Some(sink),
            state,
            target,
            input,
        };
        (head, port)
    }

    /// Lends the sink to a listener.
    pub(super) fn lend(&mut self) -> Option<GuestSink> {
        self.sink.take()
    }

    /// Takes the sink back.
    pub(super) fn take_back(&mut self, sink: GuestSink) {
        self.sink = Some(sink);
    }

    /// QEMU shows the head and takes its input at `target`.
    pub(super) fn begin(&self, console: &Console, target: Target) {
        change_state(&self.state, |state| {
            state.presence = Presence::Running;
            state.mouse = console.mouse;
            state.locks = console.locks;
        });
        self.target.send_replace(Some(target));
    }

    pub(super) fn change(&self, change: Change) {
        change_state(&self.state, |state| match change {
            Change::Mouse(mouse) => state.mouse = mouse,
            Change::Locks(locks) => state.locks = locks,
        });
    }

    /// Input goes nowhere from now on.
    pub(super) fn detach(&self) {
        self.target.send_replace(None);
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
            };
        });
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.input.abort();
    }
}
