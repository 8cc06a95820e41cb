//! ZeroMQ's transport, ZMTP 3.0 and 3.1 (rfc.zeromq.org/spec/23 and /37), for the two kinds of sockets that protocol 5
//! uses: the daemon's ROUTER and the hypervisor's DEALER. Without IO: bytes of one stream socket go in and out.
//!
//! ```text
//! greeting (64 bytes) ── READY ── messages, PING
//! ```
//! Only the mechanism NULL: who a peer is says its Unix socket, and protocol 5 has no secret. Not libzmq: one stream
//! socket of ours tells the credentials of exactly the peer that wrote a message, and a frame is refused before it is
//! kept.

mod frame;

use std::collections::VecDeque;

use frame::{Frame, frame, put_command, put_frame};

/// Bytes of one frame.
pub const FRAME: usize = 64 << 10;
/// Frames of one message.
pub const PARTS: usize = 8;
/// Bytes of an identity.
const IDENTITY: usize = 255;
/// Bytes of a greeting.
const GREETING: usize = 64;
/// The peer's version stands in this byte.
const VERSION_AT: usize = 10;
const MECHANISM: &[u8; 20] = b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Bytes of a PING's context that come back.
const CONTEXT: usize = 16;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The daemon's.
    Router,
    /// The hypervisor's.
    Dealer,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Router => "ROUTER",
            Self::Dealer => "DEALER",
        }
    }

    /// Whether a peer of this socket type fits (rfc 23, "Socket-Type").
    fn accepts(self, peer: &str) -> bool {
        match self {
            Self::Router => matches!(peer, "DEALER" | "REQ" | "ROUTER"),
            Self::Dealer => matches!(peer, "ROUTER" | "REP" | "DEALER"),
        }
    }
}

/// Why a connection cannot go on. Always the peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZmtpError {
    /// Another protocol, or ZMTP 1, which has no greeting.
    #[error("the peer does not speak zmtp 3 (it starts with byte 0x{0:02x})")]
    Signature(u8),
    /// ZMTP 2 or older: ZeroMQ before 4.0.
    #[error("the peer speaks zmtp of revision {0}; zeromq 4.0 or later is needed")]
    Version(u8),
    /// PLAIN, CURVE or another.
    #[error("the peer wants the security mechanism {0:?}; only NULL is known")]
    Mechanism(String),
    /// A type of socket that does not fit.
    #[error("a peer of socket type {0:?} does not fit")]
    SocketType(String),
    /// Broken metadata of READY.
    #[error("the peer's READY is broken")]
    Ready,
    /// Something else than READY, or a command that such sockets do not send.
    #[error("the peer sent the command {0:?}, which does not belong here")]
    Command(String),
    /// The peer refused us.
    #[error("the peer ended the handshake: {0:?}")]
    Refused(String),
    /// A frame longer than [`FRAME`].
    #[error("a frame of {0} bytes is longer than {FRAME}")]
    TooLong(u64),
    /// A message of more than [`PARTS`] frames.
    #[error("a message has more than {PARTS} frames")]
    TooManyParts,
    /// Reserved bits of a frame's flags are set.
    #[error("a frame has the flags 0x{0:02x}")]
    Flags(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Handshake,
    Traffic,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    state: State,
    /// What has arrived and is not a whole frame yet: at most that frame and its head.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Messages that were sent before the peer was ready.
    held: Vec<u8>,
    /// The frames so far of a message.
    parts: Vec<Vec<u8>>,
    messages: VecDeque<Vec<Vec<u8>>>,
    peer: Vec<u8>,
}

