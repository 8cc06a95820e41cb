//! What a session tells its owner.

use rdpmux_model::{Client, FrameId, InputEvent, LayoutError, MonitorLayout, QueueDepth, Rect};

#[cfg(doc)]
use super::Session;
use super::echo::EchoNews;
use super::input::Typed;
use super::{CacheOffer, ChannelEvent, ClipboardEvent, SoundEvent, StreamsEvent};
use crate::pipe::FrameWriter;

/// What a client did.
#[derive(Debug)]
pub enum SessionEvent {
    /// Frames go through this writer from now on. An older writer of the same session is void.
    GraphicsReady(FrameWriter),
    /// The client has taken the size of [`Session::resize_legacy`]; this writer replaces the older one.
    Reactivated(FrameWriter),
    /// A frame was shown, and all before it.
    FrameAck {
        /// Number from [`FrameWriter::write`].
        id: FrameId,
        /// What the client still has in store.
        queue_depth: QueueDepth,
    },
    /// Bitmaps that the client kept from an earlier session, at most 5,462, best first. Answer once, by
    /// [`FrameWriter::accept_cache`]; until then the client waits or goes without.
    CacheOffer(Vec<CacheOffer>),
    /// Key, pointer, wheel, finger or lock keys.
    Input(InputEvent),
    /// A character was typed by a client that has no keys for it, such as a telephone.
    Character(char),
    /// `true`: the client's window is hidden, send no frames. `false`: it is back; all of it may have to be sent again.
    Suppress(bool),
    /// The answer to [`Session::round_trip`].
    RoundTrip {
        /// Which one.
        sequence: u16,
    },
    /// The answer to [`Session::bandwidth_stop`].
    Bandwidth {
        /// Which one.
        sequence: u16,
        /// From the start mark to the stop mark, by the client's clock; may be 0.
        elapsed_ms: u32,
        /// What arrived in this time, by the client's count.
        bytes: u32,
    },
    /// The monitors that the client has, or why its list of them cannot be true. Comes from clients that follow: those
    /// with several monitors, and those that open the display control channel ([MS-RDPEDISP]).
    Layout(Result<MonitorLayout, LayoutError>),
    /// These rectangles must be sent again.
    Refresh(Vec<Rect<Client>>),
    /// Sound and microphone.
    Sound(SoundEvent),
    /// Something happened to the clipboard.
    Clipboard(ClipboardEvent),
    /// Character devices of the machine.
    Streams(StreamsEvent),
    /// Something happened on a channel of the embedder's.
    Channel {
        /// The number from [`Session::add_channel`].
        number: usize,
        /// What.
        event: ChannelEvent,
    },
    /// The client has opened the channel `ECHO`: [`Session::echo`] has somebody to ask.
    EchoReady,
    /// It answered [`Session::echo`], with this payload.
    Echo(Vec<u8>),
    /// The client hangs up.
    Shutdown,
}

impl From<Typed> for SessionEvent {
    fn from(typed: Typed) -> Self {
        match typed {
            Typed::Event(event) => Self::Input(event),
            Typed::Character(c) => Self::Character(c),
        }
    }
}

impl From<EchoNews> for SessionEvent {
    fn from(news: EchoNews) -> Self {
        match news {
            EchoNews::Opened => Self::EchoReady,
            EchoNews::Answered(sequence) => Self::RoundTrip { sequence },
            EchoNews::Payload(payload) => Self::Echo(payload),
        }
    }
}
