//! What the daemon says.

use super::Features;
use super::fields::{
    CLIPBOARD_DATA, CLIPBOARD_OFFER, CLIPBOARD_REQUEST, COMPLETE, Content, KEY, LOCKS, MICROPHONE_DATA, Offer, POINTER,
    RELATIVE, Read, SIZE, UNICODE, WELCOME, WHEEL, begin, content, end, head, offer, put, put_content, put_offer,
    samples, version,
};
use crate::msgpack::{self, MessageError, Reader};

/// A message of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGuest {
    /// [48, 6, features]: the daemon knows the machine. First, and once.
    Welcome {
        /// What the daemon can take.
        features: Features,
    },
    /// [49, head, serial, success, rate]: the pixels of all updates of this head up to `serial` were copied, or those of
    /// the last cannot be. Comes again with the same serial when only the rate changed.
    Complete {
        /// Number of the head.
        head: u32,
        /// Of the last update that it answers; 0 before the first.
        serial: u32,
        /// They were.
        success: bool,
        /// Frames per second that the fastest viewer can use now.
        rate: u32,
    },
    /// [50, number, down]: a key by QEMU's number: the 7-bit code of PC/AT set 1, plus 128 with the prefix E0; Pause is
    /// 0xC6.
    Key {
        /// Its number.
        qnum: u8,
        /// Down or up.
        down: bool,
    },
    /// [51, character]: a character was typed that the guest should take as it is.
    Unicode {
        /// Which.
        character: char,
    },
    /// [52, head, x, y, buttons]: the pointer is there, and these buttons are down, see [`super::button`].
    Pointer {
        /// Number of the head.
        head: u32,
        /// Column in pixels.
        x: u32,
        /// Row.
        y: u32,
        /// Those that are down.
        buttons: u32,
    },
    /// [53, head, dx, dy, buttons]: the pointer moved by so many pixels.
    Relative {
        /// Number of the head.
        head: u32,
        /// To the right.
        dx: i32,
        /// Downwards.
        dy: i32,
        /// Buttons that are down.
        buttons: u32,
    },
    /// [54, head, vertical, horizontal]: the wheels turned, in units of 1/120 notch.
    Wheel {
        /// Number of the head.
        head: u32,
        /// Positive is away from the user.
        vertical: i32,
        /// Positive is to the right.
        horizontal: i32,
    },
    /// [55, bits]: a viewer's lock keys, see [`super::lock`]; those of the guest should be so.
    Locks {
        /// Those that are on.
        on: u32,
    },
    /// [56, head, x, y, width, height, width in mm, height in mm]: how a viewer would like the head; width 0: off.
    Size {
        /// Number of the head.
        head: u32,
        /// Where it is among the others, in pixels.
        x: u32,
        /// Its top edge.
        y: u32,
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// Millimetres, 0 if not known.
        width_mm: u32,
        /// Millimetres, 0 if not known.
        height_mm: u32,
    },
    /// [57, rate, samples]: what a viewer says, as [`ToDaemon::SoundData`](super::ToDaemon::SoundData).
    MicrophoneData {
        /// Frames per second.
        rate: u32,
        /// An even number of samples.
        samples: Vec<u8>,
    },
    /// [32, serial, has text]: viewers copied something.
    ClipboardOffer(Offer),
    /// [33, serial]: a viewer pastes what the guest offered.
    ClipboardRequest {
        /// Of the guest's offer.
        serial: u32,
    },
    /// [34, serial, text or nil]: what the guest asked for.
    ClipboardData(Content),
}

