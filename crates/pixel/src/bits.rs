//! A writer of bit fields, highest bit first, as RLGR and ZGFX streams want them. Every field is stored at once, eight
//! bytes wide, over what the last one left: whether a byte is full is then no branch that could be guessed wrongly.

/// Appends bit fields to a byte vector, which is whole again after [`BitWriter::align`].
#[derive(Debug)]
pub struct BitWriter<'a> {
    /// Longer than what is written, so that eight bytes have room.
    out: &'a mut Vec<u8>,
    /// Whole bytes so far.
    len: usize,
    /// Pending bits, left-aligned. INVARIANT: the bits below the top `pending` ones are 0.
    word: u64,
    /// INVARIANT: less than 8 between calls.
    pending: u32,
}

/// Bytes of room made at once.
const ROOM: usize = 1024;

impl<'a> BitWriter<'a> {
    /// Most bits of one field.
    pub const WIDEST: u32 = 56;

    /// Appends to `out` from a byte border on.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            len: out.len(),
            out,
            word: 0,
            pending: 0,
        }
    }

    /// Appends the low `count` bits of `value`, at most [`Self::WIDEST`]. The bits above them must be 0.
    #[inline(always)]
    pub fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= Self::WIDEST && value >> count == 0);
        // In two steps, as a shift by 64 has no meaning.
        self.word |= value << (63 - self.pending - count) << 1;
        self.pending += count;
        if self.len + 8 > self.out.len() {
            self.make_room();
        }
        self.out[self.len..self.len + 8].copy_from_slice(&self.word.to_be_bytes());
        let full = self.pending >> 3;
        self.len += full as usize;
        self.word <<= full * 8;
        self.pending &= 7;
    }

    #[cold]
    fn make_room(&mut self) {
        self.out.resize(self.len + ROOM, 0);
    }

    /// Appends `count` equal bits.
    #[inline]
    pub fn repeat(&mut self, bit: bool, mut count: u32) {
        let ones = if bit { u32::MAX } else { 0 };
        while count >= 32 {
            self.put(u64::from(ones), 32);
            count -= 32;
        }
        if count > 0 {
            self.put(u64::from(ones >> (32 - count)), count);
        }
    }

    /// Fills the last byte with 0 bits and ends the vector behind it. Returns how many bits were filled in, 0 to 7.
    pub fn align(&mut self) -> u32 {
        let padding = (8 - self.pending) & 7;
        self.put(0, padding);
        self.out.truncate(self.len);
        padding
    }

    /// Aligns to a byte and appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.align();
        self.out.extend_from_slice(bytes);
        self.len = self.out.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_packed_highest_bit_first() {
        let mut out = vec![0xAA];
        let mut bits = BitWriter::new(&mut out);
        bits.put(0b101, 3);
        bits.put(0, 0);
        bits.repeat(true, 40);
        bits.put(u64::from(u32::MAX), 32);
        assert_eq!(bits.align(), 5);
        bits.bytes(&[7]);
        assert_eq!(bits.align(), 0);
        assert_eq!(out, [0xAA, 0xBF, 255, 255, 255, 255, 255, 255, 255, 255, 0xE0, 7]);
    }
}
