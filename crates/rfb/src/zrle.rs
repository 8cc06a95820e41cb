//! ZRLE (RFB 7.7.6): tiles of 64 × 64 pixels, each in the form that is smallest before compression, all of them in one
//! zlib stream that lives as long as the connection.

use flate2::{Compress, Compression, FlushCompress};

use crate::format::Translator;

const TILE: usize = 64;
/// Most colours of a palette in run-length form.
const MOST_COLOURS: usize = 127;
/// Of a packed palette.
const MOST_PACKED: usize = 16;
/// Slots of the table in which colours are looked up: four times as many as there are.
const SLOTS: usize = 512;
/// Sub-encodings: raw, plain run-length, palette run-length's first number.
const RAW: u8 = 0;
const PLAIN: u8 = 128;
const PALETTE: u8 = 128;

/// The compressor of a connection.
pub(crate) struct Zrle {
    zlib: Compress,
    tile: Vec<u32>,
    plain: Vec<u8>,
    palette: Palette,
}

impl core::fmt::Debug for Zrle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Zrle").finish_non_exhaustive()
    }
}

impl Default for Zrle {
    fn default() -> Self {
        Self {
            // A viewer waits for each update, so time counts before bytes.
            zlib: Compress::new(Compression::fast(), true),
            tile: Vec::with_capacity(TILE * TILE),
            plain: Vec::new(),
            palette: Palette::default(),
        }
    }
}

impl Zrle {
    /// Appends the data of a rectangle: `bgrx` has rows of `width` pixels, and `width` is not 0.
    pub(crate) fn encode(&mut self, bgrx: &[u8], width: usize, translator: &Translator, out: &mut Vec<u8>) {
        self.plain.clear();
        for band in bgrx.chunks(width * 4 * TILE) {
            for left in (0..width).step_by(TILE) {
                let right = width.min(left + TILE);
                self.tile.clear();
                for row in band.chunks_exact(width * 4) {
                    let pixels = row[left * 4..right * 4].as_chunks::<4>().0;
                    let pixels = pixels.iter().map(|pixel| u32::from_le_bytes(*pixel) & 0x00FF_FFFF);
                    self.tile.extend(pixels);
                }
                tile(&self.tile, right - left, translator, &mut self.palette, &mut self.plain);
            }
        }
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.compress(out);
        let length = u32::try_from(out.len() - length_at - 4).unwrap_or(u32::MAX);
        out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Appends what was put together, and so much that the viewer can unpack all of it now.
    fn compress(&mut self, out: &mut Vec<u8>) {
        let mut input = &self.plain[..];
        loop {
            out.reserve((input.len() / 2).max(4096));
            let (taken, room) = (self.zlib.total_in(), out.capacity() - out.len());
            let before = out.len();
            // Compressing with room for output cannot fail.
            if self.zlib.compress_vec(input, out, FlushCompress::Sync).is_err() {
                return;
            }
            input = &input[(self.zlib.total_in() - taken) as usize..];
            // All is out when there was room left.
            if input.is_empty() && out.len() - before < room {
                return;
            }
        }
    }
}

/// Colours of a tile in the order of their first pixel.
struct Palette {
    colours: Vec<u32>,
    /// Index into `colours` + 1; 0: free.
    slots: Box<[u8; SLOTS]>,
}

impl Default for Palette {
    fn default() -> Self {
        Self {
            colours: Vec::with_capacity(MOST_COLOURS),
            slots: Box::new([0; SLOTS]),
        }
    }
}

impl Palette {
    /// The colours of a tile; `false` if they are too many.
    fn fill(&mut self, tile: &[u32]) -> bool {
        self.colours.clear();
        self.slots.fill(0);
        let mut last = None;
        for colour in tile {
            if last == Some(*colour) {
                continue;
            }
            last = Some(*colour);
            let slot = self.slot(*colour);
            if self.slots[slot] == 0 {
                if self.colours.len() == MOST_COLOURS {
                    return false;
                }
                self.colours.push(*colour);
                self.slots[slot] = self.colours.len() as u8;
            }
        }
        true
    }

    /// Where a colour is, or would be.
    fn slot(&self, colour: u32) -> usize {
        let mut at = (colour.wrapping_mul(0x9E37_79B1) >> 23) as usize % SLOTS;
        while let Some(index) = self.slots[at].checked_sub(1)
            && self.colours[usize::from(index)] != colour
        {
            at = (at + 1) % SLOTS;
        }
        at
    }

    /// The index of a colour that is there.
    fn index(&self, colour: u32) -> u8 {
        self.slots[self.slot(colour)].saturating_sub(1)
    }
}

/// Appends a tile in its smallest form.
fn tile(pixels: &[u32], width: usize, translator: &Translator, palette: &mut Palette, out: &mut Vec<u8>) {
    let pixel = translator.compressed_length();
    let raw = pixels.len() * pixel;
    let (mut plain, mut indexed) = (0, 0);
    for run in pixels.chunk_by(|a, b| a == b) {
        let length = (run.len() - 1) / 255 + 1;
        plain += pixel + length;
        indexed += if run.len() == 1 { 1 } else { 1 + length };
    }
    if !palette.fill(pixels) {
        return if raw <= plain {
            out.push(RAW);
            pixels.iter().for_each(|colour| translator.put_compressed(*colour, out));
        } else {
            runs(pixels, translator, out);
        };
    }
    let count = palette.colours.len();
    let colours = count * pixel;
    if count == 1 {
        out.push(1);
        translator.put_compressed(palette.colours[0], out);
        return;
    }
    let bits = match count {
        2 => 1,
        3..=4 => 2,
        _ => 4,
    };
    let packed = colours + (width * bits).div_ceil(8) * (pixels.len() / width);
    let indexed = colours + indexed;
    let best = indexed.min(plain).min(raw);
    if count <= MOST_PACKED && packed <= best {
        head(count as u8, palette, translator, out);
        pack(pixels, width, bits, palette, out);
    } else if indexed <= best {
        head(PALETTE + count as u8, palette, translator, out);
        for run in pixels.chunk_by(|a, b| a == b) {
            let index = palette.index(run[0]);
            if run.len() == 1 {
                out.push(index);
            } else {
                out.push(index | 0x80);
                run_length(run.len(), out);
            }
        }
    } else if plain <= best {
        runs(pixels, translator, out);
    } else {
        out.push(RAW);
        pixels.iter().for_each(|colour| translator.put_compressed(*colour, out));
    }
}

fn head(kind: u8, palette: &Palette, translator: &Translator, out: &mut Vec<u8>) {
    out.push(kind);
    for colour in &palette.colours {
        translator.put_compressed(*colour, out);
    }
}

fn pack(pixels: &[u32], width: usize, bits: usize, palette: &Palette, out: &mut Vec<u8>) {
    for row in pixels.chunks(width) {
        for some in row.chunks(8 / bits) {
            let indices = some.iter().enumerate();
            out.push(indices.fold(0, |all, (at, colour)| {
                all | palette.index(*colour) << (8 - bits * (at + 1))
            }));
        }
    }
}

fn runs(pixels: &[u32], translator: &Translator, out: &mut Vec<u8>) {
    out.push(PLAIN);
    for run in pixels.chunk_by(|a, b| a == b) {
        translator.put_compressed(run[0], out);
        run_length(run.len(), out);
    }
}

fn run_length(length: usize, out: &mut Vec<u8>) {
    let rest = length - 1;
    out.extend(std::iter::repeat_n(255, rest / 255));
    out.push((rest % 255) as u8);
}

#[cfg(test)]
mod tests;
