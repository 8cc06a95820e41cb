//! Frames as graphics pipeline messages ([MS-RDPEGFX] 2.2.2) on a dynamic channel. One surface is the desktop; it is
//! made anew, under a new number, whenever the frame's size changes.

use ironrdp_core::encode_vec;
use ironrdp_egfx::pdu as gfx;
use ironrdp_pdu::gcc;
use rdpmux_model::{BulkCompressor, EncodedFrame, FrameCommand, FrameId, Size, TilePayload};

use super::rfx::{self, Tiles};
use super::{FrameError, FramePipe, Numbers, check_uncompressed, edges, words};
use crate::wire::{self, DynamicChannel};

const WIRE_TO_SURFACE_1: u16 = 0x01;
const WIRE_TO_SURFACE_2: u16 = 0x02;
const SOLID_FILL: u16 = 0x04;
const SURFACE_TO_SURFACE: u16 = 0x05;
const START_FRAME: u16 = 0x0B;
const END_FRAME: u16 = 0x0C;
const CODEC_UNCOMPRESSED: u16 = 0x0;
const CODEC_CAVIDEO: u16 = 0x3;
const CODEC_CAPROGRESSIVE: u16 = 0x9;
const PIXEL_FORMAT_XRGB: u8 = 0x20;

/// A message is compressed and sent once it has grown to this many bytes, so that the client decodes while we go on.
const FLUSH: usize = 256 * 1024;

/// The graphics pipeline of one client.
pub(super) struct Egfx {
    channel: DynamicChannel,
    version: u32,
    progressive: bool,
    bulk: Box<dyn BulkCompressor>,
    surface: Option<Surface>,
    /// Messages of the frame in hand that are not compressed yet, and their compressed form; kept for their memory.
    plain: Vec<u8>,
    packed: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Surface {
    id: u16,
    size: Size,
    /// The progressive context was sent.
    context: bool,
}

impl Egfx {
    pub(super) fn new(channel: DynamicChannel, version: u32, progressive: bool, bulk: Box<dyn BulkCompressor>) -> Self {
        Self {
            channel,
            version,
            progressive,
            bulk,
            surface: None,
            plain: Vec::new(),
            packed: Vec::new(),
        }
    }

    pub(super) fn kind(&self) -> FramePipe {
        FramePipe::Egfx {
            progressive: self.progressive,
            version: self.version,
        }
    }

    pub(super) fn write(
        &mut self,
        frame: &EncodedFrame,
        id: FrameId,
        timestamp_ms: u32,
        numbers: &Numbers,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        // All is checked before a byte is compressed: the client's history must see what the compressor's saw.
        self.check(frame)?;
        self.plain.clear();
        if numbers.take_cache_reply() {
            let slots = gfx::CacheImportReplyPdu {
                cache_slots: Vec::new(),
            };
            self.control(gfx::GfxPdu::CacheImportReply(slots));
        }
        let mut surface = match self.surface {
            Some(surface) if surface.size == frame.size => surface,
            old => self.reset(old, frame.size, numbers),
        };
        message(&mut self.plain, START_FRAME, |out| {
            out.extend_from_slice(&timestamp(timestamp_ms).to_le_bytes());
            out.extend_from_slice(&id.0.to_le_bytes());
            Ok(())
        })?;
        for command in &frame.commands {
            self.command(command, frame.size, id, &mut surface)?;
            if self.plain.len() >= FLUSH {
                self.flush(out);
            }
        }
        message(&mut self.plain, END_FRAME, |out| {
            out.extend_from_slice(&id.0.to_le_bytes());
            Ok(())
        })?;
        self.flush(out);
        self.surface = Some(surface);
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.packed.clear();
        self.bulk.compress(&self.plain, &mut self.packed);
        wire::dynamic_channel(out, self.channel, &self.packed);
        self.plain.clear();
    }

    fn control(&mut self, pdu: gfx::GfxPdu) {
        let bytes = encode_vec(&pdu).expect("control messages have fixed sizes");
        self.plain.extend_from_slice(&bytes);
    }

    /// Resets graphics to one monitor of this size (clients on macOS want at least one) with a surface on it.
    fn reset(&mut self, old: Option<Surface>, size: Size, numbers: &Numbers) -> Surface {
        if let Some(old) = old {
            self.control(gfx::GfxPdu::DeleteSurface(gfx::DeleteSurfacePdu { surface_id: old.id }));
        }
        let id = numbers.next_surface();
        self.control(gfx::GfxPdu::ResetGraphics(gfx::ResetGraphicsPdu {
            width: size.width,
            height: size.height,
            monitors: vec![gcc::Monitor {
                left: 0,
                top: 0,
                right: size.width as i32 - 1,
                bottom: size.height as i32 - 1,
                flags: gcc::MonitorFlags::PRIMARY,
            }],
        }));
        self.control(gfx::GfxPdu::CreateSurface(gfx::CreateSurfacePdu {
            surface_id: id,
            width: size.width as u16,
            height: size.height as u16,
            pixel_format: gfx::PixelFormat::XRgb,
        }));
        self.control(gfx::GfxPdu::MapSurfaceToOutput(gfx::MapSurfaceToOutputPdu {
            surface_id: id,
            output_origin_x: 0,
            output_origin_y: 0,
        }));
        Surface {
            id,
            size,
            context: false,
        }
    }

