//! What a user may do with one desktop.

/// Rights of a user on a desktop. Without `view` nothing else counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights {
    /// May see the screen.
    pub view: bool,
    /// May type and click.
    pub control: bool,
    /// May press the power button, reset and pause the machine.
    pub power: bool,
}

impl Rights {
    /// See, type and click.
    pub const CONTROL: Self = Self {
        view: true,
        control: true,
        power: false,
    };
    /// See only.
    pub const VIEW: Self = Self {
        view: true,
        control: false,
        power: false,
    };
    /// See the screen, and switch the machine.
    pub const POWER: Self = Self {
        view: true,
        control: false,
        power: true,
    };
}
