//! `cargo xtask e2e SUITE`: the product between real QEMUs and real clients, compared with what QEMU itself shows.
//! Drivers (display, client, vm, daemon …) end what they started when dropped. Pictures and logs stay in `target/e2e`.

pub(crate) mod client;
mod clients;
mod codecs;
pub(crate) mod daemon;
pub(crate) mod display;
mod ear;
mod graphics;
mod hostile;
mod librdpmux;
pub(crate) mod light;
pub(crate) mod net;
pub(crate) mod picture;
pub(crate) mod process;
pub(crate) mod qemu;
mod qmp;
pub mod report;
pub(crate) mod sampler;
pub(crate) mod screen;
mod sdk;
mod session;
mod slow;
pub(crate) mod source;
mod streams;
mod text;
pub(crate) mod vm;
pub(crate) mod wait;
pub(crate) mod x11;

use crate::setup;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use report::Wanted;

#[derive(Args)]
pub struct Options {
    /// The suite
    suite: Name,
    /// Only cases with this in their name
    #[arg(long)]
    only: Option<String>,
    /// Try cases that fail a second time
    #[arg(long)]
    again: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Stock clients, and hostile ones, against the test card
    Clients,
    /// QEMU 7.2 and 10 with real guests
    Qemu,
    /// Every encoder against FreeRDP's decoders
    Codecs,
    /// Every workload, codec and kind of client: the right picture, exactly where that is promised
    Graphics,
    /// What a session carries besides pictures: reconnection, commands and so on
    Session,
    /// Hypervisors that were built with librdpmux: a foreign one, and ours
    Librdpmux,
    /// Character devices of real machines through `rdpmux console`
    Streams,
    /// Servers written with the crate `rdpmux-server`
    Sdk,
    /// All suites
    All,
}

/// Runs a suite.
type Run = fn(Wanted<'_>) -> Result<()>;

/// Runs the subcommand.
///
/// # Errors
/// When a tool is missing, the product does not build, or a case failed.
pub fn run(options: &Options) -> Result<()> {
    if !setup::is_complete() {
        bail!("tools are missing: run `cargo xtask setup`");
    }
    let wanted = Wanted {
        only: options.only.as_deref(),
        again: options.again,
    };
    if ![Name::Codecs, Name::Sdk].contains(&options.suite) && std::env::var_os("NOBUILD").is_none() {
        daemon::build()?;
    }
    let suites: [(Name, Run); 8] = [
        (Name::Clients, clients::run),
        (Name::Qemu, qemu::run),
        (Name::Graphics, graphics::run),
        (Name::Session, session::run),
        (Name::Librdpmux, librdpmux::run),
        (Name::Streams, streams::run),
        (Name::Sdk, sdk::run),
        (Name::Codecs, codecs::run),
    ];
    let chosen = suites
        .iter()
        .filter(|(name, _)| [*name, Name::All].contains(&options.suite));
    let failures: Vec<_> = chosen.filter_map(|(_, run)| run(wanted).err()).collect();
    failures.into_iter().next().map_or(Ok(()), Err)
}
