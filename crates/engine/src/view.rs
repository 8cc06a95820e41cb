//! What one viewer shows of a surface: the generation of each tile it was sent, and which tiles it has only roughly.
//!
//! There is no queue of frames: a viewer that missed ten changes of a tile is sent the latest once.

use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_model::{Client, Generation, Rect, Size};

use crate::fresh::Fresh;
use crate::job::{Aim, FrameJob, JobTile, TILE_BYTES, WayBack};
use crate::screen::Screen;
use crate::surface::Frame;
use crate::video::VideoTracker;
use crate::{Profile, SurfaceReader, TileGrid};

/// One viewer's state. The session owns it and has at most one [`FrameJob`] of it under way.
#[derive(Debug)]
pub struct ClientView {
    /// The size that `tiles` was made for.
    grid: TileGrid,
    tiles: Vec<TileState>,
    /// The surface's generation of which nothing was pending after the last job.
    complete: Generation,
    /// Some tiles are newer than `complete` and others not: the last job left some.
    is_partial: bool,
    /// Where the last job stopped, so that a small budget reaches every tile in turn.
    cursor: usize,
    /// What the client shows. A job takes it along; a job that is dropped loses it, and all is sent anew.
    screen: Option<Box<Screen>>,
    back: WayBack,
    cache_tiles: u16,
    rest: Rest,
    video: VideoTracker,
}

#[derive(Debug, Clone, Copy, Default)]
struct TileState {
    /// The tile's generation when it was taken; 0 is never.
    sent: Generation,
    /// The client may show anything here.
    lost: bool,
}

/// Tiles of one job at most: a 4K screen.
const MOST_TILES: usize = Profile::BYTE_BUDGET / TILE_BYTES;

/// Since when a tile must be unchanged to count as at rest.
#[derive(Debug, Clone)]
struct Rest {
    settled: Generation,
    mark: Option<Generation>,
}

impl Default for ClientView {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientView {
    /// A viewer that shows nothing yet.
    pub fn new() -> Self {
        Self {
            grid: TileGrid::default(),
            tiles: Vec::new(),
            complete: Generation(0),
            is_partial: false,
            cursor: 0,
            screen: None,
            back: Arc::new(Mutex::default()),
            cache_tiles: 0,
            rest: Rest {
                settled: Generation(u64::MAX),
                mark: None,
            },
            video: VideoTracker::default(),
        }
    }

    /// A viewer whose bitmap cache holds so many tiles.
    pub fn with_cache(tiles: u16) -> Self {
        Self {
            cache_tiles: tiles,
            ..Self::new()
        }
    }

    /// Takes over what the client kept in its bitmap cache in an earlier session, in the order of the offer: the
    /// keys of whole tiles, and `None` for anything else. Returns the slots that the first of them get; the client drops the others.
    pub fn import_cache(&mut self, reader: &SurfaceReader, keys: impl Iterator<Item = Option<u64>>) -> Vec<u16> {
        let size = reader.size();
        if self.take_back() != size {
            self.start_over(size);
        }
        self.screen
            .as_mut()
            .map_or_else(Vec::new, |screen| screen.cache.import(keys))
    }

    /// The viewer may show anything, for example after it was minimised. What it keeps in its cache stays.
    pub fn invalidate(&mut self) {
        self.invalidate_rect(self.grid.size().rect());
        self.complete = Generation(0);
    }

    /// The viewer asks for a rectangle again ([MS-RDPBCGR] 2.2.11.2 Refresh Rect). Clipped to the surface.
    pub fn invalidate_rect(&mut self, rect: Rect<Client>) {
        let rect = rect.intersect(self.grid.size().rect());
        if rect.is_empty() {
            return;
        }
        for tile in self.grid.tiles_in(rect) {
            self.tiles[tile] = TileState {
                sent: Generation(0),
                lost: true,
            };
        }
        self.complete = Generation(0);
    }

    /// Whether a job would find nothing to send, refinement aside.
    pub fn is_current(&mut self, reader: &SurfaceReader) -> bool {
        self.take_back();
        let frame = reader.frame();
        self.complete == frame.generation && self.grid.size() == frame.size
    }

