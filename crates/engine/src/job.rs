//! The pixels of one frame for one viewer, and how they become a frame: CPU only, no lock held, on any thread.

use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_model::{Client, Color, EncodedFrame, Generation, Point, Rect, Size, TILE, TilePayload, VideoStream};
use rdpmux_pixel::{Rows, classify, hash};

use crate::cache::{Encoded, Form, Key};
use crate::codec::h264::{Coded, Stream};
use crate::codec::rfx::{self, Rounding};
use crate::codec::{Depth, bitmap, nsc, qoi};
use crate::compose::{Composer, Lossless};
use crate::fresh::Fresh;
use crate::plan::{self, Content};
use crate::screen::Screen;
use crate::surface::Shared;
use crate::{Pipeline, Profile, TileRect, VideoForm, moves, video};

/// Tiles to encode, with a copy of their pixels, and the screen that they change.
#[derive(Debug)]
pub struct FrameJob {
    pub(crate) generation: Generation,
    /// What the client shows completely before it.
    pub(crate) before: Generation,
    pub(crate) tiles: Vec<JobTile>,
    /// The tile at which the choice begins when there are too many.
    pub(crate) first: usize,
    pub(crate) fresh: Fresh,
    pub(crate) screen: Box<Screen>,
    pub(crate) profile: Profile,
    pub(crate) aim: Aim,
    pub(crate) shared: Arc<Shared>,
    pub(crate) back: WayBack,
    /// What is sent as one picture of a video.
    pub(crate) video: Option<Rect<Client>>,
}

/// One tile of a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobTile {
    pub(crate) index: usize,
    /// Of the pixels; a tile that changed by a copy only has none.
    pub(crate) generation: Option<Generation>,
    /// Of what the client shows there.
    pub(crate) before: Generation,
    /// What the client shows there rested before.
    pub(crate) rested: bool,
    /// It changes over and over.
    pub(crate) warm: bool,
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// A change: the smallest form.
    Fast,
    /// A refinement: the exact form.
    Exact,
}

/// Where a job leaves the screen for the view that it came from.
pub(crate) type WayBack = Arc<Mutex<Option<Box<Screen>>>>;

/// Raw bytes of a whole tile.
pub(crate) const TILE_BYTES: usize = (TILE * TILE * 4) as usize;
/// A changed part up to this size is sent exactly whatever it shows.
const SMALL_PART: usize = 400;
/// So much beside a film goes before it: an editor's lines around a key, not a scroll.
const ECHO_PIXELS: usize = 16_384;
/// A tile of which this much changed may be in the bitmap cache, and what it showed is worth keeping there.
const LARGE_PART: usize = (TILE * TILE) as usize / 2;

impl FrameJob {
    /// The surface's size that the job was made for.
    pub fn size(&self) -> Size {
        self.screen.grid.size()
    }

    /// How many tiles it holds.
    pub fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// Whether it only makes exact what the client has roughly.
    pub fn is_refinement(&self) -> bool {
        self.aim == Aim::Exact
    }

    /// Encodes. Work that another viewer of the same surface has done already is taken from the surface's cache.
    pub fn encode(mut self) -> EncodedFrame {
        let mut composer = Composer::default();
        match self.aim {
            Aim::Fast => self.changes(&mut composer),
            Aim::Exact => self.refinement(&mut composer),
        }
        let lossless = if self.profile.clear {
            Lossless::Clear
        } else {
            Lossless::Raw
        };
        let frame = EncodedFrame {
            generation: if self.screen.left.is_empty() {
                self.generation
            } else {
                self.before
            },
            size: self.size(),
            commands: composer.finish(&self.screen, lossless, self.profile.quant),
        };
        *self.back.lock() = Some(self.screen);
        frame
    }

    fn refinement(&mut self, composer: &mut Composer) {
        for tile in std::mem::take(&mut self.tiles) {
            let rough = self.screen.rough(tile.index);
            if !rough.is_empty() {
                self.exact(tile.index, rough, composer);
            }
        }
    }

