//! Layout of a guest's pixels in memory.

/// Memory order of one pixel, first byte first. `X` is a byte without meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Blue, green, red, unused: what the whole of rdpmux works in. Also used for alpha that must be ignored.
    Bgrx32,
    /// Red, green, blue, unused.
    Rgbx32,
    /// Unused, red, green, blue.
    Xrgb32,
    /// Unused, blue, green, red.
    Xbgr32,
    /// Blue, green, red.
    Bgr24,
    /// Red, green, blue.
    Rgb24,
    /// 5-6-5 bits in a little-endian word, red highest.
    Rgb16,
    /// 1-5-5-5 bits in a little-endian word, red highest, top bit unused.
    Rgb15,
}

impl PixelFormat {
    /// Bytes that one pixel takes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bgrx32 | Self::Rgbx32 | Self::Xrgb32 | Self::Xbgr32 => 4,
            Self::Bgr24 | Self::Rgb24 => 3,
            Self::Rgb16 | Self::Rgb15 => 2,
        }
    }
}
