//! From the X.224 Connection Request to the end of finalization ([MS-RDPBCGR] 1.3.1.1). It is not the TLS or CredSSP
//! exchange itself: at those steps the server takes over and comes back.
//!
//! ```text
//! request → confirm → UpgradeTls → (Credssp) → GCC, channels, client info → ChooseDesktop    IronRDP's Acceptor
//!         → licence → Demand Active … Font Map → Established                                   Session
//! ```

mod login;
mod monitors;
mod negotiation;

use std::sync::Arc;

use ironrdp_acceptor::{Acceptor, AcceptorState, DesktopSize};
use ironrdp_connector::{Sequence as _, state_downcast};
use ironrdp_core::{WriteBuf, decode, encode_vec};
use ironrdp_dvc::DrdynvcServer;
use ironrdp_pdu::x224::{X224, X224Data};
use ironrdp_pdu::{mcs, nego, rdp};

pub use login::{ClientLogin, Password};

use crate::credssp::CredsspProtocol;
use crate::front::{self, FrontError};
use crate::pipe::{CodersFactory, SurfaceCodecs};
use crate::session::{self, CloseReason, DesktopShape, Offer, Session, SessionError};
use crate::wire;
use login::Client;
pub use monitors::in_request as monitors_in_request;

/// What a server offers. With none of `nla`, `tls` and `plain` every client is refused.
#[derive(Clone)]
pub struct HandshakeConfig {
    /// CredSSP logins.
    pub nla: bool,
    /// TLS logins without NLA: the password comes with the client info.
    pub tls: bool,
    /// No security: everything in the clear, the password too ([MS-RDPBCGR] 5.3.2 `ENCRYPTION_LEVEL_NONE`). Excludes the
    /// others, and holds for every client, whatever it offers.
    pub plain: bool,
    /// Compressors of the graphics pipeline.
    pub coders: CodersFactory,
    /// Whether we can make H.264, so that clients may be told that we do.
    pub video: bool,
    /// What we can make for clients without the graphics pipeline.
    pub surface_codecs: SurfaceCodecs,
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
    acceptor: Acceptor,
    phase: Phase,
    client: Client,
    /// Bytes of all messages so far.
    seen: usize,
}

#[expect(clippy::large_enum_variant, reason = "one per connection, and it does not move")]
enum Phase {
    /// Before the X.224 Connection Request.
    Request,
    /// The same, but TLS and CredSSP are done.
    RequestInside(CredsspProtocol),
    Tls,
    Credssp(CredsspProtocol),
    /// GCC, channels, client info: the acceptor's.
    Sequence,
    /// The server is asked for a desktop; the login waits to be handed out.
    Choose(Option<ClientLogin>),
    Chosen(DesktopShape),
    Activation(Session),
    /// Refused or failed.
    Over,
}

impl Handshake {
    /// Starts before the X.224 Connection Request.
    pub fn new(config: HandshakeConfig) -> Self {
        Self::start(config, Phase::Request)
    }

    /// Starts after TLS and CredSSP, in Hyper-V's order: a Connection Request may still come, or the GCC exchange at once.
    pub fn new_after_security(config: HandshakeConfig, protocol: CredsspProtocol) -> Self {
        Self::start(config, Phase::RequestInside(protocol))
    }

    fn start(config: HandshakeConfig, phase: Phase) -> Self {
        let mut security = nego::SecurityProtocol::empty();
        security.set(nego::SecurityProtocol::SSL, config.tls);
        let hybrid = nego::SecurityProtocol::HYBRID | nego::SecurityProtocol::HYBRID_EX;
        security.set(hybrid, config.nla || matches!(phase, Phase::RequestInside(_)));
        // The acceptor never gets as far as to use the size or capabilities: Demand Active is ours.
        let size = DesktopSize { width: 0, height: 0 };
        let mut acceptor = Acceptor::new(security, size, Vec::new(), None);
        acceptor.attach_static_channel(DrdynvcServer::new());
        Self {
            config,
            acceptor,
            phase,
            client: Client::default(),
            seen: 0,
        }
    }

