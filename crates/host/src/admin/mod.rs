//! The operator's door: a Unix socket of mode 0600 on which commands such as `rdpmux keys` reach a running daemon. One
//! line of JSON asks, one line answers; see [`Request`] and [`Answer`]. Whoever can open it runs as the daemon's user or
//! as root, so it is trusted to ask for anything, but not to be quick, short or right.

mod act;
mod client;
mod request;
mod socket;
mod streams;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rdpmux_server::Sessions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

pub use client::{CallError, Reply, call, dial, directory, sockets};
pub use request::{Answer, MAX_LINE, PowerWord, Problem, ProblemKind, Request, SessionLine, parse};
pub(crate) use socket::AdminSocket;

use crate::registry::Board;

/// What the requests are about.
pub(crate) struct Office {
    pub(crate) board: Arc<Board>,
    pub(crate) sessions: Sessions,
}

/// A program's place at the socket.
struct Places {
    /// While it asks.
    place: OwnedSemaphorePermit,
    /// Those of clients of streams, which stay.
    streams: Arc<Semaphore>,
}

/// Serves the socket until dropped.
pub(crate) async fn serve(listener: UnixListener, office: Arc<Office>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let streams = Arc::new(Semaphore::new(STREAM_CLIENTS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // The one that finds no place is closed; the others are done in seconds.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            warn!("too many programs at the admin socket; this one was closed");
            continue;
        };
        let office = Arc::clone(&office);
        let streams = Arc::clone(&streams);
        connections.spawn(async move { attend(stream, &office, Places { place, streams }).await });
    }
}

/// Answers one program's requests until it leaves, is silent for too long or sends what is no line.
async fn attend(mut stream: UnixStream, office: &Office, places: Places) {
    let peer = match stream.peer_cred() {
        Ok(peer) if is_allowed(&peer) => peer,
        Ok(peer) => return warn!(uid = peer.uid(), "a stranger at the admin socket was turned away"),
        Err(error) => return warn!(%error, "admin socket"),
    };
    let mut buffer = Vec::new();
    loop {
        let line = match timeout(PATIENCE, line(&mut stream, &mut buffer)).await {
            Ok(Line::Whole(line)) => line,
            Ok(Line::TooLong) => {
                let problem = Problem::new(
                    ProblemKind::BadRequest,
                    format!("a request has {MAX_LINE} bytes at most"),
                );
                let _ = timeout(PATIENCE, write(&mut stream, &Answer::error(problem), &[])).await;
                return;
            }
            Ok(Line::End) | Err(_) => return,
        };
        // Who leaves while a long text is typed stops it.
        let request = parse(&line);
        let streams = match &request {
            Ok(Request::Streams { desktop, user }) => Some((desktop.clone(), user.clone())),
            _ => None,
        };
        let (answer, payload) = tokio::select! {
            biased;
            answer = respond(request, &peer, office) => answer,
            () = closed(&stream) => return,
        };
        match timeout(PATIENCE, write(&mut stream, &answer, &payload)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return debug!(%error, "admin socket"),
            Err(_) => {
                return warn!(
                    uid = peer.uid(),
                    "a program at the admin socket does not read its answer"
                );
            }
        }
        if let Some((desktop, user)) = streams.filter(|_| answer.error.is_none()) {
            // Nothing was to be said before the answer.
            let Ok(_place) = Arc::clone(&places.streams).try_acquire_owned() else {
                return warn!("too many clients of streams at the admin socket; this one was closed");
            };
            drop(places.place);
            if buffer.is_empty() {
                streams::carry(stream, &desktop, user.as_deref(), office).await;
            }
            return;
        }
    }
}

async fn respond(request: Result<Request, Problem>, peer: &UCred, office: &Office) -> (Answer, Vec<u8>) {
    let (uid, pid) = (peer.uid(), peer.pid());
    let request = match request {
        Ok(request) => request,
        Err(problem) => return (Answer::error(problem), Vec::new()),
    };
    let what = request.summary();
    match act::act(request, office).await {
        Ok((value, payload)) => {
            info!(uid, pid, what, "operator's request");
            (Answer::ok(value, payload.len()), payload)
        }
        Err(problem) => {
            warn!(uid, pid, what, problem = problem.text, "operator's request refused");
            (Answer::error(problem), Vec::new())
        }
    }
}

/// The mode of the socket says the same; this holds if somebody changes it.
pub(crate) fn is_allowed(peer: &UCred) -> bool {
    peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw()
}

/// Resolves when the other side is gone altogether; one that only sends no more still wants its answer. Cancel-safe.
async fn closed(stream: &UnixStream) {
    loop {
        match stream.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => tokio::time::sleep(LOOK_AGAIN).await,
            _ => return,
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

async fn line(stream: &mut UnixStream, buffer: &mut Vec<u8>) -> Line {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let rest = buffer.split_off(end + 1);
            let mut line = std::mem::replace(buffer, rest);
            line.pop();
            return Line::Whole(line);
        }
        if buffer.len() > MAX_LINE {
            return Line::TooLong;
        }
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return Line::End,
            Ok(_) => {}
        }
    }
}

async fn write(stream: &mut UnixStream, answer: &Answer, payload: &[u8]) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.write_all(payload).await
}

/// Directory of the sockets of daemons without a configured one.
fn usual_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| is_ours(path))
        .unwrap_or_else(|| PathBuf::from("/run"))
        .join("rdpmux")
}

fn is_ours(directory: &Path) -> bool {
    std::fs::metadata(directory).is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
}

/// Programs at once.
const CONNECTIONS: usize = 16;
/// Clients of streams besides.
const STREAM_CLIENTS: usize = 64;
/// For a request to come and for an answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon it is noticed that a program left.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
