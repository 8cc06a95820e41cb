//! `AUDIO_FORMAT` ([MS-RDPEA] 2.2.2.1.1), which playback and recording share: ours written, the client's compared.

use rdpmux_model::{SoundCodec, SoundFormat};

use crate::wire::Reader;

const TAG_PCM: u16 = 0x0001;
const TAG_IMA_ADPCM: u16 = 0x0011;

/// A format on the wire, without its extra bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AudioFormat {
    tag: u16,
    /// 1 or 2 in ours.
    pub(super) channels: u16,
    /// Frames per second.
    pub(super) rate: u32,
    block: u16,
    bits: u16,
}

impl AudioFormat {
    /// 16-bit samples as they are.
    pub(super) const fn pcm(rate: u32, channels: u16) -> Self {
        Self {
            tag: TAG_PCM,
            channels,
            rate,
            block: channels * 2,
            bits: 16,
        }
    }

    /// The wire's word for one of ours.
    pub(super) const fn of(format: SoundFormat) -> Self {
        match format.codec {
            SoundCodec::Pcm => Self::pcm(format.rate, 2),
            SoundCodec::ImaAdpcm => Self {
                tag: TAG_IMA_ADPCM,
                channels: 2,
                rate: format.rate,
                block: format.block_bytes(),
                bits: 4,
            },
        }
    }

    /// Appends it. Formats with blocks of several frames say how many in their extra bytes.
    pub(super) fn put(self, out: &mut Vec<u8>) {
        let frames = match self.tag {
            TAG_IMA_ADPCM => (self.block / 2 - 4) * 2 + 1,
            _ => 1,
        };
        let bytes_per_second = (u64::from(self.rate) * u64::from(self.block)).div_ceil(u64::from(frames)) as u32;
        out.extend_from_slice(&self.tag.to_le_bytes());
        out.extend_from_slice(&self.channels.to_le_bytes());
        out.extend_from_slice(&self.rate.to_le_bytes());
        out.extend_from_slice(&bytes_per_second.to_le_bytes());
        out.extend_from_slice(&self.block.to_le_bytes());
        out.extend_from_slice(&self.bits.to_le_bytes());
        if self.tag == TAG_PCM {
            out.extend_from_slice(&[0, 0]);
        } else {
            out.extend_from_slice(&[2, 0]);
            out.extend_from_slice(&frames.to_le_bytes());
        }
    }

    /// Reads one; whatever it says is only ever compared with ours.
    pub(super) fn read(r: &mut Reader<'_>) -> Option<Self> {
        let (tag, channels, rate) = (r.u16()?, r.u16()?, r.u32()?);
        let _bytes_per_second = r.u32()?;
        let (block, bits) = (r.u16()?, r.u16()?);
        let extra = r.u16()?;
        r.slice(extra.into())?;
        Some(Self {
            tag,
            channels,
            rate,
            block,
            bits,
        })
    }

    /// Reads `count` of them.
    pub(super) fn read_all(r: &mut Reader<'_>, count: usize) -> Option<Vec<Self>> {
        // Not allocated by the client's word: each takes 18 bytes that must be there.
        (0..count).map(|_| Self::read(r)).collect()
    }
}

impl core::fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "format {:#06x} at {} Hz with {} channels of {} bits",
            self.tag, self.rate, self.channels, self.bits
        )
    }
}
