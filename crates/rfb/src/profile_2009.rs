//! The wire format by which QEMU would have tunnelled character devices over VNC in 2009 (Daniel P. Berrange, "Tunnel
//! character device data over VNC", qemu-devel, July 2009): devices are announced by name, a viewer starts the capture
//! of one, and from then on a number stands for the name. Everything is big-endian.
//!
//! It was never merged, and its pseudo-encoding, -260, is Tight PNG's now: a server that knows it must have another number.
//! What the server says was lost but for its message type and that there are three: their order here is that of the
//! viewer's messages.

/// The pseudo-encoding's number of 2009.
pub const ENCODING_OF_2009: i32 = -260;
/// Message type, both ways.
const QEMU: u8 = 255;
/// Its sub-type.
const STREAMS: u8 = 2;
/// Bytes of a name, and of data at once.
const MOST: u32 = 65_536;

/// What a viewer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToServer {
    /// Start the capture of a device.
    Start {
        /// Its name.
        name: Vec<u8>,
    },
    /// End it.
    End {
        /// The number that the server gave.
        id: u32,
    },
    /// Data for the device.
    Data {
        /// As above.
        id: u32,
        /// What is given to it.
        bytes: Vec<u8>,
    },
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToClient {
    /// The capture started: from now on the number stands for the name.
    Started {
        /// The number.
        id: u32,
        /// The name.
        name: Vec<u8>,
    },
    /// It ended.
    Ended {
        /// The number.
        id: u32,
    },
    /// Data from the device.
    Data {
        /// The number.
        id: u32,
        /// What the device said.
        bytes: Vec<u8>,
    },
}

/// What cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not a message of this profile.
    #[error("the operation {0} of streams is not known")]
    Operation(u8),
    /// More than 64 KiB.
    #[error("a name or data of {0} bytes")]
    Long(u32),
}

impl ToServer {
    /// The first message of `input` and its length; `None`: it is not there yet.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, ProfileError> {
        let Some([QEMU, STREAMS, operation]) = input.first_chunk() else {
            return Ok(None);
        };
        let mut fields = Fields { input, at: 3 };
        let message = match operation {
            0 => fields.bytes()?.map(|name| Self::Start { name }),
            1 => fields.number().map(|id| Self::End { id }),
            2 => match fields.number() {
                Some(id) => fields.bytes()?.map(|bytes| Self::Data { id, bytes }),
                None => None,
            },
            other => return Err(ProfileError::Operation(*other)),
        };
        Ok(message.map(|message| (message, fields.at)))
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start { name } => put(0, &[], Some(name), out),
            Self::End { id } => put(1, &[*id], None, out),
            Self::Data { id, bytes } => put(2, &[*id], Some(bytes), out),
        }
    }
}

impl ToClient {
    /// As [`ToServer::decode`].
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, ProfileError> {
        let Some([QEMU, STREAMS, operation]) = input.first_chunk() else {
            return Ok(None);
        };
        let mut fields = Fields { input, at: 3 };
        let id = fields.number();
        let message = match (operation, id) {
            (0..=2, None) => None,
            (0, Some(id)) => fields.bytes()?.map(|name| Self::Started { id, name }),
            (1, Some(id)) => Some(Self::Ended { id }),
            (2, Some(id)) => fields.bytes()?.map(|bytes| Self::Data { id, bytes }),
            (other, _) => return Err(ProfileError::Operation(*other)),
        };
        Ok(message.map(|message| (message, fields.at)))
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Started { id, name } => put(0, &[*id], Some(name), out),
            Self::Ended { id } => put(1, &[*id], None, out),
            Self::Data { id, bytes } => put(2, &[*id], Some(bytes), out),
        }
    }
}

/// Appends the rectangle, in an update of its own, that says that a device is there, or no longer.
pub fn announce(name: &[u8], is_there: bool, encoding: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    crate::encode::rectangle([u32::from(!is_there), 0, 0, 0], encoding, out);
    text(name, out);
}

