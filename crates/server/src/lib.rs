//! RDP session engine for many clients: one listener, many desktops, many viewers of each.
//!
//! A program with a display of its own starts at [`RdpServer::builder`]: it brings an [`RdpServerDisplay`] and an
//! [`RdpServerInputHandler`], and every client that comes shares the one picture. Who serves many desktops behind one port
//! brings accounts and desktops ([`Accounts`], [`Directory`]) and pixels ([`DesktopSource`]); [`serve`] does the rest. Both
//! are the code that the `rdpmux` daemon runs on.
#![forbid(unsafe_code)]

mod access;
mod channels;
mod chord;
mod clipboard;
mod config;
mod console;
mod desktop;
mod echo;
mod fault;
mod listen;
mod login;
mod paste;
mod reconnect;
mod route;
mod sdk;
mod session;
mod sessions;
mod sound;
pub mod streams;
mod tls;
pub mod typing;
mod vnc;

pub use access::{Accounts, Denied, Directory, NtHash};
pub use channels::{Channel, ChannelClient, ChannelFactory, ChannelSendError, ChannelSender};
pub use chord::{Chord, NoChord};
pub use clipboard::{ClipboardHub, GuestClipboard};
pub use config::{Limits, Logins, Reconnect, Routing, ServerConfig};
pub use console::Console;
pub use desktop::{Desktop, DesktopEnded, DesktopHandle, DesktopSource, Hand, HeadSource, Heads, Peripherals, Typed};
pub use echo::{EchoError, EchoRoundTripMeasurement, EchoServerHandle};
pub use listen::{Entrance, House, Stop, Stopper, TransportTls, serve, stop_pair};
pub use rdpmux_model::{Rights, SessionId};
pub use rdpmux_rdp::{CloseReason, SurfaceCodecs};
#[cfg(feature = "helper")]
pub use sdk::TlsIdentityCtx;
pub use sdk::{
    BitmapUpdate, BuilderDone, CliprdrServerFactory, ColorPointer, ConnectionHandler, CredentialDecision,
    CredentialValidationError, CredentialValidator, Credentials, DesktopSize, DisplayUpdate, EchoServerMessage,
    ExactMatchCredentialValidator, KeyboardEvent, MouseEvent, PixelFormat, PointerPositionAttribute,
    PostConnectionAction, RGBAPointer, RdpServer, RdpServerBuilder, RdpServerDisplay, RdpServerDisplayUpdates,
    RdpServerInputHandler, RdpServerOptions, RdpServerSecurity, RdpsndServerHandler, RdpsndServerMessage, ServerEvent,
    SoundServerFactory, SynchronizeFlags, WantsAddr, WantsDisplay, WantsHandler, WantsSecurity,
};
pub use sdk::{EgfxServerMessage, GfxDvcBridge, GfxMessages, GfxServerFactory, GfxServerHandle};
pub use sessions::{ConnectionStats, SessionFacts, Sessions};
pub use sound::{SoundHub, SoundSource};
pub use streams::Streams;
pub use tls::{TlsError, TlsIdentity};
pub use vnc::VncSettings;

/// What the document takes from `ironrdp_pdu::rdp`.
pub mod rdp {
    /// Codecs that a server may be limited to.
    pub mod capability_sets {
        pub use crate::sdk::{BitmapCodecs, CodecId, server_codecs_capabilities};
    }
}

/// What the document takes from `ironrdp_displaycontrol::pdu` and `ironrdp_rdpsnd::pdu`.
pub mod pdu {
    pub use crate::sdk::{AudioFormat, ClientAudioFormatPdu, WaveFormat};
    pub use crate::sdk::{DisplayControlMonitorLayout, MonitorLayoutEntry};
}

/// What the document takes from `ironrdp_rdpsnd::server`.
pub mod server {
    pub use crate::sdk::{RdpsndError, RdpsndServerHandler, RdpsndServerMessage};
}

/// What the document takes from `ironrdp_cliprdr::backend`.
pub mod backend {
    pub use ironrdp_cliprdr::backend::{
        ClipboardError, ClipboardMessage, ClipboardMessageProxy, CliprdrBackend, CliprdrBackendFactory,
    };
}

/// The document's snippets and the guide's, compiled.
#[cfg(doctest)]
mod snippets {
    #[doc = include_str!("../snippets.md")]
    mod document {}
    #[doc = include_str!("../../../docs/sdk.md")]
    mod guide {}
}
