//! First stage of a RemoteFX tile: B, G, R, X to Y, Cb, Cr in 11.5 fixed point ([MS-RDPRFX] 3.1.8.1.3).

use crate::cpu::dispatch;
use crate::{Level, Rows, TILE_PIXELS};

/// Y, Cb and Cr of one tile, 64 × 64 each, Y less its middle.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub struct Planes(pub [[i16; TILE_PIXELS]; 3]);

impl Planes {
    /// All 0.
    pub const fn new() -> Self {
        Self([[0; TILE_PIXELS]; 3])
    }
}

impl Default for Planes {
    fn default() -> Self {
        Self::new()
    }
}

/// Weights of red, green and blue for Y, Cb and Cr, times 8192: the irreversible colour transform.
const WEIGHTS: [[i16; 3]; 3] = [[2449, 4809, 934], [-1384, -2717, 4101], [4094, -3429, -666]];
/// Half of the range of Y.
const MIDDLE: i16 = 4096;

/// Converts a rectangle of 1 to 64 columns and rows; the rest of the tile repeats its last column and row.
///
/// # Panics
/// If an edge is not within `1..=64` or a row is not inside the bytes.
pub fn convert(level: Level, source: Rows<'_>, width: usize, height: usize, planes: &mut Planes) {
    assert!((1..=64).contains(&width) && (1..=64).contains(&height));
    dispatch!(
        level,
        rows(source, width, height, |y, pixels| scalar_row(pixels, y, planes)),
        avx2::convert(source, width, height, planes)
    );
}

/// Gives each of the 64 rows with all its 64 pixels.
#[inline(always)]
fn rows(source: Rows<'_>, width: usize, height: usize, mut row: impl FnMut(usize, &[u8; 256])) {
    let mut edge = [0; 256];
    for y in 0..64 {
        let pixels = source.row(y.min(height - 1), width * 4);
        if let Ok(whole) = pixels.try_into() {
            row(y, whole);
            continue;
        }
        edge[..pixels.len()].copy_from_slice(pixels);
        let last = &pixels[pixels.len() - 4..];
        for pixel in edge[pixels.len()..].chunks_exact_mut(4) {
            pixel.copy_from_slice(last);
        }
        row(y, &edge);
    }
}

fn scalar_row(pixels: &[u8; 256], y: usize, planes: &mut Planes) {
    for (x, pixel) in pixels.as_chunks::<4>().0.iter().enumerate() {
        let [b, g, r, _] = pixel.map(|v| i32::from(v) << 7);
        // A rounded product, as `pmulhrsw` computes it.
        let part = |value: i32, weight: i16| ((value * i32::from(weight) + 0x4000) >> 15) as i16;
        for (plane, [wr, wg, wb]) in planes.0.iter_mut().zip(WEIGHTS) {
            plane[y * 64 + x] = part(r, wr) + part(g, wg) + part(b, wb);
        }
        planes.0[0][y * 64 + x] -= MIDDLE;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi16, _mm256_and_si256, _mm256_mulhrs_epi16, _mm256_packus_epi32,
        _mm256_permute4x64_epi64, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_slli_epi16, _mm256_srli_epi32,
        _mm256_sub_epi16,
    };

    use super::{MIDDLE, Planes, WEIGHTS};
    use crate::Rows;
    use crate::vector::{load_bytes, store_words};

    #[target_feature(enable = "avx2")]
    pub(super) fn convert(source: Rows<'_>, width: usize, height: usize, planes: &mut Planes) {
        super::rows(source, width, height, |y, pixels| row(pixels, y, planes));
    }

    #[target_feature(enable = "avx2")]
    fn row(pixels: &[u8; 256], y: usize, planes: &mut Planes) {
        let [luma, blue, red] = planes.0.each_mut().map(|plane| &mut chunks(plane)[y]);
        for (x, pair) in pixels.as_chunks::<32>().0.as_chunks::<2>().0.iter().enumerate() {
            let (first, second) = (load_bytes(&pair[0]), load_bytes(&pair[1]));
            let rgb = [
                channel::<16>(first, second),
                channel::<8>(first, second),
                channel::<0>(first, second),
            ];
            let y = _mm256_sub_epi16(weigh(rgb, WEIGHTS[0]), _mm256_set1_epi16(MIDDLE));
            store_words(&mut luma[x], in_order(y));
            store_words(&mut blue[x], in_order(weigh(rgb, WEIGHTS[1])));
            store_words(&mut red[x], in_order(weigh(rgb, WEIGHTS[2])));
        }
    }

    /// Rows of four vectors.
    fn chunks(plane: &mut [i16; 4096]) -> &mut [[[i16; 16]; 4]] {
        plane.as_chunks_mut::<16>().0.as_chunks_mut::<4>().0
    }

    /// One channel of 16 pixels, times 128, the quarters in the order 0 2 1 3.
    #[target_feature(enable = "avx2")]
    fn channel<const SHIFT: i32>(first: __m256i, second: __m256i) -> __m256i {
        let byte = _mm256_set1_epi32(0xFF);
        let low = _mm256_and_si256(_mm256_srli_epi32::<SHIFT>(first), byte);
        let high = _mm256_and_si256(_mm256_srli_epi32::<SHIFT>(second), byte);
        _mm256_slli_epi16::<7>(_mm256_packus_epi32(low, high))
    }

    #[target_feature(enable = "avx2")]
    fn weigh([r, g, b]: [__m256i; 3], weights: [i16; 3]) -> __m256i {
        let [wr, wg, wb] = weights.map(|w| _mm256_set1_epi16(w));
        let sum = _mm256_add_epi16(_mm256_mulhrs_epi16(r, wr), _mm256_mulhrs_epi16(g, wg));
        _mm256_add_epi16(sum, _mm256_mulhrs_epi16(b, wb))
    }

    #[target_feature(enable = "avx2")]
    fn in_order(value: __m256i) -> __m256i {
        _mm256_permute4x64_epi64::<0xD8>(value)
    }
}
