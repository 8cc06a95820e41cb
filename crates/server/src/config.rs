//! Settings of the server and its limits, with safe defaults.

use std::sync::Arc;
use std::time::Duration;

use rdpmux_rdp::SurfaceCodecs;

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
    /// What clients without the graphics pipeline may be sent.
    pub codecs: SurfaceCodecs,
    /// How names on the wire become desktop names.
    pub routing: Routing,
    /// Streams also go over the static channel `rdp2tcp`, if the client brings it.
    pub rdp2tcp: bool,
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

/// Which logins are offered. The encryption of before TLS never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logins {
    /// Network Level Authentication: CredSSP with NTLM, before any session state exists.
    pub nla: bool,
    /// User name and password inside TLS, for clients without NLA.
    pub tls: bool,
    /// No security at all, instead of the others: for streams that are protected below, and for trying things out. Whoever
    /// is on the way reads the password and every key.
    pub plain: bool,
}

impl Logins {
    /// NLA only.
    pub const NLA: Self = Self {
        nla: true,
        tls: false,
        plain: false,
    };
    /// Passwords inside TLS only.
    pub const TLS: Self = Self {
        nla: false,
        tls: true,
        plain: false,
    };
    /// No security.
    pub const PLAIN: Self = Self {
        nla: false,
        tls: false,
        plain: true,
    };
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            nla: true,
            tls: true,
            plain: false,
        }
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
    /// Whoever logs in when all places are taken gets that of the oldest session; else it is told that there is none.
    pub replace_oldest: bool,
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
            replace_oldest: false,
            frames_in_flight: 32,
            idle: None,
        }
    }
}
