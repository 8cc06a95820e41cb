//! What a client can decode, what a tile shows, and which codec follows from both.

use rdpmux_model::{Color, RfxQuant};
use rdpmux_pixel::{Level, Rows, classify};

use crate::codec::nsc;

/// The way by which frames reach a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipeline {
    /// The graphics pipeline channel ([MS-RDPEGFX]).
    Egfx {
        /// Whether RemoteFX tiles go as progressive; else as CAVIDEO. The tiles' bytes are the same.
        progressive: bool,
    },
    /// Surface commands with RemoteFX ([MS-RDPRFX]).
    SurfaceCommands,
    /// Surface commands with NSCodec ([MS-RDPNSC]).
    NsCodec(nsc::Quality),
    /// Surface commands with QOI, for IronRDP's clients.
    Qoi {
        /// Each file in a zstd frame.
        zstd: bool,
    },
    /// Bitmap updates.
    Bitmap {
        /// 32, 24, 16 or 15; anything else counts as 24.
        bits_per_pixel: u8,
    },
}

/// What one client can decode and how much it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The way to the client.
    pub pipeline: Pipeline,
    /// Most bytes of raw pixels to be coded per frame; copies and fills cost nothing, and at least one tile always goes.
    /// What does not fit stays pending.
    pub byte_budget: usize,
    /// The same for a refinement.
    pub refinement_budget: usize,
    /// Quantiser of RemoteFX tiles.
    pub quant: RfxQuant,
    /// Whether large lossless areas go through the connection's raster compressor (EGFX only).
    pub clear: bool,
    /// Whether and how regions that behave like video are sent as one (EGFX only, builds with H.264 only).
    pub video: Option<VideoProfile>,
}

/// How videos are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoProfile {
    /// What the client decodes.
    pub form: VideoForm,
    /// Bytes that the link has for one picture; the quality follows. `usize::MAX` where it has room for any.
    pub room: usize,
}

/// What a client decodes ([MS-RDPEGFX] 2.2.4.4, 2.2.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoForm {
    /// 4:2:0.
    Avc420,
    /// 4:4:4; pictures whose colours 4:2:0 shows well go without the second half.
    Avc444,
}

impl Profile {
    /// The customary RemoteFX quantiser: about 38 dB on photographs, 43 dB on text.
    pub const QUANT: RfxQuant = RfxQuant([6, 6, 6, 6, 7, 7, 8, 8, 8, 9]);
    /// The default budget: a 4K screen.
    pub const BYTE_BUDGET: usize = 34 << 20;

    /// The default budget of a refinement, so that it never holds up a change for long.
    pub const REFINEMENT_BUDGET: usize = 2 << 20;

    /// Default budgets and quality.
    pub const fn new(pipeline: Pipeline) -> Self {
        Self {
            pipeline,
            byte_budget: Self::BYTE_BUDGET,
            refinement_budget: Self::REFINEMENT_BUDGET,
            quant: Self::QUANT,
            clear: matches!(pipeline, Pipeline::Egfx { .. }),
            video: None,
        }
    }

    /// Whether the pipeline can make exact what it sent roughly.
    pub(crate) fn refines(&self) -> bool {
        matches!(self.pipeline, Pipeline::Egfx { .. })
    }
}

/// What a tile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// One colour.
    Solid(Color),
    /// Text, controls, flat areas: few pixels are new, a dictionary coder does well and must be exact.
    Text,
    /// A photograph, a gradient, a video: RemoteFX is smaller.
    Picture,
}

/// Looks at a tile's pixels.
///
/// The rule was within 10 % of the bytes of the best choice per tile on text, desktop, mixed and photo screens.
pub(crate) fn content(tile: Rows<'_>, width: usize, height: usize) -> Content {
    if let Some([b, g, r, _]) = classify::single_color(tile, width, height) {
        return Content::Solid(Color { b, g, r });
    }
    let novelty = classify::novelty(Level::best(), tile, width, height);
    if novelty.big > MANY_JUMPS || (novelty.small > SOME_DRIFT && novelty.small * 2 > novelty.big) {
        Content::Picture
    } else {
        Content::Text
    }
}

/// Above this many jumping pixels a dictionary coder finds too little to repeat.
const MANY_JUMPS: u32 = 1200;
/// Up to this many drifting pixels are anti-aliasing, not a gradient.
const SOME_DRIFT: u32 = 40;
