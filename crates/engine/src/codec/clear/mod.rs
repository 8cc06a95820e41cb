//! ClearCodec ([MS-RDPEGFX] 2.2.4.1): lossless, made for text. Columns of pixels ("v-bars") that both ends remember are
//! named instead of sent. One encoder per connection; ZGFX behind it takes what still repeats.
//!
//! A rectangle is cut into stripes. Rows of one colour become the residual layer; the rows between them, which are
//! lines of text most often, become bands; what changes its colour nearly everywhere goes as it is.

mod bands;
mod cache;
mod residual;

use rdpmux_model::{RasterCompressor, Size};
use rdpmux_pixel::{Level, Rows, columns};

use bands::Bands;
use residual::Residual;

/// The encoder of one connection. It takes about 0.6 MB from its first rectangle on.
#[derive(Debug)]
pub struct Clear {
    level: Level,
    bands: Bands,
    residual: Residual,
    /// Rectangles of uncompressed pixels.
    pictures: Vec<u8>,
    /// Colour changes of each row of the stripe at hand.
    changes: Vec<u32>,
    sequence: u8,
    /// The next message tells the client to forget its v-bars.
    is_fresh: bool,
}

impl Default for Clear {
    fn default() -> Self {
        Self::new()
    }
}

/// Columns of a stripe.
const STRIPE: usize = 128;
/// Most rows of a band ([MS-RDPEGFX] 2.2.4.1.1.2).
const TALLEST: usize = 52;
/// Fewest rows of a band that is cut from more rows than one band can have.
const SHORTEST: usize = 8;
/// `FLAG_CACHE_RESET` ([MS-RDPEGFX] 2.2.4.1).
const CACHE_RESET: u8 = 0x04;

impl Clear {
    /// An encoder whose first message empties the client's caches.
    pub fn new() -> Self {
        Self::with_level(Level::best())
    }

    /// As [`Clear::new`], with the kernels of one level.
    pub fn with_level(level: Level) -> Self {
        Self {
            level,
            bands: Bands::default(),
            residual: Residual::default(),
            pictures: Vec::new(),
            changes: Vec::new(),
            sequence: 0,
            is_fresh: true,
        }
    }

    /// Forgets the caches; the next message makes the client forget its own. The sequence of messages goes on.
    pub fn reset(&mut self) {
        self.bands.forget();
        self.is_fresh = true;
    }

    /// One stripe from column `x` on.
    fn stripe(&mut self, rows: Rows<'_>, x: usize, width: usize, height: usize) {
        let part = Rows {
            bytes: &rows.bytes[x * 4..],
            stride: rows.stride,
        };
        let level = self.level;
        let changes = |y| columns::changes(level, part.row(y, width * 4));
        self.changes.clear();
        self.changes.extend((0..height).map(changes));
        let mut y = 0;
        while y < height {
            if self.changes[y] == 0 {
                self.residual.set(y, columns::color(first_pixel(part, y)));
                y += 1;
                continue;
            }
            let busy = self.changes[y..].iter().take_while(|changes| **changes > 0).count();
            self.busy(part, (x, y), (width, busy), height);
            y += busy;
        }
    }

    /// Rows that are not of one colour each, as many as follow each other.
    fn busy(&mut self, part: Rows<'_>, (x, y): (usize, usize), (width, busy): (usize, usize), height: usize) {
        let (mut at, end) = (y, y + busy);
        while at < end {
            let rows = cut(&self.changes[at..end]);
            let changes: u32 = self.changes[at..at + rows].iter().sum();
            if changes as usize * 5 > width * rows * 3 {
                picture(&mut self.pictures, part, (x, at), (width, rows));
            } else {
                let background = self.background(part, at, rows, height, width);
                for row in at..at + rows {
                    self.residual.set(row, background);
                }
                let band = Rows {
                    bytes: &part.bytes[at * part.stride..],
                    stride: part.stride,
                };
                self.bands.add(self.level, band, (x, at), (width, rows), background);
            }
            at += rows;
        }
    }