impl Connection {
    /// Starts a connection; [`Self::take_output`] has its greeting. `identity` is told to the peer, at most 255 bytes of
    /// it; a ROUTER needs none.
    pub fn new(role: Role, identity: &[u8]) -> Self {
        let mut output = Vec::with_capacity(GREETING + 64);
        // The signature; the number in it was the length of a frame in ZMTP 1.
        output.extend_from_slice(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F]);
        output.extend_from_slice(&[3, 1]);
        output.extend_from_slice(MECHANISM);
        output.resize(GREETING, 0);
        let mut metadata = Vec::new();
        put_property(&mut metadata, "Socket-Type", role.name().as_bytes());
        put_property(&mut metadata, "Identity", &identity[..identity.len().min(IDENTITY)]);
        put_command(&mut output, "READY", &metadata);
        Self {
            role,
            state: State::Greeting,
            input: Vec::new(),
            output,
            held: Vec::new(),
            parts: Vec::new(),
            messages: VecDeque::new(),
            peer: Vec::new(),
        }
    }

    /// Takes bytes of the peer. Whole messages are then at [`Self::next_message`]; take them, and the output, before
    /// feeding more: what waits is bounded by what one call was fed.
    ///
    /// # Errors
    /// [`ZmtpError`]; the connection is then of no use any more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ZmtpError> {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        if self.state == State::Greeting {
            match greeting(rest)? {
                Some(left) => (rest, self.state) = (left, State::Handshake),
                None => {
                    self.input = input;
                    return Ok(());
                }
            }
        }
        while let Some((frame, left)) = frame(rest)? {
            self.take(&frame)?;
            rest = left;
        }
        self.input = rest.to_vec();
        Ok(())
    }

    /// The next message: its frames.
    pub fn next_message(&mut self) -> Option<Vec<Vec<u8>>> {
        self.messages.pop_front()
    }

    /// Sends a message. Before the peer is ready it is kept.
    ///
    /// # Panics
    /// If there is no part.
    pub fn send(&mut self, parts: &[&[u8]]) {
        let (last, others) = parts.split_last().expect("a message has a frame");
        let out = match self.state {
            State::Traffic => &mut self.output,
            State::Greeting | State::Handshake => &mut self.held,
        };
        for part in others {
            put_frame(out, part, true);
        }
        put_frame(out, last, false);
    }

    /// What has to be written to the peer now.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the handshake is over.
    pub fn is_ready(&self) -> bool {
        self.state == State::Traffic
    }

    /// What the peer calls itself; most call themselves nothing.
    pub fn peer_identity(&self) -> &[u8] {
        &self.peer
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), ZmtpError> {
        if frame.is_command {
            return self.command(frame.body);
        }
        if self.state != State::Traffic {
            return Err(ZmtpError::Command("(a message)".to_owned()));
        }
        if self.parts.len() == PARTS {
            return Err(ZmtpError::TooManyParts);
        }
        self.parts.push(frame.body.to_vec());
        if !frame.has_more {
            self.messages.push_back(std::mem::take(&mut self.parts));
        }
        Ok(())
    }

    fn command(&mut self, body: &[u8]) -> Result<(), ZmtpError> {
        let (name, data) = short_text(body).unwrap_or((b"", body));
        match (self.state, name) {
            (State::Handshake, b"READY") => self.ready(data),
            (State::Handshake, b"ERROR") => {
                let reason = short_text(data).map_or(data, |(reason, _)| reason);
                Err(ZmtpError::Refused(readable(reason)))
            }
            (State::Traffic, b"PING") => {
                // Two bytes say for how long the peer is to be believed alive; its socket says that better.
                let context = data.get(2..).unwrap_or_default();
                put_command(&mut self.output, "PONG", &context[..context.len().min(CONTEXT)]);
                Ok(())
            }
            (State::Traffic, b"PONG") => Ok(()),
            _ => Err(ZmtpError::Command(readable(name))),
        }
    }

    fn ready(&mut self, mut metadata: &[u8]) -> Result<(), ZmtpError> {
        let mut socket_type = None;
        while !metadata.is_empty() {
            let (name, value, rest) = property(metadata).ok_or(ZmtpError::Ready)?;
            if name.eq_ignore_ascii_case(b"Socket-Type") {
                socket_type = Some(readable(value));
            } else if name.eq_ignore_ascii_case(b"Identity") && value.len() <= IDENTITY {
                self.peer = value.to_vec();
            }
            metadata = rest;
        }
        match socket_type {
            Some(peer) if self.role.accepts(&peer) => {}
            peer => return Err(ZmtpError::SocketType(peer.unwrap_or_default())),
        }
        self.state = State::Traffic;
        self.output.append(&mut self.held);
        Ok(())
    }
}

/// Checks as much of a greeting as there is; what follows it, once it is complete.
fn greeting(bytes: &[u8]) -> Result<Option<&[u8]>, ZmtpError> {
    match bytes.first() {
        Some(0xFF) => {}
        Some(other) => return Err(ZmtpError::Signature(*other)),
        None => return Ok(None),
    }
    if let Some(byte) = bytes.get(9).filter(|byte| *byte & 1 == 0) {
        return Err(ZmtpError::Signature(*byte));
    }
    if let Some(version) = bytes.get(VERSION_AT).filter(|version| **version < 3) {
        return Err(ZmtpError::Version(*version));
    }
    let Some((greeting, rest)) = bytes.split_at_checked(GREETING) else {
        return Ok(None);
    };
    let mechanism = &greeting[12..32];
    if mechanism != MECHANISM {
        return Err(ZmtpError::Mechanism(readable(mechanism)));
    }
    Ok(Some(rest))
}

/// A text behind a byte with its length, and the rest.
fn short_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// A name, its value, and the rest.
fn property(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = short_text(bytes)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((name, value, rest))
}

fn put_property(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

/// At most 64 printable characters of what a peer sent.
fn readable(bytes: &[u8]) -> String {
    let text = bytes.iter().take_while(|byte| **byte != 0).take(64);
    text.map(|byte| match byte {
        0x20..=0x7E => char::from(*byte),
        _ => '?',
    })
    .collect()
}

#[cfg(test)]
mod tests;