    fn changes(&mut self, composer: &mut Composer) {
        let is_egfx = matches!(self.profile.pipeline, Pipeline::Egfx { .. });
        let kept = if is_egfx { self.worth_keeping() } else { Vec::new() };
        if is_egfx {
            self.find_moves(composer);
        }
        if !self.let_echo_pass() {
            self.cut();
        }
        let mut kept = kept.into_iter().peekable();
        let mut video = Vec::new();
        for tile in std::mem::take(&mut self.tiles) {
            while kept.next_if(|(index, _)| *index < tile.index).is_some() {}
            let key = kept.next_if(|(index, _)| *index == tile.index).map(|(_, key)| key);
            let Some(part) = self.screen.take_in(tile.index, self.fresh.rows(tile.index)) else {
                self.screen.only_moved(tile.index);
                continue;
            };
            if let Some(key) = key.filter(|_| part.area() >= LARGE_PART) {
                self.keep(tile.index, key, composer);
            }
            match self.profile.pipeline {
                Pipeline::Bitmap { bits_per_pixel } => self.bitmap(&tile, part, Depth::of(bits_per_pixel), composer),
                Pipeline::SurfaceCommands => self.remotefx_only(&tile, part, composer),
                Pipeline::NsCodec(quality) => self.surface_bits(&tile, part, Form::NsCodec(quality, part), composer),
                Pipeline::Qoi { zstd } => self.surface_bits(&tile, part, Form::Qoi(zstd, part), composer),
                Pipeline::Egfx { .. } => {
                    if self.is_video(&tile, part) {
                        video.push((tile, part));
                    } else {
                        self.egfx(&tile, part, composer);
                    }
                }
            }
        }
        self.show_video(video, composer);
    }

    /// Whole tiles that rested, are exact and change much, with the hash of what they show before they do.
    fn worth_keeping(&self) -> Vec<(usize, u64)> {
        if !self.screen.cache.has_room() {
            return Vec::new();
        }
        let changes_much = |before: Rows<'_>, after: Rows<'_>| {
            let edge = TILE as usize;
            (0..edge)
                .filter(|&y| before.row(y, edge * 4) != after.row(y, edge * 4))
                .count()
                * 2
                >= edge
        };
        let worth = |tile: &JobTile| {
            let rect = self.whole_tile(tile.index)?;
            let is_certain = self.screen.is_known(tile.index) && self.screen.rough(tile.index).is_empty();
            let before = self.screen.rows(rect);
            (tile.rested && is_certain && changes_much(before, self.fresh.rows(tile.index)))
                .then(|| (tile.index, hash::rectangle(before, TILE as usize, TILE as usize)))
        };
        self.tiles.iter().filter_map(worth).collect()
    }

    /// The rectangle of a tile that is not cut by the edge.
    fn whole_tile(&self, index: usize) -> Option<Rect<Client>> {
        let (x, y, whole) = self.screen.grid.tile(index);
        (whole.area() == (TILE * TILE) as usize).then(|| whole.on_surface(x, y))
    }

    fn keep(&mut self, index: usize, key: u64, composer: &mut Composer) {
        let (Some(rect), Some(place)) = (self.whole_tile(index), self.screen.cache.keep(key)) else {
            return;
        };
        if place.is_taken {
            composer.evict(place.slot);
        }
        composer.store(rect, place.slot, key);
    }

    fn find_moves(&mut self, composer: &mut Composer) {
        moves::find(&mut self.screen, &mut self.fresh, |found| {
            composer.copy(found.source, found.to);
        });
        // Tiles that only a copy touches follow those that the guest changed.
        let further = self.fresh.indices().skip(self.tiles.len());
        self.tiles.extend(further.map(|index| JobTile {
            index,
            generation: None,
            before: Generation(0),
            rested: false,
            warm: false,
        }));
    }

    /// Leaves a film for the next job when a little changed beside it: the echo of a key does not wait until a picture
    /// is coded. Not twice in a row, so that a film goes on beside whatever changes all the time.
    fn let_echo_pass(&mut self) -> bool {
        if std::mem::take(&mut self.screen.owes_film) {
            return false;
        }
        let (film, others): (Vec<_>, Vec<_>) = self.tiles.iter().partition(|tile| self.is_film(tile));
        if film.is_empty() {
            return false;
        }
        let cost = |tile: &JobTile| self.screen.pixels_to_send(tile.index, self.fresh.rows(tile.index));
        let is_echo = (1..=ECHO_PIXELS).contains(&others.iter().map(cost).sum::<usize>());
        if is_echo {
            self.tiles = others;
            self.screen.left = film;
            self.screen.owes_film = true;
        }
        is_echo
    }

    /// Whether a tile will be part of the video's picture, as far as its place tells.
    fn is_film(&self, tile: &JobTile) -> bool {
        tile.warm
            && self
                .video
                .is_some_and(|video| self.screen.grid.touches(tile.index, video))
    }

    /// Leaves for the next job what exceeds the budget, now that copies cost nothing any more. What rested before goes
    /// first: an echo of input overtakes a video. Within each, the choice goes round from where the last job stopped.
    /// The tiles of a video cost the budget nothing: it has its own, and half a picture is worse than none.
    fn cut(&mut self) {
        let most = self.profile.byte_budget;
        if self.tiles.len() * TILE_BYTES <= most {
            return;
        }
        let (count, first) = (self.screen.grid.len(), self.first);
        let turn = |tile: &JobTile| (!tile.rested, (tile.index + count - first) % count);
        self.tiles.sort_by_key(turn);
        let mut spent = 0;
        let mut left = Vec::new();
        let mut tiles = std::mem::take(&mut self.tiles);
        tiles.retain(|tile| {
            let cost = if self.is_film(tile) {
                0
            } else {
                self.screen.pixels_to_send(tile.index, self.fresh.rows(tile.index)) * 4
            };
            let goes = cost == 0 || spent == 0 || spent + cost <= most;
            if goes {
                spent += cost;
            } else {
                left.push(*tile);
            }
            goes
        });
        tiles.sort_unstable_by_key(|tile| tile.index);
        self.tiles = tiles;
        self.screen.left = left;
    }

