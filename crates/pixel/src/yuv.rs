//! B, G, R, X to the 4:2:0 pictures that H.264 codes: full-range BT.709, as every RDP client turns them back
//! ([MS-RDPEGFX] 3.3.8.3.1), and the second picture that carries the rest of the chroma for 4:4:4 (AVC444v2, 3.3.8.3.3).
//!
//! Pictures are padded to multiples of 32 columns and 16 rows by repeating the last ones: macroblocks are 16 wide, and
//! FreeRDP looks for the halves of an auxiliary picture at half of the width rounded up to 32.

use crate::cpu::dispatch;
use crate::{Level, Rows};

/// One 4:2:0 picture.
#[derive(Debug, Clone, Default)]
pub struct I420 {
    width: usize,
    height: usize,
    /// Y, Cb, Cr, each without padding between rows.
    data: Vec<u8>,
}

impl I420 {
    /// A picture that has room for `width` × `height` pixels, padded; its bytes are unspecified but initialised.
    ///
    /// # Panics
    /// If an edge is 0 or over 32,768.
    pub fn resize(&mut self, width: usize, height: usize) {
        assert!((1..=32_768).contains(&width) && (1..=32_768).contains(&height));
        (self.width, self.height) = padded(width, height);
        self.data.resize(self.width * self.height * 3 / 2, 0);
    }

    /// Columns, a multiple of 32; also the bytes from one luma row to the next, twice those of a chroma row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows, a multiple of 16.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Y, Cb, Cr.
    pub fn planes(&self) -> [&[u8]; 3] {
        let (y, chroma) = self.data.split_at(self.width * self.height);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        [y, u, v]
    }

    fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let (y, chroma) = self.data.split_at_mut(self.width * self.height);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        [y, u, v]
    }
}

/// The size of the picture that holds `width` × `height` pixels.
pub fn padded(width: usize, height: usize) -> (usize, usize) {
    (width.next_multiple_of(32), height.next_multiple_of(16))
}

/// Weights of blue, green and red, times 32,768. Those of Y add up to 1, the others to 0, so that grey stays grey.
const LUMA: [i16; 3] = [2366, 23_436, 6966];
const CB: [i16; 3] = [16_384, -12_630, -3754];
const CR: [i16; 3] = [-1502, -14_882, 16_384];

/// The picture itself, chroma averaged over 2 × 2 pixels: all of AVC420, the main picture of AVC444.
///
/// # Panics
/// If an edge is 0 or over 32,768, or a row is not inside the bytes.
pub fn main_picture(level: Level, source: Rows<'_>, width: usize, height: usize, picture: &mut I420) {
    picture.resize(width, height);
    let columns = picture.width;
    let [y, u, v] = picture.planes_mut();
    let chroma = u.chunks_exact_mut(columns / 2).zip(v.chunks_exact_mut(columns / 2));
    let mut scratch = Scratch::new(columns);
    for (at, (luma, (u, v))) in y.chunks_exact_mut(columns * 2).zip(chroma).enumerate() {
        let pair = scratch.pair(source, width, height, at * 2);
        let (top, bottom) = luma.split_at_mut(columns);
        dispatch!(
            level,
            scalar_pair(pair, [top, bottom], u, v),
            avx2::pair(pair, [top, bottom], u, v)
        );
    }
}