    /// Takes bytes and goes on until something else has to happen. Returns how many bytes were used, and what is next.
    ///
    /// `out` must be written before the step is acted on. Bytes that were not used are fed again, with more behind them.
    ///
    /// # Errors
    /// [`HandshakeError`]; write `out`, then close.
    pub fn feed(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, Step), HandshakeError> {
        let mut used = 0;
        loop {
            match self.advance(&buf[used..], out) {
                Ok((more, step)) => {
                    used += more;
                    self.seen += more;
                    if self.seen > MAX_HANDSHAKE {
                        self.phase = Phase::Over;
                        return Err(oversized(self.seen, MAX_HANDSHAKE));
                    }
                    if let Some(step) = step {
                        return Ok((used, step));
                    }
                }
                Err(error) => {
                    self.phase = Phase::Over;
                    return Err(error);
                }
            }
        }
    }

    /// One message or one transition. `None`: there may be more to do.
    fn advance(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<Step>), HandshakeError> {
        match &mut self.phase {
            Phase::Request => self.request(buf, out),
            Phase::RequestInside(protocol) => {
                let protocol = *protocol;
                self.request_inside(buf, protocol, out)
            }
            Phase::Tls => Ok((0, Some(Step::UpgradeTls))),
            Phase::Credssp(protocol) => Ok((0, Some(Step::Credssp(*protocol)))),
            Phase::Sequence => self.sequence(buf, out),
            Phase::Choose(login) => match login.take() {
                Some(login) => Ok((0, Some(Step::ChooseDesktop(login)))),
                None => Err(HandshakeError::Bug("no desktop was set")),
            },
            Phase::Chosen(shape) => {
                let shape = std::mem::take(shape);
                self.licence(out)?;
                let (info, link) = self.client.session();
                let offer = Offer {
                    coders: Arc::clone(&self.config.coders),
                    video: self.config.video,
                    surface_codecs: self.config.surface_codecs,
                };
                self.phase = Phase::Activation(Session::demand(info, link, shape, offer, out));
                Ok((0, None))
            }
            Phase::Activation(session) => {
                if session.is_live() {
                    return Ok((0, Some(Step::Established)));
                }
                let Some(pdu) = bounded_pdu(buf)? else {
                    return Ok((0, Some(Step::NeedInput)));
                };
                let mut events = Vec::new();
                session.pdu(pdu, &mut events, out).map_err(activation_error)?;
                let ended = events.iter().any(|e| matches!(e, session::SessionEvent::Shutdown));
                if ended {
                    Err(HandshakeError::Ended { phase: "Activation" })
                } else {
                    Ok((pdu.len(), None))
                }
            }
            Phase::Over => Err(HandshakeError::Bug("fed after its end")),
        }
    }

    /// TLS is up.
    pub fn tls_done(&mut self) {
        if matches!(self.phase, Phase::Tls) && self.acceptor.reached_security_upgrade().is_some() {
            self.acceptor.mark_security_upgrade_as_done();
            self.phase = match state_downcast::<AcceptorState>(self.acceptor.state()) {
                Some(AcceptorState::Credssp { protocol, .. }) => {
                    let ex = protocol.contains(nego::SecurityProtocol::HYBRID_EX);
                    Phase::Credssp(if ex {
                        CredsspProtocol::HybridEx
                    } else {
                        CredsspProtocol::Hybrid
                    })
                }
                _ => Phase::Sequence,
            };
        }
    }

    /// CredSSP accepted the user.
    pub fn credssp_done(&mut self) {
        if matches!(self.phase, Phase::Credssp(_)) {
            self.leave_security();
        }
    }

    fn leave_security(&mut self) {
        if self.acceptor.should_perform_credssp() {
            self.acceptor.mark_credssp_as_done();
            self.client.after_nla();
        }
        self.phase = Phase::Sequence;
    }

    fn sequence(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<Step>), HandshakeError> {
        let mut written = WriteBuf::new();
        let Some(_) = self.acceptor.next_pdu_hint() else {
            self.step(&[], &mut written)?;
            out.extend_from_slice(written.filled());
            return Ok((0, None));
        };
        let Some(pdu) = bounded_pdu(buf)? else {
            return Ok((0, Some(Step::NeedInput)));
        };
        let phase = self.acceptor.state().name();
        if pdu[0] != wire::TPKT_VERSION {
            // Fast-path input before there is a desktop.
            return Ok((pdu.len(), None));
        }
        if !matches!(wire::mcs(pdu), Ok(wire::Mcs::Data { .. } | wire::Mcs::Other(_))) {
            return Err(HandshakeError::Ended { phase });
        }
        match state_downcast::<AcceptorState>(self.acceptor.state()) {
            Some(AcceptorState::BasicSettingsWaitInitial { .. }) => {
                let found = monitors::set_apart(pdu);
                let data = decode::<X224<X224Data<'_>>>(&found.pdu)
                    .map_err(|e| malformed(phase, e))?
                    .0;
                let initial = decode::<mcs::ConnectInitial>(&data.data).map_err(|e| malformed(phase, e))?;
                self.client.connect_initial(&initial, found.monitors);
                self.step(&found.pdu, &mut written)?;
                out.extend_from_slice(written.filled());
                return Ok((pdu.len(), None));
            }
            Some(AcceptorState::SecureSettingsExchange { .. }) => return self.client_info(pdu),
            _ => {}
        }
        self.step(pdu, &mut written)?;
        out.extend_from_slice(written.filled());
        Ok((pdu.len(), None))
    }

