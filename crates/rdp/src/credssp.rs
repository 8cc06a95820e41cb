//! CredSSP with many users ([MS-CSSP]), around sspi's server. Kept to one file, because upstream changes it often.
//! A user's password is proven by NTLM; the clear text that clients delegate afterwards is never decrypted.
//!
//! ```text
//! Proof: NTLM negotiate → challenge → authenticate + public key → public key
//! Delegation: credentials (unread) → Accepted
//! ```

use std::sync::{Arc, OnceLock};

use ironrdp_connector::sspi::credssp::{
    CredSspServer, CredentialsProxy, NStatusCode, ServerMode, ServerState, TsRequest,
};
use ironrdp_connector::sspi::generator::GeneratorState;
use ironrdp_connector::sspi::ntlm::NtlmConfig;
use ironrdp_connector::sspi::{AuthIdentity, Username, UsernameParts};

use crate::front;

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
    server: CredSspServer<Proxy>,
    protocol: CredsspProtocol,
    state: State,
    tried: Arc<OnceLock<Tried>>,
}

/// The name in the client's authenticate message.
#[derive(Debug)]
struct Tried {
    name: LoginName,
    known: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// NTLM messages and the proof over the public key.
    Proof,
    /// The password is proven; the client delegates its credentials, which are not read.
    Delegation,
    Over,
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
        let mode = ServerMode::Ntlm(NtlmConfig::new(SERVER_NAME.to_owned()));
        let tried = Arc::new(OnceLock::new());
        let proxy = Proxy {
            lookup,
            tried: Arc::clone(&tried),
        };
        let server = CredSspServer::new(public_key, proxy, mode).map_err(|e| CredsspError::Malformed(e.to_string()))?;
        Ok(Self {
            server,
            protocol,
            state: State::Proof,
            tried,
        })
    }

    /// Takes bytes; returns how many were used, and what is next. `out` is to be written in any case, also on errors.
    ///
    /// # Errors
    /// [`CredsspError`]; close.
    pub fn feed(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, CredsspStep), CredsspError> {
        let mut used = 0;
        loop {
            let Some(length) = request_length(&buf[used..])?.filter(|l| used + l <= buf.len()) else {
                return Ok((used, CredsspStep::NeedInput));
            };
            let message = &buf[used..used + length];
            used += length;
            match self.message(message, out)? {
                CredsspStep::NeedInput => {}
                verdict => return Ok((used, verdict)),
            }
        }
    }

    fn message(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<CredsspStep, CredsspError> {
        let state = core::mem::replace(&mut self.state, State::Over);
        let malformed = |e: std::io::Error| CredsspError::Malformed(e.to_string());
        let request = TsRequest::from_buffer(message).map_err(malformed)?;
        match state {
            State::Proof => self.proof(request, out),
            State::Delegation if request.auth_info.is_some() => Ok(self.accept(out)),
            State::Delegation => Err(CredsspError::Malformed("no credentials were delegated".to_owned())),
            State::Over => Err(CredsspError::Over),
        }
    }

    fn proof(&mut self, request: TsRequest, out: &mut Vec<u8>) -> Result<CredsspStep, CredsspError> {
        let mut steps = self.server.process(request);
        let GeneratorState::Completed(result) = steps.start() else {
            return Err(CredsspError::Malformed("NTLM asked for the network".to_owned()));
        };
        drop(steps);
        match result {
            Ok(ServerState::ReplyNeeded(reply)) => {
                write(&reply, out)?;
                // Only the answer to a valid proof has a public key and no NTLM message in it.
                let proven = reply.pub_key_auth.is_some() && reply.nego_tokens.is_none();
                self.state = if proven { State::Delegation } else { State::Proof };
                Ok(CredsspStep::NeedInput)
            }
            Ok(ServerState::Finished(_)) => Err(CredsspError::Malformed("credentials out of turn".to_owned())),
            // Once a name was looked up, whatever goes wrong is a wrong password to the client.
            Err(error) if self.tried.get().is_some() => {
                if let Some(mut reply) = error.ts_request {
                    reply.error_code = Some(NStatusCode::LOGON_FAILURE);
                    (reply.nego_tokens, reply.pub_key_auth, reply.auth_info) = (None, None, None);
                    write(&reply, out)?;
                }
                if self.protocol == CredsspProtocol::HybridEx {
                    out.extend_from_slice(&EARLY_ACCESS_DENIED);
                }
                Ok(CredsspStep::Denied {
                    name: self.tried.get().map(|t| t.name.clone()),
                })
            }
            Err(error) => Err(CredsspError::Malformed(error.error.to_string())),
        }
    }

    fn accept(&mut self, out: &mut Vec<u8>) -> CredsspStep {
        if self.protocol == CredsspProtocol::HybridEx {
            out.extend_from_slice(&EARLY_SUCCESS);
        }
        match self.tried.get() {
            Some(tried) if tried.known => CredsspStep::Accepted(tried.name.clone()),
            tried => CredsspStep::Denied {
                name: tried.map(|t| t.name.clone()),
            },
        }
    }
}

