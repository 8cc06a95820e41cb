//! A character device as a screen: what a guest prints becomes pixels ([`Terminal`], [`Painter`]), what a viewer types
//! becomes bytes ([`Key::bytes`]). No IO and no clock; who reads, writes and commits is decided above (`server`).
//!
//! Everything that a guest prints is hostile. Strings (titles, clipboards, OSC, DCS …) are dropped before the emulator sees
//! them, so that none is ever kept, and the only answers that are given are the fixed ones to DSR and DA.
#![forbid(unsafe_code)]

mod boxes;
mod colors;
mod filter;
mod font;
mod keys;
mod painter;
mod terminal;

pub use keys::{Key, Modifiers};
pub use painter::{Painter, Status};
pub use terminal::{Grid, Place, Terminal};
