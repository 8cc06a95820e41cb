//! Suite `session`: what a session carries besides pictures, between real QEMUs, real guests and real clients. One file
//! per part; this one is the list.

mod clipboard;
mod commands;
mod hands;
mod input;
mod light_login;
mod liveness;
mod monitors;
mod proxy;
mod sound;
mod tone;

use super::report::Suite;
use anyhow::Result;

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(only: Option<&str>) -> Result<()> {
    let mut suite = Suite::new("session", only);
    liveness::cases(&mut suite);
    commands::cases(&mut suite);
    monitors::cases(&mut suite);
    clipboard::cases(&mut suite);
    sound::cases(&mut suite);
    input::cases(&mut suite);
    suite.finish()
}
