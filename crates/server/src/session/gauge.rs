//! What is measured of one client's link besides the acknowledgements of frames, for the pacer: TCP's own figures, and
//! the protocol's network detection where the client takes part in it ([MS-RDPBCGR] 2.2.14).

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use rdpmux_engine::Pacer;
use rdpmux_rdp::Session;
use tokio::time::Instant;

/// A session's socket, for its figures only, and the questions under way.
pub(super) struct LinkGauge {
    /// None if it is not TCP, or not ours to ask.
    socket: Option<OwnedFd>,
    tcp_due: Option<Instant>,
    asked: VecDeque<(u16, Instant)>,
    round_trip_due: Option<Instant>,
    bandwidth_due: Option<Instant>,
}

/// How often TCP is asked.
const TCP: Duration = Duration::from_millis(100);
/// How often the client is asked to answer at once, while frames flow.
const ROUND_TRIP: Duration = Duration::from_secs(2);
/// How often the client counts the bytes of a frame, and how large that must be to tell anything.
const BANDWIDTH: Duration = Duration::from_secs(5);
const BANDWIDTH_BYTES: usize = 64 << 10;
/// A count over less time says nothing about the link.
const SHORTEST_COUNT_MS: u32 = 20;
/// Questions that may be unanswered.
const QUESTIONS: usize = 4;

impl LinkGauge {
    pub(super) fn new(socket: Option<OwnedFd>) -> Self {
        Self {
            socket,
            tcp_due: None,
            asked: VecDeque::new(),
            round_trip_due: None,
            bandwidth_due: None,
        }
    }

    /// Tells the pacer TCP's figures, unless it was told a moment ago. For a client that acknowledges frames TCP's round
    /// trip is the better one, as it holds no decoding; for one that does not, TCP's rate is the only one.
    pub(super) fn tell(&mut self, now: Instant, acknowledges: bool, pacer: &mut Pacer) {
        if !is_due(&mut self.tcp_due, now, TCP) {
            return;
        }
        let Some(Ok(info)) = self.socket.as_ref().map(rdpmux_sock::link_info) else {
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

    /// Puts the marks of a bandwidth measure around a large frame, and now and then a question of the round trip before
    /// a frame: what to send, in order.
    pub(super) fn around(&mut self, now: Instant, frame: Vec<u8>, rdp: &mut Session) -> [Bytes; 3] {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        if is_due(&mut self.round_trip_due, now, ROUND_TRIP)
            && let Some(sequence) = rdp.round_trip(&mut before)
        {
            self.asked.truncate(QUESTIONS - 1);
            self.asked.push_front((sequence, now));
        }
        if frame.len() >= BANDWIDTH_BYTES
            && is_due(&mut self.bandwidth_due, now, BANDWIDTH)
            && rdp.bandwidth_start(&mut before)
        {
            rdp.bandwidth_stop(&mut after);
        }
        [before.into(), frame.into(), after.into()]
    }

    /// The client answered a question of the round trip.
    pub(super) fn on_round_trip(&mut self, now: Instant, sequence: u16, pacer: &mut Pacer) {
        if let Some(at) = self.asked.iter().position(|(asked, _)| *asked == sequence)
            && let Some((_, asked)) = self.asked.remove(at)
        {
            pacer.on_round_trip(now.into_std(), now - asked);
        }
    }

    /// The client counted the bytes of a frame.
    pub(super) fn on_bandwidth(now: Instant, bytes: u32, elapsed_ms: u32, pacer: &mut Pacer) {
        if elapsed_ms >= SHORTEST_COUNT_MS {
            pacer.on_rate(now.into_std(), u64::from(bytes) * 1000 / u64::from(elapsed_ms));
        }
    }
}

/// Whether it is time; if so, the next time is set.
fn is_due(due: &mut Option<Instant>, now: Instant, rhythm: Duration) -> bool {
    let is_due = due.is_none_or(|due| now >= due);
    if is_due {
        *due = Some(now + rhythm);
    }
    is_due
}
