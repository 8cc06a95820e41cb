//! An RDP client without a screen: TLS with a checked certificate, NLA, and the channel `RDPMUX.STREAMS`, whose bytes
//! appear on a socket pair. It asks the server for no pictures. `rdpmux console --host` is its user; what goes over the
//! socket is the protocol of docs/streams.md, of which this crate knows nothing.
//!
//! ```text
//! preconnection blob (which machine) → X.224 → TLS, trust → CredSSP → connection sequence → no pictures, please → channel
//! ```
#![forbid(unsafe_code)]

mod channel;
mod config;
mod login;
mod plain;
mod pump;
mod trust;

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use config::plain_config;
pub use plain::Plain;
pub use trust::{Fingerprint, Trust};

/// Which machine at which server, and who asks.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name or address of the server.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The user, perhaps as `DOMAIN\user`.
    pub user: String,
    /// Proven by NLA; CredSSP also hands it to the server, as always.
    pub password: String,
    /// The machine.
    pub vm: String,
}

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection, or it broke.
    #[error("{address}: {source}")]
    Io {
        /// Host and port.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate is not the one that was named.
    #[error(
        "the certificate of {address} is not the one that you named: its SHA-256 is {found}; nothing was sent. Somebody may \
         be in between, or the server has a new one: ask its operator (`rdpmux check` prints it)"
    )]
    Fingerprint {
        /// Host and port.
        address: String,
        /// The one that was shown.
        found: Fingerprint,
    },
    /// The certificate was not trusted.
    #[error("the certificate of {address} (SHA-256 {found}) is not trusted; nothing was sent")]
    Untrusted {
        /// Host and port.
        address: String,
        /// The one that was shown.
        found: Fingerprint,
    },
    /// TLS failed.
    #[error("no TLS with {address}: {source}")]
    Tls {
        /// Host and port.
        address: String,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The server does not take NLA, or is no RDP server.
    #[error("{address} does not log in as this client can (NLA inside TLS): {reason}")]
    Protocol {
        /// Host and port.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// Wrong user or password.
    #[error("{address} refuses the user name or the password of {user:?}")]
    Login {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
    },
    /// The server ended the session and said why.
    #[error("the server ended the session: {0}")]
    Ended(String),
    /// No channel was offered.
    #[error(
        "{user:?} has no right to streams of {vm:?} there, or there is no such machine (a grant with streams = \"watch\" or \
         \"write\" gives it)"
    )]
    NotOffered {
        /// The user.
        user: String,
        /// The machine.
        vm: String,
    },
}

/// A connection with an open channel. Dropping it says goodbye.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    pump: Option<JoinHandle<()>>,
}

impl Connection {
    /// The channel's byte stream in both directions, as a handle of its own. It ends when the session does.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(pump) = self.pump.take() {
            let _ = pump.join();
        }
    }
}

/// Logs in and opens the channel. It blocks, at most for about a minute.
///
/// # Errors
/// [`ConnectError`]; it says what to do.
pub fn connect(target: &Target, trust: &Trust<'_>) -> Result<Connection, ConnectError> {
    let address = target.address();
    let io = |source| ConnectError::Io {
        address: address.clone(),
        source,
    };
    let socket = dial(target).map_err(io)?;
    let arrival = login::login(socket, target, trust)?;
    let (ours, theirs) = UnixStream::pair().map_err(io)?;
    let (verdict, answer) = mpsc::channel();
    let pump = pump::Pump::new(arrival, theirs, verdict).map_err(io)?;
    let pump = std::thread::Builder::new()
        .name("rdp".to_owned())
        .spawn(move || pump.run())
        .map_err(io)?;
    let connection = Connection {
        stream: ours,
        pump: Some(pump),
    };
    match answer.recv() {
        Ok(pump::Verdict::Open) => Ok(connection),
        Ok(pump::Verdict::NotOffered) => Err(ConnectError::NotOffered {
            user: target.user.clone(),
            vm: target.vm.clone(),
        }),
        Ok(pump::Verdict::Ended(why)) => Err(ConnectError::Ended(why)),
        Err(mpsc::RecvError) => Err(ConnectError::Ended("the connection broke".to_owned())),
    }
}

impl Target {
    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn dial(target: &Target) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (target.host.as_str(), target.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// For a connection, and for an answer during the login.
const PATIENCE: Duration = Duration::from_secs(20);
