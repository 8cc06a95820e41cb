//! `cargo xtask bench sdk`: the same moving picture of 1920x1080, all of it new in every frame, by a server written with our
//! crate (its example `video`) and by one written with ironrdp-server (`bench-peers`), which serves one client per server and
//! thread. Clients without a screen take what comes. What the painter uses is the picture's, not the server's.

use super::e2e::usage;
use super::row::{Row, Table};
use crate::e2e::light;
use crate::e2e::process::{Process, again};
use crate::e2e::wait;
use crate::{certificate, root, steps};
use anyhow::{Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Options {
    /// Seconds that are measured with each number of clients
    #[arg(long, default_value_t = 10)]
    secs: u64,
    /// Numbers of clients (comma)
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 8])]
    clients: Vec<u32>,
}

/// A server and what its clients take: the best that it can give to stock ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// The graphics pipeline.
    Ours,
    /// RemoteFX.
    Peer,
}

/// What came out, of all clients together.
struct Figures {
    frames: f64,
    bytes: f64,
    seconds: f64,
    /// Processor seconds of the server.
    used: f64,
}

/// Clients that were slow at first share a stream again after this.
const TOGETHER: Duration = wait::seconds(8);

/// Adds the rows.
///
/// # Errors
/// When a server does not build, or does not serve.
pub fn run(options: &Options, table: &mut Table) -> Result<()> {
    let folder = root::target().join("bench/sdk");
    std::fs::create_dir_all(&folder)?;
    if std::env::var_os("NOBUILD").is_none() {
        build()?;
    }
    certificate::write(&folder.join("cert.pem"), &folder.join("key.pem"), "DNS:localhost")?;
    for clients in &options.clients {
        let peer = measure(&folder, Server::Peer, *clients, options.secs)?;
        let ours = measure(&folder, Server::Ours, *clients, options.secs)?;
        rows(*clients, &ours, &peer, table);
    }
    Ok(())
}

fn build() -> Result<()> {
    let ours = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "rdpmux-server",
        "--example",
        "video",
    ];
    steps::run(steps::cargo().args(ours).current_dir(root::path()))?;
    let manifest = root::path().join("bench-peers/ironrdp-server/Cargo.toml");
    let mut peer = steps::cargo();
    peer.args(["build", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(manifest);
    steps::run(peer.arg("--target-dir").arg(root::target().join("bench-peers")))
}

impl Server {
    fn command(self, folder: &Path, clients: u32) -> Command {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let program = match self {
            Self::Peer => root::target().join("bench-peers/release/bench-peer-ironrdp-server"),
            Self::Ours => root::cargo_target().join("release/examples/video"),
        };
        let mut command = Command::new(program);
        match self {
            Self::Peer => command.args([cert, key]).arg(clients.to_string()),
            Self::Ours => command
                .args(["--bind-addr", "127.0.0.1:0", "--cert"])
                .arg(cert)
                .arg("--key")
                .arg(key),
        };
        command
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "rdpmux-server",
            Self::Peer => "ironrdp-server",
        }
    }
}

fn measure(folder: &Path, server: Server, clients: u32, seconds: u64) -> Result<Figures> {
    let log = |what: &str| -> PathBuf { folder.join(format!("{what}-{}-{clients}.log", server as u8)) };
    let mut process = Process::start(&server.command(folder, clients), &log("server"), "")?;
    let address = wait::until(wait::seconds(30), "the server listens", || {
        process.check()?;
        let output = process.output();
        let line = output.lines().find_map(|line| line.strip_prefix("LISTENING "));
        Ok(line.map(str::to_owned))
    })?;
    let more: &[&str] = match server {
        Server::Ours => &["--count-frames"],
        Server::Peer => &["--count-frames", "--rfx"],
    };
    let wrap = |command: &Command| {
        let mut command = again(command);
        command.args(more);
        command
    };
    let mut viewers = light::start(folder, &address, ("user", "pass"), clients, wrap)?;
    light::wait_until_up(&mut viewers, clients, wait::seconds(60))?;
    std::thread::sleep(TOGETHER);
    let before = Counters::take(&process, &viewers)?;
    std::thread::sleep(Duration::from_secs(seconds));
    process.check()?;
    viewers.check()?;
    let figures = Counters::take(&process, &viewers)?.since(&before);
    println!(
        "{}, {clients} clients: {:.1} frames/s each, {:.0} kB/frame, {:.0} % of a processor",
        server.name(),
        figures.frames / figures.seconds / f64::from(clients),
        figures.bytes / figures.frames / 1e3,
        figures.used / figures.seconds * 100.0,
    );
    Ok(figures)
}

/// What was counted up to a moment.
struct Counters {
    at: Instant,
    frames: u64,
    bytes: u64,
    used: Duration,
}

impl Counters {
    fn take(server: &Process, viewers: &Process) -> Result<Self> {
        let output = viewers.output();
        let last = output.lines().rev().find_map(|line| line.strip_prefix("SEEN "));
        let (frames, bytes) = last
            .and_then(|last| last.split_once(' '))
            .context("the viewers count nothing")?;
        let all = usage::time(&[server.id()]);
        Ok(Self {
            at: Instant::now(),
            frames: frames.parse()?,
            bytes: bytes.trim().parse()?,
            used: all.saturating_sub(usage::time_of_threads(server.id(), "painter")),
        })
    }

    fn since(&self, before: &Self) -> Figures {
        Figures {
            frames: (self.frames - before.frames) as f64,
            bytes: (self.bytes - before.bytes) as f64,
            seconds: (self.at - before.at).as_secs_f64(),
            used: self.used.saturating_sub(before.used).as_secs_f64(),
        }
    }
}

fn rows(clients: u32, ours: &Figures, peer: &Figures, table: &mut Table) {
    let name = |what: &str| format!("{}, {clients} clients: {what}", Server::Ours.name());
    let rate = |figures: &Figures| figures.frames / figures.used.max(0.01);
    let each = |figures: &Figures| figures.frames / figures.seconds / f64::from(clients);
    let size = |figures: &Figures| figures.bytes / figures.frames.max(1.0) / 1e3;
    let beside = Server::Peer.name();
    let ratio = rate(ours) / rate(peer).max(0.01);
    let row = Row::new(name("frames per processor second"), rate(ours), "frames").beside(beside, ratio);
    table.push(match clients {
        1 => row.goal("≥ 3 ×", ratio >= 3.0),
        8 => row.goal("≥ 15 ×", ratio >= 15.0),
        _ => row,
    });
    let row = Row::new(name("frames per second for each"), each(ours), "frames");
    table.push(row.beside(beside, each(ours) / each(peer).max(0.01)));
    let row = Row::new(name("bytes per frame"), size(ours), "kB");
    table.push(row.beside(beside, size(peer) / size(ours).max(0.01)));
}
