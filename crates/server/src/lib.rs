//! RDP session engine for many clients: one listener, many desktops, many viewers of each.
//!
//! The embedder brings accounts and desktops ([`Accounts`], [`Directory`]) and pixels ([`DesktopSource`]); [`serve`] does
//! the rest. It is the code that the `rdpmux` daemon runs on.
#![forbid(unsafe_code)]

mod access;
mod chord;
mod clipboard;
mod config;
mod desktop;
mod fault;
mod listen;
mod login;
mod paste;
mod reconnect;
mod route;
mod session;
mod sessions;
mod sound;
mod tls;
pub mod typing;

pub use access::{Accounts, Denied, Directory, NtHash};
pub use chord::{Chord, NoChord};
pub use clipboard::{ClipboardHub, GuestClipboard};
pub use config::{Limits, Logins, Reconnect, Routing, ServerConfig};
pub use desktop::{Desktop, DesktopEnded, DesktopHandle, DesktopSource, Hand, HeadSource, Heads, Peripherals, Typed};
pub use listen::{House, Stop, Stopper, serve, stop_pair};
pub use rdpmux_rdp::CloseReason;
pub use sessions::{SessionFacts, Sessions};
pub use sound::{SoundHub, SoundSource};
pub use tls::{TlsError, TlsIdentity};
