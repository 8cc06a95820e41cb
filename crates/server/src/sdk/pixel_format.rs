//! Pixel formats of a display's bitmaps. Names give the order of the bytes in memory; in the 16-bit ones that of the bits of
//! a little-endian word from the top, as FreeRDP's do.

use rdpmux_engine::{PixelRows, SliceRows, SurfaceError};
use rdpmux_model::{PixelFormat as Pixels, Size};

/// How the pixels of a [`BitmapUpdate`](crate::BitmapUpdate) lie in memory. A desktop has no transparency: the byte that is
/// called `A` or `X` is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say all")]
pub enum PixelFormat {
    ARgb32,
    XRgb32,
    ABgr32,
    XBgr32,
    /// The format that costs no conversion, with [`PixelFormat::BgrX32`].
    BgrA32,
    BgrX32,
    RgbA32,
    RgbX32,
    Bgr24,
    Rgb24,
    /// 5-6-5, blue on top.
    Bgr16,
    /// 5-6-5, red on top.
    Rgb16,
}

impl PixelFormat {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ARgb32,
        Self::XRgb32,
        Self::ABgr32,
        Self::XBgr32,
        Self::BgrA32,
        Self::BgrX32,
        Self::RgbA32,
        Self::RgbX32,
        Self::Bgr24,
        Self::Rgb24,
        Self::Bgr16,
        Self::Rgb16,
    ];

    /// Bytes of a pixel.
    pub const fn bytes_per_pixel(self) -> u8 {
        match self {
            Self::Bgr24 | Self::Rgb24 => 3,
            Self::Bgr16 | Self::Rgb16 => 2,
            _ => 4,
        }
    }

    /// The engine's format, and whether red and blue are to be exchanged after it.
    const fn engine(self) -> (Pixels, bool) {
        match self {
            Self::ARgb32 | Self::XRgb32 => (Pixels::Xrgb32, false),
            Self::ABgr32 | Self::XBgr32 => (Pixels::Xbgr32, false),
            Self::BgrA32 | Self::BgrX32 => (Pixels::Bgrx32, false),
            Self::RgbA32 | Self::RgbX32 => (Pixels::Rgbx32, false),
            Self::Bgr24 => (Pixels::Bgr24, false),
            Self::Rgb24 => (Pixels::Rgb24, false),
            Self::Rgb16 => (Pixels::Rgb16, false),
            Self::Bgr16 => (Pixels::Rgb16, true),
        }
    }
}

/// Gives the rows of a bitmap to `commit` as the engine reads them. All numbers are checked here.
pub(super) fn with_rows<R>(
    bytes: &[u8],
    size: Size,
    stride: usize,
    format: PixelFormat,
    commit: impl FnOnce(&dyn PixelRows) -> R,
) -> Result<R, SurfaceError> {
    let (format, is_swapped) = format.engine();
    let rows = SliceRows::new(bytes, size, stride, format)?;
    Ok(match is_swapped {
        true => commit(&Swapped(rows)),
        false => commit(&rows),
    })
}

/// Red and blue exchanged.
struct Swapped<'a>(SliceRows<'a>);

impl PixelRows for Swapped<'_> {
    fn read_row(&self, x: u32, y: u32, out: &mut [u8]) {
        self.0.read_row(x, y, out);
        out.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
    }

    fn extent(&self) -> Size {
        self.0.extent()
    }
}
