//! One frame for one client: what `engine` encoded and `rdp` frames into PDUs. No codec state of a connection is in it,
//! so payloads are shared between viewers by reference.

use std::sync::Arc;

use crate::{Client, Generation, Point, Rect, Size};

/// An opaque colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color {
    /// Blue.
    pub b: u8,
    /// Green.
    pub g: u8,
    /// Red.
    pub r: u8,
}

/// Quantisation shifts of the ten sub-bands, each 6..=15, in the order of [MS-RDPRFX] 2.2.2.1.5:
/// LL3 LH3 HL3 HH3 LH2 HL2 HH2 LH1 HL1 HH1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RfxQuant(pub [u8; 10]);

/// One RemoteFX tile: 64 × 64 pixels at tile column `x` and row `y` (pixels beyond the frame's edge repeat the last one).
///
/// The payload is RLGR1 over the plain (not reduce-extrapolate) transform, which EGFX progressive (`TILE_SIMPLE`),
/// EGFX CAVIDEO and legacy surface commands all carry unchanged ([MS-RDPEGFX] 2.2.4.2.1.5.3, [MS-RDPRFX] 2.2.2.3.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RfxTile {
    /// Tile column: pixel column divided by 64.
    pub x: u16,
    /// Tile row.
    pub y: u16,
    /// Coefficients of Y, Cb and Cr, each one RLGR1 stream.
    pub planes: [Arc<[u8]>; 3],
}

/// A rectangle's pixels under one codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TilePayload {
    /// B, G, R, X bytes, top row first, no padding: EGFX `RDPGFX_CODECID_UNCOMPRESSED`, lossless.
    Uncompressed(Arc<[u8]>),
    /// RDP 6.0 planar without chroma subsampling or colour loss, with its format header: lossless ([MS-RDPEGDI] 2.2.2.5.1).
    ///
    /// Rows run bottom-up as a bitmap update wants them.
    Planar(Arc<[u8]>),
    /// Interleaved RLE at 24, 16 or 15 bits per pixel, rows bottom-up ([MS-RDPBCGR] 2.2.9.1.1.3.1.2.4).
    InterleavedRle {
        /// 24, 16 or 15.
        bits_per_pixel: u8,
        /// Columns in the payload: the rectangle's width rounded up to a multiple of 4.
        padded_width: u16,
        /// The compressed stream.
        data: Arc<[u8]>,
    },
    /// NSCodec at 32 bits per pixel, bottom row first, as a legacy surface command carries it ([MS-RDPNSC] 2.2.2).
    NsCodec(Arc<[u8]>),
    /// A QOI file, which only IronRDP's clients ask for: lossless.
    Qoi(Arc<[u8]>),
    /// A QOI file in one zstd frame, likewise.
    Qoiz(Arc<[u8]>),
    /// Pixels at the client's depth without compression, rows bottom-up, used when compression would grow them.
    RawBitmap {
        /// 32, 24, 16 or 15.
        bits_per_pixel: u8,
        /// Columns in the payload: the rectangle's width rounded up to a multiple of 4.
        padded_width: u16,
        /// The bytes.
        data: Arc<[u8]>,
    },
}

/// A part of a video picture that the client shows, with its quality ([MS-RDPEGFX] 2.2.4.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoRegion {
    /// Where, on the surface.
    pub rect: Rect<Client>,
    /// H.264 quantiser, 0 to 51.
    pub quantizer: u8,
    /// 0 (worst) to 100.
    pub quality: u8,
}

/// H.264 of one picture as an Annex B byte stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoStream {
    /// 4:2:0.
    Avc420(Arc<[u8]>),
    /// 4:4:4 as two 4:2:0 pictures of one stream (AVC444v2); a missing one keeps what the client has.
    Avc444 {
        /// Luma and a quarter of the chroma.
        main: Option<Arc<[u8]>>,
        /// The rest of the chroma.
        auxiliary: Option<Arc<[u8]>>,
    },
}

