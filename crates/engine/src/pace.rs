//! When may the next frame go to one client? Pure: time comes in, nothing is measured here.
//!
//! ```text
//!            on_sent                     on_ack (frees the window, measures rate and round trip)
//!   Ready ───────────▶ Until(spacing) ─────────▶ Ready
//!     └── window full ─▶ AwaitAck ── on_ack ──▶ Ready
//! ```
//!
//! The window is in bytes: what the link and the client took per second lately, times the shortest round trip plus
//! 20 ms; half as much again in the beginning, until the rate stops growing, and a quarter more in one round trip of
//! eight, so that a rate that was held down by the window itself is not taken for the link's. A client that suspended its acknowledgements, or has
//! none, is paced by what the socket has not taken yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdpmux_model::{FrameId, QueueDepth};

/// Limits of a [`Pacer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacerConfig {
    /// Shortest time between two frames.
    pub spacing: Duration,
    /// Whether the client acknowledges frames at all. If not, only spacing and the socket's backlog count.
    pub acknowledges: bool,
    /// Most frames in flight, whatever their size.
    pub max_frames: usize,
    /// Unsent bytes in the session and the socket above which no frame goes.
    pub max_backlog: usize,
}

impl Default for PacerConfig {
    /// 60 frames per second, acknowledged, at most 32 in flight, 64 KiB of backlog.
    fn default() -> Self {
        Self {
            spacing: Duration::from_millis(16),
            acknowledges: true,
            max_frames: 32,
            max_backlog: 64 << 10,
        }
    }
}

/// Whether a frame may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Now.
    Ready,
    /// At this time.
    Until(Instant),
    /// When an acknowledgement came or the backlog shrank.
    AwaitAck,
}

/// What the pacer measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacerStats {
    /// Shortest round trip of the last ten seconds, decoding included.
    pub min_round_trip: Option<Duration>,
    /// Bytes per second that arrived lately.
    pub bytes_per_second: Option<u64>,
    /// Frames sent and not acknowledged.
    pub frames_in_flight: usize,
    /// Their bytes.
    pub bytes_in_flight: usize,
    /// Bytes that may be in flight now.
    pub window: usize,
}

/// Decides for one client. See the module's diagram.
#[derive(Debug)]
pub struct Pacer {
    config: PacerConfig,
    in_flight: VecDeque<Sent>,
    bytes_in_flight: usize,
    /// Bytes acknowledged in total, and when the last of them were.
    delivered: u64,
    delivered_at: Option<Instant>,
    last_sent: Option<Instant>,
    round_trip: Extreme<Duration>,
    rate: Extreme<u64>,
    startup: Startup,
    probe: Probe,
    /// Some rate was measured while the link had enough to do.
    was_filled: bool,
    suspended: bool,
    backlog: usize,
    client_queue: usize,
}

#[derive(Debug)]
struct Sent {
    frame: FrameId,
    at: Instant,
    bytes: usize,
    /// At least half of the window was in use when it was sent: what it measures is the link, not our thrift.
    filled: bool,
    /// So much was on the way that a long round trip means a queue, not a slow client.
    is_much: bool,
    /// `delivered` and its time when this frame was sent.
    delivered: u64,
    delivered_at: Instant,
}

/// Bytes on the way besides one bandwidth-delay product, as time: what keeps the link busy while the client decodes, and
/// what an echo of input may have to wait behind.
const HEADROOM: Duration = Duration::from_millis(20);
/// In the beginning the window is larger by half, so that the rate can be found.
const STARTUP_GAIN: (u32, u32) = (3, 2);
/// The beginning ends after so many full windows in which the rate did not grow by a quarter.
const STARTUP_ROUNDS: u32 = 3;
/// Later it is larger by a quarter in the first round trip of so many.
const PROBE_GAIN: (u32, u32) = (5, 4);
const PROBE_CYCLE: u32 = 8;
/// The window before anything was measured, and the least ever: a keystroke's frames are never held back by bytes.
const MIN_WINDOW: usize = 16 << 10;
const ROUND_TRIP_MEMORY: Duration = Duration::from_secs(10);
const RATE_MEMORY: Duration = Duration::from_secs(3);
/// A rate is not measured over less.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(1);