    /// Takes the login out; the acceptor sees the message without it, so that there is one place for the password.
    fn client_info(&mut self, pdu: &[u8]) -> Result<(usize, Option<Step>), HandshakeError> {
        let phase = self.acceptor.state().name();
        let data = decode::<X224<mcs::SendDataRequest<'_>>>(pdu)
            .map_err(|e| malformed(phase, e))?
            .0;
        let mut info = decode::<rdp::ClientInfoPdu>(&data.user_data).map_err(|e| malformed(phase, e))?;
        let login = self.client.login(&mut info.client_info);
        let blank = X224(mcs::SendDataRequest {
            initiator_id: data.initiator_id,
            channel_id: data.channel_id,
            user_data: encode_vec(&info).map_err(|e| malformed(phase, e))?.into(),
        });
        let blank = encode_vec(&blank).map_err(|e| malformed(phase, e))?;
        self.step(&blank, &mut WriteBuf::new())?;
        self.phase = Phase::Choose(Some(login));
        Ok((pdu.len(), None))
    }

    fn licence(&mut self, out: &mut Vec<u8>) -> Result<(), HandshakeError> {
        let mut written = WriteBuf::new();
        self.step(&[], &mut written)?;
        out.extend_from_slice(written.filled());
        Ok(())
    }

    fn step(&mut self, input: &[u8], written: &mut WriteBuf) -> Result<(), HandshakeError> {
        let phase = self.acceptor.state().name();
        let step = self.acceptor.step(input, None, written);
        step.map(drop).map_err(|e| malformed(phase, e))
    }

    /// Answers [`Step::ChooseDesktop`]: the client will get a desktop of this size, or of this shape.
    pub fn set_desktop(&mut self, shape: impl Into<DesktopShape>) {
        if matches!(self.phase, Phase::Choose(_)) {
            self.phase = Phase::Chosen(shape.into());
        }
    }

    /// Answers [`Step::ChooseDesktop`] with a reason that the client shows to its user. Write `out`, then close.
    pub fn refuse(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        // Clients take error information only after the licence.
        if matches!(self.phase, Phase::Choose(_)) && self.licence(out).is_ok() {
            session::goodbye(&self.client.session().1, reason, out);
        }
        self.phase = Phase::Over;
    }

    /// The session, after [`Step::Established`]. `None` before.
    pub fn into_session(self) -> Option<Session> {
        match self.phase {
            Phase::Activation(session) if session.is_live() => Some(session),
            _ => None,
        }
    }
}

/// The first whole PDU, if it is not longer than a message before login may be.
fn bounded_pdu(buf: &[u8]) -> Result<Option<&[u8]>, HandshakeError> {
    let length = wire::pdu_length(buf).map_err(|e| malformed("framing", e))?;
    match length {
        Some(announced) if announced > front::MAX_MESSAGE => Err(oversized(announced, front::MAX_MESSAGE)),
        Some(length) => Ok(buf.get(..length)),
        None => Ok(None),
    }
}

fn oversized(announced: usize, limit: usize) -> HandshakeError {
    HandshakeError::Oversized { announced, limit }
}

fn malformed(phase: &'static str, source: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> HandshakeError {
    HandshakeError::Malformed {
        phase,
        source: source.into(),
    }
}

fn front_error(error: FrontError) -> HandshakeError {
    match error {
        FrontError::Oversized { announced, limit } => oversized(announced, limit),
        error => malformed("X.224 connection request", error),
    }
}

fn activation_error(error: SessionError) -> HandshakeError {
    match error {
        SessionError::Oversized { announced, limit, .. } => oversized(announced, limit),
        error @ SessionError::Peer { .. } => malformed("activation", error),
    }
}

/// All messages of a handshake together: a client that keeps on talking before it is a session is none.
const MAX_HANDSHAKE: usize = 128 * 1024;
