//! The part of MessagePack that both protocols use: arrays, integers, truth values, texts and bytes. Nothing nests, so
//! no input makes it recurse, and nothing is reserved before its bytes are there.
//!
//! Not the crate `rmp`: it would save a hundred lines and leave every bound to its caller.

/// Why a message was refused. Always the peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes end inside of a value.
    #[error("the message ends inside of a value")]
    Truncated,
    /// It does not start with an array.
    #[error("the message is no msgpack array but starts with byte 0x{0:02x}")]
    NotAnArray(u8),
    /// The array has fewer values than its type asks for.
    #[error("message type {kind} has {given} values")]
    Count {
        /// Number of the type.
        kind: u32,
        /// Values in the array, the type among them.
        given: u32,
    },
    /// No message has this type.
    #[error("message type {0} is unknown")]
    Kind(u32),
    /// A value is of another kind, or beyond its range.
    #[error("message type {kind}: {field} is not what it may be")]
    Field {
        /// Number of the type; 0 if that is the field.
        kind: u32,
        /// Which value.
        field: &'static str,
    },
    /// Longer than such a message may be.
    #[error("a message of {given} bytes is longer than {limit}")]
    TooLong {
        /// Bytes announced.
        given: u64,
        /// Bytes at most.
        limit: u64,
    },
}

/// Reads values one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    kind: u32,
}

impl<'a> Reader<'a> {
    /// Opens an array whose first value is a type: that, and how many values follow it.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<(Self, u32, u32), MessageError> {
        let mut reader = Self { bytes, kind: 0 };
        let first = reader.byte()?;
        let count = match first {
            0x90..=0x9F => u32::from(first & 0x0F),
            0xDC => u32::from(u16::from_be_bytes(reader.array()?)),
            0xDD => u32::from_be_bytes(reader.array()?),
            _ => return Err(MessageError::NotAnArray(first)),
        };
        if count == 0 {
            return Err(MessageError::Count { kind: 0, given: 0 });
        }
        reader.kind = reader.uint("type")?;
        let kind = reader.kind;
        Ok((reader, kind, count - 1))
    }

    /// Refuses a message with fewer values behind its type. Further ones are stepped over, as daemons always did.
    pub(crate) fn expect(&self, given: u32, wanted: u32) -> Result<(), MessageError> {
        if given >= wanted {
            return Ok(());
        }
        Err(MessageError::Count {
            kind: self.kind,
            given: given.saturating_add(1),
        })
    }

    /// An integer of 0 to 2^32 - 1. Writers that know only signed ones may write those negative: they are not taken.
    pub(crate) fn uint(&mut self, field: &'static str) -> Result<u32, MessageError> {
        u32::try_from(self.int(field)?).map_err(|_| self.wrong(field))
    }

    /// An integer of 0 to 2^63 - 1.
    pub(crate) fn long(&mut self, field: &'static str) -> Result<u64, MessageError> {
        u64::try_from(self.int(field)?).map_err(|_| self.wrong(field))
    }

    /// An integer of -2^31 to 2^31 - 1.
    pub(crate) fn signed(&mut self, field: &'static str) -> Result<i32, MessageError> {
        i32::try_from(self.int(field)?).map_err(|_| self.wrong(field))
    }

    pub(crate) fn truth(&mut self, field: &'static str) -> Result<bool, MessageError> {
        match self.byte()? {
            0xC2 => Ok(false),
            0xC3 => Ok(true),
            _ => Err(self.wrong(field)),
        }
    }

    /// Bytes, or a text's bytes: old writers know no difference.
    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], MessageError> {
        let first = self.byte()?;
        let length = match first {
            0xA0..=0xBF => usize::from(first & 0x1F),
            0xC4 | 0xD9 => usize::from(self.byte()?),
            0xC5 | 0xDA => usize::from(u16::from_be_bytes(self.array()?)),
            0xC6 | 0xDB => u32::from_be_bytes(self.array()?) as usize,
            _ => return Err(self.wrong(field)),
        };
        self.take(length)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, MessageError> {
        let bytes = self.bytes(field)?;
        core::str::from_utf8(bytes).map_err(|_| self.wrong(field))
    }

    /// Whether the next value is nil, which is then taken.
    pub(crate) fn nil(&mut self) -> bool {
        let is_nil = self.bytes.first() == Some(&0xC0);
        if is_nil {
            self.bytes = &self.bytes[1..];
        }
        is_nil
    }

    pub(crate) fn wrong(&self, field: &'static str) -> MessageError {
        MessageError::Field { kind: self.kind, field }
    }

    fn int(&mut self, field: &'static str) -> Result<i64, MessageError> {
        let first = self.byte()?;
        Ok(match first {
            0x00..=0x7F => i64::from(first),
            0xE0..=0xFF => i64::from(first as i8),
            0xCC => i64::from(self.byte()?),
            0xCD => i64::from(u16::from_be_bytes(self.array()?)),
            0xCE => i64::from(u32::from_be_bytes(self.array()?)),
            0xCF => i64::try_from(u64::from_be_bytes(self.array()?)).map_err(|_| self.wrong(field))?,
            0xD0 => i64::from(self.byte()? as i8),
            0xD1 => i64::from(i16::from_be_bytes(self.array()?)),
            0xD2 => i64::from(i32::from_be_bytes(self.array()?)),
            0xD3 => i64::from_be_bytes(self.array()?),
            _ => return Err(self.wrong(field)),
        })
    }

    fn byte(&mut self) -> Result<u8, MessageError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(MessageError::Truncated)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MessageError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(MessageError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }
}

