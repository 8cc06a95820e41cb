//! Screens made by code: text, a desktop, a photo-like field, noise. Also used by the bench.

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::{FONT_7X13, FONT_9X15};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, Drawable, Point, Primitive, Size as Extent};
use embedded_graphics::primitives::{Circle, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use rdpmux_engine::Canvas;
use rdpmux_model::Size;

/// Repeatable noise.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    pub fn below(&mut self, limit: u32) -> u32 {
        self.next() % limit.max(1)
    }
}

pub fn noise(size: Size, seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed);
    (0..size.area())
        .flat_map(|_| [noise.next() as u8, noise.next() as u8, noise.next() as u8, 255])
        .collect()
}

const WORDS: &[&str] = &[
    "fn",
    "let",
    "match",
    "surface",
    "generation",
    "=>",
    "{",
    "}",
    "self.tiles[index]",
    "pixels",
    "0x1F",
    "return",
    "if",
    "frame.damage",
    "// a tile that changed",
    "rect.width",
    "Some(rect)",
    "u32",
    "impl",
    "&mut",
    "for",
    "in",
    "..",
];

/// An editor beside a white page.
pub fn text(size: Size, first_line: u32) -> Vec<u8> {
    draw(size, |canvas| {
        fill(canvas, 0, 0, size.width, size.height, Rgb888::new(30, 30, 30));
        let middle = size.width * 3 / 5;
        fill(
            canvas,
            middle,
            0,
            size.width - middle,
            size.height,
            Rgb888::new(255, 255, 255),
        );
        for row in 0..size.height / 17 {
            let mut noise = Noise(u64::from(first_line + row) * 77 + 5);
            let mut x = 8 + 28 * noise.below(4) as i32;
            while x < middle as i32 - 200 && noise.below(9) > 0 {
                let color = [(86, 156, 214), (220, 220, 170), (212, 212, 212), (106, 153, 85)][noise.below(4) as usize];
                let word = WORDS[noise.below(WORDS.len() as u32) as usize];
                x = write(canvas, x, row as i32 * 17, word, Rgb888::new(color.0, color.1, color.2)) + 9;
            }
            let mut x = middle as i32 + 20;
            while x < size.width as i32 - 100 {
                let word = WORDS[noise.below(WORDS.len() as u32) as usize];
                let style = MonoTextStyle::new(&FONT_7X13, Rgb888::new(20, 20, 20));
                let next = Text::with_baseline(word, Point::new(x, row as i32 * 17), style, Baseline::Top).draw(canvas);
                x = next.map_or(i32::MAX, |at| at.x + 7);
            }
        }
    })
}

/// Windows, icons and a gradient wallpaper.
pub fn desktop(size: Size) -> Vec<u8> {
    let mut pixels = gradient(size);
    let mut canvas = Canvas::new(&mut pixels, size);
    let canvas = &mut canvas;
    for window in 0..3 {
        let (x, y) = (100 + window * 420, 80 + window * 190);
        fill(canvas, x, y, 700, 420, Rgb888::new(250, 250, 250));
        for i in 0..28 {
            let shade = (235 - i) as u8;
            fill(canvas, x, y + i, 700, 1, Rgb888::new(shade, shade, shade));
        }
        for row in 0..16 {
            let at = (y + 40 + row * 22) as i32;
            write(
                canvas,
                x as i32 + 40,
                at,
                WORDS[row as usize % WORDS.len()],
                Rgb888::new(30, 30, 30),
            );
            let icon = Circle::new(Point::new(x as i32 + 12, at), 16);
            let color = Rgb888::new((row * 15) as u8, 140, (250 - row * 12) as u8);
            let Ok(()) = icon.into_styled(PrimitiveStyle::with_fill(color)).draw(canvas);
        }
    }
    pixels
}

/// Smooth colours.
pub fn gradient(size: Size) -> Vec<u8> {
    each(size, |x, y| {
        let wave = (x as f32 / 300.0 + y as f32 / 200.0).sin() * 20.0;
        [130.0 + wave, 70.0 + y as f32 / 30.0, 30.0 + x as f32 / 60.0]
    })
}

/// Something like a photograph: waves at many scales, hard edges, grain.
pub fn photo(size: Size) -> Vec<u8> {
    let mut grain = Noise(99);
    each(size, |x, y| {
        let (u, v) = (x as f32, y as f32);
        let mut light = 118.0;
        for octave in 0..7 {
            let f = 1.9_f32.powi(octave) / 260.0;
            light += 26.0 / (1.0 + octave as f32)
                * ((u * f + (v * f * 1.7).sin() * 2.0).sin() + (v * f - u * f * 0.3).cos());
        }
        if (u / 170.0).sin() + (v / 130.0).cos() > 0.9 {
            light -= 45.0;
        }
        light += (grain.next() & 7) as f32 + (grain.next() & 7) as f32;
        let warm = (u / 400.0 - v / 333.0).sin() * 14.0;
        [light - warm, light + warm * 0.2, light + warm]
    })
}

/// A page with a picture on it.
pub fn mixed(size: Size) -> Vec<u8> {
    let (mut page, photo) = (text(size, 0), photo(size));
    let row = size.width as usize * 4;
    for y in size.height as usize / 8..size.height as usize / 2 {
        let at = y * row + row / 20 / 4 * 4..y * row + row / 2 / 4 * 4;
        page[at.clone()].copy_from_slice(&photo[at]);
    }
    page
}

/// Peak signal to noise ratio over B, G and R in dB.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let color = |i: &usize| i % 4 != 3;
    let sum: u64 = (0..a.len())
        .filter(color)
        .map(|i| u64::from(a[i].abs_diff(b[i])).pow(2))
        .sum();
    10.0 * (255.0 * 255.0 * (a.len() / 4 * 3) as f64 / sum.max(1) as f64).log10()
}

fn each(size: Size, mut pixel: impl FnMut(u32, u32) -> [f32; 3]) -> Vec<u8> {
    let rows = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
    rows.flat_map(|(x, y)| {
        let [b, g, r] = pixel(x, y).map(|v| v.clamp(0.0, 255.0) as u8);
        [b, g, r, 255]
    })
    .collect()
}

fn draw(size: Size, draw: impl FnOnce(&mut Canvas<'_>)) -> Vec<u8> {
    let mut pixels = vec![255; size.area() as usize * 4];
    draw(&mut Canvas::new(&mut pixels, size));
    pixels
}

fn fill(canvas: &mut Canvas<'_>, x: u32, y: u32, width: u32, height: u32, color: Rgb888) {
    let area = Rectangle::new(Point::new(x as i32, y as i32), Extent::new(width, height));
    let Ok(()) = canvas.fill_solid(&area, color);
}

/// Gives the column after the text.
fn write(canvas: &mut Canvas<'_>, x: i32, y: i32, text: &str, color: Rgb888) -> i32 {
    let style = MonoTextStyle::new(&FONT_9X15, color);
    let Ok(end) = Text::with_baseline(text, Point::new(x, y), style, Baseline::Top).draw(canvas);
    end.x
}
