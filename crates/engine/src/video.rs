//! Which part of a desktop behaves like video? Pure; its clock is the view's tick, about 150 ms, and what it counts are
//! the guest's changes of each tile, so that a viewer on a slow link finds the same videos as one on a fast one.
//!
//! ```text
//!   none ── 4 or more neighbouring tiles of pictures change ≥ 8 times/s for 4 ticks ──▶ region
//!   region ── they do so beyond it ──▶ larger region (a new stream: not more often than every 4 ticks)
//!   region ── less than half of it is left, or nothing for 3 ticks ──▶ smaller region, none
//! ```

use rdpmux_model::{Client, Rect};

use crate::{TileGrid, TileRect};

/// What a job saw at a tile that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Look {
    /// All that changed since the tile was last at rest.
    pub(crate) part: TileRect,
    /// Whether most of it was new and a picture, not text or controls.
    pub(crate) is_picture: bool,
}

/// Finds the one largest video of a desktop.
///
/// INVARIANT: `tiles` has one entry per tile of `grid`.
#[derive(Debug, Clone, Default)]
pub(crate) struct VideoTracker {
    grid: TileGrid,
    tiles: Vec<Heat>,
    region: Option<Rect<Client>>,
    /// Ticks since the region became what it is.
    age: u32,
    /// Ticks since it was last found as it is.
    missed: u32,
    /// The counts of an earlier tick are there to compare with.
    has_counts: bool,
    /// A tick came since the last decision.
    is_due: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Heat {
    /// The surface's count of changes at the last tick.
    seen: u32,
    /// Changes per tick, times 16, averaged over about four ticks.
    rate: u16,
    /// Ticks in a row with a change.
    streak: u8,
}

/// From this many changes per tick on, times 16: 8 per second at 150 ms, so that 10 are safely above.
const FAST: u16 = 20;
/// For so many ticks.
const LONG: u8 = 4;
/// Fewer tiles are no video: RemoteFX of three tiles is small anyway.
const FEWEST: usize = 4;
/// A region that is not found any more for so many ticks ends.
const PATIENCE: u32 = 3;
/// A region keeps its shape for at least so many ticks: each change of shape costs a key picture.
const STEADY: u32 = 4;

impl VideoTracker {
    /// Forgets everything, for a surface of another size.
    pub(crate) fn start_over(&mut self, grid: TileGrid) {
        *self = Self {
            grid,
            tiles: vec![Heat::default(); grid.len()],
            ..Self::default()
        };
    }

    /// Takes the surface's count of changes of each tile, which may wrap.
    pub(crate) fn tick(&mut self, changes: impl Fn(usize) -> u32) {
        let has_counts = std::mem::replace(&mut self.has_counts, true);
        for (index, heat) in self.tiles.iter_mut().enumerate() {
            let now = changes(index);
            let count = now.wrapping_sub(std::mem::replace(&mut heat.seen, now));
            let count = if has_counts { count.min(MOST) as u16 } else { 0 };
            heat.rate = (heat.rate * 3 + count * 16) / 4;
            heat.streak = if count == 0 { 0 } else { heat.streak.saturating_add(1) };
        }
        self.age = self.age.saturating_add(1);
        self.missed = self.missed.saturating_add(1);
        self.is_due = true;
    }

    /// The tile was at rest, so a change of it will be news.
    pub(crate) fn calm(&mut self, tile: usize) {
        self.tiles[tile].streak = 0;
        self.tiles[tile].rate = 0;
    }

    /// Whether the tile changes over and over.
    pub(crate) fn is_warm(&self, tile: usize) -> bool {
        let heat = self.tiles[tile];
        heat.streak >= LONG || heat.rate >= FAST
    }

    /// The region now, a multiple of 32 columns and 16 rows where the surface has room for it. `look` tells what the
    /// last jobs saw.
    pub(crate) fn region(&mut self, look: impl Fn(usize) -> Look) -> Option<Rect<Client>> {
        if !std::mem::take(&mut self.is_due) {
            return self.region;
        }
        let found = self.largest(&look);
        let next = match (self.region, found) {
            (None, found) => found,
            (Some(old), None) => (self.missed < PATIENCE).then_some(old),
            (Some(old), Some(new)) => Some(self.reshape(old, new)),
        };
        if next != self.region {
            self.age = 0;
            self.region = next;
        }
        if found.is_some() {
            self.missed = 0;
        }
        self.region
    }

    fn reshape(&self, old: Rect<Client>, new: Rect<Client>) -> Rect<Client> {
        let is_much_smaller = area(new) * 2 < area(old);
        let is_inside = old.intersect(new) == new;
        if self.age < STEADY || (is_inside && !is_much_smaller) {
            old
        } else {
            new
        }
    }

