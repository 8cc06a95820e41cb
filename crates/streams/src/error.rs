//! Numbers by which the protocol says why something failed, and why bytes of a peer are no message.

/// Why something failed, as FAILED, CLOSED and ERROR carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// The other side speaks another major version.
    Version = 1,
    /// A message is not what the protocol says.
    Malformed = 2,
    /// A frame is longer than was agreed.
    TooLarge = 3,
    /// There is no such stream, or it may not be known.
    NoSuchStream = 4,
    /// The right is missing.
    Denied = 5,
    /// Somebody else writes.
    WriterBusy = 6,
    /// Too many of something.
    Limit = 7,
    /// The device's output cannot be had.
    NoCapture = 8,
    /// The device's backend failed.
    SourceFailed = 9,
    /// More was sent than was granted.
    CreditOverrun = 10,
    /// The machine is gone.
    MachineGone = 11,
    /// Too fast.
    Rate = 12,
    /// The daemon ends.
    ShuttingDown = 13,
}

impl ErrorCode {
    const ALL: [Self; 13] = [
        Self::Version,
        Self::Malformed,
        Self::TooLarge,
        Self::NoSuchStream,
        Self::Denied,
        Self::WriterBusy,
        Self::Limit,
        Self::NoCapture,
        Self::SourceFailed,
        Self::CreditOverrun,
        Self::MachineGone,
        Self::Rate,
        Self::ShuttingDown,
    ];

    /// The code of a number, if it has one.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u16 == number)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Version => "the other side speaks another version",
            Self::Malformed => "a message is malformed",
            Self::TooLarge => "a frame is too large",
            Self::NoSuchStream => "there is no such stream",
            Self::Denied => "not permitted",
            Self::WriterBusy => "somebody else writes",
            Self::Limit => "a limit is reached",
            Self::NoCapture => "the device cannot be captured",
            Self::SourceFailed => "the device's backend failed",
            Self::CreditOverrun => "more was sent than was granted",
            Self::MachineGone => "the machine is gone",
            Self::Rate => "too many requests at once",
            Self::ShuttingDown => "the daemon ends",
        })
    }
}

/// Why bytes are no message. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The payload of this type ends too early, or a value in it has no meaning.
    #[error("message {0:#04x} is malformed")]
    Malformed(u8),
    /// A type that has to be understood and is not.
    #[error("message type {0:#04x} is unknown")]
    Unknown(u8),
    /// The frame's length is over the limit.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes of payload that were announced.
        length: u32,
        /// Bytes that a payload may have.
        limit: u32,
    },
}

impl WireError {
    /// The code with which the peer is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Malformed(_) | Self::Unknown(_) => ErrorCode::Malformed,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
        }
    }
}
