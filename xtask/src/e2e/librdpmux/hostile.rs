//! What a backend that is broken, or means harm, costs the daemon and the other machines: nothing.

use super::stage::{Machine, SIZE, Stage, shows};
use crate::e2e::client::Client;
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use anyhow::{Result, ensure};
use std::time::Instant;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("10 000 random messages to the daemon", random);
    suite.case("a flood of updates", flood);
    suite.case("memory that shrinks, and switches that cannot be", shrinks);
}

/// Random messages, and how often they come again.
const MESSAGES: usize = 10_000;
const PASSES: usize = 3;
/// What the daemon's memory may grow by when it has seen them, in MiB. A random switch may be to 64 MiB of pixels, which the
/// surface and each viewer's stream have once each, and of which the allocator keeps some.
const MOST_GROWN: u64 = 64;
/// Updates of a flood.
const FLOOD: usize = 100_000;

/// Two machines that are looked at, one of which will mean harm.
struct Pair {
    stage: Stage,
    good: Machine,
    client: Client,
    bad: Machine,
    watcher: Client,
}

impl Pair {
    fn start(case: &Case) -> Result<Self> {
        let stage = Stage::start(case, "")?;
        let mut good = Machine::start(case, &stage, 1, 0, "")?;
        let mut bad = Machine::start(case, &stage, 2, 0, "")?;
        let first = good.show(case, "x8r8g8b8", SIZE, 1)?;
        bad.show(case, "x8r8g8b8", SIZE, 2)?;
        let mut client = stage.viewer(case, "client", &good.uuid, &["/gfx"])?;
        shows(case, &mut client, "the good machine", &first)?;
        let mut watcher = stage.viewer(case, "watcher", &bad.uuid, &["/gfx"])?;
        watcher.wait_for_any(&case.folder, wait::seconds(20), SIZE)?;
        Ok(Self {
            stage,
            good,
            client,
            bad,
            watcher,
        })
    }

    /// The bad one does `words`, and meanwhile the other is served as ever; how long an update of that took at most.
    fn misbehave(&mut self, case: &Case, words: &str) -> Result<f64> {
        let word = format!("done {}", words.split(' ').next().unwrap_or_default());
        let before = self.bad.puppet.count(&word);
        self.bad.puppet.tell(words)?;
        let mut worst: f64 = 0.0;
        for step in 0..10 {
            let since = Instant::now();
            let colour = 0x00_80_ff + (before as u32) * 16;
            let expected = self.good.fill(case, (step * 40, 100, 40, 40), colour)?;
            shows(case, &mut self.client, "an update beside the harm", &expected)?;
            worst = worst.max(since.elapsed().as_secs_f64());
        }
        wait::for_true(wait::seconds(60), "the harm is done", || {
            self.bad.puppet.process.check()?;
            Ok(self.bad.puppet.count(&word) > before)
        })?;
        Ok(worst)
    }

    /// Both are shown again.
    fn recovers(&mut self, case: &Case, seed: u32) -> Result<()> {
        let expected = self.bad.show(case, "b8g8r8", SIZE, seed)?;
        shows(case, &mut self.watcher, "the bad machine after its harm", &expected)?;
        self.client.process.check()
    }

    /// The daemon's memory in MiB.
    fn memory(&self) -> Result<u64> {
        Ok(self.stage.daemon.process.memory()? / 1024)
    }
}

fn random(case: &Case) -> Result<String> {
    let mut pair = Pair::start(case)?;
    let (before, started) = (pair.memory()?, Instant::now());
    let mut memory = Vec::new();
    for _ in 0..PASSES {
        for seed in 1..=3 {
            pair.misbehave(case, &format!("random {MESSAGES} {seed}"))?;
            pair.recovers(case, seed)?;
        }
        memory.push(pair.memory()?);
    }
    let each = started.elapsed().as_secs_f64() / (3 * PASSES) as f64;
    let grown = memory[PASSES - 1].saturating_sub(memory[0]);
    ensure!(
        grown < MOST_GROWN,
        "the same messages again and again, and the daemon has {memory:?} MiB"
    );
    Ok(format!(
        "{each:.1} s each time, both machines shown right after them; the daemon's memory {before} MiB, after each 30 000 {memory:?}"
    ))
}

fn flood(case: &Case) -> Result<String> {
    let mut pair = Pair::start(case)?;
    let before = pair.memory()?;
    let worst = pair.misbehave(case, &format!("flood {FLOOD}"))?;
    pair.recovers(case, 3)?;
    let after = pair.memory()?;
    let grown = after.saturating_sub(before);
    ensure!(grown < MOST_GROWN, "the daemon grew by {grown} MiB");
    let log = pair.stage.daemon.process.output();
    let peer = format!("process {} of user", pair.bad.puppet.process.id());
    let is_named = log
        .lines()
        .any(|line| line.contains("a flood of messages") && line.contains(&peer));
    ensure!(is_named, "the log does not name {peer} as the source of a flood");
    Ok(format!(
        "{FLOOD} updates; the other machine's within {worst:.2} s, the daemon grew by {grown} MiB, the log names the process"
    ))
}

fn shrinks(case: &Case) -> Result<String> {
    let mut stage = Stage::start(case, "")?;
    let mut machine = Machine::start(case, &stage, 1, 0, "")?;
    // Before there is a picture.
    machine.puppet.does("send 1 0 0 100 100")?;
    let expected = machine.show(case, "x8r8g8b8", SIZE, 1)?;
    let mut client = stage.viewer(case, "client", &machine.uuid, &["/gfx"])?;
    shows(case, &mut client, "the picture", &expected)?;
    // An edge of 0, pictures beyond the memory, a format that is none.
    for words in [
        "2 0x20020888 0 600",
        "2 0x20020888 16384 16384",
        "2 0x20020888 65535 4294967295",
        "2 7 800 600",
    ] {
        machine.puppet.does(&format!("send {words}"))?;
    }
    // Outside of the picture, all of it and some.
    machine.puppet.does("send 1 700 500 400000000 4294967295")?;
    machine.puppet.does("send 1 4000000000 5 10 10")?;
    machine.puppet.does("shrink")?;
    machine.puppet.does("send 1 0 0 800 600")?;
    stage.daemon.process.check()?;
    let expected = Machine::start(case, &stage, 2, 0, "").and_then(|mut other| {
        let expected = other.show(case, "x8r8g8b8", SIZE, 2)?;
        let mut client = stage.viewer(case, "other", &other.uuid, &["/gfx"])?;
        shows(case, &mut client, "another machine", &expected)?;
        Ok(expected)
    })?;
    stage.daemon.process.check()?;
    client.process.check()?;
    ensure!(!expected.pixels.is_empty(), "a picture");
    Ok("no crash, and another machine is shown".to_owned())
}
