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
pub(crate) mod light;
pub(crate) mod net;
pub(crate) mod picture;
pub(crate) mod process;
mod qemu;
mod qmp;
pub mod report;
pub(crate) mod sampler;
pub(crate) mod screen;
mod session;
mod slow;
pub(crate) mod source;
mod text;
pub(crate) mod vm;
pub(crate) mod wait;
pub(crate) mod x11;

use crate::setup;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

#[derive(Args)]
pub struct Options {
    /// The suite
    suite: Name,
    /// Only cases with this in their name
    #[arg(long)]
    only: Option<String>,
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
    /// All suites
    All,
}

/// Runs the subcommand.
///
/// # Errors
/// When a tool is missing, the product does not build, or a case failed.
pub fn run(options: &Options) -> Result<()> {
    if !setup::is_complete() {
        bail!("tools are missing: run `cargo xtask setup`");
    }
    if matches!(options.suite, Name::Codecs) {
        return codecs::run(options.only.as_deref());
    }
    if std::env::var_os("NOBUILD").is_none() {
        daemon::build()?;
    }
    let only = options.only.as_deref();
    let clients = if matches!(options.suite, Name::Clients | Name::All) {
        clients::run(only)
    } else {
        Ok(())
    };
    let qemu = if matches!(options.suite, Name::Qemu | Name::All) {
        qemu::run(only)
    } else {
        Ok(())
    };
    let graphics = if matches!(options.suite, Name::Graphics | Name::All) {
        graphics::run(only)
    } else {
        Ok(())
    };
    let session = if matches!(options.suite, Name::Session | Name::All) {
        session::run(only)
    } else {
        Ok(())
    };
    let codecs = if matches!(options.suite, Name::All) {
        codecs::run(only)
    } else {
        Ok(())
    };
    clients.and(qemu).and(graphics).and(session).and(codecs)
}
