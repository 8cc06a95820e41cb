//! The new pixels of one job: whole tiles, one after the other, found by their number.

use parking_lot::Mutex;
use rdpmux_model::TILE;
use rdpmux_pixel::Rows;

use crate::{TileGrid, TileRect};

/// Tiles to be shown, with their pixels.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    tiles: Vec<Placed>,
    /// 1 + position in `tiles`, by tile number; 0 is none.
    places: Vec<u32>,
    pixels: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Placed {
    index: usize,
    start: usize,
    whole: TileRect,
}

impl Fresh {
    /// No tile yet.
    pub(crate) fn new(grid: TileGrid) -> Self {
        Self {
            tiles: Vec::new(),
            places: vec![0; grid.len()],
            pixels: BUFFERS.lock().pop().unwrap_or_default(),
        }
    }

    /// Adds a tile; `write` appends its rows without padding.
    pub(crate) fn add(&mut self, index: usize, whole: TileRect, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.pixels.len();
        write(&mut self.pixels);
        debug_assert_eq!(self.pixels.len() - start, whole.area() * 4);
        self.tiles.push(Placed { index, start, whole });
        self.places[index] = self.tiles.len() as u32;
    }

    pub(crate) fn contains(&self, index: usize) -> bool {
        self.places[index] != 0
    }

    /// Numbers of the tiles, in the order in which they were added.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        self.tiles.iter().map(|tile| tile.index)
    }

    /// The pixels of a tile that is here.
    ///
    /// # Panics
    /// If it is not.
    pub(crate) fn rows(&self, index: usize) -> Rows<'_> {
        let tile = self.tiles[self.places[index] as usize - 1];
        let stride = tile.whole.width() * 4;
        Rows {
            bytes: &self.pixels[tile.start..tile.start + stride * tile.whole.height()],
            stride,
        }
    }

    /// The pixels of one tile's row `y` of the surface, if the tile is here.
    pub(crate) fn row(&self, index: usize, y: usize) -> Option<&[u8]> {
        let tile = self.tiles[(self.places[index] as usize).checked_sub(1)?];
        let stride = tile.whole.width() * 4;
        let row = y % TILE as usize;
        Some(&self.pixels[tile.start + row * stride..][..stride])
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.pixels);
        buffer.clear();
        let mut buffers = BUFFERS.lock();
        if buffers.len() < MOST_BUFFERS && (1..=LARGEST_BUFFER).contains(&buffer.capacity()) {
            buffers.push(buffer);
        }
    }
}

/// Buffers of finished jobs, for the next ones of any surface: as many as jobs run at once, so that idle desktops keep
/// none.
static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
const MOST_BUFFERS: usize = 4;
/// A 4K screen.
const LARGEST_BUFFER: usize = 34 << 20;
