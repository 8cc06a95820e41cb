//! Where hypervisors connect. Each connection has a task that hears who it speaks for and is not believed but by the
//! kernel's word; nobody's connections can take another's places.

use std::collections::HashMap;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_wire::{v5, v6};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::board::{Board, Hold, Refusal};
use super::link::{self, Said};
use super::memory::Peer;
use super::stream::{Heard, LinkError, Stream};
use super::{Config, SocketName};

/// Connections of one user that speak for nobody (yet).
const STRANGERS: usize = 32;
/// Connections in all, per protocol.
const CONNECTIONS: usize = 2048;
/// Time for ZeroMQ's handshake, and for HELLO.
const GREETING: Duration = Duration::from_secs(10);
/// A peer that speaks for a machine that it may not is heard this often.
const REFUSED: Duration = Duration::from_millis(20);
/// After a failed accept: too many open files, mostly.
const PAUSE: Duration = Duration::from_millis(200);

/// The listening sockets. Dropping them ends all connections.
#[derive(Debug)]
pub(super) struct Doors {
    tasks: Vec<JoinHandle<()>>,
    files: Vec<PathBuf>,
}

impl Doors {
    pub(super) fn open(config: &Config, board: &Arc<Board>) -> io::Result<Self> {
        let mut doors = Self {
            tasks: Vec::new(),
            files: Vec::new(),
        };
        let sockets = [
            (v5::VERSION, config.socket.clone()),
            (v6::VERSION, SocketName::Path(config.socket6.clone())),
        ];
        for (version, name) in sockets {
            let endpoint = name.endpoint();
            let listener = bind(&name).map_err(|error| io::Error::new(error.kind(), format!("{endpoint}: {error}")))?;
            if let SocketName::Path(path) = name {
                doors.files.push(path);
            }
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            doors.tasks.push(tokio::spawn(accept(listener, version, board.clone())));
        }
        Ok(doors)
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        for path in &self.files {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind(name: &SocketName) -> io::Result<StdListener> {
    match name {
        SocketName::Abstract(name) => StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?),
        SocketName::Path(path) => bind_path(path),
    }
}

/// Everybody may connect: who is heard is decided by who they are.
fn bind_path(path: &Path) -> io::Result<StdListener> {
    let listener = match StdListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_stale =
                StdStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !is_stale {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            StdListener::bind(path)?
        }
        listener => listener?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, version: i32, board: Arc<Board>) {
    let lobby = Lobby::default();
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            biased;
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a hypervisor");
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let Some((peer, place)) = admit(&socket, &lobby, connections.len()) else {
            continue;
        };
        let stream = Stream::new(socket, peer, version);
        connections.spawn(serve(stream, board.clone(), place));
    }
}

fn admit(socket: &UnixStream, lobby: &Lobby, others: usize) -> Option<(Peer, Place)> {
    let credentials = socket
        .peer_cred()
        .inspect_err(|error| tracing::warn!(%error, "a hypervisor cannot be told from others"))
        .ok()?;
    let peer = Peer {
        uid: credentials.uid(),
        pid: credentials.pid().filter(|pid| *pid > 0),
    };
    let place = lobby.enter(peer.uid).filter(|_| others < CONNECTIONS);
    if place.is_none() {
        tracing::warn!(%peer, "too many connections of hypervisors: closed");
    }
    Some((peer, place?))
}

/// One connection from its beginning to its end.
async fn serve(mut stream: Stream, board: Arc<Board>, place: Place) {
    let peer = stream.peer();
    let (hold, features) = match introduce(&mut stream, &board).await {
        Ok(known) => known,
        Err(error @ (LinkError::Closed | LinkError::Io(_))) => {
            return tracing::debug!(%peer, %error, "hypervisor left without a word");
        }
        Err(error) => return tracing::warn!(%peer, %error, "hypervisor refused"),
    };
    drop(place);
    let uuid = hold.who().uuid;
    let (link, ends) = link::link(peer, features);
    if !hold.hand_over(link).await {
        return;
    }
    tracing::info!(machine = %uuid, %peer, version = stream.version(), "hypervisor connected");
    match link::run(&mut stream, &hold, ends).await {
        Ok(()) => tracing::debug!(machine = %uuid, %peer, "connection let go"),
        Err(LinkError::Closed) => tracing::info!(machine = %uuid, %peer, "hypervisor disconnected"),
        Err(error) => tracing::warn!(machine = %uuid, %peer, %error, "connection to hypervisor ended"),
    }
}

/// Hears who a connection speaks for.
async fn introduce(stream: &mut Stream, board: &Board) -> Result<(Hold, v6::Features), LinkError> {
    let (peer, version) = (stream.peer(), stream.version());
    if version == v6::VERSION {
        let heard = timeout(GREETING, stream.hear())
            .await
            .map_err(|_| LinkError::Silent)??;
        let Said::Message(v6::ToDaemon::Hello { uuid, features }, _) = heard.said else {
            return Err(LinkError::NotHello);
        };
        let hold = board.claim(uuid, version, peer.uid)?;
        let mut word = Vec::new();
        v6::ToGuest::Welcome { features: FEATURES }.encode(&mut word);
        stream.put(&word);
        return Ok((hold, features));
    }
    let greeted = timeout(GREETING, async {
        while !stream.is_ready() {
            stream.turn(true).await?;
        }
        Ok::<(), LinkError>(())
    });
    greeted.await.map_err(|_| LinkError::Silent)??;
    // Its first message may come late. One that may not be heard is dropped and not closed: ZeroMQ would come back at
    // once, again and again.
    loop {
        let heard = stream.hear().await?;
        match claim(&heard, board, peer) {
            Ok(hold) => {
                stream.speak_for(hold.who().uuid);
                stream.hear_again(heard);
                return Ok((hold, v6::Features::default()));
            }
            Err(refusal) => {
                stream.complain(&format_args!("{refusal}: dropped"));
                sleep(REFUSED).await;
            }
        }
    }
}

fn claim(heard: &Heard, board: &Board, peer: Peer) -> Result<Hold, Refusal> {
    let uuid = heard.uuid.expect("each message of protocol 5 has one");
    board.claim(uuid, v5::VERSION, peer.uid)
}

/// What the daemon takes of protocol 6.
const FEATURES: v6::Features = v6::Features::CLIPBOARD
    .with(v6::Features::SOUND)
    .with(v6::Features::MICROPHONE)
    .with(v6::Features::UNICODE)
    .with(v6::Features::SIZE);

/// Counts connections that speak for nobody, by user.
#[derive(Debug, Clone, Default)]
struct Lobby(Arc<Mutex<HashMap<u32, usize>>>);

/// A place in the lobby.
#[derive(Debug)]
struct Place {
    lobby: Lobby,
    uid: u32,
}

impl Lobby {
    fn enter(&self, uid: u32) -> Option<Place> {
        let mut counts = self.0.lock();
        let count = counts.entry(uid).or_default();
        if *count == STRANGERS {
            return None;
        }
        *count += 1;
        Some(Place {
            lobby: self.clone(),
            uid,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.lobby.0.lock();
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}