    /// The colour of a row beside the band, else the one that is most frequent in it.
    fn background(&self, part: Rows<'_>, y: usize, rows: usize, height: usize, width: usize) -> u32 {
        let beside = [y.checked_sub(1), Some(y + rows)];
        let plain = beside
            .into_iter()
            .flatten()
            .find(|y| *y < height && self.changes[*y] == 0);
        plain.map_or_else(
            || majority(part, y, rows, width),
            |y| columns::color(first_pixel(part, y)),
        )
    }
}

/// How many rows the next band gets: all if they are few, else up to where a quiet row is followed by a busier one.
fn cut(changes: &[u32]) -> usize {
    if changes.len() <= TALLEST {
        return changes.len();
    }
    let reach = &changes[..=TALLEST];
    let quiet = *reach.iter().min().unwrap_or(&0);
    (SHORTEST..=TALLEST)
        .find(|&y| reach[y - 1] == quiet && reach[y] > quiet)
        .unwrap_or(TALLEST / 2)
}

fn first_pixel(rows: Rows<'_>, y: usize) -> [u8; 4] {
    let at = y * rows.stride;
    rows.bytes[at..at + 4].try_into().expect("a slice of 4 bytes")
}

/// The colour of most pixels, if more than half have one; looks at every fourth row.
fn majority(part: Rows<'_>, y: usize, rows: usize, width: usize) -> u32 {
    let (mut favourite, mut lead) = (0, 0_u32);
    for row in (y..y + rows).step_by(4) {
        for pixel in part.row(row, width * 4).as_chunks::<4>().0 {
            let color = columns::color(*pixel);
            if lead == 0 {
                (favourite, lead) = (color, 1);
            } else if color == favourite {
                lead += 1;
            } else {
                lead -= 1;
            }
        }
    }
    favourite
}

/// A rectangle of the subcodec layer, uncompressed ([MS-RDPEGFX] 2.2.4.1.1.3).
fn picture(out: &mut Vec<u8>, part: Rows<'_>, (x, y): (usize, usize), (width, rows): (usize, usize)) {
    for value in [x, y, width, rows] {
        out.extend_from_slice(&(value as u16).to_le_bytes());
    }
    out.extend_from_slice(&((width * rows * 3) as u32).to_le_bytes());
    out.push(0);
    for row in y..y + rows {
        for pixel in part.row(row, width * 4).as_chunks::<4>().0 {
            out.extend_from_slice(&pixel[..3]);
        }
    }
}

impl RasterCompressor for Clear {
    fn sequence(&self) -> u8 {
        self.sequence
    }

    fn restart(&mut self, sequence: u8) {
        self.reset();
        self.sequence = sequence;
    }

    /// Appends `CLEARCODEC_BITMAP_STREAM`. The fourth byte of the pixels is not coded.
    ///
    /// # Panics
    /// If `pixels` is shorter than `size` says, or an edge is above 65,535.
    fn compress(&mut self, size: Size, pixels: &[u8], out: &mut Vec<u8>) {
        let (width, height) = (size.width as usize, size.height as usize);
        assert!(width <= 0xFFFF && height <= 0xFFFF, "{size}");
        let stride = width * 4;
        self.bands.begin();
        self.pictures.clear();
        self.residual.begin(width.div_ceil(STRIPE), height);
        for x in (0..width).step_by(STRIPE) {
            self.residual.stripe(x / STRIPE);
            let rows = Rows { bytes: pixels, stride };
            self.stripe(rows, x, STRIPE.min(width - x), height);
        }
        out.extend_from_slice(&[if self.is_fresh { CACHE_RESET } else { 0 }, self.sequence]);
        self.is_fresh = false;
        self.sequence = self.sequence.wrapping_add(1);
        let residual = self.residual.finish(width);
        for layer in [residual, self.bands.bytes(), &self.pictures] {
            out.extend_from_slice(&(layer.len() as u32).to_le_bytes());
        }
        for layer in [residual, self.bands.bytes(), &self.pictures] {
            out.extend_from_slice(layer);
        }
    }
}
