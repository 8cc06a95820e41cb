//! What a viewer sends after the handshake (RFB 7.5, QEMU's extended keys, ExtendedDesktopSize, the streams extension)
//! becomes events; what it can show is kept in [`Shown`]. Every length is judged before anything is kept.

use rdpmux_model::{Guest, Rect, Scancode, Size};

use crate::encode::{CURSOR, DESKTOP_SIZE, EXTENDED_DESKTOP_SIZE, QEMU_KEYS, RAW, ZRLE};
use crate::format::{FormatError, PixelFormat};
use crate::profile_2009;

/// What a viewer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It can take one more update.
    Request(Request),
    /// A key went down or up.
    Key {
        /// X11's name of what it means, see [`crate::keysym`].
        keysym: u32,
        /// Which key it is, if the viewer says it.
        scancode: Option<Scancode>,
        /// Down or up.
        down: bool,
    },
    /// The pointer is at a pixel, with these buttons down: bit 0 is the left one (RFB 7.5.5).
    Pointer {
        /// Buttons and wheels.
        buttons: u8,
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// It wants the desktop to have this size.
    Resize(Size),
    /// It can show something else than before: [`Viewer::shown`] tells.
    Shown,
    /// A piece of the streams' byte stream, whole chunks or parts of them.
    Streams(Vec<u8>),
    /// A message of 2009's profile.
    Devices(profile_2009::ToServer),
}

/// What is to be in the next update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Only what changed. Otherwise the viewer lost `rect`.
    pub is_incremental: bool,
    /// Which part; it may lie outside of the desktop.
    pub rect: Rect<Guest>,
}

/// What a viewer can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// How it wants pixels.
    pub format: PixelFormat,
    /// ZRLE rather than raw pixels.
    pub zrle: bool,
    /// It draws the pointer itself.
    pub cursor: bool,
    /// It follows a desktop whose size changes.
    pub size: bool,
    /// The same with screens, and it may ask for sizes.
    pub extended_size: bool,
    /// It can say which key was pressed.
    pub keys: bool,
    /// It takes streams.
    pub streams: bool,
    /// It takes streams as in 2009.
    pub devices: bool,
}

/// Number of the private pseudo-encoding for streams, "rdMX".
pub struct StreamsEncoding;

impl StreamsEncoding {
    /// Its number.
    pub const NUMBER: i32 = 0x7264_4D58;
    /// The message type of a chunk, both ways.
    pub const MESSAGE: u8 = 183;
    /// The most bytes of a chunk.
    pub const MOST: usize = 65_536;
}

/// What ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ViewerError {
    /// A message type that was not offered.
    #[error("message type {0} is not known")]
    Unknown(u8),
    /// A message of type 255 that was not offered.
    #[error("message type 255/{0} is not known")]
    UnknownQemu(u8),
    /// More than is ever needed.
    #[error("{what} of {length}")]
    TooMuch {
        /// What it was.
        what: &'static str,
        /// How long.
        length: u32,
    },
    /// A chunk of streams that is empty or of another version.
    #[error("a chunk of streams that cannot be")]
    Chunk,
    /// A pixel format that cannot be served.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The 2009 profile was broken.
    #[error(transparent)]
    Devices(#[from] profile_2009::ProfileError),
}

/// One viewer's side of the protocol.
#[derive(Debug)]
pub struct Viewer {
    shown: Shown,
    /// The pseudo-encoding by which a viewer asks for 2009's profile; `None`: it is not served.
    devices: Option<i32>,
    /// What the next bytes are, if they are no message.
    tail: Option<(Tail, usize)>,
}

#[derive(Debug, Clone, Copy)]
enum Tail {
    /// Text of a clipboard, which nobody takes.
    Skip,
    Streams,
}

/// Encodings that a viewer may name; the longest lists have some fifty.
const MOST_ENCODINGS: usize = 1024;
/// Bytes of a clipboard's text.
const MOST_TEXT: u32 = 1 << 20;

