//! The pixels of one frame for one viewer, and how they become a frame: CPU only, no lock held, on any thread.

use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_model::{Client, Color, EncodedFrame, FrameCommand, Generation, Rect, RfxTile, Size, TilePayload};
use rdpmux_pixel::{Rows, classify};

use crate::cache::{Encoded, Form, Key};
use crate::codec::{Depth, bitmap, rfx, uncompressed};
use crate::plan::{self, Content};
use crate::surface::Shared;
use crate::{Pipeline, Profile, TileRect};

/// Tiles to encode, with a copy of their pixels.
#[derive(Debug)]
pub struct FrameJob {
    pub(crate) size: Size,
    pub(crate) generation: Generation,
    pub(crate) tiles: Vec<JobTile>,
    /// The tiles one after the other, rows without padding.
    pub(crate) pixels: Vec<u8>,
    pub(crate) profile: Profile,
    pub(crate) aim: Aim,
    pub(crate) shared: Arc<Shared>,
    pub(crate) outcomes: Outcomes,
}

/// One tile of a job.
#[derive(Debug)]
pub(crate) struct JobTile {
    pub(crate) index: usize,
    pub(crate) x: u32,
    pub(crate) y: u32,
    /// The tile, smaller than 64 × 64 at the right and lower edge.
    pub(crate) whole: TileRect,
    /// What the client needs of it.
    pub(crate) rect: TileRect,
    pub(crate) generation: Generation,
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// A change: the smallest form.
    Fast,
    /// A refinement: the exact form.
    Exact,
}

/// How a part of a tile was sent.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) index: usize,
    pub(crate) rect: TileRect,
    pub(crate) is_exact: bool,
}

/// Filled by the job, drained by the view it came from.
pub(crate) type Outcomes = Arc<Mutex<Vec<Outcome>>>;

impl FrameJob {
    /// The surface's size that the job was made for.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What the client shows completely after this job; older than the surface's if tiles were left for the next one.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How many tiles it holds.
    pub fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// Encodes. Work that another viewer of the same surface has done already is taken from the surface's cache.
    pub fn encode(mut self) -> EncodedFrame {
        let pixels = std::mem::take(&mut self.pixels);
        let mut builder = Builder::default();
        let mut rest = pixels.as_slice();
        for tile in &self.tiles {
            let (bytes, after) = rest.split_at(tile.whole.width() * tile.whole.height() * 4);
            self.encode_tile(tile, bytes, &mut builder);
            rest = after;
        }
        self.outcomes.lock().append(&mut builder.outcomes);
        self.shared.return_buffer(pixels);
        EncodedFrame {
            generation: self.generation,
            size: self.size,
            commands: builder.finish(&self.profile),
        }
    }

    fn encode_tile(&self, tile: &JobTile, pixels: &[u8], builder: &mut Builder) {
        let source = Rows {
            bytes: pixels,
            stride: tile.whole.width() * 4,
        };
        match self.profile.pipeline {
            Pipeline::Bitmap { bits_per_pixel } => self.bitmap(tile, source, Depth::of(bits_per_pixel), builder),
            Pipeline::SurfaceCommands => self.rfx(tile, source, builder),
            Pipeline::Egfx { .. } => self.egfx(tile, source, builder),
        }
    }

    fn egfx(&self, tile: &JobTile, source: Rows<'_>, builder: &mut Builder) {
        let content = match self.aim {
            Aim::Exact => Content::Text,
            Aim::Fast => self.content(tile, source),
        };
        match content {
            Content::Solid(color) => builder.solid(tile, color),
            Content::Picture => self.rfx(tile, source, builder),
            Content::Text => {
                let part = part(source, tile.rect);
                match classify::single_color(part, tile.rect.width(), tile.rect.height()) {
                    Some([b, g, r, _]) => builder.solid(tile, Color { b, g, r }),
                    None => builder.tile(tile, uncompressed::encode(part, tile.rect)),
                }
            }
        }
    }

