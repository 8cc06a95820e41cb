//! How many pictures per second one client can use, for a guest that draws no more than it is asked to. Pure: time
//! comes in.
//!
//! While the client is behind the guest, the pictures that it takes are counted. While it shows everything, the rate
//! grows, until it is behind again. So whatever holds it up (its link, its decoder, our encoder) is in the figure
//! without being known, and a guest that follows the figure stays close below what can be shown.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One client's rate. See the module.
#[derive(Debug)]
pub struct Tempo {
    /// Pictures per second at `since`.
    rate: f64,
    /// While the client shows everything: when it was last seen to. Else when it was last sent all that had changed.
    since: Option<Instant>,
    is_current: bool,
    /// When the pictures went that were taken without showing everything in between.
    run: VecDeque<Instant>,
}

/// Pictures per second before anything was seen, and the most that a [`crate::Pacer`] lets go.
const FIRST: f64 = 30.0;
const MOST: f64 = 60.0;
/// In a second without lagging behind the rate grows so many times.
const GROWTH: f64 = 4.0;
/// Nobody looked for longer than this: what the client showed meanwhile is unknown, and not counted.
const UNSEEN: Duration = Duration::from_millis(250);
/// Pictures are counted over so long, or over two intervals if that is longer.
const SPAN: Duration = Duration::from_secs(1);
/// Fewer pictures say nothing: the pacer lets the first ones go at once.
const FEWEST: usize = 4;
/// A client that owes a picture for so many usual intervals has become slower.
const OVERDUE: f64 = 2.0;

impl Default for Tempo {
    fn default() -> Self {
        Self {
            rate: FIRST,
            since: None,
            is_current: false,
            run: VecDeque::new(),
        }
    }
}

impl Tempo {
    /// The client was sent a picture: all that had changed when it was made.
    pub fn on_picture(&mut self, now: Instant) {
        self.on_part(now);
        self.own_up(now);
        self.since = Some(now);
        self.run.push_back(now);
        while self.run.len() > FEWEST && self.run.front().is_some_and(|first| now - *first > SPAN) {
            self.run.pop_front();
        }
        let Some(time) = self.run.front().map(|first| now - *first) else {
            return;
        };
        let intervals = (self.run.len() - 1) as f64;
        if self.run.len() >= FEWEST && !time.is_zero() {
            self.rate = (intervals / time.as_secs_f64()).min(MOST);
        }
    }

    /// The client was sent a part of what had changed: from now on it owes the rest. Where a guest draws much faster than
    /// a link carries, there may be nothing but parts.
    pub fn on_part(&mut self, now: Instant) {
        if self.is_current {
            self.grow(now);
            self.is_current = false;
            self.run.clear();
        }
    }

    /// The client shows everything and could take more. To be called again and again while that is so.
    pub fn on_current(&mut self, now: Instant) {
        self.own_up(now);
        self.grow(now);
        self.is_current = true;
    }

    /// Pictures per second that the client can use at `now`, from 1 to 60.
    pub fn rate(&self, now: Instant) -> u8 {
        self.owing_since(now).round().clamp(1.0, MOST) as u8
    }

    /// Whether the rate changes with time alone, so that it is to be asked for again soon.
    pub fn is_moving(&self) -> bool {
        self.since.is_some() && !(self.is_current && self.rate >= MOST)
    }

    /// It showed everything up to now, if it did before.
    fn grow(&mut self, now: Instant) {
        if let Some(since) = self.since.filter(|_| self.is_current) {
            let calm = now.saturating_duration_since(since).min(UNSEEN);
            self.rate = (self.rate * GROWTH.powf(calm.as_secs_f64())).min(MOST);
        }
        self.since = Some(now);
    }

    /// What it owed for long was no single large picture.
    fn own_up(&mut self, now: Instant) {
        let owing = |since| !self.is_current && now.saturating_duration_since(since) > SPAN;
        if self.since.is_some_and(owing) {
            self.rate = self.owing_since(now);
        }
    }

