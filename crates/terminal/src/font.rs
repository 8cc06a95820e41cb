//! DejaVu Sans Mono at one size: what each character covers of its cell. Drawn once, kept while there is room.

use std::collections::HashMap;
use std::sync::LazyLock;

use fontdue::FontSettings;
use rdpmux_model::Size;

use crate::boxes;
use crate::terminal::Grid;

/// A font at one size.
pub struct Font {
    /// Of a cell, in pixels.
    pub width: usize,
    /// Likewise.
    pub height: usize,
    pixels_per_em: f32,
    /// Of the base line below the upper edge.
    ascent: i32,
    glyphs: HashMap<(char, Form), Box<[u8]>>,
}

/// How a character is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// Bold.
    pub bold: bool,
    /// Two cells wide.
    pub wide: bool,
}

/// Sizes of the font in pixels per em.
const SMALLEST: u16 = 8;
const LARGEST: u16 = 72;
/// Glyphs that are kept. A guest that prints all of Unicode makes the font begin anew.
const KEPT: usize = 2048;

static FACES: LazyLock<Option<[fontdue::Font; 2]>> = LazyLock::new(|| {
    let face = |bytes| fontdue::Font::from_bytes(bytes, FontSettings::default()).ok();
    Some([face(dejavu::sans_mono::regular())?, face(dejavu::sans_mono::bold())?])
});

impl Font {
    /// The largest at which a grid and one row more fit into `area`, or the smallest that there is.
    pub fn fitting(area: Size, grid: Grid) -> Self {
        let fits = |size: u16| {
            let (width, height, _) = measure(size);
            width * usize::from(grid.columns()) <= area.width as usize
                && height * (usize::from(grid.rows()) + 1) <= area.height as usize
        };
        let size = (SMALLEST..=LARGEST).rev().find(|size| fits(*size)).unwrap_or(SMALLEST);
        let (width, height, ascent) = measure(size);
        Self {
            width,
            height,
            pixels_per_em: size.into(),
            ascent,
            glyphs: HashMap::new(),
        }
    }

    /// What a character covers of its cell or two, 0 to 255 per pixel, by rows.
    pub fn coverage(&mut self, c: char, form: Form) -> &[u8] {
        if self.glyphs.len() >= KEPT && !self.glyphs.contains_key(&(c, form)) {
            self.glyphs.clear();
        }
        let (width, height) = (self.width * if form.wide { 2 } else { 1 }, self.height);
        let (size, ascent) = (self.pixels_per_em, self.ascent);
        self.glyphs.entry((c, form)).or_insert_with(|| {
            let drawn = boxes::coverage(c, width, height);
            drawn
                .unwrap_or_else(|| outline(c, form, size, ascent, width, height))
                .into()
        })
    }
}

/// Width and height of a cell, and the ascent, in pixels.
fn measure(size: u16) -> (usize, usize, i32) {
    let size = f32::from(size);
    let Some([regular, _]) = &*FACES else {
        return ((size * 0.6) as usize, size as usize, size as i32);
    };
    let width = regular.metrics('M', size).advance_width.round();
    let lines = regular.horizontal_line_metrics(size);
    let (ascent, descent) = lines.map_or((size, 0.0), |lines| (lines.ascent.ceil(), lines.descent.floor()));
    (
        (width as usize).max(1),
        ((ascent - descent) as usize).max(1),
        ascent as i32,
    )
}

fn outline(c: char, form: Form, size: f32, ascent: i32, width: usize, height: usize) -> Vec<u8> {
    let face = FACES.as_ref().map(|faces| &faces[usize::from(form.bold)]);
    let Some(face) = face.filter(|face| face.lookup_glyph_index(c) != 0) else {
        return missing(width, height);
    };
    let mut cell = vec![0; width * height];
    let (metrics, bitmap) = face.rasterize(c, size);
    let top = ascent - metrics.ymin - metrics.height as i32;
    for (y, row) in bitmap.chunks(metrics.width.max(1)).enumerate() {
        let Some(y) = usize::try_from(top + y as i32).ok().filter(|y| *y < height) else {
            continue;
        };
        for (x, value) in row.iter().enumerate() {
            if let Some(x) = usize::try_from(metrics.xmin + x as i32).ok().filter(|x| *x < width) {
                cell[y * width + x] = *value;
            }
        }
    }
    cell
}

/// A frame, for characters that the font lacks.
fn missing(width: usize, height: usize) -> Vec<u8> {
    let edge = |v: usize, size: usize| v == size / 6 || v + 1 + size / 6 == size;
    let within = |v: usize, size: usize| v >= size / 6 && v + 1 + size / 6 <= size;
    (0..width * height)
        .map(|index| {
            let (x, y) = (index % width, index / width);
            let is_edge = (edge(x, width) && within(y, height)) || (edge(y, height) && within(x, width));
            if is_edge { 160 } else { 0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Form = Form {
        bold: false,
        wide: false,
    };

    #[test]
    fn it_is_as_large_as_fits_and_not_smaller_than_can_be_read() {
        for (width, height) in [(640, 480), (800, 600), (1920, 1080), (3840, 2160)] {
            let font = Font::fitting(Size::new(width, height), Grid::USUAL);
            assert!(font.width * 80 <= width as usize && font.height * 26 <= height as usize);
            assert!(font.width * 2 <= font.height * 5 / 4, "{}×{}", font.width, font.height);
        }
        let tiny = Font::fitting(Size::new(1, 1), Grid::USUAL);
        assert_eq!((tiny.width, tiny.pixels_per_em), (5, 8.0));
    }

    #[test]
    fn letters_lines_and_unknown_characters_cover_something_and_blanks_nothing() {
        let mut font = Font::fitting(Size::new(800, 600), Grid::USUAL);
        let cell = font.width * font.height;
        for c in ['A', 'g', 'ß', 'Я', 'Ω', '─', '█', '⎺', '␉', '界', '\u{10FFFD}'] {
            let covered = font.coverage(c, PLAIN);
            assert!(covered.len() == cell && covered.iter().any(|value| *value > 100), "{c}");
        }
        assert!(font.coverage(' ', PLAIN).iter().all(|value| *value == 0));
        assert_eq!(font.coverage('界', Form { wide: true, ..PLAIN }).len(), cell * 2);
        let ink = |values: &[u8]| values.iter().map(|value| u32::from(*value)).sum::<u32>();
        let plain = ink(font.coverage('A', PLAIN));
        assert!(ink(font.coverage('A', Form { bold: true, ..PLAIN })) > plain);
    }

    #[test]
    fn all_of_unicode_does_not_make_it_grow() {
        let mut font = Font::fitting(Size::new(500, 300), Grid::USUAL);
        for c in (0x20..0x3000).filter_map(char::from_u32) {
            font.coverage(c, PLAIN);
            assert!(font.glyphs.len() <= KEPT);
        }
    }
}