    fn content(&self, tile: &JobTile, source: Rows<'_>) -> Content {
        let look = || Encoded::Content(plan::content(source, tile.whole.width(), tile.whole.height()));
        match self.shared.cache.encode_once(self.key(tile, Form::Content), look) {
            Encoded::Content(content) => content,
            Encoded::Rfx(_) | Encoded::Bitmap(_) => Content::Text,
        }
    }

    fn rfx(&self, tile: &JobTile, source: Rows<'_>, builder: &mut Builder) {
        let quant = self.profile.quant;
        let encode = || Encoded::Rfx(rfx::encode(source, tile.whole.width(), tile.whole.height(), &quant));
        if let Encoded::Rfx(planes) = self.shared.cache.encode_once(self.key(tile, Form::Rfx(quant)), encode) {
            builder.rfx(tile, planes);
        }
    }

    fn bitmap(&self, tile: &JobTile, source: Rows<'_>, depth: Depth, builder: &mut Builder) {
        let encode = || Encoded::Bitmap(bitmap::encode(part(source, tile.rect), tile.rect, depth));
        let key = self.key(tile, Form::Bitmap(depth, tile.rect));
        if let Encoded::Bitmap(bitmap) = self.shared.cache.encode_once(key, encode) {
            builder.tile(tile, bitmap.payload(tile.rect, depth));
        }
    }

    fn key(&self, tile: &JobTile, form: Form) -> Key {
        Key {
            tile: tile.index as u32,
            generation: tile.generation,
            form,
        }
    }
}

/// A part of a tile's rows.
fn part(source: Rows<'_>, rect: TileRect) -> Rows<'_> {
    let start = usize::from(rect.top) * source.stride + usize::from(rect.left) * 4;
    Rows {
        bytes: &source.bytes[start..],
        stride: source.stride,
    }
}

/// Collects the commands of a frame. They touch distinct pixels, so their order is free: RemoteFX tiles go last, in one.
#[derive(Default)]
struct Builder {
    commands: Vec<FrameCommand>,
    clip: Vec<Rect<Client>>,
    rfx: Vec<RfxTile>,
    outcomes: Vec<Outcome>,
}

impl Builder {
    fn solid(&mut self, tile: &JobTile, color: Color) {
        let rect = tile.rect.on_surface(tile.x, tile.y);
        self.note(tile, true);
        // Runs of tiles of one colour are one rectangle.
        if let Some(FrameCommand::SolidFill {
            rect: last,
            color: same,
        }) = self.commands.last_mut()
            && *same == color
            && joins(*last, rect)
        {
            *last = last.union(rect);
            return;
        }
        self.commands.push(FrameCommand::SolidFill { rect, color });
    }

    fn tile(&mut self, tile: &JobTile, payload: TilePayload) {
        let rect = tile.rect.on_surface(tile.x, tile.y);
        self.note(tile, true);
        self.commands.push(FrameCommand::Tile { rect, payload });
    }

    fn rfx(&mut self, tile: &JobTile, planes: [Arc<[u8]>; 3]) {
        let rect = tile.rect.on_surface(tile.x, tile.y);
        self.note(tile, false);
        match self.clip.last_mut() {
            Some(last) if joins(*last, rect) => *last = last.union(rect),
            _ => self.clip.push(rect),
        }
        self.rfx.push(RfxTile {
            x: tile.x as u16,
            y: tile.y as u16,
            planes,
        });
    }

    fn note(&mut self, tile: &JobTile, is_exact: bool) {
        self.outcomes.push(Outcome {
            index: tile.index,
            rect: tile.rect,
            is_exact,
        });
    }

    fn finish(mut self, profile: &Profile) -> Vec<FrameCommand> {
        if !self.rfx.is_empty() {
            self.commands.push(FrameCommand::Rfx {
                clip: self.clip,
                quant: profile.quant,
                tiles: self.rfx,
            });
        }
        self.commands
    }
}

/// Whether `right` continues `left` on the same rows.
fn joins(left: Rect<Client>, right: Rect<Client>) -> bool {
    left.right() == right.x && left.y == right.y && left.height == right.height
}