    fn owing_since(&self, now: Instant) -> f64 {
        let Some(since) = self.since.filter(|_| !self.is_current) else {
            return self.rate;
        };
        let owing = now.saturating_duration_since(since).as_secs_f64();
        self.rate.min(OVERDUE / owing.max(OVERDUE / MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that takes a picture in `cost_ms`, and a guest that draws at the rate that it was told last, or always
    /// at `stubborn`. Gives the rate of each tenth of a second.
    fn play(tempo: &mut Tempo, cost_ms: u64, stubborn: Option<f64>, seconds: u64) -> Vec<u8> {
        let start = Instant::now();
        let (mut rates, mut free_at, mut drawn_at) = (Vec::new(), 0.0, 0.0);
        let mut is_dirty = false;
        for ms in 0..seconds * 1000 {
            let (now, time) = (start + Duration::from_millis(ms), ms as f64);
            let rate = stubborn.unwrap_or_else(|| f64::from(tempo.rate(now)));
            if time >= drawn_at + 1000.0 / rate {
                (is_dirty, drawn_at) = (true, time);
            }
            if time >= free_at {
                if is_dirty {
                    tempo.on_picture(now);
                    (is_dirty, free_at) = (false, time + cost_ms as f64);
                } else {
                    tempo.on_current(now);
                }
            }
            if ms % 100 == 99 {
                rates.push(tempo.rate(now));
            }
        }
        rates
    }

    #[test]
    fn a_client_that_keeps_up_can_use_sixty() {
        for guest in [None, Some(5.0), Some(100.0)] {
            let rates = play(&mut Tempo::default(), 16, guest, 3);
            assert!(rates[15..].iter().all(|rate| *rate >= 55), "{guest:?}: {rates:?}");
        }
    }

    #[test]
    fn a_client_that_takes_five_a_second_is_known_to_whatever_the_guest_does() {
        for guest in [None, Some(30.0), Some(100.0)] {
            let rates = play(&mut Tempo::default(), 200, guest, 6);
            let settled = &rates[25..];
            assert!(
                settled.iter().all(|rate| (4..=9).contains(rate)),
                "{guest:?}: {rates:?}"
            );
        }
    }

    #[test]
    fn a_client_that_becomes_slow_and_fast_again_is_followed_within_two_seconds() {
        let mut tempo = Tempo::default();
        play(&mut tempo, 16, None, 3);
        let slow = play(&mut tempo, 250, None, 6);
        assert!(slow[25..].iter().all(|rate| *rate < 10), "{slow:?}");
        let fast = play(&mut tempo, 16, None, 4);
        assert!(fast[30..].iter().all(|rate| *rate >= 50), "{fast:?}");
    }

    #[test]
    fn one_large_picture_is_no_slow_client() {
        let (mut tempo, start) = (Tempo::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        (0..10).for_each(|tenth| tempo.on_current(at(tenth * 100)));
        tempo.on_picture(at(1_000));
        assert_eq!(tempo.rate(at(1_010)), 60);
        assert_eq!(tempo.rate(at(1_500)), 4, "it may be stuck");
        tempo.on_current(at(1_600));
        assert_eq!(tempo.rate(at(1_601)), 60, "it was not");
    }

    #[test]
    fn a_client_that_takes_nothing_any_more_ends_at_one() {
        let (mut tempo, start) = (Tempo::default(), Instant::now());
        tempo.on_picture(start);
        assert_eq!(tempo.rate(start + Duration::from_secs(10)), 1);
        assert_eq!(Tempo::default().rate(start), 30);
        assert!(tempo.is_moving());
        (0..120).for_each(|tenth| tempo.on_current(start + Duration::from_millis(tenth * 100)));
        assert!(!tempo.is_moving(), "it is at its most");
    }

    #[test]
    fn a_client_that_gets_nothing_but_parts_is_slow_until_it_has_shown_otherwise() {
        let (mut tempo, start) = (Tempo::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        (0..10).for_each(|tenth| tempo.on_current(at(tenth * 100)));
        (10..50).for_each(|tenth| tempo.on_part(at(tenth * 100)));
        assert_eq!(tempo.rate(at(5_000)), 1, "four seconds of parts");
        tempo.on_current(at(5_100));
        assert_eq!(
            tempo.rate(at(5_100)),
            1,
            "it has the guest's slowness to thank for that"
        );
        (52..80).for_each(|tenth| tempo.on_current(at(tenth * 100)));
        assert!(tempo.rate(at(8_000)) > 20);
    }

    #[test]
    fn the_rate_does_not_grow_while_nobody_sees_what_the_client_shows() {
        let (mut tempo, start) = (Tempo::default(), Instant::now());
        tempo.on_current(start);
        assert_eq!(tempo.rate(start + Duration::from_secs(60)), 30);
    }
}
