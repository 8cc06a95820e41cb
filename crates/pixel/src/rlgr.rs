//! Last stage of a RemoteFX tile: the adaptive run-length Golomb-Rice code RLGR1 ([MS-RDPRFX] 3.1.8.1.7.3).
//!
//! The stream alternates between runs of zeros and single values; both sides adapt `k` (run length) and `kr` (remainder
//! bits) in the same way. Short runs come from a table, codes go out as one field, and the fast form finds the end of a
//! run in a bit mask of the values that are not 0: what is left to guess for the processor is little.

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

/// What one Golomb-Rice code does to the remainder state, by its number of ones.
const fn remainder_step(ones: u32) -> i32 {
    match ones {
        0 => -2,
        1 => 0,
        _ => ones as i32,
    }
}

/// A run of zeros in code, and the state after it.
#[derive(Clone, Copy)]
struct Run {
    /// A one and the rest of the run, below as many zeros as fill the width.
    prefix: u16,
    width: u8,
    state: u8,
}

/// Runs that are shorter than this have their code in a table; a loop over them would be guessed wrongly most times.
const SHORT_RUNS: usize = 64;

static RUNS: [[Run; SHORT_RUNS]; STATE_MAX as usize + 1] = {
    let mut runs = [[Run::new(0, 0); SHORT_RUNS]; STATE_MAX as usize + 1];
    let mut state = 0;
    while state < runs.len() {
        let mut count = 0;
        while count < SHORT_RUNS {
            runs[state][count] = Run::new(state as u32, count as u32);
            count += 1;
        }
        state += 1;
    }
    runs
};

impl Run {
    /// At most a tile of zeros: 4096.
    const fn new(mut state: u32, mut count: u32) -> Self {
        let mut full = 0;
        while count >= 1 << (state >> 3) {
            count -= 1 << (state >> 3);
            full += 1;
            state = if state + 4 < STATE_MAX { state + 4 } else { STATE_MAX };
        }
        let k = state >> 3;
        Self {
            prefix: (1 << k | count) as u16,
            width: (full + k + 1) as u8,
            state: state.saturating_sub(6) as u8,
        }
    }
}

impl Coder<'_> {
    /// Run-length mode: zeros, then the value that ended them.
    #[inline(always)]
    fn zeros(&mut self, count: u32, value: Option<i16>) {
        let run = if (count as usize) < SHORT_RUNS {
            RUNS[self.run as usize][count as usize]
        } else {
            self.long_run(count)
        };
        self.run = u32::from(run.state);
        let (prefix, width) = (u64::from(run.prefix), u32::from(run.width));
        match value {
            Some(value) => {
                let head = prefix << 1 | u64::from(value < 0);
                self.golomb_rice(u32::from(value.unsigned_abs()) - 1, head, width + 1);
            }
            None => self.bits.put(prefix, width),
        }
    }

    /// Writes the zero bits of a run that no table has, and returns what is left.
    fn long_run(&mut self, count: u32) -> Run {
        let mut run = Run::new(self.run, count);
        self.bits.repeat(false, u32::from(run.width.saturating_sub(16)));
        run.width = run.width.min(16);
        run
    }

    /// Golomb-Rice mode: one value, its sign in the lowest bit.
    #[inline(always)]
    fn single(&mut self, value: i16) {
        let value = i32::from(value);
        let folded = ((value << 1) ^ (value >> 31)) as u32;
        self.golomb_rice(folded, 0, 0);
        let step = if folded == 0 { 3 } else { -3 };
        self.run = (self.run as i32 + step).max(0) as u32;
    }

    /// `width` bits of `head`, ones, a zero and the remainder: one field for all but the rarest values.
    #[inline(always)]
    fn golomb_rice(&mut self, value: u32, head: u64, width: u32) {
        let kr = self.remainder >> 3;
        let ones = value >> kr;
        let rest = u64::from(value & ((1 << kr) - 1));
        if ones <= MOST_ONES {
            let code = ((1 << ones) - 1) << (1 + kr) | rest;
            let code_width = ones + 1 + kr;
            self.bits.put(head << code_width | code, width + code_width);
        } else {
            self.bits.put(head, width);
            self.bits.repeat(true, ones);
            self.bits.put(rest, 1 + kr);
        }
        self.remainder = (self.remainder as i32 + remainder_step(ones)).clamp(0, STATE_MAX as i32) as u32;
    }
}

/// Ones that fit into a field with the widest run (17 bits with the sign) and the widest remainder (11 with its zero).
const MOST_ONES: u32 = BitWriter::WIDEST - 17 - 11;

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
