//! Silence on both sides of a session: a heartbeat when we have said nothing for a while, and the end of a session whose
//! user does nothing. It holds times; sending and ending are the drive's.

use std::time::Duration;

use tokio::time::Instant;

/// Since when nobody says anything.
#[derive(Debug)]
pub(super) struct Liveness {
    queued: u64,
    quiet_since: Instant,
    active_at: Instant,
    idle: Option<Duration>,
}

impl Liveness {
    pub(super) fn new(now: Instant, idle: Option<Duration>) -> Self {
        Self {
            queued: 0,
            quiet_since: now,
            active_at: now,
            idle,
        }
    }

    /// So many bytes were given to the client so far.
    pub(super) fn on_queued(&mut self, now: Instant, queued: u64) {
        if queued != self.queued {
            (self.queued, self.quiet_since) = (queued, now);
        }
    }

    /// The user did something.
    pub(super) fn on_input(&mut self, now: Instant) {
        self.active_at = now;
    }

    /// Whether a heartbeat is due; the next one is due a period later.
    pub(super) fn beats(&mut self, now: Instant) -> bool {
        let is_due = now >= self.quiet_since + period();
        if is_due {
            self.quiet_since = now;
        }
        is_due
    }

    /// Whether the user did nothing for longer than is allowed.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.idle.is_some_and(|idle| now >= self.active_at + idle)
    }

    /// When to look again.
    pub(super) fn due(&self) -> Instant {
        let beat = self.quiet_since + period();
        self.idle.map_or(beat, |idle| beat.min(self.active_at + idle))
    }
}

/// Seconds of our silence after which a client that takes heartbeats gets one.
pub(super) const PERIOD: u8 = 5;
/// Missed ones after which a client may warn its user, and further ones after which it may reconnect.
pub(super) const MISSED: (u8, u8) = (2, 2);

fn period() -> Duration {
    Duration::from_secs(u64::from(PERIOD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_comes_after_silence_only() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut liveness = Liveness::new(start, None);
        liveness.on_queued(at(3), 100);
        liveness.on_queued(at(4), 100);
        assert!(!liveness.beats(at(5)));
        assert_eq!(liveness.due(), at(8));
        assert!(liveness.beats(at(8)) && !liveness.beats(at(9)));
        assert_eq!(liveness.due(), at(13));
    }

    #[test]
    fn a_user_is_idle_when_nothing_was_typed_for_the_limit() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut liveness = Liveness::new(start, Some(Duration::from_secs(4)));
        liveness.on_input(at(3));
        assert!(!liveness.is_idle(at(6)) && liveness.is_idle(at(7)));
        assert_eq!(liveness.due(), at(5), "the heartbeat is nearer");
        assert!(!Liveness::new(start, None).is_idle(at(1_000_000)));
    }
}