impl Viewer {
    /// A viewer that was sent ServerInit.
    pub fn new(devices: Option<i32>) -> Self {
        let shown = Shown {
            format: PixelFormat::BGRX,
            zrle: false,
            cursor: false,
            size: false,
            extended_size: false,
            keys: false,
            streams: false,
            devices: false,
        };
        Self {
            shown,
            devices,
            tail: None,
        }
    }

    /// What it can show now.
    pub fn shown(&self) -> Shown {
        self.shown
    }

    /// Takes bytes and appends what they mean; returns how many were used. What is left waits for its rest, less than
    /// 80 KiB.
    ///
    /// # Errors
    /// [`ViewerError`].
    pub fn feed(&mut self, input: &[u8], events: &mut Vec<Event>) -> Result<usize, ViewerError> {
        let mut used = 0;
        while used < input.len() {
            let count = match self.tail.take() {
                Some((tail, left)) => self.rest(tail, left, &input[used..], events),
                None => self.message(&input[used..], events)?,
            };
            if count == 0 {
                break;
            }
            used += count;
        }
        Ok(used)
    }

    fn rest(&mut self, tail: Tail, left: usize, input: &[u8], events: &mut Vec<Event>) -> usize {
        let count = left.min(input.len());
        if matches!(tail, Tail::Streams) {
            events.push(Event::Streams(input[..count].to_vec()));
        }
        self.tail = (left > count).then_some((tail, left - count));
        count
    }

    /// One message; 0 if it is not there yet.
    fn message(&mut self, input: &[u8], events: &mut Vec<Event>) -> Result<usize, ViewerError> {
        let word = |at: usize| {
            input
                .get(at..at + 2)
                .map_or(0, |wire| u16::from_be_bytes([wire[0], wire[1]]))
        };
        let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
        let is_here = |length: usize| input.len() >= length;
        let length = match input[0] {
            0 => 4 + PixelFormat::LENGTH,
            2 if !is_here(4) => 4,
            2 if usize::from(word(2)) > MOST_ENCODINGS => return Err(too_much("a list of encodings", word(2).into())),
            2 => 4 + 4 * usize::from(word(2)),
            3 => 10,
            4 | 6 | StreamsEncoding::MESSAGE => 8,
            5 => 6,
            251 if !is_here(8) => 8,
            251 => 8 + 16 * usize::from(input[6]),
            255 => return self.qemu(input, events),
            other => return Err(ViewerError::Unknown(other)),
        };
        let Some(message) = input.get(..length) else {
            return Ok(0);
        };
        match message[0] {
            0 => {
                let format = message[4..].try_into().unwrap_or(&[0; PixelFormat::LENGTH]);
                self.shown.format = PixelFormat::parse(format)?;
            }
            2 => {
                let (list, _) = message[4..].as_chunks();
                self.encodings(list.iter().map(|number| i32::from_be_bytes(*number)));
                events.push(Event::Shown);
            }
            3 => events.push(Event::Request(Request {
                is_incremental: message[1] != 0,
                rect: Rect::new(word(2).into(), word(4).into(), word(6).into(), word(8).into()),
            })),
            4 => events.push(Event::Key {
                keysym: long(4),
                scancode: None,
                down: message[1] != 0,
            }),
            5 => events.push(Event::Pointer {
                buttons: message[1],
                x: word(2),
                y: word(4),
            }),
            // A negative length is the extended clipboard's, which was not offered.
            6 if long(4) > MOST_TEXT => return Err(too_much("a clipboard's text", long(4))),
            6 => self.tail = follows(Tail::Skip, long(4)),
            251 => events.push(Event::Resize(Size::new(word(2).into(), word(4).into()))),
            _ => {
                let is_ours = self.shown.streams && message[1..4] == [1, 0, 0];
                if !is_ours || !(1..=StreamsEncoding::MOST as u32).contains(&long(4)) {
                    return Err(ViewerError::Chunk);
                }
                self.tail = follows(Tail::Streams, long(4));
            }
        }
        Ok(length)
    }

