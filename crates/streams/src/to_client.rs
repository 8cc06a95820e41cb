//! What the daemon says.

use crate::error::{ErrorCode, WireError};
use crate::fields::{End, Reader, Writer as Fields};
use crate::frame::{Frame, MIN_PAYLOAD};
use crate::text::Text;
use crate::to_server::{PING, PONG, flag};
use crate::words::{Event, GapCause, Kind, Mode, Removal, Rights, State, Writer};

/// A stream in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The daemon's number for it, until REMOVED.
    pub key: u32,
    /// What it is.
    pub kind: Kind,
    /// What this client may do with it.
    pub rights: Rights,
    /// How it is.
    pub state: State,
    /// Bytes of output so far: the offset of the next one.
    pub total: u64,
    /// From this offset on all output is kept. What came first is kept, too.
    pub oldest: u64,
    /// Clients that have it open.
    pub watchers: u16,
    /// Columns and rows of the writer's terminal; 0, 0: unknown.
    pub size: (u16, u16),
    /// By which it is opened, not empty.
    pub name: Text<'a>,
    /// For people.
    pub title: Text<'a>,
    /// Who writes; empty: nobody.
    pub writer: Text<'a>,
}

/// One message of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToClient<'a> {
    /// Answers HELLO.
    Welcome {
        /// [`crate::MAJOR`].
        major: u16,
        /// [`crate::MINOR`].
        minor: u16,
        /// What the daemon can do; no bit has a meaning yet.
        caps: u32,
        /// Longest payload in bytes from now on, both ways; [`MIN_PAYLOAD`] at least.
        max_frame: u32,
        /// Streams that may be open at once.
        max_open: u16,
        /// Number of this connection.
        session: [u8; 16],
        /// The machine.
        vm: Text<'a>,
        /// As whom the client acts.
        principal: Text<'a>,
    },
    /// A stream is there.
    Added(Entry<'a>),
    /// Something of it is different now.
    Changed(Entry<'a>),
    /// A stream is gone.
    Removed {
        /// Its number.
        key: u32,
        /// Why.
        why: Removal,
    },
    /// The list is complete.
    ListEnd {
        /// Streams in it.
        count: u32,
    },
    /// A stream is open.
    Opened {
        /// Its number from now on, not 0.
        stream: u16,
        /// Of OPEN.
        request: u32,
        /// What was got: [`Mode::Watch`] if somebody else writes.
        mode: Mode,
        /// Columns and rows of the writer's terminal; 0, 0: unknown.
        size: (u16, u16),
        /// Offset of the next byte of output, replayed ones counted.
        offset: u64,
        /// Bytes of input that may be sent at first.
        credit: u32,
    },
    /// OPEN or HISTORY failed.
    Failed {
        /// Of the request.
        request: u32,
        /// Why.
        code: ErrorCode,
        /// For people.
        text: Text<'a>,
    },
    /// A stream is closed.
    Closed {
        /// Which.
        stream: u16,
        /// Why; `None`: the client wanted it.
        code: Option<ErrorCode>,
        /// Offset after its last output.
        offset: u64,
        /// For people.
        text: Text<'a>,
    },
    /// Output.
    Data {
        /// Which stream.
        stream: u16,
        /// It is old: queries in it are not to be answered.
        is_replay: bool,
        /// Offset of the first byte.
        offset: u64,
        /// The output.
        bytes: &'a [u8],
    },
    /// Grants input.
    Credit {
        /// Which stream.
        stream: u16,
        /// So many bytes more.
        add: u32,
    },
    /// Who writes.
    Writer {
        /// Which stream.
        stream: u16,
        /// Who, as seen from this client.
        writer: Writer,
        /// Its name.
        who: Text<'a>,
    },
    /// Output is missing.
    Gap {
        /// Which stream.
        stream: u16,
        /// Offset of the first missing byte.
        from: u64,
        /// Offset of the next one that there is.
        to: u64,
        /// Why.
        why: GapCause,
    },
    /// Something happened to a stream.
    Event {
        /// Which.
        stream: u16,
        /// What.
        what: Event,
        /// When, in ms since 1970.
        at: u64,
    },
    /// A piece of the answer to HISTORY.
    History {
        /// Of the request.
        request: u32,
        /// Offset of the first byte; before the offset that was asked for, nothing is kept.
        from: u64,
        /// The last piece.
        is_last: bool,
        /// The output.
        bytes: &'a [u8],
    },
    /// Asks for a PONG.
    Ping(u64),
    /// Answers a PING, with its value.
    Pong(u64),
    /// The connection ends.
    Error {
        /// Why.
        code: ErrorCode,
        /// For people.
        text: Text<'a>,
    },
}

const WELCOME: u8 = 0x81;
const ADDED: u8 = 0x82;
const REMOVED: u8 = 0x83;
const CHANGED: u8 = 0x84;
const LIST_END: u8 = 0x85;
const OPENED: u8 = 0x86;
const FAILED: u8 = 0x87;
const CLOSED: u8 = 0x88;
const DATA: u8 = 0x89;
const CREDIT: u8 = 0x8a;
const WRITER: u8 = 0x8b;
const GAP: u8 = 0x8c;
const EVENT: u8 = 0x8d;
const HISTORY: u8 = 0x8e;
const ERROR: u8 = 0xff;
/// Flag of DATA.
const REPLAY: u8 = 1;

impl<'a> ToClient<'a> {
    /// Bytes of a payload of [`ToClient::Data`] and [`ToClient::History`] that are not output, at most.
    pub const OVERHEAD: usize = 13;

    /// Reads a frame. `None`: a message of a later version that asks nothing.
    ///
    /// # Errors
    /// [`WireError::Malformed`], [`WireError::Unknown`].
    pub fn decode(frame: &Frame<'a>) -> Result<Option<Self>, WireError> {
        let malformed = WireError::Malformed(frame.kind);
        let is_known = matches!(frame.kind, WELCOME..=HISTORY | PING | PONG | ERROR);
        if !is_known {
            return if frame.may_be_ignored() {
                Ok(None)
            } else {
                Err(WireError::Unknown(frame.kind))
            };
        }
        let is_of_stream = matches!(frame.kind, OPENED | CLOSED | DATA | CREDIT | WRITER | GAP | EVENT);
        if is_of_stream != (frame.stream != 0) {
            return Err(malformed);
        }
        let from = Reader(frame.payload);
        let message = if is_of_stream {
            Self::read_of_stream(frame, from)
        } else {
            Self::read(frame.kind, from)
        };
        message.map(Some).ok_or(malformed)
    }

    fn read(kind: u8, mut from: Reader<'a>) -> Option<Self> {
        Some(match kind {
            WELCOME => Self::read_welcome(from)?,
            ADDED => Self::Added(Entry::read(from)?),
            CHANGED => Self::Changed(Entry::read(from)?),
            REMOVED => Self::Removed {
                key: from.u32()?,
                why: Removal::from_byte(from.u8()?)?,
            },
            LIST_END => Self::ListEnd { count: from.u32()? },
            FAILED => Self::Failed {
                request: from.u32()?,
                code: ErrorCode::from_number(from.u16()?)?,
                text: from.text()?,
            },
            HISTORY => Self::History {
                request: from.u32()?,
                from: from.u64()?,
                is_last: flag(from.u8()?)?,
                bytes: from.rest(),
            },
            PING => Self::Ping(from.u64()?),
            PONG => Self::Pong(from.u64()?),
            _ => Self::Error {
                code: ErrorCode::from_number(from.u16()?)?,
                text: from.text()?,
            },
        })
    }

    fn read_welcome(mut from: Reader<'a>) -> Option<Self> {
        let (major, minor, caps) = (from.u16()?, from.u16()?, from.u32()?);
        let max_frame = from.u32().filter(|bytes| *bytes >= MIN_PAYLOAD)?;
        let max_open = from.u16()?;
        from.u16()?;
        Some(Self::Welcome {
            major,
            minor,
            caps,
            max_frame,
            max_open,
            session: from.session()?,
            vm: from.text()?,
            principal: from.text()?,
        })
    }

    fn read_of_stream(frame: &Frame<'a>, mut from: Reader<'a>) -> Option<Self> {
        let stream = frame.stream;
        Some(match frame.kind {
            OPENED => {
                let request = from.u32()?;
                let mode = Mode::from_byte(from.u8()?)?;
                from.u8()?;
                let size = (from.u16()?, from.u16()?);
                from.u16()?;
                let (offset, credit) = (from.u64()?, from.u32()?);
                Self::Opened {
                    stream,
                    request,
                    mode,
                    size,
                    offset,
                    credit,
                }
            }
            CLOSED => Self::Closed {
                stream,
                code: match from.u16()? {
                    0 => None,
                    number => Some(ErrorCode::from_number(number)?),
                },
                offset: from.u64()?,
                text: from.text()?,
            },
            DATA => Self::Data {
                stream,
                is_replay: frame.flags & REPLAY != 0,
                offset: from.u64()?,
                bytes: from.rest(),
            },
            CREDIT => Self::Credit {
                stream,
                add: from.u32()?,
            },
            WRITER => Self::Writer {
                stream,
                writer: Writer::from_byte(from.u8()?)?,
                who: from.text()?,
            },
            GAP => Self::Gap {
                stream,
                from: from.u64()?,
                to: from.u64()?,
                why: GapCause::from_byte(from.u8()?)?,
            },
            _ => Self::Event {
                stream,
                what: Event::from_byte(from.u8()?)?,
                at: from.u64()?,
            },
        })
    }

    /// Appends the message as a frame. Output has to fit into what was agreed, with [`Self::OVERHEAD`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.encode_of_connection(out) {
            Some(frame) => frame.end(),
            None => self.encode_of_stream(out),
        }
    }

    fn encode_of_connection<'b>(&self, out: &'b mut Vec<u8>) -> Option<Fields<'b>> {
        let end = End(out);
        Some(match self {
            Self::Welcome {
                major,
                minor,
                caps,
                max_frame,
                max_open,
                session,
                vm,
                principal,
            } => {
                let frame = end
                    .frame(WELCOME, 0, 0)
                    .u16(*major)
                    .u16(*minor)
                    .u32(*caps)
                    .u32(*max_frame);
                frame.u16(*max_open).u16(0).bytes(session).text(vm).text(principal)
            }
            Self::Added(entry) => entry.write(end.frame(ADDED, 0, 0)),
            Self::Changed(entry) => entry.write(end.frame(CHANGED, 0, 0)),
            Self::Removed { key, why } => end.frame(REMOVED, 0, 0).u32(*key).u8(*why as u8),
            Self::ListEnd { count } => end.frame(LIST_END, 0, 0).u32(*count),
            Self::Failed { request, code, text } => end.frame(FAILED, 0, 0).u32(*request).u16(*code as u16).text(text),
            Self::History {
                request,
                from,
                is_last,
                bytes,
            } => {
                let frame = end.frame(HISTORY, 0, 0).u32(*request).u64(*from);
                frame.u8(u8::from(*is_last)).bytes(bytes)
            }
            Self::Ping(value) => end.frame(PING, 0, 0).u64(*value),
            Self::Pong(value) => end.frame(PONG, 0, 0).u64(*value),
            Self::Error { code, text } => end.frame(ERROR, 0, 0).u16(*code as u16).text(text),
            _ => return None,
        })
    }

    fn encode_of_stream(&self, out: &mut Vec<u8>) {
        let end = End(out);
        let frame = match self {
            Self::Opened {
                stream,
                request,
                mode,
                size,
                offset,
                credit,
            } => {
                let frame = end.frame(OPENED, 0, *stream).u32(*request).u8(*mode as u8).u8(0);
                frame.u16(size.0).u16(size.1).u16(0).u64(*offset).u32(*credit)
            }
            Self::Closed {
                stream,
                code,
                offset,
                text,
            } => {
                let code = code.map_or(0, |code| code as u16);
                end.frame(CLOSED, 0, *stream).u16(code).u64(*offset).text(text)
            }
            Self::Data {
                stream,
                is_replay,
                offset,
                bytes,
            } => {
                let flags = if *is_replay { REPLAY } else { 0 };
                end.frame(DATA, flags, *stream).u64(*offset).bytes(bytes)
            }
            Self::Credit { stream, add } => end.frame(CREDIT, 0, *stream).u32(*add),
            Self::Writer { stream, writer, who } => end.frame(WRITER, 0, *stream).u8(*writer as u8).text(who),
            Self::Gap { stream, from, to, why } => end.frame(GAP, 0, *stream).u64(*from).u64(*to).u8(*why as u8),
            Self::Event { stream, what, at } => end.frame(EVENT, 0, *stream).u8(*what as u8).u64(*at),
            // The connection's were written already.
            _ => return,
        };
        frame.end();
    }
}

impl<'a> Entry<'a> {
    fn read(mut from: Reader<'a>) -> Option<Self> {
        let key = from.u32()?;
        let kind = Kind::from_byte(from.u8()?)?;
        let rights = Rights::from_bits(from.u8()?);
        let state = State::from_byte(from.u8()?)?;
        from.u8()?;
        Some(Self {
            key,
            kind,
            rights,
            state,
            total: from.u64()?,
            oldest: from.u64()?,
            watchers: from.u16()?,
            size: (from.u16()?, from.u16()?),
            name: from.name()?,
            title: from.text()?,
            writer: from.text()?,
        })
    }

    fn write<'b>(&self, frame: Fields<'b>) -> Fields<'b> {
        let frame = frame.u32(self.key).u8(self.kind as u8).u8(self.rights.bits());
        let frame = frame.u8(self.state as u8).u8(0).u64(self.total).u64(self.oldest);
        let frame = frame.u16(self.watchers).u16(self.size.0).u16(self.size.1);
        frame.text(&self.name).text(&self.title).text(&self.writer)
    }
}
