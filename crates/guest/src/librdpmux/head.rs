//! One head of a machine: its screen, the task that brings its input to whichever hypervisor is connected, and who looks.

use std::collections::BTreeMap;
use std::task::Poll;

use rdpmux_model::{Audience, HeadShape, HeadState, LockKeys, MouseMode, PointerShape, Presence, Size};
use rdpmux_wire::v6;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::input::{self, InputPort, Target};
use super::link::Progress;
use super::screen::Screen;
use crate::port::HeadPort;
use crate::sink::{GuestSink, change_state};

/// Size of a head that has shown nothing yet.
const FIRST_SIZE: Size = Size::new(1024, 768);

#[derive(Debug)]
pub(super) struct Head {
    index: u32,
    /// Away only while a thread copies.
    screen: Option<Screen>,
    state: watch::Sender<HeadState>,
    target: watch::Sender<Option<Target>>,
    input: JoinHandle<()>,
    audience: watch::Receiver<Audience>,
    shape: watch::Receiver<Option<HeadShape>>,
    /// So that waiting for them never ends, whatever the owner does with its port.
    _tellers: (watch::Sender<Audience>, watch::Sender<Option<HeadShape>>),
    /// Of the last update.
    serial: u32,
    success: bool,
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
            head: index,
        }));
        let head = Self {
            index,
            screen: Some(Screen::new(sink)),
            state,
            target,
            input,
            audience: port.audience.subscribe(),
            shape: port.shape.subscribe(),
            _tellers: (port.audience.clone(), port.shape.clone()),
            serial: 0,
            success: true,
        };
        (head, port)
    }

    /// A hypervisor takes the head's input at `target`.
    pub(super) fn begin(&mut self, target: Target) {
        (self.serial, self.success) = (0, true);
        // What was wished before counts for this one, too.
        self.shape.mark_changed();
        let takes_characters = target.takes_characters;
        self.target.send_replace(Some(target));
        self.set_state(|state| {
            state.presence = Presence::Running;
            state.mouse = MouseMode::Absolute;
            state.characters = takes_characters;
        });
    }

    /// Says why there is no picture.
    pub(super) fn show_absence(&mut self, presence: Presence, title: &str, lines: &[&str]) {
        self.target.send_replace(None);
        self.card(title, lines);
        self.set_state(|state| {
            *state = HeadState {
                presence,
                pointer: PointerShape::Default,
                locks: LockKeys::default(),
                mouse: MouseMode::default(),
                ..HeadState::default()
            };
        });
    }

    pub(super) fn card(&mut self, title: &str, lines: &[&str]) {
        if let Some(screen) = &mut self.screen {
            screen.card(title, lines);
        }
    }

    pub(super) fn set_state(&self, change: impl FnOnce(&mut HeadState)) {
        change_state(&self.state, change);
    }

    /// Whether a picture of the guest is seen, and no card.
    pub(super) fn has_shown(&self) -> bool {
        self.screen.as_ref().is_some_and(Screen::has_shown)
    }

    /// Whether an update of `rectangles` is soon done.
    pub(super) fn is_small(&self, rectangles: &[[u32; 4]]) -> bool {
        self.screen.as_ref().is_some_and(|screen| screen.is_small(rectangles))
    }

    /// Does something short with the screen. `None` if a copy went wrong before.
    pub(super) fn draw<T>(&mut self, work: impl FnOnce(&mut Screen) -> T) -> Option<T> {
        self.screen.as_mut().map(work)
    }

    /// Does something with the screen on a thread that may take its time.
    pub(super) async fn draw_long<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Screen) -> T + Send + 'static,
    ) -> Option<T> {
        let mut screen = self.screen.take()?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut screen);
            (screen, done)
        });
        let (screen, done) = done.await.ok()?;
        self.screen = Some(screen);
        Some(done)
    }

    /// The updates up to `serial` were shown, or not.
    pub(super) fn note(&mut self, serial: u32, success: bool) {
        (self.serial, self.success) = (serial, success);
    }

    /// How far it is, and how fast it may go on.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            head: self.index,
            serial: self.serial,
            success: self.success,
            rate: self.audience.borrow().rate().into(),
        }
    }

    /// What changed on the owner's side since it was last asked. Never waits.
    pub(super) fn wishes(&mut self) -> Option<v6::ToGuest> {
        self.audience.mark_unchanged();
        if !self.shape.has_changed().unwrap_or(false) {
            return None;
        }
        let head = self.index;
        let shape = (*self.shape.borrow_and_update())?;
        Some(v6::ToGuest::Size {
            head,
            x: shape.x,
            y: shape.y,
            width: shape.size.width,
            height: shape.size.height,
            width_mm: shape.width_mm.into(),
            height_mm: shape.height_mm.into(),
        })
    }

    /// Resolves when the audience or the wish for a size has changed. Cancel-safe.
    pub(super) async fn turned(&mut self) {
        // The senders are ours too, so neither can fail.
        tokio::select! {
            _ = self.audience.changed() => {}
            _ = self.shape.changed() => self.shape.mark_changed(),
        }
    }
}

/// Resolves when an audience or a wish of any head has changed. Cancel-safe.
pub(super) async fn turned(heads: &mut BTreeMap<u32, Head>) {
    let mut turns: Vec<_> = heads.values_mut().map(|head| Box::pin(head.turned())).collect();
    std::future::poll_fn(|context| {
        let is_ready = turns.iter_mut().any(|turn| turn.as_mut().poll(context).is_ready());
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Drop for Head {
    fn drop(&mut self) {
        self.input.abort();
    }
}
