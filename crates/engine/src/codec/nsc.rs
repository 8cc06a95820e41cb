//! NSCodec ([MS-RDPNSC]): luma and two colour differences, run lengths in each plane. For clients that know surface
//! commands and nothing better; lossy by its colours alone, never exact.

use std::cell::RefCell;

use rdpmux_pixel::ycocg::{self, RowOut};
use rdpmux_pixel::{Level, Rows};

/// What a stream leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quality {
    /// Bits of the colour differences that are dropped, 1 to 7; 1 is about 45 dB.
    pub color_loss: u8,
    /// One colour difference for 2 × 2 pixels.
    pub subsampling: bool,
}

impl Quality {
    /// The best that there is.
    pub const BEST: Self = Self {
        color_loss: 1,
        subsampling: false,
    };
}

/// The order of rows in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As in a ClearCodec picture.
    TopDown,
    /// As a surface command carries it.
    BottomUp,
}

#[derive(Default)]
struct Planes {
    y: Vec<u8>,
    co: Vec<u8>,
    cg: Vec<u8>,
    halved: Vec<u8>,
}

/// Appends `NSCODEC_BITMAP_STREAM` ([MS-RDPNSC] 2.2.2) of `width` × `height` pixels, B, G, R, X; the alpha plane is left
/// out, which means opaque.
///
/// # Panics
/// If `rows` is shorter than it says.
pub fn encode(rows: Rows<'_>, width: usize, height: usize, quality: Quality, order: Order, out: &mut Vec<u8>) {
    thread_local! {
        static PLANES: RefCell<Planes> = RefCell::default();
    }
    PLANES.with_borrow_mut(|planes| {
        let area = Area {
            width,
            height,
            stride: if quality.subsampling {
                width.next_multiple_of(8)
            } else {
                width
            },
        };
        let header = out.len();
        out.resize(header + HEADER, 0);
        planes.convert(Level::best(), rows, &area, quality, order);
        let mut add = |index: usize, plane: &[u8]| {
            let start = out.len();
            compress(plane, out);
            let length = (out.len() - start) as u32;
            out[header + index * 4..][..4].copy_from_slice(&length.to_le_bytes());
        };
        add(0, &planes.y);
        let Planes { co, cg, halved, .. } = planes;
        for (index, plane) in [(1, &*co), (2, &*cg)] {
            if quality.subsampling {
                halve(plane, &area, halved);
                add(index, halved);
            } else {
                add(index, plane);
            }
        }
        out[header + 16] = quality.color_loss.clamp(1, 7);
        out[header + 17] = u8::from(quality.subsampling);
    });
}

/// Four lengths, colour loss level, subsampling, two reserved bytes.
const HEADER: usize = 20;

struct Area {
    width: usize,
    height: usize,
    /// Bytes of a row of the planes; beyond the width the last value is repeated.
    stride: usize,
}

impl Planes {
    fn convert(&mut self, level: Level, rows: Rows<'_>, area: &Area, quality: Quality, order: Order) {
        let size = area.stride * area.height;
        for plane in [&mut self.y, &mut self.co, &mut self.cg] {
            plane.clear();
            plane.resize(size, 0);
        }
        if size == 0 {
            return;
        }
        let chroma = self
            .co
            .chunks_exact_mut(area.stride)
            .zip(self.cg.chunks_exact_mut(area.stride));
        for (row, (y, (co, cg))) in self.y.chunks_exact_mut(area.stride).zip(chroma).enumerate() {
            let from = match order {
                Order::TopDown => row,
                Order::BottomUp => area.height - 1 - row,
            };
            let planes = [&mut *y, &mut *co, &mut *cg];
            let [y, co, cg] = planes;
            ycocg::convert(
                level,
                rows.row(from, area.width * 4),
                quality.color_loss,
                RowOut { y, co, cg },
            );
            for plane in [y, co, cg] {
                let last = plane[area.width - 1];
                plane[area.width..].fill(last);
            }
        }
    }
}

/// The mean of each 2 × 2 values; a last row without a partner is its own.
fn halve(plane: &[u8], area: &Area, out: &mut Vec<u8>) {
    out.clear();
    for pair in plane.chunks(area.stride * 2) {
        let (upper, lower) = pair.split_at(area.stride);
        let lower = if lower.is_empty() { upper } else { lower };
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        out.extend(pairs.map(|(a, b)| {
            let sum: i16 = [a[0], a[1], b[0], b[1]]
                .map(|value| i16::from(value as i8))
                .iter()
                .sum();
            ((sum + 2) >> 2) as u8
        }));
    }
}

/// Appends a plane as run lengths and its last four bytes as they are, or all as it is where that is not longer
/// ([MS-RDPNSC] 2.2.2.1).
fn compress(plane: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let coded = plane.len().saturating_sub(TAIL);
    let body = &plane[..coded];
    let mut at = 0;
    while at < coded && out.len() - start + TAIL < plane.len() {
        let pair = at + equal_pair(&body[at..]);
        out.extend_from_slice(&body[at..pair]);
        at = pair;
        if at == coded {
            break;
        }
        let run = run(&body[at..]);
        out.extend_from_slice(&[body[at]; 2]);
        if run < LONG_RUN {
            out.push((run - 2) as u8);
        } else {
            out.push(0xFF);
            out.extend_from_slice(&(run as u32).to_le_bytes());
        }
        at += run;
    }
    if at < coded || out.len() - start + TAIL >= plane.len() {
        out.truncate(start);
        out.extend_from_slice(plane);
    } else {
        out.extend_from_slice(&plane[coded..]);
    }
}

const TAIL: usize = 4;
/// Runs from here on have their length in four bytes.
const LONG_RUN: usize = 257;

/// Where two equal bytes stand side by side first; the length if nowhere.
#[inline]
fn equal_pair(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while at + 9 <= bytes.len() {
        let differing = eight(bytes, at) ^ eight(bytes, at + 1);
        // The lowest byte that is 0 has its top bit set here; those above it do not matter.
        let zeros = differing.wrapping_sub(LOW) & !differing & (LOW << 7);
        if zeros != 0 {
            return at + (zeros.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].windows(2).position(|pair| pair[0] == pair[1]);
    rest.map_or(bytes.len(), |more| at + more)
}

/// How often the first byte is repeated from the start on.
#[inline]
fn run(bytes: &[u8]) -> usize {
    let repeated = u64::from(bytes[0]) * 0x0101_0101_0101_0101;
    let mut at = 0;
    while at + 8 <= bytes.len() {
        let differing = eight(bytes, at) ^ repeated;
        if differing != 0 {
            return at + (differing.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes[at..].iter().take_while(|byte| **byte == bytes[0]).count()
}

#[inline(always)]
fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of 8 bytes"))
}
