//! The pointer's picture as the pseudo-encoding Cursor has it (RFB 7.8.1): pixels and a mask of one bit each.

use rdpmux_model::PointerShape;

use crate::encode::{CURSOR, rectangle};
use crate::format::Translator;

/// What is at least half opaque is drawn.
const OPAQUE: u8 = 128;

/// Our arrow, for guests that have not defined a pointer: `#` black, `.` white.
const ARROW: [&[u8]; 16] = [
    b"#          ",
    b"##         ",
    b"#.#        ",
    b"#..#       ",
    b"#...#      ",
    b"#....#     ",
    b"#.....#    ",
    b"#......#   ",
    b"#.......#  ",
    b"#........# ",
    b"#.....#####",
    b"#..#..#    ",
    b"#.# #..#   ",
    b"##  #..#   ",
    b"#    #..#  ",
    b"     ###   ",
];

/// Appends the rectangle.
pub(crate) fn encode(pointer: &PointerShape, translator: &Translator, out: &mut Vec<u8>) {
    match pointer {
        PointerShape::Hidden => rectangle([0; 4], CURSOR, out),
        PointerShape::Default => {
            let pixel = |dot: &u8| match dot {
                b'#' => (0, true),
                b'.' => (0x00FF_FFFF, true),
                _ => (0, false),
            };
            let pixels: Vec<_> = ARROW.iter().flat_map(|row| row.iter().map(pixel)).collect();
            picture((0, 0), ARROW[0].len(), &pixels, translator, out);
        }
        PointerShape::Image(image) => {
            let pixel = |pixel: &[u8; 4]| {
                let [blue, green, red, alpha] = *pixel;
                (u32::from_le_bytes([blue, green, red, 0]), alpha >= OPAQUE)
            };
            let pixels: Vec<_> = image.bgra().as_chunks().0.iter().map(pixel).collect();
            picture(image.hot_spot(), image.size().width as usize, &pixels, translator, out);
        }
    }
}

fn picture(hot: (u32, u32), width: usize, pixels: &[(u32, bool)], translator: &Translator, out: &mut Vec<u8>) {
    let height = pixels.len() / width;
    rectangle([hot.0, hot.1, width as u32, height as u32], CURSOR, out);
    for (pixel, _) in pixels {
        translator.put(*pixel, out);
    }
    for row in pixels.chunks(width) {
        for eight in row.chunks(8) {
            let bits = eight.iter().enumerate();
            out.push(bits.fold(0, |all, (at, (_, is_drawn))| all | u8::from(*is_drawn) << (7 - at)));
        }
    }
}
