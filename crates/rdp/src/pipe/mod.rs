//! From an [`EncodedFrame`] to bytes on the wire, by one of three pipes. It encodes no pixels and knows no socket.
//!
//! A [`FrameWriter`] is handed out by the session, moves into an encode pool, and is the only writer of graphics PDUs.

mod alpha;
mod bitmap;
mod egfx;
mod monitor;
mod numbers;
mod rfx;
mod surfcmd;

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rdpmux_model::{BulkCompressor, Client, EncodedFrame, FrameCommand, FrameId, RasterCompressor, Rect, Size};

use crate::session::caps::ClientCaps;
use crate::wire::{self, DynamicChannel};
pub(crate) use egfx::Egfx;
pub use monitor::Monitor;
pub use numbers::FrameNumbers;

/// By which means frames reach the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePipe {
    /// The graphics pipeline ([MS-RDPEGFX]).
    Egfx {
        /// Whether RemoteFX goes as RFX Progressive; else as `CAVIDEO` (thin clients).
        progressive: bool,
        /// Confirmed capability version as on the wire, for example `0x000A_0701` for 10.7.
        version: u32,
        /// Whether both ends have H.264 with 4:2:0.
        avc420: bool,
        /// Whether both ends have H.264 with 4:4:4.
        avc444: bool,
        /// Slots of the client's bitmap cache, from 1 on.
        cache_slots: u16,
        /// What the bitmaps in the cache may add up to, at 4 bytes per pixel.
        cache_bytes: u32,
    },
    /// Surface commands ([MS-RDPBCGR] 2.2.9.2); uncompressed tiles go in all of them.
    SurfaceCommands {
        /// The best codec that both ends have.
        codec: SurfaceCodec,
    },
    /// Bitmap updates ([MS-RDPBCGR] 2.2.9.1.1.3.1.2).
    Bitmap {
        /// The client's colour depth: 32, 24, 16 or 15.
        bits_per_pixel: u8,
    },
}

impl fmt::Display for FramePipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Egfx {
                progressive,
                version,
                avc420,
                avc444,
                ..
            } => {
                let codec = if *progressive { "progressive" } else { "cavideo" };
                write!(f, "egfx {}.{} {codec}", version >> 16, (version >> 8) & 0xFF)?;
                if *avc444 {
                    f.write_str(" avc444")?;
                }
                if *avc420 {
                    f.write_str(" avc420")?;
                }
                Ok(())
            }
            Self::SurfaceCommands { codec } => {
                let codec = match codec {
                    SurfaceCodec::Qoiz => "qoiz",
                    SurfaceCodec::Qoi => "qoi",
                    SurfaceCodec::RemoteFx => "remotefx",
                    SurfaceCodec::NsCodec { .. } => "nscodec",
                };
                write!(f, "surface commands {codec}")
            }
            Self::Bitmap { bits_per_pixel } => write!(f, "bitmaps {bits_per_pixel} bpp"),
        }
    }
}

/// What goes in surface commands, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurfaceCodec {
    /// QOI in a zstd frame: IronRDP's clients, lossless.
    Qoiz,
    /// QOI: IronRDP's clients, lossless.
    Qoi,
    /// RemoteFX image mode ([MS-RDPRFX]).
    RemoteFx,
    /// NSCodec ([MS-RDPNSC]).
    NsCodec {
        /// Whether pictures may have less loss than this, and differ from each other.
        dynamic_fidelity: bool,
        /// Whether the colour differences may be (without `dynamic_fidelity`: are) halved in both directions.
        subsampling: bool,
        /// The highest (without `dynamic_fidelity`: the only) colour loss level, 1 to 7.
        color_loss: u8,
    },
}

/// What a server can make for surface commands, and how much of an update it takes in fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SurfaceCodecs {
    /// RemoteFX.
    pub remotefx: bool,
    /// NSCodec.
    pub nscodec: bool,
    /// QOI.
    pub qoi: bool,
    /// QOI in a zstd frame.
    pub qoiz: bool,
    /// Bytes of the largest update that may come in fragments ([MS-RDPBCGR] 2.2.7.2.6). Clients that support RemoteFX, and
    /// some others, repeat the number as their own, which bounds what they are sent in one piece.
    pub max_request: u32,
}

