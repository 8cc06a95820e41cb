//! RemoteFX containers around tiles that are encoded already: the message of [MS-RDPRFX] 2.2.2 in image mode, and the
//! progressive stream of [MS-RDPEGFX] 2.2.4.2. No coefficient is touched here.

use rdpmux_model::{Client, Rect, RfxQuant, RfxTile, Size, TILE};

use super::{FrameError, edges, words};

const WBT_SYNC: u16 = 0xCCC0;
const WBT_CODEC_VERSIONS: u16 = 0xCCC1;
const WBT_CHANNELS: u16 = 0xCCC2;
const WBT_CONTEXT: u16 = 0xCCC3;
const WBT_FRAME_BEGIN: u16 = 0xCCC4;
const WBT_FRAME_END: u16 = 0xCCC5;
const WBT_REGION: u16 = 0xCCC6;
const WBT_EXTENSION: u16 = 0xCCC7;
const CBT_REGION: u16 = 0xCAC1;
const CBT_TILESET: u16 = 0xCAC2;
const CBT_TILE: u16 = 0xCAC3;
const MAGIC: u32 = 0xCACC_ACCA;
const VERSION: u16 = 0x0100;
const CHANNEL_WIDE: u8 = 0xFF;
/// Image mode, ICT, 5-3 transform, RLGR1, scalar quantisation (2.2.2.2.4 `properties`).
const CONTEXT_PROPERTIES: u16 = 2 | 1 << 3 | 1 << 5 | 1 << 9 | 1 << 13;
/// The same in the places of 2.2.2.3.4 `properties`, after `lt`.
const TILESET_PROPERTIES: u16 = 1 | 2 << 1 | 1 << 4 | 1 << 6 | 1 << 10 | 1 << 14;

const PROGRESSIVE_SYNC: u16 = 0xCCC0;
const PROGRESSIVE_FRAME_BEGIN: u16 = 0xCCC1;
const PROGRESSIVE_FRAME_END: u16 = 0xCCC2;
const PROGRESSIVE_CONTEXT: u16 = 0xCCC3;
const PROGRESSIVE_REGION: u16 = 0xCCC4;
const PROGRESSIVE_TILE_SIMPLE: u16 = 0xCCC5;

/// Tiles under one quantiser and where they may show.
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a> {
    pub(super) clip: &'a [Rect<Client>],
    pub(super) quant: RfxQuant,
    pub(super) tiles: &'a [RfxTile],
}

impl Tiles<'_> {
    pub(super) fn check(&self, frame: Size) -> Result<(), FrameError> {
        let (columns, rows) = frame.tiles();
        if self.clip.len() > usize::from(u16::MAX) || self.tiles.len() > usize::from(u16::MAX) {
            return Err(FrameError::Invalid("count of RemoteFX tiles or rectangles"));
        }
        if self.quant.0.iter().any(|q| !(6..=15).contains(q)) {
            return Err(FrameError::Invalid("RemoteFX quantiser"));
        }
        for tile in self.tiles {
            let inside = u32::from(tile.x) < columns && u32::from(tile.y) < rows;
            if !inside || tile.planes.iter().any(|p| p.len() > usize::from(u16::MAX)) {
                return Err(FrameError::Invalid("RemoteFX tile"));
            }
        }
        Ok(())
    }
}

/// All headers of a message without its rectangles and tiles.
pub(super) const MESSAGE_OVERHEAD: usize = 12 + 10 + 12 + 13 + 14 + 15 + 27 + 8;

/// Bytes of one tile in a message.
pub(super) fn tile_bytes(tile: &RfxTile) -> usize {
    19 + tile.planes.iter().map(|p| p.len()).sum::<usize>()
}

