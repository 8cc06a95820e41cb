//! The rate that a backend is told: that of the fastest present viewer, whatever the others' links carry. The backend draws
//! noise at the rate that it was told last, as the pictures that a link carries worst.

use super::stage::{Machine, SIZE, Stage, client};
use crate::e2e::client::Client;
use crate::e2e::net::{self, KINDS, Link};
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("the rate follows the fastest viewer", rates);
}

/// What the rate must come to, in pictures per second: 1 and 25 on a quiet machine.
const SLOW: u32 = 4;
const FAST: u32 = 7;
/// How long a rate is looked at.
const LOOK: Duration = Duration::from_secs(5);

fn rates(case: &Case) -> Result<String> {
    let slow = KINDS.into_iter().find(|kind| kind.name == "2m100");
    let link = Link::new(slow.context("there is a slow link")?, &case.folder, case.sockets.path())?;
    let stage = Stage::start_in(case, "0.0.0.0:3389", "", |command| link.server.inside(command))?;
    let inside = |command: &std::process::Command| link.server.inside(command);
    let mut machine = Machine::start_in(case, &stage.bus, 1, &[], inside)?;
    machine.show(case, "x8r8g8b8", SIZE, 1)?;
    machine.puppet.does("play")?;
    let idle = settle(&mut machine, "without viewers", |rate| rate == 1)?;
    let user = format!("alice#{}", machine.uuid);
    let far = format!("{}:3389", net::SERVER);
    let config = client(&far, &user, &["/gfx"]);
    let mut slow = Vec::new();
    for name in ["slow0", "slow1"] {
        let client = Client::start_in(&case.folder, name, &config, |command| link.client.inside(command))?;
        slow.push(client);
    }
    for client in &mut slow {
        client.wait_for_any(&case.folder, wait::seconds(60), SIZE)?;
    }
    let both_slow = settle(&mut machine, "with two slow viewers", |rate| rate < SLOW)?;
    let config = client("127.0.0.1:3389", &user, &["/gfx"]);
    let mut fast = Client::start_in(&case.folder, "fast", &config, |command| link.server.inside(command))?;
    fast.wait_for_any(&case.folder, wait::seconds(30), SIZE)?;
    let with_fast = settle(&mut machine, "with a fast one besides", |rate| rate >= FAST)?;
    for client in slow.iter_mut().chain([&mut fast]) {
        client.process.check()?;
    }
    fast.process.end();
    let again = settle(&mut machine, "with the slow ones again", |rate| rate < SLOW)?;
    drop(slow);
    settle(&mut machine, "when all have left", |rate| rate == 1)?;
    Ok(format!(
        "idle {idle}, two behind 2 Mbit/s {both_slow}, one on loopback besides {with_fast}, without it {again} pictures/s"
    ))
}

/// Waits until the rate is as wanted, and has stayed so for a while; its mean.
fn settle(machine: &mut Machine, what: &str, wanted: impl Fn(u32) -> bool) -> Result<String> {
    let mut since = Instant::now();
    let mut seen = Vec::new();
    let settled = wait::for_true(wait::seconds(60), &format!("the rate {what}"), || {
        machine.puppet.process.check()?;
        let rate = rate(machine)?;
        seen.push(rate);
        if !rate.is_some_and(&wanted) {
            since = Instant::now();
            seen.clear();
        }
        Ok(since.elapsed() >= LOOK)
    });
    settled.with_context(|| format!("the last rate was {:?}", rate(machine)))?;
    let rates: Vec<u32> = seen.into_iter().flatten().collect();
    ensure!(!rates.is_empty(), "no rate {what}");
    let mean = f64::from(rates.iter().sum::<u32>()) / rates.len() as f64;
    Ok(format!("{mean:.1}"))
}

/// What the backend was told last.
fn rate(machine: &Machine) -> Result<Option<u32>> {
    let Some(line) = machine.puppet.last("complete ") else {
        return Ok(None);
    };
    let rate = line.split(' ').nth(1).context("an answer without a rate")?;
    Ok(Some(rate.parse()?))
}
