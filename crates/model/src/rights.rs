//! What a user may do with one desktop.

use crate::SoundRight;

/// Rights of a user on a desktop. Without `view` nothing else counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights {
    /// May see the screen.
    pub view: bool,
    /// May type and click.
    pub control: bool,
    /// May press the power button, reset and pause the machine.
    pub power: bool,
    /// May hear the machine, and speak into its microphone.
    pub sound: SoundRight,
}

impl Rights {
    /// See, hear, type and click.
    pub const CONTROL: Self = Self {
        view: true,
        control: true,
        power: false,
        sound: SoundRight::Out,
    };
    /// See and hear only.
    pub const VIEW: Self = Self {
        view: true,
        control: false,
        power: false,
        sound: SoundRight::Out,
    };
    /// See the screen, and switch the machine.
    pub const POWER: Self = Self {
        view: true,
        control: false,
        power: true,
        sound: SoundRight::Out,
    };
}
