//! Box drawing, block elements (U+2500 to U+259F) and the VT100's scan lines (U+23BA to U+23BD), drawn by code so that they meet at the edges of cells of any size.

/// Weights of the strokes from the middle of U+2500 + index: up, right, down, left. 1 is light, 2 heavy, 3 double.
const STROKES: [&[u8; 4]; 128] = [
    b"0101", b"0202", b"1010", b"2020", b"0101", b"0202", b"1010", b"2020", b"0101", b"0202", b"1010",
    b"2020", // ─ … ┋
    b"0110", b"0210", b"0120", b"0220", b"0011", b"0012", b"0021", b"0022", // ┌ … ┓
    b"1100", b"1200", b"2100", b"2200", b"1001", b"1002", b"2001", b"2002", // └ … ┛
    b"1110", b"1210", b"2110", b"1120", b"2120", b"2210", b"1220", b"2220", // ├ … ┣
    b"1011", b"1012", b"2011", b"1021", b"2021", b"2012", b"1022", b"2022", // ┤ … ┫
    b"0111", b"0112", b"0211", b"0212", b"0121", b"0122", b"0221", b"0222", // ┬ … ┳
    b"1101", b"1102", b"1201", b"1202", b"2101", b"2102", b"2201", b"2202", // ┴ … ┻
    b"1111", b"1112", b"1211", b"1212", b"2111", b"1121", b"2121", b"2112", // ┼ … ╃
    b"2211", b"1122", b"1221", b"2212", b"1222", b"2122", b"2221", b"2222", // ╄ … ╋
    b"0101", b"0202", b"1010", b"2020", // ╌ … ╏
    b"0303", b"3030", b"0310", b"0130", b"0330", b"0013", b"0031", b"0033", // ═ … ╗
    b"1300", b"3100", b"3300", b"1003", b"3001", b"3003", // ╘ … ╝
    b"1310", b"3130", b"3330", b"1013", b"3031", b"3033", // ╞ … ╣
    b"0313", b"0131", b"0333", b"1303", b"3101", b"3303", b"1313", b"3131", b"3333", // ╤ … ╬
    b"0110", b"0011", b"1001", b"1100", b"0000", b"0000", b"0000", // ╭ … ╳, whose diagonals are the font's
    b"0001", b"1000", b"0100", b"0010", b"0002", b"2000", b"0200", b"0020", b"0201", b"1020", b"0102",
    b"2010", // ╴ … ╿
];

/// How much of a cell of `width` × `height` pixels a character covers, 0 to 255 per pixel, by rows. `None` if it is not one
/// of these characters.
pub fn coverage(c: char, width: usize, height: usize) -> Option<Vec<u8>> {
    let mut cell = Cell {
        width,
        height,
        pixels: vec![0; width * height],
    };
    match u32::from(c) {
        code @ 0x2500..=0x257F => {
            let strokes = STROKES[(code - 0x2500) as usize].map(|digit| digit - b'0');
            if strokes == [0; 4] {
                return None;
            }
            cell.lines(strokes);
        }
        code @ 0x2580..=0x259F => cell.block(code),
        code @ 0x23BA..=0x23BD => {
            // Scan lines 1, 3, 7 and 9 of nine; 5 is U+2500.
            let offset = [-4, -2, 2, 4][(code - 0x23BA) as usize] * height as isize / 9;
            let rows = Line::new(offset, width.div_ceil(12) as isize).within(height);
            cell.fill([0, width], rows, 255);
        }
        _ => return None,
    }
    Some(cell.pixels)
}

struct Cell {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Cell {
    fn fill(&mut self, columns: [usize; 2], rows: [usize; 2], coverage: u8) {
        for y in rows[0]..rows[1].min(self.height) {
            let row = &mut self.pixels[y * self.width..][..self.width];
            row[columns[0].min(self.width)..columns[1].clamp(columns[0].min(self.width), self.width)].fill(coverage);
        }
    }

    fn block(&mut self, code: u32) {
        let (width, height) = (self.width, self.height);
        let eighths = |size: usize, count: u32| ((size * count as usize + 4) / 8).max(1);
        match code {
            0x2580 => self.fill([0, width], [0, eighths(height, 4)], 255),
            0x2581..=0x2588 => self.fill([0, width], [height - eighths(height, code - 0x2580), height], 255),
            0x2589..=0x258F => self.fill([0, eighths(width, 0x2590 - code)], [0, height], 255),
            0x2590 => self.fill([eighths(width, 4), width], [0, height], 255),
            0x2591..=0x2593 => self.fill([0, width], [0, height], (64 * (code - 0x2590)).min(255) as u8),
            0x2594 => self.fill([0, width], [0, eighths(height, 1)], 255),
            0x2595 => self.fill([width - eighths(width, 1), width], [0, height], 255),
            _ => {
                // Lower left, lower right, upper left, upper right.
                let quadrants = [
                    0b0001, 0b0010, 0b0100, 0b0111, 0b0110, 0b1101, 0b1110, 0b1000, 0b1001, 0b1011,
                ];
                let set: u32 = quadrants[(code as usize - 0x2596).min(9)];
                let (middle, center) = (eighths(width, 4), eighths(height, 4));
                for bit in 0..4 {
                    if set & 1 << bit != 0 {
                        let columns = if bit % 2 == 0 { [0, middle] } else { [middle, width] };
                        let rows = if bit < 2 { [center, height] } else { [0, center] };
                        self.fill(columns, rows, 255);
                    }
                }
            }
        }
    }

