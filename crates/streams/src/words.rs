//! Small values of the protocol, each with its number on the wire. A number without a meaning is malformed.

/// An enumeration whose variants are bytes on the wire.
macro_rules! bytes {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant = $number,)+
        }

        impl $name {
            pub(crate) fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

bytes! {
    /// What a stream is.
    Kind {
        /// A serial port.
        Serial = 1,
        /// A virtio console.
        Console = 2,
        /// A virtio port, which programs in the guest use.
        Port = 3,
        /// The hypervisor's monitor.
        Monitor = 4,
        /// Something else.
        Other = 5,
        /// A record without a device: it cannot be written to.
        Log = 6,
    }
}

bytes! {
    /// How a stream is.
    State {
        /// Nothing brings its output in at present.
        NoSource = 0,
        /// It is open.
        Open = 1,
        /// The guest has closed its end.
        GuestClosed = 2,
        /// The machine is off.
        Off = 3,
    }
}

bytes! {
    /// What a client wants of a stream, and what it got.
    Mode {
        /// To see its output.
        Watch = 0,
        /// To write, too, if nobody else does.
        Write = 1,
        /// To write, too, whoever did so far.
        TakeOver = 2,
    }
}

bytes! {
    /// What a client wants of the right to write.
    Wish {
        /// To have it if it is free.
        Ask = 0,
        /// To have it, whoever has it.
        TakeOver = 1,
        /// To give it back.
        Release = 2,
    }
}

bytes! {
    /// Who writes.
    Writer {
        /// Nobody.
        Nobody = 0,
        /// The client that is told.
        You = 1,
        /// Another one.
        Other = 2,
    }
}

bytes! {
    /// Why output is missing.
    GapCause {
        /// The client was too slow.
        Slow = 1,
        /// Nothing brought the output in meanwhile.
        SourceLost = 2,
        /// It is older than what is kept.
        Expired = 3,
    }
}

bytes! {
    /// Why a stream is no longer listed.
    Removal {
        /// Its device was unplugged.
        Unplugged = 1,
        /// The machine is gone.
        MachineGone = 2,
        /// The right was withdrawn.
        RightWithdrawn = 3,
    }
}

bytes! {
    /// What happened to a stream. 7 is kept for migration.
    Event {
        /// The machine was reset.
        Reset = 1,
        /// Nothing brings the output in any more.
        SourceLost = 2,
        /// Something does again.
        SourceBack = 3,
        /// The guest opened its end.
        GuestOpened = 4,
        /// The guest closed its end.
        GuestClosed = 5,
        /// A break was sent.
        Break = 6,
    }
}

/// Which old output comes before the live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// None.
    None,
    /// The last so many bytes.
    Last(u64),
    /// Everything from this offset on: how a client that was away goes on.
    From(u64),
}

/// What a user may do with a stream, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u8);

impl Rights {
    /// Nothing; the stream is not even listed.
    pub const NONE: Self = Self(0);
    /// To see its output.
    pub const WATCH: Self = Self(1);
    /// To write.
    pub const WRITE: Self = Self(2);
    /// To take the right to write from another.
    pub const TAKE_OVER: Self = Self(4);
    /// To send a break.
    pub const BREAK: Self = Self(8);
    /// To see old output.
    pub const HISTORY: Self = Self(16);
    /// To say how large the writer's terminal is.
    pub const RESIZE: Self = Self(32);
    /// All of them.
    pub const ALL: Self = Self(63);

    /// The set of these bits; further ones mean nothing.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is left of them on a stream of this kind: nobody writes into a record.
    #[must_use]
    pub const fn on(self, kind: Kind) -> Self {
        match kind {
            Kind::Log => Self(self.0 & Self::WATCH.with(Self::HISTORY).0),
            _ => self,
        }
    }

    /// Whether all of `other` is in the set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
