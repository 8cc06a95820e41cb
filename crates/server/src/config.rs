//! Settings of the server and its limits, with safe defaults.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Accounts, Directory};
use crate::sessions::Sessions;
use crate::tls::TlsIdentity;

/// All that [`serve`](crate::serve) needs besides the listening socket.
pub struct ServerConfig {
    /// Certificate and key.
    pub tls: TlsIdentity,
    /// Who may log in.
    pub accounts: Arc<dyn Accounts>,
    /// What they may reach.
    pub directory: Arc<dyn Directory>,
    /// Which logins are offered.
    pub logins: Logins,
    /// How names on the wire become desktop names.
    pub routing: Routing,
    /// Deadlines and ceilings.
    pub limits: Limits,
    /// Who may come back after a lost connection.
    pub reconnect: Reconnect,
    /// The list that sessions enter; keep a clone to see and close them.
    pub sessions: Sessions,
}

/// Automatic reconnection: a client whose connection was lost comes back by a cookie ([MS-RDPBCGR] 5.5), to the same
/// desktop and without a password, if its user still may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// For how long after its session was lost; 0 switches it off.
    pub within: Duration,
    /// Also from another address than before, for clients that change networks. Whoever gets hold of a cookie can then use
    /// it from anywhere, once.
    pub any_address: bool,
}

/// Which logins are offered. Legacy RDP security never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logins {
    /// Network Level Authentication: CredSSP with NTLM, before any session state exists.
    pub nla: bool,
    /// User name and password inside TLS, for clients without NLA.
    pub tls: bool,
}

impl Default for Logins {
    fn default() -> Self {
        Self { nla: true, tls: true }
    }
}

/// How names on the wire become desktop names.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// `consoles.example` makes the TLS server name `web1.consoles.example` choose `web1`. Empty: the first label of a
    /// server name counts if a desktop has that name.
    pub server_names: Vec<String>,
    /// Login domains that are real domains and so never choose a desktop, for example `CORP` in `CORP\alice`.
    pub login_domains: Vec<String>,
    /// Every login domain is a real one: at a door with one machine behind it nothing needs to be chosen.
    pub all_domains_real: bool,
}

/// Deadlines and ceilings. What exceeds one ends that connection only.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From accept to the end of the login.
    pub handshake: Duration,
    /// A write that makes no progress for this long, or a frame that is not acknowledged for this long, ends the session.
    pub write: Duration,
    /// Connections that have not logged in yet, over all addresses.
    pub handshakes: usize,
    /// The same from one address.
    pub handshakes_per_address: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Frames that may be on their way to one client, whatever its pacer allows.
    pub frames_in_flight: usize,
    /// A session whose user types and clicks nothing for this long is closed; `None`: never.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(20),
            write: Duration::from_secs(15),
            handshakes: 256,
            handshakes_per_address: 32,
            sessions: 512,
            frames_in_flight: 32,
            idle: None,
        }
    }
}
