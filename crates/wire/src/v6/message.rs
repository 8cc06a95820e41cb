//! The messages of protocol 6, both directions, read and written. Types go from 16 on, so that no message of protocol 5
//! can be taken for one.

use super::{CURSOR_EDGE, Features, HEADS, LONG, RECTANGLES, SHORT};
use crate::Uuid36;
use crate::msgpack::{self, MessageError, Reader};

const HELLO: u32 = 16;
const SURFACE: u32 = 17;
const UPDATE: u32 = 18;
const CURSOR: u32 = 19;
const LEDS: u32 = 20;
const MOUSE_MODE: u32 = 21;
const HEAD_GONE: u32 = 22;
const SOUND_FORMAT: u32 = 23;
const SOUND_DATA: u32 = 24;
const SOUND_VOLUME: u32 = 25;
const RECORDING: u32 = 26;
const SHUTDOWN: u32 = 27;
const CLIPBOARD_OFFER: u32 = 32;
const CLIPBOARD_REQUEST: u32 = 33;
const CLIPBOARD_DATA: u32 = 34;
const WELCOME: u32 = 48;
const COMPLETE: u32 = 49;
const KEY: u32 = 50;
const UNICODE: u32 = 51;
const POINTER: u32 = 52;
const RELATIVE: u32 = 53;
const WHEEL: u32 = 54;
const LOCKS: u32 = 55;
const SIZE: u32 = 56;
const MICROPHONE_DATA: u32 = 57;

/// Bytes that a message of this type may have.
pub(super) fn longest(kind: u32) -> u64 {
    match kind {
        CURSOR | CLIPBOARD_DATA => LONG,
        _ => SHORT,
    }
}

/// A message of a hypervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToDaemon {
    /// [16, 6, uuid, features]: who it is. First, and once.
    Hello {
        /// The machine, as registered.
        uuid: Uuid36,
        /// What the hypervisor can take.
        features: Features,
    },
    /// [17, head, format, width, height, stride, offset, size], with a descriptor: the head's picture is in this memory
    /// file from now on, and all of it is there. A head that was not known appears.
    Surface {
        /// Number of the head, from 0.
        head: u32,
        /// Pixman's code, see [`crate::format`].
        format: u32,
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes from row to row.
        stride: u32,
        /// Byte of the file at which the first row starts.
        offset: u64,
        /// Bytes of the file that may be read, from `offset` on.
        size: u64,
    },
    /// [18, head, serial, x, y, width, height, …]: these rectangles changed; 1 to [`RECTANGLES`] of them.
    Update {
        /// Number of the head.
        head: u32,
        /// Comes back in [`ToGuest::Complete`]; counts up, and wraps.
        serial: u32,
        /// Left, top, width, height in pixels.
        rectangles: Vec<[u32; 4]>,
    },
    /// [19, head, width, height, hot x, hot y, pixels]: the pointer's picture; 0 × 0 hides it.
    Cursor {
        /// Number of the head.
        head: u32,
        /// Pixels per row, [`CURSOR_EDGE`] at most.
        width: u32,
        /// Rows.
        height: u32,
        /// The pixel that points.
        hot_x: u32,
        /// Its row.
        hot_y: u32,
        /// B, G, R, A bytes, not premultiplied, top row first.
        bgra: Vec<u8>,
    },
    /// [20, bits]: the keyboard's lights, see [`super::lock`].
    Leds {
        /// Those that are lit.
        lit: u32,
    },
    /// [21, absolute]: how the guest takes motion. Before the first, it takes positions.
    MouseMode {
        /// Positions; otherwise deltas.
        absolute: bool,
    },
    /// [22, head]: a head is gone; 0 stays.
    HeadGone {
        /// Its number.
        head: u32,
    },
    /// [23, rate]: what the machine plays from now on has so many frames per second, 8,000 to 192,000.
    SoundFormat {
        /// Frames per second.
        rate: u32,
    },
    /// [24, samples]: 16 bits, little-endian, left and right in turn.
    SoundData {
        /// An even number of samples.
        samples: Vec<u8>,
    },
    /// [25, left, right]: the guest's volume, 65,535 being full.
    SoundVolume {
        /// Of the left channel.
        left: u16,
        /// Of the right channel.
        right: u16,
    },
    /// [26, rate]: the machine records at so many frames per second, or at 0 not any more.
    Recording {
        /// Frames per second.
        rate: u32,
    },
    /// [27]: the machine goes away.
    Shutdown,
    /// [32, serial, has text]: the guest copied something.
    ClipboardOffer(Offer),
    /// [33, serial]: the guest pastes what the daemon offered.
    ClipboardRequest {
        /// Of the daemon's offer.
        serial: u32,
    },
    /// [34, serial, text or nil]: what the daemon asked for.
    ClipboardData(Content),
}

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
    /// [57, rate, samples]: what a viewer says, as [`ToDaemon::SoundData`].
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