/// The chroma that the main picture lacks, arranged as a 4:2:0 picture of the same size: the auxiliary picture of
/// AVC444v2. Luma holds the chroma of odd columns (Cb left, Cr right), the chroma planes that of even columns in odd rows.
///
/// # Panics
/// As [`main_picture`].
pub fn auxiliary_picture(level: Level, source: Rows<'_>, width: usize, height: usize, picture: &mut I420) {
    picture.resize(width, height);
    let columns = picture.width;
    let [luma, even, other] = picture.planes_mut();
    let chroma = even
        .chunks_exact_mut(columns / 2)
        .zip(other.chunks_exact_mut(columns / 2));
    let mut scratch = Scratch::new(columns);
    let (mut cb, mut cr) = (vec![0; columns], vec![0; columns]);
    for (at, (luma, (even, other))) in luma.chunks_exact_mut(columns * 2).zip(chroma).enumerate() {
        let pair = scratch.pair(source, width, height, at * 2);
        for (pixels, luma) in pair.into_iter().zip(luma.chunks_exact_mut(columns)) {
            dispatch!(
                level,
                scalar_chroma(pixels, &mut cb, &mut cr),
                avx2::chroma(pixels, &mut cb, &mut cr)
            );
            let (left, right) = luma.split_at_mut(columns / 2);
            pick::<2>(&cb, 1, left);
            pick::<2>(&cr, 1, right);
        }
        // `cb` and `cr` are of the odd row now.
        for (offset, plane) in [(0, even), (2, other)] {
            let (left, right) = plane.split_at_mut(columns / 4);
            pick::<4>(&cb, offset, left);
            pick::<4>(&cr, offset, right);
        }
    }
}

/// How many of a thousand samples of chroma 4:2:0 would show visibly wrongly: at edges between saturated colours. Looks at
/// two rows of every 16.
///
/// # Panics
/// As [`main_picture`].
pub fn lost_chroma(level: Level, source: Rows<'_>, width: usize, height: usize) -> u32 {
    let (columns, rows) = padded(width, height);
    let mut scratch = Scratch::new(columns);
    let (mut cb, mut cr) = (
        [vec![0; columns], vec![0; columns]],
        [vec![0; columns], vec![0; columns]],
    );
    let (mut lost, mut seen) = (0, 0);
    // The middle of each 16, as the edges of what is shown are often black.
    for y in (0..rows)
        .step_by(16)
        .map(|y| (y + 8).min(height.next_multiple_of(2) - 2))
    {
        let pair = scratch.pair(source, width, height, y);
        for (pixels, (cb, cr)) in pair.into_iter().zip(cb.iter_mut().zip(&mut cr)) {
            dispatch!(level, scalar_chroma(pixels, cb, cr), avx2::chroma(pixels, cb, cr));
        }
        lost += far_from_average(&cb) + far_from_average(&cr);
        seen += columns * 4;
    }
    (lost * 1000 / seen.max(1)) as u32
}

/// Samples of two rows that are further from the average of their 2 × 2 than the eye forgives: 16 of Cb are 30 of blue.
fn far_from_average([top, bottom]: &[Vec<u8>; 2]) -> usize {
    const FAR: u16 = 16;
    let squares = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
    let far = |(top, bottom): (&[u8; 2], &[u8; 2])| {
        let samples = [top[0], top[1], bottom[0], bottom[1]].map(u16::from);
        let average = (samples.iter().sum::<u16>() + 2) / 4;
        samples.iter().filter(|sample| sample.abs_diff(average) > FAR).count()
    };
    squares.map(far).sum()
}

/// Every `STEP`th byte from `offset` on.
#[inline]
fn pick<const STEP: usize>(from: &[u8], offset: usize, to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from.as_chunks::<STEP>().0) {
        *to = from[offset];
    }
}

/// Gives rows of the padded width, from the source itself where it is as wide.
struct Scratch {
    rows: [Vec<u8>; 2],
    columns: usize,
}

impl Scratch {
    fn new(columns: usize) -> Self {
        Self {
            rows: [Vec::new(), Vec::new()],
            columns,
        }
    }

    fn pair<'a>(&'a mut self, source: Rows<'a>, width: usize, height: usize, y: usize) -> [&'a [u8]; 2] {
        let pixels = |y: usize| source.row(y.min(height - 1), width * 4);
        if width == self.columns {
            return [pixels(y), pixels(y + 1)];
        }
        for (row, y) in self.rows.iter_mut().zip(y..) {
            let pixels = pixels(y);
            row.clear();
            row.extend_from_slice(pixels);
            for _ in width..self.columns {
                row.extend_from_slice(&pixels[pixels.len() - 4..]);
            }
        }
        self.rows.each_ref().map(Vec::as_slice)
    }
}

