//! One command of a frame as graphics messages ([MS-RDPEGFX] 2.2.2). Everything was checked before.

use std::collections::BTreeSet;

use rdpmux_model::{Client, Color, FrameCommand, FrameId, Point, Rect, Size, TilePayload};

use super::message::{
    CACHE_TO_SURFACE, EVICT_CACHE_ENTRY, PIXEL_FORMAT_XRGB, SOLID_FILL, SURFACE_TO_CACHE, SURFACE_TO_SURFACE,
    WIRE_TO_SURFACE_2, message, sized, wire_to_surface,
};
use super::video::{Picture, Videos};
use super::{Coders, Surface};
use crate::pipe::rfx::{self, Tiles};
use crate::pipe::{FrameError, edges, words};

const CODEC_UNCOMPRESSED: u16 = 0x0;
const CODEC_CAVIDEO: u16 = 0x3;
const CODEC_CLEAR: u16 = 0x8;
const CODEC_CAPROGRESSIVE: u16 = 0x9;

/// Where the commands of one surface go.
pub(super) struct Commands<'a> {
    pub(super) plain: &'a mut Vec<u8>,
    pub(super) coders: &'a mut Coders,
    pub(super) held: &'a mut BTreeSet<u16>,
    pub(super) surface: &'a mut Surface,
    pub(super) videos: &'a Videos,
    pub(super) progressive: bool,
    pub(super) frame: FrameId,
}

impl Commands<'_> {
    pub(super) fn write(&mut self, command: &FrameCommand) -> Result<(), FrameError> {
        match command {
            FrameCommand::SolidFill { rect, color } => self.solid_fill(*rect, *color),
            FrameCommand::Copy { source, destination } => self.copy(*source, *destination),
            FrameCommand::Tile {
                rect,
                payload: TilePayload::Uncompressed(data),
            } => {
                let e = edges(*rect, self.surface.size)?;
                wire_to_surface(self.plain, self.surface.id, CODEC_UNCOMPRESSED, e, |out| {
                    out.extend_from_slice(data);
                    Ok(())
                })
            }
            FrameCommand::Clear { rect, pixels } => self.clear(*rect, pixels),
            FrameCommand::CacheStore { rect, slot, key } => self.cache_store(*rect, *slot, *key),
            FrameCommand::CacheShow { slot, at, .. } => self.cache_show(*slot, at),
            FrameCommand::CacheEvict { slot } => match self.held.remove(slot) {
                true => evict(self.plain, *slot),
                false => Ok(()),
            },
            FrameCommand::Video { rect, regions, stream } => {
                let picture = Picture {
                    rect: *rect,
                    regions,
                    stream,
                };
                self.videos.show(self.plain, self.surface, picture)
            }
            FrameCommand::Rfx { clip, quant, tiles } => {
                let tiles = Tiles {
                    clip,
                    quant: *quant,
                    tiles,
                };
                if self.progressive {
                    self.progressive(tiles)
                } else {
                    self.cavideo(tiles)
                }
            }
            FrameCommand::Tile { .. } => Err(FrameError::Invalid("bitmap tile")),
        }
    }

    fn solid_fill(&mut self, rect: Rect<Client>, color: Color) -> Result<(), FrameError> {
        let e = edges(rect, self.surface.size)?;
        message(self.plain, SOLID_FILL, |out| {
            words(out, [self.surface.id]);
            out.extend_from_slice(&[color.b, color.g, color.r, 0xFF]);
            words(out, [1]);
            e.write(out);
            Ok(())
        })
    }

    fn copy(&mut self, source: Rect<Client>, to: Point<Client>) -> Result<(), FrameError> {
        let e = edges(source, self.surface.size)?;
        message(self.plain, SURFACE_TO_SURFACE, |out| {
            words(out, [self.surface.id, self.surface.id]);
            e.write(out);
            words(out, [1, to.x as u16, to.y as u16]);
            Ok(())
        })
    }

    fn clear(&mut self, rect: Rect<Client>, pixels: &[u8]) -> Result<(), FrameError> {
        let e = edges(rect, self.surface.size)?;
        let raster = self.coders.raster.as_mut().ok_or(FrameError::Invalid("ClearCodec"))?;
        wire_to_surface(self.plain, self.surface.id, CODEC_CLEAR, e, |out| {
            raster.compress(Size::new(rect.width, rect.height), pixels, out);
            Ok(())
        })
    }

    fn cache_store(&mut self, rect: Rect<Client>, slot: u16, key: u64) -> Result<(), FrameError> {
        let e = edges(rect, self.surface.size)?;
        if !self.held.insert(slot) {
            evict(self.plain, slot)?;
        }
        message(self.plain, SURFACE_TO_CACHE, |out| {
            words(out, [self.surface.id]);
            out.extend_from_slice(&key.to_le_bytes());
            words(out, [slot]);
            e.write(out);
            Ok(())
        })
    }

    fn cache_show(&mut self, slot: u16, at: &[Point<Client>]) -> Result<(), FrameError> {
        message(self.plain, CACHE_TO_SURFACE, |out| {
            words(out, [slot, self.surface.id, at.len() as u16]);
            at.iter().for_each(|p| words(out, [p.x as u16, p.y as u16]));
            Ok(())
        })
    }

    fn progressive(&mut self, tiles: Tiles<'_>) -> Result<(), FrameError> {
        let (surface, frame) = (&*self.surface, self.frame);
        message(self.plain, WIRE_TO_SURFACE_2, |out| {
            words(out, [surface.id, CODEC_CAPROGRESSIVE]);
            out.extend_from_slice(&u32::from(surface.id).to_le_bytes());
            out.push(PIXEL_FORMAT_XRGB);
            sized(out, |out| {
                rfx::progressive(out, surface.size, frame.0, !surface.context, tiles)
            })
        })?;
        self.surface.context = true;
        Ok(())
    }

    fn cavideo(&mut self, tiles: Tiles<'_>) -> Result<(), FrameError> {
        let size = self.surface.size;
        let e = edges(size.rect(), size)?;
        let frame = self.frame;
        wire_to_surface(self.plain, self.surface.id, CODEC_CAVIDEO, e, |out| {
            rfx::message(out, size, frame.0, tiles)
        })
    }
}

/// `RDPGFX_EVICT_CACHE_ENTRY_PDU` ([MS-RDPEGFX] 2.2.2.8).
pub(super) fn evict(out: &mut Vec<u8>, slot: u16) -> Result<(), FrameError> {
    message(out, EVICT_CACHE_ENTRY, |out| {
        words(out, [slot]);
        Ok(())
    })
}
