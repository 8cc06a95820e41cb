//! Pixel formats of viewers (RFB 7.4): parsed once into what can be true, then used to translate the surface's pixels.
//! Colour maps are refused; every viewer of today knows true colour.

/// How a viewer wants its pixels: true colour of 8, 16 or 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelFormat {
    /// Bytes per pixel: 1, 2 or 4.
    bytes: u8,
    depth: u8,
    is_big_endian: bool,
    /// Red, green, blue.
    ///
    /// INVARIANT: `max << shift` fits the pixel's bits.
    channels: [Channel; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Channel {
    max: u16,
    shift: u8,
}

/// A format that cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Only 8, 16 and 32 are known.
    #[error("pixels of {0} bits are not known")]
    Bits(u8),
    /// A colour map.
    #[error("colour maps are not served, only true colour")]
    ColourMap,
    /// A colour outside of the pixel.
    #[error("a colour has its bits outside of the pixel")]
    Channel,
}

impl PixelFormat {
    /// Bytes of the structure on the wire.
    pub const LENGTH: usize = 16;
    /// The surface's own: B, G, R, X.
    pub const BGRX: Self = Self {
        bytes: 4,
        depth: 24,
        is_big_endian: false,
        channels: [channel(16), channel(8), channel(0)],
    };

    /// Takes the structure of the wire.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn parse(wire: &[u8; Self::LENGTH]) -> Result<Self, FormatError> {
        let [bits, depth, is_big_endian, is_true_colour, ..] = *wire;
        if !matches!(bits, 8 | 16 | 32) {
            return Err(FormatError::Bits(bits));
        }
        if is_true_colour == 0 {
            return Err(FormatError::ColourMap);
        }
        let limit = (1u64 << bits) - 1;
        let mut channels = [Channel { max: 0, shift: 0 }; 3];
        for (index, channel) in channels.iter_mut().enumerate() {
            let max = u16::from_be_bytes([wire[4 + 2 * index], wire[5 + 2 * index]]);
            let shift = wire[10 + index];
            if shift > 31 || u64::from(max) << shift > limit {
                return Err(FormatError::Channel);
            }
            *channel = Channel { max, shift };
        }
        Ok(Self {
            bytes: bits / 8,
            depth,
            is_big_endian: is_big_endian != 0,
            channels,
        })
    }

    /// Appends the structure of the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.bytes * 8, self.depth, u8::from(self.is_big_endian), 1]);
        for channel in self.channels {
            out.extend(channel.max.to_be_bytes());
        }
        out.extend(self.channels.map(|channel| channel.shift));
        out.extend([0; 3]);
    }
}

const fn channel(shift: u8) -> Channel {
    Channel { max: 255, shift }
}

/// Translates pixels of the surface to one format. Made for each update: three tables.
pub(crate) struct Translator {
    format: PixelFormat,
    /// Bits of red, green and blue by their 8-bit value.
    tables: [[u32; 256]; 3],
    /// Which bytes of a pixel's four a compressed pixel has (RFB 7.7.5 CPIXEL), in the order of the wire.
    compressed: core::ops::Range<usize>,
}

impl Translator {
    pub(crate) fn new(format: PixelFormat) -> Self {
        let table = |channel: Channel| {
            core::array::from_fn(|value| {
                let scaled = (value as u32 * u32::from(channel.max) + 127) / 255;
                scaled << channel.shift
            })
        };
        let all = format
            .channels
            .iter()
            .fold(0, |all, channel| all | u32::from(channel.max) << channel.shift);
        let is_small = format.bytes == 4 && format.depth <= 24;
        let is_low = is_small && all >> 24 == 0;
        let is_high = is_small && all & 0xFF == 0;
        let compressed = match (is_low, is_high, format.is_big_endian) {
            (true, _, false) | (false, true, true) => 0..3,
            (true, _, true) | (false, true, false) => 1..4,
            _ => 0..usize::from(format.bytes),
        };
        Self {
            format,
            tables: format.channels.map(table),
            compressed,
        }
    }

    /// The bytes of a pixel 0x00RRGGBB, in the order of the wire; the format's first few count.
    fn bytes(&self, pixel: u32) -> [u8; 4] {
        let [blue, green, red, _] = pixel.to_le_bytes();
        let [reds, greens, blues] = &self.tables;
        let value = reds[usize::from(red)] | greens[usize::from(green)] | blues[usize::from(blue)];
        match (self.format.is_big_endian, self.format.bytes) {
            (false, _) => value.to_le_bytes(),
            (true, bytes) => (value << (32 - 8 * u32::from(bytes))).to_be_bytes(),
        }
    }

