//! The sessions that are there now: who looks at what, from where, and the string by which each can be pulled. Sessions
//! enter themselves after their login and leave when they end, however they end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_model::{DesktopName, Rights, SessionId};
use rdpmux_rdp::CloseReason;
use tokio::sync::watch;
use tokio::time::Instant;

/// The sessions of a server. Clones are the same list; it is given to the server by its configuration and kept by the
/// embedder, who lists and closes.
#[derive(Clone, Default)]
pub struct Sessions(Arc<List>);

#[derive(Default)]
struct List {
    entries: Mutex<BTreeMap<SessionId, Entry>>,
    /// Told after each change of `entries`, never while they are locked.
    changed: watch::Sender<()>,
}

/// What is known of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// The server's number for it.
    pub id: SessionId,
    /// Who logged in.
    pub user: String,
    /// The desktop that it shows.
    pub desktop: DesktopName,
    /// Where the client is.
    pub peer: SocketAddr,
    /// The client by its own words.
    pub client: String,
    /// What the user may do there, as it was when the session came to it.
    pub rights: Rights,
    /// The machine hears the client's microphone now.
    pub speaks: bool,
    /// For how long.
    pub age: Duration,
}

/// A session with what it has cost so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Who it is.
    pub session: SessionFacts,
    /// Bytes that were handed to the connection since the login, before TLS.
    pub bytes_sent: u64,
    /// Pictures that were sent.
    pub frames_sent: u64,
    /// The shortest round trip of the last ten seconds, decoding included where the client acknowledges frames; `None` if
    /// nothing is known of it.
    pub round_trip: Option<Duration>,
}

/// Where a session counts.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    frames: AtomicU64,
    /// 0: unknown.
    round_trip_us: AtomicU64,
}

impl Meter {
    pub(crate) fn note(&self, bytes: u64, round_trip: Option<Duration>) {
        let micros = round_trip.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
        self.bytes.store(bytes, Ordering::Relaxed);
        self.round_trip_us.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn count_frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }
}

struct Entry {
    meter: Arc<Meter>,
    facts: SessionFacts,
    since: Instant,
    notice: watch::Sender<Option<CloseReason>>,
}

impl Entry {
    fn facts(&self) -> SessionFacts {
        SessionFacts {
            age: self.since.elapsed(),
            ..self.facts.clone()
        }
    }
}

/// A session's place in the list. Dropping it leaves the list.
pub(crate) struct Presence {
    sessions: Sessions,
    id: SessionId,
    notice: watch::Receiver<Option<CloseReason>>,
    meter: Arc<Meter>,
}

impl Sessions {
    /// All sessions in the order in which they came.
    pub fn list(&self) -> Vec<SessionFacts> {
        self.0.entries.lock().values().map(Entry::facts).collect()
    }

    /// The same with what each has cost.
    pub fn stats(&self) -> Vec<ConnectionStats> {
        let stats = |entry: &Entry| {
            let round_trip = entry.meter.round_trip_us.load(Ordering::Relaxed);
            ConnectionStats {
                session: entry.facts(),
                bytes_sent: entry.meter.bytes.load(Ordering::Relaxed),
                frames_sent: entry.meter.frames.load(Ordering::Relaxed),
                round_trip: (round_trip > 0).then(|| Duration::from_micros(round_trip)),
            }
        };
        self.0.entries.lock().values().map(stats).collect()
    }

    /// Closes the session that has been there the longest, of those that are not told to end yet.
    pub(crate) fn close_oldest(&self, reason: CloseReason) {
        let oldest = {
            let entries = self.0.entries.lock();
            let staying = |(_, entry): &(&SessionId, &Entry)| entry.notice.borrow().is_none();
            entries.iter().find(staying).map(|(id, _)| *id)
        };
        if let Some(id) = oldest {
            self.close(id, reason);
        }
    }

    /// Tells a session to say this to its client and end. `false` if there is no such session. Of several reasons the
    /// first counts.
    pub fn close(&self, id: SessionId, reason: CloseReason) -> bool {
        let entries = self.0.entries.lock();
        let Some(entry) = entries.get(&id) else { return false };
        entry.notice.send_if_modified(|notice| {
            let is_first = notice.is_none();
            notice.get_or_insert(reason);
            is_first
        });
        true
    }

