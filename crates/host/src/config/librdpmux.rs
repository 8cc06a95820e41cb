//! The section `[librdpmux]`: whether and how hypervisors that are built with librdpmux register here.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rdpmux_guest::librdpmux::{self, SocketName};
use toml::Spanned;

use super::check::{is_switched_on, number};
use super::error::Problems;
use super::raw;

/// Registrations over D-Bus, and a port per machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Librdpmux {
    /// Where the hypervisors find us.
    pub bus: Bus,
    /// Where the ports of single machines are.
    pub listen: IpAddr,
    /// The first of them; 1 to 65535.
    pub first_port: u16,
    /// Where the hypervisors connect.
    pub sockets: librdpmux::Config,
    /// A machine that is registered without a credential file asks nobody for a password at its own port.
    pub no_auth: bool,
}

/// A message bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bus {
    /// The system's.
    System,
    /// The one at this D-Bus address.
    Address(String),
}

impl Librdpmux {
    /// Where RDPMux always began.
    pub const FIRST_PORT: u16 = 3901;
}

impl Default for Librdpmux {
    fn default() -> Self {
        Self {
            bus: Bus::System,
            listen: Ipv4Addr::LOCALHOST.into(),
            first_port: Self::FIRST_PORT,
            sockets: librdpmux::Config {
                socket: SocketName::default(),
                socket6: PathBuf::from("/run/rdpmux/librdpmux.sock"),
            },
            no_auth: false,
        }
    }
}

/// Judges the section.
pub(super) fn check(raw: &raw::Librdpmux, directory: &Path, problems: &mut Problems<'_>) -> Librdpmux {
    let defaults = Librdpmux::default();
    let first_port = raw
        .first_port
        .as_ref()
        .and_then(|value| number("librdpmux.first_port", value, 1..=65_535, problems));
    Librdpmux {
        bus: raw.bus.as_ref().map_or(defaults.bus, |text| bus(text, problems)),
        listen: raw
            .listen
            .as_ref()
            .and_then(|text| listen(text, problems))
            .unwrap_or(defaults.listen),
        first_port: first_port
            .and_then(|port| port.try_into().ok())
            .unwrap_or(defaults.first_port),
        sockets: librdpmux::Config {
            socket: raw
                .socket
                .as_ref()
                .map_or(defaults.sockets.socket, |text| socket(text, directory, problems)),
            socket6: raw
                .socket6
                .as_ref()
                .map_or(defaults.sockets.socket6, |text| directory.join(text.get_ref())),
        },
        no_auth: is_switched_on(&raw.no_auth),
    }
}

fn bus(text: &Spanned<String>, problems: &mut Problems<'_>) -> Bus {
    match text.get_ref().as_str() {
        "system" => Bus::System,
        address if address.contains(':') => Bus::Address(address.to_owned()),
        other => {
            problems.at(
                text.span().start,
                format!(
                    "`librdpmux.bus` takes system, or a D-Bus address such as unix:path=/run/x.sock, not `{other}`"
                ),
            );
            Bus::System
        }
    }
}

fn listen(text: &Spanned<String>, problems: &mut Problems<'_>) -> Option<IpAddr> {
    let parsed = text.get_ref().parse();
    if parsed.is_err() {
        problems.at(
            text.span().start,
            format!(
                "`librdpmux.listen` takes an address without a port such as 127.0.0.1 or ::, not `{}`",
                text.get_ref()
            ),
        );
    }
    parsed.ok()
}

fn socket(text: &Spanned<String>, directory: &Path, problems: &mut Problems<'_>) -> SocketName {
    let name = match text.get_ref().strip_prefix('@') {
        Some("") => {
            problems.at(text.span().start, "`librdpmux.socket` needs a name after the @");
            return SocketName::default();
        }
        Some(name) => SocketName::Abstract(name.to_owned()),
        None => SocketName::Path(directory.join(text.get_ref())),
    };
    if text.get_ref().len() > LONGEST {
        problems.at(
            text.span().start,
            format!("`librdpmux.socket` is longer than the {LONGEST} bytes that a socket's name may have"),
        );
    }
    name
}

/// `sockaddr_un` has 108 bytes, the first or last of which is a zero.
const LONGEST: usize = 107;
