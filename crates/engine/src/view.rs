//! What one viewer shows of a surface: the generation of each tile it was sent, and which tiles it has only roughly.
//!
//! There is no queue of frames: a viewer that missed ten changes of a tile is sent the latest once.

use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_model::{Client, Generation, Rect, Size, TILE};

use crate::job::{Aim, FrameJob, JobTile, Outcome, Outcomes};
use crate::surface::Frame;
use crate::{Profile, SurfaceReader, TileRect};

/// One viewer's state. The session owns it and has at most one [`FrameJob`] of it under way.
#[derive(Debug)]
pub struct ClientView {
    /// The size that `tiles` was made for.
    size: Size,
    tiles: Vec<TileState>,
    /// The surface's generation of which nothing was pending after the last job.
    complete: Generation,
    /// Where the last job stopped, so that a small budget reaches every tile in turn.
    cursor: usize,
    /// What the encoder did with the tiles, not yet noted in `tiles`.
    outcomes: Outcomes,
    rest: Rest,
}

#[derive(Debug, Clone, Copy, Default)]
struct TileState {
    /// The tile's generation when it was taken; 0 is never.
    sent: Generation,
    /// The part that was sent by a lossy codec since it was last exact.
    rough: TileRect,
}

/// Since when a tile must be unchanged to count as at rest.
#[derive(Debug)]
struct Rest {
    settled: Generation,
    mark: Option<Generation>,
}

/// Most bytes of raw pixels that a refinement takes, so that it never holds up a change for long.
const REFINEMENT_BYTES: usize = 2 << 20;

impl Default for ClientView {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientView {
    /// A viewer that shows nothing yet.
    pub fn new() -> Self {
        Self {
            size: Size::default(),
            tiles: Vec::new(),
            complete: Generation(0),
            cursor: 0,
            outcomes: Arc::new(Mutex::default()),
            rest: Rest {
                settled: Generation(u64::MAX),
                mark: None,
            },
        }
    }

    /// The viewer lost everything, for example after its graphics were reset or a job was dropped unsent.
    pub fn invalidate(&mut self) {
        self.outcomes = Arc::new(Mutex::default());
        self.tiles.fill(TileState::default());
        self.complete = Generation(0);
    }

    /// The viewer asks for a rectangle again ([MS-RDPBCGR] 2.2.11.2 Refresh Rect). Clipped to the surface.
    pub fn invalidate_rect(&mut self, rect: Rect<Client>) {
        let rect = rect.intersect(self.size.rect());
        if rect.is_empty() {
            return;
        }
        let (columns, _) = self.size.tiles();
        for y in rect.y / TILE..rect.bottom().div_ceil(TILE) {
            for x in rect.x / TILE..rect.right().div_ceil(TILE) {
                self.tiles[(y * columns + x) as usize].sent = Generation(0);
            }
        }
        self.complete = Generation(0);
    }

    /// Whether a job would find nothing to send, refinement aside.
    pub fn is_current(&self, reader: &SurfaceReader) -> bool {
        let frame = reader.frame();
        self.complete == frame.generation && self.size == frame.size
    }

    /// Picks the tiles that changed since they were sent, copies their pixels out under one short lock, and marks them
    /// as sent. `None` if nothing is pending.
    ///
    /// If [`FrameJob::size`] is not what the client was told, the session resets its graphics before it sends the
    /// frame. A job that is dropped must be followed by [`Self::invalidate`].
    pub fn take_job(&mut self, reader: &SurfaceReader, profile: &Profile) -> Option<FrameJob> {
        self.note_outcomes();
        let frame = reader.frame();
        if frame.size != self.size {
            self.start_over(frame.size);
        }
        if self.complete == frame.generation {
            return None;
        }
        let changed = |view: &Self, index: usize| frame.damage.since(index, view.tiles[index].sent);
        let (tiles, left) = self.pick(&frame, profile.byte_budget, changed);
        if !left {
            self.complete = frame.generation;
        }
        self.make_job(reader, &frame, tiles, *profile, Aim::Fast)
    }

