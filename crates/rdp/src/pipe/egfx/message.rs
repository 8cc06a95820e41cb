//! `RDPGFX_HEADER` and the few shapes that all graphics messages are made of ([MS-RDPEGFX] 2.2.1).

use ironrdp_core::encode_vec;
use ironrdp_egfx::pdu as gfx;

use crate::pipe::{Edges, FrameError, words};

pub(super) const WIRE_TO_SURFACE_1: u16 = 0x01;
pub(super) const WIRE_TO_SURFACE_2: u16 = 0x02;
pub(super) const SOLID_FILL: u16 = 0x04;
pub(super) const SURFACE_TO_SURFACE: u16 = 0x05;
pub(super) const SURFACE_TO_CACHE: u16 = 0x06;
pub(super) const CACHE_TO_SURFACE: u16 = 0x07;
pub(super) const EVICT_CACHE_ENTRY: u16 = 0x08;
pub(super) const START_FRAME: u16 = 0x0B;
pub(super) const END_FRAME: u16 = 0x0C;
pub(super) const PIXEL_FORMAT_XRGB: u8 = 0x20;

/// `RDPGFX_HEADER` around a body.
pub(super) fn message(
    out: &mut Vec<u8>,
    command: u16,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    let start = out.len();
    words(out, [command, 0]);
    out.extend_from_slice(&[0; 4]);
    body(out)?;
    let length = (out.len() - start) as u32;
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// A message from IronRDP's words.
pub(super) fn control(out: &mut Vec<u8>, pdu: &gfx::GfxPdu) {
    let bytes = encode_vec(pdu).expect("the counts in control messages are checked");
    out.extend_from_slice(&bytes);
}

/// `RDPGFX_WIRE_TO_SURFACE_PDU_1` ([MS-RDPEGFX] 2.2.2.1) around its bitmap data.
pub(super) fn wire_to_surface(
    out: &mut Vec<u8>,
    surface: u16,
    codec: u16,
    edges: Edges,
    data: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    message(out, WIRE_TO_SURFACE_1, |out| {
        words(out, [surface, codec]);
        out.push(PIXEL_FORMAT_XRGB);
        edges.write(out);
        sized(out, data)
    })
}

/// A 32-bit length before a body.
pub(super) fn sized(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out)?;
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Hours, minutes, seconds and milliseconds in one word ([MS-RDPEGFX] 2.2.2.11).
pub(super) fn timestamp(ms: u32) -> u32 {
    let seconds = ms / 1000;
    let hours = (seconds / 3600) % 24;
    (hours << 22) | (((seconds / 60) % 60) << 16) | ((seconds % 60) << 10) | (ms % 1000)
}