    /// Picks the tiles that changed since they were sent, copies their pixels out under one short lock, and marks them
    /// as sent. `None` if nothing is pending.
    ///
    /// If [`FrameJob::size`] is not what the client was told, the session resets its graphics before it sends the
    /// frame. A job that is dropped unsent makes the next one start from nothing.
    pub fn take_job(&mut self, reader: &SurfaceReader, profile: &Profile) -> Option<FrameJob> {
        let known = self.take_back();
        let frame = reader.frame();
        if frame.size != known {
            self.start_over(frame.size);
        }
        if self.complete == frame.generation {
            return None;
        }
        let before = self.complete;
        let video = self.find_video(profile);
        let (tiles, left) = self.pick_changed(&frame);
        self.is_partial = left;
        if !left {
            self.complete = frame.generation;
        }
        if tiles.is_empty() {
            return None;
        }
        let mut screen = self.screen.take()?;
        let mut fresh = Fresh::new(self.grid);
        for tile in &tiles {
            let (_, _, whole) = self.grid.tile(tile.index);
            fresh.add(tile.index, whole, |out| frame.copy_tile(tile.index, out));
            let state = &mut self.tiles[tile.index];
            state.sent = tile.generation.unwrap_or_default();
            if std::mem::take(&mut state.lost) {
                screen.forget(tile.index);
            }
        }
        let job = self.job(reader, screen, fresh, tiles, *profile, Aim::Fast);
        Some(FrameJob { video, before, ..job })
    }

    /// Picks tiles that the client has only roughly and that are at rest; the job makes them exact. `None` if there is
    /// none, and on pipelines that cannot be exact. A further call picks the next ones.
    ///
    /// At rest is what did not change between the last two calls of [`Self::tick_rest`]; without any, everything that
    /// is current.
    pub fn take_refinement(&mut self, reader: &SurfaceReader, profile: &Profile) -> Option<FrameJob> {
        let known = self.take_back();
        let frame = reader.frame();
        if frame.size != known || !profile.refines() {
            return None;
        }
        let screen = self.screen.take()?;
        let most = (profile.refinement_budget / TILE_BYTES).max(1);
        let rests = |index: &usize| {
            let (tile, generation) = (&self.tiles[*index], frame.damage.generation(*index));
            tile.sent == generation && generation <= self.rest.settled && !screen.rough(*index).is_empty()
        };
        let tiles: Vec<JobTile> = (0..self.tiles.len())
            .filter(rests)
            .take(most)
            .map(|index| JobTile {
                index,
                generation: None,
                before: Generation(0),
                rested: true,
                warm: false,
            })
            .collect();
        if tiles.is_empty() {
            self.screen = Some(screen);
            return None;
        }
        tiles.iter().for_each(|tile| self.video.calm(tile.index));
        let fresh = Fresh::new(self.grid);
        Some(self.job(reader, screen, fresh, tiles, *profile, Aim::Exact))
    }

    /// Whether some tile is rough, so that ticking and refining is worth the session's while.
    pub fn needs_refinement(&mut self) -> bool {
        self.take_back();
        self.screen.as_ref().is_some_and(|screen| screen.has_rough())
    }

    /// To be called in a steady rhythm, about every 150 ms while anything goes on: what changed since the call before is
    /// not at rest, and what changes at most calls is a video.
    pub fn tick_rest(&mut self, reader: &SurfaceReader) {
        let frame = reader.frame();
        if frame.damage.grid == self.grid {
            self.video.tick(|tile| frame.damage.changes(tile));
        }
        let now = frame.generation;
        self.rest.settled = self.rest.mark.replace(now).unwrap_or(Generation(0));
    }

    /// Whether the last job left nothing of what had changed when it was taken. `false` while it is under way.
    pub fn is_whole(&mut self) -> bool {
        self.take_back();
        self.screen.is_some() && !self.is_partial
    }

    /// A view of another client that shows the same as this one's. `None` while a job of it is under way.
    pub fn fork(&mut self) -> Option<Self> {
        self.take_back();
        Some(Self {
            grid: self.grid,
            tiles: self.tiles.clone(),
            complete: self.complete,
            is_partial: self.is_partial,
            cursor: self.cursor,
            screen: Some(Box::new(self.screen.as_ref()?.fork())),
            back: Arc::new(Mutex::default()),
            cache_tiles: self.cache_tiles,
            rest: self.rest.clone(),
            video: self.video.clone(),
        })
    }

