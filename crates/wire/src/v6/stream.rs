//! Cuts the bytes of a socket into messages. A length that such a message may not have is refused before its bytes are
//! kept.

use super::fields::longest;
use super::{LONG, SHORT};
use crate::msgpack::{MessageError, Reader};

/// Bytes of the length before each message.
const PREFIX: usize = 4;
/// From so many bytes on, the type of any message is known.
const ENOUGH: usize = 16;

/// What has arrived and is not a message yet.
#[derive(Debug, Default)]
pub struct Splitter {
    bytes: Vec<u8>,
    /// Bytes at the front that were given out.
    taken: usize,
}

impl Splitter {
    /// Adds what a socket gave.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message without its length, for `decode`; `None` until all of it has arrived.
    ///
    /// # Errors
    /// [`MessageError::TooLong`] for a length that its type may not have: nothing can follow.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, MessageError> {
        let rest = &self.bytes[self.taken..];
        let Some((prefix, body)) = rest.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let given = u64::from(u32::from_le_bytes(*prefix));
        let too_long = |limit| Err(MessageError::TooLong { given, limit });
        if given > LONG {
            return too_long(LONG);
        }
        if given > SHORT && body.len() >= ENOUGH {
            let kind = Reader::open(body).map(|(_, kind, _)| kind)?;
            let limit = longest(kind);
            if given > limit {
                return too_long(limit);
            }
        }
        let length = given as usize;
        if body.len() < length {
            return Ok(None);
        }
        let start = self.taken + PREFIX;
        self.taken = start + length;
        Ok(Some(&self.bytes[start..start + length]))
    }

    /// Bytes that wait for the rest of their message.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.taken
    }
}
