//! One desktop: a guest's head with its viewers. Its task owns the roster and the input arbiter; pixels and head state
//! are read by the sessions directly, as they are state (latest wins) and never queue here.
//!
//! Called by sessions (join, input) and by the embedder, which keeps the [`Desktop`] alive as long as the guest is served.

mod arbiter;
mod hand;
mod heads;
mod onlookers;
mod seat;
mod sizes;
mod span;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rdpmux_engine::SurfaceReader;
use rdpmux_model::{Audience, DesktopName, Generation, HeadState, InputEvent, Rights, SessionId};
use rdpmux_rdp::{DesktopShape, FrameNumbers, Monitor};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::debug;

use crate::channels::ChannelFactory;
use crate::clipboard::ClipboardHub;
use crate::echo::EchoServerHandle;
use crate::fault;
use crate::session::stream::CommonStreams;
use crate::sound::SoundHub;
use crate::typing::{Layout, Strokes};
use arbiter::InputArbiter;
pub use hand::{DesktopEnded, Hand, Typed};
pub use heads::{HeadSource, Heads};
use onlookers::Onlookers;
pub(crate) use seat::Seat;
use sizes::Shown;

/// What a guest brings: pixels, state, and where its input goes.
pub struct DesktopSource {
    /// The head's pixels.
    pub surface: SurfaceReader,
    /// Generation of the newest pixels; latest wins.
    pub frames: watch::Receiver<Generation>,
    /// Presence, pointer, lock keys; latest wins.
    pub state: watch::Receiver<HeadState>,
    /// Where input goes, in order.
    pub input: mpsc::Sender<InputEvent>,
    /// What the machine has besides this head; the heads of one machine share it.
    pub peripherals: Peripherals,
    /// Told how many viewers look and how fast, so that the guest's side makes no pictures in vain.
    pub audience: watch::Sender<Audience>,
    /// Which head of its machine it is, if viewers may change its size or see several heads at once.
    pub head: Option<HeadSource>,
}

/// What a machine has besides its heads: clipboard, sound and so on. Clones are the same ones.
#[derive(Clone, Default)]
pub struct Peripherals {
    /// The keyboard layout that the guest's system is set to, if it is known.
    pub layout: Option<Layout>,
    /// Its sound, both ways.
    pub sound: Option<SoundHub>,
    /// Its clipboard. `None`: viewers have none.
    pub clipboard: Option<ClipboardHub>,
    /// Round trips that the embedder measures.
    pub echo: Option<EchoServerHandle>,
    /// Channels of the embedder's own.
    pub channels: Option<Arc<dyn ChannelFactory>>,
}

/// Owner of a desktop's task. Dropping it ends the desktop: its viewers are told and closed.
pub struct Desktop {
    handle: DesktopHandle,
    task: JoinHandle<()>,
}

/// A desktop as sessions and directories see it. Clones are the same desktop.
#[derive(Clone)]
pub struct DesktopHandle(Arc<Shared>);

struct Shared {
    name: DesktopName,
    surface: SurfaceReader,
    frames: watch::Receiver<Generation>,
    state: watch::Receiver<HeadState>,
    commands: mpsc::Sender<Command>,
    viewers: AtomicUsize,
    /// Those of the viewers that look.
    onlookers: Onlookers,
    streams: CommonStreams,
    numbers: FrameNumbers,
    peripherals: Peripherals,
    part: Option<Part>,
}

type WeakDesktop = Weak<Shared>;

/// What a desktop is of its machine.
struct Part {
    heads: Heads,
    shown: Shown,
    /// Where a span's heads are.
    monitors: Option<span::Monitors>,
}

enum Command {
    Join {
        session: SessionId,
        rights: Rights,
        layout: Option<Layout>,
    },
    Input {
        session: SessionId,
        event: InputEvent,
    },
    Character {
        session: SessionId,
        c: char,
    },
    Strokes {
        session: SessionId,
        strokes: Strokes,
    },
    Leave {
        session: SessionId,
    },
}

/// Why an input event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputRefused {
    /// The queue is full: the guest takes no input. Motion may be retried; an edge may not be lost, so the session ends.
    Full,
    /// The desktop ended.
    Gone,
}

