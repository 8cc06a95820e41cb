//! What the machine plays, for whoever listens. One voice at a time is heard: QEMU mixes all devices into one unless it
//! was told otherwise.

use std::collections::BTreeMap;
use std::time::Instant;

use rdpmux_model::Pcm;
use tokio::sync::broadcast;

use super::call::{AudioCall, Device, RawFormat};
use super::voice::{VoiceFormat, VoiceRefusal, Volume};

/// Voices that are known at once, and refusals that are told.
const MOST_VOICES: usize = 8;
/// Parts of a second: pieces are handed on from this length on, and are cut to four times it.
const PIECE: u32 = 200;

/// The listener for playback.
#[derive(Debug)]
pub struct Speaker {
    title: String,
    played: broadcast::Sender<Pcm>,
    voices: BTreeMap<u64, Voice>,
    /// The voice that is heard.
    heard: Option<u64>,
    refusals: usize,
}

#[derive(Debug)]
struct Voice {
    format: VoiceFormat,
    volume: Volume,
    /// Too short to be handed on.
    waiting: Vec<i16>,
}

impl Speaker {
    /// `title` names the guest in logs.
    pub fn new(title: String, played: broadcast::Sender<Pcm>) -> Self {
        Self {
            title,
            played,
            voices: BTreeMap::new(),
            heard: None,
            refusals: 0,
        }
    }

    fn init(&mut self, voice: u64, raw: &RawFormat) {
        self.fini(voice);
        let format = VoiceFormat::new(raw);
        let format = format.and_then(|format| match self.voices.len() {
            MOST_VOICES.. => Err(VoiceRefusal::TooMany),
            _ => Ok(format),
        });
        match format {
            Ok(format) => {
                tracing::debug!(guest = %self.title, ?format, "voice");
                let voice_of = Voice {
                    format,
                    volume: Volume::FULL,
                    waiting: Vec::new(),
                };
                self.voices.insert(voice, voice_of);
            }
            Err(refusal) if self.refusals < MOST_VOICES => {
                self.refusals += 1;
                tracing::warn!(%refusal, guest = %self.title, "the machine's sound is refused");
            }
            Err(_) => {}
        }
    }

    fn fini(&mut self, voice: u64) {
        self.voices.remove(&voice);
        self.heard.take_if(|heard| *heard == voice);
    }

    fn write(&mut self, id: u64, data: &[u8]) {
        let Some(voice) = self.voices.get_mut(&id) else {
            return;
        };
        if self.played.receiver_count() == 0 {
            voice.waiting.clear();
            return;
        }
        // QEMU does not say to a new listener which voices are enabled.
        if *self.heard.get_or_insert(id) != id {
            return;
        }
        voice.format.decode(data, voice.volume, &mut voice.waiting);
        let rate = voice.format.rate();
        let least = (rate / PIECE) as usize * 2;
        if voice.waiting.len() < least {
            return;
        }
        for piece in voice.waiting.chunks(least * 4) {
            // Without a receiver it is dropped, which is as well.
            let _ = self.played.send(Pcm {
                rate,
                samples: piece.into(),
            });
        }
        voice.waiting.clear();
    }
}

impl Device for Speaker {
    fn path(&self) -> &'static str {
        "/org/qemu/Display1/AudioOutListener"
    }

    fn interface(&self) -> &'static str {
        "org.qemu.Display1.AudioOutListener"
    }

    fn thread_name(&self) -> &'static str {
        "qemu-speaker"
    }

    fn take(&mut self, call: &AudioCall<'_>, _now: Instant) -> Vec<u8> {
        match call {
            AudioCall::Init { voice, format } => self.init(*voice, format),
            AudioCall::Fini { voice } => self.fini(*voice),
            AudioCall::SetEnabled { voice, enabled } => {
                if *enabled && self.voices.contains_key(voice) {
                    self.heard = Some(*voice);
                } else if !*enabled {
                    self.heard.take_if(|heard| heard == voice);
                }
            }
            AudioCall::SetVolume { voice, mute, volume } => {
                if let Some(voice) = self.voices.get_mut(voice) {
                    voice.volume = Volume::new(*mute, volume);
                }
            }
            AudioCall::Write { voice, data } => self.write(*voice, data),
            AudioCall::Read { .. } => {}
        }
        Vec::new()
    }
}
