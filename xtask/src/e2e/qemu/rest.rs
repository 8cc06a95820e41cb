//! While nobody looks, QEMU makes no pictures; who comes then sees the present picture first, and soon.

use super::{configure, serve, viewer};
use crate::bench::e2e::usage;
use crate::e2e::client::{Client, Kind};
use crate::e2e::daemon::Daemon;
use crate::e2e::picture::Picture;
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        suite.case(&format!("{} rests while nobody looks", qemu.label()), |case| {
            rests(case, qemu)
        });
    }
}

const SIZE: (usize, usize) = (1280, 800);
/// How long processor time is measured.
const MEASURED: Duration = wait::seconds(5);
/// What the daemon's log says.
const RESTS: &str = "the display rests";
const WAKES: &str = "the display is shown again";
const JOINS: &str = "viewer joined";

fn rests(case: &Case, qemu: Qemu) -> Result<String> {
    let config = configure(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let guest = Guest::Kms("rdpmux.scene=drag rdpmux.fps=20");
    let mut vm = Vm::start(case, "web1", qemu, &guest, &[])?;
    vm.wait_for(wait::seconds(120), "FRAME")?;
    daemon.wait_for_machine("web1")?;
    let mut first = viewer(case, "first", &daemon, "alice", Kind::FreeRdp3, &["/gfx"])?;
    first.wait_for_any(&case.folder, wait::seconds(20), SIZE)?;
    let (watched, _) = load(&mut vm)?;
    let rests = count(&daemon, RESTS);
    drop(first);
    let left = Instant::now();
    wait::for_true(wait::seconds(30), "the display rests", || {
        Ok(count(&daemon, RESTS) > rests)
    })?;
    let grace = left.elapsed();
    let (resting, frames) = load(&mut vm)?;
    ensure!(
        frames > 20,
        "the guest drew only {frames} frames while its display rested"
    );
    ensure!(
        resting < watched / 2.0,
        "QEMU used {watched:.1} % of a processor for its display and {resting:.1} % at rest"
    );
    vm.pause()?;
    let mut second = viewer(case, "second", &daemon, "alice", Kind::FreeRdp3, &["/gfx"])?;
    let pictures = arrival(&daemon, &mut second)?;
    let dump = vm.screendump()?;
    let (delay, _) = pictures.last().context("no picture")?;
    for (at, picture) in &pictures {
        let wrong = wrong_pixels(picture, &dump);
        if wrong > 0 {
            picture.save(&case.folder.join("wrong.png"))?;
        }
        ensure!(
            wrong == 0,
            "{wrong} pixels are not the present ones {} ms after the join",
            at.as_millis()
        );
    }
    let first_whole = pictures.iter().find(|(_, picture)| picture.differing(&dump) == 0);
    let (exact, _) = first_whole.with_context(|| format!("not exact within {} ms", delay.as_millis()))?;
    ensure!(
        *exact < wait::seconds(1),
        "exact only {} ms after the join",
        exact.as_millis()
    );
    vm.resume()?;
    Ok(format!(
        "QEMU's display work {watched:.1} % → {resting:.1} % of a processor {:.1} s after the last viewer, {frames} frames \
         drawn meanwhile; next viewer exact {} ms after joining, shown again in {}",
        grace.as_secs_f64(),
        exact.as_millis(),
        last_word(&daemon, WAKES),
    ))
}

/// Processor time of QEMU besides the guest's own, in percent of one, and how many frames the guest drew meanwhile.
fn load(vm: &mut Vm) -> Result<(f64, u32)> {
    let ids = usage::tree(vm.process.id());
    let (before, frames, started) = (usage::time(&ids), vm.frames(), Instant::now());
    wait::while_true(MEASURED, || vm.process.check())?;
    let used = usage::time(&ids).saturating_sub(before);
    let percent = used.as_secs_f64() * 100.0 / started.elapsed().as_secs_f64();
    Ok((percent, vm.frames().saturating_sub(frames)))
}

/// All that a client shows from its join on, for a second after its first picture, by the time since the join.
fn arrival(daemon: &Daemon, client: &mut Client) -> Result<Vec<(Duration, Picture)>> {
    let joins = count(daemon, JOINS);
    let (mut joined, started) = (None, Instant::now());
    let mut pictures: Vec<(Duration, Picture)> = Vec::new();
    while started.elapsed() < wait::seconds(30) {
        if count(daemon, JOINS) > joins {
            joined.get_or_insert_with(Instant::now);
        }
        let picture = client.picture(SIZE)?;
        if picture.colors(2) < 2 {
            continue;
        }
        let since = joined.get_or_insert_with(Instant::now).elapsed();
        if pictures
            .first()
            .is_some_and(|(first, _)| since > *first + wait::seconds(1))
        {
            break;
        }
        if pictures.last().is_none_or(|(_, last)| *last != picture) {
            pictures.push((since, picture));
        }
    }
    Ok(pictures)
}

/// Pixels that are shown and wrong; what is still black is not shown yet.
fn wrong_pixels(picture: &Picture, dump: &Picture) -> usize {
    let both = picture.pixels.iter().zip(&dump.pixels);
    both.filter(|(shown, right)| **shown != 0 && shown != right).count()
}

fn count(daemon: &Daemon, words: &str) -> usize {
    daemon.process.output().matches(words).count()
}

/// The end of the last line with these words.
fn last_word(daemon: &Daemon, words: &str) -> String {
    let log = daemon.process.output();
    let line = log.lines().rev().find(|line| line.contains(words)).unwrap_or_default();
    line.rsplit("took=").next().unwrap_or_default().to_owned()
}
