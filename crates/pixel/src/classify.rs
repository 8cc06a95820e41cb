//! Is a tile text or a picture? Counts pixels that are new compared with their left and upper neighbour, split by how
//! far they are from the nearer one: text jumps, pictures drift. Thresholds and their measured error are the caller's.

use crate::cpu::dispatch;
use crate::{Level, Rows};

/// What a tile is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Novelty {
    /// Pixels unlike both neighbours whose nearer one is within 4 in each of B, G and R.
    pub small: u32,
    /// Pixels unlike both neighbours by more.
    pub big: u32,
}

/// Counts the new pixels of a rectangle of at most 64 columns; its first row and first column have no neighbour and do
/// not count. The fourth byte of the pixels must be equal everywhere.
///
/// # Panics
/// If a row is not inside the bytes, or `width` is over 64.
pub fn novelty(level: Level, source: Rows<'_>, width: usize, height: usize) -> Novelty {
    dispatch!(
        level,
        count(source, width, height),
        avx2::novelty(source, width, height)
    )
}

/// The colour of a rectangle that has only one.
///
/// # Panics
/// If a row is not inside the bytes.
pub fn single_color(source: Rows<'_>, width: usize, height: usize) -> Option<[u8; 4]> {
    let (&first, _) = source.row(0, width * 4).split_first_chunk::<4>()?;
    let same = |y| source.row(y, width * 4).as_chunks::<4>().0.iter().all(|p| *p == first);
    (0..height).all(same).then_some(first)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_andnot_si256, _mm256_cmpeq_epi32, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256,
        _mm256_sub_epi32, _mm256_subs_epu8,
    };

    use super::Novelty;
    use crate::Rows;
    use crate::vector::{load_bytes, store_bytes};

    /// A row with its first pixel repeated before it and its last one after it: repeated pixels are never novel, so
    /// every row counts as 64 columns.
    type Padded = [u8; 4 + 256];

    #[target_feature(enable = "avx2")]
    pub(super) fn novelty(source: Rows<'_>, width: usize, height: usize) -> Novelty {
        let (mut row, mut above) = ([0; 260], [0; 260]);
        let (mut novel, mut small) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for y in 0..height {
            pad(source.row(y, width * 4), &mut row);
            if y > 0 {
                count_row(&row, &above, &mut novel, &mut small);
            }
            std::mem::swap(&mut row, &mut above);
        }
        let (novel, small) = (sum(novel), sum(small));
        Novelty {
            small,
            big: novel - small,
        }
    }

    fn pad(pixels: &[u8], row: &mut Padded) {
        let (Some(first), Some(last)) = (pixels.first_chunk::<4>(), pixels.last_chunk::<4>()) else {
            return;
        };
        row[..4].copy_from_slice(first);
        row[4..4 + pixels.len()].copy_from_slice(pixels);
        row[4 + pixels.len()..].as_chunks_mut().0.fill(*last);
    }

    #[target_feature(enable = "avx2")]
    fn count_row(row: &Padded, above: &Padded, novel: &mut __m256i, small: &mut __m256i) {
        let here = row[4..].as_chunks::<32>().0.iter();
        let left = row.as_chunks::<32>().0.iter();
        let above = above[4..].as_chunks::<32>().0.iter();
        for ((here, left), above) in here.zip(left).zip(above) {
            let (here, left, above) = (load_bytes(here), load_bytes(left), load_bytes(above));
            let known = _mm256_or_si256(_mm256_cmpeq_epi32(here, left), _mm256_cmpeq_epi32(here, above));
            let near = _mm256_or_si256(near(here, left), near(here, above));
            let all = _mm256_cmpeq_epi32(here, here);
            // A true lane is −1.
            *novel = _mm256_sub_epi32(*novel, _mm256_andnot_si256(known, all));
            *small = _mm256_sub_epi32(*small, _mm256_andnot_si256(known, near));
        }
    }

    /// Lanes whose bytes are each within 4; the fourth ones are equal.
    #[target_feature(enable = "avx2")]
    fn near(a: __m256i, b: __m256i) -> __m256i {
        let distance = _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a));
        let beyond = _mm256_subs_epu8(distance, _mm256_set1_epi8(4));
        _mm256_cmpeq_epi32(beyond, _mm256_setzero_si256())
    }

    #[target_feature(enable = "avx2")]
    fn sum(lanes: __m256i) -> u32 {
        let mut bytes = [0; 32];
        store_bytes(&mut bytes, lanes);
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|lane| u32::from_le_bytes(*lane))
            .sum()
    }
}

fn count(source: Rows<'_>, width: usize, height: usize) -> Novelty {
    let mut sum = Novelty::default();
    let mut above = [0_u32; 64];
    let mut row = [0_u32; 64];
    for y in 0..height {
        for (to, from) in row[..width].iter_mut().zip(source.row(y, width * 4).as_chunks::<4>().0) {
            *to = u32::from_le_bytes(*from);
        }
        if y > 0 && width > 1 {
            count_row(&row[..width], &above[..width], &mut sum);
        }
        std::mem::swap(&mut row, &mut above);
    }
    sum
}

fn count_row(row: &[u32], above: &[u32], sum: &mut Novelty) {
    let (mut novel, mut small) = (0, 0);
    for x in 1..row.len() {
        let (pixel, left, up) = (row[x], row[x - 1], above[x]);
        let is_novel = u32::from(pixel != left) & u32::from(pixel != up);
        let is_near = u32::from(near(pixel, left)) | u32::from(near(pixel, up));
        novel += is_novel;
        small += is_novel & is_near;
    }
    sum.small += small;
    sum.big += novel - small;
}

/// Whether B, G and R are each within 4.
fn near(a: u32, b: u32) -> bool {
    let channel = |shift: u32| ((a >> shift & 255) as i32 - (b >> shift & 255) as i32).unsigned_abs();
    channel(0) <= 4 && channel(8) <= 4 && channel(16) <= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_and_drifts_are_told_apart_at_every_level() {
        let mut pixels = vec![255; 64 * 64 * 4];
        for (i, pixel) in pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let (x, y) = (i % 64, i / 64);
            let text = if (x ^ y) & 1 == 0 { 0 } else { 200 };
            pixel[..3].fill(if y < 32 {
                text + (x * 7 % 41) as u8
            } else {
                (x + 2 * y) as u8
            });
        }
        for level in Level::all() {
            let rows = |from: usize| Rows {
                bytes: &pixels[from * 256..],
                stride: 256,
            };
            let (text, drift) = (novelty(level, rows(0), 64, 32), novelty(level, rows(32), 64, 32));
            assert!(text.big > 1800 && text.small == 0, "{text:?}");
            assert_eq!(drift, Novelty { small: 63 * 31, big: 0 });
            assert_eq!(novelty(level, rows(0), 64, 64), novelty(Level::SCALAR, rows(0), 64, 64));
            assert_eq!(novelty(level, rows(0), 1, 64), Novelty::default());
        }
    }

    #[test]
    fn one_colour_is_found() {
        let mut pixels = [7; 5 * 3 * 4];
        fn rows(bytes: &[u8]) -> Rows<'_> {
            Rows { bytes, stride: 20 }
        }
        assert_eq!(single_color(rows(&pixels), 5, 3), Some([7; 4]));
        pixels[18] = 1;
        assert_eq!(single_color(rows(&pixels), 5, 3), None);
        assert_eq!(single_color(rows(&pixels), 4, 3), Some([7; 4]));
    }
}