    fn egfx(&mut self, tile: &JobTile, part: TileRect, composer: &mut Composer) {
        if part.area() <= SMALL_PART {
            return self.exact(tile.index, part, composer);
        }
        if part.area() >= LARGE_PART && self.show_kept(tile.index, composer) {
            return;
        }
        match self.content(tile) {
            Content::Solid(_) | Content::Text => self.exact(tile.index, part, composer),
            Content::Picture => self.picture(tile, part, Rounding::TowardsZero, composer),
        }
    }

    /// Whether a change belongs to the video. Notes what it looks like, by which videos are found.
    fn is_video(&mut self, tile: &JobTile, part: TileRect) -> bool {
        if self.profile.video.is_none() || !(tile.warm || part.area() > SMALL_PART) {
            return false;
        }
        let is_picture = self.content(tile) == Content::Picture;
        self.screen.looked(tile.index, part, is_picture, tile.warm);
        let (x, y, _) = self.screen.grid.tile(tile.index);
        let rect = part.on_surface(x, y);
        tile.warm && self.video.is_some_and(|video| video.intersect(rect) == rect)
    }

    /// One picture with all changes of the video's region; as single tiles if it cannot be coded.
    fn show_video(&mut self, tiles: Vec<(JobTile, TileRect)>, composer: &mut Composer) {
        let stream = self.screen.stream.take();
        let (Some(rect), Some(profile)) = (self.video, self.profile.video) else {
            return;
        };
        let mut stream = match stream {
            Some((known, stream)) if known == rect && stream.form() == profile.form => Some(stream),
            _ => Stream::new(rect.size(), profile.form),
        };
        let coded = match &mut stream {
            Some(stream) if !tiles.is_empty() => stream.encode(self.screen.rows(rect), profile.room),
            _ => None,
        };
        self.screen.stream = stream.map(|stream| (rect, stream));
        let Some(Coded {
            data,
            auxiliary,
            quantizer,
        }) = coded
        else {
            tiles.iter().for_each(|(tile, part)| self.egfx(tile, *part, composer));
            return;
        };
        let mut parts = Vec::with_capacity(tiles.len());
        for (tile, part) in tiles {
            let (x, y, _) = self.screen.grid.tile(tile.index);
            let part = video::in_chroma_blocks(part.on_surface(x, y), rect);
            for index in self.screen.grid.tiles_in(part) {
                self.screen.sent_roughly(index, self.screen.grid.part(index, part));
            }
            parts.push(part);
        }
        let stream = match profile.form {
            VideoForm::Avc420 => VideoStream::Avc420(data),
            VideoForm::Avc444 => VideoStream::Avc444 {
                main: Some(data),
                auxiliary,
            },
        };
        composer.video(rect, parts, stream, quantizer);
    }

    /// For a client that has nothing else, text is coded more carefully: rounding towards zero would blur it.
    fn remotefx_only(&mut self, tile: &JobTile, part: TileRect, composer: &mut Composer) {
        let rounding = match self.content(tile) {
            Content::Picture => Rounding::TowardsZero,
            Content::Solid(_) | Content::Text => Rounding::Nearest,
        };
        self.picture(tile, part, rounding, composer);
    }

    /// Shows a tile that the client has in its cache.
    fn show_kept(&mut self, index: usize, composer: &mut Composer) -> bool {
        let Some(rect) = self.whole_tile(index).filter(|_| self.screen.cache.has_room()) else {
            return false;
        };
        let key = hash::rectangle(self.fresh.rows(index), TILE as usize, TILE as usize);
        let Some(slot) = self.screen.cache.find(key) else {
            return false;
        };
        composer.show(slot, Point::new(rect.x, rect.y));
        let (_, _, whole) = self.screen.grid.tile(index);
        self.screen.sent_exactly(index, whole);
        true
    }

    fn exact(&mut self, index: usize, part: TileRect, composer: &mut Composer) {
        let (x, y, _) = self.screen.grid.tile(index);
        let rect = part.on_surface(x, y);
        match classify::single_color(self.screen.rows(rect), part.width(), part.height()) {
            Some([b, g, r, _]) => composer.fill(rect, Color { b, g, r }),
            None => composer.text(rect),
        }
        self.screen.sent_exactly(index, part);
    }

