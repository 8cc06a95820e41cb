//! The server side of RDP without IO and without a clock: bytes in, steps, events and bytes out.
//!
//! A connection walks through three machines: [`front`] (which desktop is asked for, before TLS), [`Handshake`] with
//! [`Credssp`] (to the end of the connection sequence), and [`Session`] (input, pointer, control) with its
//! [`FrameWriter`] (graphics). Whoever owns the socket, `rdpmux-server`, drives them.
#![forbid(unsafe_code)]

pub mod front;

mod credssp;
mod handshake;
mod pipe;
mod session;
mod wire;

/// Lists of monitors as clients send them, read as [`Handshake`] and [`Session`] read them.
pub mod monitors {
    pub use crate::handshake::monitors_in_request as in_request;
    pub use crate::session::layout_in_message as in_display_control;
}

/// Length in bytes of the PDU that `bytes` start with, if its header is there.
pub fn pdu_length(bytes: &[u8]) -> Option<usize> {
    wire::pdu_length(bytes).ok().flatten()
}

pub use credssp::{AccountLookup, Credssp, CredsspError, CredsspProtocol, CredsspStep, LoginName};
pub use handshake::{ClientLogin, Handshake, HandshakeConfig, HandshakeError, Password, Refusal, Step};
pub use pipe::{
    Coders, CodersFactory, CompressedFrame, FrameError, FrameNumbers, FramePipe, FrameWriter, Joined, Monitor,
    SessionFraming, SurfaceCodec, SurfaceCodecs,
};
pub use session::{
    CacheOffer, ChannelEvent, ChannelKind, ChannelRefusal, ClipboardEvent, ClipboardRefusal, CloseReason, DesktopShape,
    ReconnectCookie, ReconnectProof, Session, SessionError, SessionEvent, SessionInfo, SoundEvent, SoundRefusal,
    StreamsChannel, StreamsEvent,
};
