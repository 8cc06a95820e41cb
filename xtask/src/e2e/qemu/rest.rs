//! While nobody looks, QEMU makes no pictures; who comes then sees the present picture first, and soon.

use super::{configure, serve, viewer};
use crate::bench::e2e::usage;
use crate::e2e::client::{Client, Kind};
use crate::e2e::clients::{Fidelity, compare};
use crate::e2e::daemon::Daemon;
use crate::e2e::picture::Picture;
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    // QEMU 10 leaks the socket of a listener that leaves, and is therefore not let rest.
    suite.case("qemu7.2 rests while nobody looks", |case| rests(case, Qemu::V7));
}

const SIZE: (usize, usize) = (1280, 800);
/// How long processor time is measured.
const MEASURED: Duration = wait::seconds(5);
/// Frames that a guest draws in that time even on a busy machine; 20 a second are asked for.
const LEAST: u32 = 5;
/// The guest is stopped, so a display that does not wake shows nothing, ever; one that does, within 0.3 s on a quiet machine.
const LATEST: Duration = wait::seconds(10);
/// Levels of a channel by which a first painting may be off.
const ROUGH: u32 = 32;
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
    let sockets_watched = sockets(&vm)?;
    let rests = count(&daemon, RESTS);
    drop(first);
    let left = Instant::now();
    wait::for_true(wait::seconds(30), "the display rests", || {
        Ok(count(&daemon, RESTS) > rests)
    })?;
    let grace = left.elapsed();
    let (resting, frames) = load(&mut vm)?;
    ensure!(
        frames >= LEAST,
        "the guest drew only {frames} frames while its display rested"
    );
    let sockets_resting = sockets(&vm)?;
    ensure!(
        sockets_resting + 1 == sockets_watched,
        "QEMU had {sockets_watched} sockets with a viewer and has {sockets_resting} without"
    );
    vm.pause()?;
    let mut second = viewer(case, "second", &daemon, "alice", Kind::FreeRdp3, &["/gfx"])?;
    let pictures = arrival(&daemon, &mut second)?;
    let dump = vm.screendump()?;
    for (at, picture) in &pictures {
        let wrong = wrong_pixels(picture, &dump);
        if wrong > 0 {
            picture.save(&case.folder.join("wrong.png"))?;
            dump.save(&case.folder.join("right.png"))?;
        }
        ensure!(
            wrong == 0,
            "{wrong} pixels are not the present ones {} ms after the join",
            at.as_millis()
        );
    }
    let (right, _) = pictures.first().context("no picture")?;
    ensure!(
        *right < LATEST,
        "the first picture came {} ms after the join",
        right.as_millis()
    );
    let exact = compare(case, &mut second, "second", Fidelity::Exact, || vm.screendump())?;
    ensure!(sockets(&vm)? == sockets_watched, "the listener is not back");
    vm.resume()?;
    // Processor time is told and not judged: a few ticks, most of them the guest's graphics card.
    Ok(format!(
        "QEMU's display work {watched:.1} % → {resting:.1} % of a processor {:.1} s after the last viewer, {frames} frames \
         drawn meanwhile; next viewer sees the present {} ms after joining ({exact}), shown again in {}",
        grace.as_secs_f64(),
        right.as_millis(),
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

/// Sockets that QEMU has open: a listener is one.
fn sockets(vm: &Vm) -> Result<usize> {
    let links = std::fs::read_dir(format!("/proc/{}/fd", vm.process.id()))?;
    let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    Ok(targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count())
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

/// Pixels that are shown and are those of another moment; what is still black is not shown yet. A first painting may be
/// rough, up to 16 levels here; a window that was elsewhere is wrong by more than 100. The photo at the upper right does not
/// move and is noise.
fn wrong_pixels(picture: &Picture, dump: &Picture) -> usize {
    let is_photo = |at: usize| (980..1240).contains(&(at % SIZE.0)) && (40..280).contains(&(at / SIZE.0));
    let both = picture.pixels.iter().zip(&dump.pixels).enumerate();
    both.filter(|(at, (shown, right))| **shown != 0 && !is_photo(*at) && is_other(**shown, **right))
        .count()
}

fn is_other(shown: u32, right: u32) -> bool {
    [0, 8, 16]
        .iter()
        .any(|shift| (shown >> shift & 0xff).abs_diff(right >> shift & 0xff) > ROUGH)
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
