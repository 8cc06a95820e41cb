//! IMA ADPCM in the blocks of Microsoft's wave files (format tag 0x11), two channels: the compressed format that every
//! RDP client decodes.
//!
//! Sources: IMA Digital Audio Focus and Technical Working Groups, "Recommended Practices for Enhancing Digital Audio
//! Compatibility in Multimedia Systems" 3.0; Microsoft, "New Multimedia Data Types and Data Techniques", DVI ADPCM.

use rdpmux_model::SoundFormat;

/// Writes blocks: for each channel a sample, the index of its step and a zero, then by turns 8 samples of the left and
/// 8 of the right channel in 4 bytes each, the earlier sample in the lower half of a byte.
#[derive(Debug)]
pub struct ImaEncoder {
    block_frames: usize,
    block_bytes: usize,
    /// Left and right by turns, less than a block.
    waiting: Vec<i16>,
    channels: [Channel; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Channel {
    predicted: i32,
    index: usize,
}

impl ImaEncoder {
    /// Starts with silence before.
    pub fn new(format: SoundFormat) -> Self {
        Self {
            block_frames: usize::from(format.block_frames()),
            block_bytes: usize::from(format.block_bytes()),
            waiting: Vec::new(),
            channels: [Channel::default(); 2],
        }
    }

    /// All blocks that are full now; the rest of `samples` waits for more.
    pub fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        self.waiting.extend_from_slice(samples);
        let length = self.block_frames * 2;
        let blocks = self.waiting.len() / length;
        let mut out = Vec::with_capacity(blocks * self.block_bytes);
        let waiting = core::mem::take(&mut self.waiting);
        let (whole, rest) = waiting.split_at(blocks * length);
        for block in whole.chunks_exact(length) {
            self.block(block, &mut out);
        }
        self.waiting.extend_from_slice(rest);
        out
    }

    /// Fills up what waits with silence; nothing if nothing waits.
    pub fn finish(&mut self) -> Vec<u8> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let missing = self.block_frames * 2 - self.waiting.len();
        self.encode(&vec![0; missing])
    }

    /// `samples` has the first frame and a multiple of 8 further ones.
    fn block(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let (first, rest) = samples.split_at(2);
        for (channel, sample) in self.channels.iter_mut().zip(first) {
            channel.predicted = i32::from(*sample);
            out.extend_from_slice(&sample.to_le_bytes());
            out.extend_from_slice(&[channel.index as u8, 0]);
        }
        for eight in rest.chunks_exact(16) {
            for (side, channel) in self.channels.iter_mut().enumerate() {
                for two in eight.chunks_exact(4) {
                    let low = channel.code(two[side]);
                    let high = channel.code(two[side + 2]);
                    out.push(high << 4 | low);
                }
            }
        }
    }
}

impl Channel {
    /// The 4 bits that come nearest to `sample`, and the decoder's state after them.
    fn code(&mut self, sample: i16) -> u8 {
        let step = STEPS[self.index];
        let mut rest = i32::from(sample) - self.predicted;
        let mut code = 0;
        if rest < 0 {
            code = 8;
            rest = -rest;
        }
        // What the decoder will add: (code + 1/2) * step / 4, summed as it sums.
        let mut change = step >> 3;
        for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            if rest >= part {
                code |= bit;
                rest -= part;
                change += part;
            }
        }
        let change = if code & 8 == 0 { change } else { -change };
        self.predicted = (self.predicted + change).clamp(i32::from(i16::MIN), i32::from(i16::MAX));
        let index = self.index as i32 + INDEX_CHANGES[usize::from(code & 7)];
        self.index = index.clamp(0, STEPS.len() as i32 - 1) as usize;
        code
    }
}

const INDEX_CHANGES: [i32; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];

const STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
    118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
    1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894,
    6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
    32767,
];

/// For the decoder of the tests.
#[cfg(test)]
pub(super) fn tests_steps() -> [i32; 89] {
    STEPS
}
