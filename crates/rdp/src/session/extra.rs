//! Channels that the embedder brings, static and dynamic: which the client has, and their messages both ways. What is in
//! the messages is not looked at here.

use super::chunks::Chunks;
use super::inbox::News;
use super::path::Path;
use super::{Graphics, Session, SessionEvent};
use crate::wire::{self, DynamicChannel};

/// Which kind of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// A static virtual channel ([MS-RDPBCGR] 2.2.1.3.4.1): the client must bring it.
    Static,
    /// A dynamic one ([MS-RDPEDYC]): the client is asked whether it has it.
    Dynamic,
}

/// What happened on a channel of the embedder's.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The client has it: messages may go both ways.
    Opened,
    /// A whole message.
    Message(Vec<u8>),
    /// The client does not have it, or has closed it. Nothing more comes.
    Closed,
}

/// Why a channel is not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelRefusal {
    /// The server serves a channel of that name itself, or it was added before.
    #[error("there is a channel of that name already")]
    Taken,
    /// A static channel's name has 1 to 7 bytes, a dynamic one's 1 to 255, both without NUL.
    #[error("no channel can have that name")]
    Name,
    /// There are as many as can be.
    #[error("more than {MOST} channels")]
    TooMany,
}

/// One of them.
pub(super) struct Extra {
    kind: ChannelKind,
    name: String,
    path: Path,
    /// The number that was offered to the client.
    offered: Option<u32>,
    /// It takes the place of our graphics.
    is_graphics: bool,
    chunks: Chunks,
}

