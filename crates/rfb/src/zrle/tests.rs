//! ZRLE against a reader of its own, written from the specification and not from the encoder.

use flate2::{Decompress, FlushDecompress};

use super::*;
use crate::PixelFormat;

/// Unpacks the data of one rectangle to pixels 0x00RRGGBB; compressed pixels are B, G, R.
fn unpack(zlib: &mut Decompress, data: &[u8], width: usize, height: usize, seen: &mut Vec<u8>) -> Vec<u32> {
    let length = u32::from_be_bytes(data[..4].try_into().expect("4 bytes")) as usize;
    assert_eq!(length, data.len() - 4);
    let mut plain = Vec::with_capacity(width * height * 4 + 65_536);
    zlib.decompress_vec(&data[4..], &mut plain, FlushDecompress::Sync)
        .expect("zlib");
    let mut at = 0;
    let mut next = || {
        at += 1;
        plain[at - 1]
    };
    let mut out = vec![0; width * height];
    for top in (0..height).step_by(64) {
        for left in (0..width).step_by(64) {
            let (w, h) = ((width - left).min(64), (height - top).min(64));
            let kind = next();
            seen.push(kind);
            let colour = |next: &mut dyn FnMut() -> u8| u32::from_le_bytes([next(), next(), next(), 0]);
            let run = |next: &mut dyn FnMut() -> u8| {
                let mut length = 1;
                loop {
                    let byte = next();
                    length += usize::from(byte);
                    if byte != 255 {
                        return length;
                    }
                }
            };
            let mut tile: Vec<u32> = Vec::new();
            match kind {
                0 => (0..w * h).for_each(|_| tile.push(colour(&mut next))),
                1 => tile = vec![colour(&mut next); w * h],
                2..=16 => {
                    let palette: Vec<u32> = (0..kind).map(|_| colour(&mut next)).collect();
                    let bits = [0, 0, 1, 2, 2].get(usize::from(kind)).copied().unwrap_or(4);
                    for _ in 0..h {
                        let mut byte = 0;
                        for x in 0..w {
                            if x * bits % 8 == 0 {
                                byte = next();
                            }
                            let shift = 8 - bits - x * bits % 8;
                            tile.push(palette[usize::from(byte >> shift) & ((1 << bits) - 1)]);
                        }
                    }
                }
                128 => {
                    while tile.len() < w * h {
                        let pixel = colour(&mut next);
                        let length = run(&mut next);
                        tile.extend(std::iter::repeat_n(pixel, length));
                    }
                }
                130..=255 => {
                    let palette: Vec<u32> = (0..kind - 128).map(|_| colour(&mut next)).collect();
                    while tile.len() < w * h {
                        let index = next();
                        let length = if index & 0x80 == 0 { 1 } else { run(&mut next) };
                        tile.extend(std::iter::repeat_n(palette[usize::from(index & 0x7F)], length));
                    }
                }
                other => panic!("sub-encoding {other}"),
            }
            assert_eq!(tile.len(), w * h, "sub-encoding {kind}");
            for (row, line) in tile.chunks(w).enumerate() {
                let start = (top + row) * width + left;
                out[start..start + w].copy_from_slice(line);
            }
        }
    }
    assert_eq!(at, plain.len(), "bytes are left over");
    out
}

/// Numbers without a pattern.
fn noise(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

#[test]
fn every_form_of_tile_and_every_size_comes_back_in_one_stream() {
    let (mut zrle, mut zlib) = (Zrle::default(), Decompress::new(true));
    let translator = Translator::new(PixelFormat::BGRX);
    let mut seen = Vec::new();
    for (width, height) in [(1, 1), (64, 64), (65, 63), (200, 130), (7, 300), (640, 1)] {
        for colours in [1, 2, 3, 4, 5, 16, 17, 100, 127, 128, 1 << 24] {
            for longest in [1, 3, 40, 2000] {
                let mut random = noise(width as u32 * 31 + height as u32 + colours + longest);
                let mut pixels: Vec<u32> = Vec::new();
                while pixels.len() < width * height {
                    let colour = (random() % colours).wrapping_mul(0x0012_3457) & 0x00FF_FFFF;
                    let length = random() % longest + 1;
                    pixels.extend(std::iter::repeat_n(colour, length as usize));
                }
                pixels.truncate(width * height);
                // What is in the fourth byte is no colour.
                let bgrx: Vec<u8> = pixels.iter().flat_map(|p| (p | 0xAB00_0000).to_le_bytes()).collect();
                let mut out = Vec::new();
                zrle.encode(&bgrx, width, &translator, &mut out);
                let back = unpack(&mut zlib, &out, width, height, &mut seen);
                assert!(back == pixels, "{width}x{height}, {colours} colours, runs to {longest}");
            }
        }
    }
    for kind in [0, 1, 2, 3, 4, 5, 16, 128, 140, 255] {
        assert!(seen.contains(&kind), "no tile was of form {kind}");
    }
}

#[test]
fn text_takes_a_fraction_of_its_raw_bytes() {
    let (width, height) = (640, 480);
    let mut random = noise(7);
    let pixels: Vec<u8> = (0..width * height)
        .flat_map(|_| {
            if random().is_multiple_of(8) {
                [200, 200, 200, 255]
            } else {
                [0, 0, 0, 255]
            }
        })
        .collect();
    let mut out = Vec::new();
    Zrle::default().encode(&pixels, width, &Translator::new(PixelFormat::BGRX), &mut out);
    assert!(out.len() * 20 < pixels.len(), "{} of {}", out.len(), pixels.len());
}
