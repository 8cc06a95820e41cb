//! The colours of NSCodec: luma, orange and green difference, with colour loss and rounding ([MS-RDPNSC] 3.1.8.1).
//! The decoder computes g = y + cg, r = y + co − cg, b = y − co − cg from what is written here, shifted back.

use crate::Level;
use crate::cpu::dispatch;

/// One row in three planes of at least as many bytes as the row has pixels.
#[derive(Debug)]
pub struct RowOut<'a> {
    /// Luma.
    pub y: &'a mut [u8],
    /// Orange difference, signed.
    pub co: &'a mut [u8],
    /// Green difference, signed.
    pub cg: &'a mut [u8],
}

/// Converts a row of B, G, R, X. `loss` is the colour loss level, 1 to 7; others count as the nearest.
///
/// # Panics
/// If a plane is shorter than the row.
pub fn convert(level: Level, row: &[u8], loss: u8, out: RowOut<'_>) {
    let loss = u32::from(loss.clamp(1, 7));
    let width = row.len() / 4;
    assert!(out.y.len() >= width && out.co.len() >= width && out.cg.len() >= width);
    let RowOut { y, co, cg } = out;
    let done = dispatch!(level, 0, avx2::convert(row, loss, y, co, cg));
    for (x, pixel) in row.as_chunks::<4>().0.iter().enumerate().skip(done) {
        let [b, g, r, _] = pixel.map(i32::from);
        y[x] = ((b + 2 * g + r + 2) >> 2) as u8;
        co[x] = chroma(r - b, loss, loss) as u8;
        cg[x] = chroma(2 * g - r - b, loss + 1, loss) as u8;
    }
}

/// Rounds and shifts; what would not come back as the same sign is clamped.
fn chroma(value: i32, shift: u32, loss: u32) -> i32 {
    let most = 127 >> (loss - 1);
    ((value + (1 << (shift - 1))) >> shift).clamp(-most - 1, most)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_cvtsi32_si128, _mm256_add_epi16, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_max_epi16,
        _mm256_min_epi16, _mm256_packs_epi16, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permutevar8x32_epi32,
        _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_sra_epi16,
    };

    use crate::vector::{load_bytes, store_bytes};

    /// Weights of B, G, R and X as the bytes of a word.
    const LUMA: i32 = i32::from_le_bytes([1, 2, 1, 0]);
    const ORANGE: i32 = i32::from_le_bytes([0xFF, 0, 1, 0]);
    const GREEN: i32 = i32::from_le_bytes([0xFF, 2, 0xFF, 0]);

    /// 32 pixels at a time; returns how many are done.
    #[target_feature(enable = "avx2")]
    pub(super) fn convert(row: &[u8], loss: u32, y: &mut [u8], co: &mut [u8], cg: &mut [u8]) -> usize {
        let groups = row.as_chunks::<32>().0.as_chunks::<4>().0;
        let y = y.as_chunks_mut::<32>().0.iter_mut();
        let chroma = co.as_chunks_mut::<32>().0.iter_mut().zip(cg.as_chunks_mut::<32>().0);
        for ((group, y), (co, cg)) in groups.iter().zip(y).zip(chroma) {
            let pixels = group.each_ref().map(|bytes| load_bytes(bytes));
            let [low, high] = sums(pixels, LUMA).map(|sum| shifted(sum, 2));
            store_bytes(y, in_order(_mm256_packus_epi16(low, high)));
            let orange = sums(pixels, ORANGE).map(|sum| clamped(shifted(sum, loss), loss));
            store_bytes(co, in_order(_mm256_packs_epi16(orange[0], orange[1])));
            let green = sums(pixels, GREEN).map(|sum| clamped(shifted(sum, loss + 1), loss));
            store_bytes(cg, in_order(_mm256_packs_epi16(green[0], green[1])));
        }
        groups.len() * 32
    }

    /// The weighted sum of each pixel's bytes, as 16-bit lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sums(pixels: [__m256i; 4], weights: i32) -> [__m256i; 2] {
        let (weights, ones) = (_mm256_set1_epi32(weights), _mm256_set1_epi16(1));
        let [a, b, c, d] = pixels.map(|pixel| _mm256_madd_epi16(_mm256_maddubs_epi16(pixel, weights), ones));
        [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn shifted(value: __m256i, shift: u32) -> __m256i {
        let half = _mm256_set1_epi16(1 << (shift - 1));
        _mm256_sra_epi16(_mm256_add_epi16(value, half), _mm_cvtsi32_si128(shift as i32))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn clamped(value: __m256i, loss: u32) -> __m256i {
        let most = 127 >> (loss - 1);
        let (low, high) = (_mm256_set1_epi16(-most - 1), _mm256_set1_epi16(most));
        _mm256_max_epi16(_mm256_min_epi16(value, high), low)
    }

    /// Undoes what two rounds of packing within halves did.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn in_order(bytes: __m256i) -> __m256i {
        _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }
}
