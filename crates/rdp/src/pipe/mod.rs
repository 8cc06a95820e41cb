//! From an [`EncodedFrame`] to bytes on the wire, by one of three pipes. It encodes no pixels and knows no socket.
//!
//! A [`FrameWriter`] is handed out by the session, moves into an encode pool, and is the only writer of graphics PDUs.

mod alpha;
mod bitmap;
mod egfx;
mod rfx;
mod surfcmd;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::Arc;

use rdpmux_model::{BulkCompressor, Client, EncodedFrame, FrameId, Rect, Size};

use crate::session::caps::ClientCaps;
use crate::wire::DynamicChannel;

/// By which means frames reach the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePipe {
    /// The graphics pipeline ([MS-RDPEGFX]).
    Egfx {
        /// Whether RemoteFX goes as RFX Progressive; else as `CAVIDEO` (thin clients).
        progressive: bool,
        /// Confirmed capability version as on the wire, for example `0x000A_0701` for 10.7.
        version: u32,
    },
    /// RemoteFX image mode in surface commands ([MS-RDPRFX]).
    SurfaceCommands,
    /// Bitmap updates ([MS-RDPBCGR] 2.2.9.1.1.3.1.2).
    Bitmap {
        /// The client's colour depth: 32, 24, 16 or 15.
        bits_per_pixel: u8,
    },
}

impl fmt::Display for FramePipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Egfx { progressive, version } => {
                let codec = if *progressive { "progressive" } else { "cavideo" };
                write!(f, "egfx {}.{} {codec}", version >> 16, (version >> 8) & 0xFF)
            }
            Self::SurfaceCommands => f.write_str("surface commands"),
            Self::Bitmap { bits_per_pixel } => write!(f, "bitmaps {bits_per_pixel} bpp"),
        }
    }
}

/// Why a frame cannot be written. The client is not to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The encoder made a command that this pipe does not have.
    #[error("{pipe} cannot carry {command}")]
    Unsupported {
        /// The pipe.
        pipe: FramePipe,
        /// The command.
        command: &'static str,
    },
    /// A rectangle, tile or payload breaks its own rules, or is out of the frame.
    #[error("invalid frame: {0}")]
    Invalid(&'static str),
}

/// Numbers that all writers of one session draw from, so that none is used twice, and what the session owes the client
/// on the graphics channel.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    frame: AtomicU32,
    surface: AtomicU16,
    cache_reply: AtomicBool,
}

impl Numbers {
    fn next_frame(&self) -> FrameId {
        FrameId(self.frame.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    fn next_surface(&self) -> u16 {
        self.surface.fetch_add(1, Ordering::Relaxed)
    }

    /// The answer to a cache offer goes out before the next frame, through the same compressor.
    pub(crate) fn owe_cache_reply(&self) {
        self.cache_reply.store(true, Ordering::Relaxed);
    }

    fn take_cache_reply(&self) -> bool {
        self.cache_reply.swap(false, Ordering::Relaxed)
    }
}

/// Writes frames to one client. `Send`, self-contained, and the only writer of graphics PDUs of its connection.
pub struct FrameWriter {
    pipe: Pipe,
    numbers: Arc<Numbers>,
}

enum Pipe {
    Egfx(egfx::Egfx),
    SurfaceCommands(surfcmd::SurfaceCommands),
    Bitmap(bitmap::Bitmap),
}

impl FrameWriter {
    pub(crate) fn egfx(
        channel: DynamicChannel,
        version: u32,
        progressive: bool,
        bulk: Box<dyn BulkCompressor>,
        numbers: Arc<Numbers>,
    ) -> Self {
        Self {
            pipe: Pipe::Egfx(egfx::Egfx::new(channel, version, progressive, bulk)),
            numbers,
        }
    }

    pub(crate) fn legacy(caps: &ClientCaps, io: u16, numbers: Arc<Numbers>) -> Self {
        let pipe = match surfcmd::SurfaceCommands::new(caps) {
            Some(pipe) => Pipe::SurfaceCommands(pipe),
            None => Pipe::Bitmap(bitmap::Bitmap::new(caps, io)),
        };
        Self { pipe, numbers }
    }

    /// By which means.
    pub fn kind(&self) -> FramePipe {
        match &self.pipe {
            Pipe::Egfx(pipe) => pipe.kind(),
            Pipe::SurfaceCommands(_) => FramePipe::SurfaceCommands,
            Pipe::Bitmap(pipe) => pipe.kind(),
        }
    }

    /// Whether the client acknowledges the frames of this pipe. If not, pace by what the socket takes.
    pub fn acknowledges(&self) -> bool {
        match &self.pipe {
            Pipe::Egfx(_) => true,
            Pipe::SurfaceCommands(pipe) => pipe.acknowledges(),
            Pipe::Bitmap(_) => false,
        }
    }

    /// Appends a frame's bytes, complete with all framing, and returns the number that the client will acknowledge.
    ///
    /// A frame of another size than the one before resets the client's graphics first (EGFX only; in the other pipes
    /// use [`crate::Session::resize_legacy`] before). On an error `out` is as before the call.
    ///
    /// # Errors
    /// [`FrameError`] if the frame does not suit this pipe.
    pub fn write(&mut self, frame: &EncodedFrame, timestamp_ms: u32, out: &mut Vec<u8>) -> Result<FrameId, FrameError> {
        if !frame.size.is_valid() {
            return Err(FrameError::Invalid("size of the frame"));
        }
        let start = out.len();
        let id = self.numbers.next_frame();
        let written = match &mut self.pipe {
            Pipe::Egfx(pipe) => pipe.write(frame, id, timestamp_ms, &self.numbers, out),
            Pipe::SurfaceCommands(pipe) => pipe.write(frame, id, out),
            Pipe::Bitmap(pipe) => pipe.write(frame, out),
        };
        if written.is_err() {
            out.truncate(start);
        }
        written.map(|()| id)
    }
}

impl fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter")
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

/// A rectangle's edges as 16-bit numbers; it must lie inside of the frame and not be empty.
fn edges(rect: Rect<Client>, frame: Size) -> Result<Edges, FrameError> {
    if rect.is_empty() || rect.right() > frame.width || rect.bottom() > frame.height {
        return Err(FrameError::Invalid("rectangle outside of the frame"));
    }
    Ok(Edges {
        left: rect.x as u16,
        top: rect.y as u16,
        right: rect.right() as u16,
        bottom: rect.bottom() as u16,
    })
}

/// Exclusive at right and bottom. `Size::MAX_EDGE` fits 16 bits.
#[derive(Clone, Copy)]
struct Edges {
    left: u16,
    top: u16,
    right: u16,
    bottom: u16,
}

impl Edges {
    fn width(self) -> u16 {
        self.right - self.left
    }

    fn height(self) -> u16 {
        self.bottom - self.top
    }

    /// `RDPGFX_RECT16`.
    fn write(self, out: &mut Vec<u8>) {
        words(out, [self.left, self.top, self.right, self.bottom]);
    }
}

fn words<const N: usize>(out: &mut Vec<u8>, values: [u16; N]) {
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Checks a payload of B, G, R, X bytes against its rectangle.
fn check_uncompressed(edges: Edges, data: &[u8]) -> Result<(), FrameError> {
    if data.len() == usize::from(edges.width()) * usize::from(edges.height()) * 4 {
        Ok(())
    } else {
        Err(FrameError::Invalid("bytes of an uncompressed tile"))
    }
}
