//! An `embedded-graphics` target over B, G, R, X pixels. Everything is clipped; nothing that is drawn can panic.

use core::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, OriginDimensions, Point, Size as Extent};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::{PointsIter, Rectangle};
use rdpmux_model::{Guest, Rect, Size};

/// Pixels to draw on. It remembers the bounds of what was drawn.
#[derive(Debug)]
pub struct Canvas<'a> {
    pixels: &'a mut [u8],
    size: Size,
    touched: Rect<Guest>,
}

impl<'a> Canvas<'a> {
    /// Draws on rows of `size.width` B, G, R, X pixels without padding; bytes beyond `size` are left alone, and rows
    /// that are missing are clipped.
    pub fn new(pixels: &'a mut [u8], size: Size) -> Self {
        let row = size.width.max(1) as usize * 4;
        let height = (size.height as usize).min(pixels.len() / row);
        Self {
            pixels,
            size: Size::new(size.width, height as u32),
            touched: Rect::new(0, 0, 0, 0),
        }
    }

    /// The bounds of everything drawn so far.
    pub fn touched(&self) -> Rect<Guest> {
        self.touched
    }

    /// The pixels of a row from `x` on, if there are any.
    fn row(&mut self, x: u32, y: u32, width: u32) -> &mut [[u8; 4]] {
        let start = (y as usize * self.size.width as usize + x as usize) * 4;
        self.pixels[start..start + width as usize * 4].as_chunks_mut::<4>().0
    }

    /// The part of an area that is on the canvas.
    fn clip(&self, area: &Rectangle) -> Rect<Guest> {
        let area = area.intersection(&self.bounding_box());
        let origin = |v: i32| u32::try_from(v).unwrap_or(0);
        Rect::new(
            origin(area.top_left.x),
            origin(area.top_left.y),
            area.size.width,
            area.size.height,
        )
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Extent {
        Extent::new(self.size.width, self.size.height)
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<Self::Color>>,
    {
        for Pixel(Point { x, y }, color) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
                continue;
            };
            if x < self.size.width && y < self.size.height {
                self.row(x, y, 1)[0] = bgrx(color);
                self.touched = self.touched.union(Rect::new(x, y, 1, 1));
            }
        }
        Ok(())
    }

    fn fill_contiguous<I>(&mut self, area: &Rectangle, colors: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Self::Color>,
    {
        self.draw_iter(area.points().zip(colors).map(|(at, color)| Pixel(at, color)))
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Self::Color) -> Result<(), Self::Error> {
        let rect = self.clip(area);
        for y in rect.y..rect.bottom() {
            self.row(rect.x, y, rect.width).fill(bgrx(color));
        }
        self.touched = self.touched.union(rect);
        Ok(())
    }
}

fn bgrx(color: Rgb888) -> [u8; 4] {
    [color.b(), color.g(), color.r(), 255]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_is_clipped_and_its_bounds_are_known() {
        let mut pixels = vec![0; 10 * 6 * 4 + 3];
        let mut canvas = Canvas::new(&mut pixels, Size::new(10, 9));
        assert_eq!(canvas.size(), Extent::new(10, 6));
        let area = Rectangle::new(Point::new(-5, 4), Extent::new(7, 100));
        assert_eq!(canvas.fill_solid(&area, Rgb888::new(1, 2, 3)), Ok(()));
        let far = [i32::MIN, -1, 10, i32::MAX].map(|at| Pixel(Point::new(at, at), Rgb888::WHITE));
        assert_eq!(canvas.draw_iter(far), Ok(()));
        assert_eq!(canvas.touched(), Rect::new(0, 4, 2, 2));
        assert_eq!(pixels[4 * 40..4 * 40 + 12], [3, 2, 1, 255, 3, 2, 1, 255, 0, 0, 0, 0]);
        let mut empty = Canvas::new(&mut [], Size::new(0, 0));
        assert_eq!(empty.fill_solid(&area, Rgb888::WHITE), Ok(()));
    }
}
