//! Whether one viewer keeps up with sound. Confirmations tell how long a wave takes to be played; what takes 200 ms longer
//! than the shortest is too far behind, and further waves are dropped until the client has caught up. Nothing waits here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One viewer's waves on their way.
#[derive(Debug, Default)]
pub(crate) struct SoundPace {
    on_way: VecDeque<(u8, Instant)>,
    /// The shortest time to a confirmation in this window and in the one before.
    shortest: [Option<Duration>; 2],
    window_began: Option<Instant>,
    last_sent: Option<Instant>,
    dropped: u64,
}

impl SoundPace {
    /// Whether a wave may go now. A `false` is counted as a drop.
    pub(crate) fn may_send(&mut self, now: Instant) -> bool {
        let Some((_, oldest)) = self.on_way.front() else {
            return true;
        };
        let waits = now.saturating_duration_since(*oldest);
        let is_behind = waits > self.usual() + BEHIND;
        // Now and then one is tried: its confirmation may have been lost, or never be sent.
        let is_try = self
            .last_sent
            .is_none_or(|sent| now.saturating_duration_since(sent) > TRY);
        if is_behind && !is_try {
            self.dropped += 1;
            return false;
        }
        true
    }

    /// A wave with this number was sent.
    pub(crate) fn on_sent(&mut self, now: Instant, block: u8) {
        if self.on_way.len() >= MOST_ON_WAY {
            self.on_way.pop_front();
        }
        self.on_way.push_back((block, now));
        self.last_sent = Some(now);
    }

    /// The client confirmed a wave, and with it all before; returns how long that took.
    pub(crate) fn on_confirmed(&mut self, now: Instant, block: u8) -> Option<Duration> {
        let at = self.on_way.iter().position(|(sent, _)| *sent == block)?;
        let (_, sent) = self.on_way.drain(..=at).next_back()?;
        let took = now.saturating_duration_since(sent);
        let began = *self.window_began.get_or_insert(now);
        if now.saturating_duration_since(began) > WINDOW {
            self.shortest = [None, self.shortest[0]];
            self.window_began = Some(now);
        }
        let shortest = self.shortest[0].get_or_insert(took);
        *shortest = took.min(*shortest);
        Some(took)
    }

    /// Waves that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Another wave was dropped, for want of room.
    pub(crate) fn count_drop(&mut self) {
        self.dropped += 1;
    }

    /// What a confirmation takes when all is well.
    fn usual(&self) -> Duration {
        self.shortest.iter().flatten().min().copied().unwrap_or(UNKNOWN)
    }
}

/// Further behind than usual is too far.
const BEHIND: Duration = Duration::from_millis(200);
/// Before the first confirmation: clients open their device with the first wave.
const UNKNOWN: Duration = Duration::from_millis(1500);
/// How long the shortest time counts, at least; at most twice that.
const WINDOW: Duration = Duration::from_secs(5);
/// How often one wave is tried while the client is behind.
const TRY: Duration = Duration::from_millis(500);
/// Numbers have 8 bits; more than this many cannot be told apart safely.
const MOST_ON_WAY: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(origin: Instant, ms: u64) -> Instant {
        origin + Duration::from_millis(ms)
    }

    /// Sends every 10 ms up to `to`; confirmations come after `delay`.
    fn run(pace: &mut SoundPace, origin: Instant, from: u64, to: u64, delay: Option<u64>, block: &mut u8) -> u32 {
        let mut sent = 0;
        let mut answers = VecDeque::new();
        for ms in (from..to).step_by(10) {
            while let Some((_, due)) = answers.front().filter(|(_, due)| *due <= ms).copied() {
                let (block, _): (u8, u64) = answers.pop_front().expect("looked at");
                pace.on_confirmed(at(origin, due), block);
            }
            if pace.may_send(at(origin, ms)) {
                *block = block.wrapping_add(1);
                pace.on_sent(at(origin, ms), *block);
                sent += 1;
                answers.extend(delay.map(|delay| (*block, ms + delay)));
            }
        }
        sent
    }

    #[test]
    fn a_viewer_in_step_gets_everything_and_a_stalled_one_a_fifth_of_a_second_more() {
        let (mut pace, origin, mut block) = (SoundPace::default(), Instant::now(), 0);
        assert_eq!(run(&mut pace, origin, 0, 2000, Some(50), &mut block), 200);
        // The last 50 ms of waves are under way when it stalls.
        let more = run(&mut pace, origin, 2000, 7000, None, &mut block);
        assert!((18..=40).contains(&more), "{more} waves to a viewer that stands still");
        assert!(pace.dropped() > 400);
        pace.on_confirmed(at(origin, 7000), block);
        assert_eq!(
            run(&mut pace, origin, 7000, 8000, Some(50), &mut block),
            100,
            "it catches up"
        );
    }

    #[test]
    fn a_client_that_plays_everything_a_second_late_is_not_behind() {
        let (mut pace, origin, mut block) = (SoundPace::default(), Instant::now(), 0);
        assert_eq!(run(&mut pace, origin, 0, 5000, Some(1000), &mut block), 500);
        assert_eq!(pace.dropped(), 0);
    }

    #[test]
    fn confirmations_of_what_was_not_sent_change_nothing() {
        let (mut pace, now) = (SoundPace::default(), Instant::now());
        assert_eq!(pace.on_confirmed(now, 7), None);
        pace.on_sent(now, 1);
        assert_eq!(pace.on_confirmed(now, 2), None);
        assert!(pace.on_confirmed(now, 1).is_some());
        assert_eq!(pace.on_confirmed(now, 1), None);
    }
}
