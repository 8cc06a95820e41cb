//! Gives a coded slice another place in a stream: only its header says which picture it is, what it refers to and what
//! becomes of its references (ITU-T H.264 7.3.3, 8.2.4, 8.2.5). The macroblocks behind it stay as they are, moved by a few
//! bits; with CAVLC they have no alignment.

use crate::bits::{Reader, Writer, escape, unescape};

/// `nal_unit_type`.
pub(crate) const PREDICTED: u8 = 1;
pub(crate) const KEY: u8 = 5;
pub(crate) const SEQUENCE: u8 = 7;
pub(crate) const PICTURE: u8 = 8;

/// OpenH264's `frame_num` has so many bits.
pub(crate) const FRAME_BITS: usize = 15;

/// What becomes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It starts the stream.
    Key,
    /// It refers to the last of its kind, which is the newest short-term reference, and takes its place.
    Main {
        /// Which picture of the stream it is, counted by 2¹⁵.
        number: u16,
    },
    /// The same with the one long-term reference.
    Auxiliary {
        /// Which picture of the stream it is, counted by 2¹⁵.
        number: u16,
        /// There was none before. If the decoder has two main pictures, the older one goes, which is so many pictures
        /// back.
        first: Option<Option<u16>>,
    },
}

/// `nal_unit_type` of a unit with its start code, and the unit behind that.
pub(crate) fn unit(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let start = bytes.iter().position(|&byte| byte != 0)?;
    let unit = bytes.get(start + 1..).filter(|_| bytes[start] == 1 && start >= 2)?;
    Some((unit.first()? & 0x1F, unit))
}

/// Whether a sequence's parameters are those that [`place`] builds on: baseline, frames numbered by 15 bits and shown in
/// the order in which they come, two references.
pub(crate) fn is_known_sequence(unit: &[u8]) -> Option<bool> {
    const BASELINE: u32 = 66;
    let unit = unescape(unit);
    let mut reader = Reader::new(unit.get(1..)?);
    let profile = reader.bits(8)?;
    let (_constraints_and_level, _id) = (reader.bits(16)?, reader.golomb()?);
    let number = reader.golomb()? as usize + 4;
    let (order, references) = (reader.golomb()?, reader.golomb()?);
    Some((profile, number, order, references) == (BASELINE, FRAME_BITS, 2, 2))
}

/// Appends a slice of a picture that refers to one picture, at another place. `None` if the slice is of another form.
pub(crate) fn place(unit: &[u8], place: Place, out: &mut Vec<u8>) -> Option<()> {
    let unit = unescape(unit);
    let (&head, body) = unit.split_first()?;
    let (reference, was_key) = (head >> 5, head & 0x1F == KEY);
    if reference == 0 || (was_key != (place == Place::Key) && !matches!(place, Place::Auxiliary { .. })) {
        return None;
    }
    let (mut reader, mut writer) = (Reader::new(body), Writer::default());
    let kind = if place == Place::Key { KEY } else { PREDICTED };
    writer.bits(u32::from(reference << 5 | kind), 8);
    let (first_block, slice, set) = (reader.golomb()?, reader.golomb()?, reader.golomb()?);
    if first_block != 0 {
        return None;
    }
    writer.golombs(&[first_block, slice, set]);
    let _own_number = reader.bits(FRAME_BITS)?;
    writer.bits(place.number(), FRAME_BITS);
    let id = if was_key { Some(reader.golomb()?) } else { None };
    if place == Place::Key {
        writer.golomb(id?);
    }
    match slice % 5 {
        0 => references(&mut reader, &mut writer, place)?,
        2 => {}
        _ => return None,
    }
    let marking = reader.bits(if was_key { 2 } else { 1 })?;
    if marking != 0 {
        return None;
    }
    mark(&mut writer, place);
    out.extend([0, 0, 0, 1]);
    escape(&writer.finish(&mut reader), out);
    Some(())
}

/// `num_ref_idx_active_override_flag` and `ref_pic_list_modification()` of a predicted slice.
fn references(reader: &mut Reader<'_>, writer: &mut Writer, place: Place) -> Option<()> {
    const LONG_TERM: u32 = 2;
    const END: u32 = 3;
    let count = if reader.flag()? { reader.golomb()? } else { 0 };
    if count != 0 {
        return None;
    }
    writer.bits(0, 1);
    if reader.flag()? {
        while reader.golomb()? != END {
            reader.golomb()?;
        }
    }
    match place {
        Place::Auxiliary { .. } => {
            writer.bits(1, 1);
            writer.golombs(&[LONG_TERM, 0, END]);
        }
        // The newest short-term reference is the first of the list anyway.
        Place::Key | Place::Main { .. } => writer.bits(0, 1),
    }
    Some(())
}

/// `dec_ref_pic_marking()`.
fn mark(writer: &mut Writer, place: Place) {
    const END: u32 = 0;
    const FORGET_SHORT: u32 = 1;
    const LONG_TERM_COUNT: u32 = 4;
    const BECOME_LONG: u32 = 6;
    match place {
        Place::Key => writer.bits(0, 2),
        // The window slides: the oldest short-term reference goes where there are two references.
        Place::Main { .. } => writer.bits(0, 1),
        Place::Auxiliary { first, .. } => {
            writer.bits(1, 1);
            if let Some(back) = first.flatten() {
                writer.golombs(&[FORGET_SHORT, u32::from(back) - 1]);
            }
            if first.is_some() {
                writer.golombs(&[LONG_TERM_COUNT, 1]);
            }
            writer.golombs(&[BECOME_LONG, 0, END]);
        }
    }
}

impl Place {
    fn number(self) -> u32 {
        match self {
            Self::Key => 0,
            Self::Main { number } | Self::Auxiliary { number, .. } => u32::from(number),
        }
    }
}