impl Desktop {
    /// Starts the desktop's task on the current tokio runtime.
    pub fn spawn(name: DesktopName, mut source: DesktopSource) -> Self {
        let head = source.head.take();
        let part = head.as_ref().map(|head| Part {
            heads: head.heads.clone(),
            shown: Shown::Head(head.index),
            monitors: None,
        });
        let input = source.input.clone();
        let (shared, task) = Shared::spawn(name, source, part);
        if let Some(HeadSource { heads, index, shape }) = head {
            heads.add(index, &shared, input, shape);
        }
        Self {
            handle: DesktopHandle(shared),
            task,
        }
    }

    /// A handle for a [`Directory`](crate::Directory).
    pub fn handle(&self) -> DesktopHandle {
        self.handle.clone()
    }

    /// Sessions that show this desktop now.
    pub fn viewers(&self) -> usize {
        self.handle.viewers()
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(Part {
            heads,
            shown: Shown::Head(index),
            ..
        }) = &self.handle.0.part
        {
            heads.remove(*index, &self.handle.0);
        }
    }
}

impl Shared {
    /// Starts the task of a desktop.
    fn spawn(name: DesktopName, source: DesktopSource, part: Option<Part>) -> (Arc<Self>, JoinHandle<()>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let DesktopSource {
            surface,
            frames,
            state,
            input,
            peripherals,
            audience,
            head: _,
        } = source;
        let arbiter = part.as_ref().map_or_else(Arc::default, |part| part.heads.arbiter());
        arbiter.lock().set_layout(peripherals.layout);
        let guest = Guest {
            input,
            state: state.clone(),
        };
        let task = tokio::spawn(run(name.clone(), inbox, guest, arbiter));
        let shared = Self {
            name,
            surface,
            frames,
            state,
            commands,
            viewers: AtomicUsize::new(0),
            onlookers: Onlookers::new(audience),
            streams: CommonStreams::default(),
            numbers: FrameNumbers::new(),
            peripherals,
            part,
        };
        (Arc::new(shared), task)
    }

    /// Sessions that show this desktop itself.
    fn own_viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }
}

impl DesktopHandle {
    /// The name by which clients choose it.
    pub fn name(&self) -> &DesktopName {
        &self.0.name
    }

    /// Sessions that show this desktop now. Those that show all heads at once count for head 0.
    pub fn viewers(&self) -> usize {
        let spanning = match &self.0.part {
            Some(part) if part.shown == Shown::Head(0) => part.heads.span_viewers(),
            _ => 0,
        };
        self.0.own_viewers() + spanning
    }

    /// What a client with so many monitors is shown that chose this desktop: all heads, if this is the first of several.
    pub(crate) fn for_monitors(&self, monitors: usize) -> Self {
        match &self.0.part {
            Some(part) if part.shown == Shown::Head(0) => part.heads.span(monitors),
            _ => None,
        }
        .unwrap_or_else(|| self.clone())
    }

    /// What a client is told of the desktop at first.
    pub(crate) fn shape(&self, rights: Rights) -> DesktopShape {
        let may_ask = match &self.0.part {
            Some(part) if rights.may_resize() => part.heads.may_ask(part.shown),
            _ => 0,
        };
        DesktopShape {
            size: self.0.surface.size(),
            monitors: self.monitors().to_vec(),
            may_ask,
        }
    }

    /// The desktop's monitors, if it has several.
    pub(crate) fn monitors(&self) -> Arc<[Monitor]> {
        let monitors = self.0.part.as_ref().and_then(|part| part.monitors.as_ref());
        monitors.map_or_else(|| Arc::from([]), |monitors| monitors.borrow().clone())
    }

    pub(crate) fn surface(&self) -> &SurfaceReader {
        &self.0.surface
    }

    /// The streams that viewers share.
    pub(crate) fn streams(&self) -> &CommonStreams {
        &self.0.streams
    }

    /// Numbers of frames and surfaces, the same for all viewers.
    pub(crate) fn numbers(&self) -> FrameNumbers {
        self.0.numbers.clone()
    }

    /// What the machine has besides this head.
    pub(crate) fn peripherals(&self) -> &Peripherals {
        &self.0.peripherals
    }

    pub(crate) fn frames(&self) -> watch::Receiver<Generation> {
        self.0.frames.clone()
    }

