//! How often a backend tries again after its guest has gone, and what it counts. Pure: the time comes in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What happened to a backend since it started. For metrics and `rdpmux check`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Times that the guest was reached.
    pub attached: AtomicU64,
    /// Attempts that failed, and guests that were lost.
    pub failed: AtomicU64,
    /// Connections that were ended because the other side sent nonsense.
    pub refused: AtomicU64,
    /// Sockets that a watchdog closed.
    pub watchdog: Arc<AtomicU64>,
}

impl Counters {
    /// Adds one.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Delays that double from `first` to `longest`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackOff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl BackOff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            first,
            longest,
        }
    }

    /// How long to wait now.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        delay
    }

    /// All is well again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Tells when something happens more than `limit` times within `window`.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: usize,
    window: Duration,
    times: VecDeque<Instant>,
}

impl Quota {
    pub(crate) fn new(limit: usize, window: Duration) -> Self {
        Self {
            limit,
            window,
            times: VecDeque::with_capacity(limit + 1),
        }
    }

    /// It happened; whether that is too often.
    pub(crate) fn exceeds(&mut self, now: Instant) -> bool {
        self.times
            .retain(|time| now.saturating_duration_since(*time) < self.window);
        self.times.push_back(now);
        if self.times.len() > self.limit + 1 {
            self.times.pop_front();
        }
        self.times.len() > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_again() {
        let mut back_off = BackOff::new(Duration::from_millis(100), Duration::from_millis(300));
        let delays: Vec<_> = (0..4).map(|_| back_off.delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 300, 300]);
        back_off.reset();
        assert_eq!(back_off.delay().as_millis(), 100);
    }

    #[test]
    fn a_quota_counts_only_its_window() {
        let mut quota = Quota::new(3, Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!([0, 1, 2].iter().all(|s| !quota.exceeds(at(*s))));
        assert!(quota.exceeds(at(3)));
        assert!(!quota.exceeds(at(62)));
    }
}
