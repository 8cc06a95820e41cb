//! QEMU's control socket: find out what it is, hand it one end of a socket pair, hear what happens to the machine.
//!
//! A QMP server serves one client. A further one can connect but is never greeted, so every step has a time limit.

mod control;
mod line;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

pub use line::{Line, MAX_LINE, NotQmp, Version, parse};

pub(super) use control::{Control, Turn};

use super::monitor;
use crate::port::Notice;

/// Longest wait for the greeting, and for the answer to a command.
const GREETING_TIME: Duration = Duration::from_secs(2);
const ANSWER_TIME: Duration = Duration::from_secs(20);
const HUMAN_TIME: Duration = Duration::from_secs(600);
/// Events kept between a command and its answer; older ones are dropped.
const KEPT_EVENTS: usize = 64;

/// Why QMP could not be used.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nobody listens there.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No greeting came: another program holds the connection.
    #[error("no greeting within {GREETING_TIME:?}: another program uses this qmp socket")]
    Busy,
    /// QEMU does not answer.
    #[error("{0}: no answer within {limit:?}", limit = ANSWER_TIME)]
    Silent(&'static str),
    /// The connection ended or failed.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// A line without end.
    #[error("a line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// Something else than QMP.
    #[error(transparent)]
    NotQmp(#[from] NotQmp),
    /// QEMU said no.
    #[error("{command}: {text}")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's words.
        text: String,
    },
}

/// A greeted QMP connection.
#[derive(Debug)]
pub(super) struct Qmp {
    socket: UnixStream,
    /// Bytes that were read and not yet taken.
    buffer: Vec<u8>,
    events: VecDeque<Notice>,
    version: Version,
}

impl Qmp {
    /// Connects and negotiates.
    pub(super) async fn connect(path: &Path) -> Result<Self, QmpError> {
        let socket = UnixStream::connect(path).await.map_err(QmpError::Connect)?;
        let mut qmp = Self {
            socket,
            buffer: Vec::new(),
            events: VecDeque::new(),
            version: Version {
                major: 0,
                minor: 0,
                micro: 0,
            },
        };
        match timeout(GREETING_TIME, qmp.line()).await.map_err(|_| QmpError::Busy)?? {
            Line::Greeting(version) => qmp.version = version,
            _ => return Err(NotQmp.into()),
        }
        qmp.command("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// The process that made the socket, if it can be told.
    fn peer(&self) -> Option<i32> {
        self.socket.peer_cred().ok()?.pid()
    }

    /// QEMU's version.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Runs a command and returns its value.
    pub(super) async fn command(&mut self, command: &'static str, arguments: Value) -> Result<Value, QmpError> {
        self.command_with(command, arguments, None).await
    }

    /// Runs a command that comes with a descriptor.
    pub(super) async fn command_with(
        &mut self,
        command: &'static str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Value, QmpError> {
        let text = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        // A person may ask for what takes long, such as a snapshot.
        let patience = if command == monitor::HUMAN {
            HUMAN_TIME
        } else {
            ANSWER_TIME
        };
        let answer = timeout(patience, async {
            self.send(text.as_bytes(), descriptor).await?;
            loop {
                match self.line().await? {
                    Line::Return(value) => return Ok(value),
                    Line::Error(text) => return Err(QmpError::Refused { command, text }),
                    Line::Event(name) => self.keep(&name),
                    Line::Greeting(_) => return Err(NotQmp.into()),
                }
            }
        });
        answer.await.map_err(|_| QmpError::Silent(command))?
    }

    /// The next thing that happens to the machine. Cancel-safe.
    pub(super) async fn notice(&mut self) -> Result<Notice, QmpError> {
        loop {
            if let Some(notice) = self.events.pop_front() {
                return Ok(notice);
            }
            if let Line::Event(name) = self.line().await? {
                self.keep(&name);
            }
        }
    }

    fn keep(&mut self, event: &str) {
        let notice = match event {
            "RESET" => Notice::Reset,
            "SHUTDOWN" => Notice::Shutdown,
            "POWERDOWN" => Notice::Powerdown,
            "STOP" => Notice::Paused,
            "RESUME" => Notice::Resumed,
            _ => return,
        };
        if self.events.len() == KEPT_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(notice);
    }

    /// Sends bytes; a descriptor goes with the first of them.
    async fn send(&self, mut bytes: &[u8], mut descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self
                .socket
                .async_io(Interest::WRITABLE, || send_some(&self.socket, bytes, descriptor))
                .await?;
            bytes = &bytes[sent..];
            descriptor = None;
        }
        Ok(())
    }

    /// The next line. Cancel-safe: what was read stays in the buffer.
    async fn line(&mut self) -> Result<Line, QmpError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                return Ok(parse(line.trim_ascii())?);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(QmpError::LongLine);
            }
            self.socket.readable().await?;
            match self.socket.try_read_buf(&mut self.buffer) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn send_some(socket: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|fd| [fd]);
    if let Some(descriptors) = &descriptors {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(sendmsg(socket.as_fd(), &[IoSlice::new(bytes)], &mut ancillary, flags)?)
}
