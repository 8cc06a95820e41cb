//! What one client shows: the pixels, which tiles of them are certain, which are only rough, and what its bitmap cache
//! holds. A job takes it along and brings it up to date with every command it makes, so that the next frame is found by
//! comparing with the truth: what changed and changed back costs nothing, and copies come from what is really there.

use rdpmux_model::{Client, Point, Rect, Size, TILE};
use rdpmux_pixel::{Level, Rows, RowsMut, classify, diff};

use crate::bitmap_cache::BitmapCache;
use crate::codec::h264::Stream;
use crate::job::JobTile;
use crate::moves::Patience;
use crate::video::Look;
use crate::{TileGrid, TileRect};

/// One client's picture.
///
/// INVARIANT: `pixels` holds 4 bytes per pixel of the grid's size, `tiles` one entry per tile of it.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) grid: TileGrid,
    /// B, G, R, 255. Where a tile is rough, the exact form of what the client shows roughly.
    pixels: Vec<u8>,
    tiles: Vec<Shown>,
    /// How many tiles are rough.
    rough: usize,
    pub(crate) cache: BitmapCache,
    pub(crate) patience: Patience,
    looks: Vec<Look>,
    /// What the last job had no budget for, in the order in which the next one should take it.
    pub(crate) left: Vec<JobTile>,
    /// The last job left its film for the next one, which must not do the same.
    pub(crate) owes_film: bool,
    /// The video that the client has a decoder for, and where it shows.
    pub(crate) stream: Option<(Rect<Client>, Stream)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    /// The client shows what `pixels` says. If not, everything about the tile must be sent.
    known: bool,
    /// The part that was sent by a lossy codec since it was last exact.
    rough: TileRect,
}

impl Screen {
    /// A screen of which nothing is known.
    pub(crate) fn new(size: Size) -> Self {
        let grid = TileGrid::new(size);
        Self {
            grid,
            pixels: vec![0; size.area() as usize * 4],
            tiles: vec![Shown::default(); grid.len()],
            rough: 0,
            cache: BitmapCache::default(),
            patience: Patience::default(),
            looks: vec![Look::default(); grid.len()],
            left: Vec::new(),
            owes_film: false,
            stream: None,
        }
    }

    pub(crate) fn stride(&self) -> usize {
        self.grid.size().width as usize * 4
    }

    pub(crate) fn is_known(&self, tile: usize) -> bool {
        self.tiles[tile].known
    }

    /// The part of a tile that the client has only roughly.
    pub(crate) fn rough(&self, tile: usize) -> TileRect {
        self.tiles[tile].rough
    }

    pub(crate) fn has_rough(&self) -> bool {
        self.rough > 0
    }

    /// The client may show anything at a tile.
    pub(crate) fn forget(&mut self, tile: usize) {
        self.tiles[tile].known = false;
    }

    /// What changes at a tile.
    pub(crate) fn look(&self, tile: usize) -> Look {
        self.looks[tile]
    }

    /// A tile changed, for the first time in a while or once more.
    pub(crate) fn looked(&mut self, tile: usize, part: TileRect, is_picture: bool, is_warm: bool) {
        let before = if is_warm {
            self.looks[tile].part
        } else {
            TileRect::default()
        };
        let seen = before.union(part);
        self.looks[tile] = Look {
            part: seen,
            // What a dragged window uncovers is a strip, copies bring the rest; a film is new all over.
            is_picture: is_picture && part.area() * 2 >= seen.area(),
        };
    }

    /// A tile changed, and a copy brought all of it.
    pub(crate) fn only_moved(&mut self, tile: usize) {
        self.looks[tile].is_picture = false;
    }

    /// The pixels of one row from column `x` on.
    pub(crate) fn row(&self, y: usize, x: usize, width: usize) -> &[u8] {
        &self.pixels[y * self.stride() + x * 4..][..width * 4]
    }

