//! The socket to the daemon, without waiting: connected by its address, fed by the thread in the main loop, written by
//! whoever has something to say. `outbox` is what waits to be written, with descriptors.

mod outbox;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use rdpmux_wire::zmtp::{Connection, Role, ZmtpError};
use rdpmux_wire::{MessageError, Uuid36, v5, v6};

use crate::feed::{Announcement, Shape};
use crate::report;
use outbox::Outbox;

/// Bytes read before others have their turn.
const READ_AT_ONCE: usize = 256 << 10;

/// What the daemon said.
#[derive(Debug)]
pub(crate) enum Incoming {
    Five(v5::ToGuest),
    Six(v6::ToGuest),
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the daemon closed the connection")]
    Closed,
    #[error("the daemon broke protocol 5: {0}")]
    Zmtp(#[from] ZmtpError),
    #[error("the daemon broke protocol 6: {0}")]
    Message(#[from] MessageError),
    #[error("connection to the daemon: {0}")]
    Io(#[from] io::Error),
}

/// A path that no connection can be made to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address of a daemon: that starts with ipc:// or unix:")]
pub struct InvalidPath(String);

/// Where a daemon listens, and which protocol it speaks there.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) version: i32,
    socket: SocketAddr,
}

impl Address {
    /// Reads what `Register` gave: `ipc://…` for protocol 5, with `@` for an abstract name, `unix:…` for protocol 6.
    ///
    /// # Errors
    /// [`InvalidPath`] for anything else.
    pub(crate) fn parse(path: &str) -> Result<Self, InvalidPath> {
        let invalid = || InvalidPath(path.to_owned());
        let (version, name) = match (path.strip_prefix("ipc://"), path.strip_prefix("unix:")) {
            (Some(name), _) => (v5::VERSION, name),
            (None, Some(name)) => (v6::VERSION, name),
            (None, None) => return Err(invalid()),
        };
        let socket = match name.strip_prefix('@') {
            Some(name) if !name.is_empty() => SocketAddr::from_abstract_name(name),
            None if !name.is_empty() => SocketAddr::from_pathname(name),
            _ => return Err(invalid()),
        };
        let socket = socket.map_err(|_| invalid())?;
        Ok(Self { version, socket })
    }
}

#[derive(Debug)]
enum Wire {
    Five(Box<Connection>),
    Six(v6::Splitter, Option<v6::Features>),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    uuid: Uuid36,
    wire: Wire,
    outbox: Outbox,
}

impl Link {
    /// Connects; the handshake goes on with [`Link::receive`] and [`Link::flush`].
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn connect(address: &Address, uuid: Uuid36, features: v6::Features) -> io::Result<Self> {
        let stream = UnixStream::connect_addr(&address.socket)?;
        stream.set_nonblocking(true)?;
        let wire = match address.version {
            v5::VERSION => Wire::Five(Box::new(Connection::new(Role::Dealer, b""))),
            _ => Wire::Six(v6::Splitter::default(), None),
        };
        let mut link = Self {
            stream,
            uuid,
            wire,
            outbox: Outbox::default(),
        };
        link.tell(&v6::ToDaemon::Hello { uuid, features }, None);
        Ok(link)
    }

    /// Whether the daemon has answered the greeting.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.wire {
            Wire::Five(connection) => connection.is_ready(),
            Wire::Six(_, features) => features.is_some(),
        }
    }

    /// Whether protocol 6 is spoken and the daemon takes all of `features`.
    pub(crate) fn takes(&self, features: v6::Features) -> bool {
        matches!(&self.wire, Wire::Six(_, Some(known)) if known.has(features))
    }

    /// Tells what of a head's picture changed. `memory` is told with a new one over protocol 6.
    ///
    /// # Errors
    /// When no further descriptor can be had.
    pub(crate) fn announce(
        &mut self,
        head: u32,
        serial: u32,
        announcement: Announcement,
        memory: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let Announcement { is_new, shape, area } = announcement;
        match &self.wire {
            Wire::Five(_) => {
                if is_new {
                    self.tell_5(v5::ToDaemon::Switch {
                        format: shape.code,
                        width: shape.size.width,
                        height: shape.size.height,
                    });
                }
                self.tell_5(v5::ToDaemon::Update {
                    x: area.x,
                    y: area.y,
                    width: area.width,
                    height: area.height,
                });
            }
            Wire::Six(..) => {
                if let Some(memory) = memory.filter(|_| is_new) {
                    self.tell(&surface(head, shape), Some(memory.try_clone_to_owned()?));
                }
                let rectangles = vec![[area.x, area.y, area.width, area.height]];
                let update = v6::ToDaemon::Update {
                    head,
                    serial,
                    rectangles,
                };
                self.tell(&update, None);
            }
        }
        Ok(())
    }