    /// Appends a pixel.
    pub(crate) fn put(&self, pixel: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes(pixel)[..usize::from(self.format.bytes)]);
    }

    /// Appends a compressed pixel.
    pub(crate) fn put_compressed(&self, pixel: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes(pixel)[self.compressed.clone()]);
    }

    /// Bytes of a compressed pixel.
    pub(crate) fn compressed_length(&self) -> usize {
        self.compressed.len()
    }

    /// Appends rows of B, G, R, X.
    pub(crate) fn put_all(&self, bgrx: &[u8], out: &mut Vec<u8>) {
        if self.format == PixelFormat::BGRX {
            out.extend_from_slice(bgrx);
            return;
        }
        out.reserve(bgrx.len() / 4 * usize::from(self.format.bytes));
        for pixel in bgrx.as_chunks::<4>().0 {
            self.put(u32::from_le_bytes(*pixel), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(bits: u8, depth: u8, big: u8, max: [u16; 3], shift: [u8; 3]) -> [u8; 16] {
        let mut out = [0; 16];
        out[..4].copy_from_slice(&[bits, depth, big, 1]);
        for (index, max) in max.iter().enumerate() {
            out[4 + 2 * index..6 + 2 * index].copy_from_slice(&max.to_be_bytes());
        }
        out[10..13].copy_from_slice(&shift);
        out
    }

    fn pixel(format: &[u8; 16], pixel: u32) -> (Vec<u8>, Vec<u8>) {
        let translator = Translator::new(PixelFormat::parse(format).expect("a format"));
        let (mut whole, mut small) = (Vec::new(), Vec::new());
        translator.put(pixel, &mut whole);
        translator.put_compressed(pixel, &mut small);
        assert_eq!(small.len(), translator.compressed_length());
        (whole, small)
    }

    #[test]
    fn pixels_have_the_bits_and_the_order_that_the_viewer_wants() {
        let all = [255; 3];
        for (format, whole, small) in [
            (wire(32, 24, 0, all, [16, 8, 0]), &[3, 2, 1, 0][..], &[3, 2, 1][..]),
            (wire(32, 24, 1, all, [16, 8, 0]), &[0, 1, 2, 3], &[1, 2, 3]),
            (wire(32, 24, 0, all, [24, 16, 8]), &[0, 3, 2, 1], &[3, 2, 1]),
            (wire(32, 24, 1, all, [24, 16, 8]), &[1, 2, 3, 0], &[1, 2, 3]),
            (wire(32, 32, 0, all, [0, 8, 16]), &[1, 2, 3, 0], &[1, 2, 3, 0]),
        ] {
            assert_eq!(
                pixel(&format, 0x0001_0203),
                (whole.to_vec(), small.to_vec()),
                "{format:?}"
            );
        }
        let rgb565 = wire(16, 16, 0, [31, 63, 31], [11, 5, 0]);
        assert_eq!(pixel(&rgb565, 0x00FF_0000).0, [0x00, 0xF8]);
        let rgb565 = wire(16, 16, 1, [31, 63, 31], [11, 5, 0]);
        assert_eq!(pixel(&rgb565, 0x0000_FF00).0, [0x07, 0xE0]);
        let bgr233 = wire(8, 8, 0, [7, 7, 3], [0, 3, 6]);
        assert_eq!(pixel(&bgr233, 0x00FF_00FF).0, [0b1100_0111]);
    }

    #[test]
    fn what_cannot_be_a_format_is_refused() {
        let all = [255; 3];
        let parse = |wire: [u8; 16]| PixelFormat::parse(&wire);
        assert_eq!(parse(wire(24, 24, 0, all, [16, 8, 0])), Err(FormatError::Bits(24)));
        assert_eq!(parse(wire(32, 24, 0, all, [25, 8, 0])), Err(FormatError::Channel));
        assert_eq!(parse(wire(32, 24, 0, all, [255, 8, 0])), Err(FormatError::Channel));
        assert_eq!(parse(wire(8, 8, 0, [7, 7, 7], [0, 3, 6])), Err(FormatError::Channel));
        let mut map = wire(8, 8, 0, [7, 7, 3], [0, 3, 6]);
        map[3] = 0;
        assert_eq!(parse(map), Err(FormatError::ColourMap));
        let mut out = Vec::new();
        PixelFormat::BGRX.encode(&mut out);
        assert_eq!(out, wire(32, 24, 0, all, [16, 8, 0]));
        assert_eq!(parse(out.try_into().expect("16 bytes")), Ok(PixelFormat::BGRX));
    }
}
