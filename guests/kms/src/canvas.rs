//! A rectangle of mapped pixels, B,G,R,X, that embedded-graphics can draw on. Knows no devices.

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;

/// Pixels of one frame; `stride` is bytes from row to row.
pub struct Canvas<'a> {
    bytes: &'a mut [u8],
    width: u32,
    height: u32,
    stride: usize,
}

impl<'a> Canvas<'a> {
    /// INVARIANT: `bytes` holds `height` rows of `stride` bytes and `stride` holds `width` pixels.
    pub fn new(bytes: &'a mut [u8], width: u32, height: u32, stride: usize) -> Self {
        assert!(
            stride >= width as usize * 4 && bytes.len() >= stride * height as usize,
            "the mapping holds the frame"
        );
        Self {
            bytes,
            width,
            height,
            stride,
        }
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from row to row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All rows.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// Row `y` as bytes, `width * 4` of them.
    pub fn row(&mut self, y: u32) -> &mut [u8] {
        let start = y as usize * self.stride;
        &mut self.bytes[start..start + self.width as usize * 4]
    }

    /// Sets a pixel, 0x00RRGGBB; outside is ignored.
    pub fn set(&mut self, x: i32, y: i32, color: u32) {
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
            && x < self.width
            && y < self.height
        {
            self.row(y)[x as usize * 4..][..4].copy_from_slice(&color.to_le_bytes());
        }
    }

    /// Fills a rectangle; what lies outside is ignored.
    pub fn fill(&mut self, area: Rectangle, color: u32) {
        let area = area.intersection(&Rectangle::new(Point::zero(), self.size()));
        let (left, width) = (area.top_left.x as usize, area.size.width as usize);
        for y in area.rows() {
            for pixel in self.row(y as u32)[left * 4..(left + width) * 4].chunks_exact_mut(4) {
                pixel.copy_from_slice(&color.to_le_bytes());
            }
        }
    }

    /// Moves everything up by `rows` rows.
    pub fn scroll_up(&mut self, rows: u32) {
        let from = rows as usize * self.stride;
        let end = self.height as usize * self.stride;
        self.bytes.copy_within(from..end, 0);
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(at, color) in pixels {
            self.set(
                at.x,
                at.y,
                u32::from(color.r()) << 16 | u32::from(color.g()) << 8 | u32::from(color.b()),
            );
        }
        Ok(())
    }
}