    /// Says farewell.
    pub(crate) fn shut_down(&mut self) {
        self.tell_5(v5::ToDaemon::Shutdown);
        self.tell(&v6::ToDaemon::Shutdown, None);
    }

    /// Queues a message of protocol 6, if that is spoken.
    pub(crate) fn tell(&mut self, message: &v6::ToDaemon, descriptor: Option<OwnedFd>) {
        if matches!(self.wire, Wire::Six(..)) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            self.outbox.push(bytes, descriptor);
        }
    }

    /// Reads what has arrived.
    ///
    /// # Errors
    /// [`LinkError`]: the connection is over. What came before is in `incoming`.
    pub(crate) fn receive(&mut self, incoming: &mut Vec<Incoming>) -> Result<(), LinkError> {
        let mut buffer = [0; 16 << 10];
        let mut budget = READ_AT_ONCE;
        while budget > 0 {
            match io::Read::read(&mut self.stream, &mut buffer) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(length) => {
                    budget = budget.saturating_sub(length);
                    self.take(&buffer[..length], incoming)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes what the socket takes now.
    ///
    /// # Errors
    /// [`LinkError`]: the connection is over.
    pub(crate) fn flush(&mut self) -> Result<(), LinkError> {
        if let Wire::Five(connection) = &mut self.wire {
            let bytes = connection.take_output();
            if !bytes.is_empty() {
                self.outbox.push(bytes, None);
            }
        }
        Ok(self.outbox.flush(&self.stream)?)
    }

    /// Whether something waits for the socket.
    pub(crate) fn wants_to_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Bytes that wait for the socket.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    fn tell_5(&mut self, message: v5::ToDaemon) {
        if let Wire::Five(connection) = &mut self.wire {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            connection.send(&[self.uuid.as_str().as_bytes(), &bytes]);
        }
    }

    fn take(&mut self, bytes: &[u8], incoming: &mut Vec<Incoming>) -> Result<(), LinkError> {
        match &mut self.wire {
            Wire::Five(connection) => {
                connection.feed(bytes)?;
                while let Some(parts) = connection.next_message() {
                    match message_5(&self.uuid, &parts) {
                        Ok(message) => incoming.push(Incoming::Five(message)),
                        Err(why) => report::error(format_args!("a message of the daemon was left out: {why}")),
                    }
                }
            }
            Wire::Six(splitter, features) => {
                splitter.feed(bytes);
                while let Some(bytes) = splitter.next_message()? {
                    match v6::ToGuest::decode(bytes) {
                        Ok(v6::ToGuest::Welcome { features: told }) => *features = Some(told),
                        Ok(_) if features.is_none() => report::error("the daemon spoke before its WELCOME"),
                        Ok(message) => incoming.push(Incoming::Six(message)),
                        Err(why) => report::error(format_args!("a message of the daemon was left out: {why}")),
                    }
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn surface(head: u32, shape: Shape) -> v6::ToDaemon {
    let stride = shape.row_bytes() as u32;
    v6::ToDaemon::Surface {
        head,
        format: shape.code,
        width: shape.size.width,
        height: shape.size.height,
        stride,
        offset: 0,
        size: u64::from(stride) * u64::from(shape.size.height),
    }
}

fn message_5(uuid: &Uuid36, parts: &[Vec<u8>]) -> Result<v5::ToGuest, String> {
    let [to, message] = parts else {
        return Err(format!("it has {} frames", parts.len()));
    };
    if Uuid36::from_bytes(to).as_ref() != Ok(uuid) {
        return Err("it is for another machine".to_owned());
    }
    v5::ToGuest::decode(message).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_socket_and_protocol() {
        for (path, version, is_abstract) in [
            ("ipc://@/tmp/rdpmux", 5, true),
            ("ipc:///run/rdpmux/five", 5, false),
            ("unix:/run/rdpmux/six", 6, false),
            ("unix:@six", 6, true),
        ] {
            let address = Address::parse(path).expect("an address");
            assert_eq!(address.version, version);
            assert_eq!(address.socket.as_abstract_name().is_some(), is_abstract, "{path}");
        }
        let long = format!("ipc:///{}", "x".repeat(200));
        for path in [
            "",
            "ipc://",
            "ipc://@",
            "unix:",
            "tcp://127.0.0.1:1",
            "/tmp/rdpmux",
            &long,
        ] {
            assert!(Address::parse(path).is_err(), "{path}");
        }
    }
}