impl Session {
    /// Adds a channel of the embedder's; its number is that in [`SessionEvent::Channel`]. Call before [`Self::start`].
    ///
    /// The client's messages on it may have 1 MiB.
    ///
    /// # Errors
    /// [`ChannelRefusal`].
    pub fn add_channel(&mut self, kind: ChannelKind, name: &str) -> Result<usize, ChannelRefusal> {
        let (own, longest): (&[&str], usize) = match kind {
            ChannelKind::Static => (&OWN_STATIC, 7),
            ChannelKind::Dynamic => (&OWN_DYNAMIC, 255),
        };
        if own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(ChannelRefusal::Taken);
        }
        if name.is_empty() || name.len() > longest || name.contains('\0') {
            return Err(ChannelRefusal::Name);
        }
        self.add(kind, name, false)
    }

    /// The embedder makes this client's pictures itself, over the graphics pipeline ([MS-RDPEGFX]): a channel as by
    /// [`Self::add_channel`]. If the client opens it, no [`SessionEvent::GraphicsReady`] comes.
    ///
    /// # Errors
    /// [`ChannelRefusal`].
    pub fn give_graphics_away(&mut self) -> Result<usize, ChannelRefusal> {
        let number = self.add(ChannelKind::Dynamic, super::graphics::CHANNEL_NAME, true)?;
        if let Some(channels) = &mut self.channels {
            channels.drop_graphics();
        }
        Ok(number)
    }

    fn add(&mut self, kind: ChannelKind, name: &str, is_graphics: bool) -> Result<usize, ChannelRefusal> {
        let same = |extra: &Extra| extra.kind == kind && extra.name.eq_ignore_ascii_case(name);
        if self.extras.iter().any(same) {
            return Err(ChannelRefusal::Taken);
        }
        if self.extras.len() >= MOST {
            return Err(ChannelRefusal::TooMany);
        }
        self.extras.push(Extra {
            kind,
            name: name.to_owned(),
            path: Path::Closed,
            offered: None,
            is_graphics,
            chunks: Chunks::new(MESSAGE),
        });
        Ok(self.extras.len() - 1)
    }

    /// Offers them, or takes those that the client brought.
    pub(super) fn start_extras(&mut self, events: &mut Vec<SessionEvent>) {
        for (number, extra) in self.extras.iter_mut().enumerate() {
            let event = match extra.kind {
                ChannelKind::Static => match self.link.channel(&extra.name.to_ascii_lowercase()) {
                    Some(channel) => {
                        extra.path = Path::Static(channel);
                        ChannelEvent::Opened
                    }
                    None => ChannelEvent::Closed,
                },
                ChannelKind::Dynamic => match &mut self.channels {
                    Some(channels) if self.info.egfx || !extra.is_graphics => {
                        let id = channels.register(extra.name.clone());
                        channels.take_long(id, MESSAGE);
                        extra.offered = Some(id);
                        continue;
                    }
                    _ => ChannelEvent::Closed,
                },
            };
            events.push(SessionEvent::Channel { number, event });
        }
    }

    /// Takes a chunk of a static channel; `false` if it is another's.
    pub(super) fn extra_chunk(&mut self, channel: u16, chunk: &[u8], events: &mut Vec<SessionEvent>) -> bool {
        let mut extras = self.extras.iter_mut().enumerate();
        let Some((number, extra)) = extras.find(|(_, extra)| extra.path == Path::Static(channel)) else {
            return false;
        };
        let event = match extra.chunks.take(chunk) {
            Ok(None) => return true,
            Ok(Some(message)) => ChannelEvent::Message(message),
            Err(error) => {
                tracing::debug!(%error, name = extra.name, "a channel of the program's");
                extra.path = Path::Closed;
                ChannelEvent::Closed
            }
        };
        events.push(SessionEvent::Channel { number, event });
        true
    }

    /// What happened on a dynamic channel; `false` if it is another.
    pub(super) fn extra_news(
        &mut self,
        channel: DynamicChannel,
        news: &mut News,
        events: &mut Vec<SessionEvent>,
    ) -> bool {
        let mut extras = self.extras.iter_mut().enumerate();
        let Some((number, extra)) = extras.find(|(_, extra)| extra.offered == Some(channel.id)) else {
            return false;
        };
        let is_graphics = extra.is_graphics;
        let event = match news {
            // A client that opens the pipeline after the fall-back stays with what it was given.
            News::Opened if is_graphics && self.graphics != Graphics::Waiting => return true,
            News::Opened => {
                extra.path = Path::Dynamic(channel);
                ChannelEvent::Opened
            }
            News::Message(message) => ChannelEvent::Message(core::mem::take(message)),
            News::Declined | News::Closed => {
                extra.path = Path::Closed;
                ChannelEvent::Closed
            }
        };
        match event {
            ChannelEvent::Opened if is_graphics => self.graphics = Graphics::Elsewhere,
            ChannelEvent::Closed if is_graphics => {
                if self.graphics == Graphics::Elsewhere {
                    self.graphics = Graphics::Waiting;
                }
                self.graphics_timeout(events);
            }
            _ => {}
        }
        events.push(SessionEvent::Channel { number, event });
        true
    }

    /// The number by which the client knows a dynamic channel, once it has opened it.
    pub fn dynamic_id(&self, number: usize) -> Option<u32> {
        match self.extras.get(number)?.path {
            Path::Dynamic(channel) => Some(channel.id),
            Path::Closed | Path::Static(_) => None,
        }
    }

    /// Sends a message on a channel of the embedder's. Nothing if the client does not have it.
    pub fn write_channel(&mut self, number: usize, message: &[u8], out: &mut Vec<u8>) {
        if let Some(extra) = self.extras.get(number) {
            extra.path.write(message, out);
        }
    }

    /// Sends a PDU of dynamic channels ([MS-RDPEDYC] 2.2.3) that the embedder has made, at most 1,600 bytes, for a channel of
    /// [`Self::dynamic_id`]'s.
    pub fn write_dynamic_pdu(&mut self, pdu: &[u8], out: &mut Vec<u8>) {
        if let Some(channels) = &self.channels {
            wire::static_channel(out, channels.carrier(), pdu);
        }
    }

    /// There is nothing more to send. The client may not open the channel again.
    pub fn close_channel(&mut self, number: usize, out: &mut Vec<u8>) {
        let Some(extra) = self.extras.get_mut(number) else {
            return;
        };
        extra.path = Path::Closed;
        if let Some((channels, id)) = self.channels.as_mut().zip(extra.offered.take()) {
            channels.close(id, out);
        }
    }
}

/// Channels of one session.
const MOST: usize = 32;
/// Bytes of a client's message.
const MESSAGE: usize = 1 << 20;
/// Names that have a meaning here.
const OWN_STATIC: [&str; 4] = ["drdynvc", "cliprdr", "rdpsnd", "rdp2tcp"];
const OWN_DYNAMIC: [&str; 8] = [
    "Microsoft::Windows::RDS::Graphics",
    "Microsoft::Windows::RDS::DisplayControl",
    "Microsoft::Windows::RDS::Input",
    "AUDIO_PLAYBACK_DVC",
    "AUDIO_PLAYBACK_LOSSY_DVC",
    "AUDIO_INPUT",
    "ECHO",
    "RDPMUX.STREAMS",
];
