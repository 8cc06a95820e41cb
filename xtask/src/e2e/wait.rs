//! Waiting for a condition with a limit; the one place of the suites that sleeps. Called by everything in `e2e`.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(50);
/// A machine that does something else besides gets so many times as long.
const PATIENCE: u32 = 3;

/// Asks until the answer is `Some`, at most [`PATIENCE`] times `limit`: what a machine takes that does nothing else, amply.
///
/// # Errors
/// When asking fails, or the limit is over; the message names `what`.
pub fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let (started, limit) = (Instant::now(), limit * PATIENCE);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        std::thread::sleep(STEP);
    }
}

/// Asks until the answer is true, as long as [`until`].
///
/// # Errors
/// As [`until`].
pub fn for_true(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    until(limit, what, || Ok(ask()?.then_some(())))
}

/// Checks `still` every 50 ms for `time`: a condition that must hold all along.
///
/// # Errors
/// When it fails once.
pub fn while_true(time: Duration, mut still: impl FnMut() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < time {
        still()?;
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Seconds as a duration.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
