//! Middle stages of a RemoteFX tile: three levels of the 5/3 wavelet transform, quantisation with rounding, and the
//! differences of the LL3 band ([MS-RDPRFX] 3.1.8.1.4 to 3.1.8.1.6).

use rdpmux_model::RfxQuant;

use crate::cpu::dispatch;
use crate::{Level, TILE_PIXELS};

/// Quantised coefficients in transmission order: HL1 LH1 HH1 HL2 LH2 HH2 HL3 LH3 HH3 LL3.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub struct Coefficients(pub [i16; TILE_PIXELS]);

impl Coefficients {
    /// All 0.
    pub const fn new() -> Self {
        Self([0; TILE_PIXELS])
    }
}

impl Default for Coefficients {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of values between two steps of the quantiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    /// They go to the nearer one.
    #[default]
    Nearest,
    /// Differences go to the one nearer to 0, unless they are 11/16 of the way to the other: about 15 % fewer bytes at the
    /// same signal to noise ratio on photographs, worse than a coarser step on text.
    TowardsZero,
}

/// Transforms and quantises one plane of a tile. Quantiser entries below 1 count as 1.
pub fn transform(
    level: Level,
    plane: &[i16; TILE_PIXELS],
    quant: &RfxQuant,
    rounding: Rounding,
    out: &mut Coefficients,
) {
    let steps = Steps::new(quant, rounding);
    dispatch!(level, scalar(plane, &steps, out), avx2::transform(plane, &steps, out));
}

/// Quantisers of HL, LH and HH per level, finest first, and of LL3.
struct Steps {
    levels: [[Step; 3]; 3],
    coarsest: Step,
}

/// Division by a power of two: a right shift after adding what decides the rounding.
#[derive(Clone, Copy)]
struct Step {
    shift: u32,
    bias: i16,
    /// What negative values get besides.
    negative: i16,
}

impl Steps {
    fn new(RfxQuant(quant): &RfxQuant, rounding: Rounding) -> Self {
        // Coefficients carry 5 fraction bits; a quantiser of 6 keeps one step per 32, hence "less 1".
        let shifts = quant.map(|q| u32::from(q.clamp(1, 15)) - 1);
        let [_, lh3, hl3, hh3, lh2, hl2, hh2, lh1, hl1, hh1] = shifts.map(|shift| Step::new(shift, rounding));
        Self {
            levels: [[hl1, lh1, hh1], [hl2, lh2, hh2], [hl3, lh3, hh3]],
            // Light itself has no zero to prefer.
            coarsest: Step::new(shifts[0], Rounding::Nearest),
        }
    }
}

impl Step {
    fn new(shift: u32, rounding: Rounding) -> Self {
        let whole = 1_i16 << shift;
        let (bias, negative) = match rounding {
            Rounding::Nearest => (whole >> 1, 0),
            Rounding::TowardsZero => {
                let bias = (i32::from(whole) * 5 / 16) as i16;
                (bias, whole - 1 - 2 * bias)
            }
        };
        Self { shift, bias, negative }
    }
}

#[inline(always)]
fn quantize(value: i16, step: Step) -> i16 {
    let bias = step.bias.wrapping_add(value >> 15 & step.negative);
    value.wrapping_add(bias) >> step.shift
}

/// High-pass step: what `odd` is beyond the mean of its neighbours, halved.
#[inline(always)]
fn high(before: i16, odd: i16, after: i16) -> i16 {
    odd.wrapping_sub(before.wrapping_add(after) >> 1) >> 1
}

/// Low-pass step.
#[inline(always)]
fn low(even: i16, high_before: i16, high_here: i16) -> i16 {
    even.wrapping_add(high_before.wrapping_add(high_here) >> 1)
}

fn scalar(plane: &[i16; TILE_PIXELS], steps: &Steps, out: &mut Coefficients) {
    let (mut half, mut quarter) = ([0; 1024], [0; 256]);
    let (first, rest) = out.0.split_at_mut(3072);
    let (second, third) = rest.split_at_mut(768);
    scalar_level::<64>(plane, first, &mut half, steps.levels[0]);
    scalar_level::<32>(&half, second, &mut quarter, steps.levels[1]);
    coarsest(&quarter, third, steps);
}

/// The third level and the differences of LL3: too small for vectors, so both forms share it.
fn coarsest(quarter: &[i16; 256], out: &mut [i16], steps: &Steps) {
    let (bands, ll) = out.split_at_mut(192);
    let mut raw = [0; 64];
    scalar_level::<16>(quarter, bands, &mut raw, steps.levels[2]);
    let mut previous = 0;
    for (to, value) in ll.iter_mut().zip(raw) {
        let value = quantize(value, steps.coarsest);
        *to = value.wrapping_sub(previous);
        previous = value;
    }
}

