//! The listener: accepts, bounds how many strangers wait, and owns the session tasks. Several listeners may be doors of
//! one [`House`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_model::SessionId;
use rdpmux_rdp::CloseReason;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::config::{Limits, ServerConfig};
use crate::reconnect::Cookies;
use crate::session::link::Carrier;
use crate::session::{self, Incoming, Outcome, encode_pool::EncodePool};
use crate::vnc::{self, VncSettings};

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
    /// Whether it has come to that.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

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
    /// Told when a session gives its place back.
    freed: Notify,
    next: AtomicU64,
}

/// A door without a listener: for connections that the embedder accepts, over whatever carries bytes. Clones are the same
/// door.
#[derive(Clone)]
pub struct Entrance(Arc<Context>);

/// Who runs TLS on a connection that an embedder brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TransportTls {
    /// The server: the usual order of RDP, over a stream in the clear.
    #[default]
    Managed,
    /// Somebody has, below the stream (a WebSocket over TLS, say), and it is encrypted. X.224 is negotiated as ever, and the
    /// client must know as well that no TLS follows it; stock clients do not. NLA then binds to the key of
    /// [`ServerConfig::tls`], so it must be the one that the client saw below ([MS-CSSP] 3.1.5 `pubKeyAuth`).
    AlreadyDone,
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

/// Who comes to a door.
#[derive(Debug, Clone, Copy)]
enum Clients {
    Rdp,
    Vnc(VncSettings),
}

/// A place at the door; given back when the login ends either way.
pub(crate) struct Knock {
    house: House,
    /// Unspecified if nobody knows it.
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
            freed: Notify::new(),
            next: AtomicU64::new(1),
        }))
    }
}

impl House {
    fn knock(&self, address: IpAddr, limits: &Limits) -> Option<Knock> {
        let mut waiting = self.0.waiting.lock();
        // Strangers of whom nobody knows an address are not one and the same.
        let same = match address.is_unspecified() {
            true => 0,
            false => waiting.by_address.get(&address).copied().unwrap_or(0),
        };
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

    fn place(&self, limit: usize) -> Option<Place> {
        let add = |count| (count < limit).then_some(count + 1);
        let sessions = &self.0.sessions;
        sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Place(self.clone()))
    }

    /// Waits for a place that somebody is about to give back.
    async fn place_within(&self, limit: usize, patience: Duration) -> Option<Place> {
        let wait = async {
            loop {
                let mut freed = pin!(self.0.freed.notified());
                freed.as_mut().enable();
                if let Some(place) = self.place(limit) {
                    return place;
                }
                freed.await;
            }
        };
        timeout(patience, wait).await.ok()
    }
}

impl Context {
    /// A place for a connection that has not logged in; `None` if too many wait.
    fn knock(&self, peer: SocketAddr) -> Option<Knock> {
        let knock = self.house.knock(peer.ip(), &self.config.limits);
        if knock.is_none() {
            warn!(%peer, "too many connections wait for a login; this one was closed");
        }
        knock
    }

    /// A place for a session that logged in; `None` when the house is full.
    pub(crate) async fn place_of_new(&self) -> Option<Place> {
        let limits = &self.config.limits;
        match self.house.place(limits.sessions) {
            None if limits.replace_oldest => {
                self.config.sessions.close_oldest(CloseReason::Replaced);
                self.place_of_old().await
            }
            place => place,
        }
    }

    /// A place for a client that came back, whose old session was told to end and still may have its own.
    pub(crate) async fn place_of_old(&self) -> Option<Place> {
        self.house.place_within(self.config.limits.sessions, FAREWELL).await
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
        self.0.0.freed.notify_waiters();
    }
}

/// Serves every client of the listener until `stop`, then tells the sessions and waits for them, two seconds at most.
pub async fn serve(listener: TcpListener, config: Arc<ServerConfig>, stop: Stop) {
    House::default().serve(listener, config, stop).await;
}

impl House {
    /// As [`serve`], at one more door of this house: the limits count over all of its doors.
    pub async fn serve(&self, listener: TcpListener, config: Arc<ServerConfig>, stop: Stop) {
        self.serve_to(Clients::Rdp, listener, config, stop).await;
    }

    /// The same at a door for VNC viewers: RFB with VeNCrypt, so that users log in with name and password inside TLS,
    /// whatever [`ServerConfig::logins`] says.
    pub async fn serve_vnc(&self, listener: TcpListener, config: Arc<ServerConfig>, settings: VncSettings, stop: Stop) {
        self.serve_to(Clients::Vnc(settings), listener, config, stop).await;
    }

