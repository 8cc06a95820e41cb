//! Where messages go that a static or a dynamic channel may carry.

use crate::wire::{self, DynamicChannel};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Closed,
    /// MCS channel.
    Static(u16),
    Dynamic(DynamicChannel),
}

impl Path {
    /// Appends a message; nothing if it goes nowhere.
    pub(super) fn write(self, message: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Closed => {}
            Self::Static(channel) => wire::static_channel(out, channel, message),
            Self::Dynamic(channel) => wire::dynamic_channel(out, channel, message),
        }
    }
}
