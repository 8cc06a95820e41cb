//! Suite `librdpmux`: hypervisors that were built with librdpmux. A foreign backend, written in C from the protocol's
//! document on libczmq, libmsgpack, GLib and pixman, against our daemon (`foreign`, `formats`, `hostile`, `rate`); our
//! library's C example against our daemon and against a foreign server (`library`). The bus is a private dbus-daemon.

mod foreign;
mod formats;
mod hostile;
mod library;
mod rate;
mod stage;

use super::report::{Suite, Wanted};
use anyhow::Result;

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    let mut suite = Suite::new("librdpmux", wanted);
    foreign::cases(&mut suite);
    formats::cases(&mut suite);
    library::cases(&mut suite);
    hostile::cases(&mut suite);
    rate::cases(&mut suite);
    suite.finish()
}
