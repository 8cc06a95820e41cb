//! Raw B, G, R, X pixels: the bulk compressor of the connection does the work, with a history that spans tiles and
//! frames ([`super::zgfx`]).

use std::sync::Arc;

use rdpmux_model::Size;
use rdpmux_pixel::Rows;

/// The rows of a rectangle one after the other, without padding; `rows` starts at its first pixel.
///
/// # Panics
/// If a row is not inside the bytes.
pub fn pixels(rows: Rows<'_>, size: Size) -> Arc<[u8]> {
    let width = size.width as usize * 4;
    if rows.stride == width {
        return rows.bytes[..width * size.height as usize].into();
    }
    let mut bytes = Vec::with_capacity(width * size.height as usize);
    for y in 0..size.height as usize {
        bytes.extend_from_slice(rows.row(y, width));
    }
    bytes.into()
}
