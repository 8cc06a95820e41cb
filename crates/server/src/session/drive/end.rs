//! Why a session ended, for its log line and for the client.

use std::fmt;
use std::io;

use rdpmux_rdp::{CloseReason, SessionError};

use crate::session::outbox::Overflow;

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client left.
    Client,
    /// The client is gone without a word.
    Lost,
    /// Its user did nothing for too long.
    Idle,
    /// It was told to end: by an administrator, or by a newer session of the same client.
    Told(CloseReason),
    /// It has read its card.
    Farewell,
    /// The server stops.
    Stop,
    /// The desktop was removed.
    DesktopGone,
    /// The connection broke.
    Io(io::Error),
    /// The client took no bytes, or acknowledged no frame, for the whole deadline.
    Stalled(&'static str),
    /// The client broke the protocol.
    Peer(SessionError),
    /// The client made us answer without taking the answers, or typed what nobody took.
    Flood(&'static str),
    /// Our own fault: a frame could not be made.
    Bug(String),
}

impl End {
    /// What the client is told, if it still listens.
    pub(super) fn told(&self) -> Option<CloseReason> {
        match self {
            Self::Stop => Some(CloseReason::ServerShutdown),
            Self::DesktopGone => Some(CloseReason::DesktopRemoved),
            Self::Idle => Some(CloseReason::IdleTimeout),
            Self::Told(reason) => Some(*reason),
            Self::Flood(_) => Some(CloseReason::Limit),
            Self::Client
            | Self::Lost
            | Self::Farewell
            | Self::Io(_)
            | Self::Stalled(_)
            | Self::Peer(_)
            | Self::Bug(_) => None,
        }
    }

    pub(super) fn may_finish(&self) -> bool {
        !matches!(self, Self::Io(_) | Self::Stalled(_))
    }

    /// Whether the client may not know of it and come back.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Lost | Self::Io(_) | Self::Stalled(_))
    }
}

impl From<Overflow> for End {
    fn from(_: Overflow) -> Self {
        Self::Flood("did not take our answers")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("the client left"),
            Self::Lost => f.write_str("the connection ended"),
            Self::Idle => f.write_str("nothing was typed for too long"),
            Self::Told(CloseReason::Replaced) => f.write_str("the client came back by another connection"),
            Self::Told(_) => f.write_str("an administrator closed it"),
            Self::Farewell => f.write_str("the client was told why it gets no desktop"),
            Self::Stop => f.write_str("the server stops"),
            Self::DesktopGone => f.write_str("the desktop was removed"),
            Self::Io(error) => write!(f, "the connection broke: {error}"),
            Self::Stalled(what) => write!(f, "the client {what} before the deadline"),
            Self::Peer(error) => write!(f, "the client broke the protocol: {error}"),
            Self::Flood(what) => write!(f, "the client {what}"),
            Self::Bug(error) => write!(f, "a frame could not be made: {error}"),
        }
    }
}

/// Many clients close the socket without TLS's `close_notify`.
pub(super) fn is_goodbye(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
