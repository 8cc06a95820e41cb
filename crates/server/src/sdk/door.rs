//! The accept loop of a server of the SDK: it asks the program of each connection, and stops when the program says so.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::connection::{Hooks, PostConnectionAction};
use crate::listen::{Entrance, Stop, Stopper};

/// A connection of which the program is asked.
type Asked = JoinHandle<Option<(TcpStream, SocketAddr)>>;

/// Serves the listener's connections until `stop`, then waits for them, two seconds at most.
pub(super) async fn serve(listener: TcpListener, entrance: Entrance, hooks: Hooks, stopper: &Stopper, mut stop: Stop) {
    let mut sessions = JoinSet::new();
    let mut asked: Option<Asked> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                if matches!(ended, Ok(PostConnectionAction::Stop)) {
                    stopper.stop();
                }
            }
            admitted = verdict(&mut asked), if asked.is_some() => {
                if let Some((stream, peer)) = admitted {
                    sessions.spawn(visit(entrance.clone(), hooks.clone(), stream, peer));
                }
            }
            accepted = listener.accept(), if asked.is_none() => asked = ask(accepted, &hooks).await,
        }
    }
    drop(listener);
    let drain = async { while sessions.join_next().await.is_some() {} };
    if timeout(DRAIN, drain).await.is_err() {
        warn!(left = sessions.len(), "sessions did not end in time and were cut");
    }
}

async fn ask(accepted: io::Result<(TcpStream, SocketAddr)>, hooks: &Hooks) -> Option<Asked> {
    match accepted {
        Ok((stream, peer)) => {
            let hooks = hooks.clone();
            Some(tokio::spawn(async move {
                hooks.accepts(peer).await.then_some((stream, peer))
            }))
        }
        Err(error) => {
            // Out of descriptors or memory: give the sessions that end a moment to free some.
            warn!(%error, "cannot accept a connection");
            sleep(PAUSE).await;
            None
        }
    }
}

/// The program's answer. Cancel-safe.
async fn verdict(asked: &mut Option<Asked>) -> Option<(TcpStream, SocketAddr)> {
    let answer = match asked {
        Some(asked) => asked.await.ok().flatten(),
        None => std::future::pending().await,
    };
    *asked = None;
    answer
}

async fn visit(entrance: Entrance, hooks: Hooks, stream: TcpStream, peer: SocketAddr) -> PostConnectionAction {
    let began = Instant::now();
    let outcome = entrance.visit_tcp(stream, peer).await;
    hooks.has_left(peer, began.elapsed(), outcome.err()).await
}

const PAUSE: Duration = Duration::from_millis(100);
const DRAIN: Duration = Duration::from_secs(2);
