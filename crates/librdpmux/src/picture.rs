//! Pictures in the memory of programs in Rust: a screen's and a pointer's, and their checks.

use rdpmux_model::PixelFormat;
use rdpmux_wire::{format, v6};

use crate::feed::Shape;
use crate::machine::Error;

/// A picture in the program's memory.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// The first row first.
    pub pixels: &'a [u8],
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from the start of a row to that of the next.
    pub stride: usize,
    /// Layout of a pixel.
    pub format: PixelFormat,
}

impl<'a> Picture<'a> {
    /// A picture whose rows follow each other without padding.
    pub fn new(pixels: &'a [u8], width: u32, height: u32, format: PixelFormat) -> Self {
        let stride = width as usize * format.bytes();
        Self {
            pixels,
            width,
            height,
            stride,
            format,
        }
    }

    /// Size and format, if its bytes are all there.
    pub(crate) fn shape(&self) -> Result<Shape, Error> {
        let shape = Shape::new(format::to_pixman(self.format), self.width.into(), self.height.into())?;
        let last = self.stride.checked_mul(self.height as usize - 1);
        let needed = last.and_then(|last| last.checked_add(shape.row_bytes()));
        if self.stride < shape.row_bytes() || needed.is_none_or(|needed| needed > self.pixels.len()) {
            return Err(Error::Range("the picture has fewer bytes than its size and stride say"));
        }
        Ok(shape)
    }
}

/// A pointer's picture.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    /// B, G, R, A bytes, not premultiplied, top row first.
    pub bgra: &'a [u8],
    /// Pixels per row, 1 to 1024.
    pub width: u32,
    /// Rows, 1 to 1024.
    pub height: u32,
    /// The pixel that points: column and row.
    pub hot: (u32, u32),
}

/// The message that tells a pointer's picture.
///
/// # Errors
/// [`Error::Range`] for a picture that is none.
pub(crate) fn cursor_message(head: u32, cursor: Option<&Cursor<'_>>) -> Result<v6::ToDaemon, Error> {
    let hidden = Cursor {
        bgra: &[],
        width: 0,
        height: 0,
        hot: (0, 0),
    };
    if let Some(cursor) = cursor {
        let edges = 1..=v6::CURSOR_EDGE;
        let bytes = u64::from(cursor.width) * u64::from(cursor.height) * 4;
        let is_size = edges.contains(&cursor.width) && edges.contains(&cursor.height);
        if !is_size || bytes != cursor.bgra.len() as u64 {
            return Err(Error::Range("a pointer has 1 x 1 to 1024 x 1024 pixels of four bytes"));
        }
    }
    let cursor = cursor.unwrap_or(&hidden);
    Ok(v6::ToDaemon::Cursor {
        head,
        width: cursor.width,
        height: cursor.height,
        hot_x: cursor.hot.0,
        hot_y: cursor.hot.1,
        bgra: cursor.bgra.to_vec(),
    })
}
