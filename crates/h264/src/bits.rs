//! Bits of NAL units (ITU-T H.264 7.3.1, 9.1): numbers of a few bits, Exp-Golomb codes, and the bytes of emulation
//! prevention that keep start codes out of a unit.

/// Bits of an unescaped unit, from the first of each byte on.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A number of up to 32 bits. `None` beyond the end.
    pub(crate) fn bits(&mut self, count: usize) -> Option<u32> {
        if count > (self.bytes.len() * 8).saturating_sub(self.at) {
            return None;
        }
        let mut window = [0; 8];
        let here = &self.bytes[self.at / 8..];
        let here = &here[..here.len().min(8)];
        window[..here.len()].copy_from_slice(here);
        let value = u64::from_be_bytes(window) << (self.at % 8) >> 32;
        self.at += count;
        Some((value as u32).checked_shr(32 - count as u32).unwrap_or(0))
    }

    /// One bit.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.bits(1).map(|bit| bit == 1)
    }

    /// `ue(v)`: as many zeros as further bits, a one, the further bits.
    pub(crate) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// How many bits are left up to and with the last one that is set, which ends the unit.
    fn left(&self) -> usize {
        let last = self.bytes.iter().rposition(|&byte| byte != 0);
        let end = last.map_or(0, |last| (last + 1) * 8 - self.bytes[last].trailing_zeros() as usize);
        end.saturating_sub(self.at)
    }
}

/// A unit in the making, not yet escaped.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// The last `count` bits, below 8, are not in `bytes` yet.
    pending: u64,
    count: usize,
}

impl Writer {
    /// The lowest `count` bits of `value`, up to 32.
    pub(crate) fn bits(&mut self, value: u32, count: usize) {
        self.pending = self.pending << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.pending >> self.count) as u8);
        }
    }

    /// `ue(v)` of a value below 2³¹.
    pub(crate) fn golomb(&mut self, value: u32) {
        let length = (value + 1).ilog2() as usize;
        self.bits(0, length);
        self.bits(value + 1, length + 1);
    }

    /// Several of them.
    pub(crate) fn golombs(&mut self, values: &[u32]) {
        values.iter().for_each(|value| self.golomb(*value));
    }

    /// All that is left to read, and the end: zeros up to a whole byte.
    pub(crate) fn finish(mut self, reader: &mut Reader<'_>) -> Vec<u8> {
        let mut left = reader.left();
        self.bytes.reserve(left / 8 + 1);
        while left > 0 {
            let count = left.min(32);
            self.bits(reader.bits(count).unwrap_or(0), count);
            left -= count;
        }
        if self.count > 0 {
            self.bits(0, 8 - self.count);
        }
        self.bytes
    }
}

/// A unit without its bytes of emulation prevention: 3 after two zeros.
pub(crate) fn unescape(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Appends a unit with its bytes of emulation prevention.
pub(crate) fn escape(unit: &[u8], out: &mut Vec<u8>) {
    out.reserve(unit.len() + unit.len() / 64);
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::default();
        let numbers = [0, 1, 2, 3, 7, 8, 1_000, 65_535, (1 << 31) - 2];
        for number in numbers {
            writer.golomb(number);
            writer.bits(number & 0x7F, 7);
        }
        writer.bits(1, 1);
        let bytes = writer.finish(&mut Reader::new(&[]));
        let mut reader = Reader::new(&bytes);
        for number in numbers {
            assert_eq!(reader.golomb(), Some(number));
            assert_eq!(reader.bits(7), Some(number & 0x7F));
        }
        assert_eq!(reader.left(), 1);
        assert_eq!((reader.bits(33), Reader::new(&[0; 9]).golomb()), (None, None));
    }

    #[test]
    fn a_rest_of_any_length_is_copied_at_any_offset_up_to_its_last_one() {
        let bytes: Vec<u8> = (0..40).map(|i: u8| i.wrapping_mul(37)).chain([0x50, 0, 0]).collect();
        for start in 0..24 {
            for ahead in 0..9 {
                let mut reader = Reader::new(&bytes);
                reader.bits(start);
                let mut writer = Writer::default();
                writer.bits(0, ahead);
                let out = writer.finish(&mut reader);
                let (mut one, mut two) = (Reader::new(&bytes), Reader::new(&out));
                one.bits(start);
                two.bits(ahead);
                assert_eq!(one.left(), two.left());
                for _ in 0..one.left() {
                    assert_eq!(one.flag(), two.flag());
                }
            }
        }
    }

    #[test]
    fn start_codes_are_kept_out_and_come_back() {
        for unit in [
            &[0, 0, 0, 0, 0, 1][..],
            &[0, 0, 3, 0, 0, 2],
            &[1, 0, 0],
            &[0, 0, 4, 0, 0, 3],
        ] {
            let mut escaped = vec![];
            escape(unit, &mut escaped);
            assert!(
                !escaped.windows(3).any(|w| w[0] == 0 && w[1] == 0 && w[2] < 3),
                "{escaped:?}"
            );
            assert_eq!(unescape(&escaped), unit);
        }
    }
}
