//! Messages of the clipboard channel, put together from chunks ([MS-RDPBCGR] 2.2.6.1). Unlike on other channels a
//! message that is too long does not end the session: it is stepped over, and memory grows only by what has arrived.

use crate::wire::Reader;

const FLAG_FIRST: u32 = 1;
const FLAG_LAST: u32 = 2;
const FLAG_COMPRESSED: u32 = 0x0020_0000;

/// What a chunk led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// More has to come, or the rest of a refused message went by.
    More,
    /// A whole message.
    Message(Vec<u8>),
    /// The message that begins here is longer than is taken.
    Oversized { announced: usize, start: &'a [u8] },
    /// The chunks do not fit together.
    Broken,
}

#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The message so far and its length; `None`: what comes belongs to nothing.
    partial: Option<(Vec<u8>, usize)>,
}

impl Assembler {
    /// Takes one chunk with its header.
    pub(super) fn take<'a>(&mut self, chunk: &'a [u8], limit: usize) -> Step<'a> {
        let mut r = Reader(chunk);
        let (Some(total), Some(flags)) = (r.u32(), r.u32()) else {
            return self.broken();
        };
        let (total, payload) = (total as usize, r.0);
        if flags & FLAG_COMPRESSED != 0 {
            return self.broken();
        }
        if flags & FLAG_FIRST != 0 {
            self.partial = None;
            if total > limit {
                return Step::Oversized {
                    announced: total,
                    start: payload,
                };
            }
            self.partial = Some((Vec::new(), total));
        }
        let Some((partial, expected)) = &mut self.partial else {
            return Step::More;
        };
        if *expected != total || partial.len() + payload.len() > total {
            return self.broken();
        }
        partial.extend_from_slice(payload);
        if flags & FLAG_LAST == 0 {
            return Step::More;
        }
        match self.partial.take() {
            Some((message, expected)) if message.len() == expected => Step::Message(message),
            _ => Step::Broken,
        }
    }

    fn broken(&mut self) -> Step<'static> {
        self.partial = None;
        Step::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(total: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
        [&total.to_le_bytes()[..], &flags.to_le_bytes(), payload].concat()
    }

    #[test]
    fn messages_are_put_together_and_too_long_ones_are_stepped_over() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.take(&chunk(4, FLAG_FIRST, b"ab"), 8), Step::More);
        assert_eq!(
            assembler.take(&chunk(4, FLAG_LAST, b"cd"), 8),
            Step::Message(b"abcd".to_vec())
        );
        let bomb = chunk(u32::MAX, FLAG_FIRST, b"xy");
        assert_eq!(
            assembler.take(&bomb, 8),
            Step::Oversized {
                announced: 0xFFFF_FFFF,
                start: b"xy"
            }
        );
        assert_eq!(assembler.take(&chunk(u32::MAX, 0, b"zz"), 8), Step::More);
        assert_eq!(assembler.take(&chunk(u32::MAX, FLAG_LAST, b"zz"), 8), Step::More);
        let whole = chunk(2, FLAG_FIRST | FLAG_LAST, b"ok");
        assert_eq!(assembler.take(&whole, 8), Step::Message(b"ok".to_vec()));
    }

    #[test]
    fn chunks_that_do_not_fit_are_refused_and_the_next_message_is_taken() {
        let mut assembler = Assembler::default();
        let whole = chunk(2, FLAG_FIRST | FLAG_LAST, b"ok");
        for broken in [
            chunk(4, FLAG_FIRST | FLAG_LAST, b"ab"),
            chunk(4, FLAG_FIRST | FLAG_LAST, b"abcdef"),
            chunk(4, FLAG_FIRST | FLAG_COMPRESSED, b"ab"),
            vec![1, 2, 3],
        ] {
            assert_eq!(assembler.take(&broken, 8), Step::Broken);
            assert_eq!(assembler.take(&whole, 8), Step::Message(b"ok".to_vec()));
        }
        assert_eq!(assembler.take(&chunk(9, 0, b"stray"), 16), Step::More);
        assert_eq!(assembler.take(&chunk(4, FLAG_FIRST, b"ab"), 8), Step::More);
        assert_eq!(assembler.take(&chunk(5, FLAG_LAST, b"cd"), 8), Step::Broken);
    }
}
