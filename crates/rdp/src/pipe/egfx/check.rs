//! All that can be wrong with a frame, before a byte of it is compressed: the client's history must see what the
//! compressor's saw, so nothing may fail afterwards.

use rdpmux_model::{Client, EncodedFrame, FrameCommand, Rect, Size, TilePayload, VideoRegion, VideoStream};

use super::video;
use crate::pipe::rfx::Tiles;
use crate::pipe::{FrameError, GraphicsCaps, check_uncompressed, edges};

/// What the connection can do besides its agreed capabilities.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) caps: GraphicsCaps,
    /// There is a raster compressor.
    pub(super) raster: bool,
}

impl Check {
    pub(super) fn frames(self, frames: &[(usize, &EncodedFrame)]) -> Result<(), FrameError> {
        for (_, frame) in frames {
            if !frame.size.is_valid() {
                return Err(FrameError::Invalid("size of the frame"));
            }
            frame.commands.iter().try_for_each(|c| self.command(c, frame.size))?;
        }
        let commands = frames.iter().flat_map(|(_, frame)| &frame.commands);
        if commands.filter(|c| matches!(c, FrameCommand::Video { .. })).count() > video::LIMIT {
            return Err(FrameError::Invalid("count of videos"));
        }
        Ok(())
    }

    fn command(self, command: &FrameCommand, size: Size) -> Result<(), FrameError> {
        match command {
            FrameCommand::SolidFill { rect, .. } => edges(*rect, size).map(drop),
            FrameCommand::Copy { source, destination } => {
                edges(*source, size)?;
                edges(
                    Rect::new(destination.x, destination.y, source.width, source.height),
                    size,
                )
                .map(drop)
            }
            FrameCommand::Tile {
                rect,
                payload: TilePayload::Uncompressed(data),
            } => check_uncompressed(edges(*rect, size)?, data),
            FrameCommand::Clear { rect, pixels } if self.raster => check_uncompressed(edges(*rect, size)?, pixels),
            FrameCommand::CacheStore { rect, slot, .. } => {
                edges(*rect, size)?;
                self.slot(*slot)
            }
            FrameCommand::CacheShow { slot, size: kept, at } => {
                if at.is_empty() || at.len() > usize::from(u16::MAX) {
                    return Err(FrameError::Invalid("count of places to show a cached bitmap at"));
                }
                for point in at {
                    edges(Rect::new(point.x, point.y, kept.width, kept.height), size)?;
                }
                self.slot(*slot)
            }
            FrameCommand::CacheEvict { slot } => self.slot(*slot),
            FrameCommand::Video { rect, regions, stream } if self.decodes(stream) => {
                edges(*rect, size)?;
                video_regions(*rect, regions, size)?;
                video_stream(stream)
            }
            FrameCommand::Rfx { clip, quant, tiles } => Tiles {
                clip,
                quant: *quant,
                tiles,
            }
            .check(size),
            FrameCommand::Tile { .. } | FrameCommand::Clear { .. } | FrameCommand::Video { .. } => {
                Err(FrameError::Unsupported {
                    pipe: self.caps.pipe(),
                    command: command.name(),
                })
            }
        }
    }

    fn slot(self, slot: u16) -> Result<(), FrameError> {
        if (1..=self.caps.cache_slots).contains(&slot) {
            Ok(())
        } else {
            Err(FrameError::Invalid("cache slot"))
        }
    }

    fn decodes(self, stream: &VideoStream) -> bool {
        match stream {
            VideoStream::Avc420(_) => self.caps.avc420,
            VideoStream::Avc444 { .. } => self.caps.avc444,
        }
    }
}

fn video_regions(rect: Rect<Client>, regions: &[VideoRegion], size: Size) -> Result<(), FrameError> {
    const WORST_QUANTISER: u8 = 51;
    if regions.is_empty() || regions.len() > usize::from(u16::MAX) {
        return Err(FrameError::Invalid("count of video regions"));
    }
    for region in regions {
        edges(region.rect, size)?;
        let inside = region.rect.intersect(rect) == region.rect;
        if !inside || region.quantizer > WORST_QUANTISER || region.quality > 100 {
            return Err(FrameError::Invalid("video region"));
        }
    }
    Ok(())
}

fn video_stream(stream: &VideoStream) -> Result<(), FrameError> {
    let complete = match stream {
        VideoStream::Avc420(data) => !data.is_empty(),
        VideoStream::Avc444 { main, auxiliary } => {
            let mut parts = [main, auxiliary].into_iter().flatten().peekable();
            parts.peek().is_some() && parts.all(|data| !data.is_empty())
        }
    };
    if complete {
        Ok(())
    } else {
        Err(FrameError::Invalid("video without a picture"))
    }
}
