//! The configuration of the daemon: a TOML file, read once, every problem reported with file and line.
//!
//! `settings` is the table of all keys, `keys` checks a file against it, `raw` is what serde reads, `check` makes a valid
//! [`Config`] of it. `demo` and `run` build a [`Config`] without a file.

mod check;
mod clipboard;
mod error;
mod keys;
mod librdpmux;
mod raw;
mod rights;
mod settings;
mod streams;
mod take_over;
mod vnc;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rdpmux_guest::{outside, testcard};
use rdpmux_model::DesktopName;
pub use rdpmux_server::typing::Layout;
use rdpmux_server::{Limits, Logins, Reconnect, Routing, VncSettings};
use toml::de::DeTable;

pub use error::{ConfigError, EXAMPLE, Problem};
pub use librdpmux::{Bus, Librdpmux};
pub use settings::reference;
pub use take_over::TakeOver;

use crate::registry::{Grant, Outlets, SocketPattern};
use error::Problems;

/// All that the daemon is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the certificate and the users file live.
    pub state_dir: PathBuf,
    /// Desktop for clients that name none.
    pub default_desktop: Option<DesktopName>,
    /// How names on the wire become desktop names.
    pub routing: Routing,
    /// Which logins are offered.
    pub logins: Logins,
    /// Streams also go over the static channel `rdp2tcp`.
    pub rdp2tcp: bool,
    /// A certificate of the operator's own.
    pub certificate: Option<CertificateFiles>,
    /// Machines with fixed names.
    pub machines: Vec<Machine>,
    /// Where machines come and go.
    pub discover: Vec<Discovery>,
    /// Keyboard layout of guests that come from there.
    pub layout: Option<Layout>,
    /// Who may do what.
    pub grants: Vec<Grant>,
    /// Deadlines and ceilings.
    pub limits: Limits,
    /// Who may come back after a lost connection.
    pub reconnect: Reconnect,
    /// Where the commands of the operator reach the daemon; `None`: at the usual place.
    pub admin_socket: Option<PathBuf>,
    /// Machines whose hypervisors register; `None`: none do.
    pub librdpmux: Option<Librdpmux>,
    /// Where VNC viewers connect; `None`: nowhere.
    pub vnc: Option<Vnc>,
    /// Where streams go besides to their clients.
    pub outlets: Outlets,
    /// What is allowed but hardly meant.
    pub warnings: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3389)),
            state_dir: PathBuf::from("/var/lib/rdpmux"),
            default_desktop: None,
            routing: Routing::default(),
            logins: Logins::default(),
            rdp2tcp: false,
            certificate: None,
            machines: Vec::new(),
            discover: Vec::new(),
            layout: None,
            grants: Vec::new(),
            limits: Limits::default(),
            reconnect: Reconnect::default(),
            admin_socket: None,
            librdpmux: None,
            vnc: None,
            outlets: Outlets::default(),
            warnings: Vec::new(),
        }
    }
}

/// The door of VNC viewers.
#[derive(Debug, Clone, Copy)]
pub struct Vnc {
    /// Where it is.
    pub listen: SocketAddr,
    /// What it does.
    pub settings: VncSettings,
}

/// Paths of a certificate chain and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A machine and where its screens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Name of its first desktop, without `/`.
    pub name: DesktopName,
    /// Where its screens come from.
    pub source: Source,
    /// Whether viewers may change the sizes of its heads.
    pub resize: bool,
    /// The keyboard layout that its system is set to, if it is known.
    pub layout: Option<Layout>,
    /// Character devices that are taken over.
    pub take_over: TakeOver,
    /// Character devices that are reached from outside.
    pub streams: Vec<outside::Source>,
}

/// Where machines come and go.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// Their QMP sockets.
    pub sockets: SocketPattern,
    /// Their keyboard layout, if it is known.
    pub layout: Option<Layout>,
    /// Character devices of each that are taken over.
    pub take_over: TakeOver,
}

/// Where a machine's screens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The built-in guest.
    TestCard(testcard::Config),
    /// A QEMU with `-display dbus,p2p=yes`, by its QMP socket.
    Qmp(PathBuf),
    /// A QEMU with `-display dbus`, by the address of its bus.
    Bus {
        /// D-Bus address.
        address: String,
        /// Name or UUID of the machine, if the bus carries several.
        vm: Option<String>,
    },
    /// There is none: the machine is its streams.
    NoScreen,
}

impl Config {
    /// Where the configuration is without `--config`.
    pub const DEFAULT_PATH: &'static str = "/etc/rdpmux/rdpmux.toml";

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem that was found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
            _ => ConfigError::Read {
                path: path.to_owned(),
                source,
            },
        })?;
        Self::parse(&text, path)
    }

    /// Checks a configuration text; `path` is named in problems, and relative paths start at its directory.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut problems = Problems::new(text);
        let config = parse(text, path, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Wrong {
                path: path.to_owned(),
                problems: problems.into_sorted(),
            }),
        }
    }

    /// Path of the users file.
    pub fn users_path(&self) -> PathBuf {
        self.state_dir.join("users")
    }
}

fn parse(text: &str, path: &Path, problems: &mut Problems<'_>) -> Option<Config> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        problems.at(
            error.span().map_or(0, |span| span.start),
            error.message().replace('\n', ", "),
        );
    }
    if !errors.is_empty() {
        return None;
    }
    keys::check(root.get_ref(), problems);
    if !problems.is_empty() {
        return None;
    }
    match toml::from_str::<raw::File>(text) {
        Ok(file) => Some(check::check(&file, path.parent().unwrap_or(Path::new(".")), problems)),
        Err(error) => {
            problems.at(
                error.span().map_or(0, |span| span.start),
                error.message().replace('\n', ", "),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;