    fn check(&self, frame: &EncodedFrame) -> Result<(), FrameError> {
        for command in &frame.commands {
            match command {
                FrameCommand::SolidFill { rect, .. } => drop(edges(*rect, frame.size)?),
                FrameCommand::Copy { source, destination } => {
                    edges(*source, frame.size)?;
                    let target = rdpmux_model::Rect::new(destination.x, destination.y, source.width, source.height);
                    edges(target, frame.size)?;
                }
                FrameCommand::Tile { rect, payload } => {
                    let e = edges(*rect, frame.size)?;
                    let TilePayload::Uncompressed(data) = payload else {
                        return Err(FrameError::Unsupported {
                            pipe: self.kind(),
                            command: "bitmap tile",
                        });
                    };
                    check_uncompressed(e, data)?;
                }
                FrameCommand::Rfx { clip, quant, tiles } => Tiles {
                    clip,
                    quant: *quant,
                    tiles,
                }
                .check(frame.size)?,
                _ => {
                    return Err(FrameError::Unsupported {
                        pipe: self.kind(),
                        command: command.name(),
                    });
                }
            }
        }
        Ok(())
    }

    fn command(
        &mut self,
        command: &FrameCommand,
        size: Size,
        frame: FrameId,
        surface: &mut Surface,
    ) -> Result<(), FrameError> {
        let plain = &mut self.plain;
        match command {
            FrameCommand::SolidFill { rect, color } => {
                let e = edges(*rect, size)?;
                message(plain, SOLID_FILL, |out| {
                    words(out, [surface.id]);
                    out.extend_from_slice(&[color.b, color.g, color.r, 0xFF]);
                    words(out, [1]);
                    e.write(out);
                    Ok(())
                })
            }
            FrameCommand::Copy { source, destination } => {
                let e = edges(*source, size)?;
                message(plain, SURFACE_TO_SURFACE, |out| {
                    words(out, [surface.id, surface.id]);
                    e.write(out);
                    words(out, [1, destination.x as u16, destination.y as u16]);
                    Ok(())
                })
            }
            FrameCommand::Tile { rect, payload } => {
                let e = edges(*rect, size)?;
                let TilePayload::Uncompressed(data) = payload else {
                    return Err(FrameError::Invalid("bitmap tile"));
                };
                message(plain, WIRE_TO_SURFACE_1, |out| {
                    words(out, [surface.id, CODEC_UNCOMPRESSED]);
                    out.push(PIXEL_FORMAT_XRGB);
                    e.write(out);
                    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
                    out.extend_from_slice(data);
                    Ok(())
                })
            }
            FrameCommand::Rfx { clip, quant, tiles } => {
                let tiles = Tiles {
                    clip,
                    quant: *quant,
                    tiles,
                };
                if self.progressive {
                    progressive(plain, surface, frame, tiles)
                } else {
                    cavideo(plain, surface, frame, tiles)
                }
            }
            _ => Err(FrameError::Invalid("command")),
        }
    }
}

fn progressive(plain: &mut Vec<u8>, surface: &mut Surface, frame: FrameId, tiles: Tiles<'_>) -> Result<(), FrameError> {
    message(plain, WIRE_TO_SURFACE_2, |out| {
        words(out, [surface.id, CODEC_CAPROGRESSIVE]);
        out.extend_from_slice(&u32::from(surface.id).to_le_bytes());
        out.push(PIXEL_FORMAT_XRGB);
        sized(out, |out| {
            rfx::progressive(out, surface.size, frame.0, !surface.context, tiles)
        })
    })?;
    surface.context = true;
    Ok(())
}

fn cavideo(plain: &mut Vec<u8>, surface: &Surface, frame: FrameId, tiles: Tiles<'_>) -> Result<(), FrameError> {
    message(plain, WIRE_TO_SURFACE_1, |out| {
        words(out, [surface.id, CODEC_CAVIDEO]);
        out.push(PIXEL_FORMAT_XRGB);
        edges(surface.size.rect(), surface.size)?.write(out);
        sized(out, |out| rfx::message(out, surface.size, frame.0, tiles))
    })
}

/// `RDPGFX_HEADER` around a body.
fn message(
    out: &mut Vec<u8>,
    command: u16,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    let start = out.len();
    words(out, [command, 0]);
    out.extend_from_slice(&[0; 4]);
    body(out)?;
    let length = (out.len() - start) as u32;
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// A 32-bit length before a body.
fn sized(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out)?;
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Hours, minutes, seconds and milliseconds in one word ([MS-RDPEGFX] 2.2.2.11).
fn timestamp(ms: u32) -> u32 {
    let seconds = ms / 1000;
    let hours = (seconds / 3600) % 24;
    (hours << 22) | (((seconds / 60) % 60) << 16) | ((seconds % 60) << 10) | (ms % 1000)
}
