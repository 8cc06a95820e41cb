//! A hypervisor's socket: bytes to messages and back, for both protocols. What it says is bounded before it is kept, and
//! nothing in here waits but [`Stream::turn`] and [`Stream::hear`].

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rdpmux_wire::{MessageError, Uuid36, v5, v6, zmtp};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until};

use super::link::Said;
use super::memory::Peer;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("the peer closed its connection")]
    Closed,
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Zmtp(#[from] zmtp::ZmtpError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the message does not come with the descriptors that it should")]
    Descriptors,
    #[error("the peer took nothing for {} s", STALLED.as_secs())]
    Stalled,
    #[error("the peer did not say who it is in time")]
    Silent,
    #[error(transparent)]
    Refused(#[from] super::board::Refusal),
    #[error("the first message is not HELLO")]
    NotHello,
}

/// A peer that takes no byte for so long has hung.
const STALLED: Duration = Duration::from_secs(15);
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Descriptors that may wait for their messages.
const DESCRIPTORS: usize = 4;
/// Complaints of one connection that an operator should see.
const COMPLAINTS: u32 = 5;

enum Codec {
    V5 {
        zmtp: Box<zmtp::Connection>,
        uuid: Option<Uuid36>,
        updates: u32,
    },
    V6 {
        splitter: v6::Splitter,
        files: VecDeque<OwnedFd>,
    },
}

/// A message and who it says that it is from.
#[derive(Debug)]
pub(super) struct Heard {
    /// In protocol 5 each says so.
    pub(super) uuid: Option<Uuid36>,
    pub(super) said: Said,
}

/// One connection.
pub(super) struct Stream {
    socket: UnixStream,
    peer: Peer,
    codec: Codec,
    heard: VecDeque<Heard>,
    out: Vec<u8>,
    /// When the peer has hung, while it does not take what waits.
    patience: Instant,
    complaints: u32,
    buffer: Box<[u8]>,
}

impl Stream {
    /// While so many bytes wait for the peer, nothing is added.
    const ROOM: usize = 64 << 10;

    pub(super) fn new(socket: UnixStream, peer: Peer, version: i32) -> Self {
        let codec = match version {
            v5::VERSION => Codec::V5 {
                zmtp: Box::new(zmtp::Connection::new(zmtp::Role::Router, b"")),
                uuid: None,
                updates: 0,
            },
            _ => Codec::V6 {
                splitter: v6::Splitter::default(),
                files: VecDeque::new(),
            },
        };
        let mut stream = Self {
            socket,
            peer,
            codec,
            heard: VecDeque::new(),
            out: Vec::new(),
            patience: Instant::now() + STALLED,
            complaints: 0,
            buffer: vec![0; CHUNK].into_boxed_slice(),
        };
        stream.take_output();
        stream
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) fn version(&self) -> i32 {
        match self.codec {
            Codec::V5 { .. } => v5::VERSION,
            Codec::V6 { .. } => v6::VERSION,
        }
    }

    /// Updates that protocol 5's peer has sent; the last one's serial.
    pub(super) fn updates(&self) -> u32 {
        match self.codec {
            Codec::V5 { updates, .. } => updates,
            Codec::V6 { .. } => 0,
        }
    }

    /// Whether ZeroMQ's handshake is over; protocol 6 has none.
    pub(super) fn is_ready(&self) -> bool {
        match &self.codec {
            Codec::V5 { zmtp, .. } => zmtp.is_ready(),
            Codec::V6 { .. } => true,
        }
    }

    /// Whether the peer keeps up with what it is told.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < Self::ROOM
    }

    /// The peer speaks for this machine; in protocol 5 the name goes before each message.
    pub(super) fn speak_for(&mut self, machine: Uuid36) {
        if let Codec::V5 { uuid, .. } = &mut self.codec {
            *uuid = Some(machine);
        }
    }

    /// Puts a message back to be heard again.
    pub(super) fn hear_again(&mut self, heard: Heard) {
        self.heard.push_front(heard);
    }

    /// Adds an encoded message to what the peer is told.
    pub(super) fn put(&mut self, word: &[u8]) {
        if self.out.is_empty() {
            self.patience = Instant::now() + STALLED;
        }
        match &mut self.codec {
            Codec::V5 {
                zmtp, uuid: Some(uuid), ..
            } => zmtp.send(&[uuid.as_str().as_bytes(), word]),
            Codec::V5 { .. } => {}
            Codec::V6 { .. } => self.out.extend_from_slice(word),
        }
        self.take_output();
    }

    /// The next message for `machine`; what is said of another is dropped.
    pub(super) fn next_said(&mut self, machine: Uuid36) -> Option<Said> {
        while let Some(heard) = self.heard.pop_front() {
            if let Some(other) = heard.uuid.filter(|uuid| *uuid != machine) {
                self.complain(&format_args!(
                    "it speaks for machine {machine}, and now of {other}: dropped"
                ));
                continue;
            }
            let mut said = heard.said;
            if let (Codec::V5 { updates, .. }, Said::Message(v6::ToDaemon::Update { serial, .. }, _)) =
                (&mut self.codec, &mut said)
            {
                *updates = updates.wrapping_add(1);
                *serial = *updates;
            }
            return Some(said);
        }
        None
    }

    /// Waits for the next message. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Result<Heard, LinkError> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(heard);
            }
            self.turn(true).await?;
        }
    }

    /// Waits until something can be read, if `reads`, or written, and does so. Cancel-safe.
    pub(super) async fn turn(&mut self, reads: bool) -> Result<(), LinkError> {
        let writes = !self.out.is_empty();
        let interest = match (reads, writes) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => return std::future::pending().await,
        };
        let ready = tokio::select! {
            biased;
            ready = self.socket.ready(interest) => ready?,
            () = sleep_until(self.patience), if writes => return Err(LinkError::Stalled),
        };
        if writes && ready.is_writable() {
            self.write()?;
        }
        if reads && ready.is_readable() {
            self.read()?;
        }
        Ok(())
    }

    /// Tells an operator of a peer's mistake, the first few times.
    pub(super) fn complain(&mut self, what: &dyn fmt::Display) {
        self.complaints = self.complaints.saturating_add(1);
        let peer = self.peer;
        match self.complaints {
            ..COMPLAINTS => tracing::warn!(%peer, "hypervisor: {what}"),
            COMPLAINTS => tracing::warn!(%peer, "hypervisor: {what}; what more there is goes to the debug log"),
            _ => tracing::debug!(%peer, "hypervisor: {what}"),
        }
    }

    fn write(&mut self) -> Result<(), LinkError> {
        match self.socket.try_write(&self.out) {
            Ok(0) => Err(LinkError::Closed),
            Ok(written) => {
                self.out.drain(..written);
                self.patience = Instant::now() + STALLED;
                Ok(())
            }
            Err(error) if is_nothing(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&mut self) -> Result<(), LinkError> {
        let buffer = &mut self.buffer;
        let length = match &mut self.codec {
            Codec::V5 { .. } => self.socket.try_read(buffer),
            Codec::V6 { files, .. } => {
                let socket = &self.socket;
                socket.try_io(Interest::READABLE, || receive(socket, buffer, files))
            }
        };
        match length {
            Ok(0) => Err(LinkError::Closed),
            Ok(length) => self.take_input(length),
            Err(error) if is_nothing(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn take_input(&mut self, length: usize) -> Result<(), LinkError> {
        let bytes = &self.buffer[..length];
        let mut broken = Vec::new();
        match &mut self.codec {
            Codec::V5 { zmtp, .. } => {
                zmtp.feed(bytes)?;
                while let Some(parts) = zmtp.next_message() {
                    match read_v5(&parts) {
                        Ok(heard) => self.heard.push_back(heard),
                        Err(error) => broken.push(error),
                    }
                }
            }
            Codec::V6 { splitter, files } => {
                if files.len() > DESCRIPTORS {
                    return Err(LinkError::Descriptors);
                }
                splitter.feed(bytes);
                while let Some(body) = splitter.next_message()? {
                    match read_v6(body, files) {
                        Ok(heard) => self.heard.push_back(heard),
                        Err(LinkError::Message(MessageError::Kind(kind))) => {
                            broken.push(MessageError::Kind(kind).to_string())
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        for error in broken {
            self.complain(&format_args!("{error}: dropped"));
        }
        self.take_output();
        Ok(())
    }

    /// Takes what ZeroMQ has to say.
    fn take_output(&mut self) {
        if let Codec::V5 { zmtp, .. } = &mut self.codec {
            self.out.append(&mut zmtp.take_output());
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Reads what there is, and the descriptors that come with it.
fn receive(socket: &UnixStream, buffer: &mut [u8], files: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg(socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            files.extend(descriptors);
        }
    }
    Ok(received.bytes)
}

/// A message of protocol 5: the machine's name and one message of it.
fn read_v5(parts: &[Vec<u8>]) -> Result<Heard, String> {
    let [uuid, message] = parts else {
        return Err(format!(
            "a message has {} frames, not a uuid and a message",
            parts.len()
        ));
    };
    let uuid = Uuid36::from_bytes(uuid).map_err(|error| format!("its first frame is none: {error}"))?;
    let said = match v5::ToDaemon::decode(message).map_err(|error| error.to_string())? {
        v5::ToDaemon::Switch { format, width, height } => Said::Switch { format, width, height },
        v5::ToDaemon::Update { x, y, width, height } => Said::Message(
            v6::ToDaemon::Update {
                head: 0,
                serial: 0,
                rectangles: vec![[x, y, width, height]],
            },
            None,
        ),
        v5::ToDaemon::Shutdown => Said::Message(v6::ToDaemon::Shutdown, None),
    };
    Ok(Heard { uuid: Some(uuid), said })
}

/// A message of protocol 6 and its descriptor. A broken one ends the connection, or descriptors would go astray.
fn read_v6(body: &[u8], files: &mut VecDeque<OwnedFd>) -> Result<Heard, LinkError> {
    let message = v6::ToDaemon::decode(body)?;
    let file = match message.descriptors() {
        0 => None,
        _ => Some(files.pop_front().ok_or(LinkError::Descriptors)?),
    };
    Ok(Heard {
        uuid: None,
        said: Said::Message(message, file),
    })
}
