//! Sound for a client ([MS-RDPEA]): formats are agreed on, a training shows that the client listens, then waves go out and
//! are confirmed. Messages in and out; which channel carries them is [`super::sound`]'s.
//!
//! ```text
//! Idle ── offer ──▶ Offered ── client's formats ──▶ Training ── confirm ──▶ Ready
//!                      └────────── what cannot be ──────┴───────────────────────────▶ Refused
//! ```

use rdpmux_model::SoundFormat;

use super::audio_format::AudioFormat;
use super::sound::{SoundEvent, SoundRefusal};
use crate::wire::Reader;

/// Static channel.
pub(super) const STATIC_CHANNEL: &str = "rdpsnd";
/// Dynamic channel for clients that have it.
pub(super) const DYNAMIC_CHANNEL: &str = "AUDIO_PLAYBACK_DVC";
/// The longest message that a client has reason to send is its list of formats.
pub(super) const MAX_MESSAGE: usize = 16 * 1024;

const CLOSE: u8 = 0x01;
const WAVE: u8 = 0x02;
const WAVE_CONFIRM: u8 = 0x05;
const TRAINING: u8 = 0x06;
const FORMATS: u8 = 0x07;
const QUALITY_MODE: u8 = 0x0C;
const WAVE2: u8 = 0x0D;

/// Version of Windows 8 and later, which brought `Wave2` ([MS-RDPEA] 2.2.2.1).
const VERSION: u16 = 8;
/// `TSSNDCAPS_ALIVE`: the client plays what it is sent.
const CAPS_ALIVE: u32 = 1;
/// Longest data of one wave; lengths have 16 bits.
const MAX_WAVE: usize = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Offered,
    Training,
    Ready,
    Refused,
}

/// One client's playback.
#[derive(Debug)]
pub(super) struct Playback {
    state: State,
    /// The older of both versions.
    version: u16,
    /// The client's numbers of the formats that are ours too.
    formats: Vec<(u16, SoundFormat)>,
    block: u8,
}

/// What a message led to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) answer: Option<Vec<u8>>,
    pub(super) event: Option<SoundEvent>,
}

impl Playback {
    pub(super) fn new() -> Self {
        Self {
            state: State::Idle,
            version: VERSION,
            formats: Vec::new(),
            block: 0,
        }
    }

    /// The first message: what we can send ([MS-RDPEA] 2.2.2.1).
    pub(super) fn offer(&mut self) -> Vec<u8> {
        self.state = State::Offered;
        message(FORMATS, |out| {
            // Flags, volume, pitch and port have no meaning from a server.
            out.extend_from_slice(&[0; 14]);
            out.extend_from_slice(&(SoundFormat::ALL.len() as u16).to_le_bytes());
            out.push(self.block);
            out.extend_from_slice(&VERSION.to_le_bytes());
            out.push(0);
            for format in SoundFormat::ALL {
                AudioFormat::of(format).put(out);
            }
        })
    }

