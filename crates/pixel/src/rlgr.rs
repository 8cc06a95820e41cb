//! Last stage of a RemoteFX tile: the adaptive run-length Golomb-Rice code RLGR1 ([MS-RDPRFX] 3.1.8.1.7.3).
//!
//! The stream alternates between runs of zeros and single values; both sides adapt `k` (run length) and `kr` (remainder
//! bits) in the same way. The fast form finds the end of a run in a bit mask of the values that are not 0.

use crate::bits::BitWriter;
use crate::cpu::dispatch;
use crate::dwt::Coefficients;
use crate::{Level, TILE_PIXELS};

/// Largest adaptation state; 8 is one bit.
const STATE_MAX: u32 = 80;

/// Appends the code of one plane's coefficients to `out`.
pub fn encode(level: Level, coefficients: &Coefficients, out: &mut Vec<u8>) {
    dispatch!(
        level,
        stream(&coefficients.0, out, |from| scan(&coefficients.0, from)),
        avx2::encode(coefficients, out)
    );
}

/// The first value at or after `from` that is not 0, or `TILE_PIXELS`.
fn scan(values: &[i16; TILE_PIXELS], from: usize) -> usize {
    values[from..]
        .iter()
        .position(|&v| v != 0)
        .map_or(TILE_PIXELS, |run| from + run)
}

#[inline(always)]
fn stream(values: &[i16; TILE_PIXELS], out: &mut Vec<u8>, next_value: impl Fn(usize) -> usize) {
    let mut coder = Coder {
        bits: BitWriter::new(out),
        run: 8,
        remainder: 8,
    };
    let mut at = 0;
    while at < TILE_PIXELS {
        if coder.run < 8 {
            coder.single(values[at]);
            at += 1;
            continue;
        }
        let end = next_value(at);
        // A run that reaches the end of the tile has no value after it.
        coder.zeros((end - at) as u32, values.get(end).copied());
        at = end + 1;
    }
    coder.bits.align();
}

struct Coder<'a> {
    bits: BitWriter<'a>,
    /// `kp` of the specification, 0..=80.
    run: u32,
    /// `krp` of the specification, 0..=80.
    remainder: u32,
}

impl Coder<'_> {
    /// Run-length mode: zeros, then the value that ended them.
    #[inline(always)]
    fn zeros(&mut self, mut count: u32, value: Option<i16>) {
        let mut k = self.run >> 3;
        while count >= 1 << k {
            self.bits.put(0, 1);
            count -= 1 << k;
            self.run = (self.run + 4).min(STATE_MAX);
            k = self.run >> 3;
        }
        let prefix = 1 << k | count;
        match value {
            Some(value) => {
                self.bits.put(prefix << 1 | u32::from(value < 0), k + 2);
                self.golomb_rice(u32::from(value.unsigned_abs()) - 1);
            }
            None => self.bits.put(prefix, k + 1),
        }
        self.run = self.run.saturating_sub(6);
    }

    /// Golomb-Rice mode: one value, its sign in the lowest bit.
    #[inline(always)]
    fn single(&mut self, value: i16) {
        let value = i32::from(value);
        let folded = ((value << 1) ^ (value >> 31)) as u32;
        self.golomb_rice(folded);
        self.run = if folded == 0 {
            self.run + 3
        } else {
            self.run.saturating_sub(3)
        };
    }

    #[inline(always)]
    fn golomb_rice(&mut self, value: u32) {
        let kr = self.remainder >> 3;
        let ones = value >> kr;
        let rest = value & ((1 << kr) - 1);
        if ones == 0 {
            self.bits.put(rest, 1 + kr);
            self.remainder = self.remainder.saturating_sub(2);
            return;
        }
        if ones <= 20 {
            self.bits.put(((1 << ones) - 1) << (1 + kr) | rest, ones + 1 + kr);
        } else {
            self.bits.repeat(true, ones);
            self.bits.put(rest, 1 + kr);
        }
        if ones > 1 {
            self.remainder = (self.remainder + ones).min(STATE_MAX);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi16, _mm256_movemask_epi8, _mm256_packs_epi16, _mm256_permute4x64_epi64, _mm256_setzero_si256,
    };

    use super::{Coefficients, TILE_PIXELS, stream};
    use crate::vector::load_words;

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(super) fn encode(coefficients: &Coefficients, out: &mut Vec<u8>) {
        let masks = masks(&coefficients.0);
        stream(&coefficients.0, out, |from| {
            let mut word = from >> 6;
            let mut mask = masks[word] >> (from & 63) << (from & 63);
            while mask == 0 {
                word += 1;
                mask = masks[word];
            }
            (word << 6) + mask.trailing_zeros() as usize
        });
    }

    /// One bit per value that is not 0, and a last word that ends every search at `TILE_PIXELS`.
    #[target_feature(enable = "avx2")]
    fn masks(values: &[i16; TILE_PIXELS]) -> [u64; 65] {
        let mut masks = [1; 65];
        let groups = values.as_chunks::<16>().0.as_chunks::<4>().0;
        for (mask, [a, b, c, d]) in masks.iter_mut().zip(groups) {
            *mask = !(u64::from(zeros(a, b)) | u64::from(zeros(c, d)) << 32);
        }
        masks
    }

    /// One bit per value that is 0.
    #[target_feature(enable = "avx2")]
    fn zeros(a: &[i16; 16], b: &[i16; 16]) -> u32 {
        let zero = _mm256_setzero_si256();
        let bytes = _mm256_packs_epi16(
            _mm256_cmpeq_epi16(load_words(a), zero),
            _mm256_cmpeq_epi16(load_words(b), zero),
        );
        _mm256_movemask_epi8(_mm256_permute4x64_epi64::<0xD8>(bytes)) as u32
    }
}
