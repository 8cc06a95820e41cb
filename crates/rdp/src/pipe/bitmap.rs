//! Frames as bitmap updates ([MS-RDPBCGR] 2.2.9.1.1.3.1.2), which every client of the last twenty years takes:
//! by fast-path, or in share data PDUs where the client has no fast-path.

use rdpmux_model::{EncodedFrame, FrameCommand, Size, TilePayload};

use super::alpha::{self, WithAlpha};
use super::{Edges, FrameError, FramePipe, edges, words};
use crate::session::caps::ClientCaps;
use crate::wire;

const CODE_BITMAP: u8 = 1;
const PDU_UPDATE: u8 = 2;
const UPDATE_TYPE_BITMAP: u16 = 1;
const FLAG_COMPRESSED: u16 = 0x0001;
const FLAG_NO_HEADER: u16 = 0x0400;
const COMPRESSION_HEADER: usize = 8;
const RECTANGLE_HEADER: usize = 18;
const UPDATE_HEADER: usize = 4;

/// Updates stay below this even if the client puts more together.
const MAX_UPDATE: usize = 64 * 1024;
/// Payload of a slow-path update: an MCS message carries 16 KiB less headers.
const SLOW_UPDATE: usize = 0x3FFF - 18;

/// Bitmap updates of one client.
pub(super) struct Bitmap {
    io: u16,
    bits_per_pixel: u8,
    fast_path: bool,
    fragments: bool,
    no_header: bool,
    skip_alpha: bool,
    limit: usize,
    update: Vec<u8>,
    rectangles: u16,
}

struct Data<'a> {
    bits_per_pixel: u8,
    width: u16,
    compressed: bool,
    bytes: &'a [u8],
}

impl Bitmap {
    pub(super) fn new(caps: &ClientCaps, io: u16) -> Self {
        let fragments = caps.multifragment.filter(|_| caps.fast_path_output);
        Self {
            io,
            bits_per_pixel: caps.bits_per_pixel,
            fast_path: caps.fast_path_output,
            fragments: fragments.is_some(),
            no_header: caps.no_compression_header,
            skip_alpha: caps.skip_alpha,
            limit: match fragments {
                Some(limit) => (limit as usize).clamp(wire::FAST_PATH_SINGLE, MAX_UPDATE),
                None if caps.fast_path_output => wire::FAST_PATH_SINGLE,
                None => SLOW_UPDATE,
            },
            update: Vec::new(),
            rectangles: 0,
        }
    }

    pub(super) fn kind(&self) -> FramePipe {
        FramePipe::Bitmap {
            bits_per_pixel: self.bits_per_pixel,
        }
    }

    pub(super) fn write(&mut self, frame: &EncodedFrame, out: &mut Vec<u8>) -> Result<(), FrameError> {
        self.begin();
        for command in &frame.commands {
            self.command(command, frame.size, out)?;
        }
        self.flush(out);
        Ok(())
    }

    fn command(&mut self, command: &FrameCommand, frame: Size, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let pipe = self.kind();
        let unsupported = FrameError::Unsupported {
            pipe,
            command: command.name(),
        };
        let FrameCommand::Tile { rect, payload } = command else {
            return Err(unsupported);
        };
        let e = edges(*rect, frame)?;
        let data = match payload {
            TilePayload::Uncompressed(_) | TilePayload::NsCodec(_) | TilePayload::Qoi(_) | TilePayload::Qoiz(_) => {
                return Err(unsupported);
            }
            TilePayload::Planar(bytes) if !self.skip_alpha => return self.planar_with_alpha(e, bytes, out),
            TilePayload::Planar(bytes) => Data {
                bits_per_pixel: 32,
                width: e.width(),
                compressed: true,
                bytes,
            },
            TilePayload::InterleavedRle {
                bits_per_pixel,
                padded_width,
                data,
            } => Data {
                bits_per_pixel: *bits_per_pixel,
                width: *padded_width,
                compressed: true,
                bytes: data,
            },
            TilePayload::RawBitmap {
                bits_per_pixel,
                padded_width,
                data,
            } => Data {
                bits_per_pixel: *bits_per_pixel,
                width: *padded_width,
                compressed: false,
                bytes: data,
            },
        };
        self.tile(e, &data, out)
    }

