//! The listener: accepts, bounds how many strangers wait, and owns the session tasks. Several listeners may be doors of
//! one [`House`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_model::SessionId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::{Limits, ServerConfig};
use crate::reconnect::Cookies;
use crate::session::{self, encode_pool::EncodePool};

/// Ends a server. Dropping it ends the server too.
pub struct Stopper(watch::Sender<bool>);

/// The other end of a [`Stopper`].
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A pair to end a server with.
pub fn stop_pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks the server to tell its clients and end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Resolves when the server must end. Cancel-safe.
    pub async fn stopped(&mut self) {
        // An error means that the stopper is gone, which ends the server as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// What the doors of one daemon share: the places before and after the login, the encode pool, and the numbers of the
/// sessions. Clones are the same house.
#[derive(Clone)]
pub struct House(Arc<Rooms>);

struct Rooms {
    pool: EncodePool,
    waiting: Mutex<Waiting>,
    sessions: AtomicUsize,
    next: AtomicU64,
}

/// Connections that have not logged in yet.
#[derive(Default)]
struct Waiting {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What all sessions of one door share.
pub(crate) struct Context {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) pool: EncodePool,
    pub(crate) stop: Stop,
    /// The door's own: a cookie is worth what the door's accounts are worth.
    pub(crate) cookies: Arc<Cookies>,
    house: House,
}

/// A place at the door; given back when the login ends either way.
pub(crate) struct Knock {
    house: House,
    address: IpAddr,
}

/// A place among the sessions.
pub(crate) struct Place(House);

impl Default for House {
    fn default() -> Self {
        Self(Arc::new(Rooms {
            pool: EncodePool::for_this_machine(),
            waiting: Mutex::default(),
            sessions: AtomicUsize::new(0),
            next: AtomicU64::new(1),
        }))
    }
}

impl House {
    fn knock(&self, address: IpAddr, limits: &Limits) -> Option<Knock> {
        let mut waiting = self.0.waiting.lock();
        let same = waiting.by_address.get(&address).copied().unwrap_or(0);
        if waiting.total >= limits.handshakes || same >= limits.handshakes_per_address {
            return None;
        }
        waiting.total += 1;
        waiting.by_address.insert(address, same + 1);
        Some(Knock {
            house: self.clone(),
            address,
        })
    }

    fn next_session(&self) -> SessionId {
        SessionId(self.0.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl Context {
    /// A place for a session that logged in; `None` when the house is full.
    pub(crate) fn place(&self) -> Option<Place> {
        let limit = self.config.limits.sessions;
        let add = |count| (count < limit).then_some(count + 1);
        let sessions = &self.house.0.sessions;
        sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Place(self.house.clone()))
    }
}

impl Drop for Knock {
    fn drop(&mut self) {
        let mut waiting = self.house.0.waiting.lock();
        waiting.total -= 1;
        if let Some(count) = waiting.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                waiting.by_address.remove(&self.address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves every client of the listener until `stop`, then tells the sessions and waits for them, two seconds at most.
pub async fn serve(listener: TcpListener, config: Arc<ServerConfig>, stop: Stop) {
    House::default().serve(listener, config, stop).await;
}

impl House {
    /// As [`serve`], at one more door of this house: the limits count over all of its doors.
    pub async fn serve(&self, listener: TcpListener, config: Arc<ServerConfig>, mut stop: Stop) {
        let context = Arc::new(Context {
            cookies: Arc::new(Cookies::new(config.reconnect)),
            config,
            pool: self.0.pool.clone(),
            stop: stop.clone(),
            house: self.clone(),
        });
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => admit(&context, stream, peer, &mut sessions),
                    Err(error) => {
                        // Out of descriptors or memory: give the sessions that end a moment to free some.
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let drain = async { while sessions.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drain).await.is_err() {
            warn!(left = sessions.len(), "sessions did not end in time and were cut");
        }
    }
}

fn admit(context: &Arc<Context>, stream: TcpStream, peer: SocketAddr, sessions: &mut JoinSet<()>) {
    let Some(knock) = context.house.knock(peer.ip(), &context.config.limits) else {
        warn!(%peer, "too many connections wait for a login; this one was closed");
        return;
    };
    let id = context.house.next_session();
    sessions.spawn(session::run(id, stream, peer, Arc::clone(context), knock));
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        info!(%error, "a session ended by a bug; the others go on");
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const DRAIN: Duration = Duration::from_secs(2);
