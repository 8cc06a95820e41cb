//! The daemon's side of protocol 5 and 6 on a real abstract socket, as far as the tests need it: what it hears is asked
//! for, what it says is told, and nothing comes by itself.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdpmux_wire::zmtp::{Connection, Role};
use rdpmux_wire::{v5, v6};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Longest wait for what has to come.
const LIMIT: Duration = Duration::from_secs(20);

/// A number that no other test and no real machine uses.
pub fn number() -> i32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id() % 100_000;
    i32::try_from(1_900_000_000 + process * 100 + NEXT.fetch_add(1, Ordering::Relaxed)).expect("fits")
}

pub const UUID: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

/// A listening socket.
pub struct Listener {
    listener: UnixListener,
    name: String,
}

impl Listener {
    pub fn new() -> Self {
        let name = format!("/tmp/rdpmux-test-{}", number());
        let address = SocketAddr::from_abstract_name(&name).expect("short");
        let listener = UnixListener::bind_addr(&address).expect("nobody else has the name");
        Self { listener, name }
    }

    pub fn path_5(&self) -> String {
        format!("ipc://@{}", self.name)
    }

    pub fn path_6(&self) -> String {
        format!("unix:@{}", self.name)
    }

    fn accept(&self) -> UnixStream {
        let (stream, _) = self.listener.accept().expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream
    }
}

/// A connection of protocol 5.
pub struct Five {
    stream: UnixStream,
    wire: Connection,
    pub uuid: String,
}

impl Five {
    /// Takes the next connection and finishes its handshake.
    pub fn accept(listener: &Listener) -> Self {
        let mut five = Self {
            stream: listener.accept(),
            wire: Connection::new(Role::Router, b""),
            uuid: UUID.to_owned(),
        };
        while !five.wire.is_ready() {
            five.read().expect("the handshake goes on");
        }
        five
    }

    /// The next message; `None` if the library has left.
    pub fn next(&mut self) -> Option<v5::ToDaemon> {
        loop {
            if let Some(parts) = self.wire.next_message() {
                let [uuid, message] = parts.as_slice() else {
                    panic!("{parts:?}")
                };
                assert_eq!(uuid, self.uuid.as_bytes());
                return Some(v5::ToDaemon::decode(message).expect("a message"));
            }
            self.read()?;
        }
    }

    pub fn tell(&mut self, message: v5::ToGuest) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let uuid = self.uuid.clone();
        self.tell_frames(&[uuid.as_bytes(), &bytes]);
    }

    pub fn tell_frames(&mut self, frames: &[&[u8]]) {
        self.wire.send(frames);
        let output = self.wire.take_output();
        self.stream.write_all(&output).expect("the library reads");
    }

    pub fn complete(&mut self, rate: u16) {
        self.tell(v5::ToGuest::UpdateComplete { success: true, rate });
    }

    /// The next message but one that has to be the next update's.
    pub fn switched(&mut self) -> (u32, u32, u32) {
        let Some(v5::ToDaemon::Switch { format, width, height }) = self.next() else {
            panic!("no switch")
        };
        let Some(v5::ToDaemon::Update { x: 0, y: 0, .. }) = self.next() else {
            panic!("no update")
        };
        (format, width, height)
    }

    fn read(&mut self) -> Option<()> {
        let output = self.wire.take_output();
        self.stream.write_all(&output).ok()?;
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(length) => {
                self.wire.feed(&bytes[..length]).expect("zmtp");
                let output = self.wire.take_output();
                self.stream.write_all(&output).ok()
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the library says nothing: {error}"),
        }
    }
}

/// The picture that protocol 5 has in memory now.
pub fn memory_5(id: i32, bytes: usize) -> Vec<u8> {
    let mut content = fs::read(format!("/dev/shm/{id}.rdpmux")).expect("memory");
    assert_eq!(content.len(), 4096 * 2048 * 4);
    content.truncate(bytes);
    content
}

pub fn has_memory_5(id: i32) -> bool {
    fs::exists(format!("/dev/shm/{id}.rdpmux")).expect("/dev/shm")
}

/// A connection of protocol 6.
pub struct Six {
    stream: UnixStream,
    splitter: v6::Splitter,
    pub descriptors: VecDeque<OwnedFd>,
}

impl Six {
    /// Takes the next connection, hears its HELLO and says WELCOME.
    pub fn accept(listener: &Listener, features: v6::Features) -> (Self, v6::Features) {
        let mut six = Self {
            stream: listener.accept(),
            splitter: v6::Splitter::default(),
            descriptors: VecDeque::new(),
        };
        let Some(v6::ToDaemon::Hello { uuid, features: theirs }) = six.next() else {
            panic!("no hello")
        };
        assert_eq!(uuid.as_str(), UUID);
        six.tell(&v6::ToGuest::Welcome { features });
        (six, theirs)
    }

    pub fn next(&mut self) -> Option<v6::ToDaemon> {
        loop {
            if let Some(bytes) = self.splitter.next_message().expect("bounded") {
                return Some(v6::ToDaemon::decode(bytes).expect("a message"));
            }
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [std::io::IoSliceMut::new(&mut bytes)];
            let read = recvmsg(&self.stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC);
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            match read {
                Ok(read) if read.bytes > 0 => self.splitter.feed(&bytes[..read.bytes]),
                Ok(_) | Err(rustix::io::Errno::CONNRESET) => return None,
                Err(error) => panic!("the library says nothing: {error}"),
            }
        }
    }

    pub fn tell(&mut self, message: &v6::ToGuest) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.tell_bytes(&bytes);
    }

    pub fn tell_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the library reads");
    }
}
