//! The exact codecs: ZGFX of raw tiles, ClearCodec, planar, interleaved RLE, QOI. FreeRDP compresses neither ZGFX nor
//! ClearCodec, so what it would send instead is the peer where there is one: bytes as they are, or planar.

use std::hint::black_box;

use rdpmux_engine::codec::clear::Clear;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_engine::codec::{planar, qoi, rle};
use rdpmux_model::{BulkCompressor, RasterCompressor, Size};

use crate::figure::{Figures, best, print, processor_time};
use crate::freerdp::{Codec, FreeRdp};
use crate::lossy::theirs;
use crate::screens::{Screen, Tile};

pub fn measure(screen: &Screen, peer: &mut Option<FreeRdp>) {
    zgfx(screen);
    clear(screen);
    let planar = tile_by_tile(screen, |tile, out| {
        out.extend(planar::encode(screen.rows(tile), 64, tile.height));
    });
    show(screen, peer, "planar tiles", &planar, Some(Codec::Planar));
    let mut flipped: Vec<[u8; 3]> = Vec::new();
    let interleaved = tile_by_tile(screen, |tile, out| {
        flipped.clear();
        for y in (0..tile.height).rev() {
            let row = screen.rows(tile).row(y, 256).as_chunks::<4>().0;
            flipped.extend(row.iter().map(|pixel| [pixel[0], pixel[1], pixel[2]]));
        }
        rle::encode(&flipped, 64, out);
    });
    let codec = Codec::Interleaved { bits_per_pixel: 24 };
    show(screen, peer, "interleaved RLE tiles", &interleaved, Some(codec));
    let file = tile_by_tile(screen, |tile, out| qoi::encode(screen.rows(tile), 64, tile.height, out));
    show(screen, peer, "QOI tiles", &file, None);
    let frame = tile_by_tile(screen, |tile, out| {
        qoi::encode_zstd(screen.rows(tile), 64, tile.height, out);
    });
    show(screen, peer, "QOIZ tiles", &frame, None);
}

fn show(screen: &Screen, peer: &mut Option<FreeRdp>, name: &str, ours: &Figures, codec: Option<Codec>) {
    let theirs = peer
        .as_mut()
        .zip(codec)
        .and_then(|(peer, codec)| theirs(screen, peer, codec));
    let name = format!("{}: {name}", screen.name);
    print(
        &name,
        screen.size.area(),
        ours,
        theirs.as_ref().map(|theirs| ("FreeRDP", theirs)),
    );
}

fn tile_by_tile(screen: &Screen, mut encode: impl FnMut(Tile, &mut Vec<u8>)) -> Figures {
    let (seconds, bytes) = best(|| {
        let mut out = Vec::new();
        screen.tiles().for_each(|tile| encode(tile, &mut out));
        out.len()
    });
    Figures {
        seconds,
        bytes,
        decibels: None,
    }
}

fn zgfx(screen: &Screen) {
    let messages: Vec<Vec<u8>> = screen.tiles().map(|tile| screen.copy(tile)).collect();
    let (seconds, bytes) = best(|| {
        let (mut zgfx, mut out) = (Zgfx::new(), Vec::new());
        messages.iter().for_each(|message| zgfx.compress(message, &mut out));
        out.len()
    });
    let ours = Figures {
        seconds,
        bytes,
        decibels: None,
    };
    // A small part of the frame is enough of the peer, which is slow on it.
    let part = &messages[..messages.len().min(48)];
    let start = processor_time();
    let mut theirs = ironrdp_graphics::zgfx::Compressor::new();
    for message in part {
        black_box(theirs.compress(message).expect("compressible"));
    }
    let theirs = Figures {
        seconds: (processor_time() - start) * messages.len() as f64 / part.len() as f64,
        ..Figures::default()
    };
    let name = format!("{}: ZGFX of raw tiles", screen.name);
    print(&name, screen.size.area(), &ours, Some(("ironrdp-graphics", &theirs)));
}

/// ClearCodec with ZGFX behind it, four rows of tiles at a time.
fn clear(screen: &Screen) {
    let (width, height) = (screen.size.width, screen.size.height as usize);
    let stride = width as usize * 4;
    let (seconds, bytes) = best(|| {
        let (mut clear, mut zgfx, mut out) = (Clear::new(), Zgfx::new(), Vec::new());
        let mut message = Vec::new();
        for y in (0..height).step_by(256) {
            let rows = (height - y).min(256);
            message.clear();
            clear.compress(
                Size::new(width, rows as u32),
                &screen.pixels[y * stride..],
                &mut message,
            );
            zgfx.compress(&message, &mut out);
        }
        out.len()
    });
    let ours = Figures {
        seconds,
        bytes,
        decibels: None,
    };
    print(
        &format!("{}: ClearCodec and ZGFX", screen.name),
        screen.size.area(),
        &ours,
        None,
    );
}
