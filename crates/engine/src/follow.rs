//! One surface as a part of another: what of it changed, and its pixels as a source. For desktops that span several
//! heads: `SurfaceWriter::commit` takes a reader as it takes a guest's memory. The lock of the source is held for a look
//! at the damage or for one row.

use rdpmux_model::{Generation, Guest, Rect, Size};

use crate::surface::{PixelRows, SurfaceReader};

/// What changed on a surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The surface's size.
    pub size: Size,
    /// Everything up to here is in `rects`.
    pub generation: Generation,
    /// Runs of tiles with changes; none overlaps another.
    pub rects: Vec<Rect<Guest>>,
}

impl SurfaceReader {
    /// What changed after `since`; `Generation(0)` is before everything.
    pub fn changes_since(&self, since: Generation) -> Changes {
        let frame = self.frame();
        let mut rects: Vec<Rect<Guest>> = Vec::new();
        if frame.generation > since {
            let grid = frame.damage.grid;
            for index in (0..grid.len()).filter(|index| frame.damage.generation(*index) > since) {
                let (column, row, part) = grid.tile(index);
                let tile = part.on_surface(column, row);
                match rects.last_mut() {
                    Some(run) if run.y == tile.y && run.right() == tile.x => run.width += tile.width,
                    _ => rects.push(tile),
                }
            }
        }
        Changes {
            size: frame.size,
            generation: frame.generation,
            rects,
        }
    }
}

impl PixelRows for SurfaceReader {
    fn read_row(&self, x: u32, y: u32, out: &mut [u8]) {
        self.frame().copy_row(x, y, out);
    }
}

#[cfg(test)]
mod tests {
    use rdpmux_model::{PixelFormat, Point};

    use super::*;
    use crate::surface::{SliceRows, SurfaceWriter, surface};

    const SIZE: Size = Size::new(200, 100);

    fn paint(writer: &mut SurfaceWriter, rect: Rect<Guest>, color: u32) {
        let bytes = color.to_le_bytes().repeat(rect.size().area() as usize);
        let stride = rect.width as usize * 4;
        let rows = SliceRows::new(&bytes, rect.size(), stride, PixelFormat::Bgrx32).expect("all rows");
        writer.commit(&[rect], &rows, Point::new(rect.x, rect.y));
    }

    #[test]
    fn a_surface_can_be_a_part_of_another() {
        let (mut head, source) = surface(SIZE);
        let (mut span, shown) = surface(Size::new(300, 200));
        let at = Point::new(100, 30);
        paint(&mut head, Rect::new(70, 10, 80, 60), 0x0012_3456);
        let changes = source.changes_since(Generation(0));
        assert_eq!((changes.size, changes.generation), (SIZE, source.generation()));
        let place = |r: &Rect<Guest>| Rect::new(r.x + at.x, r.y + at.y, r.width, r.height);
        let rects: Vec<_> = changes.rects.iter().map(place).collect();
        assert!(span.commit(&rects, &source, at).is_some());
        assert!(span.commit(&rects, &source, at).is_none(), "nothing differs");
        let (size, pixels) = shown.snapshot();
        let pixel = |x: u32, y: u32| pixels[((y * size.width + x) * 4) as usize];
        for (x, y, blue) in [
            (170, 40, 0x56),
            (169, 40, 0),
            (249, 99, 0x56),
            (250, 99, 0),
            (170, 100, 0),
        ] {
            assert_eq!(pixel(x, y), blue, "{x} {y}");
        }
    }

    #[test]
    fn only_what_changed_is_told() {
        let (mut head, source) = surface(SIZE);
        let before = source.generation();
        assert_eq!(source.changes_since(before).rects, []);
        paint(&mut head, Rect::new(10, 70, 130, 1), 0x00ff_ffff);
        assert_eq!(source.changes_since(before).rects, [Rect::new(0, 64, 192, 36)]);
        let all = source.changes_since(Generation(0)).rects;
        assert_eq!(all, [Rect::new(0, 0, 200, 64), Rect::new(0, 64, 200, 36)]);
    }

    #[test]
    fn what_is_read_beyond_a_surface_stays_as_it_was() {
        let (mut head, source) = surface(SIZE);
        head.resize(Size::new(64, 64)).expect("a size");
        let mut row = [7; 8];
        source.read_row(63, 63, &mut row);
        assert_eq!(row, [0, 0, 0, 255, 7, 7, 7, 7]);
        source.read_row(0, 64, &mut row);
        source.read_row(64, 0, &mut row);
        assert_eq!(row, [0, 0, 0, 255, 7, 7, 7, 7]);
    }
}
