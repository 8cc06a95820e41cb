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
    /// With `control`: the guest's heads may take the sizes of its monitors.
    pub resize: bool,
}

impl Rights {
    /// See, hear, type, click and resize.
    pub const CONTROL: Self = Self {
        view: true,
        control: true,
        power: false,
        sound: SoundRight::Out,
        resize: true,
    };
    /// See and hear only.
    pub const VIEW: Self = Self {
        view: true,
        control: false,
        power: false,
        sound: SoundRight::Out,
        resize: false,
    };
    /// See the screen, and switch the machine.
    pub const POWER: Self = Self {
        view: true,
        control: false,
        power: true,
        sound: SoundRight::Out,
        resize: false,
    };

    /// Whether the user may decide how large heads are.
    pub const fn may_resize(self) -> bool {
        self.view && self.control && self.resize
    }
}
