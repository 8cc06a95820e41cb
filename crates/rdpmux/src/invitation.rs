//! What `demo` and `run` tell a person: two users with fresh passwords, and how stock clients connect. The passwords end
//! with the process; they are printed here and nowhere logged.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rdpmux_host::auth::{UserName, Users, random_password};
use rdpmux_host::{Daemon, Grant, Pattern};
use rdpmux_model::{ClipboardPolicy, DesktopName, Rights};
use serde_json::{Value, json};

use crate::rdp_file::{Client, RdpFile};

/// A user who lives as long as the process.
struct Guest {
    name: UserName,
    password: String,
    rights: Rights,
}

/// `alice`, who may do everything, and `guest`, who may look.
pub(crate) struct Invitation {
    guests: Vec<Guest>,
}

impl Invitation {
    pub(crate) fn new() -> Self {
        let guest = |name, rights| Guest {
            name: UserName::new(name).expect("a valid name"),
            password: random_password(),
            rights,
        };
        Self {
            guests: vec![guest("alice", Rights::CONTROL), guest("guest", Rights::VIEW)],
        }
    }

    pub(crate) fn users(&self) -> Arc<Users> {
        Arc::new(Users::in_memory(
            self.guests
                .iter()
                .map(|guest| (guest.name.clone(), guest.password.clone())),
        ))
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        let grant = |guest: &Guest| Grant {
            users: vec![Pattern::new(guest.name.as_str())],
            vms: vec![Pattern::new("*")],
            rights: guest.rights,
            clipboard: ClipboardPolicy::ALL,
            streams: rdpmux_host::StreamGrant::NONE,
        };
        self.guests.iter().map(grant).collect()
    }

    /// One line for other programs: each desktop with each user, those with `control` first.
    pub(crate) fn json(&self, daemon: &Daemon, desktops: &[DesktopName]) -> String {
        let of = |guest: &Guest, desktop: &DesktopName| {
            json!({
                "name": desktop.as_str(),
                "user": guest.name.as_str(),
                "password": guest.password,
                "rights": if guest.rights.control { "control" } else { "view" },
            })
        };
        let entries = self
            .guests
            .iter()
            .flat_map(|guest| desktops.iter().map(move |desktop| of(guest, desktop)));
        let line = json!({
            "address": daemon.address().to_string(),
            "certificate_sha256": daemon.fingerprint(),
            "desktops": entries.collect::<Vec<Value>>(),
        });
        format!("{line}\n")
    }

    /// The same for a person, with client command lines that work as they stand.
    pub(crate) fn page(&self, daemon: &Daemon, desktops: &[DesktopName], files: &[PathBuf]) -> String {
        let mut page = String::new();
        let names: Vec<&str> = desktops.iter().map(DesktopName::as_str).collect();
        let _ = writeln!(
            page,
            "Listening on {}, desktops: {}",
            daemon.address(),
            names.join(", ")
        );
        let _ = writeln!(page, "Certificate SHA-256: {}\n", daemon.fingerprint());
        for guest in &self.guests {
            let may = if guest.rights.control {
                "may see and control"
            } else {
                "may see"
            };
            let _ = writeln!(
                page,
                "  user {:<6} password {}   {may}",
                guest.name.as_str(),
                guest.password
            );
        }
        if let (Some(guest), Some(desktop)) = (self.guests.first(), desktops.first()) {
            let _ = writeln!(page, "\nConnect with one of:");
            for (client, line) in command_lines(daemon.address(), guest, desktop) {
                let _ = writeln!(page, "  {client:<10}  {line}");
            }
            if let Some(file) = files.first() {
                let _ = writeln!(page, "  {:<10}  mstsc {}", "Windows", file.display());
            }
        }
        if desktops.len() > 1 {
            let _ = writeln!(
                page,
                "\nThe other desktops answer to their names in place of `{}`.",
                names[0]
            );
        }
        if !files.is_empty() {
            let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            let _ = writeln!(page, "Files for a double click: {}", list.join(" "));
        }
        let _ = writeln!(page, "Ctrl-C ends it.");
        page
    }

    /// Writes one `.rdp` file per desktop for the first user.
    pub(crate) fn write_files(
        &self,
        directory: &Path,
        daemon: &Daemon,
        desktops: &[DesktopName],
    ) -> anyhow::Result<Vec<PathBuf>> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let address = reachable(daemon.address()).to_string();
        let user = self.guests.first().map(|guest| guest.name.as_str());
        desktops
            .iter()
            .map(|desktop| {
                let file = RdpFile {
                    address: &address,
                    user,
                    desktop,
                    client: Client::Mstsc,
                };
                let path = directory.join(file.name());
                fs::write(&path, file.text()).with_context(|| format!("cannot write {}", path.display()))?;
                Ok(path)
            })
            .collect()
    }
}

fn command_lines(address: SocketAddr, guest: &Guest, desktop: &DesktopName) -> [(&'static str, String); 3] {
    let address = reachable(address);
    let (user, password) = (guest.name.as_str(), &guest.password);
    [
        (
            "FreeRDP 2",
            format!("xfreerdp /v:{address} /u:{user} /p:{password} /pcb:{desktop} /gfx /cert:ignore"),
        ),
        (
            "FreeRDP 3",
            format!("xfreerdp3 /v:{address} /u:{user} /p:{password} /pcb:{desktop} /gfx /cert:ignore"),
        ),
        (
            "rdesktop",
            format!("rdesktop -u '{user}#{desktop}' -p {password} {address}"),
        ),
    ]
}

/// An address that a client on this machine can use.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
