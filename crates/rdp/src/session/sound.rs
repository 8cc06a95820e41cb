//! Sound and microphone of a session: which channel carries them, and what the server sees of them. The messages are
//! [`rdpsnd`](super::rdpsnd)'s and [`audin`](super::audin)'s.
//!
//! Sound takes the dynamic channel if the client opens it, else the static one.

use rdpmux_model::{Pcm, SoundFormat, SoundRight};

use super::audin::{self, Microphone};
use super::channel::DynamicChannels;
use super::chunks::Chunks;
use super::inbox::News;
use super::path::Path;
use super::rdpsnd::{self, Playback};
use super::{Session, SessionEvent};
use crate::wire::{self, DynamicChannel};

/// What a client did about sound.
#[derive(Debug)]
pub enum SoundEvent {
    /// The client plays these formats, best first.
    Ready {
        /// At least one.
        formats: Vec<SoundFormat>,
    },
    /// It has played a wave, or will at once.
    Confirmed {
        /// Number from [`Session::wave`].
        block: u8,
        /// The wave's own timestamp and the client's time from its arrival to playing it, in milliseconds.
        timestamp: u16,
    },
    /// There is no sound for this client from now on.
    Refused(SoundRefusal),
    /// The microphone is on.
    MicrophoneOpen {
        /// Frames per second.
        rate: u32,
    },
    /// What it picks up.
    Microphone(Pcm),
    /// The client does not give its microphone, or takes it away.
    MicrophoneRefused(SoundRefusal),
}

/// Why sound or microphone of a client are not used. The session goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SoundRefusal {
    /// A message that is not what it has to be.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The client says that it does not play what it is sent.
    #[error("the client does not play sound")]
    NotPlayed,
    /// It has none of our formats.
    #[error("none of the client's {count} sound formats is one of ours; its first: {first}")]
    NoFormat {
        /// How many it announced.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// Its microphone has none of our formats.
    #[error("the client's microphone has no format of ours")]
    NoMicrophoneFormat,
    /// It does not open the microphone.
    #[error("the client does not open its microphone (code {code:#x})")]
    MicrophoneDenied {
        /// `HRESULT` of the client's.
        code: u32,
    },
    /// It has no such channel, or closed it.
    #[error("the client has closed the microphone's channel")]
    ChannelClosed,
}

/// Sound of one session.
pub(super) struct Sound {
    right: SoundRight,
    playback: Playback,
    path: Path,
    /// The dynamic channel that was offered.
    offered: Option<u32>,
    chunks: Chunks,
    microphone: Microphone,
    /// Asked for and not there yet.
    wants_microphone: Option<u32>,
    microphone_channel: Option<u32>,
}

impl Sound {
    pub(super) fn new() -> Self {
        Self {
            right: SoundRight::Off,
            playback: Playback::new(),
            path: Path::Closed,
            offered: None,
            chunks: Chunks::new(rdpsnd::MAX_MESSAGE),
            microphone: Microphone::new(),
            wants_microphone: None,
            microphone_channel: None,
        }
    }
}

impl Session {
    /// What the user may do with the desktop's sound; without it the channels are not opened. Call before
    /// [`Self::start`].
    pub fn permit_sound(&mut self, right: SoundRight) {
        self.sound.right = right;
    }

    /// Whether the client can be asked for its microphone.
    pub fn has_microphone(&self) -> bool {
        self.sound.right == SoundRight::Both && self.info.microphone && self.channels.is_some()
    }

    /// Offers sound on the dynamic channel, or at once on the static one.
    pub(super) fn start_sound(&mut self, out: &mut Vec<u8>) {
        if self.sound.right == SoundRight::Off || !self.info.sound {
            return;
        }
        match &mut self.channels {
            Some(channels) => self.sound.offered = Some(channels.register(rdpsnd::DYNAMIC_CHANNEL)),
            None => self.start_static_sound(out),
        }
    }

    fn start_static_sound(&mut self, out: &mut Vec<u8>) {
        let Some(channel) = self.link.channel(rdpsnd::STATIC_CHANNEL) else {
            return;
        };
        self.sound.path = Path::Static(channel);
        wire::static_channel(out, channel, &self.sound.playback.offer());
    }

    /// Takes a chunk of the static channel; `false` if it is another's.
    pub(super) fn sound_chunk(
        &mut self,
        channel: u16,
        chunk: &[u8],
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.sound.path != Path::Static(channel) {
            return false;
        }
        match self.sound.chunks.take(chunk) {
            Ok(Some(message)) => self.sound_message(&message, events, out),
            Ok(None) => {}
            Err(_) => {
                self.sound.path = Path::Closed;
                let refusal = SoundRefusal::Malformed("chunk of the sound channel");
                events.push(SessionEvent::Sound(SoundEvent::Refused(refusal)));
            }
        }
        true
    }

