//! Character devices that are reached without asking QEMU for them: a socket of ours that it connects to, a socket of its
//! own, a pseudo terminal, a file that it writes. So machines of any other monitor have streams, too.
//!
//! Each place is followed by a task for as long as it is wanted: what is not there yet, or is gone, is tried again.

mod carry;
mod place;
mod tail;
mod tty;

use std::io;
use std::time::Duration;

use rdpmux_streams::hub::Label;
use rdpmux_streams::{Kind, Text};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

pub use place::{Place, PlaceError, Source};

use crate::port::{GuestEvent, StreamEnds, StreamPort};
use carry::carry;
use place::Door;

/// Between tries of what is not there.
const AGAIN: Duration = Duration::from_secs(1);
/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Follows a place; dropping it lets go of it.
#[derive(Debug)]
pub struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows a place on the current tokio runtime. Each time something is there, a port of the source's name comes in
/// `events`; its `output` is closed when that is gone again. `title` is the machine's, for the log.
pub fn follow(source: Source, title: String, events: mpsc::Sender<GuestEvent>) -> Follower {
    let following = Following { source, title, events };
    Follower(tokio::spawn(following.run()))
}

struct Following {
    source: Source,
    title: String,
    events: mpsc::Sender<GuestEvent>,
}

impl Following {
    async fn run(self) {
        // Listed from the start, even if nothing is there yet.
        drop(self.port().await);
        let mut was_told = false;
        loop {
            match self.once().await {
                Ok(()) => {
                    debug!(vm = self.title, stream = %self.source.name, "the other end of the stream is gone");
                    was_told = false;
                }
                Err(error) if !was_told => {
                    let (name, place) = (&self.source.name, &self.source.place);
                    warn!(vm = self.title, stream = %name, %place, %error, "nothing is there; it is tried again");
                    was_told = true;
                }
                Err(_) => {}
            }
            if self.events.is_closed() {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    /// From the moment that something is there until it is gone.
    async fn once(&self) -> io::Result<()> {
        match &self.source.place {
            Place::Listen(path) => self.listen(&Door::open(path)?).await,
            Place::Unix(path) => {
                let socket = timeout(CONNECT, UnixStream::connect(path)).await??;
                carry(socket, self.found().await).await;
                Ok(())
            }
            Place::Tcp(address) => {
                let socket = timeout(CONNECT, TcpStream::connect(address.as_str())).await??;
                socket.set_nodelay(true)?;
                carry(socket, self.found().await).await;
                Ok(())
            }
            Place::Pty(path) => {
                let tty = tty::open(path)?;
                carry(tty, self.found().await).await;
                Ok(())
            }
            Place::File(path) => {
                let tail = tail::Tail::open(path)?;
                tail.run(self.found().await).await
            }
        }
    }

    /// Whoever connects first has the stream until it leaves; then the next.
    async fn listen(&self, door: &Door) -> io::Result<()> {
        loop {
            let (socket, _) = door.listener().accept().await?;
            carry(socket, self.found().await).await;
        }
    }

    async fn found(&self) -> StreamEnds {
        info!(vm = self.title, stream = %self.source.name, place = %self.source.place, "character device");
        self.port().await
    }

    async fn port(&self) -> StreamEnds {
        let label = Label {
            name: self.source.name.clone(),
            title: Text::cleaned(&self.source.place.to_string()),
            kind: match self.source.place {
                Place::File(_) => Kind::Log,
                _ => Kind::Serial,
            },
        };
        let (port, ends) = StreamPort::open(label);
        // If nobody listens any more, the ends are closed, too.
        let _ = self.events.send(GuestEvent::StreamAdded(port)).await;
        ends
    }
}

#[cfg(test)]
mod tests;
