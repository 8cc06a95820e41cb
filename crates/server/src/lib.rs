//! RDP session engine for many clients: one listener, many desktops, many viewers of each.
//!
//! The embedder brings accounts and desktops ([`Accounts`], [`Directory`]) and pixels ([`DesktopSource`]); [`serve`] does
//! the rest. It is the code that the `rdpmux` daemon runs on.
#![forbid(unsafe_code)]

mod access;
mod config;
mod desktop;
mod fault;
mod listen;
mod login;
mod route;
mod session;
mod tls;

pub use access::{Accounts, Denied, Directory, NtHash};
pub use config::{Limits, Logins, Routing, ServerConfig};
pub use desktop::{Desktop, DesktopHandle, DesktopSource, Peripherals};
pub use listen::{Stop, Stopper, serve, stop_pair};
pub use tls::{TlsError, TlsIdentity};
