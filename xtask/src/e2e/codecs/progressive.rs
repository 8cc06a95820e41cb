//! RemoteFX tiles as a progressive stream of one frame ([MS-RDPEGFX] 2.2.4.2), for FreeRDP's decoder. The product's own
//! form of it is in `rdp`; this one is the test's.

use rdpmux_model::{RfxQuant, RfxTile, Size};

/// Frame number `frame` of a surface; the first one announces the context.
pub fn stream(size: Size, frame: u32, RfxQuant(quant): RfxQuant, tiles: &[RfxTile]) -> Vec<u8> {
    let mut out = Vec::new();
    if frame == 0 {
        block(&mut out, 0xCCC0, &[0xCA, 0xAC, 0xCC, 0xCA, 0x00, 0x01]);
        block(&mut out, 0xCCC3, &[0, 64, 0, 0]);
    }
    let mut begin = frame.to_le_bytes().to_vec();
    begin.extend([1, 0]);
    block(&mut out, 0xCCC1, &begin);
    let mut blocks = Vec::new();
    for tile in tiles {
        let mut body = vec![0; 3];
        words(&mut body, &[tile.x, tile.y]);
        body.push(0);
        for plane in &tile.planes {
            words(&mut body, &[plane.len() as u16]);
        }
        words(&mut body, &[0]);
        tile.planes.iter().for_each(|plane| body.extend_from_slice(plane));
        block(&mut blocks, 0xCCC5, &body);
    }
    let mut region = vec![64, 1, 0, 1, 0, 0];
    words(&mut region, &[tiles.len() as u16]);
    region.extend((blocks.len() as u32).to_le_bytes());
    words(&mut region, &[0, 0, size.width as u16, size.height as u16]);
    let [ll3, lh3, hl3, hh3, lh2, hl2, hh2, lh1, hl1, hh1] = quant;
    let order = [ll3, hl3, lh3, hh3, hl2, lh2, hh2, hl1, lh1, hh1];
    region.extend(order.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4));
    region.extend(blocks);
    block(&mut out, 0xCCC4, &region);
    block(&mut out, 0xCCC2, &[]);
    out
}

fn words(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend(value.to_le_bytes()));
}

fn block(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    words(out, &[kind]);
    out.extend((body.len() as u32 + 6).to_le_bytes());
    out.extend_from_slice(body);
}