/// One level over `EDGE` × `EDGE` values: quantised HL, LH, HH into `bands`, the unquantised rest into `ll`.
fn scalar_level<const EDGE: usize>(source: &[i16], bands: &mut [i16], ll: &mut [i16], steps: [Step; 3]) {
    let half = EDGE / 2;
    let (hl, rest) = bands.split_at_mut(half * half);
    let (lh, hh) = rest.split_at_mut(half * half);
    let (mut lows, mut highs, mut before) = ([0; EDGE], [0; EDGE], [0; EDGE]);
    for y in 0..half {
        let row = |y: usize| &source[y * EDGE..][..EDGE];
        let (even, odd) = (row(2 * y), row(2 * y + 1));
        let after = if y + 1 < half { row(2 * y + 2) } else { even };
        for x in 0..EDGE {
            highs[x] = high(even[x], odd[x], after[x]);
            lows[x] = low(even[x], if y == 0 { highs[x] } else { before[x] }, highs[x]);
        }
        before = highs;
        let at = y * half..(y + 1) * half;
        scalar_row(
            &lows,
            &mut ll[at.clone()],
            &mut hl[at.clone()],
            |l| l,
            |h| quantize(h, steps[0]),
        );
        let low_shift = |l| quantize(l, steps[1]);
        scalar_row(&highs, &mut lh[at.clone()], &mut hh[at], low_shift, |h| {
            quantize(h, steps[2])
        });
    }
}

