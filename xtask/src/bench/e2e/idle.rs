//! Many desktops at rest in one daemon, each with one viewer that looks: what they cost in memory and processor time.
//! The desktops are still test cards and the viewers light clients on loopback; nothing of it needs root.

use super::usage;
use crate::bench::row::{Row, Table};
use crate::e2e::daemon::{self, Daemon};
use crate::e2e::report::Case;
use crate::e2e::{light, process, wait};
use anyhow::Result;
use std::process::Command;

/// Of a test card, KiB: its pixels are held once.
const PIXELS: f64 = (1920 * 1080 * 4) as f64 / 1024.0;
/// Seconds that are measured.
const TIME: u64 = 10;

/// Measures `count` desktops and adds the rows.
///
/// # Errors
/// When daemon or viewers do not come up.
pub fn run(case: &Case, count: u32, table: &mut Table) -> Result<()> {
    println!("bench: {count} idle desktops with a viewer each");
    let mut command = Command::new(daemon::program());
    command.args([
        "demo",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--still",
        "--size",
        "1920x1080",
        "--more",
    ]);
    command.arg(count.to_string()).env("RUST_LOG", "warn");
    let daemon = Daemon::start_command(&case.folder, &mut command)?;
    let desktop = daemon.desktop("desk0")?.clone();
    let ids = [daemon.process.id()];
    std::thread::sleep(wait::seconds(2));
    let before = usage::memory(&ids)?;
    let user = format!("{}#desk{{}}", desktop.user);
    let mut viewers = light::start(
        &case.folder,
        &daemon.address,
        (&user, &desktop.password),
        count,
        process::again,
    )?;
    light::wait_until_up(&mut viewers, count, wait::seconds(180))?;
    std::thread::sleep(wait::seconds(5));
    let (memory, used) = (usage::memory(&ids)?, usage::time(&ids));
    std::thread::sleep(wait::seconds(TIME));
    let percent = (usage::time(&ids) - used).as_secs_f64() * 100.0 / TIME as f64;
    let each = |kibibytes: u64| kibibytes as f64 / f64::from(count) / 1024.0;
    let beyond = each(memory) - PIXELS / 1024.0;
    table.push(
        Row::new(format!("idle {count} desktops, a viewer each"), percent, "% of a core").goal("≤ 2", percent <= 2.0),
    );
    table.push(
        Row::new("memory per desktop, with its viewer, beyond its pixels", beyond, "MiB").goal("≤ 20", beyond <= 20.0),
    );
    table.push(Row::new("memory per desktop without a viewer", each(before), "MiB"));
    table.push(Row::new(
        "memory per viewer",
        each(memory.saturating_sub(before)),
        "MiB",
    ));
    Ok(())
}
