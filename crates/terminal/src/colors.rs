//! The colours of a terminal: the sixteen of xterm, its cube and its greys.

use vt100::Color;

/// Blue, green, red.
pub type Bgr = [u8; 3];

pub const TEXT: Bgr = [0xD8, 0xD4, 0xD0];
pub const GROUND: Bgr = [0x1C, 0x16, 0x12];
pub const STATUS_TEXT: Bgr = [0xF7, 0xF4, 0xF2];
pub const STATUS_GROUND: Bgr = [0x6E, 0x4A, 0x24];

/// Red, green, blue, as in xterm's documents; brighter blues than its, which are hard to read.
const SIXTEEN: [u32; 16] = [
    0x000000, 0xCD3131, 0x0DBC79, 0xE5E510, 0x3B78FF, 0xBC3FBC, 0x11A8CD, 0xE5E5E5, 0x767676, 0xF14C4C, 0x23D18B,
    0xF5F543, 0x6D9FFF, 0xD670D6, 0x29B8DB, 0xFFFFFF,
];

/// A colour of a cell; `usual` where the guest chose none. Bold text of the first eight colours is bright, as on a PC.
pub fn of(color: Color, usual: Bgr, is_bold: bool) -> Bgr {
    match color {
        Color::Default => usual,
        Color::Rgb(red, green, blue) => [blue, green, red],
        Color::Idx(index @ 0..=7) if is_bold => split(SIXTEEN[usize::from(index) + 8]),
        Color::Idx(index @ 0..=15) => split(SIXTEEN[usize::from(index)]),
        Color::Idx(index @ 16..=231) => {
            let cube = index - 16;
            let step = |digit: u8| if digit == 0 { 0 } else { 55 + digit * 40 };
            [step(cube % 6), step(cube / 6 % 6), step(cube / 36)]
        }
        Color::Idx(index @ 232..=255) => [8 + (index - 232) * 10; 3],
    }
}

/// Halfway to the ground: dim text.
pub fn dim(color: Bgr, ground: Bgr) -> Bgr {
    std::array::from_fn(|i| u8::midpoint(color[i], ground[i]))
}

fn split(rgb: u32) -> Bgr {
    let [blue, green, red, _] = rgb.to_le_bytes();
    [blue, green, red]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cube_and_the_greys_are_xterms() {
        let color = |index| of(Color::Idx(index), TEXT, false);
        assert_eq!(color(16), [0, 0, 0]);
        assert_eq!(color(196), [0, 0, 255]);
        assert_eq!(color(67), [0xAF, 0x87, 0x5F]);
        assert_eq!(color(231), [255, 255, 255]);
        assert_eq!([color(232), color(255)], [[8; 3], [238; 3]]);
        assert_eq!(of(Color::Idx(1), TEXT, true), color(9));
        assert_eq!(of(Color::Default, GROUND, true), GROUND);
        assert_eq!(of(Color::Rgb(1, 2, 3), TEXT, false), [3, 2, 1]);
    }
}
