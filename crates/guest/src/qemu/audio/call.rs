//! What QEMU asks of an audio listener, as types, and the answers that are the same for both kinds. Names are those of
//! QEMU's `ui/dbus-display1.xml`. No socket and no thread, so that a fuzzer can drive it with bytes.

use std::time::Instant;

use crate::qemu::listener::PeerError;
use crate::qemu::listener::wire::{self, Answer, Kind, Message, Reader, WireError};

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PEER: &str = "org.freedesktop.DBus.Peer";

/// One thing that QEMU asks. Voices are known by a number of QEMU's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCall<'a> {
    /// A voice appears.
    Init {
        /// Which voice.
        voice: u64,
        /// Its format, unchecked.
        format: RawFormat,
    },
    /// A voice goes.
    Fini {
        /// Which voice.
        voice: u64,
    },
    /// The guest starts or stops to use it.
    SetEnabled {
        /// Which voice.
        voice: u64,
        /// Whether it is used.
        enabled: bool,
    },
    /// The guest's volume.
    SetVolume {
        /// Which voice.
        voice: u64,
        /// Nothing is to be heard.
        mute: bool,
        /// For each channel, 255 for as it is.
        volume: &'a [u8],
    },
    /// Sound that the guest plays.
    Write {
        /// Which voice.
        voice: u64,
        /// Frames of the voice's format.
        data: &'a [u8],
    },
    /// The guest wants recorded sound; QEMU waits for the answer.
    Read {
        /// Which voice.
        voice: u64,
        /// Bytes, at most.
        size: u64,
    },
}

/// A voice's format by QEMU's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFormat {
    /// Bits per sample.
    pub bits: u8,
    /// Whether samples have a sign.
    pub signed: bool,
    /// Whether samples are floating point numbers.
    pub float: bool,
    /// Frames per second.
    pub rate: u32,
    /// Samples per frame.
    pub channels: u8,
    /// Bytes per frame.
    pub frame_bytes: u32,
    /// Big-endian samples.
    pub big_endian: bool,
}

/// One kind of audio listener.
pub trait Device: Send {
    /// Its object path.
    fn path(&self) -> &'static str;
    /// Its interface.
    fn interface(&self) -> &'static str;
    /// For the thread that serves it.
    fn thread_name(&self) -> &'static str;
    /// Takes a call; what it returns are the bytes that `Read` is answered with.
    fn take(&mut self, call: &AudioCall<'_>, now: Instant) -> Vec<u8>;
}

/// Handles one message that came at `now`; `reply` is called with the answer's bytes, if one is wanted.
///
/// # Errors
/// [`PeerError`] if the message is not what QEMU may send, or if `reply` failed.
pub fn handle(
    device: &mut dyn Device,
    bytes: &[u8],
    now: Instant,
    serial: u32,
    reply: impl FnOnce(&[u8]) -> Result<(), PeerError>,
) -> Result<(), PeerError> {
    let refused = |member: &str, source| PeerError::Wire {
        member: member.to_owned(),
        source,
    };
    let message = wire::parse(bytes).map_err(|source| refused("message", source))?;
    if message.kind != Kind::Call {
        return Ok(());
    }
    let answer = answer(device, &message, now).map_err(|source| refused(message.member, source))?;
    if message.wants_reply {
        reply(&answer.encode(serial, message.serial))?;
    }
    Ok(())
}

fn answer(device: &mut dyn Device, message: &Message<'_>, now: Instant) -> Result<Answer, WireError> {
    if message.path != device.path() {
        return Ok(unknown(message));
    }
    match (message.interface, message.member) {
        // There are no properties: an empty a{sv}.
        (PROPERTIES, "GetAll") => Ok(Answer::Return {
            signature: "a{sv}",
            body: vec![0; 8],
        }),
        (PEER, "Ping") => Ok(Answer::empty()),
        (interface, _) if interface == device.interface() => {
            let Some(call) = AudioCall::read(message)? else {
                return Ok(unknown(message));
            };
            let data = device.take(&call, now);
            if !matches!(call, AudioCall::Read { .. }) {
                return Ok(Answer::empty());
            }
            let mut body = (data.len() as u32).to_le_bytes().to_vec();
            body.extend(data);
            Ok(Answer::Return { signature: "ay", body })
        }
        _ => Ok(unknown(message)),
    }
}

fn unknown(message: &Message<'_>) -> Answer {
    Answer::Error {
        name: "org.freedesktop.DBus.Error.UnknownMethod",
        text: format!("no method {}.{} here", message.interface, message.member),
    }
}

impl<'a> AudioCall<'a> {
    /// Reads the call out of a message; `None` for a method that there is not.
    fn read(message: &Message<'a>) -> Result<Option<Self>, WireError> {
        let signature = match message.member {
            "Init" => "tybbuyuub",
            "Fini" => "t",
            "SetEnabled" => "tb",
            "SetVolume" => "tbay",
            "Write" => "tay",
            "Read" => "tt",
            _ => return Ok(None),
        };
        if message.signature != signature {
            return Err(WireError::Malformed("signature is not the one of the method"));
        }
        let mut r = Reader::body(message.body);
        let voice = r.u64()?;
        let call = match message.member {
            "Init" => Self::Init {
                voice,
                format: RawFormat::read(&mut r)?,
            },
            "Fini" => Self::Fini { voice },
            "SetEnabled" => Self::SetEnabled {
                voice,
                enabled: r.bool()?,
            },
            "SetVolume" => Self::SetVolume {
                voice,
                mute: r.bool()?,
                volume: r.bytes()?,
            },
            "Write" => Self::Write {
                voice,
                data: r.bytes()?,
            },
            _ => Self::Read { voice, size: r.u64()? },
        };
        r.end()?;
        Ok(Some(call))
    }
}

impl RawFormat {
    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let (bits, signed, float) = (r.u8()?, r.bool()?, r.bool()?);
        let (rate, channels) = (r.u32()?, r.u8()?);
        let (frame_bytes, _bytes_per_second) = (r.u32()?, r.u32()?);
        Ok(Self {
            bits,
            signed,
            float,
            rate,
            channels,
            frame_bytes,
            big_endian: r.bool()?,
        })
    }
}
