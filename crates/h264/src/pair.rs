//! Two encoders whose pictures become one stream, as AVC444 wants it ([MS-RDPEGFX] 3.3.8.3.2): OpenH264 cannot be told
//! which picture to refer to, so the main and the auxiliary pictures have an encoder each, and the headers of their
//! slices are rewritten. The last main picture is the stream's short-term reference and the last auxiliary one its only
//! long-term reference; so any number of main pictures may come between two auxiliary ones.

use crate::slice::{self, FRAME_BITS, Place};
use crate::{Encoder, Error, Kind, Picture};

/// One H.264 stream of two kinds of pictures, each of which is predicted from the last one of its own kind.
#[derive(Debug)]
pub struct PairEncoder {
    main: Encoder,
    /// Made when it is needed first.
    auxiliary: Option<Encoder>,
    stream: Stream,
}

/// What was written so far.
#[derive(Debug, Default)]
struct Stream {
    /// The parameter sets of the last key picture, by which both kinds are decoded.
    sets: Vec<u8>,
    /// The number of the next picture: each is a reference, so each counts.
    next: u16,
    /// The main picture before the last one, if the decoder has it: as long as there is no auxiliary picture.
    older: Option<u16>,
    last: Option<u16>,
    has_auxiliary: bool,
}

impl PairEncoder {
    /// A new stream of pictures of `width` × `height` pixels. Its first picture will be a main picture, and a key one.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn new(width: usize, height: usize) -> Result<Self, Error> {
        Ok(Self {
            main: Encoder::with_references(width, height, REFERENCES)?,
            auxiliary: None,
            stream: Stream::default(),
        })
    }

    /// Codes a main picture, see [`Encoder::encode`]. After a key picture the next auxiliary one refers to nothing.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; and [`Error::Form`] if OpenH264 makes streams of another kind than known. Then the whole
    /// stream has to be made anew.
    pub fn encode_main(
        &mut self,
        picture: Picture<'_>,
        quantizer: u8,
        key: bool,
        out: &mut Vec<u8>,
    ) -> Result<Kind, Error> {
        let Self { main, stream, .. } = self;
        let is_key = key || stream.last.is_none();
        let (start, mut form) = (out.len(), Some(()));
        let kind = main.encode_units(picture, quantizer, is_key, |kind, unit| {
            form = form.and_then(|()| stream.main_unit(kind, unit, out));
        })?;
        if form.is_none() || (is_key && kind != Kind::Key) {
            out.truncate(start);
            return Err(Error::Form);
        }
        stream.main_written(kind);
        Ok(kind)
    }

    /// Codes an auxiliary picture, likewise. It belongs to the last main picture.
    ///
    /// # Errors
    /// As [`Self::encode_main`]; also [`Error::Form`] without a main picture before.
    pub fn encode_auxiliary(&mut self, picture: Picture<'_>, quantizer: u8, out: &mut Vec<u8>) -> Result<Kind, Error> {
        let (width, height) = (self.main.width(), self.main.height());
        let encoder = match &mut self.auxiliary {
            Some(encoder) => encoder,
            none => none.insert(Encoder::with_references(width, height, REFERENCES)?),
        };
        let stream = &mut self.stream;
        let is_first = !stream.has_auxiliary;
        let (start, mut form, mut sets) = (out.len(), stream.last.map(|_| ()), Vec::new());
        let kind = encoder.encode_units(picture, quantizer, is_first, |_, unit| {
            form = form.and_then(|()| stream.auxiliary_unit(unit, &mut sets, out));
        })?;
        let is_known = sets.is_empty() || sets == stream.sets;
        if form.is_none() || !is_known || (is_first && kind != Kind::Key) {
            out.truncate(start);
            return Err(Error::Form);
        }
        stream.auxiliary_written();
        Ok(kind)
    }
}

impl Stream {
    fn main_unit(&mut self, kind: Kind, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (unit_type, unit) = slice::unit(bytes)?;
        match unit_type {
            slice::SEQUENCE | slice::PICTURE => {
                if unit_type == slice::SEQUENCE {
                    self.sets.clear();
                    slice::is_known_sequence(unit).filter(|known| *known)?;
                }
                self.sets.extend_from_slice(bytes);
                out.extend_from_slice(bytes);
                Some(())
            }
            slice::KEY | slice::PREDICTED => {
                let place = match kind {
                    Kind::Key => Place::Key,
                    Kind::Predicted => Place::Main { number: self.next },
                };
                slice::place(unit, place, out)
            }
            _ => Some(()),
        }
    }

    fn main_written(&mut self, kind: Kind) {
        if kind == Kind::Key {
            *self = Self {
                sets: std::mem::take(&mut self.sets),
                ..Self::default()
            };
        }
        self.older = self.last.filter(|_| !self.has_auxiliary);
        self.last = Some(self.next);
        self.next = after(self.next);
    }

    fn auxiliary_unit(&self, bytes: &[u8], sets: &mut Vec<u8>, out: &mut Vec<u8>) -> Option<()> {
        let (unit_type, unit) = slice::unit(bytes)?;
        match unit_type {
            slice::SEQUENCE | slice::PICTURE => sets.extend_from_slice(bytes),
            slice::KEY | slice::PREDICTED => {
                let back = |number: u16| self.next.wrapping_sub(number) & NUMBERS;
                let place = Place::Auxiliary {
                    number: self.next,
                    first: (!self.has_auxiliary).then(|| self.older.map(back)),
                };
                slice::place(unit, place, out)?;
            }
            _ => {}
        }
        Some(())
    }

    fn auxiliary_written(&mut self) {
        self.has_auxiliary = true;
        self.older = None;
        self.next = after(self.next);
    }
}

fn after(number: u16) -> u16 {
    (number + 1) & NUMBERS
}

/// The last main picture and the last auxiliary one.
const REFERENCES: u8 = 2;
/// The largest number of a picture, all bits set.
const NUMBERS: u16 = (1 << FRAME_BITS) - 1;
