//! The sessions that are there now: who looks at what, from where, and the string by which each can be pulled. Sessions
//! enter themselves after their login and leave when they end, however they end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
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
    /// What the user may do, as it was at the login.
    pub rights: Rights,
    /// For how long.
    pub age: Duration,
}

struct Entry {
    facts: SessionFacts,
    since: Instant,
    notice: watch::Sender<Option<CloseReason>>,
}

/// A session's place in the list. Dropping it leaves the list.
pub(crate) struct Presence {
    sessions: Sessions,
    id: SessionId,
    notice: watch::Receiver<Option<CloseReason>>,
}

impl Sessions {
    /// All sessions in the order in which they came.
    pub fn list(&self) -> Vec<SessionFacts> {
        let entries = self.0.entries.lock();
        entries
            .values()
            .map(|entry| SessionFacts {
                age: entry.since.elapsed(),
                ..entry.facts.clone()
            })
            .collect()
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

    /// Tells of every session that comes or goes; several changes may be told as one.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    pub(crate) fn enter(&self, facts: SessionFacts) -> Presence {
        let (sender, notice) = watch::channel(None);
        let id = facts.id;
        let entry = Entry {
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
        }
    }
}

impl Presence {
    /// Where the session hears that it is to end.
    pub(crate) fn notice(&self) -> watch::Receiver<Option<CloseReason>> {
        self.notice.clone()
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
            age: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn the_first_reason_counts_and_who_left_cannot_be_closed() {
        let sessions = Sessions::default();
        let changes = sessions.changes();
        let (first, second) = (sessions.enter(facts(1)), sessions.enter(facts(2)));
        assert!(changes.has_changed().expect("open"));
        assert!(sessions.close(SessionId(1), CloseReason::Replaced));
        assert!(sessions.close(SessionId(1), CloseReason::Disconnected));
        assert_eq!(told(&mut first.notice()).await, CloseReason::Replaced);
        drop(first);
        assert!(!sessions.close(SessionId(1), CloseReason::Disconnected));
        let ids: Vec<_> = sessions.list().into_iter().map(|facts| facts.id).collect();
        assert_eq!(ids, [SessionId(2)]);
        assert!(!second.notice().has_changed().expect("open"));
    }
}
