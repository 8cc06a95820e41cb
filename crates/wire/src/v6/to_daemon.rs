//! What hypervisors say.

use super::fields::{
    CLIPBOARD_DATA, CLIPBOARD_OFFER, CLIPBOARD_REQUEST, CURSOR, Content, HEAD_GONE, HELLO, LEDS, MOUSE_MODE, Offer,
    RECORDING, Read, SHUTDOWN, SOUND_DATA, SOUND_FORMAT, SOUND_VOLUME, SURFACE, UPDATE, begin, content, end, head,
    offer, put, put_array, put_content, put_offer, samples, short, version,
};
use super::{CURSOR_EDGE, Features, RECTANGLES};
use crate::Uuid36;
use crate::msgpack::{self, MessageError, Reader};

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
        /// Comes back in [`ToGuest::Complete`](super::ToGuest::Complete); counts up, and wraps.
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
    /// `[27]`: the machine goes away.
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

impl ToDaemon {
    /// Reads a message as [`super::Splitter`] gives it.
    ///
    /// # Errors
    /// [`MessageError`] if it is no message of a hypervisor.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (mut reader, kind, count) = Reader::open(bytes)?;
        let reader = &mut reader;
        let (values, read): (u32, Read<Self>) = match kind {
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

fn hello(r: &mut Reader<'_>) -> Result<ToDaemon, MessageError> {
    version(r)?;
    let uuid = Uuid36::from_bytes(r.bytes("uuid")?).map_err(|_| r.wrong("uuid"))?;
    let features = Features(r.uint("features")?);
    Ok(ToDaemon::Hello { uuid, features })
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
    if count < 6 || !edges.is_multiple_of(4) || edges / 4 > RECTANGLES {
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
