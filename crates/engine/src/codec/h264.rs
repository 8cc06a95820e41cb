//! One H.264 stream for the region of a desktop that behaves like video: predicted pictures only but for the first one,
//! and a quantiser that follows the bytes that the link has room for. It chooses no regions (`video` does).
//!
//! A synthetic film of 1280 × 720 with grain took 3.6 ms per picture and 1.4 Mbit/s (35.5 dB) at quantiser 26, 7.8 ms and
//! 12.9 Mbit/s (37.0 dB) at 22; as RemoteFX tiles 4.3 ms and 45 Mbit/s, whose PSNR was not measured there. End to end
//! H.264 had 1 dB less than RemoteFX, half of its bytes and more processor time (32 % of a core, not 23 %; single runs).
//! A client that decodes H.264 gets it for every video, however fast its link is: that is for the bytes.
//!
//! 4:4:4 clients get the second picture, with the rest of the chroma, where `chroma` finds it worth its bytes: as large as
//! the main picture again where text is coloured, and twice the time.

mod chroma;

use std::sync::Arc;

use rdpmux_h264::{Encoder, Error, PairEncoder, Picture};
use rdpmux_model::Size;
use rdpmux_pixel::yuv::{self, I420};
use rdpmux_pixel::{Level, Rows};

use self::chroma::Chroma;
use crate::VideoForm;

/// A stream of pictures of one size.
#[derive(Debug)]
pub struct Stream {
    size: Size,
    coder: Coder,
    picture: I420,
    quantizer: u8,
    needs_key: bool,
}

#[derive(Debug)]
enum Coder {
    Avc420(Encoder),
    Avc444 { pair: PairEncoder, chroma: Chroma },
}

/// One coded picture.
#[derive(Debug, Clone)]
pub struct Coded {
    /// Annex B byte stream of a picture of the stream's size, padded to 32 columns and 16 rows.
    pub data: Arc<[u8]>,
    /// The rest of the chroma for 4:4:4, the next picture of the same stream. `None`: the picture is 4:2:0.
    pub auxiliary: Option<Arc<[u8]>>,
    /// The quantiser, 0 to 51.
    pub quantizer: u8,
}

/// The finest quantiser: 37 to 38 dB on synthetic film with grain, 40 to 43 without.
const FINEST: u8 = 22;
/// The coarsest one, by choice and not by measure; what the link cannot carry then comes at a lower frame rate.
const COARSEST: u8 = 38;
/// A key picture may take as many bytes as so many others.
const KEY_PICTURES: f64 = 6.0;

impl Stream {
    /// A stream that starts with a key picture. `None` for sizes that H.264 does not have: empty ones and those beyond
    /// 4096 × 2304.
    pub fn new(size: Size, form: VideoForm) -> Option<Self> {
        let (width, height) = (size.width as usize, size.height as usize);
        if width == 0 || height == 0 || width > 16_384 || height > 16_384 {
            return None;
        }
        Some(Self {
            size,
            coder: Coder::new(size, form)?,
            picture: I420::default(),
            quantizer: 0,
            needs_key: true,
        })
    }

    /// The size of its pictures.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What it is made for.
    pub fn form(&self) -> VideoForm {
        match self.coder {
            Coder::Avc420(_) => VideoForm::Avc420,
            Coder::Avc444 { .. } => VideoForm::Avc444,
        }
    }

    /// The next picture is a key picture, from which a decoder that lost the stream can go on.
    pub fn restart(&mut self) {
        self.needs_key = true;
    }

