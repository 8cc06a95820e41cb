//! The bands of a ClearCodec picture ([MS-RDPEGFX] 2.2.4.1.1.2): columns as hits in the client's two caches, or as they
//! are. A short v-bar is what lies between the background above and below it.

use rdpmux_pixel::columns::{self, Columns};
use rdpmux_pixel::{Level, Rows};

use super::cache::Ring;

/// The caches of a connection, and the layer at hand.
#[derive(Debug, Default)]
pub(super) struct Bands {
    /// Made when they are needed.
    caches: Option<Caches>,
    columns: Box<Columns>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Caches {
    full: Ring,
    short: Ring,
}

/// Entries of the client's caches.
const FULL: usize = 32_768;
const SHORT: usize = 16_384;
/// First bits of a column: a hit in one of the caches.
const FULL_HIT: u16 = 0x8000;
const SHORT_HIT: u16 = 0x4000;

impl Bands {
    /// Starts a picture.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
    }

    /// The layer so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what the client keeps.
    pub(super) fn forget(&mut self) {
        self.caches = None;
    }

    /// Adds a band of `width` columns and `height` rows, without the columns of background at its ends.
    pub(super) fn add(
        &mut self,
        level: Level,
        rows: Rows<'_>,
        (x, y): (usize, usize),
        (width, height): (usize, usize),
        background: u32,
    ) {
        let columns = &mut self.columns;
        columns::scan(level, rows, width, height, background, columns);
        let mut busy = (0..width).filter(|&i| columns.end[i] > 0);
        let Some(first) = busy.next() else { return };
        let last = busy.next_back().unwrap_or(first);
        for value in [x + first, x + last, y, y + height - 1] {
            self.bytes.extend_from_slice(&(value as u16).to_le_bytes());
        }
        self.bytes.extend_from_slice(&background.to_le_bytes()[..3]);
        let caches = self.caches.get_or_insert_with(|| Caches {
            full: Ring::new(FULL),
            short: Ring::new(SHORT),
        });
        // What two columns in a row share is looked up once.
        let mut previous = (0, 0);
        for i in first..=last {
            let column = Column::new(columns, i, height, background);
            if column.full != previous.0 {
                previous = (column.full, caches.put(&column, rows, i, &mut self.bytes));
            } else {
                self.bytes.extend_from_slice(&(FULL_HIT | previous.1).to_le_bytes());
            }
        }
    }
}

/// A column with its two names.
struct Column {
    first: usize,
    end: usize,
    short: u64,
    full: u64,
}

impl Column {
    #[inline]
    fn new(columns: &Columns, i: usize, height: usize, background: u32) -> Self {
        let (first, end) = match columns.end[i] as usize {
            0 => (0, 0),
            end => (columns.first[i] as usize, end),
        };
        let between = u64::from(columns.hash[0][i]) << 32 | u64::from(columns.hash[1][i]);
        let short = mix(between, (end - first) as u64);
        let place = (first << 8 | height) as u64;
        Self {
            first,
            end,
            short,
            full: mix(short, place << 32 | u64::from(background)),
        }
    }
}

/// Never 0, which stands for an empty place.
#[inline]
fn mix(hash: u64, value: u64) -> u64 {
    let product = (hash ^ value.wrapping_mul(0x9FB2_1C65_1E98_DF25)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (product ^ product >> 32) | 1 << 63
}

impl Caches {
    /// Writes one column; returns its place in the cache of whole ones.
    #[inline]
    fn put(&mut self, column: &Column, rows: Rows<'_>, x: usize, out: &mut Vec<u8>) -> u16 {
        if let Some(at) = self.full.find(column.full) {
            out.extend_from_slice(&(FULL_HIT | at).to_le_bytes());
            return at;
        }
        if let Some(at) = self.short.find(column.short) {
            out.extend_from_slice(&(SHORT_HIT | at).to_le_bytes());
            out.push(column.first as u8);
        } else {
            out.extend_from_slice(&[column.first as u8, column.end as u8]);
            for y in column.first..column.end {
                let at = y * rows.stride + x * 4;
                out.extend_from_slice(&rows.bytes[at..at + 3]);
            }
            self.short.add(column.short);
        }
        self.full.add(column.full)
    }
}
