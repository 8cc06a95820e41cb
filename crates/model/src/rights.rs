//! What a user may do with one desktop.

/// Rights of a user on a desktop. Without `view` nothing else counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights {
    /// May see the screen.
    pub view: bool,
    /// May type and click.
    pub control: bool,
}

impl Rights {
    /// See, type and click.
    pub const CONTROL: Self = Self {
        view: true,
        control: true,
    };
    /// See only.
    pub const VIEW: Self = Self {
        view: true,
        control: false,
    };
}