impl SurfaceCodecs {
    /// All codecs, and 8 MB.
    pub const ALL: Self = Self {
        remotefx: true,
        nscodec: true,
        qoi: true,
        qoiz: true,
        max_request: 8 << 20,
    };
}

/// What both ends of a graphics pipeline agreed on; the fields are those of [`FramePipe::Egfx`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GraphicsCaps {
    pub(crate) version: u32,
    pub(crate) progressive: bool,
    pub(crate) avc420: bool,
    pub(crate) avc444: bool,
    pub(crate) cache_slots: u16,
    pub(crate) cache_bytes: u32,
}

impl GraphicsCaps {
    fn pipe(self) -> FramePipe {
        FramePipe::Egfx {
            progressive: self.progressive,
            version: self.version,
            avc420: self.avc420,
            avc444: self.avc444,
            cache_slots: self.cache_slots,
            cache_bytes: self.cache_bytes,
        }
    }
}

/// What compresses the graphics pipeline of one connection.
pub struct Coders {
    /// The pipeline's bulk compression.
    pub bulk: Box<dyn BulkCompressor>,
    /// For [`rdpmux_model::FrameCommand::Clear`], which is unsupported without.
    pub raster: Option<Box<dyn RasterCompressor>>,
}

/// Makes the compressors of one connection.
pub type CodersFactory = Arc<dyn Fn() -> Coders + Send + Sync>;

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

/// Writes frames to one client. `Send`, self-contained, and the only writer of graphics PDUs of its connection.
pub struct FrameWriter {
    pipe: Pipe,
}

enum Pipe {
    Egfx(DynamicChannel, Box<Egfx>),
    SurfaceCommands(surfcmd::SurfaceCommands, FrameNumbers),
    Bitmap(bitmap::Bitmap, FrameNumbers),
}

/// The most monitors that RDP knows ([MS-RDPBCGR] 2.2.1.3.6).
const MOST_MONITORS: usize = 16;

impl FrameWriter {
    pub(crate) fn egfx(channel: DynamicChannel, egfx: Egfx) -> Self {
        Self {
            pipe: Pipe::Egfx(channel, Box::new(egfx)),
        }
    }

    pub(crate) fn legacy(caps: &ClientCaps, ours: SurfaceCodecs, io: u16, numbers: FrameNumbers) -> Self {
        let pipe = match surfcmd::SurfaceCommands::new(caps, ours) {
            Some(pipe) => Pipe::SurfaceCommands(pipe, numbers),
            None => Pipe::Bitmap(bitmap::Bitmap::new(caps, io), numbers),
        };
        Self { pipe }
    }

    /// By which means.
    pub fn kind(&self) -> FramePipe {
        match &self.pipe {
            Pipe::Egfx(_, pipe) => pipe.caps().pipe(),
            Pipe::SurfaceCommands(pipe, _) => pipe.kind(),
            Pipe::Bitmap(pipe, _) => pipe.kind(),
        }
    }

    /// Whether the client acknowledges the frames of this pipe. If not, pace by what the socket takes.
    pub fn acknowledges(&self) -> bool {
        match &self.pipe {
            Pipe::Egfx(..) => true,
            Pipe::SurfaceCommands(pipe, _) => pipe.acknowledges(),
            Pipe::Bitmap(..) => false,
        }
    }

