//! Messages of protocol 5, which hypervisors have spoken since 2016: msgpack arrays of integers, the type first. Each
//! travels as the second frame of a ZeroMQ message whose first is the machine's UUID.
//!
//! Both directions are read and written here: the daemon and the library share this file.

use crate::msgpack::{self, MessageError, Reader};

/// The number by which the protocol is registered.
pub const VERSION: i32 = 5;

/// Bytes that a message may have, what follows its array included: old writers send the whole block of memory that they
/// were given.
pub const LONGEST: usize = 4096;

/// A message of a hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToDaemon {
    /// `DISPLAY_UPDATE` [1, x, y, width, height]: this part of the screen changed in shared memory.
    Update {
        /// Left edge in pixels.
        x: u32,
        /// Top edge.
        y: u32,
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// `DISPLAY_SWITCH` [2, format, width, height]: the screen has another size or format from now on, and all of it is in
    /// shared memory. Rows follow each other without padding.
    Switch {
        /// Pixman's code, see [`crate::format`].
        format: u32,
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// `SHUTDOWN` `[6]`: the machine goes away.
    Shutdown,
}

/// A message of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToGuest {
    /// `MOUSE` [3, x, y, flags].
    Mouse {
        /// Column in pixels.
        x: u16,
        /// Row.
        y: u16,
        /// See [`mouse`].
        flags: u16,
    },
    /// `KEYBOARD` [4, code, flags].
    Keyboard {
        /// 7-bit code of PC/AT set 1.
        code: u16,
        /// See [`keyboard`].
        flags: u16,
    },
    /// `DISPLAY_UPDATE_COMPLETE` [5, success, rate]: the pixels of an update were copied, or cannot be.
    UpdateComplete {
        /// They were.
        success: bool,
        /// Frames per second that the fastest viewer can use now.
        rate: u16,
    },
}

/// Flags of `MOUSE`, as [MS-RDPBCGR] 2.2.8.1.1.3.1.1.3 has them. Readers compare whole values: a message is a motion, an
/// edge of one button, or a turn of a wheel.
pub mod mouse {
    /// The pointer is there now.
    pub const MOVE: u16 = 0x0800;
    /// The button goes down; without it, up.
    pub const DOWN: u16 = 0x8000;
    /// The left button.
    pub const LEFT: u16 = 0x1000;
    /// The right button.
    pub const RIGHT: u16 = 0x2000;
    /// The middle button.
    pub const MIDDLE: u16 = 0x4000;
    /// The wheel turns by the low 9 bits, in two's complement, 120 being a notch away from the user.
    pub const WHEEL: u16 = 0x0200;
    /// The same for the horizontal wheel, to the right.
    pub const HORIZONTAL_WHEEL: u16 = 0x0400;
    /// The bits of a wheel's turn.
    pub const ROTATION: u16 = 0x01FF;
}

/// Flags of `KEYBOARD`, as [MS-RDPBCGR] 2.2.8.1.1.3.1.1.1 has them.
pub mod keyboard {
    /// The key goes down.
    pub const DOWN: u16 = 0x4000;
    /// The key goes up.
    pub const RELEASE: u16 = 0x8000;
    /// The code has the prefix E0.
    pub const EXTENDED: u16 = 0x0100;
}

const UPDATE: u32 = 1;
const SWITCH: u32 = 2;
const MOUSE: u32 = 3;
const KEYBOARD: u32 = 4;
const UPDATE_COMPLETE: u32 = 5;
const SHUTDOWN: u32 = 6;

impl ToDaemon {
    /// Reads a message; what follows the array is padding.
    ///
    /// # Errors
    /// [`MessageError`] if it is no message of a hypervisor.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (mut reader, kind, count) = open(bytes)?;
        match kind {
            UPDATE => {
                reader.expect(count, 4)?;
                Ok(Self::Update {
                    x: reader.uint("x")?,
                    y: reader.uint("y")?,
                    width: reader.uint("width")?,
                    height: reader.uint("height")?,
                })
            }
            SWITCH => {
                reader.expect(count, 3)?;
                Ok(Self::Switch {
                    format: reader.uint("format")?,
                    width: reader.uint("width")?,
                    height: reader.uint("height")?,
                })
            }
            SHUTDOWN => {
                reader.expect(count, 0)?;
                Ok(Self::Shutdown)
            }
            _ => Err(MessageError::Kind(kind)),
        }
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Update { x, y, width, height } => put(out, &[UPDATE, x, y, width, height]),
            Self::Switch { format, width, height } => put(out, &[SWITCH, format, width, height]),
            Self::Shutdown => put(out, &[SHUTDOWN]),
        }
    }
}

