//! What a client says.

use crate::error::WireError;
use crate::fields::{End, Reader};
use crate::frame::{Frame, MIN_PAYLOAD};
use crate::text::Text;
use crate::words::{Mode, Replay, Wish};

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToServer<'a> {
    /// The first message.
    Hello {
        /// [`crate::MAJOR`].
        major: u16,
        /// [`crate::MINOR`].
        minor: u16,
        /// What the client can do; no bit has a meaning yet.
        caps: u32,
        /// Longest payload in bytes that it takes, [`MIN_PAYLOAD`] at least.
        max_frame: u32,
        /// What it calls itself.
        client: Text<'a>,
        /// The machine; empty where the carrier says which.
        vm: Text<'a>,
    },
    /// Asks for the list of streams.
    List {
        /// And for its changes from then on.
        follow: bool,
    },
    /// Opens a stream.
    Open {
        /// The client's number for this request, in its answer.
        request: u32,
        /// What is wanted.
        mode: Mode,
        /// Old output that is wanted.
        replay: Replay,
        /// Bytes of output that may be sent at first.
        credit: u32,
        /// The stream's name, not empty.
        name: Text<'a>,
    },
    /// Closes a stream; output may come until CLOSED.
    Close {
        /// Which.
        stream: u16,
    },
    /// Input for the device.
    Data {
        /// Which stream.
        stream: u16,
        /// As many as were granted at most.
        bytes: &'a [u8],
    },
    /// Grants output.
    Credit {
        /// Which stream.
        stream: u16,
        /// So many bytes more.
        add: u32,
    },
    /// Asks for the right to write, or gives it back.
    Writer {
        /// Which stream.
        stream: u16,
        /// What is wanted.
        wish: Wish,
    },
    /// Sends a break.
    Break {
        /// Which stream.
        stream: u16,
        /// Its length in ms; 0: the usual one.
        ms: u16,
    },
    /// How large the writer's terminal is.
    Size {
        /// Which stream.
        stream: u16,
        /// Columns, 20 to 500.
        columns: u16,
        /// Rows, 5 to 200.
        rows: u16,
    },
    /// Asks for old output without opening the stream.
    History {
        /// The client's number for this request, in its answers.
        request: u32,
        /// Offset of the first byte.
        from: u64,
        /// Bytes at most, 1 MiB.
        max: u32,
        /// The stream's name, not empty.
        name: Text<'a>,
    },
    /// Asks for a PONG.
    Ping(u64),
    /// Answers a PING, with its value.
    Pong(u64),
}

/// Longest answer to [`ToServer::History`] in bytes.
pub const MAX_HISTORY: u32 = 1 << 20;
/// Least and largest columns and rows of a terminal.
const COLUMNS: std::ops::RangeInclusive<u16> = 20..=500;
const ROWS: std::ops::RangeInclusive<u16> = 5..=200;

const HELLO: u8 = 0x01;
const LIST: u8 = 0x02;
const OPEN: u8 = 0x03;
const CLOSE: u8 = 0x04;
const DATA: u8 = 0x05;
const CREDIT: u8 = 0x06;
const WRITER: u8 = 0x07;
const BREAK: u8 = 0x08;
const SIZE: u8 = 0x09;
const HISTORY: u8 = 0x0a;
/// Both directions.
pub(crate) const PING: u8 = 0x0f;
/// Both directions.
pub(crate) const PONG: u8 = 0x8f;

impl<'a> ToServer<'a> {
    /// Reads a frame. `None`: a message of a later version that asks nothing.
    ///
    /// # Errors
    /// [`WireError::Malformed`], [`WireError::Unknown`].
    pub fn decode(frame: &Frame<'a>) -> Result<Option<Self>, WireError> {
        let malformed = WireError::Malformed(frame.kind);
        let is_known = matches!(frame.kind, HELLO..=HISTORY | PING | PONG);
        if !is_known {
            return if frame.may_be_ignored() {
                Ok(None)
            } else {
                Err(WireError::Unknown(frame.kind))
            };
        }
        let is_of_stream = matches!(frame.kind, CLOSE | DATA | CREDIT | WRITER | BREAK | SIZE);
        if is_of_stream != (frame.stream != 0) {
            return Err(malformed);
        }
        Self::read(frame.kind, frame.stream, Reader(frame.payload))
            .map(Some)
            .ok_or(malformed)
    }

