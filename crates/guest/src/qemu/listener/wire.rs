//! The D-Bus wire format as far as a display listener needs it: one message out of a complete buffer, and the few
//! messages that we answer. No socket and no state. Little-endian only, which is what QEMU sends on every machine that
//! we run on. Everything comes from a peer that may be hostile: every length is checked, with checked arithmetic.
//!
//! Source: D-Bus Specification, "Message Protocol" and "Type System".

use std::fmt;

/// Longest message that is read: a 7680 × 4320 frame of 132.7 MB, which is beyond D-Bus's own limit of 128 MiB but
/// within what QEMU sends, and its header.
pub const MAX_MESSAGE: usize = 134 << 20;
/// Longest header. QEMU's take under 200 bytes.
pub const MAX_HEADER: usize = 16 << 10;
/// Bytes that tell how long a message is.
pub const PREFIX: usize = 16;

/// Why bytes are not a message that we accept. Always the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not little-endian.
    #[error("message is not little-endian (0x{0:02x})")]
    Endian(u8),
    /// Another protocol version than 1.
    #[error("d-bus protocol version {0} is unknown")]
    Version(u8),
    /// A type that no message has.
    #[error("message type {0} is unknown")]
    Kind(u8),
    /// Header or message longer than the limit.
    #[error("message with a header of {header} and a body of {body} bytes is over the limit")]
    TooLong {
        /// Bytes of header fields.
        header: u32,
        /// Bytes of the body.
        body: u32,
    },
    /// The bytes end before a value does.
    #[error("message is truncated")]
    Truncated,
    /// Bytes are left over after the last value.
    #[error("message has bytes beyond its last value")]
    Trailing,
    /// A field or value that is not what it has to be; the text says what.
    #[error("message is malformed: {0}")]
    Malformed(&'static str),
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A method call.
    Call,
    /// The answer to a call.
    Return,
    /// The error answer to a call.
    Error,
    /// A signal.
    Signal,
}

/// A parsed message. Texts are empty where the field is absent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is for.
    pub kind: Kind,
    /// Whether the sender waits for an answer.
    pub wants_reply: bool,
    /// The sender's number of the message, never 0.
    pub serial: u32,
    /// Object path.
    pub path: &'a str,
    /// Interface.
    pub interface: &'a str,
    /// Method or signal.
    pub member: &'a str,
    /// Types of the body.
    pub signature: &'a str,
    /// File descriptors that come with it.
    pub descriptors: u32,
    /// The arguments.
    pub body: &'a [u8],
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("interface", &self.interface)
            .field("member", &self.member)
            .field("signature", &self.signature)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Length in bytes of the whole message that starts with `prefix`.
///
/// # Errors
/// [`WireError`] if it is not a message or over [`MAX_MESSAGE`] or [`MAX_HEADER`].
pub fn message_length(prefix: &[u8; PREFIX]) -> Result<usize, WireError> {
    if prefix[0] != b'l' {
        return Err(WireError::Endian(prefix[0]));
    }
    if prefix[3] != 1 {
        return Err(WireError::Version(prefix[3]));
    }
    let word = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
    let (body, header) = (word(4), word(12));
    let too_long = WireError::TooLong { header, body };
    if header as usize > MAX_HEADER || body as usize > MAX_MESSAGE {
        return Err(too_long);
    }
    let length = PREFIX + (header as usize).next_multiple_of(8) + body as usize;
    if length > MAX_MESSAGE {
        Err(too_long)
    } else {
        Ok(length)
    }
}

/// Parses one whole message.
///
/// # Errors
/// [`WireError`] says what is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, WireError> {
    let prefix = bytes.first_chunk::<PREFIX>().ok_or(WireError::Truncated)?;
    let length = message_length(prefix)?;
    match bytes.len() {
        given if given < length => return Err(WireError::Truncated),
        given if given > length => return Err(WireError::Trailing),
        _ => {}
    }
    let kind = match prefix[1] {
        1 => Kind::Call,
        2 => Kind::Return,
        3 => Kind::Error,
        4 => Kind::Signal,
        other => return Err(WireError::Kind(other)),
    };
    let mut start = Reader::at(bytes, 4, PREFIX);
    let body_length = start.u32()? as usize;
    let serial = start.u32()?;
    if serial == 0 {
        return Err(WireError::Malformed("serial is 0"));
    }
    let header_end = PREFIX + start.u32()? as usize;
    let mut message = Message {
        kind,
        wants_reply: kind == Kind::Call && prefix[2] & NO_REPLY_EXPECTED == 0,
        serial,
        path: "",
        interface: "",
        member: "",
        signature: "",
        descriptors: 0,
        body: &bytes[length - body_length..],
    };
    fields(Reader::at(bytes, PREFIX, header_end), &mut message)?;
    if kind == Kind::Call && (message.path.is_empty() || message.member.is_empty()) {
        return Err(WireError::Malformed("call without path or member"));
    }
    if message.signature.is_empty() && !message.body.is_empty() {
        return Err(WireError::Malformed("body without signature"));
    }
    Ok(message)
}

const NO_REPLY_EXPECTED: u8 = 1;

