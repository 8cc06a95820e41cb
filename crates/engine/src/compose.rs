//! Collects what a job found into the commands of one frame, in the order in which the client must apply them: what is
//! kept in the cache, copies, and then the new pixels, which touch distinct places.

use std::sync::Arc;

use rdpmux_model::{
    Client, Color, FrameCommand, Point, Rect, RfxQuant, RfxTile, Size, TILE, TilePayload, VideoRegion, VideoStream,
};

use crate::codec::uncompressed;
use crate::screen::Screen;

/// The parts of a frame.
#[derive(Default)]
pub(crate) struct Composer {
    stores: Vec<FrameCommand>,
    copies: Vec<FrameCommand>,
    fills: Vec<(Rect<Client>, Color)>,
    shows: Vec<(u16, Point<Client>)>,
    bitmaps: Vec<FrameCommand>,
    text: Vec<Rect<Client>>,
    clip: Vec<Rect<Client>>,
    rfx: Vec<RfxTile>,
    video: Option<FrameCommand>,
}

/// How lossless pixels go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lossless {
    /// As they are, for the bulk compressor.
    Raw,
    /// Large areas through the connection's raster compressor.
    Clear,
}

/// Fewer pixels of text than this go raw: the bulk compressor's history knows a line of text better.
const CLEAR_PIXELS: u32 = 12 * TILE * TILE;

impl Composer {
    pub(crate) fn evict(&mut self, slot: u16) {
        self.stores.push(FrameCommand::CacheEvict { slot });
    }

    pub(crate) fn store(&mut self, rect: Rect<Client>, slot: u16, key: u64) {
        self.stores.push(FrameCommand::CacheStore { rect, slot, key });
    }

    pub(crate) fn copy(&mut self, source: Rect<Client>, destination: Point<Client>) {
        self.copies.push(FrameCommand::Copy { source, destination });
    }

    pub(crate) fn show(&mut self, slot: u16, at: Point<Client>) {
        self.shows.push((slot, at));
    }

    /// Runs of tiles of one colour are one rectangle, and so are equal runs of rows below each other.
    pub(crate) fn fill(&mut self, rect: Rect<Client>, color: Color) {
        if let Some((last, same)) = self.fills.last_mut()
            && *same == color
            && joins(*last, rect)
        {
            *last = last.union(rect);
            return;
        }
        self.fills.push((rect, color));
    }

    pub(crate) fn text(&mut self, rect: Rect<Client>) {
        self.text.push(rect);
    }

    pub(crate) fn bitmap(&mut self, rect: Rect<Client>, payload: TilePayload) {
        self.bitmaps.push(FrameCommand::Tile { rect, payload });
    }

    /// A picture of the region `rect`, of which `parts` are shown.
    pub(crate) fn video(&mut self, rect: Rect<Client>, parts: Vec<Rect<Client>>, stream: VideoStream, quantizer: u8) {
        let black = Color { b: 0, g: 0, r: 0 };
        let rows = rows_of(parts).into_iter().map(|part| (part, black)).collect();
        let region = |(rect, _)| VideoRegion {
            rect,
            quantizer,
            quality: 100 - quantizer,
        };
        self.video = Some(FrameCommand::Video {
            rect,
            regions: stack(rows).into_iter().map(region).collect(),
            stream,
        });
    }

    pub(crate) fn rfx(&mut self, x: u32, y: u32, rect: Rect<Client>, planes: [Arc<[u8]>; 3]) {
        match self.clip.last_mut() {
            Some(last) if joins(*last, rect) => *last = last.union(rect),
            _ => self.clip.push(rect),
        }
        self.rfx.push(RfxTile {
            x: x as u16,
            y: y as u16,
            planes,
        });
    }

    /// The commands. The pixels of text are read from `screen`, which has them already.
    pub(crate) fn finish(mut self, screen: &Screen, lossless: Lossless, quant: RfxQuant) -> Vec<FrameCommand> {
        let mut commands = self.stores;
        commands.append(&mut self.copies);
        commands.extend(
            stack(self.fills)
                .into_iter()
                .map(|(rect, color)| FrameCommand::SolidFill { rect, color }),
        );
        commands.extend(self.shows.into_iter().map(|(slot, at)| FrameCommand::CacheShow {
            slot,
            size: Size::new(TILE, TILE),
            at: vec![at],
        }));
        commands.append(&mut self.bitmaps);
        let pixels: u32 = self.text.iter().map(|rect| rect.width * rect.height).sum();
        if lossless == Lossless::Clear && pixels >= CLEAR_PIXELS {
            commands.extend(blocks_of(self.text).into_iter().map(|rect| FrameCommand::Clear {
                rect,
                pixels: uncompressed::pixels(screen.rows(rect), rect.size()),
            }));
        } else {
            commands.extend(self.text.into_iter().map(|rect| FrameCommand::Tile {
                rect,
                payload: TilePayload::Uncompressed(uncompressed::pixels(screen.rows(rect), rect.size())),
            }));
        }
        if !self.rfx.is_empty() {
            commands.push(FrameCommand::Rfx {
                clip: self.clip,
                quant,
                tiles: self.rfx,
            });
        }
        commands.extend(self.video);
        commands
    }
}

/// Joins neighbours in a row of tiles that have the same upper and lower edge.
fn rows_of(rects: Vec<Rect<Client>>) -> Vec<Rect<Client>> {
    let mut joined: Vec<Rect<Client>> = Vec::with_capacity(rects.len());
    for rect in rects {
        match joined.last_mut() {
            Some(last) if joins(*last, rect) => *last = last.union(rect),
            _ => joined.push(rect),
        }
    }
    joined
}

/// Joins neighbours in a row of tiles, and such rows below each other: one ClearCodec picture finds more in common, but
/// the client shows it only when it has all of it.
fn blocks_of(rects: Vec<Rect<Client>>) -> Vec<Rect<Client>> {
    let mut blocks: Vec<Rect<Client>> = Vec::new();
    for rect in rows_of(rects) {
        match blocks.last_mut() {
            Some(last)
                if (last.x, last.width, last.bottom()) == (rect.x, rect.width, rect.y)
                    && last.height + rect.height <= HIGHEST_BLOCK =>
            {
                *last = last.union(rect);
            }
            _ => blocks.push(rect),
        }
    }
    blocks
}

/// Rows of one ClearCodec picture.
const HIGHEST_BLOCK: u32 = 4 * TILE;

/// Joins rectangles of one colour that stand below each other.
fn stack(fills: Vec<(Rect<Client>, Color)>) -> Vec<(Rect<Client>, Color)> {
    let mut stacked: Vec<(Rect<Client>, Color)> = Vec::with_capacity(fills.len());
    for (rect, color) in fills {
        let above = stacked.iter_mut().rev().take(RECENT).find(|(above, same)| {
            *same == color && above.x == rect.x && above.width == rect.width && above.bottom() == rect.y
        });
        match above {
            Some((above, _)) => *above = above.union(rect),
            None => stacked.push((rect, color)),
        }
    }
    stacked
}

/// How far back a rectangle above is looked for.
const RECENT: usize = 32;

/// Whether `right` continues `left` on the same rows.
fn joins(left: Rect<Client>, right: Rect<Client>) -> bool {
    left.right() == right.x && left.y == right.y && left.height == right.height
}