    /// Messages that QEMU has numbered: extended keys, and in 2009 streams.
    fn qemu(&mut self, input: &[u8], events: &mut Vec<Event>) -> Result<usize, ViewerError> {
        match input.get(1) {
            None => Ok(0),
            Some(0) if self.shown.keys => {
                let Some(message) = input.first_chunk::<12>() else {
                    return Ok(0);
                };
                let [_, _, _, down, a, b, c, d, e, f, g, h] = *message;
                events.push(Event::Key {
                    keysym: u32::from_be_bytes([a, b, c, d]),
                    scancode: scancode(u32::from_be_bytes([e, f, g, h])),
                    down: down != 0,
                });
                Ok(12)
            }
            Some(2) if self.shown.devices => match profile_2009::ToServer::decode(input)? {
                Some((message, used)) => {
                    events.push(Event::Devices(message));
                    Ok(used)
                }
                None => Ok(0),
            },
            Some(other) => Err(ViewerError::UnknownQemu(*other)),
        }
    }

    fn encodings(&mut self, list: impl Iterator<Item = i32>) {
        let mut pixels = None;
        let shown = &mut self.shown;
        (shown.cursor, shown.size, shown.extended_size) = (false, false, false);
        for number in list {
            match number {
                // The list is in the order of preference.
                RAW | ZRLE => pixels = pixels.or(Some(number)),
                CURSOR => shown.cursor = true,
                DESKTOP_SIZE => shown.size = true,
                EXTENDED_DESKTOP_SIZE => shown.extended_size = true,
                // What was confirmed once may be used for ever.
                QEMU_KEYS => shown.keys = true,
                StreamsEncoding::NUMBER => shown.streams = true,
                other if Some(other) == self.devices => shown.devices = true,
                _ => {}
            }
        }
        shown.zrle = pixels == Some(ZRLE);
    }
}

fn follows(tail: Tail, length: u32) -> Option<(Tail, usize)> {
    (length > 0).then_some((tail, length as usize))
}

fn too_much(what: &'static str, length: u32) -> ViewerError {
    ViewerError::TooMuch { what, length }
}

/// A key by QEMU's extended key event: XT codes, those after E0 with bit 7 (0xE0 before them is known too).
fn scancode(keycode: u32) -> Option<Scancode> {
    let (code, is_extended) = match keycode {
        0..=0x7F => (keycode, false),
        0x80..=0xFF => (keycode - 0x80, true),
        0xE000..=0xE07F => (keycode - 0xE000, true),
        _ => return None,
    };
    Scancode::new(u8::try_from(code).ok()?, is_extended)
}

/// Appends the confirmation of the streams extension: one empty rectangle in an update of its own.
pub fn confirm_streams(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    crate::encode::rectangle([0; 4], StreamsEncoding::NUMBER, out);
}