    /// The rows of a rectangle inside the screen.
    pub(crate) fn rows(&self, rect: Rect<Client>) -> Rows<'_> {
        Rows {
            bytes: &self.pixels[rect.y as usize * self.stride() + rect.x as usize * 4..],
            stride: self.stride(),
        }
    }

    /// Pixels of a tile in the rows that have to be sent, if it is to show `source`. One colour costs nothing.
    pub(crate) fn pixels_to_send(&self, tile: usize, source: Rows<'_>) -> usize {
        let (x, y, whole) = self.grid.tile(tile);
        let (width, height) = (whole.width(), whole.height());
        if classify::single_color(source, width, height).is_some() {
            return 0;
        }
        if !self.tiles[tile].known {
            return whole.area();
        }
        let shown = self.rows(whole.on_surface(x, y));
        let differs = |row: &usize| shown.row(*row, width * 4) != source.row(*row, width * 4);
        (0..height).filter(differs).count() * width
    }

    /// Brings a tile to its new pixels and returns what must be sent of it; all of it if it was not known.
    pub(crate) fn take_in(&mut self, tile: usize, source: Rows<'_>) -> Option<TileRect> {
        let (x, y, whole) = self.grid.tile(tile);
        let stride = self.stride();
        let start = (y * TILE) as usize * stride + (x * TILE) as usize * 4;
        let mut target = RowsMut {
            bytes: &mut self.pixels[start..],
            stride,
        };
        let changed = diff::update(Level::best(), &mut target, source, whole.width(), whole.height());
        if !std::mem::replace(&mut self.tiles[tile].known, true) {
            self.set_rough(tile, TileRect::default());
            return Some(whole);
        }
        changed.map(|bounds| TileRect {
            left: bounds.left as u8,
            top: bounds.top as u8,
            right: bounds.right as u8,
            bottom: bounds.bottom as u8,
        })
    }

    /// A part of a tile was sent by a lossy codec.
    pub(crate) fn sent_roughly(&mut self, tile: usize, rect: TileRect) {
        self.set_rough(tile, self.tiles[tile].rough.union(rect));
    }

    /// A part of a tile was sent exactly.
    pub(crate) fn sent_exactly(&mut self, tile: usize, rect: TileRect) {
        if rect.contains(self.tiles[tile].rough) {
            self.set_rough(tile, TileRect::default());
        }
    }

    fn set_rough(&mut self, tile: usize, rect: TileRect) {
        let was = !std::mem::replace(&mut self.tiles[tile].rough, rect).is_empty();
        match (was, !rect.is_empty()) {
            (true, false) => self.rough -= 1,
            (false, true) => self.rough += 1,
            _ => {}
        }
    }

    /// The screen of a client that shows the same but will be sent other frames. Its video starts anew.
    pub(crate) fn fork(&self) -> Self {
        Self {
            grid: self.grid,
            pixels: self.pixels.clone(),
            tiles: self.tiles.clone(),
            rough: self.rough,
            cache: self.cache.clone(),
            patience: self.patience.clone(),
            looks: self.looks.clone(),
            left: self.left.clone(),
            owes_film: self.owes_film,
            stream: None,
        }
    }

    /// Speaks for another client as well, which shows the same pixels. A video starts anew, for both, and so do
    /// their caches.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.stream = None;
        for (tile, shown) in other.tiles.iter().enumerate() {
            self.tiles[tile].known &= shown.known;
            self.sent_roughly(tile, shown.rough);
        }
        self.cache.clear();
    }

    /// Does what the client does with a copy. Both rectangles are inside the screen; they may overlap.
    pub(crate) fn copy(&mut self, source: Rect<Client>, to: Point<Client>) {
        let target = Rect::<Client>::new(to.x, to.y, source.width, source.height);
        let is_rough = self.rough > 0 && self.grid.tiles_in(source).any(|tile| !self.rough(tile).is_empty());
        let stride = self.stride();
        let len = source.width as usize * 4;
        let mut copy_row = |row: u32| {
            let from = (source.y + row) as usize * stride + source.x as usize * 4;
            let at = (to.y + row) as usize * stride + to.x as usize * 4;
            self.pixels.copy_within(from..from + len, at);
        };
        if to.y <= source.y {
            (0..source.height).for_each(&mut copy_row);
        } else {
            (0..source.height).rev().for_each(&mut copy_row);
        }
        for tile in self.grid.tiles_in(target) {
            let part = self.grid.part(tile, target);
            if is_rough {
                self.sent_roughly(tile, part);
            } else {
                self.sent_exactly(tile, part);
            }
        }
    }
}
