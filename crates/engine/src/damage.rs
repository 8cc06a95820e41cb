//! Which tile changed when, and where inside. Owned by the surface, read by every view.

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

/// The last changes of each tile.
///
/// INVARIANT: `tiles.len()` is the number of tiles of `size`, row by row.
#[derive(Debug)]
pub struct DamageLog {
    size: Size,
    tiles: Vec<TileDamage>,
}

/// Changes remembered per tile; a view that missed more is sent the whole tile.
const DEPTH: usize = 3;

#[derive(Debug, Clone, Copy)]
struct TileDamage {
    /// Newest first: what changed from the entry behind it to this generation.
    changes: [(Generation, TileRect); DEPTH],
    /// The generation from which the oldest remembered change started.
    base: Generation,
}

impl DamageLog {
    /// A log in which every tile changed as a whole at `generation`.
    pub fn new(size: Size, generation: Generation) -> Self {
        let (columns, rows) = size.tiles();
        let tile = TileDamage {
            changes: [(generation, TileRect::default()); DEPTH],
            base: generation,
        };
        Self {
            size,
            tiles: vec![tile; columns as usize * rows as usize],
        }
    }

    /// How many tiles there are.
    pub fn len(&self) -> usize {
        self.tiles.len()
    }

    /// Never: a surface has at least one tile.
    pub fn is_empty(&self) -> bool {
        self.tiles.is_empty()
    }

    /// Column, row and size of a tile; those at the right and lower edge may be partial.
    pub fn tile(&self, index: usize) -> (u32, u32, TileRect) {
        let (columns, _) = self.size.tiles();
        let (x, y) = (index as u32 % columns, index as u32 / columns);
        let rest = TileRect::of_size(self.size.width - x * TILE, self.size.height - y * TILE);
        (x, y, rest)
    }

    /// Notes that `rect` of a tile changed. Generations of one tile only grow.
    pub fn record(&mut self, index: usize, generation: Generation, rect: TileRect) {
        let tile = &mut self.tiles[index];
        tile.base = tile.changes[DEPTH - 1].0;
        tile.changes.rotate_right(1);
        tile.changes[0] = (generation, rect);
    }

    /// The generation of a tile's last change.
    pub fn generation(&self, index: usize) -> Generation {
        self.tiles[index].changes[0].0
    }

    /// What changed in a tile since `sent`: `None` if nothing, the whole tile if that is not known any more.
    pub fn since(&self, index: usize, sent: Generation) -> Option<TileRect> {
        let tile = &self.tiles[index];
        if sent >= tile.changes[0].0 {
            return None;
        }
        if sent < tile.base {
            return Some(self.tile(index).2);
        }
        let newer = tile.changes.iter().take_while(|(generation, _)| *generation > sent);
        Some(newer.fold(TileRect::default(), |all, (_, rect)| all.union(*rect)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(left: u8, top: u8, right: u8, bottom: u8) -> TileRect {
        TileRect {
            left,
            top,
            right,
            bottom,
        }
    }

    #[test]
    fn a_view_gets_the_union_of_what_it_missed_or_the_whole_tile() {
        let mut log = DamageLog::new(Size::new(100, 70), Generation(5));
        assert_eq!(log.len(), 4);
        assert_eq!(log.since(3, Generation(0)), Some(rect(0, 0, 36, 6)));
        assert_eq!(log.since(3, Generation(5)), None);
        for generation in 6..=9 {
            let at = generation as u8;
            log.record(3, Generation(generation), rect(at, 1, at + 1, 2));
        }
        assert_eq!(log.since(3, Generation(8)), Some(rect(9, 1, 10, 2)));
        assert_eq!(log.since(3, Generation(6)), Some(rect(7, 1, 10, 2)));
        assert_eq!(log.since(3, Generation(5)), Some(rect(0, 0, 36, 6)));
        assert_eq!(log.since(3, Generation(9)), None);
        assert_eq!(log.tile(3).2.on_surface::<u8>(1, 1), Rect::new(64, 64, 36, 6));
    }
}
