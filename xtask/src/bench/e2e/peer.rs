//! The peers: which server shows the guest, how its source is started, and which client looks. What all peers share is
//! the guest, the link, the client's screen and the sampler.

use super::rivals;
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon::{self, Daemon};
use crate::e2e::net::{self, Link};
use crate::e2e::process::Process;
use crate::e2e::report::Case;
use crate::e2e::source::Source;
use crate::e2e::{vm, wait};
use crate::root;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

/// One row of every table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    pub name: &'static str,
    server: Server,
    client: Kind,
    more: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Server {
    /// The product, on QEMU's D-Bus display.
    Rdpmux,
    /// freerdp-shadow of FreeRDP 2 and 3, on an X server.
    Shadow2,
    Shadow3,
    /// xrdp as a proxy of QEMU's VNC.
    Xrdp,
    /// `qemu-rdp`, on QEMU's D-Bus display.
    QemuRdp,
    /// QEMU's own VNC.
    QemuVnc,
}

/// All peers, the product first.
pub const ALL: &[Peer] = &[
    peer("rdpmux", Server::Rdpmux, Kind::FreeRdp3, &["/gfx", "/network:auto"]),
    peer(
        "rdpmux-h264",
        Server::Rdpmux,
        Kind::FreeRdp3,
        &["/gfx:AVC444", "/network:auto"],
    ),
    peer("rdpmux-freerdp2", Server::Rdpmux, Kind::FreeRdp2, &["/gfx"]),
    peer(
        "rdpmux-avc420",
        Server::Rdpmux,
        Kind::FreeRdp3,
        &["/gfx:AVC420", "/network:auto"],
    ),
    peer("shadow2", Server::Shadow2, Kind::FreeRdp2, &["/rfx", "/gfx"]),
    peer("shadow3", Server::Shadow3, Kind::FreeRdp3, &["/gfx"]),
    peer("shadow3-avc420", Server::Shadow3, Kind::FreeRdp3, &["/gfx:AVC420"]),
    peer("xrdp", Server::Xrdp, Kind::FreeRdp2, &[]),
    peer(
        "qemu-rdp",
        Server::QemuRdp,
        Kind::FreeRdp3,
        &["/sec:nla", "+rfx", "-gfx"],
    ),
    peer("qemu-vnc", Server::QemuVnc, Kind::TigerVnc, &[]),
];

const fn peer(name: &'static str, server: Server, client: Kind, more: &'static [&'static str]) -> Peer {
    Peer {
        name,
        server,
        client,
        more,
    }
}

/// A server that runs, and its source.
pub struct Stage {
    pub source: Source,
    servers: Vec<Process>,
}

pub(super) const PORT: u16 = 3389;
pub(super) const USER: &str = "bench";
pub(super) const PASSWORD: &str = "Correct-Horse-7";
const MACHINE: &str = "web1";

impl Peer {
    /// By its name.
    pub fn named(name: &str) -> Result<Self> {
        let Some(peer) = ALL.iter().find(|peer| peer.name == name) else {
            let names: Vec<&str> = ALL.iter().map(|peer| peer.name).collect();
            bail!("no peer {name}; there are {}", names.join(", "));
        };
        Ok(*peer)
    }

    /// Starts source and server at the server's end of the link.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn start(&self, case: &Case, link: &Link) -> Result<Stage> {
        let guest = |display: &[&str]| {
            let display: Vec<String> = display.iter().map(|word| (*word).to_owned()).collect();
            Source::start(case, MACHINE, &display, |command| link.server.inside(command))
        };
        let (source, servers) = match self.server {
            Server::Rdpmux => {
                fs::create_dir_all(case.sockets.path().join("vm"))?;
                let socket = format!("unix:{},server=on,wait=off", vm::socket(case, MACHINE).display());
                let source = guest(&["-display", "dbus,p2p=yes", "-qmp", &socket])?;
                (source, vec![rdpmux(case, link)?])
            }
            Server::Shadow2 | Server::Shadow3 => {
                let source = Source::start_x(case)?;
                let program = if self.server == Server::Shadow2 {
                    "freerdp-shadow-cli".into()
                } else {
                    root::peers().join("shadow3/freerdp-shadow-cli3")
                };
                let mut command = Command::new(program);
                command.args([&format!("/port:{PORT}"), "-auth", "/sec:tls"]);
                command.env("DISPLAY", source.display()?).env("HOME", &case.folder);
                (source, vec![rivals::start(case, link, "shadow", &command)?])
            }
            Server::Xrdp => {
                let source = guest(&["-vnc", "127.0.0.1:0"])?;
                (source, vec![rivals::xrdp(case, link)?])
            }
            Server::QemuRdp => {
                let bus = rivals::bus(case)?;
                let source = guest(&["-display", &format!("dbus,addr={}", bus.1)])?;
                let server = rivals::qemu_rdp(case, link, &bus.1)?;
                (source, vec![server, bus.0])
            }
            Server::QemuVnc => (guest(&["-vnc", "0.0.0.0:0"])?, Vec::new()),
        };
        let port = self.port();
        wait::for_true(wait::seconds(15), "the server listens", || link.server.listens(port))?;
        if self.server == Server::QemuRdp {
            rivals::qemu_rdp_password(case)?;
        }
        Ok(Stage { source, servers })
    }

    /// Whether it speaks RDP and is not ours: what the goals compare with.
    pub fn is_rival(&self) -> bool {
        !matches!(self.server, Server::QemuVnc | Server::Rdpmux)
    }

    /// Whether it is ours.
    pub fn is_product(&self) -> bool {
        self.server == Server::Rdpmux
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("{}:{}", net::SERVER, self.port())
    }

    fn port(&self) -> u16 {
        if self.server == Server::QemuVnc { 5900 } else { PORT }
    }

    /// Starts the client called `name` at the client's end of the link.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn look(&self, case: &Case, link: &Link, name: &str) -> Result<Client> {
        let address = self.address();
        let config = Config {
            kind: self.client,
            address: &address,
            user: USER,
            password: PASSWORD,
            size: (bench_pictures::WIDTH, bench_pictures::HEIGHT),
            more: self.more,
            host: None,
        };
        Client::start_in(&case.folder, name, &config, |command| link.client.inside(command))
    }
}

impl Stage {
    /// Ids of everything that serves.
    pub fn served_by(&self) -> Vec<u32> {
        let processes = self.servers.iter().chain(&self.source.serving);
        processes.flat_map(|process| super::usage::tree(process.id())).collect()
    }
}

fn rdpmux(case: &Case, link: &Link) -> Result<Process> {
    let path = case.folder.join("rdpmux.toml");
    let mut text = format!("listen = \"{}:{PORT}\"\n", net::SERVER);
    writeln!(text, "state_dir = {:?}", case.folder.join("state"))?;
    writeln!(
        text,
        "[[grant]]\nusers = [\"{USER}\"]\nvms = [\"*\"]\nrights = [\"view\", \"control\"]"
    )?;
    writeln!(text, "[[discover]]\nqmp = {:?}", case.sockets.path().join("vm/*.qmp"))?;
    fs::write(&path, text)?;
    daemon::add_user(&path, USER, PASSWORD)?;
    let mut command = Command::new(daemon::program());
    command.args(["serve", "--json", "--config"]).arg(&path);
    let mut command = link.server.inside(&command);
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "info");
    }
    let daemon = Daemon::start_command(&case.folder, &mut command)?;
    daemon
        .wait_for_machine(MACHINE)
        .context("the product finds the guest")?;
    Ok(daemon.process)
}
