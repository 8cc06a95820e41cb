//! Which tile changed when. Owned by the surface, read by every view. Where inside a tile is found by comparing with what
//! a viewer shows, which is exact however many changes it missed.

use rdpmux_model::{Generation, Rect, Size, TILE};

/// A rectangle inside one tile: columns `left..right` of rows `top..bottom`, each 0 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TileRect {
    /// First column.
    pub left: u8,
    /// First row.
    pub top: u8,
    /// Column after the last.
    pub right: u8,
    /// Row after the last.
    pub bottom: u8,
}

impl TileRect {
    /// The first `width` columns of the first `height` rows; more than 64 count as 64.
    pub fn of_size(width: u32, height: u32) -> Self {
        Self {
            left: 0,
            top: 0,
            right: width.min(TILE) as u8,
            bottom: height.min(TILE) as u8,
        }
    }

    /// Whether no pixel is inside.
    pub fn is_empty(self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }

    /// The smallest rectangle that holds both. An empty one does not count.
    pub fn union(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self {
                left: self.left.min(other.left),
                top: self.top.min(other.top),
                right: self.right.max(other.right),
                bottom: self.bottom.max(other.bottom),
            },
        }
    }

    /// Whether every pixel of `other` is inside.
    pub fn contains(self, other: Self) -> bool {
        self.union(other) == self
    }

    /// Columns.
    pub fn width(self) -> usize {
        usize::from(self.right.saturating_sub(self.left))
    }

    /// Rows.
    pub fn height(self) -> usize {
        usize::from(self.bottom.saturating_sub(self.top))
    }

    /// Pixels.
    pub fn area(self) -> usize {
        self.width() * self.height()
    }

    /// The same pixels in the space of the whole surface, for the tile at column `x` and row `y`.
    pub fn on_surface<S>(self, x: u32, y: u32) -> Rect<S> {
        Rect::new(
            x * TILE + u32::from(self.left),
            y * TILE + u32::from(self.top),
            self.width() as u32,
            self.height() as u32,
        )
    }
}

/// The tiles of a size, numbered row by row; those at the right and lower edge may be partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TileGrid {
    size: Size,
}

impl TileGrid {
    /// The grid of a surface.
    pub fn new(size: Size) -> Self {
        Self { size }
    }

    /// The surface's size.
    pub fn size(self) -> Size {
        self.size
    }

    /// How many tiles there are.
    #[expect(clippy::len_without_is_empty, reason = "a surface has at least one tile")]
    pub fn len(self) -> usize {
        let (columns, rows) = self.size.tiles();
        columns as usize * rows as usize
    }

    /// Column, row and size of a tile.
    pub fn tile(self, index: usize) -> (u32, u32, TileRect) {
        let (columns, _) = self.size.tiles();
        let (x, y) = (index as u32 % columns, index as u32 / columns);
        let rest = TileRect::of_size(self.size.width - x * TILE, self.size.height - y * TILE);
        (x, y, rest)
    }

    /// The number of the tile at a column and row.
    pub fn index(self, x: u32, y: u32) -> usize {
        let (columns, _) = self.size.tiles();
        y as usize * columns as usize + x as usize
    }

    /// The tiles that a rectangle inside the surface touches.
    pub fn tiles_in<S>(self, rect: Rect<S>) -> impl Iterator<Item = usize> {
        let columns = rect.x / TILE..rect.right().div_ceil(TILE);
        let rows = rect.y / TILE..if rect.is_empty() {
            0
        } else {
            rect.bottom().div_ceil(TILE)
        };
        rows.flat_map(move |y| columns.clone().map(move |x| self.index(x, y)))
    }

    /// The part of a tile that a rectangle covers.
    pub fn part<S>(self, index: usize, rect: Rect<S>) -> TileRect {
        let (x, y, whole) = self.tile(index);
        let inside = whole.on_surface::<S>(x, y).intersect(rect);
        if inside.is_empty() {
            return TileRect::default();
        }
        TileRect {
            left: (inside.x - x * TILE) as u8,
            top: (inside.y - y * TILE) as u8,
            right: (inside.right() - x * TILE) as u8,
            bottom: (inside.bottom() - y * TILE) as u8,
        }
    }
}

/// The generation of each tile's last change.
#[derive(Debug)]
pub(crate) struct DamageLog {
    pub(crate) grid: TileGrid,
    tiles: Vec<Generation>,
    /// How often each tile changed; wraps.
    changes: Vec<u32>,
}

impl DamageLog {
    /// A log in which every tile changed at `generation`.
    pub(crate) fn new(size: Size, generation: Generation) -> Self {
        let grid = TileGrid::new(size);
        Self {
            grid,
            tiles: vec![generation; grid.len()],
            changes: vec![0; grid.len()],
        }
    }

    /// Notes that a tile changed. Generations of one tile only grow.
    pub(crate) fn record(&mut self, index: usize, generation: Generation) {
        self.tiles[index] = generation;
        self.changes[index] = self.changes[index].wrapping_add(1);
    }

    /// How often a tile changed; wraps.
    pub(crate) fn changes(&self, index: usize) -> u32 {
        self.changes[index]
    }

    /// The generation of a tile's last change.
    pub(crate) fn generation(&self, index: usize) -> Generation {
        self.tiles[index]
    }
}

impl TileGrid {
    /// Whether a tile has pixels inside a rectangle.
    pub(crate) fn touches(self, index: usize, rect: Rect<rdpmux_model::Client>) -> bool {
        !self.part(index, rect).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type R = Rect<rdpmux_model::Client>;

    #[test]
    fn a_rectangle_is_cut_at_the_tiles_and_at_the_edge() {
        let grid = TileGrid::new(Size::new(100, 70));
        assert_eq!(grid.len(), 4);
        assert_eq!(grid.tile(3).2.on_surface(1, 1), R::new(64, 64, 36, 6));
        let rect = R::new(60, 10, 10, 60);
        assert_eq!(grid.tiles_in(rect).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let parts = [0, 1, 2, 3].map(|tile| grid.part(tile, rect).area());
        assert_eq!(parts, [4 * 54, 6 * 54, 4 * 6, 6 * 6]);
        assert_eq!(grid.tiles_in(R::new(60, 10, 0, 60)).count(), 0);
        assert!(grid.part(3, R::new(0, 0, 64, 64)).is_empty());
    }
}
