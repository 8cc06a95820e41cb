//! Sound for clients: one encoder for each format in use, whatever the guest's clock. No IO, no clock, and no knowledge
//! of who listens.

mod adpcm;
mod resample;

use rdpmux_model::{Pcm, SoundCodec, SoundFormat};

pub use adpcm::ImaEncoder;
pub use resample::Resampler;

/// A piece of sound as it goes to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Whole blocks of the format.
    pub bytes: Vec<u8>,
    /// Frames in them.
    pub frames: u32,
}

/// Turns a guest's sound into one format.
#[derive(Debug)]
pub struct SoundEncoder {
    format: SoundFormat,
    /// For a guest with another clock than the format's.
    resampler: Option<Resampler>,
    ima: Option<ImaEncoder>,
    resampled: Vec<i16>,
}

impl SoundEncoder {
    /// Starts with silence before.
    pub fn new(format: SoundFormat) -> Self {
        Self {
            format,
            resampler: None,
            ima: (format.codec == SoundCodec::ImaAdpcm).then(|| ImaEncoder::new(format)),
            resampled: Vec::new(),
        }
    }

    /// Encodes what came; `None` if it does not fill a block yet.
    pub fn encode(&mut self, pcm: &Pcm) -> Option<Encoded> {
        let Self {
            format,
            resampler,
            ima,
            resampled,
        } = self;
        let samples = if pcm.rate == format.rate {
            *resampler = None;
            &pcm.samples
        } else {
            if resampler.as_ref().is_none_or(|resampler| resampler.from() != pcm.rate) {
                *resampler = Some(Resampler::new(pcm.rate, format.rate));
            }
            resampled.clear();
            if let Some(resampler) = resampler {
                resampler.push(&pcm.samples, resampled);
            }
            resampled.as_slice()
        };
        let bytes = match ima {
            Some(ima) => ima.encode(samples),
            None => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        };
        encoded(*format, bytes)
    }

    /// Ends a piece of sound: what waits for a full block is filled up with silence.
    pub fn finish(&mut self) -> Option<Encoded> {
        self.resampler = None;
        let bytes = self.ima.as_mut().map(ImaEncoder::finish).unwrap_or_default();
        encoded(self.format, bytes)
    }
}

fn encoded(format: SoundFormat, bytes: Vec<u8>) -> Option<Encoded> {
    let blocks = bytes.len() / usize::from(format.block_bytes());
    let frames = (blocks * usize::from(format.block_frames())) as u32;
    (frames > 0).then_some(Encoded { bytes, frames })
}

#[cfg(test)]
mod tests;
