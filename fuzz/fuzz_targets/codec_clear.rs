//! Any pictures, one after the other over one connection, come back exactly through a foreign ClearCodec decoder: also
//! after resets, and with few colours, which fill the caches of columns.

use ironrdp_graphics::clearcodec::ClearCodecDecoder;
use rdpmux_engine::codec::clear::Clear;
use rdpmux_model::{RasterCompressor, Size};

/// One input.
pub fn fuzz(data: &[u8]) {
    let (mut ours, mut theirs) = (Clear::new(), ClearCodecDecoder::new());
    let mut rest = data;
    // Five bytes say how a picture is made of all bytes behind them; the next picture starts a little later, so that a
    // short input is a long connection.
    while let Some((&[width, height, mask, step, kind], after)) = rest.split_first_chunk::<5>() {
        if after.is_empty() {
            return;
        }
        if kind & 0x80 != 0 {
            ours.reset();
        }
        let size = match kind & 3 {
            0 => Size::new(u32::from(width) * 4 + 1, u32::from(height) + 1),
            1 => Size::new(1, u32::from(height) * 16 + 1),
            _ => Size::new(u32::from(width) + 1, u32::from(height) % 80 + 1),
        };
        let step = usize::from(step) + 1;
        let picture: Vec<u8> = (0..size.area() as usize)
            .flat_map(|i| {
                let byte = after[i / step % after.len()] & mask;
                [byte, byte & kind, byte.rotate_left(3), 255]
            })
            .collect();
        let mut wire = Vec::new();
        ours.compress(size, &picture, &mut wire);
        let back = theirs.decode(&wire, size.width as u16, size.height as u16);
        assert!(back.expect("a ClearCodec stream") == picture, "{size}");
        rest = &after[after.len().min(3)..];
        rest = &rest[rest.len().saturating_sub(96)..];
    }
}
