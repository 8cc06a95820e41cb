//! A voice's format, checked once, and its bytes to and from two channels of 16 bits.

use rdpmux_model::Pcm;

use super::call::RawFormat;

/// Why a voice is not served. The machine runs on and other voices are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoiceRefusal {
    /// No sound has this clock.
    #[error("a clock of {0} Hz; {min} to {max} Hz are taken", min = Pcm::RATES.start(), max = Pcm::RATES.end())]
    Rate(u32),
    /// None or too many.
    #[error("{0} channels; 1 to {MOST_CHANNELS} are taken")]
    Channels(u8),
    /// Not a size of a sample.
    #[error("samples of {bits} bits{}", if *float { " in floating point" } else { "" })]
    Bits {
        /// Bits per sample.
        bits: u8,
        /// Floating point.
        float: bool,
    },
    /// The frame's size is not that of its samples.
    #[error("frames of {declared} bytes where its samples take {needed}")]
    FrameBytes {
        /// By QEMU's word.
        declared: u32,
        /// Channels times bytes per sample.
        needed: u32,
    },
    /// There are so many already.
    #[error("too many voices at once")]
    TooMany,
}

const MOST_CHANNELS: u8 = 8;

/// A valid format of a voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoiceFormat {
    sample: Sample,
    big_endian: bool,
    channels: usize,
    rate: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sample {
    U8,
    S8,
    U16,
    S16,
    U32,
    S32,
    F32,
}

impl VoiceFormat {
    /// Checks what QEMU says.
    ///
    /// # Errors
    /// [`VoiceRefusal`] names what cannot be.
    pub fn new(raw: &RawFormat) -> Result<Self, VoiceRefusal> {
        if !Pcm::RATES.contains(&raw.rate) {
            return Err(VoiceRefusal::Rate(raw.rate));
        }
        if !(1..=MOST_CHANNELS).contains(&raw.channels) {
            return Err(VoiceRefusal::Channels(raw.channels));
        }
        let sample = match (raw.bits, raw.float, raw.signed) {
            (8, false, false) => Sample::U8,
            (8, false, true) => Sample::S8,
            (16, false, false) => Sample::U16,
            (16, false, true) => Sample::S16,
            (32, false, false) => Sample::U32,
            (32, false, true) => Sample::S32,
            (32, true, _) => Sample::F32,
            (bits, float, _) => return Err(VoiceRefusal::Bits { bits, float }),
        };
        let needed = u32::from(raw.channels) * u32::from(raw.bits / 8);
        if raw.frame_bytes != needed {
            return Err(VoiceRefusal::FrameBytes {
                declared: raw.frame_bytes,
                needed,
            });
        }
        Ok(Self {
            sample,
            big_endian: raw.big_endian,
            channels: raw.channels.into(),
            rate: raw.rate,
        })
    }

    /// Frames per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Bytes per frame.
    pub fn frame_bytes(&self) -> usize {
        self.channels * self.sample.bytes()
    }

    /// Appends whole frames of `data`: its first two channels, or its only one twice.
    pub fn decode(&self, data: &[u8], volume: Volume, out: &mut Vec<i16>) {
        let width = self.sample.bytes();
        let right = if self.channels == 1 { 0 } else { width };
        out.reserve(data.len() / self.frame_bytes() * 2);
        for frame in data.chunks_exact(self.frame_bytes()) {
            let left = self.sample.read(&frame[..width], self.big_endian);
            let right = self.sample.read(&frame[right..right + width], self.big_endian);
            out.extend([volume.apply(left, 0), volume.apply(right, 1)]);
        }
    }

    /// Appends `samples`, two channels, in the voice's format: its only channel is their mean, further ones are silent.
    pub fn encode(&self, samples: &[i16], volume: Volume, out: &mut Vec<u8>) {
        for [left, right] in samples.as_chunks::<2>().0 {
            let (left, right) = (volume.apply(*left, 0), volume.apply(*right, 1));
            if self.channels == 1 {
                let mean = (i32::from(left) + i32::from(right)) / 2;
                self.sample.write(mean as i16, self.big_endian, out);
                continue;
            }
            for channel in 0..self.channels {
                let sample = [left, right].get(channel).copied().unwrap_or(0);
                self.sample.write(sample, self.big_endian, out);
            }
        }
    }
}

impl Sample {
    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::S8 => 1,
            Self::U16 | Self::S16 => 2,
            Self::U32 | Self::S32 | Self::F32 => 4,
        }
    }

    /// `bytes` are as many as [`Self::bytes`].
    fn read(self, bytes: &[u8], big_endian: bool) -> i16 {
        let mut word = [0; 4];
        for (at, byte) in word.iter_mut().zip(bytes) {
            *at = *byte;
        }
        if big_endian {
            word[..bytes.len()].reverse();
        }
        let value = u32::from_le_bytes(word);
        match self {
            Self::U8 => (value as u8 ^ 0x80).cast_signed() as i16 * 256,
            Self::S8 => (value as u8).cast_signed() as i16 * 256,
            Self::U16 => (value as u16 ^ 0x8000).cast_signed(),
            Self::S16 => (value as u16).cast_signed(),
            Self::U32 => ((value >> 16) as u16 ^ 0x8000).cast_signed(),
            Self::S32 => ((value >> 16) as u16).cast_signed(),
            // What is beyond the limits, or no number, becomes a limit or silence.
            Self::F32 => (f32::from_bits(value) * 32_767.0) as i16,
        }
    }

    fn write(self, sample: i16, big_endian: bool, out: &mut Vec<u8>) {
        let bits = sample.cast_unsigned();
        let word = match self {
            Self::U8 => u32::from(bits >> 8 ^ 0x80),
            Self::S8 => u32::from(bits >> 8),
            Self::U16 => u32::from(bits ^ 0x8000),
            Self::S16 => u32::from(bits),
            Self::U32 => u32::from(bits ^ 0x8000) << 16,
            Self::S32 => u32::from(bits) << 16,
            Self::F32 => (f32::from(sample) / 32_768.0).to_bits(),
        };
        let start = out.len();
        out.extend_from_slice(&word.to_le_bytes()[..self.bytes()]);
        if big_endian {
            out[start..].reverse();
        }
    }
}

/// The guest's volume of a voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume([u8; 2]);

impl Volume {
    /// As it is.
    pub const FULL: Self = Self([255; 2]);

    /// From QEMU's words; one channel counts for both, without any it is full.
    pub fn new(mute: bool, channels: &[u8]) -> Self {
        let left = channels.first().copied().unwrap_or(255);
        let right = channels.get(1).copied().unwrap_or(left);
        if mute { Self([0; 2]) } else { Self([left, right]) }
    }

    fn apply(self, sample: i16, side: usize) -> i16 {
        match self.0[side] {
            255 => sample,
            volume => (i32::from(sample) * i32::from(volume) / 255) as i16,
        }
    }
}
