//! Terminal text: glyphs of 8x16 pixels with soft edges, and endless lines of plausible words. The glyphs are a larger
//! bitmap font, averaged; so text has grey edges as on today's desktops. Draws into memory only.

use super::hash;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_10X20;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::Drawable;
use embedded_graphics::text::{Baseline, Text};

/// Pixels of a glyph.
pub const WIDTH: usize = 8;
pub const HEIGHT: usize = 16;

const FIRST: u8 = b' ';
const COUNT: usize = 95;
const LARGE: (usize, usize) = (10, 20);

/// How much of each pixel of each glyph is ink, 0..=255.
pub struct Font {
    ink: Vec<[u8; WIDTH * HEIGHT]>,
}

impl Font {
    pub fn new() -> Self {
        Self {
            ink: (0..COUNT).map(|index| small(&large(FIRST + index as u8))).collect(),
        }
    }

    /// Writes characters with their colours from `at` to the right into a picture `width` pixels wide.
    pub fn write(
        &self,
        out: &mut [u8],
        width: usize,
        at: (usize, usize),
        text: impl IntoIterator<Item = (u8, u32)>,
        paper: u32,
    ) {
        for (column, (character, color)) in text.into_iter().enumerate() {
            let glyph = &self.ink[usize::from(character.clamp(FIRST, FIRST + COUNT as u8 - 1) - FIRST)];
            for (y, row) in glyph.chunks_exact(WIDTH).enumerate() {
                let start = ((at.1 + y) * width + at.0 + column * WIDTH) * 4;
                for (pixel, ink) in out[start..start + WIDTH * 4].chunks_exact_mut(4).zip(row) {
                    pixel.copy_from_slice(&mix(paper, color, u32::from(*ink)).to_le_bytes());
                }
            }
        }
    }
}

/// Line number `number` of a log that never ends, at most `columns` long.
pub fn line(number: u32, columns: usize) -> Vec<(u8, u32)> {
    let length = 20 + hash(number.wrapping_mul(7).wrapping_add(1)) as usize % (columns - 20);
    let mut text = Vec::with_capacity(columns + 16);
    for word in 0.. {
        if text.len() >= length {
            break;
        }
        let choice = hash(number.wrapping_mul(131).wrapping_add(word));
        let color = COLORS[(choice >> 8) as usize % COLORS.len()];
        let letters = WORDS[choice as usize % WORDS.len()].bytes();
        text.extend(letters.chain([b' ']).map(|letter| (letter, color)));
    }
    text.truncate(length);
    text
}

fn mix(paper: u32, ink: u32, share: u32) -> u32 {
    [0, 8, 16].into_iter().fold(0, |color, shift| {
        let (from, to) = (paper >> shift & 0xff, ink >> shift & 0xff);
        color | ((from * (255 - share) + to * share) / 255) << shift
    })
}

struct Large([bool; LARGE.0 * LARGE.1]);

impl OriginDimensions for Large {
    fn size(&self) -> Size {
        Size::new(LARGE.0 as u32, LARGE.1 as u32)
    }
}

impl DrawTarget for Large {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(at, color) in pixels {
            let index = at.y as usize * LARGE.0 + at.x as usize;
            if (0..LARGE.0 as i32).contains(&at.x) && index < self.0.len() {
                self.0[index] = color == BinaryColor::On;
            }
        }
        Ok(())
    }
}

fn large(character: u8) -> Large {
    let mut canvas = Large([false; LARGE.0 * LARGE.1]);
    let text = char::from(character).to_string();
    let style = MonoTextStyle::new(&FONT_10X20, BinaryColor::On);
    let Ok(_) = Text::with_baseline(&text, Point::zero(), style, Baseline::Top).draw(&mut canvas);
    canvas
}

/// Each small pixel covers 5/4 by 5/4 of the large ones: 25 sixteenths.
fn small(large: &Large) -> [u8; WIDTH * HEIGHT] {
    let mut ink = [0; WIDTH * HEIGHT];
    for (index, value) in ink.iter_mut().enumerate() {
        let (x, y) = (index % WIDTH * 5, index / WIDTH * 5);
        let covered = (0..25)
            .filter(|quarter| large.0[(y + quarter / 5) / 4 * LARGE.0 + (x + quarter % 5) / 4])
            .count();
        *value = (covered * 255 / 25) as u8;
    }
    ink
}

const COLORS: [u32; 6] = [0xd0_d0_d0, 0x5f_d7_5f, 0xd0_d0_d0, 0x5f_87_ff, 0xff_af_5f, 0xff_5f_5f];
const WORDS: [&str; 32] = [
    "kernel:",
    "started",
    "192.168.7.21",
    "eth0",
    "/var/log/messages",
    "unit",
    "failed",
    "OK",
    "systemd[1]:",
    "Reached",
    "target",
    "mount",
    "0x7ffd4c21",
    "GET",
    "/index.html",
    "200",
    "-rwxr-xr-x",
    "root",
    "4096",
    "Jan",
    "17",
    "09:41:22",
    "sshd[2214]:",
    "session",
    "opened",
    "for",
    "user",
    "(uid=0)",
    "cargo",
    "build",
    "--release",
    "warning:",
];