    fn planar_with_alpha(&mut self, edges: Edges, planar: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let with_alpha = alpha::add(planar, usize::from(edges.width()), usize::from(edges.height()))
            .ok_or(FrameError::Invalid("planar tile"))?;
        let (compressed, bytes) = match &with_alpha {
            WithAlpha::Planar(bytes) => (true, bytes),
            WithAlpha::Raw(bytes) => (false, bytes),
        };
        let data = Data {
            bits_per_pixel: 32,
            width: edges.width(),
            compressed,
            bytes,
        };
        self.tile(edges, &data, out)
    }

    fn tile(&mut self, edges: Edges, data: &Data<'_>, out: &mut Vec<u8>) -> Result<(), FrameError> {
        if data.bits_per_pixel != self.bits_per_pixel {
            return Err(FrameError::Invalid("colour depth of a tile"));
        }
        if data.width < edges.width() {
            return Err(FrameError::Invalid("padded width of a tile"));
        }
        let bytes_per_pixel = usize::from(data.bits_per_pixel.div_ceil(8));
        let stride = usize::from(data.width) * bytes_per_pixel;
        if data.compressed {
            return self.rectangle(edges, data, out);
        }
        if data.bytes.len() != stride * usize::from(edges.height()) {
            return Err(FrameError::Invalid("bytes of a raw tile"));
        }
        let room = self.limit - UPDATE_HEADER - RECTANGLE_HEADER;
        if data.bytes.len() <= room {
            return self.rectangle(edges, data, out);
        }
        // Rows run bottom-up: the first band is the lowest.
        let rows = (room / stride).max(1);
        let mut bottom = edges.bottom;
        for band in data.bytes.chunks(rows * stride) {
            let top = bottom - (band.len() / stride) as u16;
            let part = Edges { top, bottom, ..edges };
            self.rectangle(part, &Data { bytes: band, ..*data }, out)?;
            bottom = top;
        }
        Ok(())
    }

    fn rectangle(&mut self, edges: Edges, data: &Data<'_>, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let header = if data.compressed && !self.no_header {
            COMPRESSION_HEADER
        } else {
            0
        };
        let length = data.bytes.len() + header;
        let bytes = RECTANGLE_HEADER + length;
        if length > usize::from(u16::MAX) || UPDATE_HEADER + bytes > self.limit {
            return Err(FrameError::Invalid("tile beyond the client's update limit"));
        }
        if self.update.len() + bytes > self.limit {
            self.flush(out);
            self.begin();
        }
        let flags = match (data.compressed, self.no_header) {
            (false, _) => 0,
            (true, false) => FLAG_COMPRESSED,
            (true, true) => FLAG_COMPRESSED | FLAG_NO_HEADER,
        };
        let (width, height) = (data.width, edges.height());
        words(
            &mut self.update,
            [edges.left, edges.top, edges.right - 1, edges.bottom - 1],
        );
        words(
            &mut self.update,
            [width, height, u16::from(data.bits_per_pixel), flags, length as u16],
        );
        if header != 0 {
            let stride = width.saturating_mul(u16::from(data.bits_per_pixel.div_ceil(8)));
            let unpacked = stride.saturating_mul(height);
            words(&mut self.update, [0, data.bytes.len() as u16, stride, unpacked]);
        }
        self.update.extend_from_slice(data.bytes);
        self.rectangles += 1;
        Ok(())
    }

    fn begin(&mut self) {
        self.update.clear();
        self.rectangles = 0;
        words(&mut self.update, [UPDATE_TYPE_BITMAP, 0]);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.rectangles == 0 {
            return;
        }
        self.update[2..4].copy_from_slice(&self.rectangles.to_le_bytes());
        if self.fast_path {
            wire::fast_path(out, CODE_BITMAP, &self.update, self.fragments);
        } else {
            wire::share_data(out, self.io, PDU_UPDATE, |out| out.extend_from_slice(&self.update));
        }
    }
}
