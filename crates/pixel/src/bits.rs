//! A writer of bit fields, highest bit first, as RLGR and ZGFX streams want them.

/// Appends bit fields to a byte vector.
#[derive(Debug)]
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Pending bits, left-aligned. INVARIANT: the bits below the top `pending` ones are 0.
    word: u64,
    /// INVARIANT: less than 32 between calls.
    pending: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out` from a byte border on.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            word: 0,
            pending: 0,
        }
    }

    /// Appends the low `count` bits of `value`, at most 32. The bits above them must be 0.
    #[inline(always)]
    pub fn put(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32 && u64::from(value) >> count == 0);
        self.pending += count;
        self.word |= u64::from(value) << ((64 - self.pending) % 64);
        if self.pending >= 32 {
            self.out.extend_from_slice(&((self.word >> 32) as u32).to_be_bytes());
            self.word <<= 32;
            self.pending -= 32;
        }
    }

    /// Appends `count` equal bits.
    #[inline]
    pub fn repeat(&mut self, bit: bool, mut count: u32) {
        let ones = if bit { u32::MAX } else { 0 };
        while count >= 32 {
            self.put(ones, 32);
            count -= 32;
        }
        if count > 0 {
            self.put(ones >> (32 - count), count);
        }
    }

    /// Fills the last byte with 0 bits and writes out everything. Returns how many bits were filled in, 0 to 7.
    pub fn align(&mut self) -> u32 {
        let bytes = self.pending.div_ceil(8);
        let padding = bytes * 8 - self.pending;
        self.out.extend_from_slice(&self.word.to_be_bytes()[..bytes as usize]);
        self.word = 0;
        self.pending = 0;
        padding
    }

    /// Aligns to a byte and appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.align();
        self.out.extend_from_slice(bytes);
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
        bits.put(u32::MAX, 32);
        assert_eq!(bits.align(), 5);
        bits.bytes(&[7]);
        assert_eq!(bits.align(), 0);
        assert_eq!(out, [0xAA, 0xBF, 255, 255, 255, 255, 255, 255, 255, 255, 0xE0, 7]);
    }
}