    /// Codes one picture of B, G, R, X rows. `room` is how many bytes the link has for one picture; the quantiser
    /// follows it. `None` if the encoder fails, which then starts anew with a key picture.
    ///
    /// # Panics
    /// If `source` is smaller than the stream's size.
    pub fn encode(&mut self, source: Rows<'_>, room: usize) -> Option<Coded> {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        if self.quantizer == 0 {
            self.quantizer = first_quantizer(width * height, room);
        }
        let (quantizer, is_key) = (self.quantizer, std::mem::take(&mut self.needs_key));
        let (data, auxiliary) = match self.code(source, quantizer, is_key) {
            Ok(coded) => coded,
            Err(_) => {
                // Noise can overrun OpenH264's buffer; what it makes afterwards may lack its parameter sets. Rougher, too.
                self.coder = Coder::new(self.size, self.form())?;
                self.needs_key = true;
                self.quantizer = (quantizer + 4).min(COARSEST);
                return None;
            }
        };
        let is_usual = match &mut self.coder {
            Coder::Avc420(_) => !is_key,
            Coder::Avc444 { chroma, .. } => chroma.sent(auxiliary.is_some(), quantizer) && !is_key,
        };
        if is_usual {
            let bytes = data.len() + auxiliary.as_ref().map_or(0, Vec::len);
            self.quantizer = next_quantizer(quantizer, bytes, room);
        }
        Some(Coded {
            data: data.into(),
            auxiliary: auxiliary.map(Into::into),
            quantizer,
        })
    }

    /// The main picture and, if it is worth it, the auxiliary one.
    fn code(&mut self, source: Rows<'_>, quantizer: u8, key: bool) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let mut main = Vec::new();
        yuv::main_picture(Level::best(), source, width, height, &mut self.picture);
        let (pair, chroma) = match &mut self.coder {
            Coder::Avc420(encoder) => {
                encoder.encode(picture(&self.picture), quantizer, key, &mut main)?;
                return Ok((main, None));
            }
            Coder::Avc444 { pair, chroma } => (pair, chroma),
        };
        pair.encode_main(picture(&self.picture), quantizer, key, &mut main)?;
        if !chroma.is_wanted(quantizer, || yuv::lost_chroma(Level::best(), source, width, height)) {
            return Ok((main, None));
        }
        let mut auxiliary = Vec::new();
        yuv::auxiliary_picture(Level::best(), source, width, height, &mut self.picture);
        pair.encode_auxiliary(picture(&self.picture), quantizer, &mut auxiliary)?;
        Ok((main, Some(auxiliary)))
    }
}

impl Coder {
    fn new(size: Size, form: VideoForm) -> Option<Self> {
        let (columns, rows) = yuv::padded(size.width as usize, size.height as usize);
        Some(match form {
            VideoForm::Avc420 => Self::Avc420(Encoder::new(columns, rows).ok()?),
            VideoForm::Avc444 => Self::Avc444 {
                pair: PairEncoder::new(columns, rows).ok()?,
                chroma: Chroma::default(),
            },
        })
    }
}

fn picture(picture: &I420) -> Picture<'_> {
    Picture {
        planes: picture.planes(),
        stride: picture.width(),
    }
}

/// A natural key picture takes about 1.2 bits per pixel at the finest quantiser; 6 steps halve the bytes.
fn first_quantizer(pixels: usize, room: usize) -> u8 {
    let bytes = pixels as f64 * 0.15;
    let steps = 6.0 * (bytes / (room.max(1) as f64 * KEY_PICTURES)).log2();
    // A float cast saturates.
    FINEST.saturating_add(steps.ceil().max(0.0) as u8).min(COARSEST)
}

/// Coarser at once when a picture was too large, finer slowly while there is room.
fn next_quantizer(quantizer: u8, bytes: usize, room: usize) -> u8 {
    let next = match bytes.saturating_mul(100) / room.max(1) {
        0..70 => quantizer - 1,
        70..=120 => quantizer,
        121..=180 => quantizer + 2,
        _ => quantizer + 4,
    };
    next.clamp(FINEST, COARSEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantizer_follows_the_room_and_stays_in_its_bounds() {
        let quantizer = [usize::MAX, 100_000, 20_000, 5_000, 1, 0].map(|room| first_quantizer(1280 * 720, room));
        assert_eq!(quantizer, [22, 22, 24, 36, 38, 38]);
        assert_eq!(next_quantizer(30, 500, 1000), 29);
        assert_eq!(next_quantizer(30, 1000, 1000), 30);
        assert_eq!(next_quantizer(30, 1500, 1000), 32);
        assert_eq!(next_quantizer(36, usize::MAX, 0), 38);
        assert_eq!(next_quantizer(22, 0, 0), 22);
    }
}