    fn content(&self, tile: &JobTile) -> Content {
        let source = self.fresh.rows(tile.index);
        let (_, _, whole) = self.screen.grid.tile(tile.index);
        let look = || Encoded::Content(plan::content(source, whole.width(), whole.height()));
        match self.encode_once(tile, Form::Content, look) {
            Encoded::Content(content) => content,
            _ => Content::Text,
        }
    }

    fn picture(&mut self, tile: &JobTile, part: TileRect, rounding: Rounding, composer: &mut Composer) {
        let quant = self.profile.quant;
        let (x, y, whole) = self.screen.grid.tile(tile.index);
        let source = self.fresh.rows(tile.index);
        // Of a part, only the part is coded, unless others can use the whole tile for hardly more.
        let coded = if part.area() * 4 < whole.area() * 3 {
            part
        } else {
            whole
        };
        let encode = || {
            let planes = if coded == whole {
                rfx::encode_rounded(source, whole.width(), whole.height(), &quant, rounding)
            } else {
                let extended = extend(source, part);
                let rows = Rows {
                    bytes: &extended,
                    stride: TILE as usize * 4,
                };
                rfx::encode_rounded(rows, TILE as usize, TILE as usize, &quant, rounding)
            };
            Encoded::Rfx(planes)
        };
        if let Encoded::Rfx(planes) = self.encode_once(tile, Form::Rfx(quant, rounding, coded), encode) {
            composer.rfx(x, y, part.on_surface(x, y), planes);
            self.screen.sent_roughly(tile.index, part);
        }
    }

    fn bitmap(&mut self, tile: &JobTile, rect: TileRect, depth: Depth, composer: &mut Composer) {
        let (x, y, _) = self.screen.grid.tile(tile.index);
        let source = part(self.fresh.rows(tile.index), rect);
        let encode = || Encoded::Bitmap(bitmap::encode(source, rect, depth));
        if let Encoded::Bitmap(bitmap) = self.encode_once(tile, Form::Bitmap(depth, rect), encode) {
            composer.bitmap(rect.on_surface(x, y), bitmap.payload(rect, depth));
            self.screen.sent_exactly(tile.index, rect);
        }
    }

    /// A part of a tile in one of the codecs that only surface commands carry.
    fn surface_bits(&mut self, tile: &JobTile, rect: TileRect, form: Form, composer: &mut Composer) {
        let (x, y, _) = self.screen.grid.tile(tile.index);
        let source = part(self.fresh.rows(tile.index), rect);
        let encode = || {
            let (mut out, width, height) = (Vec::new(), rect.width(), rect.height());
            match form {
                Form::NsCodec(quality, _) => {
                    nsc::encode(source, width, height, quality, nsc::Order::BottomUp, &mut out)
                }
                Form::Qoi(true, _) => qoi::encode_zstd(source, width, height, &mut out),
                _ => qoi::encode(source, width, height, &mut out),
            }
            Encoded::Bytes(out.into())
        };
        let Encoded::Bytes(bytes) = self.encode_once(tile, form, encode) else {
            return;
        };
        let payload = match form {
            Form::NsCodec(..) => TilePayload::NsCodec(bytes),
            Form::Qoi(true, _) => TilePayload::Qoiz(bytes),
            _ => TilePayload::Qoi(bytes),
        };
        composer.bitmap(rect.on_surface(x, y), payload);
        self.screen.sent_exactly(tile.index, rect);
    }

    fn encode_once(&self, tile: &JobTile, form: Form, encode: impl FnOnce() -> Encoded) -> Encoded {
        let Some(generation) = tile.generation else {
            return encode();
        };
        let key = Key {
            tile: tile.index as u32,
            generation,
            form,
        };
        self.shared.cache.encode_once(key, encode)
    }
}

/// A tile of which only a part matters: its edges are repeated to the tile's, which costs next to nothing to code.
fn extend(source: Rows<'_>, part: TileRect) -> Vec<u8> {
    let edge = TILE as usize;
    let (left, right) = (usize::from(part.left), usize::from(part.right));
    let mut tile = Vec::with_capacity(edge * edge * 4);
    for y in 0..edge {
        let y = y.clamp(usize::from(part.top), usize::from(part.bottom) - 1);
        let row = &source.row(y, right * 4)[left * 4..];
        let (first, last) = (&row[..4], &row[row.len() - 4..]);
        (0..left).for_each(|_| tile.extend_from_slice(first));
        tile.extend_from_slice(row);
        (right..edge).for_each(|_| tile.extend_from_slice(last));
    }
    tile
}

/// A part of a tile's rows.
fn part(source: Rows<'_>, rect: TileRect) -> Rows<'_> {
    let start = usize::from(rect.top) * source.stride + usize::from(rect.left) * 4;
    Rows {
        bytes: &source.bytes[start..],
        stride: source.stride,
    }
}
