//! Frames: an 8-byte header (type, flags, stream, length) and its payload. [`Splitter`] cuts a byte stream into them,
//! however the carrier cut it.

use crate::error::WireError;

/// Bytes of a header.
pub const HEADER: usize = 8;
/// Longest payload that may ever be agreed on, and shortest.
pub const MAX_PAYLOAD: u32 = 64 << 10;
/// What every side takes, and the limit until WELCOME.
pub const MIN_PAYLOAD: u32 = 4 << 10;

/// One frame of a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which message.
    pub kind: u8,
    /// Bits whose meaning depends on the type; unknown ones mean nothing.
    pub flags: u8,
    /// The stream that it is about; 0: the connection.
    pub stream: u16,
    /// The message.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Whether a side that does not know the type may step over the frame.
    pub(crate) fn may_be_ignored(&self) -> bool {
        self.kind & IGNORABLE != 0
    }
}

/// Cuts bytes into frames. It holds one incomplete frame and what [`Splitter::feed`] brought after it.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Where the next frame begins.
    start: usize,
    limit: u32,
}

impl Default for Splitter {
    /// With the limit that holds until WELCOME.
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            limit: MIN_PAYLOAD,
        }
    }
}

impl Splitter {
    /// Sets the longest payload in bytes, as HELLO and WELCOME agreed; it is kept within [`MIN_PAYLOAD`] and
    /// [`MAX_PAYLOAD`].
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.clamp(MIN_PAYLOAD, MAX_PAYLOAD);
    }

    /// Takes bytes from the carrier. Take all frames out before more is fed: what waits is then one frame at most.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] as soon as the header says so; nothing more can be read then.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let waiting = &self.buffer[self.start..];
        let Some(([kind, flags, s0, s1, l0, l1, l2, l3], rest)) = waiting.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
        if length > self.limit {
            return Err(WireError::TooLarge {
                length,
                limit: self.limit,
            });
        }
        let Some(payload) = rest.get(..length as usize) else {
            return Ok(None);
        };
        self.start += HEADER + payload.len();
        Ok(Some(Frame {
            kind: *kind,
            flags: *flags,
            stream: u16::from_le_bytes([*s0, *s1]),
            payload,
        }))
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }
}

/// Bit of a type that asks nothing of who does not know it.
const IGNORABLE: u8 = 0x40;