    fn lines(&mut self, [up, right, down, left]: [u8; 4]) {
        let light = self.width.div_ceil(12) as isize;
        for (is_first, weight, other) in [(true, left, right), (false, right, left)] {
            for (across, end) in strokes(weight, other, [up, down], is_first, light) {
                let rows = across.within(self.height);
                self.fill(arm(self.width, is_first, end), rows, 255);
            }
        }
        for (is_first, weight, other) in [(true, up, down), (false, down, up)] {
            for (across, end) in strokes(weight, other, [left, right], is_first, light) {
                let columns = across.within(self.width);
                self.fill(columns, arm(self.height, is_first, end), 255);
            }
        }
    }
}

/// Where a line runs: how far from the middle its own middle is, and how thick it is.
#[derive(Clone, Copy)]
struct Line {
    offset: isize,
    thickness: isize,
}

impl Line {
    fn new(offset: isize, thickness: isize) -> Self {
        Self { offset, thickness }
    }

    fn within(self, size: usize) -> [usize; 2] {
        let start = (size / 2) as isize - self.thickness / 2 + self.offset;
        let at = |v: isize| v.clamp(0, size as isize) as usize;
        [at(start), at(start + self.thickness)]
    }
}

/// From an edge up to a line across, and over it.
fn arm(size: usize, is_first: bool, end: Line) -> [usize; 2] {
    let [start, stop] = end.within(size);
    if is_first { [0, stop] } else { [start, size] }
}

/// The lines of an arm, and up to which line across each of them goes. `is_first` is the arm from the left or from above,
/// `other` the weight of the one opposite, `sides` those of the arms across, left or up first.
fn strokes(weight: u8, other: u8, sides: [u8; 2], is_first: bool, light: isize) -> Vec<(Line, Line)> {
    let apart = light + light / 2;
    let heavy = light * 2 + light % 2;
    let thickness = |weight: u8| if weight == 2 { heavy } else { light };
    let near = Line::new(if is_first { -apart } else { apart }, light);
    let far = Line::new(-near.offset, light);
    let center = Line::new(0, thickness(sides[0]).max(thickness(sides[1])));
    match weight {
        0 => Vec::new(),
        1 | 2 => {
            let end = match (sides, other) {
                ([3, 3], 0) => near,
                ([3, _] | [_, 3], 0) => far,
                _ => center,
            };
            vec![(Line::new(0, thickness(weight)), end)]
        }
        _ => {
            // Of two lines each turns or ends at what it meets on its own side.
            let end = |own: u8, beyond: u8| match (own, beyond) {
                (3, _) => near,
                (0, 3) => far,
                _ => center,
            };
            vec![
                (Line::new(-apart, light), end(sides[0], sides[1])),
                (Line::new(apart, light), end(sides[1], sides[0])),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(c: char, width: usize, height: usize) -> Vec<String> {
        let pixels = coverage(c, width, height).unwrap();
        let shade = |pixel: &u8| match pixel {
            0 => '.',
            255 => '#',
            _ => '+',
        };
        pixels
            .chunks(width)
            .map(|row| row.iter().map(shade).collect())
            .collect()
    }

    #[test]
    fn every_character_of_both_blocks_draws_something_at_any_size() {
        for code in 0x2500..=0x259F_u32 {
            let c = char::from_u32(code).unwrap();
            for (width, height) in [(3, 5), (5, 8), (8, 16), (10, 20), (33, 64)] {
                match coverage(c, width, height) {
                    Some(pixels) => assert!(pixels.iter().any(|pixel| *pixel > 0), "{c} at {width}×{height}"),
                    None => assert!(('╱'..='╳').contains(&c), "{c}"),
                }
            }
        }
        assert_eq!(coverage('A', 8, 16), None);
    }

    #[test]
    fn lines_reach_the_edges_that_they_should_and_no_others() {
        for code in 0x2500..=0x257F_u32 {
            let c = char::from_u32(code).unwrap();
            let Some(pixels) = coverage(c, 9, 17) else { continue };
            let strokes = STROKES[(code - 0x2500) as usize].map(|digit| digit != b'0');
            let edges = [
                pixels[..9].contains(&255),
                pixels.chunks(9).any(|row| row[8] == 255),
                pixels[16 * 9..].contains(&255),
                pixels.chunks(9).any(|row| row[0] == 255),
            ];
            assert_eq!(edges, strokes, "{c}");
        }
    }

    #[test]
    fn a_double_corner_has_an_outer_and_an_inner_one() {
        assert_eq!(
            rows('╔', 9, 9),
            [
                ".........",
                ".........",
                ".........",
                "...######",
                "...#.....",
                "...#.####",
                "...#.#...",
                "...#.#...",
                "...#.#...",
            ]
        );
        assert_eq!(
            rows('╬', 9, 9),
            [
                "...#.#...",
                "...#.#...",
                "...#.#...",
                "####.####",
                ".........",
                "####.####",
                "...#.#...",
                "...#.#...",
                "...#.#...",
            ]
        );
    }

    #[test]
    fn blocks_fill_their_eighths_and_quadrants() {
        assert_eq!(rows('▄', 2, 4), ["..", "..", "##", "##"]);
        assert_eq!(rows('▌', 4, 2), ["##..", "##.."]);
        assert_eq!(rows('▚', 2, 2), ["#.", ".#"]);
        assert_eq!(rows('▟', 2, 2), [".#", "##"]);
        assert_eq!(rows('▒', 2, 1), ["++"]);
        assert_eq!(rows('█', 2, 1), ["##"]);
    }
}
