//! Messages of one static channel, put together from their chunks ([MS-RDPBCGR] 2.2.6.1) and never longer than the
//! channel's limit.

use super::SessionError;
use crate::wire::Reader;

const FLAG_FIRST: u32 = 1;
const FLAG_LAST: u32 = 2;
const FLAG_COMPRESSED: u32 = 0x0020_0000;

/// One channel's message under way.
pub(crate) struct Chunks {
    limit: usize,
    partial: Vec<u8>,
    expected: usize,
}

impl Chunks {
    /// Takes messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            partial: Vec::new(),
            expected: 0,
        }
    }

    /// Takes one chunk with its header; returns the message that it completes.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<Option<Vec<u8>>, SessionError> {
        const PEER: SessionError = SessionError::Peer {
            message: "static channel chunk",
            source: None,
        };
        let mut r = Reader(chunk);
        let (Some(total), Some(flags)) = (r.u32(), r.u32()) else {
            return Err(PEER);
        };
        let total = total as usize;
        if total > self.limit {
            return Err(SessionError::Oversized {
                message: "static channel message",
                announced: total,
                limit: self.limit,
            });
        }
        if flags & FLAG_FIRST != 0 {
            self.partial.clear();
            self.expected = total;
        }
        let grown = self.partial.len() + r.0.len();
        if flags & FLAG_COMPRESSED != 0 || total != self.expected || grown > total {
            return Err(PEER);
        }
        self.partial.extend_from_slice(r.0);
        if flags & FLAG_LAST == 0 {
            return Ok(None);
        }
        if grown != total {
            return Err(PEER);
        }
        // A further chunk without FIRST must not match by accident.
        self.expected = usize::MAX;
        Ok(Some(core::mem::take(&mut self.partial)))
    }
}