/// Answers sspi's question for a user's secret.
struct Proxy {
    lookup: Box<dyn AccountLookup>,
    tried: Arc<OnceLock<Tried>>,
}

impl CredentialsProxy for Proxy {
    type AuthenticationData = AuthIdentity;

    fn auth_data_by_user(&mut self, username: &Username) -> std::io::Result<AuthIdentity> {
        let (user, domain) = match username.parts() {
            UsernameParts::UserPrincipalName(parts) => (parts.upn(), None),
            UsernameParts::DownLevelLogonName(parts) => (parts.account_name(), parts.netbios_domain()),
        };
        let domain = domain.filter(|d| !d.is_empty());
        let hash = self.lookup.nt_hash(user, domain);
        let name = LoginName {
            user: user.to_owned(),
            domain: domain.map(str::to_owned),
        };
        let known = hash.is_some();
        if self.tried.set(Tried { name, known }).is_err() {
            return Err(std::io::Error::other("a second name in one exchange"));
        }
        // An unknown user goes through the same arithmetic with a hash that nobody can know.
        let mut secret = [0; 16];
        match hash {
            Some(hash) => secret = hash,
            None => getrandom::fill(&mut secret).map_err(std::io::Error::other)?,
        }
        let mut password = String::with_capacity(NT_HASH_PREFIX.len() + 32);
        password.push_str(NT_HASH_PREFIX);
        secret.iter().for_each(|b| password.push_str(&format!("{b:02x}")));
        Ok(AuthIdentity {
            username: username.clone(),
            password: password.into(),
        })
    }

    fn auth_data(&mut self) -> std::io::Result<Vec<AuthIdentity>> {
        Ok(Vec::new())
    }
}

/// Length of the `TSRequest` that `buf` starts with, by its DER header.
fn request_length(buf: &[u8]) -> Result<Option<usize>, CredsspError> {
    const SEQUENCE: u8 = 0x30;
    let length = match *buf {
        [] | [SEQUENCE] => return Ok(None),
        [SEQUENCE, short @ 0..=0x7F, ..] => 2 + usize::from(short),
        [SEQUENCE, 0x81, length, ..] => 3 + usize::from(length),
        [SEQUENCE, 0x82, high, low, ..] => 4 + (usize::from(high) << 8 | usize::from(low)),
        [SEQUENCE, 0x81 | 0x82, ..] => return Ok(None),
        _ => return Err(CredsspError::Malformed("no TSRequest".to_owned())),
    };
    if length > front::MAX_MESSAGE {
        return Err(CredsspError::Oversized {
            announced: length,
            limit: front::MAX_MESSAGE,
        });
    }
    Ok(Some(length))
}

fn write(reply: &TsRequest, out: &mut Vec<u8>) -> Result<(), CredsspError> {
    reply
        .encode_ts_request(out)
        .map_err(|e| CredsspError::Malformed(e.to_string()))
}

/// The NetBIOS name in our NTLM challenge.
const SERVER_NAME: &str = "RDPMUX";
/// With this prefix sspi takes a password for an NT hash in hexadecimal digits.
const NT_HASH_PREFIX: &str = "$NTLM$:";
/// `EarlyUserAuthResult` ([MS-RDPBCGR] 2.2.10.2).
const EARLY_SUCCESS: [u8; 4] = [0; 4];
const EARLY_ACCESS_DENIED: [u8; 4] = [5, 0, 0, 0];