    /// Sets the desktop's monitors, each of which gets a surface: frame `i` of [`Self::write_many`] is for monitor `i`.
    /// It takes effect with the next frame. With one monitor or none, the desktop is as large as its frame.
    ///
    /// # Errors
    /// [`FrameError`] if the pipe has no surfaces, or the monitors cannot be on one desktop.
    pub fn set_layout(&mut self, monitors: Vec<Monitor>) -> Result<(), FrameError> {
        let fits = |m: &Monitor| {
            let (right, bottom) = (m.rect.right(), m.rect.bottom());
            m.size().is_valid() && right <= Size::MAX_EDGE && bottom <= Size::MAX_EDGE
        };
        if monitors.len() > MOST_MONITORS || !monitors.iter().all(fits) {
            return Err(FrameError::Invalid("monitors"));
        }
        self.pipeline("several monitors")?.set_layout(monitors);
        Ok(())
    }

    /// Tells a client with EGFX, with the next frame, that its desktop with one surface has these monitors. They count
    /// as long as they are as large together as its frames. `true` if that is news: the client then forgets its picture,
    /// and the next frame must be a whole one.
    pub fn tell_monitors(&mut self, monitors: &[Monitor]) -> bool {
        match &mut self.pipe {
            Pipe::Egfx(_, egfx) => egfx.tell_monitors(monitors),
            _ => false,
        }
    }

    /// Answers [`crate::SessionEvent::CacheOffer`] before the next frame: the first offered entry is in the first of
    /// these slots from then on, and so on. Entries with slot 0, and those beyond the slots, are not taken
    /// ([MS-RDPEGFX] 2.2.2.17, 3.3.5.17; FreeRDP and IronRDP step over slot 0).
    ///
    /// # Errors
    /// [`FrameError`] if the pipe has no cache, or not these slots.
    pub fn accept_cache(&mut self, slots: Vec<u16>) -> Result<(), FrameError> {
        self.pipeline("bitmap cache")?.accept_cache(slots)
    }

    fn pipeline(&mut self, command: &'static str) -> Result<&mut Egfx, FrameError> {
        let pipe = self.kind();
        match &mut self.pipe {
            Pipe::Egfx(_, egfx) => Ok(egfx),
            _ => Err(FrameError::Unsupported { pipe, command }),
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
        self.write_many(&[(0, frame)], timestamp_ms, out)
    }

    /// As [`Self::write`], for several monitors of [`Self::set_layout`] in one frame: each with its index. The other
    /// pipes than EGFX have one monitor.
    ///
    /// # Errors
    /// [`FrameError`] if a frame does not suit this pipe or its monitor.
    pub fn write_many(
        &mut self,
        frames: &[(usize, &EncodedFrame)],
        timestamp_ms: u32,
        out: &mut Vec<u8>,
    ) -> Result<FrameId, FrameError> {
        tell(frames);
        let start = out.len();
        let written = match (&mut self.pipe, frames) {
            (Pipe::Egfx(channel, pipe), _) => {
                let channel = *channel;
                pipe.write(frames, timestamp_ms, &mut |part| {
                    wire::dynamic_channel(out, channel, part);
                })
            }
            (_, [(0, frame)]) if !frame.size.is_valid() => Err(FrameError::Invalid("size of the frame")),
            (Pipe::SurfaceCommands(pipe, numbers), [(0, frame)]) => {
                let id = numbers.next_frame();
                pipe.write(frame, id, out).map(|()| id)
            }
            (Pipe::Bitmap(pipe, numbers), [(0, frame)]) => pipe.write(frame, out).map(|()| numbers.next_frame()),
            _ => Err(FrameError::Invalid("number of a monitor")),
        };
        if written.is_err() {
            out.truncate(start);
        }
        written
    }
}

/// Writes down which codecs frames use, if anybody reads that; the end-to-end tests do.
fn tell(frames: &[(usize, &EncodedFrame)]) {
    if tracing::enabled!(tracing::Level::TRACE) {
        let commands = frames.iter().flat_map(|(_, frame)| &frame.commands);
        let names: std::collections::BTreeSet<&str> = commands.map(FrameCommand::name).collect();
        tracing::trace!(?names, "frame");
    }
}

/// A frame in its compressed form, for one client or for several that are in step.
#[derive(Debug, Clone)]
pub struct CompressedFrame {
    /// The number that clients will acknowledge.
    pub id: FrameId,
    /// What [`SessionFraming::frame`] takes, in order.
    pub parts: Vec<Bytes>,
}

/// How compressed parts reach one client. A copy of it is all that a client of a shared stream needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFraming(DynamicChannel);

impl SessionFraming {
    /// Appends the parts, complete with all framing. All of a frame's parts must come without others in between.
    pub fn frame(&self, parts: &[Bytes], out: &mut Vec<u8>) {
        for part in parts {
            wire::dynamic_channel(out, self.0, part);
        }
    }
}

/// What is to be sent before the first frame after [`FrameWriter::join`]. Nothing of it is acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Joined {
    /// To all who were in before.
    pub members: Vec<Bytes>,
    /// To the joiner.
    pub joiner: Vec<Bytes>,
}