    /// Picks tiles that the client has only roughly and that are at rest; the job makes them exact. `None` if there is
    /// none, and on pipelines that cannot be exact. A further call picks the next ones.
    ///
    /// At rest is what did not change between the last two calls of [`Self::tick_rest`]; without any, everything that
    /// is current.
    pub fn take_refinement(&mut self, reader: &SurfaceReader, profile: &Profile) -> Option<FrameJob> {
        self.note_outcomes();
        let frame = reader.frame();
        if frame.size != self.size || !profile.refines() {
            return None;
        }
        let settled = self.rest.settled;
        let rough = |view: &Self, index: usize| {
            let (tile, generation) = (&view.tiles[index], frame.damage.generation(index));
            let rests = tile.sent == generation && generation <= settled;
            (rests && !tile.rough.is_empty()).then_some(tile.rough)
        };
        let (tiles, _) = self.pick(&frame, profile.byte_budget.min(REFINEMENT_BYTES), rough);
        self.make_job(reader, &frame, tiles, *profile, Aim::Exact)
    }

    /// Whether some tile is rough, so that ticking and refining is worth the session's while.
    pub fn needs_refinement(&mut self) -> bool {
        self.note_outcomes();
        self.tiles.iter().any(|tile| !tile.rough.is_empty())
    }

    /// To be called in a steady rhythm, for example every 150 ms: what changed since the call before is not at rest.
    pub fn tick_rest(&mut self, reader: &SurfaceReader) {
        let now = reader.generation();
        self.rest.settled = self.rest.mark.replace(now).unwrap_or(Generation(0));
    }

    fn start_over(&mut self, size: Size) {
        self.size = size;
        let (columns, rows) = size.tiles();
        self.tiles.clear();
        self.tiles
            .resize(columns as usize * rows as usize, TileState::default());
        self.outcomes = Arc::new(Mutex::default());
        self.complete = Generation(0);
        self.cursor = 0;
    }

    /// Goes round the tiles from the cursor on until the budget is used up. Also says whether some were left.
    fn pick(
        &mut self,
        frame: &Frame,
        budget: usize,
        wanted: impl Fn(&Self, usize) -> Option<TileRect>,
    ) -> (Vec<JobTile>, bool) {
        let count = self.tiles.len();
        let (mut picked, mut bytes) = (Vec::new(), 0);
        for index in (self.cursor.min(count)..count).chain(0..self.cursor.min(count)) {
            let Some(rect) = wanted(self, index) else {
                continue;
            };
            let (x, y, whole) = frame.damage.tile(index);
            let tile_bytes = whole.width() * whole.height() * 4;
            if !picked.is_empty() && bytes + tile_bytes > budget {
                self.cursor = index;
                picked.sort_unstable_by_key(|tile: &JobTile| tile.index);
                return (picked, true);
            }
            bytes += tile_bytes;
            picked.push(JobTile {
                index,
                x,
                y,
                whole,
                rect,
                generation: frame.damage.generation(index),
            });
        }
        picked.sort_unstable_by_key(|tile| tile.index);
        (picked, false)
    }

    fn make_job(
        &mut self,
        reader: &SurfaceReader,
        frame: &Frame,
        tiles: Vec<JobTile>,
        profile: Profile,
        aim: Aim,
    ) -> Option<FrameJob> {
        if tiles.is_empty() {
            return None;
        }
        let mut pixels = reader.shared.take_buffer();
        for tile in &tiles {
            frame.copy_tile(tile.index, &mut pixels);
            self.tiles[tile.index].sent = tile.generation;
        }
        Some(FrameJob {
            size: frame.size,
            generation: self.complete,
            tiles,
            pixels,
            profile,
            aim,
            shared: reader.shared.clone(),
            outcomes: self.outcomes.clone(),
        })
    }

    fn note_outcomes(&mut self) {
        for Outcome { index, rect, is_exact } in self.outcomes.lock().drain(..) {
            let Some(tile) = self.tiles.get_mut(index) else {
                continue;
            };
            if !is_exact {
                tile.rough = tile.rough.union(rect);
            } else if rect.contains(tile.rough) {
                tile.rough = TileRect::default();
            }
        }
    }
}
