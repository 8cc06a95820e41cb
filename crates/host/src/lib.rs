//! The rdpmux daemon: it reads the configuration, keeps users and the certificate, follows the VMs of the host and joins
//! their screens to the port of the session engine.
//!
//! It is not a command line (that is the `rdpmux` binary) and speaks neither RDP (`server`) nor QEMU's protocols (`guest`).
#![forbid(unsafe_code)]

pub mod admin;
pub mod auth;
mod certificate;
pub mod config;
mod daemon;
mod librdpmux;
mod private_file;
mod probe;
mod registry;
mod task;

pub use certificate::{CertificateError, Identity};
pub use config::{Config, ConfigError};
pub use daemon::{Daemon, StartError};
pub use librdpmux::{BusError, OpenError};
pub use private_file::PrivateFileError;
pub use probe::{ProbeError, QemuFacts, probe_qmp};
pub use rdpmux_guest::{BACKENDS, testcard};
pub use rdpmux_model::Pattern;
pub use registry::{Grant, Outlets, PatternError, Records, SocketPattern, StreamGrant};
