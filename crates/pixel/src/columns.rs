//! What ClearCodec looks at: how often a row changes its colour, and for each column of a band where it leaves the
//! background, where it comes back to it for good, and a hash of what lies between. All columns at once, row by row.

use crate::cpu::dispatch;
use crate::{Level, Rows};

/// Most columns of one call.
pub const MAX_COLUMNS: usize = 256;

/// Where columns differ from their background. All arrays are indexed by column.
#[derive(Debug, Clone)]
pub struct Columns {
    /// First row that is not the background; the number of rows if there is none.
    pub first: [u32; MAX_COLUMNS],
    /// One more than the last row that is not the background; 0 if there is none.
    pub end: [u32; MAX_COLUMNS],
    /// Hash of the colours of the rows between; depends neither on the background nor on their place.
    pub hash: [[u32; MAX_COLUMNS]; 2],
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            first: [0; MAX_COLUMNS],
            end: [0; MAX_COLUMNS],
            hash: [[0; MAX_COLUMNS]; 2],
        }
    }
}

/// Blue, green and red of a pixel, the fourth byte 0.
#[inline(always)]
pub fn color(pixel: [u8; 4]) -> u32 {
    u32::from_le_bytes(pixel) & COLOR
}

/// How many pixels of a row have another colour than their left neighbour. The fourth byte does not count.
pub fn changes(level: Level, row: &[u8]) -> u32 {
    dispatch!(level, scalar_changes(row), avx2::changes(row))
}

/// Looks at `width` columns of `height` rows.
///
/// # Panics
/// If `width` is above [`MAX_COLUMNS`] or a row is not inside the bytes.
pub fn scan(level: Level, rows: Rows<'_>, width: usize, height: usize, background: u32, out: &mut Columns) {
    assert!(width <= MAX_COLUMNS);
    let background = background & COLOR;
    let done = dispatch!(level, 0, avx2::scan(rows, width, height, background, out));
    for x in done..width {
        scalar_column(rows, x, height, background, out);
    }
}

const COLOR: u32 = 0x00FF_FFFF;
/// Odd numbers with well-mixed bits; the two hashes are built differently, so together they are 64 bits.
const SEEDS: [u32; 2] = [0x9E37_79B9, 0x7F4A_7C15];
const FACTORS: [u32; 2] = [0x85EB_CA6B, 0xC2B2_AE35];

fn scalar_changes(row: &[u8]) -> u32 {
    let pixels = row.as_chunks::<4>().0;
    pixels
        .windows(2)
        .map(|pair| u32::from(color(pair[0]) != color(pair[1])))
        .sum()
}

