//! When to wait for more. A serial line says its bytes one by one, and to wake somebody for each costs more than the byte;
//! but the first byte after a rest, and what answers a key, must not wait. Pure: time comes in.

use std::time::{Duration, Instant};

/// Decides whether what comes next is worth a short wait. See the module.
#[derive(Debug, Clone)]
pub struct Gather {
    pause: Duration,
    /// When something last came.
    came: Option<Instant>,
    /// When somebody last typed.
    typed: Option<Instant>,
    until: Option<Instant>,
}

impl Gather {
    /// So many bytes at once are worth their way.
    pub const ENOUGH: usize = 1 << 10;
    /// What comes so soon after the piece before belongs to it.
    const SOON: Duration = Duration::from_millis(10);
    /// What comes so soon after somebody typed may be the answer.
    const ANSWER: Duration = Duration::from_millis(50);

    /// Waits for `pause` at most.
    pub fn new(pause: Duration) -> Self {
        Self {
            pause,
            came: None,
            typed: None,
            until: None,
        }
    }

    /// Somebody typed.
    pub fn typed(&mut self, now: Instant) {
        (self.typed, self.until) = (Some(now), None);
    }

    /// So many bytes came.
    pub fn took(&mut self, bytes: usize, now: Instant) {
        let is_within = |at: Option<Instant>, span| at.is_some_and(|at| now.saturating_duration_since(at) < span);
        let waits = bytes < Self::ENOUGH && is_within(self.came, Self::SOON) && !is_within(self.typed, Self::ANSWER);
        self.came = Some(now);
        self.until = waits.then(|| now + self.pause);
    }

    /// Nothing should be taken before, if that is still to come.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(2);

    fn after(ms: u64, start: Instant) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn only_bytes_that_follow_each_other_wait() {
        let (mut gather, start) = (Gather::new(PAUSE), Instant::now());
        gather.took(1, start);
        assert_eq!(gather.until(), None, "the first goes at once");
        gather.took(1, after(1, start));
        assert_eq!(gather.until(), Some(after(3, start)));
        gather.took(100, after(3, start));
        assert_eq!(gather.until(), Some(after(5, start)));
        gather.took(Gather::ENOUGH, after(5, start));
        assert_eq!(gather.until(), None, "that was enough");
        gather.took(1, after(100, start));
        assert_eq!(gather.until(), None, "after a rest");
    }

    #[test]
    fn answers_do_not_wait() {
        let (mut gather, start) = (Gather::new(PAUSE), Instant::now());
        for ms in 0..10 {
            gather.took(1, after(2 * ms, start));
            gather.typed(after(2 * ms + 1, start));
            assert_eq!(gather.until(), None);
        }
        gather.took(1, after(75, start));
        gather.took(1, after(80, start));
        assert_eq!(gather.until(), Some(after(82, start)), "nobody typed for long");
    }
}
