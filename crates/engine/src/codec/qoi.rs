//! QOI, the "Quite OK Image" format (qoiformat.org), and QOIZ, the same in a zstd frame: lossless, and all that IronRDP's
//! clients offer beyond RemoteFX. No other client knows them. Each tile is a file of its own.

use rdpmux_pixel::Rows;

/// Appends a QOI file of `width` × `height` pixels in three channels, top row first.
///
/// # Panics
/// If `rows` is shorter than it says.
pub fn encode(rows: Rows<'_>, width: usize, height: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"qoif");
    for edge in [width, height] {
        out.extend_from_slice(&(edge as u32).to_be_bytes());
    }
    out.extend_from_slice(&[CHANNELS, SRGB]);
    let mut encoder = Encoder {
        known: [0; 64],
        before: OPAQUE,
        run: 0,
    };
    for y in 0..height {
        for pixel in rows.row(y, width * 4).as_chunks::<4>().0 {
            encoder.put(u32::from_le_bytes(*pixel) | OPAQUE, out);
        }
    }
    encoder.flush(out);
    out.extend_from_slice(&END);
}

/// Appends a QOIZ tile: [`encode`]'s file as one zstd frame.
///
/// # Panics
/// If `rows` is shorter than it says.
pub fn encode_zstd(rows: Rows<'_>, width: usize, height: usize, out: &mut Vec<u8>) {
    let mut file = Vec::new();
    encode(rows, width, height, &mut file);
    let start = out.len();
    out.resize(start + zstd_safe::compress_bound(file.len()), 0);
    let length = zstd_safe::compress(&mut out[start..], &file, ZSTD_LEVEL).expect("room for the worst case");
    out.truncate(start + length);
}

/// QOI has taken out what is easy, so that more effort finds little.
const ZSTD_LEVEL: i32 = 1;
const CHANNELS: u8 = 3;
const SRGB: u8 = 0;
const END: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
/// The fourth byte of every pixel; the decoder starts from black with it.
const OPAQUE: u32 = 0xFF00_0000;

const INDEX: u8 = 0x00;
const DIFF: u8 = 0x40;
const LUMA: u8 = 0x80;
const RUN: u8 = 0xC0;
const RGB: u8 = 0xFE;
/// 63 and 64 would be `RGB` and its form with alpha.
const LONGEST_RUN: u8 = 62;

struct Encoder {
    /// The last pixel of each hash. 0 is no opaque pixel, as the decoder's table starts.
    known: [u32; 64],
    before: u32,
    run: u8,
}

impl Encoder {
    #[inline(always)]
    fn put(&mut self, pixel: u32, out: &mut Vec<u8>) {
        if pixel == self.before {
            self.run += 1;
            if self.run == LONGEST_RUN {
                self.flush(out);
            }
            return;
        }
        self.flush(out);
        let before = std::mem::replace(&mut self.before, pixel).to_le_bytes();
        let [b, g, r, _] = pixel.to_le_bytes();
        let hash = (usize::from(r) * 3 + usize::from(g) * 5 + usize::from(b) * 7 + 255 * 11) % 64;
        if self.known[hash] == pixel {
            out.push(INDEX | hash as u8);
            return;
        }
        self.known[hash] = pixel;
        let [db, dg, dr] = [
            b.wrapping_sub(before[0]),
            g.wrapping_sub(before[1]),
            r.wrapping_sub(before[2]),
        ];
        let small = [dr, dg, db].map(|d| d.wrapping_add(2));
        let (luma, from_green) = (
            dg.wrapping_add(32),
            [dr, db].map(|d| d.wrapping_sub(dg).wrapping_add(8)),
        );
        if small.iter().all(|d| *d < 4) {
            out.push(DIFF | small[0] << 4 | small[1] << 2 | small[2]);
        } else if luma < 64 && from_green.iter().all(|d| *d < 16) {
            out.extend_from_slice(&[LUMA | luma, from_green[0] << 4 | from_green[1]]);
        } else {
            out.extend_from_slice(&[RGB, r, g, b]);
        }
    }

    /// Writes the run so far.
    #[inline(always)]
    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.run > 0 {
            out.push(RUN | (self.run - 1));
            self.run = 0;
        }
    }
}
