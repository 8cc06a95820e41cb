//! ZGFX, the bulk compression of the graphics pipeline ([MS-RDPEGFX] 2.2.5, 3.1.9.1): greedy matching against the last
//! 2,500,000 bytes of the connection, where the text of a screen repeats itself. One per connection and direction.
//!
//! A hash table with one entry per 5-byte prefix and the distance of the last match are the whole search. The history is
//! one slice that moves down when its slack is used up, so memory is bounded at about 4 MiB, and small until used.

use rdpmux_model::BulkCompressor;
use rdpmux_pixel::bits::BitWriter;

/// The compressor of one connection.
pub struct Zgfx {
    history: Vec<u8>,
    /// Positions in `history` plus 1, by hash of the 5 bytes there; 0 is none.
    table: Vec<u32>,
    segment: Vec<u8>,
}

impl std::fmt::Debug for Zgfx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zgfx")
            .field("history", &self.history.len())
            .finish_non_exhaustive()
    }
}

impl Default for Zgfx {
    fn default() -> Self {
        Self::new()
    }
}

/// How far back a match may reach: the client's history.
const WINDOW: usize = 2_500_000;
/// Bytes beyond the window before the history moves down.
const SLACK: usize = 1 << 20;
/// Most bytes before compression in one segment ([MS-RDPEGFX] 2.2.5.1).
const SEGMENT: usize = 65_535;
const TABLE_BITS: u32 = 16;
/// Literals that are cheaper as a block of raw bytes.
const RAW_RUN: usize = 40;
/// The count of a block of raw bytes has 15 bits.
const RAW_MAX: usize = 0x7FFF;
/// Shortest match looked for.
const SHORTEST: usize = 4;

/// Descriptors and segment headers ([MS-RDPEGFX] 2.2.5.1 to 2.2.5.3).
const SINGLE: u8 = 0xE0;
const MULTIPART: u8 = 0xE1;
const RDP8: u8 = 0x04;
const RDP8_COMPRESSED: u8 = 0x24;

impl Zgfx {
    /// A compressor whose history is empty, as its client's is.
    pub fn new() -> Self {
        Self {
            history: Vec::new(),
            table: Vec::new(),
            segment: Vec::new(),
        }
    }

    /// Appends one segment, its header byte included.
    fn add_segment(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let start = self.take_in(bytes);
        self.segment.clear();
        let mut search = Search {
            history: &self.history,
            table: &mut self.table,
            bits: BitWriter::new(&mut self.segment),
            literals_from: start,
        };
        search.run(start);
        let padding = search.bits.align();
        if self.segment.len() + 1 < bytes.len() {
            out.push(RDP8_COMPRESSED);
            out.extend_from_slice(&self.segment);
            out.push(padding as u8);
        } else {
            out.push(RDP8);
            out.extend_from_slice(bytes);
        }
    }

    /// Appends to the history, which moves down when it is full. Returns where the bytes start.
    fn take_in(&mut self, bytes: &[u8]) -> usize {
        if self.table.is_empty() {
            self.table = vec![0; 1 << TABLE_BITS];
        }
        if self.history.len() + bytes.len() > WINDOW + SLACK {
            let gone = self.history.len() - WINDOW;
            self.history.drain(..gone);
            for entry in &mut self.table {
                *entry = entry.saturating_sub(gone as u32);
            }
        }
        let start = self.history.len();
        self.history.extend_from_slice(bytes);
        start
    }
}

