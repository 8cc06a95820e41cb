//! A client's microphone ([MS-RDPEAI]): versions and formats are agreed on, the client opens its device, then sound comes
//! in. The dynamic channel is opened when the guest records and closed when it does not; nothing is recorded before.
//!
//! ```text
//! Closed ── open ──▶ Opening ── version, formats ──▶ Asked ── opened ──▶ Recording
//!    ▲                  └── what cannot be, or a refusal of the client's ──┴──────┘
//!    └─────────────────────────────────── close ──────────────────────────────────┘
//! ```

use std::sync::Arc;

use rdpmux_model::Pcm;

use super::audio_format::AudioFormat;
use super::sound::{SoundEvent, SoundRefusal};
use crate::wire::Reader;

/// Dynamic channel.
pub(super) const CHANNEL: &str = "AUDIO_INPUT";

const VERSION_PDU: u8 = 0x01;
const FORMATS: u8 = 0x02;
const OPEN: u8 = 0x03;
const OPEN_REPLY: u8 = 0x04;
const INCOMING: u8 = 0x05;
const DATA: u8 = 0x06;
const FORMAT_CHANGE: u8 = 0x07;

const VERSION: u32 = 1;

/// What is offered. People have one mouth, so one channel comes first.
const OFFERED: [AudioFormat; 8] = [
    AudioFormat::pcm(48_000, 1),
    AudioFormat::pcm(44_100, 1),
    AudioFormat::pcm(48_000, 2),
    AudioFormat::pcm(44_100, 2),
    AudioFormat::pcm(22_050, 1),
    AudioFormat::pcm(22_050, 2),
    AudioFormat::pcm(16_000, 1),
    AudioFormat::pcm(11_025, 1),
];
/// Packets per second that the client is asked for.
const PACKETS: u32 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Opening,
    Asked,
    Recording,
}

/// One client's microphone.
#[derive(Debug)]
pub(super) struct Microphone {
    state: State,
    /// Frames per second that the guest records with.
    wanted: u32,
    /// The client's list.
    formats: Vec<AudioFormat>,
    format: AudioFormat,
}

/// What a message led to.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) answer: Option<Vec<u8>>,
    pub(super) event: Option<SoundEvent>,
}

impl Microphone {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            wanted: 48_000,
            formats: Vec::new(),
            format: OFFERED[0],
        }
    }

    /// The channel will be opened for a guest that records at `rate`.
    pub(super) fn open(&mut self, rate: u32) {
        *self = Self {
            state: State::Opening,
            wanted: rate,
            ..Self::new()
        };
    }

    /// Nothing that still comes counts.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// The channel is there: the first message.
    pub(super) fn greet(&self) -> Vec<u8> {
        [&[VERSION_PDU][..], &VERSION.to_le_bytes()].concat()
    }

    /// Takes a message of the client's. After an error the channel is to be closed.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Heard, SoundRefusal> {
        let mut r = Reader(bytes);
        let kind = r.u8().ok_or(SoundRefusal::Malformed("microphone message"))?;
        match (kind, self.state) {
            (_, State::Closed) => Ok(Heard::default()),
            (VERSION_PDU, State::Opening) => Ok(Heard {
                answer: Some(offer()),
                event: None,
            }),
            (FORMATS, State::Opening) => self.client_formats(r),
            (OPEN_REPLY, State::Asked) => match r.u32() {
                Some(0) => {
                    self.state = State::Recording;
                    let event = SoundEvent::MicrophoneOpen { rate: self.format.rate };
                    Ok(Heard {
                        event: Some(event),
                        answer: None,
                    })
                }
                Some(code) => Err(SoundRefusal::MicrophoneDenied { code }),
                None => Err(SoundRefusal::Malformed("answer of the microphone")),
            },
            (FORMAT_CHANGE, State::Asked | State::Recording) => {
                let number = r
                    .u32()
                    .ok_or(SoundRefusal::Malformed("format change of the microphone"))?;
                let known = usize::try_from(number).ok().and_then(|n| self.formats.get(n)).copied();
                self.format = known.filter(is_ours).ok_or(SoundRefusal::NoMicrophoneFormat)?;
                Ok(Heard::default())
            }
            (DATA, State::Recording) => Ok(Heard {
                event: self.sound(r.0).map(SoundEvent::Microphone),
                answer: None,
            }),
            (INCOMING | DATA, _) => Ok(Heard::default()),
            (kind, state) => {
                tracing::debug!(kind, ?state, "microphone message without a use");
                Ok(Heard::default())
            }
        }
    }

    fn client_formats(&mut self, mut r: Reader<'_>) -> Result<Heard, SoundRefusal> {
        let head = r.u32().and_then(|count| Some((usize::try_from(count).ok()?, r.u32()?)));
        let (count, _size) = head.ok_or(SoundRefusal::Malformed("microphone formats"))?;
        let theirs = AudioFormat::read_all(&mut r, count);
        self.formats = theirs.ok_or(SoundRefusal::Malformed("list of microphone formats"))?;
        let best = self
            .formats
            .iter()
            .enumerate()
            .filter(|(_, format)| is_ours(format))
            .min_by_key(
                // The guest's rate, else the nearest above it; one channel before two.
                |(_, format)| {
                    (
                        format.rate.abs_diff(self.wanted),
                        format.rate < self.wanted,
                        format.channels,
                    )
                },
            );
        let (number, format) = best.ok_or(SoundRefusal::NoMicrophoneFormat)?;
        self.format = *format;
        self.state = State::Asked;
        let mut open = vec![OPEN];
        open.extend_from_slice(&(format.rate / PACKETS).to_le_bytes());
        open.extend_from_slice(&(number as u32).to_le_bytes());
        format.put(&mut open);
        Ok(Heard {
            answer: Some(open),
            event: None,
        })
    }

    /// Samples of the format in use; a frame that was cut is dropped.
    fn sound(&self, data: &[u8]) -> Option<Pcm> {
        let samples = data.as_chunks::<2>().0.iter().map(|bytes| i16::from_le_bytes(*bytes));
        let samples: Arc<[i16]> = if self.format.channels == 1 {
            samples.flat_map(|sample| [sample, sample]).collect()
        } else {
            samples.take(data.len() / 4 * 2).collect()
        };
        (!samples.is_empty()).then_some(Pcm {
            rate: self.format.rate,
            samples,
        })
    }
}

fn is_ours(format: &AudioFormat) -> bool {
    OFFERED.contains(format)
}

/// [MS-RDPEAI] 2.2.2.2.
fn offer() -> Vec<u8> {
    let mut out = vec![FORMATS];
    out.extend_from_slice(&(OFFERED.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for format in OFFERED {
        format.put(&mut out);
    }
    // The size of the message up to here, as Windows counts it.
    let length = out.len() as u32;
    out[5..9].copy_from_slice(&length.to_le_bytes());
    out
}
