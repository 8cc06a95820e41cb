//! Screens as real desktops show them: outlines with grey edges from DejaVu's TrueType files (`fonts-dejavu-core`), code
//! and prose of this repository as text. Drawn once per run; `pictures` has the ones that need no file.

use std::collections::HashMap;

use fontdue::{Font, FontSettings, Metrics};
use rdpmux_model::Size;

use crate::pictures;

const FOLDER: &str = "/usr/share/fonts/truetype/dejavu";
const CODE: &[&str] = &[
    include_str!("../../src/surface.rs"),
    include_str!("../../src/codec/zgfx.rs"),
    include_str!("../../src/pace.rs"),
];
const PROSE: &[&str] = &[
    include_str!("../../../../ARCHITECTURE.md"),
    include_str!("../../../../README.md"),
];

/// The three faces that the screens use.
pub struct Fonts {
    code: Face,
    prose: Face,
    title: Face,
}

impl Fonts {
    /// Reads the fonts; none if they are not installed.
    pub fn load() -> Option<Self> {
        Some(Self {
            code: Face::load("DejaVuSansMono.ttf", 14.0)?,
            prose: Face::load("DejaVuSans.ttf", 15.0)?,
            title: Face::load("DejaVuSans-Bold.ttf", 22.0)?,
        })
    }
}

struct Face {
    font: Font,
    size: f32,
    glyphs: HashMap<char, (Metrics, Vec<u8>)>,
}

impl Face {
    fn load(file: &str, size: f32) -> Option<Self> {
        let bytes = std::fs::read(format!("{FOLDER}/{file}")).ok()?;
        Some(Self {
            font: Font::from_bytes(bytes, FontSettings::default()).ok()?,
            size,
            glyphs: HashMap::new(),
        })
    }

    fn glyph(&mut self, letter: char) -> &(Metrics, Vec<u8>) {
        let (font, size) = (&self.font, self.size);
        self.glyphs
            .entry(letter)
            .or_insert_with(|| font.rasterize(letter, size))
    }

    fn width(&mut self, text: &str) -> i32 {
        text.chars().map(|letter| advance(&self.glyph(letter).0)).sum()
    }
}

/// Whole pixels, as toolkits place letters.
fn advance(metrics: &Metrics) -> i32 {
    metrics.advance_width.round() as i32
}

struct Picture {
    size: Size,
    pixels: Vec<u8>,
}

type Rgb = [u8; 3];

impl Picture {
    fn fill(&mut self, x: i32, y: i32, width: i32, height: i32, [r, g, b]: Rgb) {
        for row in y.max(0)..(y + height).min(self.size.height as i32) {
            let line = row as usize * self.size.width as usize * 4;
            let to = (x + width).clamp(0, self.size.width as i32) as usize * 4;
            let from = (x.max(0) as usize * 4).min(to);
            let pixels = &mut self.pixels[line + from..line + to];
            pixels.as_chunks_mut::<4>().0.fill([b, g, r, 255]);
        }
    }

    /// Writes from `x` on with the baseline at `y`, and returns where the next letter would stand.
    fn write(&mut self, face: &mut Face, x: i32, y: i32, text: &str, color: Rgb) -> i32 {
        let mut x = x;
        for letter in text.chars() {
            let (metrics, coverage) = face.glyph(letter);
            let top = y - metrics.height as i32 - metrics.ymin;
            for (i, &share) in coverage.iter().enumerate() {
                let (column, row) = ((i % metrics.width) as i32, (i / metrics.width) as i32);
                self.blend(x + metrics.xmin + column, top + row, color, share);
            }
            x += advance(metrics);
        }
        x
    }

    fn blend(&mut self, x: i32, y: i32, [r, g, b]: Rgb, share: u8) {
        if x < 0 || y < 0 || x >= self.size.width as i32 || y >= self.size.height as i32 {
            return;
        }
        let at = (y as usize * self.size.width as usize + x as usize) * 4;
        for (to, color) in self.pixels[at..at + 3].iter_mut().zip([b, g, r]) {
            let (old, new, share) = (u32::from(*to), u32::from(color), u32::from(share));
            *to = ((old * (255 - share) + new * share + 127) / 255) as u8;
        }
    }

    /// Prose in lines of at most `width` pixels, paragraphs apart, until the picture ends.
    fn paragraphs(&mut self, face: &mut Face, x: i32, mut y: i32, width: i32, bottom: i32) {
        let space = face.width(" ");
        for paragraph in PROSE.iter().cycle().flat_map(|text| text.split("\n\n")) {
            let mut at = x;
            for word in paragraph.split_whitespace() {
                let needed = face.width(word);
                if at + needed > x + width {
                    (at, y) = (x, y + 24);
                }
                if y > bottom {
                    return;
                }
                at = self.write(face, at, y, word, [36, 36, 40]) + space;
            }
            y += 36;
        }
    }
}