impl BulkCompressor for Zgfx {
    /// Appends `RDP_SEGMENTED_DATA` ([MS-RDPEGFX] 2.2.5.1). A message is at most 65,535 segments long, over 4 GB.
    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) {
        if message.len() <= SEGMENT {
            out.push(SINGLE);
            self.add_segment(message, out);
            return;
        }
        out.push(MULTIPART);
        out.extend_from_slice(&(message.len().div_ceil(SEGMENT) as u16).to_le_bytes());
        out.extend_from_slice(&(message.len() as u32).to_le_bytes());
        for part in message.chunks(SEGMENT) {
            let at = out.len();
            out.extend_from_slice(&[0; 4]);
            self.add_segment(part, out);
            let size = (out.len() - at - 4) as u32;
            out[at..at + 4].copy_from_slice(&size.to_le_bytes());
        }
    }

    /// Distances are relative, so a client with a longer history than this one decodes what follows as well.
    fn forget(&mut self) {
        self.history.clear();
        self.table.fill(0);
    }
}

struct Search<'a> {
    history: &'a [u8],
    table: &'a mut [u32],
    bits: BitWriter<'a>,
    /// First byte that is not coded yet.
    literals_from: usize,
}

impl Search<'_> {
    /// Codes the history from `start` on.
    fn run(&mut self, start: usize) {
        let end = self.history.len();
        let limit = end.saturating_sub(8);
        let (mut at, mut distance, mut misses) = (start, SHORTEST, 0);
        while at < limit {
            let Some(found) = self.candidate(at, distance) else {
                // The longer nothing matches, the larger the steps.
                misses += 1;
                at += 1 + (misses >> 5);
                continue;
            };
            misses = 0;
            let (from, to) = self.extend(found, at);
            distance = at - found;
            self.literals(from);
            self.matched(distance, to - from);
            self.literals_from = to;
            at = to;
            if to < limit {
                self.remember(to - 2);
            }
        }
        self.literals(end);
    }

    /// An earlier place with the same bytes as `at`: at the distance of the last match, else by hash.
    #[inline(always)]
    fn candidate(&mut self, at: usize, distance: usize) -> Option<usize> {
        let here = self.eight(at);
        let slot = &mut self.table[hash(here)];
        let known = std::mem::replace(slot, at as u32 + 1) as usize;
        if at >= distance && self.eight(at - distance) as u32 == here as u32 {
            return Some(at - distance);
        }
        let found = known.checked_sub(1)?;
        let is_same = at - found < WINDOW && self.eight(found) << 24 == here << 24;
        is_same.then_some(found)
    }

    #[inline(always)]
    fn remember(&mut self, at: usize) {
        let slot = hash(self.eight(at));
        self.table[slot] = at as u32 + 1;
    }

    /// Grows a match forwards, and backwards into literals that are not coded yet.
    #[inline(always)]
    fn extend(&self, found: usize, at: usize) -> (usize, usize) {
        let end = self.history.len();
        let mut len = SHORTEST;
        while at + len + 8 <= end {
            let differing = self.eight(found + len) ^ self.eight(at + len);
            if differing != 0 {
                return self.backwards(found, at, at + len + (differing.trailing_zeros() >> 3) as usize);
            }
            len += 8;
        }
        while at + len < end && self.history[found + len] == self.history[at + len] {
            len += 1;
        }
        self.backwards(found, at, at + len)
    }

    #[inline(always)]
    fn backwards(&self, mut found: usize, mut at: usize, to: usize) -> (usize, usize) {
        while at > self.literals_from && found > 0 && self.history[found - 1] == self.history[at - 1] {
            found -= 1;
            at -= 1;
        }
        (at, to)
    }

    #[inline(always)]
    fn eight(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.history[at..at + 8].try_into().expect("a slice of 8 bytes"))
    }

    /// Codes the bytes from `literals_from` up to `to` as they are.
    fn literals(&mut self, to: usize) {
        let bytes = &self.history[self.literals_from..to];
        if bytes.len() <= RAW_RUN {
            for &byte in bytes {
                let (code, bits) = LITERALS[usize::from(byte)];
                self.bits.put(u64::from(code), u32::from(bits));
            }
            return;
        }
        for part in bytes.chunks(RAW_MAX) {
            // A match of distance 0 announces raw bytes from the next byte border on.
            self.bits.put(
                u64::from(DISTANCES[0].code << DISTANCES[0].value_bits),
                DISTANCES[0].code_bits + DISTANCES[0].value_bits,
            );
            self.bits.put(part.len() as u64, 15);
            self.bits.bytes(part);
        }
    }

    /// Codes a match of at least 3 bytes.
    #[inline(always)]
    fn matched(&mut self, distance: usize, len: usize) {
        let (distance, len) = (distance as u32, len as u32);
        let row = DISTANCES
            .iter()
            .rfind(|row| row.base <= distance)
            .unwrap_or(&DISTANCES[0]);
        self.bits.put(
            u64::from(row.code << row.value_bits | (distance - row.base)),
            row.code_bits + row.value_bits,
        );
        if len == 3 {
            self.bits.put(0, 1);
            return;
        }
        // As many ones as the length has bits beyond 2, a zero, and the bits below its highest.
        let log = len.ilog2();
        let ones = (1 << (log - 1)) - 1;
        self.bits
            .put(u64::from(ones << (1 + log) | (len - (1 << log))), 2 * log);
    }
}