/// One step of a frame, in the order in which the client must apply it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameCommand {
    /// One colour over a rectangle ([MS-RDPEGFX] 2.2.2.4). EGFX only.
    SolidFill {
        /// Where.
        rect: Rect<Client>,
        /// With what.
        color: Color,
    },
    /// Moves pixels that the client already shows ([MS-RDPEGFX] 2.2.2.5). EGFX only.
    Copy {
        /// From here.
        source: Rect<Client>,
        /// To this top left pixel.
        destination: Point<Client>,
    },
    /// A rectangle in a per-rectangle codec.
    Tile {
        /// Where.
        rect: Rect<Client>,
        /// What.
        payload: TilePayload,
    },
    /// Lossless pixels that the connection's [`RasterCompressor`] codes on the way out, with its own caches. EGFX only.
    Clear {
        /// Where.
        rect: Rect<Client>,
        /// B, G, R, X bytes, top row first, no padding.
        pixels: Arc<[u8]>,
    },
    /// Keeps what the client shows at a rectangle under a slot of its bitmap cache ([MS-RDPEGFX] 2.2.2.6). EGFX only.
    CacheStore {
        /// What to keep.
        rect: Rect<Client>,
        /// Where to keep it: 1 to the client's number of slots.
        slot: u16,
        /// Names the pixels across sessions: equal keys are equal pixels.
        key: u64,
    },
    /// Shows what is kept in a slot ([MS-RDPEGFX] 2.2.2.7). EGFX only.
    CacheShow {
        /// The slot.
        slot: u16,
        /// The size of what is kept there.
        size: Size,
        /// Top left pixels, at least one.
        at: Vec<Point<Client>>,
    },
    /// Forgets what is kept in a slot ([MS-RDPEGFX] 2.2.2.8). EGFX only.
    CacheEvict {
        /// The slot.
        slot: u16,
    },
    /// One picture of a video stream that covers a rectangle ([MS-RDPEGFX] 2.2.4.4 to 2.2.4.6). EGFX only.
    Video {
        /// The rectangle that the stream's pictures cover; the coded size is rounded up to multiples of 16.
        rect: Rect<Client>,
        /// The parts of it that change, on the surface.
        regions: Vec<VideoRegion>,
        /// The coded picture.
        stream: VideoStream,
    },
    /// RemoteFX tiles under one quantiser. Only pixels inside `clip` may change on the screen.
    Rfx {
        /// Exact rectangles that the tiles are clipped to.
        clip: Vec<Rect<Client>>,
        /// Quantiser of all tiles here.
        quant: RfxQuant,
        /// The tiles, each at most once.
        tiles: Vec<RfxTile>,
    },
}

impl FrameCommand {
    /// What it is, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SolidFill { .. } => "solid fill",
            Self::Copy { .. } => "copy",
            Self::Tile { payload, .. } => match payload {
                TilePayload::Uncompressed(_) => "uncompressed tile",
                TilePayload::Planar(_) => "planar tile",
                TilePayload::InterleavedRle { .. } => "interleaved RLE tile",
                TilePayload::RawBitmap { .. } => "raw bitmap tile",
                TilePayload::NsCodec(_) => "NSCodec tile",
                TilePayload::Qoi(_) => "QOI tile",
                TilePayload::Qoiz(_) => "QOIZ tile",
            },
            Self::Rfx { .. } => "RemoteFX",
            Self::Clear { .. } => "ClearCodec",
            Self::CacheStore { .. } | Self::CacheShow { .. } | Self::CacheEvict { .. } => "bitmap cache",
            Self::Video { stream, .. } => match stream {
                VideoStream::Avc420(_) => "AVC420 video",
                VideoStream::Avc444 { auxiliary: None, .. } => "AVC444 luma",
                VideoStream::Avc444 { .. } => "AVC444 video",
            },
        }
    }
}

/// All that brings one client from what it shows to `generation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// What the client shows afterwards.
    pub generation: Generation,
    /// The size of the surface that the commands were made for.
    pub size: Size,
    /// The steps, in order.
    pub commands: Vec<FrameCommand>,
}

impl EncodedFrame {
    /// Bytes of the pixels that were coded, 4 for each. What a copy, a fill or the cache brings costs nothing.
    pub fn raw_bytes(&self) -> usize {
        let area = |rect: &Rect<Client>| rect.width as usize * rect.height as usize;
        let pixels = |command: &FrameCommand| match command {
            FrameCommand::Tile { rect, .. } | FrameCommand::Clear { rect, .. } => area(rect),
            FrameCommand::Rfx { clip, .. } => clip.iter().map(area).sum(),
            FrameCommand::Video { regions, .. } => regions.iter().map(|region| area(&region.rect)).sum(),
            FrameCommand::SolidFill { .. }
            | FrameCommand::Copy { .. }
            | FrameCommand::CacheStore { .. }
            | FrameCommand::CacheShow { .. }
            | FrameCommand::CacheEvict { .. } => 0,
        };
        self.commands.iter().map(pixels).sum::<usize>() * 4
    }
}

/// What a client has in store to show, by its own count ([MS-RDPEGFX] 2.2.2.13 `queueDepth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueDepth {
    /// It does not say (0).
    Unavailable,
    /// Bytes that it received and did not decode yet.
    Bytes(u32),
    /// It will not acknowledge frames (0xFFFFFFFF) until it acknowledges one again.
    Suspended,
}

/// Lossless compression of rectangles with caches that both ends keep, for example ClearCodec ([MS-RDPEGFX] 2.2.4.1):
/// every rectangle of the connection goes through the same one, in order.
pub trait RasterCompressor: Send {
    /// Appends the compressed form of `size` pixels of B, G, R, X, top row first, without padding.
    fn compress(&mut self, size: Size, pixels: &[u8], out: &mut Vec<u8>);

    /// The number of the next message; numbers go up by one and wrap.
    fn sequence(&self) -> u8;

    /// Refers to nothing before now: the next message has this number and empties the client's caches.
    fn restart(&mut self, sequence: u8);
}

/// Bulk compression of one direction of one connection, for example ZGFX ([MS-RDPEGFX] 2.2.5): it has a history, so
/// every message of the connection goes through the same one, in order.
pub trait BulkCompressor: Send {
    /// Appends the compressed form of one message to `out`, headers included.
    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>);

    /// Refers to nothing before now: whoever decodes the next message needs none before it.
    fn forget(&mut self);
}
