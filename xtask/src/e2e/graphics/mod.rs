//! Suite `graphics`: what the graphics engine promises, seen by foreign decoders. Every workload settles to the exact
//! picture (`settle`), every codec shows the right one while it moves (`codecs`), and a slow viewer costs the others
//! nothing (`viewers`). The guest shows the bench's pictures, which are known for every frame.

mod codecs;
mod settle;
mod viewers;

use super::client::{Client, Config, Kind};
use super::daemon::Daemon;
use super::process;
use super::qemu::{PASSWORD, configure, serve};
use super::report::{Case, Suite, Wanted};
use super::screen::Screen;
use super::source::Source;
use super::{vm, wait};
use anyhow::Result;
use bench_pictures::Workload;
use std::process::Command;

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    let mut suite = Suite::new("graphics", wanted);
    settle::cases(&mut suite);
    codecs::cases(&mut suite);
    viewers::cases(&mut suite);
    suite.finish()
}

const MACHINE: &str = "web1";

/// A guest behind the daemon.
struct Stage {
    source: Source,
    daemon: Daemon,
}

impl Stage {
    /// Starts both on this machine's loopback.
    fn start(case: &Case) -> Result<Self> {
        let config = configure(case, "")?;
        let source = guest(case, process::again)?;
        // A line per frame says which codecs it used.
        let log = "info,rdpmux_server=debug,rdpmux_guest=debug,rdpmux_rdp::pipe=trace";
        let daemon = serve(case, &config, &[("RUST_LOG", log)])?;
        daemon.wait_for_machine(MACHINE)?;
        Ok(Self { source, daemon })
    }

    /// A client of the guest, waited for until it shows frame 0 of `workload`.
    fn look(
        &mut self,
        case: &Case,
        name: &str,
        kind: Kind,
        more: &[&str],
        workload: Workload,
    ) -> Result<(Client, Screen)> {
        self.source.show(workload)?;
        let config = viewer(&self.daemon.address, kind, more);
        let mut client = Client::start(&case.folder, name, &config)?;
        let screen = first_frame(&mut client, workload)?;
        Ok((client, screen))
    }
}

/// The guest with the bench's pictures; `wrap` may put it into a network of its own.
fn guest(case: &Case, wrap: impl Fn(&Command) -> Command) -> Result<Source> {
    let socket = format!("unix:{},server=on,wait=off", vm::socket(case, MACHINE).display());
    let display = ["-display", "dbus,p2p=yes", "-qmp", &socket].map(str::to_owned);
    Source::start(case, MACHINE, &display, wrap)
}

fn viewer<'a>(address: &'a str, kind: Kind, more: &'a [&'a str]) -> Config<'a> {
    Config {
        kind,
        address,
        user: "alice",
        password: PASSWORD,
        size: (bench_pictures::WIDTH, bench_pictures::HEIGHT),
        more,
        host: None,
    }
}

/// Waits until the client shows frame 0 of `workload`.
fn first_frame(client: &mut Client, workload: Workload) -> Result<Screen> {
    // Outside of the picture: the pointer is drawn into the framebuffer.
    client
        .display
        .point(super::display::WIDTH - 1, super::display::HEIGHT - 1)?;
    wait::until(wait::seconds(40), "the client shows the first frame", || {
        client.process.check()?;
        let screen = Screen::open(client.display.framebuffer())?;
        Ok((screen.whole(workload.strips()) == Some(0)).then_some(screen))
    })
}
