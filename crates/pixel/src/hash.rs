//! Hashes of pixels, for finding equal ones: rows of a tile (what scrolled?), whole tiles (what was seen before?), and
//! blocks at every column (what moved?). Not cryptographic: whoever acts on equal hashes compares the pixels, or accepts
//! that a guest which forges a collision spoils its own picture.

use crate::Rows;

/// Odd numbers without structure.
const MIX: [u64; 4] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
];

/// The hash of some pixels in a row.
pub fn row(pixels: &[u8]) -> u64 {
    let (chunks, tail) = pixels.as_chunks::<32>();
    let mut lanes = MIX;
    for chunk in chunks {
        let (words, _) = chunk.as_chunks::<8>();
        for ((lane, word), mix) in lanes.iter_mut().zip(words).zip(MIX) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(mix).rotate_left(29);
        }
    }
    for (pixel, lane) in tail.as_chunks::<4>().0.iter().zip((0..4).cycle()) {
        lanes[lane] = (lanes[lane] ^ u64::from(u32::from_le_bytes(*pixel)) ^ 0x5A00_0000_0000)
            .wrapping_mul(MIX[lane])
            .rotate_left(29);
    }
    lanes.iter().fold(pixels.len() as u64, |sum, lane| finish(sum ^ lane))
}

/// The hash of a rectangle, its size included.
///
/// # Panics
/// If a row is not inside the bytes.
pub fn rectangle(source: Rows<'_>, width: usize, height: usize) -> u64 {
    (0..height).fold(height as u64, |sum, y| {
        (sum ^ row(source.row(y, width * 4)))
            .wrapping_mul(MIX[0])
            .rotate_left(31)
    })
}

fn finish(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(MIX[1]);
    value ^ (value >> 29)
}

/// Pixels of a block.
pub const BLOCK: usize = 32;
/// The multiplier of the rolling hash, and its power by which the pixel that leaves was multiplied.
const STEP: u64 = 0xD129_0DDF_53C4_3E49;
const LEAVING: u64 = {
    let (mut power, mut i) = (1_u64, 0);
    while i < BLOCK {
        power = power.wrapping_mul(STEP);
        i += 1;
    }
    power
};

/// Calls `found(column, hash)` for the block of [`BLOCK`] pixels at every column where one fits.
pub fn rolling(pixels: &[u8], mut found: impl FnMut(usize, u64)) {
    let (pixels, _) = pixels.as_chunks::<4>();
    if pixels.len() < BLOCK {
        return;
    }
    let value = |pixel: &[u8; 4]| u64::from(u32::from_le_bytes(*pixel)) + 1;
    let mut hash = pixels[..BLOCK]
        .iter()
        .fold(0_u64, |hash, pixel| hash.wrapping_mul(STEP).wrapping_add(value(pixel)));
    found(0, finish(hash));
    for (column, (leaves, enters)) in pixels.iter().zip(&pixels[BLOCK..]).enumerate() {
        hash = hash
            .wrapping_mul(STEP)
            .wrapping_add(value(enters))
            .wrapping_sub(value(leaves).wrapping_mul(LEAVING));
        found(column + 1, finish(hash));
    }
}

/// The hash that [`rolling`] finds for one block.
pub fn block(pixels: &[[u8; 4]; BLOCK]) -> u64 {
    let value = |pixel: &[u8; 4]| u64::from(u32::from_le_bytes(*pixel)) + 1;
    finish(
        pixels
            .iter()
            .fold(0_u64, |hash, pixel| hash.wrapping_mul(STEP).wrapping_add(value(pixel))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect()
    }

    #[test]
    fn every_pixel_and_the_length_count() {
        let pixels = noise(67 * 4);
        let whole = row(&pixels);
        for byte in 0..pixels.len() {
            let mut other = pixels.clone();
            other[byte] ^= 1;
            assert_ne!(row(&other), whole, "byte {byte}");
        }
        assert_ne!(row(&[0; 64]), row(&[0; 68]));
        let rows = |stride| Rows { bytes: &pixels, stride };
        assert_ne!(rectangle(rows(16), 4, 4), rectangle(rows(16), 4, 3));
        assert_ne!(rectangle(rows(16), 4, 4), rectangle(rows(20), 4, 4));
    }

    #[test]
    fn rolling_agrees_with_each_block_alone() {
        let pixels = noise(100 * 4);
        let (whole, _) = pixels.as_chunks::<4>();
        let mut columns = 0;
        rolling(&pixels, |column, hash| {
            let alone = whole[column..column + BLOCK].try_into().expect("a block");
            assert_eq!(hash, block(alone), "column {column}");
            columns += 1;
        });
        assert_eq!(columns, 100 - BLOCK + 1);
        rolling(&pixels[..BLOCK * 4 - 4], |_, _| panic!("no block fits"));
    }
}
