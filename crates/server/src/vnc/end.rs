//! Why a VNC viewer's session ended, for its log line: RFB has no words to tell the viewer.

use std::fmt;
use std::io;

use rdpmux_rfb::ViewerError;

use crate::desktop::InputRefused;

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// The viewer left.
    Lost,
    /// Its user did nothing for too long.
    Idle,
    /// An administrator closed it.
    Told,
    /// The server stops.
    Stop,
    /// The desktop was removed.
    DesktopGone,
    /// The connection broke.
    Io(io::Error),
    /// The viewer took no bytes for the whole deadline.
    Stalled,
    /// The viewer broke the protocol.
    Peer(ViewerError),
    /// The viewer typed what nobody took.
    Flood,
    /// Our own fault: an update could not be made.
    Bug(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Lost,
            _ => Self::Io(error),
        }
    }
}

impl From<InputRefused> for End {
    fn from(refused: InputRefused) -> Self {
        match refused {
            InputRefused::Full => Self::Flood,
            InputRefused::Gone => Self::DesktopGone,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("the viewer left"),
            Self::Idle => f.write_str("nothing was typed for too long"),
            Self::Told => f.write_str("an administrator closed it"),
            Self::Stop => f.write_str("the server stops"),
            Self::DesktopGone => f.write_str("the desktop was removed"),
            Self::Io(error) => write!(f, "the connection broke: {error}"),
            Self::Stalled => f.write_str("the viewer took no bytes before the deadline"),
            Self::Peer(error) => write!(f, "the viewer broke the protocol: {error}"),
            Self::Flood => f.write_str("the viewer typed more than the guest takes"),
            Self::Bug(error) => write!(f, "an update could not be made: {error}"),
        }
    }
}