fn weigh(pixel: [i32; 3], weights: [i16; 3]) -> i32 {
    pixel
        .iter()
        .zip(weights)
        .map(|(value, weight)| value * i32::from(weight))
        .sum()
}

fn widen(pixel: &[u8; 4]) -> [i32; 3] {
    [pixel[0], pixel[1], pixel[2]].map(i32::from)
}

fn scalar_pair(rows: [&[u8]; 2], luma: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) {
    for (row, luma) in rows.iter().zip(luma) {
        for (pixel, luma) in row.as_chunks::<4>().0.iter().zip(luma) {
            *luma = ((weigh(widen(pixel), LUMA) + (1 << 14)) >> 15) as u8;
        }
    }
    let squares = rows[0].as_chunks::<8>().0.iter().zip(rows[1].as_chunks::<8>().0);
    for ((top, bottom), (u, v)) in squares.zip(u.iter_mut().zip(v)) {
        let mut sum = [0; 3];
        for pixel in top.as_chunks::<4>().0.iter().chain(bottom.as_chunks::<4>().0) {
            for (sum, value) in sum.iter_mut().zip(widen(pixel)) {
                *sum += value;
            }
        }
        let chroma = |weights| ((weigh(sum, weights) + (1 << 16) + (128 << 17)) >> 17).clamp(0, 255) as u8;
        (*u, *v) = (chroma(CB), chroma(CR));
    }
}

