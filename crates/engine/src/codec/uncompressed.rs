//! Raw B, G, R, X pixels: the bulk compressor of the connection does the work, with a history that spans tiles and
//! frames ([`super::zgfx`]).

use rdpmux_model::TilePayload;
use rdpmux_pixel::Rows;

use crate::TileRect;

/// Copies the rows of a part of a tile; `rows` starts at its first pixel.
pub fn encode(rows: Rows<'_>, rect: TileRect) -> TilePayload {
    let len = rect.width() * rect.height() * 4;
    if rows.stride == rect.width() * 4 {
        return TilePayload::Uncompressed(rows.bytes[..len].into());
    }
    let mut bytes = Vec::with_capacity(len);
    for y in 0..rect.height() {
        bytes.extend_from_slice(rows.row(y, rect.width() * 4));
    }
    TilePayload::Uncompressed(bytes.into())
}
