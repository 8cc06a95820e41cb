//! A hypervisor that says more than its machine takes. It is slowed by not being read, which hurts nobody else; an operator
//! should know who it is. Pure: time comes in.

use std::time::{Duration, Instant};

/// Whether to speak of a flood. See the module.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// Since when there was always more.
    since: Option<Instant>,
    told: Option<Instant>,
}

/// So long a hypervisor may be ahead: a new picture comes as many updates at once.
const PATIENCE: Duration = Duration::from_secs(1);
/// An operator is told once in this time.
const SILENCE: Duration = Duration::from_secs(60);

impl Flood {
    /// Messages were taken; `is_full`: as many as may wait at once. Whether an operator should hear of it now.
    pub(super) fn is_news(&mut self, now: Instant, is_full: bool) -> bool {
        if !is_full {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_known = self.told.is_some_and(|told| now - told < SILENCE);
        let is_news = now - since >= PATIENCE && !is_known;
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_after_a_second_and_once_a_minute() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        let news = (0..1_300).filter(|tenth| flood.is_news(start + Duration::from_millis(tenth * 100), true));
        assert_eq!(news.collect::<Vec<_>>(), [10, 610, 1_210]);
    }

    #[test]
    fn many_messages_at_once_are_none() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        for tenth in 0..1_000 {
            assert!(!flood.is_news(start + Duration::from_millis(tenth * 100), tenth % 10 > 0));
        }
    }
}
