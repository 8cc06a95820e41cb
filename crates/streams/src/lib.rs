//! Character devices as streams: the framed protocol that carries them ([`frame`], [`ToServer`], [`ToClient`]), and what
//! the daemon keeps of each ([`Hub`], [`history`]).
//!
//! No IO, no clock: bytes come in, bytes go out, and it is the same over every carrier. Whatever a peer sends is bounded
//! here, before it is kept. The protocol is described in docs/streams.md.
#![forbid(unsafe_code)]

mod error;
mod fields;
pub mod frame;
mod gather;
pub mod history;
pub mod hub;
pub mod rdp2tcp;
mod text;
mod to_client;
mod to_server;
mod words;

pub use error::{ErrorCode, WireError};
pub use frame::{Frame, Splitter};
pub use gather::Gather;
pub use hub::Hub;
pub use text::{BadText, Text};
pub use to_client::{Entry, ToClient};
pub use to_server::ToServer;
pub use words::{Event, GapCause, Kind, Mode, Removal, Replay, Rights, State, Wish, Writer};

/// Major version of the protocol; another one cannot be spoken.
pub const MAJOR: u16 = 1;
/// Minor version: what was added since without breaking anything.
pub const MINOR: u16 = 0;

#[cfg(test)]
mod tests;
