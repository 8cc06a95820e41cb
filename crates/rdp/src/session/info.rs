//! Who the client is and what it can do, for logs and for choices that are not the protocol's.

use core::fmt;

use rdpmux_model::Size;

/// A client, by its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Computer name.
    pub client_name: String,
    /// `clientBuild`.
    pub client_build: u32,
    /// Windows keyboard layout identifier, for example `0x409`; 0 if unknown.
    pub keyboard_layout: u32,
    /// Desktop size that the client asked for, in pixels; unchecked.
    pub requested: Size,
    /// Scale of the client's desktop in percent ([MS-RDPBCGR] 2.2.1.3.2 `desktopScaleFactor`); 100 if it did not say.
    pub scale_percent: u32,
    /// Colour depth of the session in bits per pixel.
    pub bits_per_pixel: u8,
    /// Whether it announced the graphics pipeline.
    pub egfx: bool,
    /// Whether it takes RemoteFX in surface commands.
    pub remotefx: bool,
    /// Whether it acknowledges frames of surface commands.
    pub frame_acknowledge: bool,
    /// Largest pointer edge in pixels: 32, 96 or 384.
    pub pointer_edge: u32,
    /// Whether it wants to hear the desktop.
    pub sound: bool,
    /// Whether its user lets the desktop have the microphone.
    pub microphone: bool,
}

impl fmt::Display for SessionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} build {} layout {:#x} asks {} at {} % {} bpp",
            self.client_name,
            self.client_build,
            self.keyboard_layout,
            self.requested,
            self.scale_percent,
            self.bits_per_pixel
        )?;
        for (has, name) in [
            (self.egfx, " egfx"),
            (self.remotefx, " remotefx"),
            (self.frame_acknowledge, " frame-ack"),
            (self.sound, " sound"),
            (self.microphone, " microphone"),
        ] {
            if has {
                f.write_str(name)?;
            }
        }
        write!(f, " pointer {}", self.pointer_edge)
    }
}
