//! Pixman's format codes, as hypervisors send them, and our pixel formats. Alpha of a frame is ignored.
//!
//! A code is bits per pixel, type (2 ARGB, 3 ABGR, 8 BGRA, 9 RGBA, named from the word's high bits down) and the widths
//! of A, R, G, B (pixman.h, `PIXMAN_FORMAT`). Words are little-endian.

use rdpmux_model::PixelFormat;

/// `PIXMAN_a8r8g8b8`.
pub const A8R8G8B8: u32 = 0x2002_8888;
/// `PIXMAN_x8r8g8b8`.
pub const X8R8G8B8: u32 = 0x2002_0888;
/// `PIXMAN_a8b8g8r8`.
pub const A8B8G8R8: u32 = 0x2003_8888;
/// `PIXMAN_x8b8g8r8`.
pub const X8B8G8R8: u32 = 0x2003_0888;
/// `PIXMAN_b8g8r8a8`.
pub const B8G8R8A8: u32 = 0x2008_8888;
/// `PIXMAN_b8g8r8x8`.
pub const B8G8R8X8: u32 = 0x2008_0888;
/// `PIXMAN_r8g8b8a8`.
pub const R8G8B8A8: u32 = 0x2009_8888;
/// `PIXMAN_r8g8b8x8`.
pub const R8G8B8X8: u32 = 0x2009_0888;
/// `PIXMAN_r8g8b8`.
pub const R8G8B8: u32 = 0x1802_0888;
/// `PIXMAN_b8g8r8`.
pub const B8G8R8: u32 = 0x1803_0888;
/// `PIXMAN_r5g6b5`.
pub const R5G6B5: u32 = 0x1002_0565;
/// `PIXMAN_a1r5g5b5`.
pub const A1R5G5B5: u32 = 0x1002_1555;
/// `PIXMAN_x1r5g5b5`.
pub const X1R5G5B5: u32 = 0x1002_0555;

/// Codes and what they are in memory, first byte first.
const TABLE: [(u32, PixelFormat); 13] = [
    (X8R8G8B8, PixelFormat::Bgrx32),
    (A8R8G8B8, PixelFormat::Bgrx32),
    (X8B8G8R8, PixelFormat::Rgbx32),
    (A8B8G8R8, PixelFormat::Rgbx32),
    (B8G8R8X8, PixelFormat::Xrgb32),
    (B8G8R8A8, PixelFormat::Xrgb32),
    (R8G8B8X8, PixelFormat::Xbgr32),
    (R8G8B8A8, PixelFormat::Xbgr32),
    (R8G8B8, PixelFormat::Bgr24),
    (B8G8R8, PixelFormat::Rgb24),
    (R5G6B5, PixelFormat::Rgb16),
    (X1R5G5B5, PixelFormat::Rgb15),
    (A1R5G5B5, PixelFormat::Rgb15),
];

/// The format that a code names; `None` for one that no display of a machine has.
pub fn of_pixman(code: u32) -> Option<PixelFormat> {
    TABLE
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, format)| *format)
}

/// A code for a format, that without alpha.
pub fn to_pixman(format: PixelFormat) -> u32 {
    let row = TABLE.iter().find(|(_, known)| *known == format);
    row.map(|(code, _)| *code).expect("each format is in the table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_formats_of_protocol_5_are_known_and_others_are_not() {
        for code in [R8G8B8A8, R8G8B8X8, A8R8G8B8, X8R8G8B8, R8G8B8, B8G8R8, R5G6B5, X1R5G5B5] {
            let format = of_pixman(code).expect("known");
            assert_eq!(of_pixman(to_pixman(format)), Some(format));
            // The code's highest byte counts the bits.
            assert_eq!((code >> 24) as usize, format.bytes() * 8);
        }
        for code in [0, u32::MAX, 0x0801_8000, 0x2002_0889] {
            assert_eq!(of_pixman(code), None, "{code:#x}");
        }
    }
}
