//! CredSSP with many users ([MS-CSSP]), around sspi's server. Kept to one file, because upstream changes it often.

/// Where accounts come from.
pub trait AccountLookup: Send {
    /// The NT hash (MD4 of the UTF-16 password) of a user, or `None` if there is no such user.
    fn nt_hash(&mut self, user: &str, domain: Option<&str>) -> Option<[u8; 16]>;
}

/// Which CredSSP was negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredsspProtocol {
    /// `PROTOCOL_HYBRID`.
    Hybrid,
    /// `PROTOCOL_HYBRID_EX`: an Early User Authorization Result follows ([MS-RDPBCGR] 2.2.10.2).
    HybridEx,
}

/// Who has logged on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginName {
    /// The user as typed, without the domain.
    pub user: String,
    /// The domain as typed, if not empty.
    pub domain: Option<String>,
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredsspStep {
    /// Write `out`, read more.
    NeedInput,
    /// The user proved to know the password. Write `out`, then go on with the handshake.
    Accepted(LoginName),
    /// The user did not. `out` tells the client so: write it, then close.
    Denied {
        /// The name that was tried, for the log.
        name: Option<LoginName>,
    },
}

/// Why CredSSP ends the connection without a verdict.
#[derive(Debug, thiserror::Error)]
pub enum CredsspError {
    /// A message is longer than the limit.
    #[error("the client announced a CredSSP message of {announced} bytes where at most {limit} are taken")]
    Oversized {
        /// Announced length in bytes.
        announced: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// Bytes that are no CredSSP, or no NTLM inside it.
    #[error("malformed CredSSP message: {0}")]
    Malformed(String),
    /// Fed after the verdict.
    #[error("CredSSP is over")]
    Over,
}

/// One CredSSP exchange, inside TLS.
pub struct Credssp {
    lookup: Box<dyn AccountLookup>,
}

impl Credssp {
    /// Starts an exchange. `public_key` is the certificate's `subjectPublicKey` bit string without its wrapping.
    ///
    /// # Errors
    /// [`CredsspError`] if the exchange cannot be set up.
    pub fn new(
        public_key: Vec<u8>,
        lookup: Box<dyn AccountLookup>,
        protocol: CredsspProtocol,
    ) -> Result<Self, CredsspError> {
        let _ = (public_key, protocol);
        Ok(Self { lookup })
    }

    /// Takes bytes; returns how many were used, and what is next. `out` is to be written in any case, also on errors.
    ///
    /// # Errors
    /// [`CredsspError`]; close.
    pub fn feed(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, CredsspStep), CredsspError> {
        let _ = (buf, out, &mut self.lookup);
        Err(CredsspError::Over)
    }
}