/// Appends a piece of the streams' byte stream as chunks.
pub fn stream_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(StreamsEncoding::MOST) {
        out.extend_from_slice(&[StreamsEncoding::MESSAGE, 1, 0, 0]);
        out.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
        out.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encodings(list: &[i32]) -> Vec<u8> {
        let mut out = vec![2, 0];
        out.extend((list.len() as u16).to_be_bytes());
        out.extend(list.iter().flat_map(|number| number.to_be_bytes()));
        out
    }

    /// Events of bytes given in pieces of `size`.
    fn events(viewer: &mut Viewer, bytes: &[u8], size: usize) -> Result<Vec<Event>, ViewerError> {
        let (mut held, mut events) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            held.extend_from_slice(piece);
            let used = viewer.feed(&held, &mut events)?;
            held.drain(..used);
        }
        Ok(events)
    }

    #[test]
    fn messages_become_events_however_they_are_cut() {
        let mut bytes = encodings(&[16, 0, -239, -258, StreamsEncoding::NUMBER]);
        bytes.extend([3, 1, 0, 1, 0, 2, 0, 3, 0, 4]);
        bytes.extend([4, 1, 0, 0, 0, 0, 0xFF, 0x0D]);
        bytes.extend([5, 9, 1, 0, 0, 7]);
        bytes.extend([6, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3]);
        bytes.extend([255, 0, 0, 1, 0, 0, 0, 0x61, 0, 0, 0, 0x9D]);
        bytes.extend([183, 1, 0, 0, 0, 0, 0, 2, 8, 9]);
        bytes.extend([251, 0, 3, 32, 2, 88, 1, 0]);
        bytes.extend([0; 16]);
        for size in [1, 3, 1000] {
            let mut viewer = Viewer::new(None);
            let mut found = events(&mut viewer, &bytes, size).expect("good messages");
            let chunks: Vec<u8> = found
                .extract_if(.., |event| matches!(event, Event::Streams(_)))
                .flat_map(|event| match event {
                    Event::Streams(bytes) => bytes,
                    _ => Vec::new(),
                })
                .collect();
            assert_eq!(chunks, [8, 9]);
            let key = |keysym, scancode| Event::Key {
                keysym,
                scancode,
                down: true,
            };
            let wanted = [
                Event::Shown,
                Event::Request(Request {
                    is_incremental: true,
                    rect: Rect::new(1, 2, 3, 4),
                }),
                key(0xFF0D, None),
                Event::Pointer {
                    buttons: 9,
                    x: 256,
                    y: 7,
                },
                key(0x61, Scancode::new(0x1D, true)),
                Event::Resize(Size::new(800, 600)),
            ];
            assert_eq!(found, wanted);
            let shown = viewer.shown();
            assert!(shown.zrle && shown.cursor && shown.keys && shown.streams && !shown.size && !shown.devices);
        }
    }

    #[test]
    fn what_is_too_much_or_was_not_offered_ends_the_connection() {
        let chunk = |length: u32| {
            let mut bytes = encodings(&[StreamsEncoding::NUMBER]);
            bytes.extend([183, 1, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes
        };
        let qemu_next = vec![255, 2, 0, 0];
        for (bytes, error) in [
            (
                vec![6, 0, 0, 0, 0, 0x20, 0, 0],
                too_much("a clipboard's text", 0x20_0000),
            ),
            (
                vec![6, 0, 0, 0, 255, 255, 255, 255],
                too_much("a clipboard's text", u32::MAX),
            ),
            (vec![2, 0, 4, 1], too_much("a list of encodings", 1025)),
            (vec![255, 1, 0, 0], ViewerError::UnknownQemu(1)),
            (qemu_next, ViewerError::UnknownQemu(2)),
            (vec![183, 1, 0, 0, 0, 0, 0, 1], ViewerError::Chunk),
            (chunk(0), ViewerError::Chunk),
            (chunk(65_537), ViewerError::Chunk),
            (vec![150, 0], ViewerError::Unknown(150)),
        ] {
            assert_eq!(events(&mut Viewer::new(None), &bytes, 1000), Err(error), "{bytes:?}");
        }
        assert!(events(&mut Viewer::new(None), &chunk(65_536), 7).is_ok());
    }

    #[test]
    fn a_chunk_is_written_as_it_is_read() {
        let mut viewer = Viewer::new(None);
        let mut bytes = encodings(&[StreamsEncoding::NUMBER]);
        let sent: Vec<u8> = (0..100_000u32).map(|at| at as u8).collect();
        stream_chunk(&sent, &mut bytes);
        assert_eq!(bytes.len(), 8 + 2 * 8 + sent.len());
        let read: Vec<u8> = events(&mut viewer, &bytes, 5000)
            .expect("chunks")
            .into_iter()
            .flat_map(|event| match event {
                Event::Streams(bytes) => bytes,
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(read, sent);
        let mut out = Vec::new();
        confirm_streams(&mut out);
        assert_eq!(out, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x72, 0x64, 0x4D, 0x58]);
    }
}