    fn read(kind: u8, stream: u16, mut from: Reader<'a>) -> Option<Self> {
        Some(match kind {
            HELLO => Self::Hello {
                major: from.u16()?,
                minor: from.u16()?,
                caps: from.u32()?,
                max_frame: from.u32().filter(|bytes| *bytes >= MIN_PAYLOAD)?,
                client: from.text()?,
                vm: from.text()?,
            },
            LIST => Self::List {
                follow: flag(from.u8()?)?,
            },
            OPEN => Self::read_open(from)?,
            CLOSE => Self::Close { stream },
            DATA => Self::Data {
                stream,
                bytes: from.rest(),
            },
            CREDIT => Self::Credit {
                stream,
                add: from.u32()?,
            },
            WRITER => Self::Writer {
                stream,
                wish: Wish::from_byte(from.u8()?)?,
            },
            BREAK => Self::Break {
                stream,
                ms: from.u16()?,
            },
            SIZE => Self::Size {
                stream,
                columns: from.u16().filter(|columns| COLUMNS.contains(columns))?,
                rows: from.u16().filter(|rows| ROWS.contains(rows))?,
            },
            HISTORY => Self::History {
                request: from.u32()?,
                from: from.u64()?,
                max: from.u32().filter(|max| *max <= MAX_HISTORY)?,
                name: from.name()?,
            },
            PING => Self::Ping(from.u64()?),
            _ => Self::Pong(from.u64()?),
        })
    }

    fn read_open(mut from: Reader<'a>) -> Option<Self> {
        let request = from.u32()?;
        let mode = Mode::from_byte(from.u8()?)?;
        let replay = from.u8()?;
        from.u16()?;
        let amount = from.u64()?;
        Some(Self::Open {
            request,
            mode,
            replay: match replay {
                0 => Replay::None,
                1 => Replay::Last(amount),
                2 => Replay::From(amount),
                _ => return None,
            },
            credit: from.u32()?,
            name: from.name()?,
        })
    }

    /// Appends the message as a frame. [`ToServer::Data`] has to fit into what was agreed.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let end = End(out);
        let frame = match self {
            Self::Hello {
                major,
                minor,
                caps,
                max_frame,
                client,
                vm,
            } => {
                let frame = end
                    .frame(HELLO, 0, 0)
                    .u16(*major)
                    .u16(*minor)
                    .u32(*caps)
                    .u32(*max_frame);
                frame.text(client).text(vm)
            }
            Self::List { follow } => end.frame(LIST, 0, 0).u8(u8::from(*follow)),
            Self::Open {
                request,
                mode,
                replay,
                credit,
                name,
            } => {
                let (replay, amount) = match replay {
                    Replay::None => (0, 0),
                    Replay::Last(bytes) => (1, *bytes),
                    Replay::From(offset) => (2, *offset),
                };
                let frame = end.frame(OPEN, 0, 0).u32(*request).u8(*mode as u8).u8(replay).u16(0);
                frame.u64(amount).u32(*credit).text(name)
            }
            Self::Close { stream } => end.frame(CLOSE, 0, *stream),
            Self::Data { stream, bytes } => end.frame(DATA, 0, *stream).bytes(bytes),
            Self::Credit { stream, add } => end.frame(CREDIT, 0, *stream).u32(*add),
            Self::Writer { stream, wish } => end.frame(WRITER, 0, *stream).u8(*wish as u8),
            Self::Break { stream, ms } => end.frame(BREAK, 0, *stream).u16(*ms),
            Self::Size { stream, columns, rows } => end.frame(SIZE, 0, *stream).u16(*columns).u16(*rows),
            Self::History {
                request,
                from,
                max,
                name,
            } => end.frame(HISTORY, 0, 0).u32(*request).u64(*from).u32(*max).text(name),
            Self::Ping(value) => end.frame(PING, 0, 0).u64(*value),
            Self::Pong(value) => end.frame(PONG, 0, 0).u64(*value),
        };
        frame.end();
    }
}

/// A byte that is 0 or 1.
pub(crate) fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
