//! Who looks at a head now, what rate the fastest of them can use, and how many wait for the next picture: what the guest's
//! side is told. Seats, glances and spans look; each has one [`Look`] while it does.

use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_model::Audience;
use tokio::sync::watch;

/// The onlookers of one head. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Onlookers(Arc<Board>);

struct Board {
    audience: watch::Sender<Audience>,
    /// How many look at each rate, in pictures per second.
    rates: Mutex<[usize; Audience::MOST_RATE as usize + 1]>,
    /// How many show all there is and can take more. Those who never say count.
    waiting: watch::Sender<usize>,
}

/// One who looks, for as long as this lives.
pub(super) struct Look {
    board: Arc<Board>,
    rate: u8,
    waits: bool,
}

impl Onlookers {
    /// Nobody looks yet, and `audience` is told so.
    pub(super) fn new(audience: watch::Sender<Audience>) -> Self {
        audience.send_replace(Audience::NONE);
        let rates = Mutex::new([0; Audience::MOST_RATE as usize + 1]);
        let waiting = watch::Sender::default();
        Self(Arc::new(Board {
            audience,
            rates,
            waiting,
        }))
    }

    /// How many wait for the next picture.
    pub(super) fn waiting(&self) -> watch::Receiver<usize> {
        self.0.waiting.subscribe()
    }

    /// One more looks, who can use so many pictures per second.
    pub(super) fn look(&self, rate: u8) -> Look {
        let rate = rate.min(Audience::MOST_RATE);
        self.0.change(|rates| rates[usize::from(rate)] += 1);
        self.0.waiting.send_modify(|count| *count += 1);
        Look {
            board: self.0.clone(),
            rate,
            waits: true,
        }
    }
}

impl Look {
    /// It can use so many pictures per second now.
    pub(super) fn set_rate(&mut self, rate: u8) {
        let rate = rate.min(Audience::MOST_RATE);
        let before = std::mem::replace(&mut self.rate, rate);
        if rate != before {
            self.board.change(|rates| {
                rates[usize::from(before)] -= 1;
                rates[usize::from(rate)] += 1;
            });
        }
    }

    /// Whether it waits for the next picture.
    pub(super) fn set_waits(&mut self, waits: bool) {
        match (std::mem::replace(&mut self.waits, waits), waits) {
            (false, true) => self.board.waiting.send_modify(|count| *count += 1),
            (true, false) => self.board.waiting.send_modify(|count| *count -= 1),
            _ => {}
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.set_waits(false);
        self.board.change(|rates| rates[usize::from(self.rate)] -= 1);
    }
}

impl Board {
    fn change(&self, change: impl FnOnce(&mut [usize])) {
        let mut rates = self.rates.lock();
        change(rates.as_mut_slice());
        let fastest = rates.iter().rposition(|count| *count > 0).unwrap_or(0);
        let audience = Audience::new(rates.iter().sum(), u8::try_from(fastest).unwrap_or(u8::MAX));
        // Under the lock, so that the last word is the newest.
        self.audience.send_if_modified(|told| {
            let is_news = told.count() != audience.count() || is_far(told.rate(), audience.rate());
            if is_news {
                *told = audience;
            }
            is_news
        });
    }
}

/// Whether a rate is worth telling: one eighth away from the last, or the most.
fn is_far(told: u8, now: u8) -> bool {
    told != now && (now == Audience::MOST_RATE || told.abs_diff(now) > told / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_decides_and_a_slow_one_lowers_nothing() {
        let audience = watch::Sender::default();
        let told = audience.subscribe();
        let onlookers = Onlookers::new(audience);
        assert_eq!(*told.borrow(), Audience::NONE);
        let mut fast = onlookers.look(30);
        let slow = onlookers.look(5);
        fast.set_rate(60);
        assert_eq!(*told.borrow(), Audience::new(2, 60));
        fast.set_rate(3);
        assert_eq!(*told.borrow(), Audience::new(2, 5));
        drop(slow);
        assert_eq!(*told.borrow(), Audience::new(1, 3));
        drop(fast);
        assert_eq!(*told.borrow(), Audience::NONE);
    }

    #[test]
    fn who_waits_counts_until_it_does_not() {
        let onlookers = Onlookers::new(watch::Sender::default());
        let waiting = onlookers.waiting();
        let count = || *waiting.borrow();
        let (mut one, two) = (onlookers.look(30), onlookers.look(30));
        assert_eq!(count(), 2);
        one.set_waits(false);
        one.set_waits(false);
        assert_eq!(count(), 1);
        drop(one);
        assert_eq!(count(), 1);
        drop(two);
        assert_eq!(count(), 0);
    }

    #[test]
    fn small_changes_of_the_rate_are_not_told() {
        let audience = watch::Sender::default();
        let mut told = audience.subscribe();
        let mut look = Onlookers::new(audience).look(40);
        told.mark_unchanged();
        [41, 45, 40, 36].into_iter().for_each(|rate| look.set_rate(rate));
        assert!(!told.has_changed().unwrap());
        look.set_rate(34);
        assert_eq!(told.borrow_and_update().rate(), 34);
        [58, 60].into_iter().for_each(|rate| look.set_rate(rate));
        assert_eq!(told.borrow().rate(), 60);
    }
}
