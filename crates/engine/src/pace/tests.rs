//! The pacer against a virtual link: a queue that drains at some rate, a delay, and a client that acknowledges.

use super::*;

struct Link {
    now: Instant,
    bytes_per_second: u64,
    delay: Duration,
    free_at: Instant,
    acks: VecDeque<(Instant, FrameId)>,
}

impl Link {
    fn new(bytes_per_second: u64, delay_ms: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            bytes_per_second,
            delay: Duration::from_millis(delay_ms),
            free_at: now,
            acks: VecDeque::new(),
        }
    }

    /// Runs `frames` frames of `bytes` each, always as soon as the pacer allows. Gives the worst queueing delay.
    fn run(&mut self, pacer: &mut Pacer, frames: u32, bytes: usize) -> Duration {
        let mut worst = Duration::ZERO;
        let mut sent = 0;
        while sent < frames {
            match pacer.ready(self.now) {
                Readiness::Ready => {
                    worst = worst.max(self.send(pacer, FrameId(sent), bytes));
                    sent += 1;
                }
                Readiness::Until(next) => self.advance(pacer, Some(next)),
                Readiness::AwaitAck => self.advance(pacer, None),
            }
        }
        worst
    }

    fn send(&mut self, pacer: &mut Pacer, frame: FrameId, bytes: usize) -> Duration {
        let start = self.free_at.max(self.now);
        self.free_at = start + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.acks.push_back((self.free_at + self.delay, frame));
        pacer.on_sent(self.now, frame, bytes);
        start - self.now
    }

    /// Goes to the next acknowledgement, or to `until` if that comes before.
    fn advance(&mut self, pacer: &mut Pacer, until: Option<Instant>) {
        match (self.acks.front().copied(), until) {
            (Some((at, _)), Some(until)) if at > until => self.now = until,
            (Some((at, frame)), _) => {
                self.acks.pop_front();
                self.now = self.now.max(at);
                pacer.on_ack(self.now, frame, QueueDepth::Unavailable);
            }
            (None, Some(until)) => self.now = until,
            (None, None) => panic!("the pacer waits for an acknowledgement that cannot come"),
        }
    }
}

#[test]
fn a_fast_link_gets_sixty_frames_per_second() {
    let (mut link, mut pacer) = (Link::new(100_000_000, 1), Pacer::new(PacerConfig::default()));
    let start = link.now;
    link.run(&mut pacer, 121, 50_000);
    let elapsed = link.now - start;
    assert_eq!(elapsed.as_millis(), 120 * 16);
}

#[test]
fn a_long_link_is_kept_busy_with_small_frames() {
    let (mut link, mut pacer) = (Link::new(2_500_000, 200), Pacer::new(PacerConfig::default()));
    link.run(&mut pacer, 60, 2_000);
    let start = link.now;
    link.run(&mut pacer, 61, 2_000);
    assert_eq!((link.now - start).as_millis(), 61 * 16, "{:?}", pacer.stats());
}

#[test]
fn a_narrow_link_is_full_but_its_queue_stays_short() {
    // 2 Mbit/s and 100 ms: a frame of 25 kB takes 100 ms.
    let (mut link, mut pacer) = (Link::new(250_000, 100), Pacer::new(PacerConfig::default()));
    let start = link.now;
    let worst = link.run(&mut pacer, 50, 25_000);
    let ideal = Duration::from_millis(100 * 50);
    let elapsed = link.now - start;
    assert!(elapsed < ideal * 12 / 10, "{elapsed:?} {:?}", pacer.stats());
    assert!(worst <= Duration::from_millis(200), "{worst:?}");
}

#[test]
fn the_window_follows_a_link_that_becomes_slow() {
    let (mut link, mut pacer) = (Link::new(10_000_000, 10), Pacer::new(PacerConfig::default()));
    link.run(&mut pacer, 300, 100_000);
    let before = pacer.stats().window;
    link.bytes_per_second = 250_000;
    link.run(&mut pacer, 100, 25_000);
    let after = pacer.stats();
    assert!(after.window < before / 10, "{before} {after:?}");
    assert!(after.bytes_per_second.is_some_and(|rate| rate < 500_000), "{after:?}");
}

#[test]
fn a_client_that_stops_acknowledging_stops_the_frames() {
    let (mut link, mut pacer) = (Link::new(10_000_000, 10), Pacer::new(PacerConfig::default()));
    link.run(&mut pacer, 10, 1_000);
    let mut sent = 0;
    while pacer.ready(link.now + Duration::from_secs(sent)) != Readiness::AwaitAck {
        pacer.on_sent(link.now + Duration::from_secs(sent), FrameId(100 + sent as u32), 1_000);
        sent += 1;
    }
    assert!(sent <= 4, "{sent}");
    assert!(pacer.oldest_unacked().is_some());
}