impl Pacer {
    /// A pacer that has measured nothing yet.
    pub fn new(config: PacerConfig) -> Self {
        Self {
            config,
            in_flight: VecDeque::new(),
            bytes_in_flight: 0,
            delivered: 0,
            delivered_at: None,
            last_sent: None,
            round_trip: Extreme::new(ROUND_TRIP_MEMORY, |new, old| new < old),
            rate: Extreme::new(RATE_MEMORY, |new, old| new > old),
            startup: Startup::default(),
            probe: Probe::default(),
            was_filled: false,
            suspended: false,
            backlog: 0,
            client_queue: 0,
        }
    }

    /// Whether a frame may go at `now`.
    pub fn ready(&self, now: Instant) -> Readiness {
        if self.is_full() {
            return Readiness::AwaitAck;
        }
        match self.last_sent.map(|sent| sent + self.config.spacing) {
            Some(next) if next > now => Readiness::Until(next),
            _ => Readiness::Ready,
        }
    }

    /// A frame was handed to the transport. `bytes` is its size on the wire.
    pub fn on_sent(&mut self, now: Instant, frame: FrameId, bytes: usize) {
        self.last_sent = Some(now);
        if !self.counts_acks() {
            return;
        }
        self.bytes_in_flight += bytes;
        self.in_flight.push_back(Sent {
            frame,
            at: now,
            bytes,
            filled: self.bytes_in_flight * 2 >= self.window(),
            is_much: self.bytes_in_flight >= MIN_WINDOW,
            delivered: self.delivered,
            // After a pause the link was idle: the rate counts from here.
            delivered_at: self.delivered_at.filter(|_| !self.in_flight.is_empty()).unwrap_or(now),
        });
    }

    /// The client acknowledged a frame, and by that all before it. One that is not in flight only tells the queue depth.
    pub fn on_ack(&mut self, now: Instant, frame: FrameId, depth: QueueDepth) {
        match depth {
            QueueDepth::Suspended => {
                self.suspended = true;
                self.forget_in_flight();
                return;
            }
            QueueDepth::Unavailable => self.client_queue = 0,
            QueueDepth::Bytes(bytes) => self.client_queue = bytes as usize,
        }
        self.suspended = false;
        let Some(position) = self.in_flight.iter().position(|sent| sent.frame == frame) else {
            return;
        };
        let mut acked = None;
        for sent in self.in_flight.drain(..=position) {
            self.delivered += sent.bytes as u64;
            self.bytes_in_flight -= sent.bytes;
            acked = Some(sent);
        }
        self.delivered_at = Some(now);
        if let Some(sent) = acked {
            self.measure(now, &sent);
        }
    }

    /// So many bytes wait in the session and in the socket. A session that does not know never calls this.
    pub fn on_backlog(&mut self, bytes: usize) {
        self.backlog = bytes;
    }

    /// The round trip was measured by other means, without the time that the client takes to decode: by TCP itself, or
    /// by the protocol's network detection ([MS-RDPBCGR] 2.2.14).
    pub fn on_round_trip(&mut self, now: Instant, round_trip: Duration) {
        self.round_trip.add(now, round_trip);
    }

    /// The link delivered so many bytes per second, by TCP's or the protocol's own measure.
    pub fn on_rate(&mut self, now: Instant, bytes_per_second: u64) {
        self.rate.add(now, bytes_per_second);
        self.was_filled = true;
    }

    /// Forgets frames in flight and everything measured, for example after the client's graphics were set up anew.
    pub fn reset(&mut self) {
        let last_sent = self.last_sent;
        *self = Self::new(self.config);
        self.last_sent = last_sent;
    }

    /// When the oldest frame without acknowledgement was sent: a client that owes one for long has stopped.
    pub fn oldest_unacked(&self) -> Option<Instant> {
        self.in_flight.front().map(|sent| sent.at)
    }

    /// Bytes per second that the link carries; `None` as long as it was never given so much that it showed.
    pub fn link_rate(&self) -> Option<u64> {
        self.rate.value().filter(|_| self.was_filled)
    }

    /// Encoded bytes that the link carries in `interval`; `None` as for [`Self::link_rate`].
    pub fn bytes_per(&self, interval: Duration) -> Option<usize> {
        self.link_rate().map(|rate| scale(rate, interval))
    }

    /// What was measured.
    pub fn stats(&self) -> PacerStats {
        PacerStats {
            min_round_trip: self.round_trip.value(),
            bytes_per_second: self.rate.value(),
            frames_in_flight: self.in_flight.len(),
            bytes_in_flight: self.bytes_in_flight,
            window: self.window(),
        }
    }

    fn counts_acks(&self) -> bool {
        self.config.acknowledges && !self.suspended
    }

