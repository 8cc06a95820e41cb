//! `cargo xtask bench e2e`: the product beside its peers, all of it: guest, server, link, stock client. Frame numbers in
//! the picture, read in the client's framebuffer and compared with the moments at which the guest painted them, give frame
//! rate and latency without any help from the peer; the kernel counts bytes and processor time. One bench at a time.

mod keys;
mod peer;
mod rivals;
mod run;
mod table;
mod usage;

use super::row::Table;
use crate::e2e::{daemon, net};
use crate::{root, setup};
use anyhow::{Context, Result, bail, ensure};
use bench_pictures::Workload;
use clap::Args;
use peer::Peer;
use run::{Figures, Plan};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::time::Duration;

#[derive(Args)]
pub struct Options {
    /// Only these peers, by name (comma)
    #[arg(long, value_delimiter = ',')]
    peer: Vec<String>,
    /// Only these workloads: type, echo, scroll, drag, video (comma)
    #[arg(long, value_delimiter = ',')]
    work: Vec<String>,
    /// Only these links: lan, 20m40, 2m100 (comma)
    #[arg(long, value_delimiter = ',')]
    link: Vec<String>,
    /// Seconds that each workload plays
    #[arg(long, default_value_t = 6)]
    secs: u64,
}

/// Runs the subcommand and adds its rows.
///
/// # Errors
/// When the product does not build, a name is unknown, or nothing could be measured.
pub fn run(options: &Options, table: &mut Table) -> Result<()> {
    let _lock = lock()?;
    if std::env::var_os("NOBUILD").is_none() {
        daemon::build()?;
    }
    let plans = plans(options)?;
    if plans.iter().any(|plan| !plan.peer.is_product()) && !setup::has_bench() {
        bail!("peers are missing: run `cargo xtask setup --bench`, or measure the product alone with --peer rdpmux");
    }
    let mut all: Vec<Figures> = Vec::new();
    for plan in plans {
        match run::run(&plan, |figures| println!("  {}", figures.line())) {
            Ok(figures) => all.extend(figures),
            // One peer that fails must not cost the figures of the others.
            Err(error) => eprintln!("bench: {} on {}: {error:#}", plan.peer.name, plan.link.name),
        }
    }
    ensure!(!all.is_empty(), "nothing could be measured");
    table::print(&all);
    table::rows(&all, table);
    Ok(())
}

fn plans(options: &Options) -> Result<Vec<Plan>> {
    let workloads = match options.work.as_slice() {
        [] => Workload::ALL.to_vec(),
        names => names
            .iter()
            .map(|name| Workload::named(name).with_context(|| format!("no workload {name}")))
            .collect::<Result<_>>()?,
    };
    let peers = match options.peer.as_slice() {
        [] => peer::ALL.to_vec(),
        names => names.iter().map(|name| Peer::named(name)).collect::<Result<_>>()?,
    };
    let mut plans = Vec::new();
    for link in net::KINDS {
        if !options.link.is_empty() && !options.link.iter().any(|name| name == link.name) {
            continue;
        }
        plans.extend(peers.iter().map(|peer| Plan {
            peer: *peer,
            link,
            workloads: workloads.clone(),
            time: Duration::from_secs(options.secs),
        }));
    }
    if plans.is_empty() {
        bail!("no such link");
    }
    Ok(plans)
}

/// Two benches at once would measure each other.
fn lock() -> Result<File> {
    let folder = root::target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let file = File::create(std::env::temp_dir().join("rdpmux-bench.lock"))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        eprintln!("bench: another bench runs; waiting for it");
        flock(&file, FlockOperation::LockExclusive)?;
    }
    Ok(file)
}
