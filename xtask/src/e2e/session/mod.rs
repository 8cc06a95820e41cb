//! Suite `session`: what a session carries besides pictures, between real QEMUs, real guests and real clients. One file
//! per part; this one is the list.

mod agent;
pub(super) mod clipboard;
mod commands;
mod files;
mod hands;
mod input;
mod light_login;
mod liveness;
mod monitors;
pub(super) mod proxy;
mod sound;
pub(super) mod tone;

use super::report::{Suite, Wanted};
use anyhow::Result;

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    let mut suite = Suite::new("session", wanted);
    liveness::cases(&mut suite);
    commands::cases(&mut suite);
    monitors::cases(&mut suite);
    clipboard::cases(&mut suite);
    agent::cases(&mut suite);
    files::cases(&mut suite);
    sound::cases(&mut suite);
    input::cases(&mut suite);
    suite.finish()
}
