//! A client that paints encoded frames with `ironrdp-graphics`' decoders. Also used by the fuzz targets.

use std::collections::HashMap;

use ironrdp_graphics::rdp6::BitmapStreamDecoder;
use ironrdp_graphics::rfx::TileDecoder;
use ironrdp_graphics::rle;
use ironrdp_pdu::codecs::rfx::{EntropyAlgorithm, Quant, Tile};
use rdpmux_model::{Client, EncodedFrame, FrameCommand, Rect, RfxQuant, RfxTile, Size, TilePayload};

/// What the client shows: B, G, R, 255; and what it keeps.
#[derive(Clone)]
pub struct Painter {
    pub size: Size,
    pub pixels: Vec<u8>,
    kept: HashMap<u16, (Size, Vec<u8>)>,
}

impl Painter {
    pub fn new(size: Size) -> Self {
        Self {
            size,
            pixels: vec![77; size.area() as usize * 4],
            kept: HashMap::new(),
        }
    }

    /// Applies a frame; a new size starts from scratch, as after a reset of the client's graphics.
    pub fn paint(&mut self, frame: &EncodedFrame) {
        if self.size != frame.size {
            let kept = std::mem::take(&mut self.kept);
            *self = Self {
                kept,
                ..Self::new(frame.size)
            };
        }
        for command in &frame.commands {
            match command {
                FrameCommand::SolidFill { rect, color } => {
                    self.put(*rect, |_, _| [color.b, color.g, color.r]);
                }
                FrameCommand::Tile { rect, payload } => self.tile(*rect, payload),
                FrameCommand::Rfx { clip, quant, tiles } => self.rfx(clip, *quant, tiles),
                FrameCommand::Copy { source, destination } => {
                    let pixels = self.cut(*source);
                    self.put_pixels(
                        Rect::new(destination.x, destination.y, source.width, source.height),
                        &pixels,
                    );
                }
                FrameCommand::Clear { rect, pixels } => self.put_pixels(*rect, pixels),
                FrameCommand::CacheStore { rect, slot, .. } => {
                    assert!(*slot > 0);
                    let before = self.kept.insert(*slot, (rect.size(), self.cut(*rect)));
                    assert!(before.is_none(), "slot {slot} was not evicted");
                }
                FrameCommand::CacheEvict { slot } => drop(self.kept.remove(slot).expect("something to evict")),
                FrameCommand::CacheShow { slot, size, at } => {
                    let (kept, pixels) = self.kept.get(slot).expect("a filled slot").clone();
                    assert_eq!(kept, *size);
                    for at in at {
                        self.put_pixels(Rect::new(at.x, at.y, size.width, size.height), &pixels);
                    }
                }
                FrameCommand::Video { .. } => panic!("video has its own tests"),
            }
        }
    }

    /// Pixels that a frame paints; overlapping ones count again.
    pub fn area(frame: &EncodedFrame) -> usize {
        let of = |rect: &Rect<Client>| rect.size().area() as usize;
        let area = |command: &FrameCommand| match command {
            FrameCommand::SolidFill { rect, .. } | FrameCommand::Tile { rect, .. } => of(rect),
            FrameCommand::Clear { rect, .. } | FrameCommand::Video { rect, .. } => of(rect),
            FrameCommand::Copy { source, .. } => of(source),
            FrameCommand::Rfx { clip, .. } => clip.iter().map(of).sum(),
            FrameCommand::CacheShow { size, at, .. } => at.len() * size.area() as usize,
            FrameCommand::CacheStore { .. } | FrameCommand::CacheEvict { .. } => 0,
        };
        frame.commands.iter().map(area).sum()
    }

    fn cut(&self, rect: Rect<Client>) -> Vec<u8> {
        assert!(!rect.is_empty() && rect == rect.intersect(self.size.rect()), "{rect}");
        let row = |y: u32| {
            let at = (y * self.size.width + rect.x) as usize * 4;
            &self.pixels[at..at + rect.width as usize * 4]
        };
        (rect.y..rect.bottom()).flat_map(row).copied().collect()
    }

    fn put_pixels(&mut self, rect: Rect<Client>, pixels: &[u8]) {
        assert_eq!(pixels.len(), rect.size().area() as usize * 4);
        let width = rect.width as usize;
        self.put(rect, |x, y| three(&pixels[(y * width + x) * 4..]));
    }

    fn put(&mut self, rect: Rect<Client>, pixel: impl Fn(usize, usize) -> [u8; 3]) {
        assert!(
            !rect.is_empty() && rect == rect.intersect(self.size.rect()),
            "{rect} on {}",
            self.size
        );
        for y in 0..rect.height as usize {
            for x in 0..rect.width as usize {
                let at = ((rect.y as usize + y) * self.size.width as usize + rect.x as usize + x) * 4;
                self.pixels[at..at + 3].copy_from_slice(&pixel(x, y));
                self.pixels[at + 3] = 255;
            }
        }
    }

