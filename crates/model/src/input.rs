//! What a viewer does: keys, pointer motion, buttons, wheel, touch.

/// A PC/AT set 1 scan code: 7-bit code and whether the `E0` prefix applies ([MS-RDPBCGR] 2.2.8.1.2.2.1).
///
/// QEMU's qnum is the same number with bit 7 for the prefix, see [`Scancode::qnum`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scancode {
    code: u8,
    extended: bool,
}

impl Scancode {
    /// The Pause key, which RDP sends as `E1 1D` ([MS-RDPBCGR] 2.2.8.1.1.3.1.1.1 `KBDFLAGS_EXTENDED1`) and QEMU calls 0xC6.
    pub const PAUSE: Self = Self {
        code: 0x46,
        extended: true,
    };

    /// `None` if `code` does not fit 7 bits or is 0, which no key has.
    pub const fn new(code: u8, extended: bool) -> Option<Self> {
        if code == 0 || code > 0x7F {
            None
        } else {
            Some(Self { code, extended })
        }
    }

    /// The 7-bit code without prefix.
    pub const fn code(self) -> u8 {
        self.code
    }

    /// Whether the `E0` prefix applies.
    pub const fn is_extended(self) -> bool {
        self.extended
    }

    /// QEMU's number of the key: the code, plus 0x80 when extended.
    pub const fn qnum(self) -> u8 {
        self.code | if self.extended { 0x80 } else { 0 }
    }
}

/// A pointer button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Button {
    /// The primary button.
    Left,
    /// The secondary button.
    Right,
    /// The wheel's button.
    Middle,
    /// Extended button 1, "back".
    Side,
    /// Extended button 2, "forward".
    Extra,
}

/// Which way a wheel turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WheelAxis {
    /// Positive is away from the user.
    Vertical,
    /// Positive is to the right.
    Horizontal,
}

/// State of the three lock keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LockKeys {
    /// Scroll Lock.
    pub scroll: bool,
    /// Num Lock.
    pub num: bool,
    /// Caps Lock.
    pub caps: bool,
}

/// What a finger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TouchPhase {
    /// It comes down.
    Begin,
    /// It is down and may have moved.
    Update,
    /// It goes up.
    End,
    /// The touch is taken back: it was meant for something else.
    Cancel,
}

/// One finger on the viewer's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Touch {
    /// Which finger. From a client it is the client's number, to a guest a slot below [`Touch::SLOTS`]; both are free again
    /// after the end.
    pub contact: u8,
    /// What it does.
    pub phase: TouchPhase,
    /// Column of the guest's frame; clamped by the backend.
    pub x: u32,
    /// Row.
    pub y: u32,
}

impl Touch {
    /// Fingers that a guest can tell apart: QEMU's `INPUT_EVENT_SLOTS_MAX`.
    pub const SLOTS: u8 = 10;
}

/// One thing that a viewer did. Key and button edges are never dropped on the way; motion may be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputEvent {
    /// A key went down or up. Auto-repeat is a further "down".
    Key {
        /// Which key.
        scancode: Scancode,
        /// Down or up.
        down: bool,
    },
    /// The pointer is at this pixel of the guest's frame; clamped by the backend if the frame shrank meanwhile.
    MoveTo {
        /// Column.
        x: u32,
        /// Row.
        y: u32,
    },
    /// The pointer moved by this many pixels.
    MoveBy {
        /// To the right.
        dx: i32,
        /// Downwards.
        dy: i32,
    },
    /// A button went down or up.
    Button {
        /// Which button.
        button: Button,
        /// Down or up.
        down: bool,
    },
    /// The wheel turned, in units of 1/120 notch ([MS-RDPBCGR] 2.2.8.1.1.3.1.1.3 `WheelRotationMask`).
    Wheel {
        /// Which wheel.
        axis: WheelAxis,
        /// 120 is one notch.
        delta: i16,
    },
    /// A finger touches, moves or leaves.
    Touch(Touch),
    /// A character was typed that the guest takes as it is ([`crate::HeadState::characters`]).
    Character(char),
    /// The viewer's lock keys are in this state; sent when its window gains focus ([MS-RDPBCGR] 2.2.8.1.1.3.1.1.5).
    Locks(LockKeys),
}
