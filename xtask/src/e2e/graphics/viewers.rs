//! Eight viewers of one desktop, one of them behind a link that is slow at times: the frame rate of the seven while it is
//! slow, compared with their frame rate while it is fast. A ratio, and of eight viewers each time: they share this
//! machine with their guest and their server.

use super::{MACHINE, first_frame, guest, viewer};
use crate::e2e::client::{self, Client};
use crate::e2e::daemon::Daemon;
use crate::e2e::net::{self, Kind, Limits, Link};
use crate::e2e::qemu::configure;
use crate::e2e::report::{Case, Suite};
use crate::e2e::sampler::{self, Control, Motion, Seen};
use crate::e2e::screen::Screen;
use crate::e2e::source::{Played, Source};
use crate::e2e::wait;
use anyhow::{Context, Result, bail};
use bench_pictures::Workload;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a slow viewer costs seven others nothing", slow_viewer);
}

const FAST: usize = 7;
const MOTION: Duration = Duration::from_secs(4);
/// Fast and slow in turn, so often; the middle one of each counts.
const TURNS: usize = 3;
/// A machine that is busy with something else may spoil a try; not all of them.
const TRIES: usize = 3;
/// Frame rates of two runs differ by so much without any reason.
const TOLERANCE: f64 = 0.85;
/// What the link can do when it is not slow: more than any of the viewers asks for.
const WIDE: Limits = Limits {
    kilobits_per_second: 1_000_000,
    one_way_ms: 0,
    queue_ms: 100,
};
/// Too little even for what a busy machine shows.
const NARROW: Limits = Limits {
    kilobits_per_second: 500,
    one_way_ms: 50,
    queue_ms: 200,
};

fn slow_viewer(case: &Case) -> Result<String> {
    let link = Kind {
        name: "wide at times",
        limits: Some(WIDE),
    };
    let link = Link::new(link, &case.folder, case.sockets.path())?;
    let config = configure(case, "")?;
    let text = std::fs::read_to_string(&config)?.replace("127.0.0.1:0", "0.0.0.0:3389");
    std::fs::write(&config, text)?;
    let mut source = guest(case, |command| link.server.inside(command))?;
    let mut command = Command::new(crate::e2e::daemon::program());
    command.args(["serve", "--json", "--config"]).arg(&config);
    let daemon = Daemon::start_command(&case.folder, &mut link.server.inside(&command))?;
    daemon.wait_for_machine(MACHINE)?;
    source.show(Workload::Scroll)?;
    let mut viewers = connect(case, &link)?;
    let mut failures = Vec::new();
    for _ in 0..TRIES {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            for (limits, turns) in [(WIDE, &mut fast), (NARROW, &mut slow)] {
                turns.push(turn(&link, limits, &mut source, &mut viewers)?);
            }
        }
        let (wide, narrow) = (Turn::middle(&fast), Turn::middle(&slow));
        let figure = format!("beside a fast viewer {wide}, beside a slow one {narrow}");
        if narrow.seven >= TOLERANCE * wide.seven && narrow.eighth < wide.eighth {
            return Ok(figure);
        }
        failures.push(figure);
    }
    bail!("in all {TRIES} tries: {}", failures.join("; "))
}

/// Seven near viewers, and a last one behind the link.
fn connect(case: &Case, link: &Link) -> Result<Vec<(Client, Screen)>> {
    let near = (0..FAST).map(|index| (format!("near{index}"), "127.0.0.1", &link.server));
    let far = ("far".to_owned(), net::SERVER, &link.client);
    near.chain([far])
        .map(|(name, host, network)| {
            let address = format!("{host}:3389");
            let config = viewer(&address, client::Kind::FreeRdp2, &["/gfx"]);
            let mut client = Client::start_in(&case.folder, &name, &config, |command| network.inside(command))?;
            let screen = first_frame(&mut client, Workload::Scroll)?;
            Ok((client, screen))
        })
        .collect()
}

/// Frames per second.
#[derive(Clone, Copy)]
struct Turn {
    /// Of the viewer that saw least of the seven.
    seven: f64,
    /// Of the one behind the link.
    eighth: f64,
}

impl std::fmt::Display for Turn {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seven, eighth } = self;
        write!(
            out,
            "the slowest of seven saw {seven:.1} frames/s (and that one {eighth:.1})"
        )
    }
}

impl Turn {
    /// The middle of each.
    fn middle(turns: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| {
            let mut sorted: Vec<f64> = turns.iter().map(of).collect();
            sorted.sort_by(f64::total_cmp);
            sampler::quantile(&sorted, 0.5)
        };
        Self {
            seven: middle(|turn| turn.seven),
            eighth: middle(|turn| turn.eighth),
        }
    }
}

/// Plays once while the link to the last viewer has these limits.
fn turn(link: &Link, limits: Limits, source: &mut Source, viewers: &mut [(Client, Screen)]) -> Result<Turn> {
    // All begin with the same picture, the far one too.
    link.limit(WIDE);
    source.show(Workload::Scroll)?;
    for (client, screen) in viewers.iter_mut() {
        wait::for_true(wait::seconds(60), "all show the first frame", || {
            client.process.check()?;
            Ok(screen.whole(Workload::Scroll.strips()) == Some(0))
        })?;
    }
    link.limit(limits);
    let control = Control::default();
    let rates = std::thread::scope(|scope| {
        let samplers: Vec<_> = viewers
            .iter()
            .map(|(_, screen)| scope.spawn(|| sampler::watch(screen, Workload::Scroll, &control, 0, MOTION)))
            .collect();
        let played = source.play(MOTION).and_then(|()| source.played(wait::seconds(60)));
        control.stop.store(true, Ordering::Relaxed);
        let played = played?;
        samplers
            .into_iter()
            .map(|sampler| {
                let seen = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
                Ok(rate(&seen, &played))
            })
            .collect::<Result<Vec<f64>>>()
    })?;
    let (eighth, seven) = rates.split_last().context("there are viewers")?;
    Ok(Turn {
        seven: seven.iter().copied().fold(f64::MAX, f64::min),
        eighth: *eighth,
    })
}

fn rate(seen: &Seen, played: &Played) -> f64 {
    let Motion { fps, .. } = seen.beside(played);
    fps
}
