//! `cargo xtask bench e2e`: the product beside its peers, all of it: guest, server, link, stock client. Frame numbers in
//! the picture, read in the client's framebuffer and compared with the moments at which the guest painted them, give frame
//! rate and latency without any help from the peer; the kernel counts bytes and processor time. One bench at a time.

mod idle;
mod keys;
mod peer;
mod rivals;
mod run;
mod table;
pub(crate) mod usage;

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
    /// Only these workloads: type, echo, scroll, drag, video, busy (comma)
    #[arg(long, value_delimiter = ',')]
    work: Vec<String>,
    /// Only these links: lan, 20m40, 2m100 (comma)
    #[arg(long, value_delimiter = ',')]
    link: Vec<String>,
    /// Numbers of viewers of the product: one stock client, which is looked at, and light ones beside it (comma)
    #[arg(long, value_delimiter = ',')]
    viewers: Vec<u32>,
    /// So many idle desktops with a viewer each; 0 for none
    #[arg(long)]
    idle: Option<u32>,
    /// The product and three peers on two links, in five minutes
    #[arg(long)]
    quick: bool,
    /// Seconds that each workload plays
    #[arg(long, default_value_t = 5)]
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
    let is_all = options.peer.is_empty() && options.work.is_empty() && options.link.is_empty();
    let idle = options
        .idle
        .unwrap_or(if is_all && options.viewers.is_empty() { 200 } else { 0 });
    if idle > 0 {
        idle::run(&run::folder("idle")?, idle, table)?;
    }
    ensure!(idle > 0 || !all.is_empty(), "nothing could be measured");
    table::print(&all);
    table::rows(&all, table);
    Ok(())
}

/// What `--quick` compares with.
const QUICK: [&str; 4] = ["rdpmux", "shadow2", "shadow3-avc420", "qemu-rdp"];
/// Who is asked on the slow links, unless peers are named; and in a quick run.
const SLOW: [&str; 6] = [
    "rdpmux",
    "rdpmux-avc420",
    "shadow2",
    "shadow3-avc420",
    "xrdp",
    "qemu-rdp",
];
const QUICK_SLOW: [&str; 2] = ["rdpmux", "shadow3-avc420"];
/// What is asked of them: the workloads that a slow link changes most.
const SLOW_WORK: [Workload; 4] = [Workload::Echo, Workload::Busy, Workload::Scroll, Workload::Video];
/// Numbers of viewers of a whole run.
const VIEWERS: [u32; 4] = [1, 2, 8, 32];

fn plans(options: &Options) -> Result<Vec<Plan>> {
    if options.idle.is_some_and(|count| count > 0) && options.peer.is_empty() && options.viewers.is_empty() {
        return Ok(Vec::new());
    }
    let workloads = match options.work.as_slice() {
        [] if options.quick => vec![Workload::Echo, Workload::Scroll, Workload::Video],
        [] => Workload::ALL.to_vec(),
        names => names
            .iter()
            .map(|name| Workload::named(name).with_context(|| format!("no workload {name}")))
            .collect::<Result<_>>()?,
    };
    let peers = match options.peer.as_slice() {
        [] if options.quick => QUICK.iter().map(|name| Peer::named(name)).collect::<Result<_>>()?,
        [] => peer::ALL.to_vec(),
        names => names.iter().map(|name| Peer::named(name)).collect::<Result<_>>()?,
    };
    let seconds = if options.quick {
        options.secs.min(3)
    } else {
        options.secs
    };
    let plan = |peer, link, workloads, viewers| Plan {
        peer,
        link,
        workloads,
        time: Duration::from_secs(seconds),
        viewers,
    };
    let mut plans = Vec::new();
    for link in net::KINDS {
        let is_wanted = match options.link.as_slice() {
            [] => !options.quick || link.name != "20m40",
            names => names.iter().any(|name| name == link.name),
        };
        if !is_wanted || !options.viewers.is_empty() {
            continue;
        }
        let is_slow = link.limits.is_some();
        let few: &[&str] = if options.quick { &QUICK_SLOW } else { &SLOW };
        let chosen = peers
            .iter()
            .filter(|peer| !is_slow || !options.peer.is_empty() || few.contains(&peer.name));
        let mut moved = workloads.clone();
        if is_slow && options.work.is_empty() {
            moved.retain(|workload| SLOW_WORK.contains(workload));
        }
        plans.extend(chosen.map(|peer| plan(*peer, link, moved.clone(), 1)));
    }
    let is_whole = options.peer.is_empty() && options.work.is_empty() && options.link.is_empty() && !options.quick;
    let viewers = if is_whole && options.viewers.is_empty() {
        &VIEWERS[..]
    } else {
        &options.viewers
    };
    let moving: Vec<Workload> = if options.work.is_empty() {
        vec![Workload::Scroll]
    } else {
        workloads.clone()
    };
    // The first viewer was measured with the peers, but not at the same time as these.
    plans.extend(
        viewers
            .iter()
            .map(|count| plan(peer::ALL[0], net::KINDS[0], moving.clone(), *count)),
    );
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