    /// The bounds of the largest group of neighbouring tiles that change fast, if they fill them and most are pictures.
    fn largest(&self, look: &impl Fn(usize) -> Look) -> Option<Rect<Client>> {
        // What is inside already may pause for a moment.
        let is_inside = |tile: usize| self.region.is_some_and(|region| self.grid.touches(tile, region));
        let is_fast = |(tile, heat): (usize, &Heat)| heat.rate >= FAST && (heat.streak >= LONG || is_inside(tile));
        let mut is_new: Vec<bool> = self.tiles.iter().enumerate().map(is_fast).collect();
        let mut best: Option<Group> = None;
        for start in 0..is_new.len() {
            if !is_new[start] {
                continue;
            }
            let group = self.group(start, &mut is_new, look);
            if group.is_video() && best.as_ref().is_none_or(|best| best.pictures < group.pictures) {
                best = Some(group);
            }
        }
        best.map(|group| aligned(group.bounds, self.grid.size().rect()))
    }

    fn group(&self, start: usize, is_new: &mut [bool], look: &impl Fn(usize) -> Look) -> Group {
        let (columns, _) = self.grid.size().tiles();
        let mut group = Group {
            tiles: 0,
            pictures: 0,
            bounds: Rect::new(0, 0, 0, 0),
        };
        let mut left = vec![start];
        is_new[start] = false;
        while let Some(tile) = left.pop() {
            let (x, y, _) = self.grid.tile(tile);
            let seen = look(tile);
            group.tiles += 1;
            group.pictures += usize::from(seen.is_picture);
            group.bounds = group.bounds.union(seen.part.on_surface(x, y));
            let beside = [
                (x > 0).then(|| tile - 1),
                (x + 1 < columns).then(|| tile + 1),
                tile.checked_sub(columns as usize),
                Some(tile + columns as usize),
            ];
            for next in beside.into_iter().flatten() {
                if is_new.get_mut(next).is_some_and(std::mem::take) {
                    left.push(next);
                }
            }
        }
        group
    }
}

/// Tiles that touch.
#[derive(Debug)]
struct Group {
    tiles: usize,
    pictures: usize,
    bounds: Rect<Client>,
}

impl Group {
    fn is_video(&self) -> bool {
        let tiles = self.bounds.width.div_ceil(64) as usize * self.bounds.height.div_ceil(64) as usize;
        self.pictures >= FEWEST && self.pictures * 2 >= self.tiles && self.tiles * 2 >= tiles
    }
}

/// More changes per tick count as so many.
const MOST: u32 = 64;

fn area(rect: Rect<Client>) -> u64 {
    u64::from(rect.width) * u64::from(rect.height)
}

/// Grows a rectangle to whole macroblocks without leaving `surface`.
fn aligned(rect: Rect<Client>, surface: Rect<Client>) -> Rect<Client> {
    let edge = |start: u32, length: u32, most: u32, step: u32| {
        let length = length.next_multiple_of(step).min(most);
        (start.min(most - length), length)
    };
    let (x, width) = edge(rect.x, rect.width, surface.width, 32);
    let (y, height) = edge(rect.y, rect.height, surface.height, 16);
    Rect::new(x, y, width, height)
}

/// Grows a part of the picture `video` to whole blocks of 4 × 2 pixels of it.
///
/// Decoders of 4:4:4 write the chroma of such a block at once ([MS-RDPEGFX] 3.3.8.3.3): where a part begins or ends
/// within one, FreeRDP shows colours of its neighbours, and FreeRDP 3.15 writes beyond its last row.
pub(crate) fn in_chroma_blocks(part: Rect<Client>, video: Rect<Client>) -> Rect<Client> {
    let edges = |from: u32, to: u32, start: u32, end: u32, block: u32| {
        let from = from - (from - start) % block;
        (from, (start + (to - start).next_multiple_of(block)).min(end) - from)
    };
    let (x, width) = edges(part.x, part.right(), video.x, video.right(), 4);
    let (y, height) = edges(part.y, part.bottom(), video.y, video.bottom(), 2);
    Rect::new(x, y, width, height)
}

#[cfg(test)]
mod tests {
    use rdpmux_model::Size;

    use super::*;

    /// A desktop of 16 × 8 tiles on which rectangles of tiles change.
    struct Desktop {
        tracker: VideoTracker,
        counts: Vec<u32>,
    }

    const PICTURE: Look = Look {
        part: TileRect {
            left: 0,
            top: 0,
            right: 64,
            bottom: 64,
        },
        is_picture: true,
    };

    impl Desktop {
        fn new() -> Self {
            let grid = TileGrid::new(Size::new(1024, 500));
            let mut tracker = VideoTracker::default();
            tracker.start_over(grid);
            Self {
                tracker,
                counts: vec![u32::MAX - 3; grid.len()],
            }
        }

        /// One tick in which the tiles of `rect` (in tiles) changed `changes` times.
        fn tick(&mut self, rect: [usize; 4], changes: u32, look: Look) -> Option<Rect<Client>> {
            let [x, y, width, height] = rect;
            for tile in (y..y + height).flat_map(|y| (x..x + width).map(move |x| y * 16 + x)) {
                self.counts[tile] = self.counts[tile].wrapping_add(changes);
            }
            self.tracker.tick(|tile| self.counts[tile]);
            self.tracker.region(|_| look)
        }

