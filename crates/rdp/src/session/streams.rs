//! Character devices of the machine in a session: which channel carries them. Its messages are pieces of a byte stream
//! in each direction, which is not looked at here; docs/streams.md says what is in it.
//!
//! It is the dynamic channel, unless the client joined the static channel `rdp2tcp` and that is permitted: FreeRDP hands
//! what comes on it to a program of its user's.

use super::chunks::Chunks;
use super::inbox::News;
use super::path::Path;
use super::{Session, SessionEvent};
use crate::wire::DynamicChannel;

/// What a client did about streams.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamsEvent {
    /// It has the channel: bytes may go both ways.
    Opened(StreamsChannel),
    /// What it sent.
    Bytes(Vec<u8>),
    /// It does not have the channel, or has closed it. Nothing more comes.
    Closed,
}

/// Which channel it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamsChannel {
    /// `RDPMUX.STREAMS`.
    Dynamic,
    /// `rdp2tcp`. FreeRDP loses what either side says before it has opened the channel, and tells nobody when it has.
    Static,
}

/// Streams of one session.
pub(super) struct Streams {
    may_offer: bool,
    may_join: bool,
    offered: Option<u32>,
    path: Path,
    chunks: Chunks,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            may_offer: false,
            may_join: false,
            offered: None,
            path: Path::Closed,
            chunks: Chunks::new(MOST),
        }
    }
}

impl Session {
    /// The user may use streams of the desktop's machine: the client is asked whether it has the channel. Call before
    /// [`Self::start`].
    pub fn permit_streams(&mut self) {
        self.streams.may_offer = true;
    }

    /// They may go over `rdp2tcp` too, if the client has that. Call before [`Self::start`].
    pub fn permit_rdp2tcp(&mut self) {
        self.streams.may_join = true;
    }

    /// Offers the channel, or takes the one that the client brought.
    pub(super) fn start_streams(&mut self, events: &mut Vec<SessionEvent>) {
        if !self.streams.may_offer {
            return;
        }
        let joined = self.link.channel(STATIC_CHANNEL).filter(|_| self.streams.may_join);
        if let Some(channel) = joined {
            self.streams.path = Path::Static(channel);
            let event = StreamsEvent::Opened(StreamsChannel::Static);
            events.push(SessionEvent::Streams(event));
        } else if let Some(channels) = &mut self.channels {
            self.streams.offered = Some(channels.register(DYNAMIC_CHANNEL));
        }
    }

    /// Takes a chunk of the static channel; `false` if it is another's.
    pub(super) fn streams_chunk(&mut self, channel: u16, chunk: &[u8], events: &mut Vec<SessionEvent>) -> bool {
        if self.streams.path != Path::Static(channel) {
            return false;
        }
        match self.streams.chunks.take(chunk) {
            Ok(None) => {}
            Ok(Some(bytes)) => events.push(SessionEvent::Streams(StreamsEvent::Bytes(bytes))),
            Err(error) => {
                tracing::debug!(%error, "rdp2tcp");
                self.streams.path = Path::Closed;
                events.push(SessionEvent::Streams(StreamsEvent::Closed));
            }
        }
        true
    }

    /// What happened on the channel; `false` if it is another.
    pub(super) fn streams_news(
        &mut self,
        channel: DynamicChannel,
        news: &mut News,
        events: &mut Vec<SessionEvent>,
    ) -> bool {
        if self.streams.offered != Some(channel.id) {
            return false;
        }
        let event = match news {
            News::Opened => {
                self.streams.path = Path::Dynamic(channel);
                StreamsEvent::Opened(StreamsChannel::Dynamic)
            }
            News::Message(message) => StreamsEvent::Bytes(core::mem::take(message)),
            News::Declined | News::Closed => {
                self.streams.path = Path::Closed;
                StreamsEvent::Closed
            }
        };
        events.push(SessionEvent::Streams(event));
        true
    }

    /// Sends the next bytes. Nothing if the client does not have the channel.
    pub fn write_streams(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.streams.path.write(bytes, out);
    }

    /// There is nothing more to send. The client may not open the channel again.
    pub fn close_streams(&mut self, out: &mut Vec<u8>) {
        self.streams.path = Path::Closed;
        if let Some((channels, id)) = self.channels.as_mut().zip(self.streams.offered.take()) {
            channels.close(id, out);
        }
    }
}

const DYNAMIC_CHANNEL: &str = "RDPMUX.STREAMS";
const STATIC_CHANNEL: &str = "rdp2tcp";
/// Bytes of a message on the static channel; FreeRDP sends at most 16 KiB.
const MOST: usize = 64 << 10;
