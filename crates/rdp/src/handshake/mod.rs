//! From the X.224 Connection Request to the end of finalization ([MS-RDPBCGR] 1.3.1.1). It is not the TLS or CredSSP
//! exchange itself: at those steps the server takes over and comes back. IronRDP's `Acceptor` walks the sequence.
//!
//! ```text
//! request → confirm → UpgradeTls → (Credssp) → GCC, channels, client info → ChooseDesktop
//!         → licence, Demand Active, Confirm Active, finalization → Established
//! ```

mod caps;
mod login;

use std::sync::Arc;

use rdpmux_model::{BulkCompressor, Size};

pub use login::{ClientLogin, Password};

use crate::credssp::CredsspProtocol;
use crate::session::{CloseReason, Session};

/// Makes one bulk compressor per connection and direction.
pub type BulkFactory = Arc<dyn Fn() -> Box<dyn BulkCompressor> + Send + Sync>;

/// What a server offers. With neither `nla` nor `tls` every client is refused.
#[derive(Clone)]
pub struct HandshakeConfig {
    /// CredSSP logins.
    pub nla: bool,
    /// TLS logins without NLA: the password comes with the client info.
    pub tls: bool,
    /// Compressor of the graphics pipeline.
    pub bulk: BulkFactory,
}

/// Why a client is turned away with the protocol's own answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It offers nothing but legacy RDP security.
    #[error("the client offers only legacy RDP security; TLS is required")]
    TlsRequired,
    /// It does not offer NLA, and nothing else is taken.
    #[error("the client does not offer network level authentication, which is required")]
    NlaRequired,
    /// It does not offer TLS without NLA, and nothing else is taken.
    #[error("the client offers network level authentication only, which is switched off")]
    NlaDisabled,
}

/// What the server does next.
#[derive(Debug)]
pub enum Step {
    /// Read more and feed again.
    NeedInput,
    /// Run TLS, then call [`Handshake::tls_done`] and feed again (also with nothing).
    UpgradeTls,
    /// Run CredSSP inside TLS, then call [`Handshake::credssp_done`] and feed again.
    Credssp(CredsspProtocol),
    /// Check the login, pick the desktop, call [`Handshake::set_desktop`] or [`Handshake::refuse`], and feed again.
    ChooseDesktop(ClientLogin),
    /// Call [`Handshake::into_session`].
    Established,
    /// Close after writing `out`.
    Refused(Refusal),
}

/// Why a handshake ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// A message is longer than [`crate::front::MAX_MESSAGE`], or all of them together are absurd.
    #[error("the client sent {announced} bytes where at most {limit} are taken before login")]
    Oversized {
        /// Bytes announced or seen.
        announced: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// Bytes that the specification does not allow here.
    #[error("malformed or unexpected message in phase {phase}")]
    Malformed {
        /// State of the connection sequence.
        phase: &'static str,
        /// What the decoder said.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// The client hung up with an MCS Disconnect Provider Ultimatum.
    #[error("the client ended the connection in phase {phase}")]
    Ended {
        /// State of the connection sequence.
        phase: &'static str,
    },
    /// A method was called in a phase that does not have it, or our own message did not encode: our fault.
    #[error("handshake misused: {0}")]
    Bug(&'static str),
}

/// One client on its way to a session.
pub struct Handshake {
    config: HandshakeConfig,
}

impl Handshake {
    /// Starts before the X.224 Connection Request.
    pub fn new(config: HandshakeConfig) -> Self {
        Self { config }
    }

    /// Starts after TLS and CredSSP, in Hyper-V's order: a Connection Request may still come, or the GCC exchange at once.
    pub fn new_after_security(config: HandshakeConfig, protocol: CredsspProtocol) -> Self {
        let _ = protocol;
        Self { config }
    }

    /// Takes bytes and goes on until something else has to happen. Returns how many bytes were used, and what is next.
    ///
    /// `out` must be written before the step is acted on. Bytes that were not used are fed again, with more behind them.
    ///
    /// # Errors
    /// [`HandshakeError`]; write `out`, then close.
    pub fn feed(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, Step), HandshakeError> {
        let _ = (buf, out, &self.config);
        Err(HandshakeError::Bug("not yet"))
    }

    /// TLS is up.
    pub fn tls_done(&mut self) {}

    /// CredSSP accepted the user.
    pub fn credssp_done(&mut self) {}

    /// Answers [`Step::ChooseDesktop`]: the client will get a desktop of this size.
    pub fn set_desktop(&mut self, size: Size) {
        let _ = size;
    }

    /// Answers [`Step::ChooseDesktop`] with a reason that the client shows to its user. Write `out`, then close.
    pub fn refuse(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        let _ = (reason, out);
    }

    /// The session, after [`Step::Established`]. `None` before.
    pub fn into_session(self) -> Option<Session> {
        None
    }
}
