//! Sound as a program of the SDK brings it: a handler that is started when the first client listens, and waves of PCM that it
//! sends by [`ServerEvent::Rdpsnd`]. What each client gets of it, resampled or compressed, is the server's business.

use std::fmt;

use tokio::sync::mpsc;

use super::events::ServerEvent;

/// Kind of samples: `wFormatTag` of [MS-RDPEA] 2.2.2.1.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaveFormat(pub u16);

impl WaveFormat {
    /// Integers: unsigned with 8 bits, signed and little-endian with 16.
    pub const PCM: Self = Self(0x0001);
    /// Microsoft's ADPCM.
    pub const ADPCM: Self = Self(0x0002);
    /// A-law.
    pub const ALAW: Self = Self(0x0006);
    /// µ-law.
    pub const MULAW: Self = Self(0x0007);
    /// IMA (DVI) ADPCM.
    pub const DVI_ADPCM: Self = Self(0x0011);
    /// MP3.
    pub const MPEGLAYER3: Self = Self(0x0055);
    /// Opus.
    pub const OPUS: Self = Self(0x704F);
    /// AAC, as Microsoft writes it.
    pub const AAC_MS: Self = Self(0xA106);
}

impl fmt::Debug for WaveFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaveFormat({:#06x})", self.0)
    }
}

/// A format of sound: `AUDIO_FORMAT` of [MS-RDPEA] 2.2.2.1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFormat {
    /// Kind of samples. The server takes [`WaveFormat::PCM`].
    pub format: WaveFormat,
    /// Channels: 1 or 2.
    pub n_channels: u16,
    /// Frames (one sample of each channel) per second: 8,000 to 192,000.
    pub n_samples_per_sec: u32,
    /// Bytes per second; what the other fields say counts.
    pub n_avg_bytes_per_sec: u32,
    /// Bytes of a frame; what the other fields say counts.
    pub n_block_align: u16,
    /// Bits of a sample: 8 or 16.
    pub bits_per_sample: u16,
    /// Further data of the format; none for PCM.
    pub data: Option<Vec<u8>>,
}

/// What is played, by [`RdpsndServerHandler::start`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientAudioFormatPdu {
    /// Those of the handler's formats that the server takes, in the handler's order.
    pub formats: Vec<AudioFormat>,
}

/// Plays sound. One handler plays for all clients.
pub trait RdpsndServerHandler: Send {
    /// The formats in which it can play, best first. Those that are not PCM are left out.
    fn get_formats(&self) -> &[AudioFormat];

    /// Somebody listens: returns the place in `client_format.formats` of the format in which waves will come, from now on;
    /// `None`: there will be no sound this time. Send waves from a task or thread of your own.
    fn start(&mut self, client_format: &ClientAudioFormatPdu) -> Option<u16>;

    /// The last listener has left: waves are dropped until the next start.
    fn stop(&mut self);
}

/// A problem of a program's sound.
pub trait RdpsndError: std::error::Error + Send + Sync + 'static {}

impl<T: std::error::Error + Send + Sync + 'static> RdpsndError for T {}

/// What a program plays.
#[derive(Debug)]
pub enum RdpsndServerMessage {
    /// Samples in the format of the last start, of any length, and a time stamp in milliseconds, which is not used: waves
    /// follow each other. Two seconds may be ahead of their time; what comes beyond is dropped.
    Wave(Vec<u8>, u16),
    /// How loud waves are from now on, 65,535 (as at first) for what they say.
    SetVolume {
        /// Of the left channel.
        left: u16,
        /// Of the right channel.
        right: u16,
    },
    /// Nothing more comes for now: what waits is dropped.
    Close,
    /// Something went wrong; it is logged.
    Error(Box<dyn RdpsndError>),
}

/// Makes the handler that plays sound.
pub trait SoundServerFactory: Send {
    /// Called once, before the server runs: where waves go.
    fn set_sender(&mut self, _sender: mpsc::UnboundedSender<ServerEvent>) {}

    /// Called once, when the server starts to run.
    fn build_backend(&self) -> Box<dyn RdpsndServerHandler>;
}
