//! From an [`EncodedFrame`] to bytes on the wire, by one of three pipes. It encodes no pixels and knows no socket.
//!
//! A [`FrameWriter`] is handed out by the session, moves into an encode pool, and is the only writer of graphics PDUs.

use core::fmt;

use rdpmux_model::{EncodedFrame, FrameId};

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

/// Writes frames to one client. `Send`, self-contained, and the only writer of graphics PDUs of its connection.
#[derive(Debug)]
pub struct FrameWriter {
    kind: FramePipe,
}

impl FrameWriter {
    /// By which means.
    pub fn kind(&self) -> FramePipe {
        self.kind
    }

    /// Whether the client acknowledges the frames of this pipe. If not, pace by what the socket takes.
    pub fn acknowledges(&self) -> bool {
        matches!(self.kind, FramePipe::Egfx { .. })
    }

    /// Appends a frame's bytes, complete with all framing, and returns the number that the client will acknowledge.
    ///
    /// A frame of another size than the one before resets the client's graphics first (EGFX only; in the other pipes
    /// use [`crate::Session::resize_legacy`] before). On an error `out` is as before the call.
    ///
    /// # Errors
    /// [`FrameError`] if the frame does not suit this pipe.
    pub fn write(&mut self, frame: &EncodedFrame, timestamp_ms: u32, out: &mut Vec<u8>) -> Result<FrameId, FrameError> {
        let _ = (frame, timestamp_ms, out);
        Err(FrameError::Invalid("not yet"))
    }
}
