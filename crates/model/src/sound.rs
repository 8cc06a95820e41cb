//! Sound as everybody in here speaks of it: pieces of samples, the formats that go to clients, and who may hear and
//! speak. Formats of guests and clients are turned into these at the border.

use std::sync::Arc;

/// A piece of sound, two channels of 16 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcm {
    /// Frames (one sample of each channel) per second, within [`Pcm::RATES`].
    pub rate: u32,
    /// Left, right, left, right and so on; an even number of them.
    pub samples: Arc<[i16]>,
}

impl Pcm {
    /// Clocks that sound can have; all else is refused where it comes in.
    pub const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

    /// Samples of one channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / 2
    }

    /// Whether there is nothing to be heard in it at all.
    pub fn is_silent(&self) -> bool {
        self.samples.iter().all(|sample| *sample == 0)
    }
}

/// How samples are written for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SoundCodec {
    /// 16 bits, little-endian.
    Pcm,
    /// IMA (DVI) ADPCM: 4 bits per sample, in blocks of [`SoundFormat::BLOCK_BYTES`].
    ImaAdpcm,
}

/// A format for clients; always two channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SoundFormat {
    /// How samples are written.
    pub codec: SoundCodec,
    /// Frames per second.
    pub rate: u32,
}

impl SoundFormat {
    /// All that is offered, best first.
    pub const ALL: [Self; 6] = [
        Self::pcm(48_000),
        Self::pcm(44_100),
        // For narrow links to clients without ADPCM, as FreeRDP is built by Debian.
        Self::pcm(22_050),
        Self::ima(48_000),
        Self::ima(44_100),
        Self::ima(22_050),
    ];
    /// Bytes of an ADPCM block: 21 ms at 48 kHz.
    pub const BLOCK_BYTES: u16 = 1024;
    /// The same for rates below 32 kHz: 23 ms at 22.05 kHz.
    pub const SMALL_BLOCK_BYTES: u16 = 512;

    /// Samples as they are.
    pub const fn pcm(rate: u32) -> Self {
        Self {
            codec: SoundCodec::Pcm,
            rate,
        }
    }

    /// A quarter of the bytes.
    pub const fn ima(rate: u32) -> Self {
        Self {
            codec: SoundCodec::ImaAdpcm,
            rate,
        }
    }

    /// The smallest piece in bytes: a frame, or an ADPCM block.
    pub const fn block_bytes(self) -> u16 {
        match self.codec {
            SoundCodec::Pcm => 4,
            SoundCodec::ImaAdpcm if self.rate < 32_000 => Self::SMALL_BLOCK_BYTES,
            SoundCodec::ImaAdpcm => Self::BLOCK_BYTES,
        }
    }

    /// Frames in [`Self::block_bytes`]: an ADPCM block starts with a whole sample of each channel in 4 bytes.
    pub const fn block_frames(self) -> u16 {
        match self.codec {
            SoundCodec::Pcm => 1,
            SoundCodec::ImaAdpcm => (self.block_bytes() / 2 - 4) * 2 + 1,
        }
    }

    /// Bytes per second, rounded up.
    pub const fn bytes_per_second(self) -> u32 {
        (self.rate * self.block_bytes() as u32).div_ceil(self.block_frames() as u32)
    }
}

/// What a user may do with a desktop's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum SoundRight {
    /// Nothing.
    #[default]
    Off,
    /// Hear it.
    Out,
    /// Hear it and speak into the guest's microphone.
    Both,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adpcm_block_has_the_frames_that_the_specification_counts() {
        assert_eq!(SoundFormat::ima(48_000).block_frames(), 1017);
        assert_eq!(SoundFormat::ima(22_050).block_frames(), 505);
        assert_eq!(SoundFormat::ima(48_000).bytes_per_second(), 48_331);
        assert_eq!(SoundFormat::pcm(48_000).bytes_per_second(), 192_000);
    }
}
