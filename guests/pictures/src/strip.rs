//! A frame number as a strip of twenty black and white blocks: two that are always the same, sixteen bits, two that
//! check them. It survives lossy codecs; half a frame, or none, is recognised.

/// Side of one block, pixels.
pub const SIDE: usize = 16;
/// Width of the strip, pixels.
pub const WIDTH: usize = SIDE * BLOCKS;

const BLOCKS: usize = 20;

/// Draws `n` at `at` into a picture of the crate's size.
pub(crate) fn draw(out: &mut [u8], at: (usize, usize), n: u16) {
    let word = word(n);
    for block in 0..BLOCKS {
        let value = if word >> (BLOCKS - 1 - block) & 1 == 1 { 0xff } else { 0 };
        for y in 0..SIDE {
            let start = (at.1 + y) * super::STRIDE + (at.0 + block * SIDE) * 4;
            for pixel in out[start..start + SIDE * 4].chunks_exact_mut(4) {
                pixel.copy_from_slice(&[value, value, value, 0]);
            }
        }
    }
}

/// Reads the number from the strip's rows 6 and 8, four bytes per pixel; `None` if this is no whole strip.
pub fn read(upper: &[u8], lower: &[u8]) -> Option<u16> {
    let mut found = 0_u32;
    for block in 0..BLOCKS {
        let samples = [(upper, 8), (lower, 6), (lower, 9)];
        let sum: u32 = samples
            .iter()
            .map(|(row, x)| {
                let pixel = (block * SIDE + x) * 4;
                row.get(pixel..pixel + 3)
                    .map_or(0, |color| color.iter().map(|value| u32::from(*value)).sum())
            })
            .sum();
        found = found << 1 | u32::from(sum > 9 * 127);
    }
    let n = (found >> 2 & 0xffff) as u16;
    (found == word(n)).then_some(n)
}

fn word(n: u16) -> u32 {
    0b10 << 18 | u32::from(n) << 2 | (n.count_ones() & 3)
}
