//! Pixman's format codes, as QEMU sends them, to our pixel formats. Alpha of a frame is ignored.

use rdpmux_model::PixelFormat;

/// `None` for a format that no QEMU display device uses.
///
/// A code is bits per pixel, type (2 ARGB, 3 ABGR, 8 BGRA, 9 RGBA, named from the word's high bits down) and the
/// widths of A, R, G, B (pixman.h `PIXMAN_FORMAT`). Words are little-endian.
pub(super) fn of_pixman(code: u32) -> Option<PixelFormat> {
    let format = match code {
        0x2002_0888 | 0x2002_8888 => PixelFormat::Bgrx32,
        0x2003_0888 | 0x2003_8888 => PixelFormat::Rgbx32,
        0x2008_0888 | 0x2008_8888 => PixelFormat::Xrgb32,
        0x2009_0888 | 0x2009_8888 => PixelFormat::Xbgr32,
        0x1802_0888 => PixelFormat::Bgr24,
        0x1803_0888 => PixelFormat::Rgb24,
        0x1002_0565 => PixelFormat::Rgb16,
        0x1002_0555 | 0x1002_1555 => PixelFormat::Rgb15,
        _ => return None,
    };
    Some(format)
}