    /// Whether this view may become that of `joiner`'s client as well at hardly any cost: both show the same pixels, roughly or
    /// exactly, or differ only in tiles that are in motion, which are sent anew anyway. `false` while a job of either is
    /// under way.
    pub fn can_absorb(&mut self, joiner: &mut Self) -> bool {
        let shows = |view: &mut Self| view.is_whole() && view.tiles.iter().all(|tile| tile.sent > Generation(0));
        if !shows(self) || !shows(joiner) || self.grid != joiner.grid {
            return false;
        }
        let settled = self.rest.settled;
        let moves = |(ours, theirs): (&TileState, &TileState)| ours.sent.max(theirs.sent) > settled;
        let mut pairs = self.tiles.iter().zip(&joiner.tiles);
        pairs.all(|pair| pair.0.sent == pair.1.sent || moves(pair))
    }

    /// From now on this view is of its own client and of `joiner`'s, which it [can absorb](Self::can_absorb): what either has
    /// only roughly is rough, what they show differently is sent anew, and their bitmap caches are empty: whoever joins
    /// them evicts everything there.
    pub fn absorb(&mut self, joiner: &Self) {
        let (Some(screen), Some(other)) = (&mut self.screen, &joiner.screen) else {
            return;
        };
        screen.absorb(other);
        for (index, (ours, theirs)) in self.tiles.iter_mut().zip(&joiner.tiles).enumerate() {
            if ours.sent != theirs.sent {
                ours.sent = Generation(0);
                screen.forget(index);
                self.complete = Generation(0);
            }
        }
    }

    /// Takes the screen back from a finished job. Returns its size; 0 × 0 if there is none.
    fn take_back(&mut self) -> Size {
        let back = self.back.lock().take();
        if let Some(screen) = back {
            self.screen = Some(screen);
            self.note_left();
        }
        self.screen
            .as_ref()
            .map_or(Size::default(), |screen| screen.grid.size())
    }

    /// What a job had no budget for is pending again.
    fn note_left(&mut self) {
        let left = self.screen.as_mut().map(|screen| std::mem::take(&mut screen.left));
        let left = left.unwrap_or_default();
        let Some(next) = left.iter().find(|tile| !tile.rested).or(left.first()) else {
            return;
        };
        self.cursor = next.index;
        for tile in &left {
            // What was asked for again meanwhile stays lost.
            let sent = &mut self.tiles[tile.index].sent;
            *sent = (*sent).min(tile.before);
        }
        self.complete = Generation(0);
        self.is_partial = true;
    }

    /// Where the client is shown a video, if it decodes one.
    fn find_video(&mut self, profile: &Profile) -> Option<Rect<Client>> {
        let screen = self.screen.as_ref().filter(|_| cfg!(feature = "h264"))?;
        profile.video.and_then(|_| self.video.region(|tile| screen.look(tile)))
    }

    fn start_over(&mut self, size: Size) {
        let mut screen = Box::new(Screen::new(size));
        match self.screen.take() {
            Some(old) => screen.cache = old.cache,
            None => screen.cache.set_room(self.cache_tiles),
        }
        self.grid = screen.grid;
        self.video.start_over(self.grid);
        self.tiles.clear();
        self.tiles.resize(self.grid.len(), TileState::default());
        self.screen = Some(screen);
        self.back = Arc::new(Mutex::default());
        self.complete = Generation(0);
        self.cursor = 0;
    }

    /// Changed tiles, in the order of their numbers, and whether some were left because a job would be too large.
    fn pick_changed(&mut self, frame: &Frame) -> (Vec<JobTile>, bool) {
        let settled = self.rest.settled;
        let changed = |index: usize| {
            let (sent, generation) = (self.tiles[index].sent, frame.damage.generation(index));
            (generation > sent).then_some(JobTile {
                index,
                generation: Some(generation),
                before: sent,
                rested: sent <= settled,
                warm: self.video.is_warm(index),
            })
        };
        let mut tiles: Vec<JobTile> = (0..self.tiles.len()).filter_map(changed).collect();
        let left = tiles.len() > MOST_TILES;
        if left {
            let start = tiles.partition_point(|tile| tile.index < self.cursor);
            tiles.rotate_left(start);
            self.cursor = tiles[MOST_TILES].index;
            tiles.truncate(MOST_TILES);
            tiles.sort_unstable_by_key(|tile| tile.index);
        }
        (tiles, left)
    }

    fn job(
        &self,
        reader: &SurfaceReader,
        screen: Box<Screen>,
        fresh: Fresh,
        tiles: Vec<JobTile>,
        profile: Profile,
        aim: Aim,
    ) -> FrameJob {
        FrameJob {
            generation: self.complete,
            before: self.complete,
            tiles,
            first: self.cursor,
            fresh,
            screen,
            profile,
            aim,
            shared: reader.shared.clone(),
            back: self.back.clone(),
            video: None,
        }
    }
}
