//! Key press to pixel: a letter is typed into the client's screen, the guest answers with the next frame, and the moment
//! is taken at which the client shows it. One key after the other, not in step with anybody's timer.

use super::peer::Stage;
use super::run::{Counters, Figures, Keys, Plan};
use crate::e2e::client::Client;
use crate::e2e::net::Link;
use crate::e2e::sampler::{Motion, quantile};
use crate::e2e::screen::Screen;
use crate::e2e::source;
use crate::e2e::x11::Keyboard;
use anyhow::Result;
use bench_pictures::Workload;
use std::time::{Duration, Instant};

const KEYS: u16 = 30;
/// A key without an answer for so long is lost.
const LIMIT: Duration = Duration::from_secs(3);
/// Longer than the typing.
const FILM: Duration = Duration::from_secs(14);
const GAP: Duration = Duration::from_millis(120);

/// Types and takes the figures.
///
/// # Errors
/// When client or server are gone.
pub fn run(
    plan: &Plan,
    workload: Workload,
    link: &Link,
    stage: &mut Stage,
    client: &mut Client,
    screen: &Screen,
) -> Result<Figures> {
    // Keys go to the window below the pointer; this place is in the picture, below what is looked at.
    client.display.point(960, 1050)?;
    std::thread::sleep(Duration::from_millis(500));
    let keyboard = Keyboard::at(client.display.name())?;
    if workload == Workload::Busy {
        stage.source.play(FILM)?;
    }
    let before = Counters::take(link, stage, client)?;
    let (mut seen, mut painted, mut lost) = (Vec::new(), Vec::new(), 0);
    let mut next = 1;
    for key in 0..KEYS {
        client.process.check()?;
        let pressed = Instant::now();
        keyboard.tap()?;
        match answer(stage, screen, next, pressed) {
            Some((source, whole)) => {
                painted.push(milliseconds(source - pressed));
                seen.push(milliseconds(whole - pressed));
                next += 1;
            }
            None => {
                lost += 1;
                // The key may still have arrived.
                while stage.source.painted(next).is_some() {
                    next += 1;
                }
            }
        }
        // The gaps differ, or a server that polls would always be met at the same moment.
        std::thread::sleep(GAP + Duration::from_millis(u64::from(key) * 37 % 90));
    }
    let after = Counters::take(link, stage, client)?;
    // The pointer would be in the picture.
    client
        .display
        .point(crate::e2e::display::WIDTH - 1, crate::e2e::display::HEIGHT - 1)?;
    std::thread::sleep(Duration::from_secs(1));
    if workload == Workload::Busy {
        stage.source.played(2 * FILM)?;
    }
    let shown = screen.picture()?;
    // Where a film stopped is not known.
    let truth = match workload {
        Workload::Echo => source::picture(workload, next - 1),
        _ => shown.clone(),
    };
    seen.sort_by(f64::total_cmp);
    painted.sort_by(f64::total_cmp);
    Ok(Figures {
        motion: Motion {
            p50: quantile(&seen, 0.5),
            p95: quantile(&seen, 0.95),
            worst: quantile(&seen, 1.0),
            frames: seen.len(),
            ..Motion::default()
        },
        keys: Some(Keys {
            pressed: usize::from(KEYS),
            lost,
            to_source: quantile(&painted, 0.5),
        }),
        ..after.since(&before, plan, workload, stage, &truth, &shown)?
    })
}

/// When frame `n` was painted and when it was seen.
fn answer(stage: &Stage, screen: &Screen, n: u16, pressed: Instant) -> Option<(Instant, Instant)> {
    let strip = Workload::Echo.strips()[0];
    while pressed.elapsed() < LIMIT {
        if screen.strip(strip) == Some(n) {
            let whole = Instant::now();
            return Some((stage.source.painted(n)?, whole));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    None
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