/// One row into its low and its high half.
#[inline(always)]
fn scalar_row(
    row: &[i16],
    lows: &mut [i16],
    highs: &mut [i16],
    quantize_low: impl Fn(i16) -> i16,
    quantize_high: impl Fn(i16) -> i16,
) {
    let half = row.len() / 2;
    let mut before = 0;
    for x in 0..half {
        let even = row[2 * x];
        let here = high(even, row[2 * x + 1], if x + 1 < half { row[2 * x + 2] } else { even });
        lows[x] = quantize_low(low(even, if x == 0 { here } else { before }, here));
        highs[x] = quantize_high(here);
        before = here;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cvtsi32_si128, _mm256_add_epi16, _mm256_alignr_epi8, _mm256_and_si256,
        _mm256_blendv_epi8, _mm256_permute2x128_si256, _mm256_permute4x64_epi64, _mm256_set1_epi16, _mm256_setr_epi8,
        _mm256_setr_epi16, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_sra_epi16, _mm256_srai_epi16,
        _mm256_sub_epi16, _mm256_unpackhi_epi64, _mm256_unpacklo_epi64,
    };

    use super::{Coefficients, Step, Steps, TILE_PIXELS};
    use crate::vector::{load_words, store_words};

    #[target_feature(enable = "avx2")]
    pub(super) fn transform(plane: &[i16; TILE_PIXELS], steps: &Steps, out: &mut Coefficients) {
        let (mut half, mut quarter) = ([0; 1024], [0; 256]);
        let (first, rest) = out.0.split_at_mut(3072);
        let (second, third) = rest.split_at_mut(768);
        level::<2, 4>(plane, first, &mut half, steps.levels[0]);
        level::<1, 2>(&half, second, &mut quarter, steps.levels[1]);
        super::coarsest(&quarter, third, steps);
    }

    /// `quantize` of sixteen values.
    #[derive(Clone, Copy)]
    struct Quantizer {
        bias: __m256i,
        negative: __m256i,
        shift: __m128i,
    }

    impl Quantizer {
        #[target_feature(enable = "avx2")]
        fn new(step: Step) -> Self {
            Self {
                bias: _mm256_set1_epi16(step.bias),
                negative: _mm256_set1_epi16(step.negative),
                shift: _mm_cvtsi32_si128(step.shift as i32),
            }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn apply(self, value: __m256i) -> __m256i {
            let extra = _mm256_and_si256(_mm256_srai_epi16::<15>(value), self.negative);
            let bias = _mm256_add_epi16(self.bias, extra);
            _mm256_sra_epi16(_mm256_add_epi16(value, bias), self.shift)
        }
    }

    /// One level; an output row has `N` vectors, an input row `M = 2 N`.
    #[target_feature(enable = "avx2")]
    fn level<const N: usize, const M: usize>(source: &[i16], bands: &mut [i16], ll: &mut [i16], steps: [Step; 3]) {
        let half = 16 * N;
        let (rows, _) = source.as_chunks::<16>().0.as_chunks::<M>();
        let (hl, rest) = bands.split_at_mut(half * half);
        let (lh, hh) = rest.split_at_mut(half * half);
        let [q_hl, q_lh, q_hh] = steps.map(|step| Quantizer::new(step));
        let mut before = None;
        for y in 0..half {
            let after = &rows[if y + 1 < half { 2 * y + 2 } else { 2 * y }];
            let (lows, highs) = vertical(&rows[2 * y], &rows[2 * y + 1], after, before);
            before = Some(highs);
            let (low, high) = horizontal::<N, M>(&lows);
            store_row(ll, y, low, |v| v);
            store_row(hl, y, high, |v| q_hl.apply(v));
            let (low, high) = horizontal::<N, M>(&highs);
            store_row(lh, y, low, |v| q_lh.apply(v));
            store_row(hh, y, high, |v| q_hh.apply(v));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store_row<const N: usize>(
        band: &mut [i16],
        y: usize,
        values: [__m256i; N],
        quantize: impl Fn(__m256i) -> __m256i,
    ) {
        let rows = band.as_chunks_mut::<16>().0.as_chunks_mut::<N>().0;
        for (to, value) in rows[y].iter_mut().zip(values) {
            store_words(to, quantize(value));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn high(before: __m256i, odd: __m256i, after: __m256i) -> __m256i {
        let mean = _mm256_srai_epi16::<1>(_mm256_add_epi16(before, after));
        _mm256_srai_epi16::<1>(_mm256_sub_epi16(odd, mean))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn low(even: __m256i, high_before: __m256i, high_here: __m256i) -> __m256i {
        _mm256_add_epi16(even, _mm256_srai_epi16::<1>(_mm256_add_epi16(high_before, high_here)))
    }

    /// Low and high rows of three input rows and the high row above.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn vertical<const M: usize>(
        even: &[[i16; 16]; M],
        odd: &[[i16; 16]; M],
        after: &[[i16; 16]; M],
        above: Option<[__m256i; M]>,
    ) -> ([__m256i; M], [__m256i; M]) {
        let (mut lows, mut highs) = ([_mm256_setzero_si256(); M], [_mm256_setzero_si256(); M]);
        for i in 0..M {
            let even = load_words(&even[i]);
            highs[i] = high(even, load_words(&odd[i]), load_words(&after[i]));
            lows[i] = low(even, above.map_or(highs[i], |above| above[i]), highs[i]);
        }
        (lows, highs)
    }

    /// Low and high halves of one row.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn horizontal<const N: usize, const M: usize>(row: &[__m256i; M]) -> ([__m256i; N], [__m256i; N]) {
        let zero = _mm256_setzero_si256();
        let (mut evens, mut highs, mut lows) = ([zero; N], [zero; N], [zero; N]);
        let mut odds = [zero; N];
        for i in 0..N {
            (evens[i], odds[i]) = split(row[2 * i], row[2 * i + 1]);
        }
        for i in 0..N {
            highs[i] = high(evens[i], odds[i], next(evens[i], evens.get(i + 1).copied()));
        }
        for i in 0..N {
            let before = if i == 0 { None } else { Some(highs[i - 1]) };
            lows[i] = low(evens[i], previous(highs[i], before), highs[i]);
        }
        (lows, highs)
    }

    /// Even and odd words of 32.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn split(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        let order = _mm256_setr_epi8(
            0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
        );
        let (a, b) = (_mm256_shuffle_epi8(a, order), _mm256_shuffle_epi8(b, order));
        let evens = _mm256_permute4x64_epi64::<0xD8>(_mm256_unpacklo_epi64(a, b));
        (evens, _mm256_permute4x64_epi64::<0xD8>(_mm256_unpackhi_epi64(a, b)))
    }

    /// Each word's right neighbour; the last of a row is its own.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(here: __m256i, right: Option<__m256i>) -> __m256i {
        let last = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1);
        let other = right.unwrap_or(here);
        let shifted = _mm256_alignr_epi8::<2>(_mm256_permute2x128_si256::<0x21>(here, other), here);
        if right.is_some() {
            shifted
        } else {
            _mm256_blendv_epi8(shifted, here, last)
        }
    }

    /// Each word's left neighbour; the first of a row is its own.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn previous(here: __m256i, left: Option<__m256i>) -> __m256i {
        let first = _mm256_setr_epi16(-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        let other = left.unwrap_or(here);
        let shifted = _mm256_alignr_epi8::<14>(here, _mm256_permute2x128_si256::<0x21>(other, here));
        if left.is_some() {
            shifted
        } else {
            _mm256_blendv_epi8(shifted, here, first)
        }
    }
}
