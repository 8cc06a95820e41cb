//! `cargo xtask setup`: everything that build and tests need, from a bare Debian 12 with Rust.
//! Installs Debian packages, and unpacks newer peers beside the system under `target/peers`. Does nothing twice.

mod apt;
mod packages;
mod peers;

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub struct Options {
    /// Only say what is missing; exit status 1 if something is
    #[arg(long)]
    check: bool,
    /// Also what only `bench e2e` needs: the peers that it compares with
    #[arg(long)]
    bench: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// When something is missing (`--check`) or cannot be installed.
pub fn run(options: &Options) -> Result<()> {
    let mut packages = packages::missing()?;
    let mut peers: Vec<_> = peers::ALL.iter().filter(|peer| !peer.is_ready()).collect();
    if options.bench {
        packages.extend(packages::missing_for_bench()?);
        peers.extend(peers::BENCH.iter().filter(|peer| !peer.is_ready()));
    }
    if options.check {
        for (package, why) in &packages {
            println!("missing  {package:32} {why}");
        }
        for peer in &peers {
            println!("missing  {:32} {}", peer.name, peer.purpose);
        }
        if packages.is_empty() && peers.is_empty() {
            println!("setup: everything is here");
            return Ok(());
        }
        bail!(
            "{} packages and {} peers are missing: run `cargo xtask setup`",
            packages.len(),
            peers.len()
        );
    }
    packages::install(&packages)?;
    for peer in &peers {
        println!("setup: {} ({})", peer.name, peer.purpose);
        peer.make()?;
    }
    println!("setup: everything is here");
    Ok(())
}

/// Whether a subcommand that needs the tools has to run [`run`] first.
pub fn is_complete() -> bool {
    packages::missing().is_ok_and(|missing| missing.is_empty()) && peers::ALL.iter().all(peers::Peer::is_ready)
}

/// Whether the bench has all its peers.
pub fn has_bench() -> bool {
    is_complete()
        && packages::missing_for_bench().is_ok_and(|missing| missing.is_empty())
        && peers::BENCH.iter().all(peers::Peer::is_ready)
}
