//! What is kept of a stream's output: the beginning, where a boot tells what it found, and the end. Offsets are absolute
//! and count from the first byte that ever came.

use std::collections::VecDeque;

/// How much is kept, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Of the beginning.
    pub first: usize,
    /// Of what came last.
    pub last: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            first: 256 << 10,
            last: 1 << 20,
        }
    }
}

/// Output in memory.
#[derive(Debug)]
pub struct History {
    keep: Keep,
    first: Vec<u8>,
    /// What came after `first` was full. INVARIANT: its end is at `total`.
    last: VecDeque<u8>,
    total: u64,
}

/// Output that lies together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Offset of the first byte.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl History {
    /// An empty one.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            first: Vec::new(),
            last: VecDeque::new(),
            total: 0,
        }
    }

    /// Adds output; what is too old is forgotten.
    pub fn append(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.keep.first - self.first.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.first.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.keep.last)..];
        let over = (self.last.len() + rest.len()).saturating_sub(self.keep.last);
        self.last.drain(..over);
        self.last.extend(rest);
    }

    /// Bytes so far: the offset of the next one.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// From this offset on everything is there.
    pub fn oldest(&self) -> u64 {
        let start = self.start_of_last();
        if start == self.first.len() as u64 { 0 } else { start }
    }

    /// The first output at `from` or after it, `max` bytes at most and as many as lie together. Nothing: at the end.
    pub fn read(&self, from: u64, max: usize) -> Piece<'_> {
        if let Some(bytes) = usize::try_from(from).ok().and_then(|from| self.first.get(from..))
            && !bytes.is_empty()
        {
            let bytes = &bytes[..bytes.len().min(max)];
            return Piece { offset: from, bytes };
        }
        let start = self.start_of_last();
        let offset = from.clamp(start, self.total);
        let index = usize::try_from(offset - start).expect("no more than is kept");
        let (front, back) = self.last.as_slices();
        let bytes = match front.get(index..) {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => &back[index - front.len()..],
        };
        let bytes = &bytes[..bytes.len().min(max)];
        Piece { offset, bytes }
    }

    fn start_of_last(&self) -> u64 {
        self.total - self.last.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(first: usize, last: usize) -> History {
        History::new(Keep { first, last })
    }

    /// Everything from `from` on, with the offsets at which pieces begin after a gap.
    fn all(history: &History, mut from: u64) -> (String, Vec<u64>) {
        let (mut text, mut jumps) = (String::new(), Vec::new());
        loop {
            let piece = history.read(from, 3);
            if piece.offset != from {
                jumps.push(piece.offset);
            }
            if piece.bytes.is_empty() {
                return (text, jumps);
            }
            text += str::from_utf8(piece.bytes).expect("ascii");
            from = piece.offset + piece.bytes.len() as u64;
        }
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut history = history(4, 6);
        for (piece, text, jumps, oldest) in [
            ("", "", vec![], 0),
            ("ab", "ab", vec![], 0),
            ("cdef", "abcdef", vec![], 0),
            ("ghij", "abcdefghij", vec![], 0),
            ("k", "abcdfghijk", vec![5], 5),
            ("lmnopqrstuvwxyz", "abcduvwxyz", vec![20], 20),
        ] {
            history.append(piece.as_bytes());
            assert_eq!(all(&history, 0), (text.to_owned(), jumps));
            assert_eq!(history.oldest(), oldest, "after {piece:?}");
        }
        assert_eq!(history.total(), 26);
    }

    #[test]
    fn any_offset_can_be_asked_for() {
        let mut history = history(2, 4);
        history.append(b"0123456789");
        assert_eq!(all(&history, 1), ("16789".to_owned(), vec![6]));
        assert_eq!(all(&history, 2), ("6789".to_owned(), vec![6]));
        assert_eq!(all(&history, 8), ("89".to_owned(), vec![]));
        assert_eq!(all(&history, 10), (String::new(), vec![]));
        assert_eq!(history.read(u64::MAX, 9).offset, 10, "nothing is beyond the end");
    }

    #[test]
    fn what_is_read_is_what_was_written_however_it_came() {
        let text: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
        for size in [1, 7, 64, 1000] {
            let mut history = history(100, 777);
            for (count, piece) in text.chunks(size).enumerate() {
                history.append(piece);
                let total = history.total();
                assert_eq!(total, ((count + 1) * size).min(5000) as u64);
                let mut from = history.oldest();
                while from < total {
                    let piece = history.read(from, 100);
                    assert_eq!(piece.offset, from);
                    let at = from as usize;
                    assert_eq!(piece.bytes, &text[at..at + piece.bytes.len()]);
                    from += piece.bytes.len() as u64;
                }
            }
        }
    }
}