    /// How many viewers show all there is and can take more.
    pub(crate) fn waiting(&self) -> watch::Receiver<usize> {
        self.0.onlookers.waiting()
    }

    pub(crate) fn state(&self) -> watch::Receiver<HeadState> {
        self.0.state.clone()
    }

    /// Takes a seat for a session whose client has this keyboard. The seat's end releases what the session holds.
    pub(crate) async fn join(
        &self,
        session: SessionId,
        rights: Rights,
        layout: Option<Layout>,
    ) -> Result<Seat, InputRefused> {
        // The place for the farewell is reserved now, so that leaving cannot fail however full the queue is.
        let farewell = self
            .0
            .commands
            .clone()
            .reserve_owned()
            .await
            .map_err(|_| InputRefused::Gone)?;
        let join = Command::Join {
            session,
            rights,
            layout,
        };
        self.0.commands.send(join).await.map_err(|_| InputRefused::Gone)?;
        self.0.viewers.fetch_add(1, Ordering::Relaxed);
        Ok(Seat::new(self.clone(), session, rights, farewell))
    }
}

/// What the desktop's task has of its guest.
struct Guest {
    input: mpsc::Sender<InputEvent>,
    state: watch::Receiver<HeadState>,
}

async fn run(name: DesktopName, mut inbox: mpsc::Receiver<Command>, guest: Guest, arbiter: Arc<Mutex<InputArbiter>>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut out = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        fault::hold();
        for command in batch.drain(..) {
            match command {
                Command::Join {
                    session,
                    rights,
                    layout,
                } => {
                    arbiter.lock().seat(session, rights, layout);
                    debug!(desktop = %name, %session, ?rights, "viewer joined");
                }
                Command::Input { session, event } => arbiter.lock().offer(session, event, &mut out),
                Command::Character { session, c } => {
                    let (caps, as_it_is) = {
                        let state = guest.state.borrow();
                        (state.locks.caps, state.characters)
                    };
                    let mut arbiter = arbiter.lock();
                    match as_it_is {
                        true => arbiter.offer(session, InputEvent::Character(c), &mut out),
                        false => arbiter.character(session, c, caps, &mut out),
                    }
                }
                Command::Strokes { session, strokes } => {
                    let caps = guest.state.borrow().locks.caps;
                    arbiter.lock().strokes(session, strokes, caps, &mut out);
                }
                Command::Leave { session } => {
                    arbiter.lock().release(session, &mut out);
                    debug!(desktop = %name, %session, "viewer left");
                }
            }
        }
        for event in out.drain(..) {
            // A guest that takes no input fills this queue, then ours, and then the session that types is closed.
            if guest.input.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// Commands from all sessions of a desktop: seats reserve one each, the rest is input.
const COMMANDS: usize = 2048;
const BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use rdpmux_model::Size;

    use super::*;

    #[tokio::test]
    async fn the_guest_is_told_of_viewers_who_look_and_not_of_hidden_ones() {
        let audience = watch::Sender::default();
        let told = audience.subscribe();
        let (_writer, surface) = rdpmux_engine::surface(Size::new(64, 64));
        let source = DesktopSource {
            surface,
            frames: watch::channel(Generation(1)).1,
            state: watch::channel(HeadState::default()).1,
            input: mpsc::channel(1).0,
            peripherals: Peripherals::default(),
            audience,
            head: None,
        };
        let desktop = Desktop::spawn(DesktopName::new("web1").unwrap(), source);
        let mut counts = vec![*told.borrow()];
        let mut note = || counts.push(*told.borrow());
        let mut one = desktop.handle().join(SessionId(1), Rights::VIEW, None).await.unwrap();
        note();
        let two = desktop.handle().join(SessionId(2), Rights::VIEW, None).await.unwrap();
        note();
        one.look(false);
        one.look(false);
        note();
        drop(two);
        note();
        one.look(true);
        note();
        one.look(false);
        drop(one);
        note();
        let counts: Vec<_> = counts.into_iter().filter_map(Audience::count).collect();
        assert_eq!(counts, [0, 1, 2, 1, 0, 1, 0]);
        assert_eq!(desktop.viewers(), 0);
    }
}
