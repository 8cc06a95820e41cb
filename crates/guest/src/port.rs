//! What a backend hands out: the ports of its heads and what happens to the guest. The owner of a port may clone the
//! receivers freely; a backend never waits for any of them.

use std::sync::Arc;

use rdpmux_engine::SurfaceReader;
use rdpmux_model::{Audience, Generation, GuestClipboardState, HeadShape, HeadState, InputEvent, Pcm};
use rdpmux_streams::hub::{Input, Label, Output};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::power::PowerPort;

/// One head of a guest.
#[derive(Clone)]
pub struct HeadPort {
    /// Number of the head, from 0.
    pub index: u32,
    /// The guest's word for it, for example `virtio-vga.0`.
    pub label: String,
    /// Its pixels.
    pub surface: SurfaceReader,
    /// Changes whenever the surface does; latest wins.
    pub frames: watch::Receiver<Generation>,
    /// Presence, pointer, lock keys, mouse mode; latest wins.
    pub state: watch::Receiver<HeadState>,
    /// Input for the guest. Holds [`HeadPort::INPUT_QUEUE`] events; while the guest is away they are taken and dropped.
    pub input: mpsc::Sender<InputEvent>,
    /// How many look and at what rate, told by the owner. While nobody does for a while, a backend may let the guest's display rest
    /// ([`HeadState::resting`]). An owner that says nothing always gets pictures.
    pub audience: watch::Sender<Audience>,
    /// What the head should be like; `None`: as the guest pleases. Latest wins. Not every guest can follow.
    pub shape: watch::Sender<Option<HeadShape>>,
}

impl HeadPort {
    /// Events that the input queue holds.
    pub const INPUT_QUEUE: usize = 1024;
}

impl std::fmt::Debug for HeadPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeadPort")
            .field("index", &self.index)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// What a machine has besides its heads: the backend's ends of clipboard, sound and so on. Made when the backend starts
/// and good for as long as it runs, whether the guest is there or not.
#[derive(Debug, Clone, Default)]
pub struct Peripherals {
    /// The machine's switches, if it has any.
    pub power: Option<PowerPort>,
    /// Its sound, if the backend has any.
    pub sound: Option<SoundPort>,
    /// Its clipboard, if the backend can have one.
    pub clipboard: Option<ClipboardPort>,
}

/// A guest's clipboard.
#[derive(Debug, Clone)]
pub struct ClipboardPort {
    /// What the guest has and takes; latest wins.
    pub state: watch::Receiver<GuestClipboardState>,
    /// What the guest can paste, `\n` at the ends of lines; latest wins.
    pub offer: watch::Sender<Option<Arc<str>>>,
    /// Asks for the text that the guest copied last. `None`: it cannot be had.
    pub fetch: mpsc::Sender<oneshot::Sender<Option<Arc<str>>>>,
}

/// Sound of a machine, both ways. Nothing in it makes the machine wait: what nobody takes in time is dropped.
#[derive(Debug, Clone)]
pub struct SoundPort {
    /// What the machine plays, in pieces of 5 to 20 ms; subscribe to hear it. Holds [`SoundPort::PLAYED`] pieces for each
    /// listener. Without a listener the machine's sound is dropped unread.
    pub played: broadcast::Sender<Pcm>,
    /// Frames per second at which the machine records, while it does.
    pub recording: watch::Receiver<Option<u32>>,
    /// What it then hears, at that clock. Holds [`SoundPort::SPOKEN`] pieces; beyond 200 ms the oldest sound is dropped.
    pub microphone: mpsc::Sender<Pcm>,
    /// Whether anybody could speak. Only then is looked whether the machine records.
    pub offered: watch::Sender<bool>,
}

impl SoundPort {
    /// Pieces that a listener may be late.
    pub const PLAYED: usize = 32;
    /// Pieces of a microphone that may wait.
    pub const SPOKEN: usize = 32;
}

/// A character device of a machine. When `output` is closed nothing brings it in any more; if the guest comes back, a new
/// port of that name does.
#[derive(Debug)]
pub struct StreamPort {
    /// Its name and kind.
    pub label: Label,
    /// What it says. The backend waits for room, and so the guest waits for an owner that does not take it.
    pub output: mpsc::Receiver<Output>,
    /// What it is given, as it takes it.
    pub input: mpsc::Sender<Input>,
}

impl StreamPort {
    /// Pieces of output that may wait.
    pub const OUTPUT: usize = 16;

    /// A port and the backend's ends of it.
    pub(crate) fn open(label: Label) -> (Self, StreamEnds) {
        let (said, output) = mpsc::channel(Self::OUTPUT);
        let (input, given) = mpsc::channel(1);
        let ends = StreamEnds {
            output: said,
            input: given,
        };
        (Self { label, output, input }, ends)
    }
}

/// The backend's ends of a [`StreamPort`].
#[derive(Debug)]
pub(crate) struct StreamEnds {
    pub(crate) output: mpsc::Sender<Output>,
    pub(crate) input: mpsc::Receiver<Input>,
}

/// What a person who looks at the desktop would want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The guest restarted, by itself or by the operator.
    Reset,
    /// The machine was switched off.
    Shutdown,
    /// The power button was pressed.
    Powerdown,
    /// The machine was paused.
    Paused,
    /// The machine runs again.
    Resumed,
}

/// What a backend tells its owner. The queue is the owner's; a backend waits for room in it.
#[derive(Debug)]
pub enum GuestEvent {
    /// The guest told its name and UUID. Comes again after each reconnection.
    Identified {
        /// The machine's name, if it has one.
        name: Option<String>,
        /// The machine's UUID, if it has one.
        uuid: Option<String>,
    },
    /// A head appeared. Head 0 comes first and stays.
    HeadAdded(HeadPort),
    /// A head is gone for good: the guest came back without it.
    HeadRemoved {
        /// Its number.
        index: u32,
    },
    /// A character device is there, or is there again.
    StreamAdded(StreamPort),
    /// Something happened to the machine.
    Notice(Notice),
}
