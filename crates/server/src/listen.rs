//! The listener: accepts, bounds how many strangers wait, and owns the session tasks.

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

use crate::config::ServerConfig;
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

/// What all sessions of a server share.
pub(crate) struct Context {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) pool: EncodePool,
    pub(crate) stop: Stop,
    pub(crate) cookies: Arc<Cookies>,
    doors: Mutex<Doors>,
    sessions: AtomicUsize,
    next: AtomicU64,
}

/// Connections that have not logged in yet.
#[derive(Default)]
struct Doors {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place at the door; given back when the login ends either way.
pub(crate) struct Knock {
    context: Arc<Context>,
    address: IpAddr,
}

/// A place among the sessions.
pub(crate) struct Place(Arc<Context>);

impl Context {
    fn knock(self: &Arc<Self>, address: IpAddr) -> Option<Knock> {
        let limits = &self.config.limits;
        let mut doors = self.doors.lock();
        let same = doors.by_address.get(&address).copied().unwrap_or(0);
        if doors.total >= limits.handshakes || same >= limits.handshakes_per_address {
            return None;
        }
        doors.total += 1;
        doors.by_address.insert(address, same + 1);
        Some(Knock {
            context: Arc::clone(self),
            address,
        })
    }

    /// A place for a session that logged in; `None` when the house is full.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place> {
        let limit = self.config.limits.sessions;
        let add = |count| (count < limit).then_some(count + 1);
        self.sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .ok()?;
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Knock {
    fn drop(&mut self) {
        let mut doors = self.context.doors.lock();
        doors.total -= 1;
        if let Some(count) = doors.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                doors.by_address.remove(&self.address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves every client of the listener until `stop`, then tells the sessions and waits for them, two seconds at most.
pub async fn serve(listener: TcpListener, config: Arc<ServerConfig>, stop: Stop) {
    let pool = EncodePool::for_this_machine();
    let doors = Mutex::new(Doors::default());
    let cookies = Arc::new(Cookies::new(config.reconnect));
    let context = Arc::new(Context {
        config,
        cookies,
        pool,
        stop: stop.clone(),
        doors,
        sessions: AtomicUsize::new(0),
        next: AtomicU64::new(1),
    });
    let mut sessions = JoinSet::new();
    let mut stop = stop;
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

fn admit(context: &Arc<Context>, stream: TcpStream, peer: SocketAddr, sessions: &mut JoinSet<()>) {
    let Some(knock) = context.knock(peer.ip()) else {
        warn!(%peer, "too many connections wait for a login; this one was closed");
        return;
    };
    let id = SessionId(context.next.fetch_add(1, Ordering::Relaxed));
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
