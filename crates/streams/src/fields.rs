//! Integers and strings in a payload, little-endian, read with checked bounds.

use crate::text::Text;

/// What is left of a payload. A read that finds too little, or a value without meaning, gives `None`.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn session(&mut self) -> Option<[u8; 16]> {
        self.array()
    }

    pub(crate) fn text(&mut self) -> Option<Text<'a>> {
        let length = usize::from(self.u16()?);
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Text::new(str::from_utf8(head).ok()?).ok()
    }

    /// A string that names something, and so is not empty.
    pub(crate) fn name(&mut self) -> Option<Text<'a>> {
        self.text().filter(|name| !name.is_empty())
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// A frame that is being written at the end of a buffer.
pub(crate) struct Writer<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
}

/// The end of a buffer, where a frame can begin.
pub(crate) struct End<'b>(pub(crate) &'b mut Vec<u8>);

impl<'b> End<'b> {
    pub(crate) fn frame(self, kind: u8, flags: u8, stream: u16) -> Writer<'b> {
        let out = self.0;
        let start = out.len();
        out.extend([kind, flags]);
        out.extend(stream.to_le_bytes());
        out.extend([0; 4]);
        Writer { out, start }
    }
}

impl Writer<'_> {
    pub(crate) fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn text(self, text: &Text<'_>) -> Self {
        let bytes = text.as_str().as_bytes();
        let length = u16::try_from(bytes.len()).expect("a text has 255 bytes at most");
        self.u16(length).bytes(bytes)
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Writes the length into the header.
    pub(crate) fn end(self) {
        let length = self.out.len() - self.start - crate::frame::HEADER;
        let length = u32::try_from(length).expect("a payload is far below 4 GiB");
        self.out[self.start + 4..self.start + 8].copy_from_slice(&length.to_le_bytes());
    }
}
