//! The SDK: a server for programs that have a display and want input, in the words of the `ironrdp-server` document. It is a
//! face over what the daemon runs on: the display's updates go into one desktop, and all clients share that.

mod builder;
mod clipboard;
mod codecs;
mod connection;
mod credentials;
mod devices;
mod display;
mod door;
mod events;
mod feed;
mod gfx;
mod hands;
mod input;
mod layout;
mod options;
mod oversight;
mod pixel_format;
mod pointer;
mod server;
mod shelf;
mod show;
mod sound;
mod speaker;
mod stage;
#[cfg(feature = "helper")]
mod tls;

pub use builder::{BuilderDone, RdpServerBuilder, WantsAddr, WantsDisplay, WantsHandler, WantsSecurity};
pub use clipboard::CliprdrServerFactory;
pub use codecs::{BitmapCodecs, CodecId, server_codecs_capabilities};
pub use connection::{ConnectionHandler, PostConnectionAction};
pub use credentials::{
    CredentialDecision, CredentialValidationError, CredentialValidator, Credentials, ExactMatchCredentialValidator,
};
pub use display::{
    BitmapUpdate, ColorPointer, DesktopSize, DisplayUpdate, RGBAPointer, RdpServerDisplay, RdpServerDisplayUpdates,
};
pub use events::{EchoServerMessage, ServerEvent};
pub use gfx::{EgfxServerMessage, GfxDvcBridge, GfxMessages, GfxServerFactory, GfxServerHandle};
pub use input::{KeyboardEvent, MouseEvent, RdpServerInputHandler};
pub use ironrdp_pdu::input::fast_path::SynchronizeFlags;
pub use ironrdp_pdu::pointer::PointerPositionAttribute;
pub use layout::{DisplayControlMonitorLayout, MonitorLayoutEntry};
pub use options::{RdpServerOptions, RdpServerSecurity};
pub use pixel_format::PixelFormat;
pub use server::RdpServer;
pub use sound::{
    AudioFormat, ClientAudioFormatPdu, RdpsndError, RdpsndServerHandler, RdpsndServerMessage, SoundServerFactory,
    WaveFormat,
};
#[cfg(feature = "helper")]
pub use tls::TlsIdentityCtx;
