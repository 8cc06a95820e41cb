//! What TCP measured of one client's link, asked now and then and told to the pacer.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rdpmux_engine::Pacer;
use tokio::time::Instant;

/// A session's socket, for its figures only.
pub(super) struct LinkGauge {
    socket: OwnedFd,
    due: Option<Instant>,
}

/// How often TCP is asked.
const RHYTHM: Duration = Duration::from_millis(100);

impl LinkGauge {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, due: None }
    }

    /// Tells the pacer, unless it was told a moment ago. For a client that acknowledges frames TCP's round trip is the
    /// better one, as it holds no decoding; for one that does not, TCP's rate is the only one.
    pub(super) fn tell(&mut self, now: Instant, acknowledges: bool, pacer: &mut Pacer) {
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + RHYTHM);
        let Ok(info) = rdpmux_sock::link_info(&self.socket) else {
            return;
        };
        let now = now.into_std();
        if let Some(round_trip) = info.min_round_trip {
            pacer.on_round_trip(now, round_trip);
        }
        if let Some(rate) = info.delivery_rate.filter(|_| !acknowledges) {
            pacer.on_rate(now, rate);
        }
    }
}