/// Appends a message of image mode, which repeats its headers every time ([MS-RDPRFX] 3.1.8.3).
pub(super) fn message(out: &mut Vec<u8>, frame: Size, index: u32, tiles: Tiles<'_>) -> Result<(), FrameError> {
    tiles.check(frame)?;
    message_headers(out, frame);
    block(out, WBT_FRAME_BEGIN, |out| {
        out.extend_from_slice(&[1, 0]);
        out.extend_from_slice(&index.to_le_bytes());
        words(out, [1]);
        Ok(())
    })?;
    block(out, WBT_REGION, |out| {
        out.extend_from_slice(&[1, 0, 1]);
        words(out, [tiles.clip.len() as u16]);
        rectangles(out, frame, tiles.clip)?;
        words(out, [CBT_REGION, 1]);
        Ok(())
    })?;
    block(out, WBT_EXTENSION, |out| {
        out.extend_from_slice(&[1, 0]);
        words(out, [CBT_TILESET, 0, TILESET_PROPERTIES]);
        out.extend_from_slice(&[1, TILE as u8]);
        words(out, [tiles.tiles.len() as u16]);
        let size_at = out.len();
        out.extend_from_slice(&[0; 4]);
        quantiser(out, tiles.quant.0);
        let first = out.len();
        for tile in tiles.tiles {
            block(out, CBT_TILE, |out| {
                out.extend_from_slice(&[0; 3]);
                words(out, [tile.x, tile.y]);
                words(out, [0, 1, 2].map(|i: usize| tile.planes[i].len() as u16));
                tile.planes.iter().for_each(|p| out.extend_from_slice(p));
                Ok(())
            })?;
        }
        let size = (out.len() - first) as u32;
        out[size_at..size_at + 4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    })?;
    block(out, WBT_FRAME_END, |out| {
        out.extend_from_slice(&[1, 0]);
        Ok(())
    })
}

fn message_headers(out: &mut Vec<u8>, frame: Size) {
    let constant = "constant blocks have no way to fail";
    block(out, WBT_SYNC, |out| {
        out.extend_from_slice(&MAGIC.to_le_bytes());
        words(out, [VERSION]);
        Ok(())
    })
    .expect(constant);
    block(out, WBT_CODEC_VERSIONS, |out| {
        out.extend_from_slice(&[1, 1]);
        words(out, [VERSION]);
        Ok(())
    })
    .expect(constant);
    block(out, WBT_CHANNELS, |out| {
        out.extend_from_slice(&[1, 0]);
        words(out, [frame.width as u16, frame.height as u16]);
        Ok(())
    })
    .expect(constant);
    block(out, WBT_CONTEXT, |out| {
        out.extend_from_slice(&[1, CHANNEL_WIDE, 0]);
        words(out, [TILE as u16, CONTEXT_PROPERTIES]);
        Ok(())
    })
    .expect(constant);
}

/// Appends a progressive stream; `with_context` once per surface.
pub(super) fn progressive(
    out: &mut Vec<u8>,
    frame: Size,
    index: u32,
    with_context: bool,
    tiles: Tiles<'_>,
) -> Result<(), FrameError> {
    tiles.check(frame)?;
    if with_context {
        block(out, PROGRESSIVE_SYNC, |out| {
            out.extend_from_slice(&MAGIC.to_le_bytes());
            words(out, [VERSION]);
            Ok(())
        })?;
        block(out, PROGRESSIVE_CONTEXT, |out| {
            out.push(0);
            words(out, [TILE as u16]);
            out.push(0);
            Ok(())
        })?;
    }
    block(out, PROGRESSIVE_FRAME_BEGIN, |out| {
        out.extend_from_slice(&index.to_le_bytes());
        words(out, [1]);
        Ok(())
    })?;
    block(out, PROGRESSIVE_REGION, |out| {
        out.push(TILE as u8);
        words(out, [tiles.clip.len() as u16]);
        // One quantiser, no progressive ones, plain transform.
        out.extend_from_slice(&[1, 0, 0]);
        words(out, [tiles.tiles.len() as u16]);
        let size_at = out.len();
        out.extend_from_slice(&[0; 4]);
        rectangles(out, frame, tiles.clip)?;
        quantiser(out, progressive_order(tiles.quant));
        let first = out.len();
        for tile in tiles.tiles {
            block(out, PROGRESSIVE_TILE_SIMPLE, |out| {
                out.extend_from_slice(&[0; 3]);
                words(out, [tile.x, tile.y]);
                out.push(0);
                words(out, [0, 1, 2].map(|i: usize| tile.planes[i].len() as u16));
                words(out, [0]);
                tile.planes.iter().for_each(|p| out.extend_from_slice(p));
                Ok(())
            })?;
        }
        let size = (out.len() - first) as u32;
        out[size_at..size_at + 4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    })?;
    block(out, PROGRESSIVE_FRAME_END, |_| Ok(()))
}

/// LL3 HL3 LH3 HH3 HL2 LH2 HH2 HL1 LH1 HH1 ([MS-RDPEGFX] 2.2.4.2.1.5.2): HL and LH change places.
fn progressive_order(quant: RfxQuant) -> [u8; 10] {
    let [ll3, lh3, hl3, hh3, lh2, hl2, hh2, lh1, hl1, hh1] = quant.0;
    [ll3, hl3, lh3, hh3, hl2, lh2, hh2, hl1, lh1, hh1]
}

/// Ten nibbles, the lower one first.
fn quantiser(out: &mut Vec<u8>, values: [u8; 10]) {
    out.extend(values.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4));
}

/// `TS_RFX_RECT`: left, top, width, height.
fn rectangles(out: &mut Vec<u8>, frame: Size, rects: &[Rect<Client>]) -> Result<(), FrameError> {
    for rect in rects {
        let e = edges(*rect, frame)?;
        words(out, [e.left, e.top, e.width(), e.height()]);
    }
    Ok(())
}

/// Type, 32-bit length of the whole block, body.
fn block(
    out: &mut Vec<u8>,
    kind: u16,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    let start = out.len();
    words(out, [kind]);
    out.extend_from_slice(&[0; 4]);
    body(out)?;
    let length = (out.len() - start) as u32;
    out[start + 2..start + 6].copy_from_slice(&length.to_le_bytes());
    Ok(())
}