    /// Takes a message of the client's. What cannot be ends the sound, not the session.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Taken {
        if matches!(self.state, State::Idle | State::Refused) {
            return Taken::default();
        }
        match self.read(bytes) {
            Ok(taken) => taken,
            Err(refusal) => {
                self.state = State::Refused;
                Taken {
                    event: Some(SoundEvent::Refused(refusal)),
                    answer: None,
                }
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Taken, SoundRefusal> {
        let mut r = Reader(bytes);
        let header = r.bytes::<4>().ok_or(SoundRefusal::Malformed("sound message"))?;
        let [kind, _, l0, l1] = header;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let body = r.slice(length).ok_or(SoundRefusal::Malformed("sound message length"))?;
        match kind {
            FORMATS => self.client_formats(Reader(body)),
            TRAINING if self.state == State::Training => {
                self.state = State::Ready;
                let formats = self.formats.iter().map(|(_, format)| *format).collect();
                Ok(event(SoundEvent::Ready { formats }))
            }
            WAVE_CONFIRM => {
                let mut r = Reader(body);
                let confirm = r.u16().and_then(|timestamp| Some((timestamp, r.u8()?)));
                let (timestamp, block) = confirm.ok_or(SoundRefusal::Malformed("wave confirmation"))?;
                Ok(event(SoundEvent::Confirmed { block, timestamp }))
            }
            TRAINING | QUALITY_MODE => Ok(Taken::default()),
            kind => {
                tracing::debug!(kind, "sound message without a use");
                Ok(Taken::default())
            }
        }
    }

    fn client_formats(&mut self, mut r: Reader<'_>) -> Result<Taken, SoundRefusal> {
        let head = r.u32().and_then(|flags| {
            r.bytes::<10>()?;
            let count = r.u16()?;
            let _last_confirmed = r.u8()?;
            let version = r.u16()?;
            r.u8()?;
            Some((flags, count, version))
        });
        let (flags, count, version) = head.ok_or(SoundRefusal::Malformed("sound formats"))?;
        let theirs =
            AudioFormat::read_all(&mut r, count.into()).ok_or(SoundRefusal::Malformed("list of sound formats"))?;
        if flags & CAPS_ALIVE == 0 {
            return Err(SoundRefusal::NotPlayed);
        }
        let number = |format| theirs.iter().position(|theirs| *theirs == AudioFormat::of(format));
        let ours = SoundFormat::ALL.into_iter();
        self.formats = ours
            .filter_map(|format| Some((u16::try_from(number(format)?).ok()?, format)))
            .collect();
        if self.formats.is_empty() {
            let first = theirs.first().map_or_else(|| "none".to_owned(), AudioFormat::to_string);
            return Err(SoundRefusal::NoFormat {
                count: theirs.len(),
                first,
            });
        }
        self.version = version.min(VERSION);
        self.state = State::Training;
        // No data to measure with: frames measure the link.
        let training = message(TRAINING, |out| out.extend_from_slice(&[0; 4]));
        Ok(Taken {
            answer: Some(training),
            event: None,
        })
    }

    /// Hands the messages of a wave to `write`; `timestamp` is in milliseconds from anywhere. Returns the wave's number, or
    /// `None` if the client does not take it.
    pub(super) fn wave(
        &mut self,
        format: SoundFormat,
        timestamp: u16,
        data: &[u8],
        mut write: impl FnMut(&[u8]),
    ) -> Option<u8> {
        let number = self.formats.iter().find(|(_, known)| *known == format)?.0;
        if self.state != State::Ready || !(4..=MAX_WAVE).contains(&data.len()) {
            return None;
        }
        self.block = self.block.wrapping_add(1);
        let head = |out: &mut Vec<u8>| {
            out.extend_from_slice(&timestamp.to_le_bytes());
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&[self.block, 0, 0, 0]);
        };
        if self.version >= VERSION {
            write(&message(WAVE2, |out| {
                head(out);
                out.extend_from_slice(&u32::from(timestamp).to_le_bytes());
                out.extend_from_slice(data);
            }));
            return Some(self.block);
        }
        // Two messages: the first has four bytes of the sound, the second four zeros and the rest. The first one's length
        // counts the whole sound ([MS-RDPEA] 2.2.3.3, 2.2.3.4).
        let (start, rest) = data.split_at(4);
        let mut info = message(WAVE, |out| {
            head(out);
            out.extend_from_slice(start);
        });
        info[2..4].copy_from_slice(&((data.len() + 8) as u16).to_le_bytes());
        write(&info);
        write(&[&[0; 4], rest].concat());
        Some(self.block)
    }

    /// There will be no sound for a while: the client may free its device.
    pub(super) fn close(&self) -> Option<Vec<u8>> {
        (self.state == State::Ready).then(|| message(CLOSE, |_| {}))
    }
}

fn event(event: SoundEvent) -> Taken {
    Taken {
        answer: None,
        event: Some(event),
    }
}

fn message(kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![kind, 0, 0, 0];
    body(&mut out);
    let length = (out.len() - 4) as u16;
    out[2..4].copy_from_slice(&length.to_le_bytes());
    out
}