fn scalar_column(rows: Rows<'_>, x: usize, height: usize, background: u32, out: &mut Columns) {
    let (mut a, mut b) = (SEEDS[0], SEEDS[1]);
    (out.first[x], out.end[x]) = (height as u32, 0);
    (out.hash[0][x], out.hash[1][x]) = (0, 0);
    for y in 0..height {
        let at = y * rows.stride + x * 4;
        let pixel = color(rows.bytes[at..at + 4].try_into().expect("4 bytes"));
        if pixel != background && out.end[x] == 0 {
            out.first[x] = y as u32;
        }
        if pixel == background && out.end[x] == 0 {
            continue;
        }
        a = (a ^ pixel).wrapping_mul(FACTORS[0]);
        a ^= a >> 15;
        b = b.wrapping_add(pixel).wrapping_mul(FACTORS[1]).rotate_left(13);
        if pixel != background {
            out.end[x] = y as u32 + 1;
            (out.hash[0][x], out.hash[1][x]) = (a, b);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_andnot_si256, _mm256_blendv_epi8, _mm256_castsi256_ps,
        _mm256_cmpeq_epi32, _mm256_movemask_ps, _mm256_mullo_epi32, _mm256_or_si256, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_sub_epi32, _mm256_xor_si256,
    };

    use super::{COLOR, Columns, FACTORS, SEEDS};
    use crate::Rows;
    use crate::vector::{load_bytes, store_lanes};

    #[target_feature(enable = "avx2")]
    pub(super) fn changes(row: &[u8]) -> u32 {
        let mask = _mm256_set1_epi32(COLOR as i32);
        let Some(from_second) = row.get(4..) else { return 0 };
        let (here, rest) = from_second.as_chunks::<32>();
        let left = row.as_chunks::<32>().0;
        let mut count = 0;
        for (here, left) in here.iter().zip(left) {
            let differing = _mm256_and_si256(_mm256_xor_si256(load_bytes(here), load_bytes(left)), mask);
            let same = _mm256_cmpeq_epi32(differing, _mm256_setzero_si256());
            count += 8 - _mm256_movemask_ps(_mm256_castsi256_ps(same)).count_ones();
        }
        count + super::scalar_changes(&row[row.len() - rest.len() - 4..])
    }

    /// Two vectors of columns at a time, then one. Returns how many columns are done.
    #[target_feature(enable = "avx2")]
    pub(super) fn scan(rows: Rows<'_>, width: usize, height: usize, background: u32, out: &mut Columns) -> usize {
        let mut x = 0;
        while x + 16 <= width {
            group::<2>(rows, x, height, background, out);
            x += 16;
        }
        if x + 8 <= width {
            group::<1>(rows, x, height, background, out);
            x += 8;
        }
        x
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn group<const N: usize>(rows: Rows<'_>, x: usize, height: usize, background: u32, out: &mut Columns) {
        let zero = _mm256_setzero_si256();
        let (mut first, mut end, mut started) = ([zero; N], [zero; N], [zero; N]);
        let mut running = SEEDS.map(|seed| [_mm256_set1_epi32(seed as i32); N]);
        let mut kept = [[zero; N]; 2];
        let ones = _mm256_cmpeq_epi32(zero, zero);
        let (mask, background) = (_mm256_set1_epi32(COLOR as i32), _mm256_set1_epi32(background as i32));
        for y in 0..height {
            let bytes = rows.bytes[y * rows.stride + x * 4..][..32 * N].as_chunks::<32>().0;
            let below = _mm256_set1_epi32(y as i32 + 1);
            for i in 0..N {
                let pixel = _mm256_and_si256(load_bytes(&bytes[i]), mask);
                let is_other = _mm256_andnot_si256(_mm256_cmpeq_epi32(pixel, background), ones);
                started[i] = _mm256_or_si256(started[i], is_other);
                // A lane that is true is −1.
                first[i] = _mm256_sub_epi32(first[i], _mm256_andnot_si256(started[i], ones));
                end[i] = _mm256_blendv_epi8(end[i], below, is_other);
                let next = [mix_a(running[0][i], pixel), mix_b(running[1][i], pixel)];
                for (kind, next) in next.into_iter().enumerate() {
                    running[kind][i] = _mm256_blendv_epi8(running[kind][i], next, started[i]);
                    kept[kind][i] = _mm256_blendv_epi8(kept[kind][i], next, is_other);
                }
            }
        }
        for i in 0..N {
            let at = x + 8 * i;
            store(&mut out.first, at, first[i]);
            store(&mut out.end, at, end[i]);
            store(&mut out.hash[0], at, kept[0][i]);
            store(&mut out.hash[1], at, kept[1][i]);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn mix_a(hash: __m256i, pixel: __m256i) -> __m256i {
        let product = _mm256_mullo_epi32(_mm256_xor_si256(hash, pixel), _mm256_set1_epi32(FACTORS[0] as i32));
        _mm256_xor_si256(product, _mm256_srli_epi32::<15>(product))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn mix_b(hash: __m256i, pixel: __m256i) -> __m256i {
        let product = _mm256_mullo_epi32(_mm256_add_epi32(hash, pixel), _mm256_set1_epi32(FACTORS[1] as i32));
        _mm256_or_si256(_mm256_slli_epi32::<13>(product), _mm256_srli_epi32::<19>(product))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(to: &mut [u32], at: usize, value: __m256i) {
        store_lanes((&mut to[at..at + 8]).try_into().expect("8 lanes"), value);
    }
}
