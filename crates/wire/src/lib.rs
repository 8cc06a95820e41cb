//! What is on the wire between the daemon and hypervisors that are built with librdpmux, for both sides: messages of
//! protocol 5 ([`v5`]) and 6 ([`v6`]), the transport of protocol 5 ([`zmtp`]), and pixel formats ([`mod@format`]).
//!
//! No IO, no clock, no descriptors: bytes come in, bytes go out. Whatever a peer sends is bounded here, before it is
//! kept. The protocols are described in docs/librdpmux.md.
#![forbid(unsafe_code)]

pub mod format;
mod msgpack;
mod uuid;
pub mod v5;
pub mod v6;
pub mod zmtp;

pub use msgpack::MessageError;
pub use uuid::{InvalidUuid, Uuid36};