/// One stream for several clients. Frames that were made before a call here are to be sent before what comes after it.
impl FrameWriter {
    /// How this client gets what [`Self::compress`] makes; `None` in other pipes than EGFX, which cannot share.
    pub fn framing(&self) -> Option<SessionFraming> {
        match &self.pipe {
            Pipe::Egfx(channel, _) => Some(SessionFraming(*channel)),
            _ => None,
        }
    }

    /// As [`Self::write_many`], but without the framing of a client.
    ///
    /// # Errors
    /// [`FrameError`] as there, and in other pipes than EGFX.
    pub fn compress(
        &mut self,
        frames: &[(usize, &EncodedFrame)],
        timestamp_ms: u32,
    ) -> Result<CompressedFrame, FrameError> {
        tell(frames);
        let mut parts = Vec::new();
        let pipe = self.pipeline("compressed frame")?;
        let id = pipe.write(frames, timestamp_ms, &mut keep(&mut parts))?;
        Ok(CompressedFrame { id, parts })
    }

    /// Goes on with another desktop, whose numbers these are, for an encoder that starts anew. Cached bitmaps and videos are
    /// taken back at once: what this returns goes to the client before the next frame. That frame makes the surfaces anew.
    pub fn move_to(&mut self, numbers: FrameNumbers) -> Vec<Bytes> {
        let mut parts = Vec::new();
        match &mut self.pipe {
            Pipe::Egfx(_, egfx) => egfx.move_to(numbers, &mut keep(&mut parts)),
            Pipe::SurfaceCommands(_, known) | Pipe::Bitmap(_, known) => *known = numbers,
        }
        parts
    }

    /// A writer for one client that leaves this stream, or for all that stay: it makes its next frame for what the
    /// client has, and refers to nothing of this writer's history. `None` in other pipes than EGFX.
    pub fn fork(&self) -> Option<Self> {
        match &self.pipe {
            Pipe::Egfx(channel, egfx) => Some(Self {
                pipe: Pipe::Egfx(*channel, Box::new(egfx.fork())),
            }),
            _ => None,
        }
    }

    /// Lets the client of `joiner` take this writer's frames from the next one on. Both must have shown the same
    /// picture; that a bitmap cache or a video is not the joiner's is the encoder's to mind: start videos anew.
    ///
    /// # Errors
    /// The joiner, unchanged, if it cannot: it can do something else, or has other surfaces ([`FrameNumbers`]), perhaps
    /// none yet.
    pub fn join(&mut self, joiner: Self) -> Result<Joined, Self> {
        match (&mut self.pipe, joiner.pipe) {
            (Pipe::Egfx(_, group), Pipe::Egfx(_, joiner)) if group.is_joinable_by(&joiner) => {
                let mut joined = Joined::default();
                group.forget(&mut keep(&mut joined.members));
                joiner.leave_for(group, &mut keep(&mut joined.joiner));
                Ok(joined)
            }
            (_, pipe) => Err(Self { pipe }),
        }
    }
}

/// Keeps compressed parts.
fn keep(parts: &mut Vec<Bytes>) -> impl FnMut(&mut Vec<u8>) {
    |part| parts.push(Bytes::from(core::mem::take(part)))
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
