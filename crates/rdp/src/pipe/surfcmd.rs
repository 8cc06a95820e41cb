//! Frames as surface commands ([MS-RDPBCGR] 2.2.9.2) in fast-path updates: RemoteFX messages, tiles of the other codecs
//! that both ends have, and plain bits, between frame markers. For clients without the graphics pipeline.

use rdpmux_model::{EncodedFrame, FrameCommand, FrameId, Size, TilePayload};

use super::rfx::{self, Tiles};
use super::{Edges, FrameError, FramePipe, SurfaceCodec, SurfaceCodecs, check_uncompressed, edges, words};
use crate::session::caps::ClientCaps;
use crate::wire;

const CODE_SURFACE_COMMANDS: u8 = 4;
const SET_SURFACE_BITS: u16 = 1;
const FRAME_MARKER: u16 = 4;
const FRAME_BEGIN: u16 = 0;
const FRAME_END: u16 = 1;
const CODEC_NONE: u8 = 0;

/// Bytes of a Set Surface Bits command before its data.
const SURFACE_BITS_HEADER: usize = 2 + 8 + 12;
/// Updates stay below this even if the client takes more, so that input answers and pointers find gaps.
const MAX_UPDATE: usize = 512 * 1024;
/// The smallest limit under which every tile still fits: one of 64 x 64 pixels at 5 bytes, QOI's worst, and its headers.
const MIN_UPDATE: usize = 21 * 1024;

/// Surface commands of one client.
pub(super) struct SurfaceCommands {
    codec: SurfaceCodec,
    /// The client's numbers of what both ends have.
    remotefx: Option<u8>,
    nscodec: Option<u8>,
    qoi: Option<u8>,
    qoiz: Option<u8>,
    acknowledges: bool,
    limit: usize,
    update: Vec<u8>,
}

impl SurfaceCommands {
    /// `None` if the client takes none of our codecs this way.
    pub(super) fn new(caps: &ClientCaps, ours: SurfaceCodecs) -> Option<Self> {
        let limit = caps.multifragment? as usize;
        if !caps.surface_commands || !caps.fast_path_output || limit < MIN_UPDATE {
            return None;
        }
        let remotefx = caps.remotefx.filter(|_| ours.remotefx);
        let nscodec = caps.nscodec.filter(|_| ours.nscodec);
        let qoi = caps.qoi.filter(|_| ours.qoi);
        let qoiz = caps.qoiz.filter(|_| ours.qoiz);
        // A lossless picture beats RemoteFX on text and is dearer on photos; only IronRDP's clients have the choice.
        let codec = match (qoiz, qoi, remotefx, nscodec) {
            (Some(_), ..) => SurfaceCodec::Qoiz,
            (_, Some(_), ..) => SurfaceCodec::Qoi,
            (_, _, Some(_), _) => SurfaceCodec::RemoteFx,
            (.., Some(nscodec)) => SurfaceCodec::NsCodec {
                dynamic_fidelity: nscodec.dynamic_fidelity,
                subsampling: nscodec.subsampling,
                color_loss: nscodec.color_loss,
            },
            _ => return None,
        };
        Some(Self {
            codec,
            remotefx,
            nscodec: nscodec.map(|nscodec| nscodec.id),
            qoi,
            qoiz,
            acknowledges: caps.frame_acknowledge,
            limit: limit.min(MAX_UPDATE),
            update: Vec::new(),
        })
    }

    pub(super) fn kind(&self) -> FramePipe {
        FramePipe::SurfaceCommands { codec: self.codec }
    }

    pub(super) fn acknowledges(&self) -> bool {
        self.acknowledges
    }

    pub(super) fn write(&mut self, frame: &EncodedFrame, id: FrameId, out: &mut Vec<u8>) -> Result<(), FrameError> {
        self.marker(FRAME_BEGIN, id, out);
        for command in &frame.commands {
            self.command(command, frame.size, id, out)?;
        }
        self.marker(FRAME_END, id, out);
        Ok(())
    }

    fn command(
        &mut self,
        command: &FrameCommand,
        size: Size,
        id: FrameId,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        let unsupported = FrameError::Unsupported {
            pipe: self.kind(),
            command: command.name(),
        };
        match command {
            FrameCommand::Rfx { clip, quant, tiles } => {
                let tiles = Tiles {
                    clip,
                    quant: *quant,
                    tiles,
                };
                let codec = self.remotefx.ok_or(unsupported)?;
                self.remotefx(codec, size, id, tiles, out)
            }
            FrameCommand::Tile { rect, payload } => {
                let e = edges(*rect, size)?;
                let (codec, data) = match payload {
                    TilePayload::Uncompressed(data) => return self.bits(e, data, out),
                    TilePayload::NsCodec(data) => (self.nscodec, data),
                    TilePayload::Qoi(data) => (self.qoi, data),
                    TilePayload::Qoiz(data) => (self.qoiz, data),
                    _ => return Err(unsupported),
                };
                self.coded(e, codec.ok_or(unsupported)?, data, out)
            }
            _ => Err(unsupported),
        }
    }

