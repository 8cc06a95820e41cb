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
    /// The guest takes [`crate::InputEvent::Character`]; otherwise characters are typed with keys.
    pub characters: bool,
    /// The pixels may be those of a while ago: nobody looked, so the guest was not asked for new ones. Ends soon after
    /// somebody looks.
    pub resting: bool,
}

/// Who looks at a head now. The owner of the head tells its backend, which may spare the guest's side the work of
/// pictures that nobody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// The owner does not count: pictures are always wanted.
    #[default]
    Uncounted,
    /// So many viewers; those whose window is hidden do not count.
    Viewers(usize),
}

impl Audience {
    /// Whether pictures are wanted.
    pub fn is_there(self) -> bool {
        self != Self::Viewers(0)
    }

    /// One viewer more.
    #[must_use]
    pub fn with_one_more(self) -> Self {
        match self {
            Self::Uncounted => Self::Viewers(1),
            Self::Viewers(count) => Self::Viewers(count.saturating_add(1)),
        }
    }

    /// One viewer less.
    #[must_use]
    pub fn with_one_less(self) -> Self {
        match self {
            Self::Uncounted => Self::Uncounted,
            Self::Viewers(count) => Self::Viewers(count.saturating_sub(1)),
        }
    }
}
