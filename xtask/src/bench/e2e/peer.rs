//! The peers: which server shows the guest, how its source is started, and which client looks. What all peers share is
//! the guest, the link, the client's screen and the sampler.

use super::net::{self, Link};
use super::source::Source;
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon::{self, Daemon};
use crate::e2e::process::Process;
use crate::e2e::report::Case;
use crate::e2e::{vm, wait};
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
    Rdpmux,
}

/// All peers, the product first.
pub const ALL: &[Peer] = &[Peer {
    name: "rdpmux",
    server: Server::Rdpmux,
    client: Kind::FreeRdp3,
    more: &["/gfx", "/network:auto"],
}];

/// A server that runs, and its source.
pub struct Stage {
    pub source: Source,
    servers: Vec<Process>,
}

const PORT: u16 = 3389;
const USER: &str = "bench";
const PASSWORD: &str = "Correct-Horse-7";
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
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let wrap = |command: &Command| link.server.inside(command);
        let (source, servers) = match self.server {
            Server::Rdpmux => {
                fs::create_dir_all(case.sockets.path().join("vm"))?;
                let socket = format!("unix:{},server=on,wait=off", vm::socket(case, MACHINE).display());
                let display = words(&["-display", "dbus,p2p=yes", "-qmp", &socket]);
                let source = Source::start(case, MACHINE, &display, wrap)?;
                (source, vec![rdpmux(case, link)?])
            }
        };
        wait::for_true(wait::seconds(15), "the server listens", || link.server.listens(PORT))?;
        Ok(Stage { source, servers })
    }

    /// Starts the client called `name` at the client's end of the link.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn look(&self, case: &Case, link: &Link, name: &str) -> Result<Client> {
        let address = format!("{}:{PORT}", net::SERVER);
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
        let processes = self.servers.iter().chain([&self.source.process]);
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