#[inline(always)]
fn hash(eight: u64) -> usize {
    ((eight << 24).wrapping_mul(0x9E37_79B1_85EB_CA87) >> (64 - TABLE_BITS)) as usize
}

/// One row of the distance part of the token table ([MS-RDPEGFX] 3.1.9.1.2.1).
struct Distance {
    code: u32,
    code_bits: u32,
    value_bits: u32,
    base: u32,
}

const fn distance(code: u32, code_bits: u32, value_bits: u32, base: u32) -> Distance {
    Distance {
        code,
        code_bits,
        value_bits,
        base,
    }
}

const DISTANCES: [Distance; 11] = [
    distance(0b10001, 5, 5, 0),
    distance(0b10010, 5, 7, 32),
    distance(0b10011, 5, 9, 160),
    distance(0b10100, 5, 10, 672),
    distance(0b10101, 5, 12, 1_696),
    distance(0b101100, 6, 14, 5_792),
    distance(0b101101, 6, 15, 22_176),
    distance(0b1011100, 7, 18, 54_944),
    distance(0b1011101, 7, 20, 317_088),
    distance(0b10111100, 8, 20, 1_365_664),
    distance(0b10111101, 8, 21, 2_414_240),
];

/// Code and its length for each literal: 0 and the byte, but short for frequent ones.
const LITERALS: [(u16, u8); 256] = {
    let mut table = [(0, 9); 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u16, 9);
        byte += 1;
    }
    let mut i = 0;
    while i < SHORT_LITERALS.len() {
        let (bits, code, byte) = SHORT_LITERALS[i];
        table[byte as usize] = (code, bits);
        i += 1;
    }
    table
};

/// Bits, code and byte.
const SHORT_LITERALS: [(u8, u16, u8); 25] = [
    (5, 0b11000, 0x00),
    (5, 0b11001, 0x01),
    (6, 0b110100, 0x02),
    (6, 0b110101, 0x03),
    (6, 0b110110, 0xFF),
    (7, 0b1101110, 0x04),
    (7, 0b1101111, 0x05),
    (7, 0b1110000, 0x06),
    (7, 0b1110001, 0x07),
    (7, 0b1110010, 0x08),
    (7, 0b1110011, 0x09),
    (7, 0b1110100, 0x0A),
    (7, 0b1110101, 0x0B),
    (7, 0b1110110, 0x3A),
    (7, 0b1110111, 0x3B),
    (7, 0b1111000, 0x3C),
    (7, 0b1111001, 0x3D),
    (7, 0b1111010, 0x3E),
    (7, 0b1111011, 0x3F),
    (7, 0b1111100, 0x40),
    (7, 0b1111101, 0x80),
    (8, 0b11111100, 0x0C),
    (8, 0b11111101, 0x38),
    (8, 0b11111110, 0x39),
    (8, 0b11111111, 0x66),
];