/// An editor with a list of files, and a document beside it.
pub fn text(size: Size, fonts: &mut Fonts) -> Vec<u8> {
    let (width, height) = (size.width as i32, size.height as i32);
    let mut picture = Picture {
        size,
        pixels: vec![30; size.area() as usize * 4],
    };
    picture.fill(0, 0, width, height, [30, 30, 30]);
    picture.fill(0, 0, 260, height, [37, 37, 38]);
    for i in 0..height / 23 {
        let name = ["surface.rs", "codec", "clear.rs", "pace.rs", "plan.rs", "zgfx.rs"][i as usize % 6];
        picture.write(&mut fonts.prose, 20 + 12 * (i % 3), 34 + i * 23, name, [204, 204, 204]);
    }
    let middle = width * 3 / 5;
    picture.fill(260, 0, middle - 260, 34, [45, 45, 45]);
    picture.write(&mut fonts.prose, 280, 22, "surface.rs", [255, 255, 255]);
    let lines = CODE.iter().cycle().flat_map(|text| text.lines());
    for (i, line) in lines.take((height / 19 - 2) as usize).enumerate() {
        code_line(&mut picture, &mut fonts.code, 60 + i as i32 * 19, i, line);
    }
    picture.fill(middle, 0, width - middle, height, [255, 255, 255]);
    let (left, column) = (middle + 30, width - middle - 70);
    picture.write(&mut fonts.title, left, 44, "How a frame travels", [20, 20, 20]);
    picture.paragraphs(&mut fonts.prose, left, 84, column, height - 10);
    picture.pixels
}

/// A numbered line in the colours of its words.
fn code_line(picture: &mut Picture, face: &mut Face, y: i32, number: usize, line: &str) {
    picture.write(face, 270, y, &format!("{:4}", number + 1), [110, 118, 129]);
    let is_comment = line.trim_start().starts_with("//");
    let mut x = 320;
    for word in line.split_inclusive(|letter: char| !letter.is_alphanumeric() && letter != '_') {
        let color = match word.trim_end_matches(|letter: char| !letter.is_alphanumeric()) {
            _ if is_comment => [106, 153, 85],
            "fn" | "let" | "impl" | "pub" | "self" | "use" | "for" | "in" | "if" | "mut" => [86, 156, 214],
            name if name.starts_with(char::is_uppercase) => [78, 201, 176],
            name if name.starts_with(char::is_numeric) => [181, 206, 168],
            name if name.len() > 9 => [220, 220, 170],
            _ => [212, 212, 212],
        };
        x = picture.write(face, x, y, word, color);
    }
}

/// Windows with lists and a terminal on a soft wallpaper.
pub fn desktop(size: Size, fonts: &mut Fonts) -> Vec<u8> {
    let mut picture = Picture {
        size,
        pixels: pictures::gradient(size),
    };
    for (index, (across, down)) in [(6, 8), (36, 28), (60, 12)].into_iter().enumerate() {
        let (x, y) = (size.width as i32 * across / 100, size.height as i32 * down / 100);
        let (width, height) = (size.width as i32 * 36 / 100, size.height as i32 * 56 / 100);
        let is_terminal = index == 2;
        picture.fill(
            x,
            y,
            width,
            height,
            if is_terminal { [24, 24, 28] } else { [250, 250, 250] },
        );
        for row in 0..32 {
            picture.fill(x, y + row, width, 1, [(230 - row) as u8; 3]);
        }
        picture.write(&mut fonts.prose, x + 14, y + 21, "Files and places", [60, 60, 60]);
        let lines = CODE[index].lines().filter(|line| !line.is_empty());
        for (row, line) in lines.take(((height - 60) / 24) as usize).enumerate() {
            let at = y + 60 + row as i32 * 24;
            let short: String = line.trim().chars().take(36).collect();
            if is_terminal {
                picture.write(&mut fonts.code, x + 10, at, &short, [120, 220, 130]);
            } else {
                picture.fill(x + 14, at - 13, 16, 16, [40 + row as u8 * 7, 140, 220 - row as u8 * 6]);
                picture.write(&mut fonts.prose, x + 44, at, &short, [40, 40, 40]);
            }
        }
    }
    picture.pixels
}

/// A page in a browser, a quarter of it photographs.
pub fn mixed(size: Size, fonts: &mut Fonts) -> Vec<u8> {
    let (width, height) = (size.width as i32, size.height as i32);
    let mut picture = Picture {
        size,
        pixels: vec![255; size.area() as usize * 4],
    };
    picture.fill(0, 0, width, 72, [222, 225, 230]);
    picture.fill(120, 40, width - 400, 26, [255, 255, 255]);
    picture.write(
        &mut fonts.prose,
        136,
        58,
        "https://example.org/architecture",
        [60, 60, 60],
    );
    picture.write(
        &mut fonts.title,
        width / 12,
        120,
        "Many machines behind one port",
        [20, 20, 20],
    );
    picture.paragraphs(&mut fonts.prose, width / 12, 160, width * 35 / 100, height - 10);
    let photo = pictures::photo(size);
    let (left, right) = (size.width as usize / 2, size.width as usize * 94 / 100);
    for y in 110..110 + size.height as usize / 2 {
        let at = (y * size.width as usize + left) * 4..(y * size.width as usize + right) * 4;
        picture.pixels[at.clone()].copy_from_slice(&photo[at]);
    }
    let below = 150 + height / 2;
    picture.paragraphs(&mut fonts.prose, width / 2, below, width * 44 / 100, height - 10);
    picture.pixels
}