    fn is_full(&self) -> bool {
        if self.backlog > self.config.max_backlog {
            return true;
        }
        if !self.counts_acks() || self.in_flight.is_empty() {
            return false;
        }
        self.in_flight.len() >= self.frames() || self.bytes_in_flight.max(self.client_queue) >= self.window()
    }

    /// Bytes that may be in flight.
    fn window(&self) -> usize {
        let measured = self.rate.value().zip(self.round_trip.value());
        let (gain, share) = match (self.startup.ended, self.probe.trip) {
            (false, _) => STARTUP_GAIN,
            (true, 0) => PROBE_GAIN,
            (true, _) => (1, 1),
        };
        measured.map_or(MIN_WINDOW, |(rate, round_trip)| {
            scale(rate, (round_trip + HEADROOM) * gain / share).max(MIN_WINDOW)
        })
    }

    /// Frames that may be in flight: as many as the spacing allows in one round trip, and two.
    fn frames(&self) -> usize {
        let spacing = self.config.spacing.max(Duration::from_millis(1)).as_nanos();
        let per_trip = self
            .round_trip
            .value()
            .map_or(0, |trip| trip.as_nanos().div_ceil(spacing));
        usize::try_from(per_trip)
            .unwrap_or(usize::MAX)
            .saturating_add(2)
            .min(self.config.max_frames)
    }

    fn measure(&mut self, now: Instant, sent: &Sent) {
        let trip = now.saturating_duration_since(sent.at);
        self.round_trip.add(now, trip);
        self.probe.on_ack(now, self.round_trip.value());
        let elapsed = now.saturating_duration_since(sent.delivered_at).max(SHORTEST_SAMPLE);
        let bytes = u128::from(self.delivered - sent.delivered);
        let rate = bytes * 1_000_000_000 / elapsed.as_nanos();
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let has_queue = sent.is_much
            && self
                .round_trip
                .value()
                .is_some_and(|least| trip > (least + HEADROOM) * 2);
        // Little to send tells how much the link carries at least, and no more than that.
        if sent.filled || has_queue || self.rate.value().is_none_or(|known| rate > known) {
            self.rate.add(now, rate);
        }
        if sent.filled {
            self.was_filled = true;
            self.startup.note(rate);
        }
    }

    fn forget_in_flight(&mut self) {
        self.in_flight.clear();
        self.bytes_in_flight = 0;
        self.client_queue = 0;
    }
}

/// Bytes at `rate` per second in `time`.
fn scale(rate: u64, time: Duration) -> usize {
    let bytes = u128::from(rate) * time.as_micros() / 1_000_000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The search for the link's rate.
#[derive(Debug, Default)]
struct Startup {
    best: u64,
    rounds_without_growth: u32,
    ended: bool,
}

impl Startup {
    fn note(&mut self, rate: u64) {
        if rate > self.best.saturating_add(self.best / 4) {
            self.best = rate;
            self.rounds_without_growth = 0;
        } else {
            self.rounds_without_growth += 1;
            self.ended |= self.rounds_without_growth >= STARTUP_ROUNDS;
        }
    }
}

/// Which round trip of the cycle it is.
#[derive(Debug, Default)]
struct Probe {
    trip: u32,
    since: Option<Instant>,
}

impl Probe {
    fn on_ack(&mut self, now: Instant, round_trip: Option<Duration>) {
        let since = *self.since.get_or_insert(now);
        if round_trip.is_some_and(|trip| now.saturating_duration_since(since) >= trip) {
            self.since = Some(now);
            self.trip = (self.trip + 1) % PROBE_CYCLE;
        }
    }
}

/// The best value of the last one to two memory spans, in constant space.
#[derive(Debug)]
struct Extreme<T> {
    span: Duration,
    is_better: fn(T, T) -> bool,
    since: Option<Instant>,
    current: Option<T>,
    previous: Option<T>,
}

impl<T: Copy> Extreme<T> {
    fn new(span: Duration, is_better: fn(T, T) -> bool) -> Self {
        Self {
            span,
            is_better,
            since: None,
            current: None,
            previous: None,
        }
    }

    fn add(&mut self, now: Instant, value: T) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.span {
            self.previous = self.current.take();
            self.since = Some(now);
        }
        self.current = self.best(self.current, Some(value));
    }

    fn value(&self) -> Option<T> {
        self.best(self.current, self.previous)
    }

    fn best(&self, one: Option<T>, other: Option<T>) -> Option<T> {
        match (one, other) {
            (Some(one), Some(other)) if (self.is_better)(other, one) => Some(other),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests;