    fn sound_message(&mut self, message: &[u8], events: &mut Vec<SessionEvent>, out: &mut Vec<u8>) {
        let taken = self.sound.playback.take(message);
        if let Some(answer) = taken.answer {
            self.sound.path.write(&answer, out);
        }
        events.extend(taken.event.map(SessionEvent::Sound));
    }

    /// What happened on the dynamic channels of sound; `false` if it is none of them.
    pub(super) fn sound_news(
        &mut self,
        channel: DynamicChannel,
        news: &News,
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.sound.offered == Some(channel.id) {
            self.playback_news(channel, news, events, out);
        } else if self.sound.microphone_channel == Some(channel.id) {
            self.microphone_news(channel, news, events, out);
        } else {
            return false;
        }
        true
    }

    fn playback_news(
        &mut self,
        channel: DynamicChannel,
        news: &News,
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) {
        match news {
            News::Opened => {
                self.sound.path = Path::Dynamic(channel);
                self.sound.path.write(&self.sound.playback.offer(), out);
            }
            News::Declined => self.start_static_sound(out),
            News::Message(message) => self.sound_message(message, events, out),
            News::Closed => {
                self.sound.path = Path::Closed;
                self.sound.playback = Playback::new();
                let event = SoundEvent::Refused(SoundRefusal::NotPlayed);
                events.push(SessionEvent::Sound(event));
            }
        }
    }

    fn microphone_news(
        &mut self,
        channel: DynamicChannel,
        news: &News,
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) {
        let heard = match news {
            News::Opened => {
                wire::dynamic_channel(out, channel, &self.sound.microphone.greet());
                return;
            }
            News::Message(message) => self.sound.microphone.take(message),
            News::Declined | News::Closed => Err(SoundRefusal::ChannelClosed),
        };
        match heard {
            Ok(heard) => {
                if let Some(answer) = heard.answer {
                    wire::dynamic_channel(out, channel, &answer);
                }
                events.extend(heard.event.map(SessionEvent::Sound));
            }
            Err(refusal) => {
                self.close_microphone(out);
                let event = SoundEvent::MicrophoneRefused(refusal);
                events.push(SessionEvent::Sound(event));
            }
        }
    }

    /// Sends a piece of sound in one of the client's formats; `timestamp` is in milliseconds from anywhere. Returns its
    /// number for [`SoundEvent::Confirmed`], or `None` if the client does not take it now.
    pub fn wave(&mut self, format: SoundFormat, timestamp: u16, data: &[u8], out: &mut Vec<u8>) -> Option<u8> {
        if !self.is_live() {
            return None;
        }
        let Sound { playback, path, .. } = &mut self.sound;
        playback.wave(format, timestamp, data, |message| path.write(message, out))
    }

    /// There is no sound for a while: the client may free its device. The next wave opens it again.
    pub fn pause_sound(&mut self, out: &mut Vec<u8>) {
        if let Some(message) = self.sound.playback.close().filter(|_| self.is_live()) {
            self.sound.path.write(&message, out);
        }
    }

    /// Asks the client for its microphone, for a guest that records `rate` frames per second. It answers by
    /// [`SoundEvent::MicrophoneOpen`] or [`SoundEvent::MicrophoneRefused`].
    pub fn open_microphone(&mut self, rate: u32, out: &mut Vec<u8>) {
        if self.has_microphone() && self.sound.microphone_channel.is_none() {
            self.sound.wants_microphone = Some(rate);
            self.ask_for_microphone(out);
        }
    }

    /// Asks if that was to be done and the client's dynamic channels are there.
    pub(super) fn ask_for_microphone(&mut self, out: &mut Vec<u8>) {
        let Some(channels) = self.channels.as_mut().filter(|channels| channels.is_ready()) else {
            return;
        };
        if let Some(rate) = self.sound.wants_microphone.take() {
            self.sound.microphone.open(rate);
            self.sound.microphone_channel = channels.create(audin::CHANNEL, out);
        }
    }

    /// Gives the microphone back.
    pub fn close_microphone(&mut self, out: &mut Vec<u8>) {
        self.sound.wants_microphone = None;
        self.sound.microphone.close();
        if let (Some(channels), Some(id)) = (&mut self.channels, self.sound.microphone_channel.take()) {
            channels.close(id, out);
        }
    }

    /// Hands out what happened on the channels that are handled here.
    pub(super) fn channel_news(&mut self, events: &mut Vec<SessionEvent>, out: &mut Vec<u8>) {
        let news = self
            .channels
            .as_mut()
            .map(DynamicChannels::take_news)
            .unwrap_or_default();
        for (channel, mut news) in news {
            let taken = self.sound_news(channel, &news, events, out)
                || self.streams_news(channel, &mut news, events)
                || self.extra_news(channel, &mut news, events);
            if !taken {
                tracing::trace!(?channel, "news of a channel that is closed already");
            }
        }
        self.ask_for_microphone(out);
    }
}
