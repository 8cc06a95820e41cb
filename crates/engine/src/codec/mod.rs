//! The codec table: one file per codec, one row here. `plan` decides among the rows that a client's pipeline has.

pub(crate) mod bitmap;
pub mod clear;
#[cfg(feature = "h264")]
pub mod h264;
#[cfg(not(feature = "h264"))]
#[path = "h264_absent.rs"]
pub mod h264;
pub mod nsc;
pub mod planar;
pub mod qoi;
pub mod rfx;
pub mod rle;
pub mod uncompressed;
pub mod zgfx;

use crate::Pipeline;

pub(crate) use bitmap::Depth;

/// One codec.
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    /// Short name for logs, metrics and bench rows.
    pub name: &'static str,
    /// Whether the client shows exactly the guest's pixels, at the depth that the client asked for.
    pub is_exact: bool,
    /// Whether a pipeline carries it.
    pub is_carried_by: fn(Pipeline) -> bool,
}

/// All codecs, the preferred ones first.
pub const CODECS: &[Codec] = &[
    Codec {
        name: "uncompressed+zgfx",
        is_exact: true,
        is_carried_by: |pipeline| matches!(pipeline, Pipeline::Egfx { .. }),
    },
    Codec {
        name: "clearcodec",
        is_exact: true,
        is_carried_by: |pipeline| matches!(pipeline, Pipeline::Egfx { .. }),
    },
    Codec {
        name: "h264",
        is_exact: false,
        is_carried_by: |pipeline| cfg!(feature = "h264") && matches!(pipeline, Pipeline::Egfx { .. }),
    },
    Codec {
        name: "rfx",
        is_exact: false,
        is_carried_by: |pipeline| matches!(pipeline, Pipeline::Egfx { .. } | Pipeline::SurfaceCommands),
    },
    Codec {
        name: "qoi",
        is_exact: true,
        is_carried_by: |pipeline| matches!(pipeline, Pipeline::Qoi { .. }),
    },
    Codec {
        name: "nscodec",
        is_exact: false,
        is_carried_by: |pipeline| matches!(pipeline, Pipeline::NsCodec(_)),
    },
    Codec {
        name: "planar",
        is_exact: true,
        is_carried_by: |pipeline| matches!(pipeline, Pipeline::Bitmap { bits_per_pixel: 32 }),
    },
    Codec {
        name: "interleaved-rle",
        is_exact: true,
        is_carried_by: |pipeline| matches!(pipeline, Pipeline::Bitmap { bits_per_pixel } if bits_per_pixel != 32),
    },
];