#[test]
fn suspended_acknowledgements_leave_spacing_and_backlog() {
    let mut pacer = Pacer::new(PacerConfig::default());
    let start = Instant::now();
    pacer.on_sent(start, FrameId(1), 10_000_000);
    assert_eq!(pacer.ready(start + Duration::from_secs(1)), Readiness::AwaitAck);
    pacer.on_ack(start, FrameId(1), QueueDepth::Suspended);
    for frame in 2..100 {
        let now = start + Duration::from_millis(16) * frame;
        assert_eq!(pacer.ready(now), Readiness::Ready);
        pacer.on_sent(now, FrameId(frame), 10_000_000);
        assert_eq!(pacer.ready(now), Readiness::Until(now + Duration::from_millis(16)));
    }
    let later = start + Duration::from_secs(9);
    pacer.on_backlog(1 << 20);
    assert_eq!(pacer.ready(later), Readiness::AwaitAck);
    pacer.on_backlog(0);
    assert_eq!(pacer.ready(later), Readiness::Ready);
    pacer.on_ack(later, FrameId(99), QueueDepth::Unavailable);
    pacer.on_sent(later, FrameId(100), 10_000_000);
    assert_eq!(
        pacer.ready(later + Duration::from_secs(1)),
        Readiness::AwaitAck,
        "acknowledgements count again"
    );
}

#[test]
fn acknowledgements_of_frames_never_sent_change_nothing() {
    let mut pacer = Pacer::new(PacerConfig::default());
    let now = Instant::now();
    pacer.on_sent(now, FrameId(7), 100_000);
    for frame in [0, 8, u32::MAX] {
        pacer.on_ack(now, FrameId(frame), QueueDepth::Bytes(u32::MAX));
    }
    assert_eq!(pacer.stats().frames_in_flight, 1);
    pacer.on_ack(now, FrameId(7), QueueDepth::Bytes(u32::MAX));
    assert_eq!(
        pacer.ready(now + Duration::from_millis(16)),
        Readiness::Ready,
        "a queue alone never blocks for good"
    );
}

#[test]
fn one_acknowledgement_covers_the_frames_before_it_and_numbers_wrap() {
    let mut pacer = Pacer::new(PacerConfig::default());
    let now = Instant::now();
    for frame in [u32::MAX - 1, u32::MAX, 0] {
        pacer.on_sent(now, FrameId(frame), 1_000);
    }
    pacer.on_ack(
        now + Duration::from_millis(5),
        FrameId(u32::MAX),
        QueueDepth::Unavailable,
    );
    assert_eq!(
        (pacer.stats().frames_in_flight, pacer.stats().bytes_in_flight),
        (1, 1_000)
    );
}

#[test]
fn small_frames_do_not_make_a_link_narrow() {
    let (mut link, mut pacer) = (Link::new(10_000_000, 5), Pacer::new(PacerConfig::default()));
    link.run(&mut pacer, 50, 400);
    assert_eq!(pacer.link_rate(), None, "{:?}", pacer.stats());
    link.run(&mut pacer, 50, 100_000);
    assert!(
        pacer.link_rate().is_some_and(|rate| rate > 3_000_000),
        "{:?}",
        pacer.stats()
    );
}

#[test]
fn a_quiet_time_does_not_make_a_link_narrow() {
    let (mut link, mut pacer) = (Link::new(10_000_000, 5), Pacer::new(PacerConfig::default()));
    link.run(&mut pacer, 50, 100_000);
    for key in 0..200 {
        link.now += Duration::from_millis(100);
        link.send(&mut pacer, FrameId(1000 + key), 300);
        link.advance(&mut pacer, None);
    }
    assert!(
        pacer.link_rate().is_some_and(|rate| rate > 3_000_000),
        "{:?}",
        pacer.stats()
    );
}

#[test]
fn a_link_that_becomes_fast_is_found_though_the_window_fits_the_slow_one() {
    let (mut link, mut pacer) = (Link::new(120_000, 100), Pacer::new(PacerConfig::default()));
    link.run(&mut pacer, 100, 9_000);
    assert!(
        pacer.link_rate().is_some_and(|rate| rate < 130_000),
        "{:?}",
        pacer.stats()
    );
    link.bytes_per_second = 250_000;
    link.run(&mut pacer, 150, 9_000);
    assert!(
        pacer.link_rate().is_some_and(|rate| rate > 230_000),
        "{:?}",
        pacer.stats()
    );
}
