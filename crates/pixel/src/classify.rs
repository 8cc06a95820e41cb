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
    dispatch!(level, count(source, width, height), avx2(source, width, height))
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
#[target_feature(enable = "avx2")]
fn avx2(source: Rows<'_>, width: usize, height: usize) -> Novelty {
    // The same loops, vectorised by the compiler for AVX2.
    count(source, width, height)
}

#[inline(always)]
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

#[inline(always)]
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
#[inline(always)]
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