/// Something was copied; the newest offer is the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Each side counts its own, from 1.
    pub serial: u32,
    /// It can be had as text; otherwise the clipboard is empty, or has nothing that can be had.
    pub has_text: bool,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Of the offer that it was asked by.
    pub serial: u32,
    /// UTF-8, `\n` at the ends of lines; `None`: it cannot be had.
    pub text: Option<String>,
}

impl ToDaemon {
    /// Reads a message as [`super::Splitter`] gives it.
    ///
    /// # Errors
    /// [`MessageError`] if it is no message of a hypervisor.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (mut reader, kind, count) = Reader::open(bytes)?;
        let reader = &mut reader;
        let (values, read): (u32, fn(&mut Reader<'_>) -> Result<Self, MessageError>) = match kind {
            HELLO => (3, hello),
            SURFACE => (7, surface),
            UPDATE => return update(reader, count),
            CURSOR => (6, cursor),
            LEDS => (1, |r| Ok(Self::Leds { lit: r.uint("lit")? })),
            MOUSE_MODE => (1, |r| {
                let absolute = r.truth("absolute")?;
                Ok(Self::MouseMode { absolute })
            }),
            HEAD_GONE => (1, |r| Ok(Self::HeadGone { head: head(r)? })),
            SOUND_FORMAT => (1, |r| Ok(Self::SoundFormat { rate: r.uint("rate")? })),
            SOUND_DATA => (1, |r| Ok(Self::SoundData { samples: samples(r)? })),
            SOUND_VOLUME => (2, |r| {
                let (left, right) = (short(r, "left")?, short(r, "right")?);
                Ok(Self::SoundVolume { left, right })
            }),
            RECORDING => (1, |r| Ok(Self::Recording { rate: r.uint("rate")? })),
            SHUTDOWN => (0, |_| Ok(Self::Shutdown)),
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

    /// Descriptors that travel with the message.
    pub fn descriptors(&self) -> usize {
        usize::from(matches!(self, Self::Surface { .. }))
    }

    /// Appends the message with its length.
    ///
    /// # Panics
    /// If the message is longer than its type may be: a picture of a pointer or a text that was not checked before.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin(out);
        match self {
            Self::Hello { uuid, features } => {
                put_array(out, HELLO, 3);
                msgpack::put_uint(out, super::VERSION as u64);
                msgpack::put_text(out, uuid.as_str());
                msgpack::put_uint(out, features.0.into());
            }
            Self::Surface {
                head,
                format,
                width,
                height,
                stride,
                offset,
                size,
            } => {
                put(out, SURFACE, &[*head, *format, *width, *height, *stride], 2);
                msgpack::put_uint(out, *offset);
                msgpack::put_uint(out, *size);
            }
            Self::Update {
                head,
                serial,
                rectangles,
            } => {
                put(out, UPDATE, &[*head, *serial], rectangles.len() * 4);
                for edge in rectangles.as_flattened() {
                    msgpack::put_uint(out, u64::from(*edge));
                }
            }
            Self::Cursor {
                head,
                width,
                height,
                hot_x,
                hot_y,
                bgra,
            } => {
                put(out, CURSOR, &[*head, *width, *height, *hot_x, *hot_y], 1);
                msgpack::put_bytes(out, bgra);
            }
            Self::Leds { lit } => put(out, LEDS, &[*lit], 0),
            Self::MouseMode { absolute } => {
                put_array(out, MOUSE_MODE, 1);
                msgpack::put_truth(out, *absolute);
            }
            Self::HeadGone { head } => put(out, HEAD_GONE, &[*head], 0),
            Self::SoundFormat { rate } => put(out, SOUND_FORMAT, &[*rate], 0),
            Self::SoundData { samples } => {
                put_array(out, SOUND_DATA, 1);
                msgpack::put_bytes(out, samples);
            }
            Self::SoundVolume { left, right } => put(out, SOUND_VOLUME, &[(*left).into(), (*right).into()], 0),
            Self::Recording { rate } => put(out, RECORDING, &[*rate], 0),
            Self::Shutdown => put(out, SHUTDOWN, &[], 0),
            Self::ClipboardOffer(offer) => put_offer(out, *offer),
            Self::ClipboardRequest { serial } => put(out, CLIPBOARD_REQUEST, &[*serial], 0),
            Self::ClipboardData(content) => put_content(out, content),
        }
        end(out, start);
    }
}

impl ToGuest {
    /// Reads a message as [`super::Splitter`] gives it.
    ///
    /// # Errors
    /// [`MessageError`] if it is no message of a daemon.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (mut reader, kind, count) = Reader::open(bytes)?;
        let reader = &mut reader;
        let (values, read): (u32, fn(&mut Reader<'_>) -> Result<Self, MessageError>) = match kind {
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

fn hello(r: &mut Reader<'_>) -> Result<ToDaemon, MessageError> {
    version(r)?;
    let uuid = Uuid36::from_bytes(r.bytes("uuid")?).map_err(|_| r.wrong("uuid"))?;
    let features = Features(r.uint("features")?);
    Ok(ToDaemon::Hello { uuid, features })
}

fn welcome(r: &mut Reader<'_>) -> Result<ToGuest, MessageError> {
    version(r)?;
    let features = Features(r.uint("features")?);
    Ok(ToGuest::Welcome { features })
}

fn version(r: &mut Reader<'_>) -> Result<(), MessageError> {
    match r.uint("version")? {
        version if version == super::VERSION as u32 => Ok(()),
        _ => Err(r.wrong("version")),
    }
}

fn surface(r: &mut Reader<'_>) -> Result<ToDaemon, MessageError> {
    Ok(ToDaemon::Surface {
        head: head(r)?,
        format: r.uint("format")?,
        width: r.uint("width")?,
        height: r.uint("height")?,
        stride: r.uint("stride")?,
        offset: r.long("offset")?,
        size: r.long("size")?,
    })
}

fn update(r: &mut Reader<'_>, count: u32) -> Result<ToDaemon, MessageError> {
    let edges = count.saturating_sub(2) as usize;
    if count < 6 || edges % 4 != 0 || edges / 4 > RECTANGLES {
        return Err(MessageError::Count {
            kind: UPDATE,
            given: count.saturating_add(1),
        });
    }
    let (head, serial) = (head(r)?, r.uint("serial")?);
    let mut rectangles = Vec::with_capacity(edges / 4);
    for _ in 0..edges / 4 {
        let x = r.uint("x")?;
        let y = r.uint("y")?;
        rectangles.push([x, y, r.uint("width")?, r.uint("height")?]);
    }
    Ok(ToDaemon::Update {
        head,
        serial,
        rectangles,
    })
}

fn cursor(r: &mut Reader<'_>) -> Result<ToDaemon, MessageError> {
    let head = head(r)?;
    let (width, height) = (r.uint("width")?, r.uint("height")?);
    let (hot_x, hot_y) = (r.uint("hot x")?, r.uint("hot y")?);
    let bgra = r.bytes("pixels")?;
    let is_size = width <= CURSOR_EDGE && height <= CURSOR_EDGE && (width == 0) == (height == 0);
    if !is_size || bgra.len() as u64 != u64::from(width) * u64::from(height) * 4 {
        return Err(r.wrong("pixels"));
    }
    Ok(ToDaemon::Cursor {
        head,
        width,
        height,
        hot_x,
        hot_y,
        bgra: bgra.to_vec(),
    })
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

fn head(r: &mut Reader<'_>) -> Result<u32, MessageError> {
    match r.uint("head")? {
        head if head < HEADS => Ok(head),
        _ => Err(r.wrong("head")),
    }
}

fn short(r: &mut Reader<'_>, field: &'static str) -> Result<u16, MessageError> {
    u16::try_from(r.uint(field)?).map_err(|_| r.wrong(field))
}

/// Whole frames of two channels of 16 bits.
fn samples(r: &mut Reader<'_>) -> Result<Vec<u8>, MessageError> {
    let bytes = r.bytes("samples")?;
    if bytes.len() % 4 != 0 {
        return Err(r.wrong("samples"));
    }
    Ok(bytes.to_vec())
}

fn offer(r: &mut Reader<'_>) -> Result<Offer, MessageError> {
    Ok(Offer {
        serial: r.uint("serial")?,
        has_text: r.truth("has text")?,
    })
}

fn content(r: &mut Reader<'_>) -> Result<Content, MessageError> {
    let serial = r.uint("serial")?;
    let text = match r.nil() {
        true => None,
        false => Some(r.text("text")?.to_owned()),
    };
    Ok(Content { serial, text })
}

fn put_offer(out: &mut Vec<u8>, offer: Offer) {
    put(out, CLIPBOARD_OFFER, &[offer.serial], 1);
    msgpack::put_truth(out, offer.has_text);
}

fn put_content(out: &mut Vec<u8>, content: &Content) {
    put(out, CLIPBOARD_DATA, &[content.serial], 1);
    match &content.text {
        Some(text) => msgpack::put_text(out, text),
        None => msgpack::put_nil(out),
    }
}

fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

fn end(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    assert!(
        u64::from(length) <= LONG,
        "a message of {length} bytes is longer than any may be"
    );
    out[start - 4..start].copy_from_slice(&length.to_le_bytes());
}

/// The array's start and the type; `values` follow.
fn put_array(out: &mut Vec<u8>, kind: u32, values: usize) {
    msgpack::put_array(out, values + 1);
    msgpack::put_uint(out, u64::from(kind));
}

/// The same with integers; `more` values follow.
fn put(out: &mut Vec<u8>, kind: u32, values: &[u32], more: usize) {
    put_array(out, kind, values.len() + more);
    for value in values {
        msgpack::put_uint(out, u64::from(*value));
    }
}
