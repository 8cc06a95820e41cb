//! One head of a QEMU for as long as the backend runs: its sink, which a listener borrows while QEMU is there, and its
//! input task.

use rdpmux_engine::SurfaceReader;
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
    surface: SurfaceReader,
    /// The console's own size by QEMU's word.
    announced: Size,
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
            surface: port.surface.clone(),
            announced: FIRST_SIZE,
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
    pub(super) fn begin(&mut self, console: &Console, target: Target) {
        self.announced = console.size;
        change_state(&self.state, |state| {
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

    /// Whether QEMU shows another size than its listener has seen. QEMU 7.2 announces a new mode by the console's
    /// properties, and to a listener only with the first picture that fills it, which a text mode may never send.
    pub(super) fn is_behind(&self) -> bool {
        self.announced.is_valid() && self.announced != self.surface.size()
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