/// Reads the header fields, an array of (code, variant).
fn fields<'a>(mut reader: Reader<'a>, message: &mut Message<'a>) -> Result<(), WireError> {
    while !reader.is_at_end() {
        reader.align(8)?;
        let code = reader.u8()?;
        let signature = reader.signature()?;
        match (code, signature) {
            (1, "o") => message.path = reader.text()?,
            (2, "s") => message.interface = reader.text()?,
            (3, "s") => message.member = reader.text()?,
            (8, "g") => message.signature = reader.signature()?,
            (9, "u") => message.descriptors = reader.u32()?,
            (1..=3 | 8 | 9, _) => return Err(WireError::Malformed("header field has a wrong type")),
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.u32()?),
            _ => return Err(WireError::Malformed("unknown header field")),
        }
    }
    Ok(())
}

/// Reads values one after the other. Offsets count from the message's start, or the body's, which is aligned to 8.
#[derive(Debug, Clone)]
pub(in crate::qemu) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads a body.
    pub(in crate::qemu) fn body(body: &'a [u8]) -> Self {
        Self { bytes: body, at: 0 }
    }

    /// Reads `bytes[at..end]`; both are inside of `bytes`.
    fn at(bytes: &'a [u8], at: usize, end: usize) -> Self {
        Self {
            bytes: &bytes[..end],
            at,
        }
    }

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// # Errors
    /// [`WireError::Trailing`] if bytes are left.
    pub(in crate::qemu) fn end(self) -> Result<(), WireError> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(count).ok_or(WireError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(WireError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// Skips padding, which has to be zero.
    fn align(&mut self, to: usize) -> Result<(), WireError> {
        let padding = self.take(self.at.next_multiple_of(to) - self.at)?;
        if padding.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(WireError::Malformed("padding is not zero"))
        }
    }

    pub(in crate::qemu) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    fn words<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.align(N)?;
        self.take(N)?.try_into().map_err(|_| WireError::Truncated)
    }

    pub(in crate::qemu) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.words()?))
    }

    pub(in crate::qemu) fn bool(&mut self) -> Result<bool, WireError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Malformed("bool is neither 0 nor 1")),
        }
    }

    pub(in crate::qemu) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.words()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_le_bytes(self.words()?))
    }

    /// A string or an object path.
    pub(in crate::qemu) fn text(&mut self) -> Result<&'a str, WireError> {
        let length = self.u32()? as usize;
        let bytes = self.take(length)?;
        self.terminated(bytes)
    }

    fn signature(&mut self) -> Result<&'a str, WireError> {
        let length = usize::from(self.u8()?);
        let bytes = self.take(length)?;
        self.terminated(bytes)
    }

    fn terminated(&mut self, bytes: &'a [u8]) -> Result<&'a str, WireError> {
        if self.u8()? != 0 || bytes.contains(&0) {
            return Err(WireError::Malformed("text is not terminated"));
        }
        str::from_utf8(bytes).map_err(|_| WireError::Malformed("text is not utf-8"))
    }

    /// An array of bytes.
    pub(in crate::qemu) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}

/// The answer to a call: types and bytes of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::qemu) enum Answer {
    /// Success.
    Return {
        /// Types of the body.
        signature: &'static str,
        /// The body.
        body: Vec<u8>,
    },
    /// An error with a D-Bus name and a text for a person.
    Error {
        /// D-Bus error name.
        name: &'static str,
        /// What is wrong.
        text: String,
    },
}

impl Answer {
    /// Success without a value.
    pub(in crate::qemu) const fn empty() -> Self {
        Self::Return {
            signature: "",
            body: Vec::new(),
        }
    }

    /// The bytes of the message that answers call number `to`; `serial` is ours and not 0.
    pub(in crate::qemu) fn encode(&self, serial: u32, to: u32) -> Vec<u8> {
        let mut text_body = Vec::new();
        let (kind, signature, body) = match self {
            Self::Return { signature, body } => (2, *signature, body),
            Self::Error { text, .. } => {
                put_text(&mut text_body, text);
                (3, "s", &text_body)
            }
        };
        let mut out = vec![b'l', kind, NO_REPLY_EXPECTED, 1];
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(serial.to_le_bytes());
        out.extend([0; 4]);
        put_field(&mut out, 5, b'u');
        out.extend(to.to_le_bytes());
        if let Self::Error { name, .. } = self {
            put_field(&mut out, 4, b's');
            put_text(&mut out, name);
        }
        if !signature.is_empty() {
            put_field(&mut out, 8, b'g');
            put_signature(&mut out, signature);
        }
        let fields = (out.len() - PREFIX) as u32;
        out[12..16].copy_from_slice(&fields.to_le_bytes());
        pad(&mut out, 8);
        out.extend(body);
        out
    }
}

fn put_field(out: &mut Vec<u8>, code: u8, kind: u8) {
    pad(out, 8);
    out.extend([code, 1, kind, 0]);
}

/// Appends a string. `out` starts at an offset that is a multiple of 8.
pub(in crate::qemu) fn put_text(out: &mut Vec<u8>, text: &str) {
    pad(out, 4);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

/// Appends a signature of at most 255 characters.
pub(super) fn put_signature(out: &mut Vec<u8>, signature: &str) {
    out.push(signature.len() as u8);
    out.extend(signature.as_bytes());
    out.push(0);
}

/// Appends zeros up to a multiple of `to`.
pub(super) fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}