fn put(operation: u8, numbers: &[u32], bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(&[QEMU, STREAMS, operation]);
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
    if let Some(bytes) = bytes {
        text(bytes, out);
    }
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Fields<'a> {
    input: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn number(&mut self) -> Option<u32> {
        let wire = self.input.get(self.at..)?.first_chunk()?;
        self.at += 4;
        Some(u32::from_be_bytes(*wire))
    }

    fn bytes(&mut self) -> Result<Option<Vec<u8>>, ProfileError> {
        let Some(length) = self.number() else {
            return Ok(None);
        };
        if length > MOST {
            return Err(ProfileError::Long(length));
        }
        let end = self.at + length as usize;
        let bytes = self.input.get(self.at..end).map(<[u8]>::to_vec);
        self.at = end;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_messages_are_those_of_the_series() {
        let vectors = [
            (
                ToServer::Start {
                    name: b"serial0".to_vec(),
                },
                &b"\xFF\x02\x00\x00\x00\x00\x07serial0"[..],
            ),
            (ToServer::End { id: 0x0102_0304 }, b"\xFF\x02\x01\x01\x02\x03\x04"),
            (
                ToServer::Data {
                    id: 1,
                    bytes: b"ls\r".to_vec(),
                },
                b"\xFF\x02\x02\x00\x00\x00\x01\x00\x00\x00\x03ls\r",
            ),
        ];
        for (message, wire) in vectors {
            let mut out = Vec::new();
            message.encode(&mut out);
            assert_eq!(out, wire);
            assert_eq!(ToServer::decode(wire), Ok(Some((message, wire.len()))));
            for cut in 0..wire.len() {
                assert_eq!(ToServer::decode(&wire[..cut]), Ok(None));
            }
        }
        assert_eq!(ToServer::decode(b"\xFF\x02\x03"), Err(ProfileError::Operation(3)));
        let long = b"\xFF\x02\x00\x7F\xFF\xFF\xFF";
        assert_eq!(ToServer::decode(long), Err(ProfileError::Long(0x7FFF_FFFF)));
    }

    #[test]
    fn servers_messages_mirror_them() {
        let vectors = [
            (
                ToClient::Started {
                    id: 1,
                    name: b"serial0".to_vec(),
                },
                &b"\xFF\x02\x00\x00\x00\x00\x01\x00\x00\x00\x07serial0"[..],
            ),
            (ToClient::Ended { id: 1 }, b"\xFF\x02\x01\x00\x00\x00\x01"),
            (
                ToClient::Data {
                    id: 1,
                    bytes: b"> ".to_vec(),
                },
                b"\xFF\x02\x02\x00\x00\x00\x01\x00\x00\x00\x02> ",
            ),
        ];
        for (message, wire) in vectors {
            let mut out = Vec::new();
            message.encode(&mut out);
            assert_eq!(out, wire);
            assert_eq!(ToClient::decode(wire), Ok(Some((message, wire.len()))));
            assert_eq!(ToClient::decode(&wire[..wire.len() - 1]), Ok(None));
        }
        assert_eq!(
            ToClient::decode(b"\xFF\x02\x07\0\0\0\0"),
            Err(ProfileError::Operation(7))
        );
    }

    #[test]
    fn a_device_is_announced_by_a_rectangle() {
        let mut out = Vec::new();
        announce(b"serial0", true, ENCODING_OF_2009, &mut out);
        assert_eq!(
            out,
            b"\x00\x00\x00\x01\0\0\0\0\0\0\0\0\xFF\xFF\xFE\xFC\x00\x00\x00\x07serial0"
        );
        out.clear();
        announce(b"a", false, ENCODING_OF_2009, &mut out);
        assert_eq!(
            out,
            b"\x00\x00\x00\x01\0\x01\0\0\0\0\0\0\xFF\xFF\xFE\xFC\x00\x00\x00\x01a"
        );
    }
}