fn scalar_chroma(pixels: &[u8], u: &mut [u8], v: &mut [u8]) {
    for (pixel, (u, v)) in pixels.as_chunks::<4>().0.iter().zip(u.iter_mut().zip(v)) {
        let pixel = widen(pixel);
        let chroma = |weights| ((weigh(pixel, weights) + (1 << 14) + (128 << 15)) >> 15).clamp(0, 255) as u8;
        (*u, *v) = (chroma(CB), chroma(CR));
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_castps_si256, _mm256_castsi256_ps,
        _mm256_madd_epi16, _mm256_packus_epi16, _mm256_packus_epi32, _mm256_permute4x64_epi64,
        _mm256_permutevar8x32_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_shuffle_ps,
        _mm256_srai_epi32, _mm256_srli_epi16,
    };

    use super::{CB, CR, LUMA};
    use crate::vector::{load_bytes, store_bytes};

    /// Two rows of a multiple of 32 pixels.
    #[target_feature(enable = "avx2")]
    pub(super) fn pair(rows: [&[u8]; 2], luma: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) {
        let [top, bottom] = rows.map(|row| row.as_chunks::<32>().0.as_chunks::<4>().0);
        let [luma_top, luma_bottom] = luma.map(|row| row.as_chunks_mut::<32>().0);
        let (u, v) = (u.as_chunks_mut::<16>().0, v.as_chunks_mut::<16>().0);
        let luma = luma_top.iter_mut().zip(luma_bottom);
        for (((top, bottom), (luma_top, luma_bottom)), (u, v)) in
            top.iter().zip(bottom).zip(luma).zip(u.iter_mut().zip(v))
        {
            let (top, bottom) = (Words::of(top), Words::of(bottom));
            store_bytes(luma_top, top.weigh::<15>(LUMA, 0));
            store_bytes(luma_bottom, bottom.weigh::<15>(LUMA, 0));
            let squares = top.squares(&bottom);
            let [u_sum, v_sum] = [CB, CR].map(|weights| weigh_pair::<17>(squares, weights, 128));
            let mut both = [0; 32];
            store_bytes(&mut both, narrow_two(u_sum, v_sum));
            u.copy_from_slice(&both[..16]);
            v.copy_from_slice(&both[16..]);
        }
    }

    /// A row of a multiple of 32 pixels.
    #[target_feature(enable = "avx2")]
    pub(super) fn chroma(pixels: &[u8], u: &mut [u8], v: &mut [u8]) {
        let pixels = pixels.as_chunks::<32>().0.as_chunks::<4>().0;
        let (u, v) = (u.as_chunks_mut::<32>().0, v.as_chunks_mut::<32>().0);
        for (pixels, (u, v)) in pixels.iter().zip(u.iter_mut().zip(v)) {
            let words = Words::of(pixels);
            store_bytes(u, words.weigh::<15>(CB, 128));
            store_bytes(v, words.weigh::<15>(CR, 128));
        }
    }

    /// 32 pixels: blue and red as pairs of words, green and the unused byte as pairs.
    #[derive(Clone, Copy)]
    struct Words {
        blue_red: [__m256i; 4],
        green: [__m256i; 4],
    }

    impl Words {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn of(pixels: &[[u8; 32]; 4]) -> Self {
            let pixels = [
                load_bytes(&pixels[0]),
                load_bytes(&pixels[1]),
                load_bytes(&pixels[2]),
                load_bytes(&pixels[3]),
            ];
            Self {
                blue_red: pixels.map(|p| _mm256_and_si256(p, _mm256_set1_epi16(0xFF))),
                green: pixels.map(|p| _mm256_srli_epi16::<8>(p)),
            }
        }

        /// 32 bytes in order.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn weigh<const SHIFT: i32>(&self, weights: [i16; 3], middle: i32) -> __m256i {
            let sums = [0, 1, 2, 3].map(|i| weigh::<SHIFT>(self.blue_red[i], self.green[i], weights, middle));
            narrow(sums)
        }

        /// Sums of 2 × 2 pixels: eight in the order 0 1 4 5 2 3 6 7, twice.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn squares(&self, below: &Self) -> [(__m256i, __m256i); 2] {
            [0, 2].map(|i| {
                let columns = |a: &[__m256i; 4], b: &[__m256i; 4]| {
                    beside(_mm256_add_epi16(a[i], b[i]), _mm256_add_epi16(a[i + 1], b[i + 1]))
                };
                (
                    columns(&self.blue_red, &below.blue_red),
                    columns(&self.green, &below.green),
                )
            })
        }
    }

    /// Sums of neighbours among the 16 pairs of words of `a` and `b`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn beside(a: __m256i, b: __m256i) -> __m256i {
        let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
        let even = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
        let odd = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
        _mm256_add_epi16(even, odd)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn weigh_pair<const SHIFT: i32>(squares: [(__m256i, __m256i); 2], weights: [i16; 3], middle: i32) -> [__m256i; 2] {
        squares.map(|(blue_red, green)| weigh::<SHIFT>(blue_red, green, weights, middle))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn weigh<const SHIFT: i32>(blue_red: __m256i, green: __m256i, weights: [i16; 3], middle: i32) -> __m256i {
        let pair = |low: i16, high: i16| _mm256_set1_epi32(i32::from(low) & 0xFFFF | i32::from(high) << 16);
        let outer = _mm256_madd_epi16(blue_red, pair(weights[0], weights[2]));
        let inner = _mm256_madd_epi16(green, pair(weights[1], 0));
        let rounding = _mm256_set1_epi32((middle << SHIFT) + (1 << (SHIFT - 1)));
        _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(_mm256_add_epi32(outer, inner), rounding))
    }

    /// 32 saturated bytes in order.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn narrow(sums: [__m256i; 4]) -> __m256i {
        let words = [
            _mm256_packus_epi32(sums[0], sums[1]),
            _mm256_packus_epi32(sums[2], sums[3]),
        ];
        let bytes = _mm256_packus_epi16(words[0], words[1]);
        _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }

    /// 16 saturated bytes of `u` in order and 16 of `v`, each from sums in the order of [`Words::squares`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn narrow_two(u: [__m256i; 2], v: [__m256i; 2]) -> __m256i {
        let [u, v] = [u, v].map(|sums| {
            let [first, second] = sums.map(|sum| _mm256_permute4x64_epi64::<0b11_01_10_00>(sum));
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(first, second))
        });
        _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(u, v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(level: Level, pixels: &[u8], width: usize, height: usize) -> I420 {
        let mut picture = I420::default();
        let source = Rows {
            bytes: pixels,
            stride: width * 4,
        };
        main_picture(level, source, width, height, &mut picture);
        picture
    }

    #[test]
    fn grey_stays_grey_and_primaries_are_those_of_bt_709() {
        for level in Level::all() {
            for grey in [0, 1, 127, 254, 255] {
                let picture = picture(level, &[grey, grey, grey, 9].repeat(4), 2, 2);
                let [y, u, v] = picture.planes();
                assert!(y.iter().all(|&y| y == grey) && u.iter().chain(v).all(|&c| c == 128));
            }
            let first = |bgrx: [u8; 4]| {
                let picture = picture(level, &bgrx, 1, 1);
                picture.planes().map(|plane| plane[0])
            };
            assert_eq!(first([0, 0, 255, 0]), [54, 99, 255]);
            assert_eq!(first([0, 255, 0, 0]), [182, 30, 12]);
            assert_eq!(first([255, 0, 0, 0]), [18, 255, 116]);
        }
    }

    #[test]
    fn edges_between_saturated_colours_are_lost_and_soft_ones_are_not() {
        let (width, height) = (90, 50);
        let loss = |pixel: fn(usize, usize) -> [u8; 4]| {
            let pixels: Vec<u8> = (0..width * height).flat_map(|i| pixel(i % width, i / width)).collect();
            let source = Rows {
                bytes: &pixels,
                stride: width * 4,
            };
            let loss = |level| lost_chroma(level, source, width, height);
            let losses: Vec<u32> = Level::all().into_iter().map(loss).collect();
            assert!(losses.iter().all(|loss| *loss == losses[0]));
            losses[0]
        };
        assert_eq!(loss(|_, _| [0, 0, 255, 0]), 0);
        assert_eq!(loss(|x, y| [(x * 2) as u8, (y * 4) as u8, 255 - (x + y) as u8, 0]), 0);
        assert_eq!(loss(|x, _| [(x % 2 * 255) as u8; 4]), 0, "grey has no chroma to lose");
        assert!(loss(|x, _| if x % 2 == 0 { [0, 0, 255, 0] } else { [255, 0, 0, 0] }) > 900);
        assert_eq!(
            loss(|x, y| if (x / 2 + y / 2) % 2 == 0 {
                [0, 0, 255, 0]
            } else {
                [255, 0, 0, 0]
            }),
            0
        );
    }

    #[test]
    fn both_pictures_of_444_hold_every_chroma_sample() {
        let (width, height) = (64, 32);
        let mut pixels = Vec::new();
        for i in 0..width * height {
            let (x, y) = (i % width, i / width);
            pixels.extend([(x * 4) as u8, (y * 8) as u8, ((x ^ y) * 3) as u8, 255]);
        }
        let source = Rows {
            bytes: &pixels,
            stride: width * 4,
        };
        let mut auxiliary = I420::default();
        auxiliary_picture(Level::best(), source, width, height, &mut auxiliary);
        let [odd, even, other] = auxiliary.planes();
        let (mut cb, mut cr) = (vec![0; width], vec![0; width]);
        for y in 0..height {
            scalar_chroma(source.row(y, width * 4), &mut cb, &mut cr);
            for x in 0..width / 2 {
                assert_eq!(odd[y * width + x], cb[2 * x + 1]);
                assert_eq!(odd[y * width + width / 2 + x], cr[2 * x + 1]);
            }
            for x in (0..width / 4).filter(|_| y % 2 == 1) {
                let at = y / 2 * (width / 2) + x;
                assert_eq!([even[at], other[at]], [cb[4 * x], cb[4 * x + 2]]);
                assert_eq!(
                    [even[at + width / 4], other[at + width / 4]],
                    [cr[4 * x], cr[4 * x + 2]]
                );
            }
        }
    }
}
