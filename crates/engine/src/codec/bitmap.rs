//! Bitmap updates at the client's depth: planar at 32 bits per pixel, interleaved RLE below, raw where that is smaller.

use std::sync::Arc;

use rdpmux_model::TilePayload;
use rdpmux_pixel::{Rows, convert};

use crate::TileRect;
use crate::codec::{planar, rle};

/// A client's colour depth in bits per pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Depth {
    Bits32,
    Bits24,
    Bits16,
    Bits15,
}

impl Depth {
    /// Unknown depths count as 24.
    pub(crate) fn of(bits_per_pixel: u8) -> Self {
        match bits_per_pixel {
            32 => Self::Bits32,
            16 => Self::Bits16,
            15 => Self::Bits15,
            _ => Self::Bits24,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Bits32 => 32,
            Self::Bits24 => 24,
            Self::Bits16 => 16,
            Self::Bits15 => 15,
        }
    }
}

/// An encoded part of a tile.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) data: Arc<[u8]>,
    is_raw: bool,
}

impl Encoded {
    pub(crate) fn payload(self, rect: TileRect, depth: Depth) -> TilePayload {
        let bits_per_pixel = depth.bits();
        let padded_width = padded(rect.width()) as u16;
        match (depth, self.is_raw) {
            (Depth::Bits32, _) => TilePayload::Planar(self.data),
            (_, true) => TilePayload::RawBitmap {
                bits_per_pixel,
                padded_width,
                data: self.data,
            },
            (_, false) => TilePayload::InterleavedRle {
                bits_per_pixel,
                padded_width,
                data: self.data,
            },
        }
    }
}

/// Encodes a part of a tile; `rows` starts at its first pixel.
pub(crate) fn encode(rows: Rows<'_>, rect: TileRect, depth: Depth) -> Encoded {
    match depth {
        Depth::Bits32 => Encoded {
            data: planar::encode(rows, rect.width(), rect.height()).into(),
            is_raw: false,
        },
        Depth::Bits24 => interleaved(rows, rect, |[b, g, r, _]| [b, g, r]),
        Depth::Bits16 => interleaved(rows, rect, |pixel| convert::to_rgb16(pixel).to_le_bytes()),
        Depth::Bits15 => interleaved(rows, rect, |pixel| convert::to_rgb15(pixel).to_le_bytes()),
    }
}

fn interleaved<const N: usize>(rows: Rows<'_>, rect: TileRect, pack: impl Fn([u8; 4]) -> [u8; N]) -> Encoded {
    let width = padded(rect.width());
    let mut pixels = Vec::with_capacity(width * rect.height());
    for y in (0..rect.height()).rev() {
        let (row, _) = rows.row(y, rect.width() * 4).as_chunks::<4>();
        pixels.extend(row.iter().map(|pixel| pack(*pixel)));
        let last = pixels.last().copied().unwrap_or([0; N]);
        pixels.resize(pixels.len().next_multiple_of(width), last);
    }
    let mut data = Vec::new();
    rle::encode(&pixels, width, &mut data);
    let is_raw = data.len() >= pixels.len() * N;
    Encoded {
        data: if is_raw {
            pixels.as_flattened().into()
        } else {
            data.into()
        },
        is_raw,
    }
}

/// Bitmap rows are padded to whole groups of 4 pixels.
fn padded(width: usize) -> usize {
    width.next_multiple_of(4)
}
