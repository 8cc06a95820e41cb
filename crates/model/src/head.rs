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
    /// Where the guest has put the pointer by itself, if it ever did: the viewers' pointers jump there.
    pub jump: Option<PointerJump>,
}

/// A pointer that was put somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointerJump {
    /// Column of the guest's frame.
    pub x: u16,
    /// Row.
    pub y: u16,
    /// Counts the jumps: two to the same place are two.
    pub count: u64,
}

/// Who looks at a head now. The owner of the head tells its backend, which may spare the guest's side the work of
/// pictures that nobody sees, or that nobody can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// The owner does not count: pictures are always wanted.
    #[default]
    Uncounted,
    /// So many viewers; those whose window is hidden do not count.
    Viewers {
        /// How many.
        count: usize,
        /// Pictures per second that the fastest of them can use now, from [`Audience::IDLE_RATE`] to
        /// [`Audience::MOST_RATE`]. A slow viewer never lowers it for the others.
        rate: u8,
    },
}

impl Audience {
    /// Pictures per second while nobody looks.
    pub const IDLE_RATE: u8 = 1;
    /// Pictures per second of a viewer of whom nothing is known yet.
    pub const FIRST_RATE: u8 = 30;
    /// Pictures per second that any viewer is sent at most.
    pub const MOST_RATE: u8 = 60;

    /// Nobody.
    pub const NONE: Self = Self::Viewers {
        count: 0,
        rate: Self::IDLE_RATE,
    };

    /// So many viewers, the fastest of whom can use so many pictures per second; that is brought into its range.
    pub fn new(count: usize, rate: u8) -> Self {
        match count {
            0 => Self::NONE,
            _ => Self::Viewers {
                count,
                rate: rate.clamp(Self::IDLE_RATE, Self::MOST_RATE),
            },
        }
    }

    /// Whether pictures are wanted.
    pub fn is_there(self) -> bool {
        !matches!(self, Self::Viewers { count: 0, .. })
    }

    /// How many look; `None` if nobody counts.
    pub fn count(self) -> Option<usize> {
        match self {
            Self::Uncounted => None,
            Self::Viewers { count, .. } => Some(count),
        }
    }

    /// Pictures per second that are worth making now.
    pub fn rate(self) -> u8 {
        match self {
            Self::Uncounted => Self::FIRST_RATE,
            Self::Viewers { rate, .. } => rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_has_the_idle_rate_when_it_is_nobody_and_a_rate_in_range_otherwise() {
        assert_eq!(Audience::new(0, 60), Audience::NONE);
        assert_eq!(Audience::NONE.rate(), 1);
        assert_eq!([0, 25, 200].map(|rate| Audience::new(2, rate).rate()), [1, 25, 60]);
        assert_eq!(Audience::Uncounted.rate(), 30);
        assert!(Audience::Uncounted.is_there() && Audience::new(1, 1).is_there() && !Audience::NONE.is_there());
    }
}