    fn tile(&mut self, rect: Rect<Client>, payload: &TilePayload) {
        let (width, height) = (rect.width as usize, rect.height as usize);
        match payload {
            TilePayload::Uncompressed(bytes) => {
                assert_eq!(bytes.len(), width * height * 4);
                self.put(rect, |x, y| three(&bytes[(y * width + x) * 4..]));
            }
            TilePayload::Planar(bytes) => {
                let mut rgb = Vec::new();
                BitmapStreamDecoder::default()
                    .decode_bitmap_stream_to_rgb24(bytes, &mut rgb, width, height)
                    .expect("a planar stream");
                self.put(rect, |x, y| {
                    let [r, g, b] = three(&rgb[((height - 1 - y) * width + x) * 3..]);
                    [b, g, r]
                });
            }
            TilePayload::InterleavedRle {
                bits_per_pixel,
                padded_width,
                data,
            } => {
                let mut raw = Vec::new();
                let bits = usize::from(*bits_per_pixel);
                rle::decompress(data, &mut raw, usize::from(*padded_width), height, bits).expect("an RLE stream");
                self.bitmap(rect, *bits_per_pixel, usize::from(*padded_width), &raw);
            }
            TilePayload::RawBitmap {
                bits_per_pixel,
                padded_width,
                data,
            } => self.bitmap(rect, *bits_per_pixel, usize::from(*padded_width), data),
            TilePayload::Qoi(file) => self.qoi(rect, file),
            TilePayload::Qoiz(frame) => {
                let mut file = vec![0; 2 * 64 * 64 * 4];
                let length = zstd_safe::decompress(&mut file[..], frame).expect("a zstd frame");
                self.qoi(rect, &file[..length]);
            }
            TilePayload::NsCodec(_) => panic!("NSCodec has its own tests"),
        }
    }

    fn qoi(&mut self, rect: Rect<Client>, file: &[u8]) {
        let (header, rgb) = qoi::decode_to_vec(file).expect("a QOI file");
        assert_eq!((header.width, header.height), (rect.width, rect.height));
        let width = rect.width as usize;
        self.put(rect, |x, y| {
            let [r, g, b] = three(&rgb[(y * width + x) * 3..]);
            [b, g, r]
        });
    }

    /// Rows bottom-up at the client's depth.
    fn bitmap(&mut self, rect: Rect<Client>, bits: u8, padded_width: usize, raw: &[u8]) {
        let height = rect.height as usize;
        let step = usize::from(bits).div_ceil(8);
        assert_eq!(padded_width, (rect.width as usize).next_multiple_of(4));
        assert_eq!(raw.len(), padded_width * height * step);
        self.put(rect, |x, y| {
            let pixel = &raw[((height - 1 - y) * padded_width + x) * step..];
            match bits {
                16 => widen(u16::from_le_bytes([pixel[0], pixel[1]]), [5, 6, 5]),
                15 => widen(u16::from_le_bytes([pixel[0], pixel[1]]), [5, 5, 5]),
                _ => three(pixel),
            }
        });
    }

    fn rfx(&mut self, clip: &[Rect<Client>], quant: RfxQuant, tiles: &[RfxTile]) {
        for tile in tiles {
            let rgba = decode_rfx(tile, quant);
            let place = Rect::new(u32::from(tile.x) * 64, u32::from(tile.y) * 64, 64, 64);
            for part in clip
                .iter()
                .map(|rect| rect.intersect(place))
                .filter(|rect| !rect.is_empty())
            {
                let (left, top) = ((part.x - place.x) as usize, (part.y - place.y) as usize);
                self.put(part, |x, y| {
                    let [r, g, b] = three(&rgba[((top + y) * 64 + left + x) * 4..]);
                    [b, g, r]
                });
            }
        }
    }
}

/// Low field first, each widened to 8 bits: blue, green, red.
pub fn widen(word: u16, fields: [u32; 3]) -> [u8; 3] {
    let mut rest = u32::from(word);
    fields.map(|bits| {
        let value = rest & ((1 << bits) - 1);
        rest >>= bits;
        (value << (8 - bits) | value >> (2 * bits - 8)) as u8
    })
}

fn three(bytes: &[u8]) -> [u8; 3] {
    [bytes[0], bytes[1], bytes[2]]
}

/// 64 × 64 R, G, B, A.
pub fn decode_rfx(tile: &RfxTile, RfxQuant(quant): RfxQuant) -> Vec<u8> {
    let [ll3, lh3, hl3, hh3, lh2, hl2, hh2, lh1, hl1, hh1] = quant;
    let quant = Quant {
        ll3,
        lh3,
        hl3,
        hh3,
        lh2,
        hl2,
        hh2,
        lh1,
        hl1,
        hh1,
    };
    let [y_data, cb_data, cr_data] = tile.planes.each_ref().map(|plane| &**plane);
    let tile = Tile {
        y_quant_index: 0,
        cb_quant_index: 0,
        cr_quant_index: 0,
        x: tile.x,
        y: tile.y,
        y_data,
        cb_data,
        cr_data,
    };
    let mut decoder = TileDecoder::new();
    decoder
        .decode(&tile, &[quant], EntropyAlgorithm::Rlgr1)
        .expect("a RemoteFX tile")
        .to_vec()
}