/// Starts an array of `count` values.
pub(crate) fn put_array(out: &mut Vec<u8>, count: usize) {
    match count {
        0..=15 => out.push(0x90 | count as u8),
        16..=0xFFFF => put(out, 0xDC, &(count as u16).to_be_bytes()),
        _ => put(out, 0xDD, &(count as u32).to_be_bytes()),
    }
}

/// An integer that is not negative, in its shortest form.
pub(crate) fn put_uint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7F => out.push(value as u8),
        0x80..=0xFF => put(out, 0xCC, &[value as u8]),
        0x100..=0xFFFF => put(out, 0xCD, &(value as u16).to_be_bytes()),
        0x1_0000..=0xFFFF_FFFF => put(out, 0xCE, &(value as u32).to_be_bytes()),
        _ => put(out, 0xCF, &value.to_be_bytes()),
    }
}

/// An integer of either sign.
pub(crate) fn put_int(out: &mut Vec<u8>, value: i32) {
    match u32::try_from(value) {
        Ok(value) => put_uint(out, value.into()),
        Err(_) => put(out, 0xD2, &value.to_be_bytes()),
    }
}

pub(crate) fn put_truth(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xC3 } else { 0xC2 });
}

pub(crate) fn put_nil(out: &mut Vec<u8>) {
    out.push(0xC0);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..=0xFF => put(out, 0xC4, &[length as u8]),
        length @ 0x100..=0xFFFF => put(out, 0xC5, &(length as u16).to_be_bytes()),
        length => put(out, 0xC6, &(length as u32).to_be_bytes()),
    }
    out.extend_from_slice(bytes);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        length @ 0..=31 => out.push(0xA0 | length as u8),
        length @ 32..=0xFF => put(out, 0xD9, &[length as u8]),
        length @ 0x100..=0xFFFF => put(out, 0xDA, &(length as u16).to_be_bytes()),
        length => put(out, 0xDB, &(length as u32).to_be_bytes()),
    }
    out.extend_from_slice(text.as_bytes());
}

fn put(out: &mut Vec<u8>, first: u8, rest: &[u8]) {
    out.push(first);
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_from_every_width() {
        for value in [0, 127, 128, 255, 256, 65_535, 65_536, u32::MAX] {
            let mut bytes = vec![0x92, 1];
            put_uint(&mut bytes, value.into());
            let (mut reader, kind, rest) = Reader::open(&bytes).expect("an array");
            assert_eq!((kind, rest, reader.uint("value")), (1, 1, Ok(value)));
        }
        for value in [0, -1, i32::MIN, i32::MAX] {
            let mut bytes = vec![0x92, 1];
            put_int(&mut bytes, value);
            let (mut reader, ..) = Reader::open(&bytes).expect("an array");
            assert_eq!(reader.signed("value"), Ok(value));
        }
    }

    #[test]
    fn signed_forms_of_other_writers_are_read_and_negative_numbers_are_no_sizes() {
        let read = |bytes: &[u8]| Reader::open(bytes).and_then(|(mut reader, ..)| reader.uint("value"));
        assert_eq!(read(&[0x92, 1, 0xD0, 5]), Ok(5));
        assert_eq!(read(&[0x92, 1, 0xD1, 0, 5]), Ok(5));
        assert_eq!(read(&[0x92, 1, 0xD3, 0, 0, 0, 0, 0, 0, 0, 5]), Ok(5));
        let wrong = Err(MessageError::Field {
            kind: 1,
            field: "value",
        });
        assert_eq!(read(&[0x92, 1, 0xFF]), wrong);
        assert_eq!(read(&[0x92, 1, 0xCF, 255, 255, 255, 255, 255, 255, 255, 255]), wrong);
        assert_eq!(read(&[0x92, 1, 0x90]), wrong);
        assert_eq!(read(&[0x92, 1, 0xCE, 0]), Err(MessageError::Truncated));
    }

    #[test]
    fn bombs_cost_nothing() {
        // Arrays and bytes that announce 4 GiB, and arrays in arrays.
        let open = |bytes: &[u8]| Reader::open(bytes).map(|(_, kind, count)| (kind, count));
        assert_eq!(open(&[0xDD, 255, 255, 255, 255, 1]), Ok((1, u32::MAX - 1)));
        assert_eq!(open(&[0xDD, 255]), Err(MessageError::Truncated));
        assert_eq!(
            open(&[0x91; 60_000]),
            Err(MessageError::Field { kind: 0, field: "type" })
        );
        let (mut reader, ..) = Reader::open(&[0x92, 1, 0xC6, 255, 255, 255, 255]).expect("an array");
        assert_eq!(reader.bytes("data"), Err(MessageError::Truncated));
    }

    #[test]
    fn texts_and_bytes_come_back_from_every_width() {
        for length in [0, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(length);
            let mut bytes = vec![0x93, 1];
            put_text(&mut bytes, &text);
            put_bytes(&mut bytes, text.as_bytes());
            let (mut reader, ..) = Reader::open(&bytes).expect("an array");
            assert_eq!(reader.text("text"), Ok(text.as_str()));
            assert_eq!(reader.bytes("bytes"), Ok(text.as_bytes()));
        }
    }
}
