//! Eight viewers of one desktop, one of them behind a slow link: the frame rate of another one with it, compared with the
//! frame rate without it. A ratio: the eight share this machine.

use super::{MACHINE, first_frame, guest, viewer};
use crate::e2e::client::{Client, Kind};
use crate::e2e::daemon::Daemon;
use crate::e2e::net::{self, KINDS, Link};
use crate::e2e::qemu::configure;
use crate::e2e::report::{Case, Suite};
use crate::e2e::sampler::{self, Control, Motion};
use crate::e2e::screen::Screen;
use crate::e2e::source::Source;
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use bench_pictures::Workload;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a slow viewer costs seven others nothing", slow_viewer);
}

const FAST: usize = 7;
const MOTION: Duration = Duration::from_secs(5);
/// Frame rates of two runs differ by so much without any reason.
const TOLERANCE: f64 = 0.9;

fn slow_viewer(case: &Case) -> Result<String> {
    let slow = KINDS
        .into_iter()
        .find(|kind| kind.name == "2m100")
        .context("there is a slow link")?;
    let link = Link::new(slow, &case.folder, case.sockets.path())?;
    let config = configure(case, "")?;
    let text = std::fs::read_to_string(&config)?.replace("127.0.0.1:0", "0.0.0.0:3389");
    std::fs::write(&config, text)?;
    let mut source = guest(case, |command| link.server.inside(command))?;
    let mut command = Command::new(crate::e2e::daemon::program());
    command.args(["serve", "--json", "--config"]).arg(&config);
    let daemon = Daemon::start_command(&case.folder, &mut link.server.inside(&command))?;
    daemon.wait_for_machine(MACHINE)?;
    source.show(Workload::Scroll)?;
    let address = "127.0.0.1:3389";
    let mut viewers = Vec::new();
    for index in 0..FAST {
        let config = viewer(address, Kind::FreeRdp2, &["/gfx"]);
        let name = format!("fast{index}");
        let mut client = Client::start_in(&case.folder, &name, &config, |command| link.server.inside(command))?;
        let screen = first_frame(&mut client, Workload::Scroll)?;
        viewers.push((client, screen));
    }
    let alone = turn(&mut source, &mut viewers)?;
    let far = format!("{}:3389", net::SERVER);
    let config = viewer(&far, Kind::FreeRdp2, &["/gfx"]);
    source.show(Workload::Scroll)?;
    let mut client = Client::start_in(&case.folder, "slow", &config, |command| link.client.inside(command))?;
    let screen = first_frame(&mut client, Workload::Scroll)?;
    let (together, behind) = {
        let control = Control::default();
        std::thread::scope(|scope| {
            let sampler = scope.spawn(|| sampler::watch(&screen, Workload::Scroll, &control, 0, MOTION));
            let together = turn(&mut source, &mut viewers);
            control.stop.store(true, Ordering::Relaxed);
            let seen = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
            anyhow::Ok((together?, seen.whole.len()))
        })?
    };
    client.process.check()?;
    ensure!(
        together >= TOLERANCE * alone,
        "the fast viewers saw {alone:.1} frames/s without the slow one and {together:.1} with it"
    );
    Ok(format!(
        "the slowest of seven saw {alone:.1} frames/s without and {together:.1} with the slow one, which saw {behind} frames"
    ))
}

/// Plays once; the frame rate of the viewer that saw least.
fn turn(source: &mut Source, viewers: &mut [(Client, Screen)]) -> Result<f64> {
    source.show(Workload::Scroll)?;
    for (client, screen) in viewers.iter_mut() {
        wait::for_true(wait::seconds(20), "all show the first frame", || {
            client.process.check()?;
            Ok(screen.whole(Workload::Scroll.strips()) == Some(0))
        })?;
    }
    let control = Control::default();
    let rates = std::thread::scope(|scope| {
        let samplers: Vec<_> = viewers
            .iter()
            .map(|(_, screen)| scope.spawn(|| sampler::watch(screen, Workload::Scroll, &control, 0, MOTION)))
            .collect();
        let played = source.play(MOTION).and_then(|()| source.played(wait::seconds(30)));
        control.stop.store(true, Ordering::Relaxed);
        let played = played?;
        samplers
            .into_iter()
            .map(|sampler| {
                let seen = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
                let Motion { fps, .. } = seen.beside(&played);
                Ok(fps)
            })
            .collect::<Result<Vec<f64>>>()
    })?;
    Ok(rates.into_iter().fold(f64::MAX, f64::min))
}
