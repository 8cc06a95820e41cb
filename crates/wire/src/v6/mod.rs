//! Protocol 6: what protocol 5 could not say. A Unix stream socket carries messages, each a length (32 bits,
//! little-endian) and a msgpack array with the type first; a `SURFACE` comes with one descriptor (SCM_RIGHTS) whose first
//! byte travels with the message's first byte. The hypervisor's first message is `HELLO`, the daemon's `WELCOME`.
//!
//! `to_daemon` and `to_guest` are what can be said, `stream` cuts the bytes of a socket into messages. Descriptors are the caller's.

mod fields;
mod stream;
mod to_daemon;
mod to_guest;

pub use fields::{Content, Offer};
pub use stream::Splitter;
pub use to_daemon::ToDaemon;
pub use to_guest::ToGuest;

/// The number by which the protocol is registered, and the first value of `HELLO` and `WELCOME`.
pub const VERSION: i32 = 6;

/// Heads of one machine.
pub const HEADS: u32 = 16;

/// Rectangles of one `UPDATE`.
pub const RECTANGLES: usize = 64;

/// Longest edge of a pointer's picture, in pixels.
pub const CURSOR_EDGE: u32 = 1024;

/// Bytes of one message without bulk data.
pub const SHORT: u64 = 64 << 10;

/// Bytes of a `CURSOR` and a `CLIPBOARD_DATA`.
pub const LONG: u64 = 16 << 20;

/// Bytes of a clipboard's text.
pub const TEXT: usize = LONG as usize - 64;

/// What a side can take beyond pixels, keys and the pointer. `HELLO` says it of the hypervisor, `WELCOME` of the daemon;
/// what either lacks is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u32);

impl Features {
    /// `CLIPBOARD_OFFER`, `CLIPBOARD_REQUEST` and `CLIPBOARD_DATA`.
    pub const CLIPBOARD: Self = Self(1);
    /// `SOUND_FORMAT`, `SOUND_DATA` and `SOUND_VOLUME`.
    pub const SOUND: Self = Self(2);
    /// `RECORDING` and `MICROPHONE_DATA`.
    pub const MICROPHONE: Self = Self(4);
    /// `UNICODE`: characters that no key of the guest's may have.
    pub const UNICODE: Self = Self(8);
    /// `SIZE`: the guest can be asked to change its screens.
    pub const SIZE: Self = Self(16);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in the set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Bits of `LEDS` and `LOCKS`.
pub mod lock {
    /// Scroll Lock.
    pub const SCROLL: u32 = 1;
    /// Num Lock.
    pub const NUM: u32 = 2;
    /// Caps Lock.
    pub const CAPS: u32 = 4;
}

/// Bits of `POINTER` and `RELATIVE`: the buttons that are down.
pub mod button {
    /// The left button.
    pub const LEFT: u32 = 1;
    /// The right button.
    pub const RIGHT: u32 = 2;
    /// The middle button.
    pub const MIDDLE: u32 = 4;
    /// Button 4, "back".
    pub const SIDE: u32 = 8;
    /// Button 5, "forward".
    pub const EXTRA: u32 = 16;
}

#[cfg(test)]
mod tests;
