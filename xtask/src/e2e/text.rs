//! Reading text from a picture: looks for the shapes of a fixed-width font, in any colours of enough contrast.
//! The font is one of embedded-graphics, or learned from a row whose text is known. Called by the suites.

use super::picture::Picture;
use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};
use std::collections::BTreeMap;

/// Shapes of the characters, all of one size.
pub struct Font {
    width: usize,
    height: usize,
    shapes: BTreeMap<char, Vec<bool>>,
}

/// Difference in brightness (0..=255) between ink and paper that counts as text.
const CONTRAST: u8 = 60;
/// How much ink and paper may vary; lossy codecs ring around text.
const TOLERANCE: u8 = 48;

impl Font {
    /// The printable ASCII characters of a font of embedded-graphics.
    pub fn of(font: &MonoFont<'_>) -> Self {
        let cell = font.character_size;
        let shapes = (' '..='~')
            .map(|character| (character, Shape::draw(font, character)))
            .collect();
        Self {
            width: cell.width as usize,
            height: cell.height as usize,
            shapes,
        }
    }

    /// Learns from the row of cells whose upper left corner is `at` and which shows `row`.
    pub fn learned(picture: &Picture, at: (usize, usize), cell: (usize, usize), row: &str) -> Self {
        let paper = picture.pixels[at.1 * picture.width + at.0];
        let shapes = row.chars().enumerate().map(|(index, character)| {
            let left = at.0 + index * cell.0;
            let pixels = (0..cell.1).flat_map(|y| (0..cell.0).map(move |x| (at.1 + y) * picture.width + left + x));
            (character, pixels.map(|index| picture.pixels[index] != paper).collect())
        });
        Self {
            width: cell.0,
            height: cell.1,
            shapes: shapes.collect(),
        }
    }

    /// Where `text` stands in `picture` (upper left corner), if it does.
    pub fn find(&self, picture: &Picture, text: &str) -> Option<(usize, usize)> {
        let shapes: Vec<&Vec<bool>> = text
            .chars()
            .map(|character| self.shapes.get(&character))
            .collect::<Option<_>>()?;
        let light: Vec<u8> = picture.pixels.iter().map(|pixel| brightness(*pixel)).collect();
        let width = self.width * shapes.len();
        let points: Vec<(usize, usize, bool)> = shapes
            .iter()
            .enumerate()
            .flat_map(|(index, shape)| {
                shape
                    .iter()
                    .enumerate()
                    .map(move |(at, ink)| (index * self.width + at % self.width, at / self.width, *ink))
            })
            .collect();
        let ink = points.iter().find(|point| point.2)?;
        let paper = points.iter().find(|point| !point.2)?;
        for top in 0..(picture.height + 1).checked_sub(self.height)? {
            for left in 0..(picture.width + 1).checked_sub(width)? {
                let at = |point: &(usize, usize, bool)| light[(top + point.1) * picture.width + left + point.0];
                let (dark, bright) = (at(paper), at(ink));
                if dark.abs_diff(bright) >= CONTRAST
                    && points
                        .iter()
                        .all(|point| at(point).abs_diff(if point.2 { bright } else { dark }) <= TOLERANCE)
                {
                    return Some((left, top));
                }
            }
        }
        None
    }

    /// Reads `columns` characters from `at` (upper left corner) on; what is no character becomes a space.
    pub fn read(&self, picture: &Picture, at: (usize, usize), columns: usize) -> String {
        (0..columns)
            .map(|column| {
                self.read_one(picture, (at.0 + column * self.width, at.1))
                    .unwrap_or(' ')
            })
            .collect()
    }

    fn read_one(&self, picture: &Picture, at: (usize, usize)) -> Option<char> {
        if at.0 + self.width > picture.width || at.1 + self.height > picture.height {
            return None;
        }
        let cell = |x: usize, y: usize| brightness(picture.pixels[(at.1 + y) * picture.width + at.0 + x]);
        let light: Vec<u8> = (0..self.height)
            .flat_map(|y| (0..self.width).map(move |x| cell(x, y)))
            .collect();
        let (low, high) = (*light.iter().min()?, *light.iter().max()?);
        if high - low < CONTRAST {
            return None;
        }
        // Paper is what most of the cell is.
        let middle = low + (high - low) / 2;
        let is_dark = light.iter().filter(|value| **value < middle).count() * 2 > light.len();
        let ink: Vec<bool> = light.iter().map(|value| (*value >= middle) == is_dark).collect();
        let misses = |shape: &Vec<bool>| shape.iter().zip(&ink).filter(|(one, two)| one != two).count();
        let best = self.shapes.iter().min_by_key(|(_, shape)| misses(shape))?;
        (misses(best.1) <= light.len() / 30).then_some(*best.0)
    }
}

fn brightness(pixel: u32) -> u8 {
    let weighed = (pixel >> 16 & 0xff) * 77 + (pixel >> 8 & 0xff) * 150 + (pixel & 0xff) * 29;
    (weighed >> 8) as u8
}

struct Shape {
    size: Size,
    bits: Vec<bool>,
}

impl Shape {
    fn draw(font: &MonoFont<'_>, character: char) -> Vec<bool> {
        let size = font.character_size;
        let mut shape = Self {
            size,
            bits: vec![false; (size.width * size.height) as usize],
        };
        let mut buffer = [0; 4];
        let style = MonoTextStyle::new(font, BinaryColor::On);
        let Ok(_) = Text::with_baseline(character.encode_utf8(&mut buffer), Point::zero(), style, Baseline::Top)
            .draw(&mut shape);
        shape.bits
    }
}

impl OriginDimensions for Shape {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Shape {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(at, color) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(at.x), u32::try_from(at.y))
                && x < self.size.width
                && y < self.size.height
            {
                self.bits[(y * self.size.width + x) as usize] = color == BinaryColor::On;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Font, Picture};
    use embedded_graphics::mono_font::ascii::FONT_6X10;

    #[test]
    fn text_is_found_where_it_was_drawn_and_other_text_is_not() {
        let font = Font::of(&FONT_6X10);
        let mut picture = Picture {
            width: 100,
            height: 40,
            pixels: vec![0x10_10_10; 4000],
        };
        for (index, character) in "ab1".chars().enumerate() {
            for (at, ink) in font.shapes[&character].iter().enumerate() {
                if *ink {
                    picture.pixels[(7 + at / 6) * 100 + 13 + index * 6 + at % 6] = 0xf0_e0_d0;
                }
            }
        }
        assert_eq!(font.find(&picture, "ab1"), Some((13, 7)));
        assert_eq!(font.find(&picture, "ab2"), None);
        assert_eq!(font.read(&picture, (13, 7), 4), "ab1 ");
    }
}