impl ToGuest {
    /// Reads a message as [`super::Splitter`] gives it.
    ///
    /// # Errors
    /// [`MessageError`] if it is no message of a daemon.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (mut reader, kind, count) = Reader::open(bytes)?;
        let reader = &mut reader;
        let (values, read): (u32, Read<Self>) = match kind {
            WELCOME => (2, welcome),
            COMPLETE => (4, complete),
            KEY => (2, key),
            UNICODE => (1, |r| {
                let code = r.uint("character")?;
                let character = char::from_u32(code).ok_or_else(|| r.wrong("character"))?;
                Ok(Self::Unicode { character })
            }),
            POINTER => (4, pointer),
            RELATIVE => (4, relative),
            WHEEL => (3, wheel),
            LOCKS => (1, |r| Ok(Self::Locks { on: r.uint("on")? })),
            SIZE => (7, size),
            MICROPHONE_DATA => (2, |r| {
                let (rate, samples) = (r.uint("rate")?, samples(r)?);
                Ok(Self::MicrophoneData { rate, samples })
            }),
            CLIPBOARD_OFFER => (2, |r| offer(r).map(Self::ClipboardOffer)),
            CLIPBOARD_REQUEST => (1, |r| {
                let serial = r.uint("serial")?;
                Ok(Self::ClipboardRequest { serial })
            }),
            CLIPBOARD_DATA => (2, |r| content(r).map(Self::ClipboardData)),
            _ => return Err(MessageError::Kind(kind)),
        };
        reader.expect(count, values)?;
        read(reader)
    }

    /// Appends the message with its length.
    ///
    /// # Panics
    /// If the message is longer than its type may be: sound or a text that was not checked before.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin(out);
        match self {
            Self::Welcome { features } => put(out, WELCOME, &[super::VERSION as u32, features.0], 0),
            Self::Complete {
                head,
                serial,
                success,
                rate,
            } => put(out, COMPLETE, &[*head, *serial, (*success).into(), *rate], 0),
            Self::Key { qnum, down } => put(out, KEY, &[(*qnum).into(), (*down).into()], 0),
            Self::Unicode { character } => put(out, UNICODE, &[u32::from(*character)], 0),
            Self::Pointer { head, x, y, buttons } => put(out, POINTER, &[*head, *x, *y, *buttons], 0),
            Self::Relative { head, dx, dy, buttons } => {
                put(out, RELATIVE, &[*head], 3);
                msgpack::put_int(out, *dx);
                msgpack::put_int(out, *dy);
                msgpack::put_uint(out, u64::from(*buttons));
            }
            Self::Wheel {
                head,
                vertical,
                horizontal,
            } => {
                put(out, WHEEL, &[*head], 2);
                msgpack::put_int(out, *vertical);
                msgpack::put_int(out, *horizontal);
            }
            Self::Locks { on } => put(out, LOCKS, &[*on], 0),
            Self::Size {
                head,
                x,
                y,
                width,
                height,
                width_mm,
                height_mm,
            } => put(out, SIZE, &[*head, *x, *y, *width, *height, *width_mm, *height_mm], 0),
            Self::MicrophoneData { rate, samples } => {
                put(out, MICROPHONE_DATA, &[*rate], 1);
                msgpack::put_bytes(out, samples);
            }
            Self::ClipboardOffer(offer) => put_offer(out, *offer),
            Self::ClipboardRequest { serial } => put(out, CLIPBOARD_REQUEST, &[*serial], 0),
            Self::ClipboardData(content) => put_content(out, content),
        }
        end(out, start);
    }
}

fn welcome(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    version(r)?;
    let features = Features(r.uint("features")?);
    Ok(ToGuest::Welcome { features })
}

fn complete(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    Ok(ToGuest::Complete {
        head: head(r)?,
        serial: r.uint("serial")?,
        success: r.uint("success")? == 1,
        rate: r.uint("rate")?,
    })
}

fn key(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    let qnum = u8::try_from(r.uint("number")?).map_err(|_| r.wrong("number"))?;
    let down = r.uint("down")? == 1;
    Ok(ToGuest::Key { qnum, down })
}

fn pointer(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    Ok(ToGuest::Pointer {
        head: head(r)?,
        x: r.uint("x")?,
        y: r.uint("y")?,
        buttons: r.uint("buttons")?,
    })
}

fn relative(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    Ok(ToGuest::Relative {
        head: head(r)?,
        dx: r.signed("dx")?,
        dy: r.signed("dy")?,
        buttons: r.uint("buttons")?,
    })
}

fn wheel(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    Ok(ToGuest::Wheel {
        head: head(r)?,
        vertical: r.signed("vertical")?,
        horizontal: r.signed("horizontal")?,
    })
}

fn size(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    Ok(ToGuest::Size {
        head: head(r)?,
        x: r.uint("x")?,
        y: r.uint("y")?,
        width: r.uint("width")?,
        height: r.uint("height")?,
        width_mm: r.uint("width_mm")?,
        height_mm: r.uint("height_mm")?,
    })
}
