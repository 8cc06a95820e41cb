//! What is known of one head of a guest besides its pixels. Latest wins: it travels through a watch, never a queue.

use crate::{LockKeys, PointerShape};

/// Whether the guest behind a head is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Presence {
    /// Not connected yet.
    #[default]
    Waiting,
    /// Frames and input flow.
    Running,
    /// The guest, or the hypervisor that runs it, went away. Viewers see the reason on a card and stay.
    Gone {
        /// One line for a person, for example `QEMU ended`.
        reason: String,
    },
}

/// How the guest takes pointer motion now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MouseMode {
    /// A tablet: positions.
    #[default]
    Absolute,
    /// A mouse: deltas.
    Relative,
}

/// State of one head.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeadState {
    /// Whether the guest is there.
    pub presence: Presence,
    /// Pointer picture.
    pub pointer: PointerShape,
    /// The guest's keyboard LEDs.
    pub locks: LockKeys,
    /// How motion is taken.
    pub mouse: MouseMode,
}
