//! The screens that everything is measured on: made by code alone, and rendered with real fonts; at two sizes.

use rdpmux_model::Size;
use rdpmux_pixel::Rows;

use crate::{pictures, rendered};

/// A screen with its name.
pub struct Screen {
    pub name: String,
    pub size: Size,
    pub pixels: Vec<u8>,
    /// Whether it is nothing but text.
    pub is_text: bool,
}

/// A tile's place, and its height; all are 64 wide.
#[derive(Debug, Clone, Copy)]
pub struct Tile {
    pub x: usize,
    pub y: usize,
    pub height: usize,
}

impl Screen {
    /// All tiles.
    pub fn tiles(&self) -> impl Iterator<Item = Tile> + use<> {
        tiles(self.size)
    }

    /// The rows of one tile.
    pub fn rows(&self, tile: Tile) -> Rows<'_> {
        let stride = self.size.width as usize * 4;
        Rows {
            bytes: &self.pixels[tile.y * stride + tile.x * 4..],
            stride,
        }
    }

    /// One tile's pixels alone.
    pub fn copy(&self, tile: Tile) -> Vec<u8> {
        (0..tile.height)
            .flat_map(|row| self.rows(tile).row(row, 256))
            .copied()
            .collect()
    }
}

/// All tiles of a screen whose width is a multiple of 64.
pub fn tiles(size: Size) -> impl Iterator<Item = Tile> {
    let height = size.height as usize;
    let rows = (0..height).step_by(64);
    rows.flat_map(move |y| {
        (0..size.width as usize).step_by(64).map(move |x| Tile {
            x,
            y,
            height: (height - y).min(64),
        })
    })
}

/// Makes the screens with one of the wanted words in their names, one after the other.
pub fn each(wanted: &[String], mut use_it: impl FnMut(&Screen)) {
    let mut fonts = rendered::Fonts::load();
    for (scale, size) in [("1080p", Size::new(1920, 1080)), ("4K", Size::new(3840, 2160))] {
        for kind in ["text", "desktop", "mixed", "photo"] {
            for origin in ["synthetic", "rendered"] {
                let name = format!("{scale} {origin} {kind}");
                if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
                    continue;
                }
                let pixels = match (origin, kind, fonts.as_mut()) {
                    ("synthetic", "text", _) => pictures::text(size, 0),
                    ("synthetic", "desktop", _) => pictures::desktop(size),
                    ("synthetic", "mixed", _) => pictures::mixed(size),
                    ("synthetic", _, _) => pictures::photo(size),
                    (_, "text", Some(fonts)) => rendered::text(size, fonts),
                    (_, "desktop", Some(fonts)) => rendered::desktop(size, fonts),
                    (_, "mixed", Some(fonts)) => rendered::mixed(size, fonts),
                    _ => continue,
                };
                use_it(&Screen {
                    name,
                    size,
                    pixels,
                    is_text: kind == "text",
                });
            }
        }
    }
}