    /// Tells of every session that comes, goes or shows another desktop; several changes may be told as one.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Whether the machine hears that session's microphone from now on.
    pub(crate) fn set_speaks(&self, id: SessionId, speaks: bool) {
        if let Some(entry) = self.0.entries.lock().get_mut(&id) {
            entry.facts.speaks = speaks;
        }
    }

    /// The session shows another desktop from now on, where its user has these rights.
    pub(crate) fn set_desktop(&self, id: SessionId, desktop: DesktopName, rights: Rights) {
        if let Some(entry) = self.0.entries.lock().get_mut(&id) {
            (entry.facts.desktop, entry.facts.rights) = (desktop, rights);
        }
        self.0.changed.send_replace(());
    }

    pub(crate) fn enter(&self, facts: SessionFacts) -> Presence {
        let (sender, notice) = watch::channel(None);
        let id = facts.id;
        let meter = Arc::<Meter>::default();
        let entry = Entry {
            meter: meter.clone(),
            facts,
            since: Instant::now(),
            notice: sender,
        };
        self.0.entries.lock().insert(id, entry);
        self.0.changed.send_replace(());
        Presence {
            sessions: self.clone(),
            id,
            notice,
            meter,
        }
    }
}

impl Presence {
    /// Where the session hears that it is to end.
    pub(crate) fn notice(&self) -> watch::Receiver<Option<CloseReason>> {
        self.notice.clone()
    }

    /// Where the session counts what it costs.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.sessions.0.entries.lock().remove(&self.id);
        self.sessions.0.changed.send_replace(());
    }
}

/// Resolves when the session is told to end. Cancel-safe.
pub(crate) async fn told(notice: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    if let Ok(reason) = notice.wait_for(Option::is_some).await
        && let Some(reason) = *reason
    {
        return reason;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(id: u64) -> SessionFacts {
        SessionFacts {
            id: SessionId(id),
            user: "alice".to_owned(),
            desktop: DesktopName::new("web1").expect("valid"),
            peer: SocketAddr::from(([192, 0, 2, 1], 40_000)),
            client: String::new(),
            rights: Rights::VIEW,
            speaks: false,
            age: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn the_first_reason_counts_and_who_left_cannot_be_closed() {
        let sessions = Sessions::default();
        let changes = sessions.changes();
        let (first, second) = (sessions.enter(facts(1)), sessions.enter(facts(2)));
        assert!(changes.has_changed().expect("open"));
        sessions.set_speaks(SessionId(2), true);
        let speak: Vec<_> = sessions.list().into_iter().map(|facts| facts.speaks).collect();
        assert_eq!(speak, [false, true]);
        assert!(sessions.close(SessionId(1), CloseReason::Replaced));
        assert!(sessions.close(SessionId(1), CloseReason::Disconnected));
        assert_eq!(told(&mut first.notice()).await, CloseReason::Replaced);
        drop(first);
        assert!(!sessions.close(SessionId(1), CloseReason::Disconnected));
        let ids: Vec<_> = sessions.list().into_iter().map(|facts| facts.id).collect();
        assert_eq!(ids, [SessionId(2)]);
        assert!(!second.notice().has_changed().expect("open"));
    }

    #[tokio::test]
    async fn the_oldest_that_stays_is_closed_and_what_sessions_cost_is_told() {
        let sessions = Sessions::default();
        let places: Vec<_> = (1..=3).map(|id| sessions.enter(facts(id))).collect();
        sessions.close_oldest(CloseReason::Replaced);
        sessions.close_oldest(CloseReason::Replaced);
        let told: Vec<_> = places.iter().map(|place| place.notice().borrow().is_some()).collect();
        assert_eq!(told, [true, true, false]);
        let meter = places[2].meter();
        meter.note(1000, Some(Duration::from_millis(3)));
        meter.count_frame();
        let stats = sessions.stats().pop().expect("three are there");
        assert_eq!((stats.bytes_sent, stats.frames_sent), (1000, 1));
        assert_eq!(stats.round_trip, Some(Duration::from_millis(3)));
    }
}