    /// A door to which the embedder brings its connections one by one. They end with `stop`.
    pub fn entrance(&self, config: Arc<ServerConfig>, stop: Stop) -> Entrance {
        Entrance(self.context(config, stop))
    }

    fn context(&self, config: Arc<ServerConfig>, stop: Stop) -> Arc<Context> {
        Arc::new(Context {
            cookies: Arc::new(Cookies::new(config.reconnect)),
            config,
            pool: self.0.pool.clone(),
            stop,
            house: self.clone(),
        })
    }

    async fn serve_to(&self, clients: Clients, listener: TcpListener, config: Arc<ServerConfig>, mut stop: Stop) {
        let context = self.context(config, stop.clone());
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => admit(&context, clients, (stream, peer), &mut sessions),
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
        if timeout(DRAIN, drain).await.is_err() {
            warn!(left = sessions.len(), "sessions did not end in time and were cut");
        }
    }
}

impl Entrance {
    /// Serves an RDP client over a TCP connection to its end, which may be that there is no place for it.
    ///
    /// The session is a task of its own; it ends when this future is dropped.
    pub async fn serve_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        // Why it ended is in the log.
        let _ = self.visit_tcp(stream, peer).await;
    }

    pub(crate) async fn visit_tcp(&self, stream: TcpStream, peer: SocketAddr) -> Outcome {
        match Incoming::tcp(stream, peer, self.0.config.limits.write) {
            Ok(incoming) => self.admit(incoming).await,
            Err(error) => {
                debug!(%peer, %error, "socket options");
                Err(error.to_string())
            }
        }
    }

    /// The same over any stream, from `peer` if that is known: it bounds how many of one address wait for a login, and a
    /// reconnect cookie is good there. Over other streams than TCP the client's own answers alone tell how fast its link is.
    pub async fn serve_stream<S>(&self, stream: S, peer: Option<SocketAddr>, transport: TransportTls)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let _ = self.visit_stream(stream, peer, transport).await;
    }

    pub(crate) async fn visit_stream<S>(&self, stream: S, peer: Option<SocketAddr>, transport: TransportTls) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream: Box<dyn Carrier> = Box::new(stream);
        self.admit(Incoming {
            stream,
            peer: peer.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into()),
            socket: None,
            transport,
        })
        .await
    }

    async fn admit(&self, incoming: Incoming) -> Outcome {
        let Some(knock) = self.0.knock(incoming.peer) else {
            return Err("too many connections wait for a login".to_owned());
        };
        let id = self.0.house.next_session();
        // A task of its own, so that a panic is its own, and which ends when its owner does.
        let mut sessions = JoinSet::new();
        sessions.spawn(session::run(id, incoming, Arc::clone(&self.0), knock));
        match sessions.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => {
                report(Err(error));
                Err("the session ended by a bug".to_owned())
            }
            None => Ok(()),
        }
    }
}

fn admit(
    context: &Arc<Context>,
    clients: Clients,
    (stream, peer): (TcpStream, SocketAddr),
    sessions: &mut JoinSet<()>,
) {
    let Some(knock) = context.knock(peer) else {
        return;
    };
    let id = context.house.next_session();
    let context = Arc::clone(context);
    match clients {
        Clients::Rdp => match Incoming::tcp(stream, peer, context.config.limits.write) {
            // Why it ended is in the log.
            Ok(incoming) => drop(sessions.spawn(async move { drop(session::run(id, incoming, context, knock).await) })),
            Err(error) => debug!(session = %id, %peer, %error, "socket options"),
        },
        Clients::Vnc(settings) => drop(sessions.spawn(vnc::run(id, (stream, peer), context, settings, knock))),
    }
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
/// Longer than the last words of a session take, both to its client and from it.
const FAREWELL: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_to_a_full_house_gets_the_place_that_its_old_session_leaves() {
        let house = House::default();
        let old = house.place(1).expect("the house is empty");
        assert!(house.place(1).is_none());
        assert!(house.place_within(1, FAREWELL).await.is_none());
        let leaves = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(old);
        };
        let (place, ()) = tokio::join!(house.place_within(1, FAREWELL), leaves);
        assert!(place.is_some() && house.place(1).is_none());
    }
}