impl ToGuest {
    /// Reads a message; what follows the array is padding.
    ///
    /// # Errors
    /// [`MessageError`] if it is no message of a daemon.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (mut reader, kind, count) = open(bytes)?;
        match kind {
            MOUSE => {
                reader.expect(count, 3)?;
                Ok(Self::Mouse {
                    x: short(&mut reader, "x")?,
                    y: short(&mut reader, "y")?,
                    flags: short(&mut reader, "flags")?,
                })
            }
            KEYBOARD => {
                reader.expect(count, 2)?;
                Ok(Self::Keyboard {
                    code: short(&mut reader, "code")?,
                    flags: short(&mut reader, "flags")?,
                })
            }
            UPDATE_COMPLETE => {
                reader.expect(count, 2)?;
                Ok(Self::UpdateComplete {
                    success: reader.uint("success")? == 1,
                    rate: short(&mut reader, "rate")?,
                })
            }
            _ => Err(MessageError::Kind(kind)),
        }
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Mouse { x, y, flags } => put(out, &[MOUSE, x.into(), y.into(), flags.into()]),
            Self::Keyboard { code, flags } => put(out, &[KEYBOARD, code.into(), flags.into()]),
            Self::UpdateComplete { success, rate } => put(out, &[UPDATE_COMPLETE, success.into(), rate.into()]),
        }
    }
}

fn open(bytes: &[u8]) -> Result<(Reader<'_>, u32, u32), MessageError> {
    if bytes.len() > LONGEST {
        return Err(MessageError::TooLong {
            given: bytes.len() as u64,
            limit: LONGEST as u64,
        });
    }
    Reader::open(bytes)
}

fn short(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, MessageError> {
    u16::try_from(reader.uint(field)?).map_err(|_| reader.wrong(field))
}

fn put(out: &mut Vec<u8>, values: &[u32]) {
    msgpack::put_array(out, values.len());
    for value in values {
        msgpack::put_uint(out, u64::from(*value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_hypervisor_are_written_as_the_old_library_did() {
        let update = ToDaemon::Update {
            x: 0,
            y: 16,
            width: 1024,
            height: 100_000,
        };
        let switch = ToDaemon::Switch {
            format: crate::format::X8R8G8B8,
            width: 640,
            height: 480,
        };
        let cases: [(ToDaemon, &[u8]); 3] = [
            (update, &[0x95, 1, 0, 16, 0xCD, 4, 0, 0xCE, 0, 1, 0x86, 0xA0]),
            (
                switch,
                &[0x94, 2, 0xCE, 0x20, 0x02, 0x08, 0x88, 0xCD, 2, 0x80, 0xCD, 1, 0xE0],
            ),
            (ToDaemon::Shutdown, &[0x91, 6]),
        ];
        for (message, bytes) in cases {
            let mut out = Vec::new();
            message.encode(&mut out);
            assert_eq!(out, bytes);
            // The old library sends 24 bytes where it uses two.
            out.resize(out.len() + 22, 0);
            assert_eq!(ToDaemon::decode(&out), Ok(message));
        }
    }

    #[test]
    fn messages_of_a_daemon_come_back() {
        let messages = [
            ToGuest::Mouse {
                x: 65_535,
                y: 0,
                flags: mouse::DOWN | mouse::LEFT,
            },
            ToGuest::Keyboard {
                code: 0x1E,
                flags: keyboard::RELEASE,
            },
            ToGuest::UpdateComplete {
                success: true,
                rate: 30,
            },
            ToGuest::UpdateComplete {
                success: false,
                rate: 1,
            },
        ];
        for message in messages {
            let mut out = Vec::new();
            message.encode(&mut out);
            assert_eq!(ToGuest::decode(&out), Ok(message));
            assert!(ToDaemon::decode(&out).is_err(), "{message:?} goes one way only");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_by_name() {
        let cases: [(&[u8], MessageError); 8] = [
            (&[], MessageError::Truncated),
            (&[0x90], MessageError::Count { kind: 0, given: 0 }),
            (&[0x91, 0], MessageError::Kind(0)),
            (&[0x91, 7], MessageError::Kind(7)),
            (&[0x92, 1, 1], MessageError::Count { kind: 1, given: 2 }),
            (&[0x95, 1, 0xFF, 0, 0, 0], MessageError::Field { kind: 1, field: "x" }),
            (&[0xC0], MessageError::NotAnArray(0xC0)),
            (
                &[0x91; LONGEST + 1],
                MessageError::TooLong {
                    given: LONGEST as u64 + 1,
                    limit: LONGEST as u64,
                },
            ),
        ];
        for (bytes, error) in cases {
            assert_eq!(ToDaemon::decode(bytes), Err(error));
        }
    }
}