    /// A tile as one command: its codec does not let it be cut.
    fn coded(&mut self, edges: Edges, codec: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        if data.is_empty() || SURFACE_BITS_HEADER + data.len() > self.limit {
            return Err(FrameError::Invalid(
                "tile that is empty or beyond the client's update limit",
            ));
        }
        self.surface_bits(edges, codec, |out| {
            out.extend_from_slice(data);
            Ok(())
        })?;
        wire::fast_path(out, CODE_SURFACE_COMMANDS, &self.update, true);
        Ok(())
    }

    fn marker(&mut self, action: u16, id: FrameId, out: &mut Vec<u8>) {
        self.update.clear();
        words(&mut self.update, [FRAME_MARKER, action]);
        self.update.extend_from_slice(&id.0.to_le_bytes());
        wire::fast_path(out, CODE_SURFACE_COMMANDS, &self.update, true);
    }

    /// As many messages as the client's limit asks for. The clip goes with each of them.
    fn remotefx(
        &mut self,
        codec: u8,
        size: Size,
        id: FrameId,
        all: Tiles<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        let fixed = SURFACE_BITS_HEADER + rfx::MESSAGE_OVERHEAD;
        let whole = edges(size.rect(), size)?;
        let mut rest = all.tiles;
        while !rest.is_empty() {
            // Only the rectangles that the chunk touches, else a long clip alone would exceed the limit.
            let (count, clip) = self.fitting(fixed, all, rest)?;
            let (tiles, after) = rest.split_at(count);
            self.surface_bits(whole, codec, |out| {
                rfx::message(
                    out,
                    size,
                    id.0,
                    Tiles {
                        clip: &clip,
                        quant: all.quant,
                        tiles,
                    },
                )
            })?;
            wire::fast_path(out, CODE_SURFACE_COMMANDS, &self.update, true);
            rest = after;
        }
        Ok(())
    }

    /// How many of `tiles` fit one update, with the part of the clip that they need.
    fn fitting(
        &self,
        fixed: usize,
        all: Tiles<'_>,
        tiles: &[rdpmux_model::RfxTile],
    ) -> Result<(usize, Vec<rdpmux_model::Rect<rdpmux_model::Client>>), FrameError> {
        if fixed + all.clip.len() * 8 + tiles.iter().map(rfx::tile_bytes).sum::<usize>() <= self.limit {
            return Ok((tiles.len(), all.clip.to_vec()));
        }
        let (mut clip, mut bytes) = (Vec::new(), fixed);
        for (count, tile) in tiles.iter().enumerate() {
            let edge = rdpmux_model::TILE;
            let area = rdpmux_model::Rect::new(u32::from(tile.x) * edge, u32::from(tile.y) * edge, edge, edge);
            let parts = all.clip.iter().map(|c| c.intersect(area)).filter(|c| !c.is_empty());
            let before = clip.len();
            clip.extend(parts);
            bytes += rfx::tile_bytes(tile) + (clip.len() - before) * 8;
            if bytes > self.limit {
                clip.truncate(before);
                if count == 0 {
                    return Err(FrameError::Invalid("RemoteFX tile beyond the client's update limit"));
                }
                return Ok((count, clip));
            }
        }
        Ok((tiles.len(), clip))
    }

    /// Plain bits, bottom row first, in bands that fit the limit.
    fn bits(&mut self, edges: Edges, data: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        check_uncompressed(edges, data)?;
        let stride = usize::from(edges.width()) * 4;
        let rows = ((self.limit - SURFACE_BITS_HEADER) / stride).max(1);
        for (i, band) in data.chunks(rows * stride).enumerate() {
            let top = edges.top + (i * rows) as u16;
            let part = Edges {
                top,
                bottom: top + (band.len() / stride) as u16,
                ..edges
            };
            self.surface_bits(part, CODEC_NONE, |out| {
                band.chunks_exact(stride)
                    .rev()
                    .for_each(|row| out.extend_from_slice(row));
                Ok(())
            })?;
            wire::fast_path(out, CODE_SURFACE_COMMANDS, &self.update, true);
        }
        Ok(())
    }

    fn surface_bits(
        &mut self,
        edges: Edges,
        codec: u8,
        data: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        let update = &mut self.update;
        update.clear();
        words(update, [SET_SURFACE_BITS]);
        edges.write(update);
        update.extend_from_slice(&[32, 0, 0, codec]);
        words(update, [edges.width(), edges.height()]);
        update.extend_from_slice(&[0; 4]);
        data(update)?;
        let length = (update.len() - SURFACE_BITS_HEADER) as u32;
        update[SURFACE_BITS_HEADER - 4..SURFACE_BITS_HEADER].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}
