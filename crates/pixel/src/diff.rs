//! Compare-and-copy: one pass over a rectangle that brings the shadow up to date and says exactly what changed.
//! The unused fourth byte never counts and is stored as 255, so that equal pictures are equal bytes.

use crate::cpu::dispatch;
use crate::{Level, Rows, RowsMut};

/// Where pixels changed, relative to the compared rectangle: columns `left..right` of rows `top..bottom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First changed column.
    pub left: usize,
    /// First changed row.
    pub top: usize,
    /// Column after the last changed one.
    pub right: usize,
    /// Row after the last changed one.
    pub bottom: usize,
}

/// Copies `width` × `height` pixels of B, G, R, X from `source` into `target` and returns the bounds of what differed
/// in B, G or R, or `None` if nothing did. The fourth byte of every pixel that was written becomes 255.
///
/// # Panics
/// If a row of either side is not inside its bytes.
pub fn update(level: Level, target: &mut RowsMut<'_>, source: Rows<'_>, width: usize, height: usize) -> Option<Bounds> {
    dispatch!(
        level,
        rows(target, source, width, height, update_row),
        avx2::update(target, source, width, height)
    )
}

/// Whether `width` × `height` pixels are equal in B, G and R: the quickest way to find that nothing changed, best on
/// wide rectangles.
///
/// # Panics
/// If a row of either side is not inside its bytes.
pub fn is_same(level: Level, one: Rows<'_>, other: Rows<'_>, width: usize, height: usize) -> bool {
    let row = |y| (one.row(y, width * 4), other.row(y, width * 4));
    dispatch!(
        level,
        (0..height).map(row).all(|(one, other)| same_row(one, other)),
        avx2::is_same((0..height).map(row))
    )
}

fn same_row(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (one.as_chunks::<4>().0, other.as_chunks::<4>().0);
    one.iter().zip(other).all(|(one, other)| one[..3] == other[..3])
}

#[inline(always)]
fn rows(
    target: &mut RowsMut<'_>,
    source: Rows<'_>,
    width: usize,
    height: usize,
    update_row: impl Fn(&mut [u8], &[u8]) -> Option<(usize, usize)>,
) -> Option<Bounds> {
    let mut bounds: Option<Bounds> = None;
    for y in 0..height {
        let Some((left, right)) = update_row(target.row(y, width * 4), source.row(y, width * 4)) else {
            continue;
        };
        let known = bounds.get_or_insert(Bounds {
            left,
            top: y,
            right,
            bottom: y,
        });
        known.left = known.left.min(left);
        known.right = known.right.max(right);
        known.bottom = y + 1;
    }
    bounds
}

/// One row; the columns from the first to after the last changed pixel.
fn update_row(target: &mut [u8], source: &[u8]) -> Option<(usize, usize)> {
    let mut changed = None;
    let (target, _) = target.as_chunks_mut::<4>();
    let (source, _) = source.as_chunks::<4>();
    for (x, (to, from)) in target.iter_mut().zip(source).enumerate() {
        if to[..3] != from[..3] {
            *to = [from[0], from[1], from[2], 255];
            changed = Some((changed.map_or(x, |(first, _)| first), x + 1));
        }
    }
    changed
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_movemask_ps, _mm256_or_si256,
        _mm256_set1_epi32, _mm256_setzero_si256, _mm256_testz_si256, _mm256_xor_si256,
    };

    use super::Bounds;
    use crate::vector::{load_bytes, store_bytes};
    use crate::{Rows, RowsMut};

    #[target_feature(enable = "avx2")]
    pub(super) fn update(target: &mut RowsMut<'_>, source: Rows<'_>, width: usize, height: usize) -> Option<Bounds> {
        // The closure inherits the feature of this function.
        super::rows(target, source, width, height, |to, from| update_row(to, from))
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn is_same<'a>(rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
        for (one, other) in rows {
            let (one, one_tail) = one.as_chunks::<32>();
            let (other, other_tail) = other.as_chunks::<32>();
            if !(equal(one, other) && super::same_row(one_tail, other_tail)) {
                return false;
            }
        }
        true
    }

    #[target_feature(enable = "avx2")]
    fn update_row(target: &mut [u8], source: &[u8]) -> Option<(usize, usize)> {
        let (to, to_tail) = target.as_chunks_mut::<32>();
        let (from, from_tail) = source.as_chunks::<32>();
        let whole = if equal(to, from) { None } else { copy_changed(to, from) };
        let start = to.len() * 8;
        let tail = super::update_row(to_tail, from_tail).map(|(first, end)| (first + start, end + start));
        match (whole, tail) {
            (Some((first, _)), Some((_, end))) => Some((first, end)),
            (one, other) => one.or(other),
        }
    }

    #[target_feature(enable = "avx2")]
    fn difference(to: &[u8; 32], from: &[u8; 32]) -> __m256i {
        let colors = _mm256_set1_epi32(0x00FF_FFFF);
        _mm256_and_si256(_mm256_xor_si256(load_bytes(to), load_bytes(from)), colors)
    }

    #[target_feature(enable = "avx2")]
    fn equal(to: &[[u8; 32]], from: &[[u8; 32]]) -> bool {
        // Several sums, so that none waits for the one before; the fourth bytes are left out once, at the end.
        let mut sums = [_mm256_setzero_si256(); 4];
        let (to, to_rest) = to.as_chunks::<4>();
        let (from, from_rest) = from.as_chunks::<4>();
        for (to, from) in to.iter().zip(from) {
            for ((sum, to), from) in sums.iter_mut().zip(to).zip(from) {
                *sum = _mm256_or_si256(*sum, _mm256_xor_si256(load_bytes(to), load_bytes(from)));
            }
        }
        for (to, from) in to_rest.iter().zip(from_rest) {
            sums[0] = _mm256_or_si256(sums[0], _mm256_xor_si256(load_bytes(to), load_bytes(from)));
        }
        let sum = _mm256_or_si256(_mm256_or_si256(sums[0], sums[1]), _mm256_or_si256(sums[2], sums[3]));
        _mm256_testz_si256(sum, _mm256_set1_epi32(0x00FF_FFFF)) == 1
    }

    #[target_feature(enable = "avx2")]
    fn copy_changed(to: &mut [[u8; 32]], from: &[[u8; 32]]) -> Option<(usize, usize)> {
        let (zero, opaque) = (_mm256_setzero_si256(), _mm256_set1_epi32(0xFF00_0000_u32 as i32));
        let (mut first, mut end) = (None, 0);
        for (i, (to, from)) in to.iter_mut().zip(from).enumerate() {
            let same = _mm256_cmpeq_epi32(difference(to, from), zero);
            let changed = !_mm256_movemask_ps(_mm256_castsi256_ps(same)) as u32 & 0xFF;
            if changed != 0 {
                store_bytes(to, _mm256_or_si256(load_bytes(from), opaque));
                first = first.or(Some(i * 8 + changed.trailing_zeros() as usize));
                end = i * 8 + 32 - changed.leading_zeros() as usize;
            }
        }
        first.map(|first| (first, end))
    }
}
