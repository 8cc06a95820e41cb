//! What goes wrong is told on standard error, as the old library did: a hypervisor has its own log and no other place for
//! ours. The same words come once a second at most, whoever floods.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

/// Texts that are remembered.
const KEPT: usize = 64;

static LAST: Mutex<Vec<(Instant, String)>> = Mutex::new(Vec::new());

/// Tells what went wrong.
pub(crate) fn error(what: impl Display) {
    let text = what.to_string();
    let now = Instant::now();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.retain(|(at, _)| now.saturating_duration_since(*at) < PAUSE);
    if last.len() >= KEPT || last.iter().any(|(_, told)| *told == text) {
        return;
    }
    eprintln!("librdpmux: {text}");
    last.push((now, text));
}