        fn ticks(&mut self, count: usize, rect: [usize; 4], changes: u32, look: Look) -> Option<Rect<Client>> {
            (0..count).fold(None, |_, _| self.tick(rect, changes, look))
        }
    }

    #[test]
    fn a_video_is_found_after_half_a_second_and_left_when_it_stops() {
        let mut desktop = Desktop::new();
        assert_eq!(
            desktop.ticks(3, [2, 1, 6, 4], 4, PICTURE),
            None,
            "the first tick is the start"
        );
        let region = Rect::new(128, 64, 384, 256);
        assert_eq!(desktop.ticks(2, [2, 1, 6, 4], 4, PICTURE), Some(region));
        assert_eq!(
            desktop.ticks(2, [0, 0, 0, 0], 0, PICTURE),
            Some(region),
            "a pause is no end"
        );
        assert_eq!(desktop.ticks(1, [2, 1, 6, 4], 4, PICTURE), Some(region));
        assert_eq!(desktop.ticks(4, [0, 0, 0, 0], 0, PICTURE), None);
    }

    #[test]
    fn slow_small_scattered_and_textual_changes_are_no_video() {
        let text = Look {
            is_picture: false,
            ..PICTURE
        };
        assert_eq!(
            Desktop::new().ticks(20, [0, 0, 8, 4], 1, PICTURE),
            None,
            "7 changes a second"
        );
        assert_eq!(Desktop::new().ticks(20, [0, 0, 3, 1], 5, PICTURE), None, "three tiles");
        assert_eq!(Desktop::new().ticks(20, [0, 0, 8, 4], 5, text), None);
        let mut cross = Desktop::new();
        for _ in 0..20 {
            cross.tick([0, 3, 16, 1], 5, PICTURE);
            assert_eq!(cross.tick([8, 0, 1, 8], 5, PICTURE), None, "lines that cross");
        }
        let mut pauses = Desktop::new();
        for _ in 0..10 {
            assert_eq!(pauses.ticks(3, [0, 0, 8, 4], 9, PICTURE), None);
            assert_eq!(pauses.tick([0, 0, 0, 0], 0, PICTURE), None, "bursts");
        }
    }

    #[test]
    fn a_region_is_exact_to_the_macroblock_and_inside_the_surface() {
        let look = Look {
            part: TileRect {
                left: 10,
                top: 3,
                right: 64,
                bottom: 52,
            },
            ..PICTURE
        };
        assert_eq!(
            Desktop::new().ticks(6, [10, 0, 6, 8], 5, look),
            Some(Rect::new(640, 0, 384, 500)),
        );
        assert_eq!(
            Desktop::new().ticks(6, [2, 0, 4, 2], 5, look),
            Some(Rect::new(138, 3, 256, 128)),
        );
    }

    #[test]
    fn parts_are_whole_blocks_of_the_picture_and_inside_it() {
        let video = Rect::new(201, 75, 640, 361);
        let grown = |x, y, width, height| in_chroma_blocks(Rect::new(x, y, width, height), video);
        assert_eq!(grown(201, 75, 1, 1), Rect::new(201, 75, 4, 2));
        assert_eq!(grown(256, 128, 64, 64), Rect::new(253, 127, 68, 66));
        assert_eq!(
            grown(840, 435, 1, 1),
            Rect::new(837, 435, 4, 1),
            "the last row is half a block"
        );
        assert_eq!(grown(201, 75, 640, 361), video);
    }

    #[test]
    fn shapes_change_seldom_and_only_when_it_matters() {
        let mut desktop = Desktop::new();
        let first = desktop.ticks(5, [2, 1, 6, 4], 4, PICTURE);
        assert_eq!(desktop.ticks(12, [3, 1, 5, 4], 4, PICTURE), first, "a little smaller");
        assert_eq!(
            desktop.ticks(3, [2, 1, 8, 4], 4, PICTURE),
            first,
            "larger, for a moment"
        );
        assert_eq!(
            desktop.ticks(3, [2, 1, 8, 4], 4, PICTURE),
            Some(Rect::new(128, 64, 512, 256))
        );
        assert_eq!(
            desktop.ticks(9, [2, 1, 2, 2], 4, PICTURE),
            Some(Rect::new(128, 64, 128, 128))
        );
    }

    #[test]
    fn a_tile_that_came_to_rest_is_news_again() {
        let mut desktop = Desktop::new();
        desktop.ticks(6, [2, 1, 6, 4], 4, PICTURE);
        assert!(desktop.tracker.is_warm(18) && !desktop.tracker.is_warm(0));
        desktop.tracker.calm(18);
        assert!(!desktop.tracker.is_warm(18));
    }
}
