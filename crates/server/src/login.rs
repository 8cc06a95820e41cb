//! From the first byte to a proven user at a desktop: preconnection blob, X.224, TLS, CredSSP or a TLS login, and the
//! rest of the connection sequence. Everything here runs under one deadline and small size limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use rdpmux_model::{SessionId, Size};
use rdpmux_rdp::front::{FrontError, Opening};
use rdpmux_rdp::{
    AccountLookup, ClientLogin, CloseReason, CodersFactory, Credssp, CredsspError, CredsspProtocol, CredsspStep,
    Handshake, HandshakeConfig, HandshakeError, Refusal, Session, Step, front,
};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::access::{Accounts, Denied};
use crate::config::{Routing, ServerConfig};
use crate::listen::TransportTls;
use crate::reconnect::{Comer, Cookies};
use crate::route::{self, Grant, Hints, LoginName};
use crate::session;
use crate::session::link::{Link, Stream};

/// A connection that went through the whole sequence.
pub(crate) struct Arrival {
    pub(crate) session: Session,
    pub(crate) link: Link<Stream>,
    pub(crate) user: String,
    /// The desktop, or why there is none; the client is told either way.
    pub(crate) verdict: Result<Grant, Denied>,
    /// The session that this one goes on with.
    pub(crate) replaces: Option<SessionId>,
}

/// Where a connection comes from and by what it is judged.
#[derive(Clone, Copy)]
pub(crate) struct Door<'a> {
    pub(crate) config: &'a ServerConfig,
    pub(crate) cookies: &'a Cookies,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: TransportTls,
}

/// Why a connection ended before the sequence was complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the first bytes are not RDP: {0}")]
    Front(#[from] FrontError),
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("the NLA login broke: {0}")]
    Credssp(#[from] CredsspError),
    #[error("wrong user name or password, user {0:?}")]
    WrongPassword(String),
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error("a message came out of order")]
    OutOfOrder,
}

/// Takes a connection through the sequence.
pub(crate) async fn login(stream: Stream, door: Door<'_>, coders: CodersFactory) -> Result<Arrival, LoginError> {
    let config = door.config;
    let mut link = Link::new(stream);
    let mut hints = Hints::default();
    let mut opening = first(&mut link).await?;
    if matches!(opening, Opening::Preconnection) {
        hints.preconnection = preconnection(&mut link).await?;
        opening = first(&mut link).await?;
    }
    let logins = config.accounts.logins(config.logins);
    let handshake = HandshakeConfig {
        nla: logins.nla,
        tls: logins.tls,
        plain: logins.plain,
        coders,
        video: cfg!(feature = "h264"),
        surface_codecs: config.codecs,
    };
    match opening {
        Opening::ConnectionRequest => ordinary(link, hints, handshake, door).await,
        Opening::TlsClientHello if !logins.plain => security_first(link, hints, handshake, door).await,
        Opening::TlsClientHello | Opening::Preconnection => Err(LoginError::OutOfOrder),
    }
}

async fn first(link: &mut Link<Stream>) -> Result<Opening, LoginError> {
    loop {
        match front::opening(&link.buffer)? {
            Some(opening) => return Ok(opening),
            None => link.fill().await?,
        }
    }
}

async fn preconnection(link: &mut Link<Stream>) -> Result<Option<String>, LoginError> {
    loop {
        match front::preconnection(&link.buffer)? {
            Some((found, length)) => {
                link.buffer.advance(length);
                return Ok(found.name.filter(|name| !name.is_empty()));
            }
            None => link.fill().await?,
        }
    }
}

/// X.224 first, then the security that it negotiates.
async fn ordinary(
    mut link: Link<Stream>,
    mut hints: Hints,
    handshake: HandshakeConfig,
    door: Door<'_>,
) -> Result<Arrival, LoginError> {
    loop {
        match front::connection_request(&link.buffer)? {
            Some((request, _)) => {
                hints.token = request.routing_token.filter(|token| !token.is_empty());
                hints.cookie = request.cookie;
                break;
            }
            None => link.fill().await?,
        }
    }
    let plain = handshake.plain;
    let mut handshake = Handshake::new(handshake);
    if plain {
        return complete(handshake, &mut link, &hints, door, None)
            .await
            .map(|done| done.into_arrival(link));
    }
    match advance(&mut handshake, &mut link).await? {
        Step::UpgradeTls => {}
        Step::Refused(refusal) => return Err(LoginError::Refused(refusal)),
        _ => return Err(LoginError::OutOfOrder),
    }
    let mut link = secure(link, &mut hints, door).await?;
    handshake.tls_done();
    complete(handshake, &mut link, &hints, door, None)
        .await
        .map(|done| done.into_arrival(link))
}

/// Hyper-V's order: TLS and CredSSP at once, then X.224 ([MS-RDPEPS] 3.1.5 leaves it to the server behind the blob).
async fn security_first(
    link: Link<Stream>,
    mut hints: Hints,
    handshake: HandshakeConfig,
    door: Door<'_>,
) -> Result<Arrival, LoginError> {
    let mut link = secure(link, &mut hints, door).await?;
    let login = nla(&mut link, CredsspProtocol::Hybrid, door.config).await?;
    let handshake = Handshake::new_after_security(handshake, CredsspProtocol::Hybrid);
    complete(handshake, &mut link, &hints, door, Some(login))
        .await
        .map(|done| done.into_arrival(link))
}

/// Runs TLS, unless somebody else does below the stream.
async fn secure(link: Link<Stream>, hints: &mut Hints, door: Door<'_>) -> io::Result<Link<Stream>> {
    match door.transport {
        TransportTls::Managed => upgrade(link, hints, door.config.tls.acceptor()).await,
        TransportTls::AlreadyDone => Ok(link),
    }
}

pub(crate) async fn upgrade(link: Link<Stream>, hints: &mut Hints, acceptor: &TlsAcceptor) -> io::Result<Link<Stream>> {
    let stream = acceptor.accept(link.into_replay()).await?;
    hints.server_name = stream.get_ref().1.server_name().map(str::to_owned);
    Ok(Link::new(Box::new(stream)))
}

/// What is left to know once the sequence is complete.
struct Done {
    session: Session,
    decided: Decided,
}

impl Done {
    fn into_arrival(self, link: Link<Stream>) -> Arrival {
        Arrival {
            session: self.session,
            link,
            user: self.decided.user,
            verdict: self.decided.verdict,
            replaces: self.decided.replaces,
        }
    }
}

async fn complete(
    mut handshake: Handshake,
    link: &mut Link<Stream>,
    hints: &Hints,
    door: Door<'_>,
    mut login: Option<LoginName>,
) -> Result<Done, LoginError> {
    let mut decided = None;
    loop {
        match advance(&mut handshake, link).await? {
            Step::Credssp(protocol) => {
                login = Some(nla(link, protocol, door.config).await?);
                handshake.credssp_done();
            }
            Step::ChooseDesktop(client) => {
                let Some(mut found) = decide(&client, login.take(), hints, door).await else {
                    return Err(refuse(&mut handshake, link, client).await);
                };
                if let Ok(grant) = &mut found.verdict {
                    let directory = &door.config.directory;
                    directory.arrives(&found.user, grant.desktop.name(), client.requested);
                    let monitors = client.monitors.as_ref().map_or(1, |layout| layout.monitors().len());
                    grant.desktop = grant.desktop.for_monitors(monitors);
                }
                if let Err(refused) = &client.monitors {
                    tracing::info!(user = %found.user, %refused, "the client's monitors are refused");
                }
                handshake.set_desktop(match &found.verdict {
                    Ok(grant) => grant.desktop.shape(grant.rights),
                    Err(_) => NO_DESKTOP.into(),
                });
                decided = Some(found);
            }
            Step::Established => break,
            Step::Refused(refusal) => return Err(LoginError::Refused(refusal)),
            Step::UpgradeTls | Step::NeedInput => return Err(LoginError::OutOfOrder),
        }
    }
    let decided = decided.ok_or(LoginError::OutOfOrder)?;
    let session = handshake.into_session().ok_or(LoginError::OutOfOrder)?;
    Ok(Done { session, decided })
}

/// Who the client is and what it gets.
struct Decided {
    user: String,
    verdict: Result<Grant, Denied>,
    replaces: Option<SessionId>,
}

/// Judges a login: `proven` by NLA, by a reconnect cookie, or by the password that it carries. `None`: none of them.
async fn decide(client: &ClientLogin, proven: Option<LoginName>, hints: &Hints, door: Door<'_>) -> Option<Decided> {
    if let Some(back) = come_back(client, proven.as_ref(), door) {
        return Some(back);
    }
    let login = match proven {
        Some(login) => login,
        None => tls_login(client, door.config).await?,
    };
    let config = door.config;
    let verdict = route::choose(hints, &login, &config.routing, config.directory.as_ref());
    Some(Decided {
        user: login.user,
        verdict,
        replaces: None,
    })
}

/// The desktop of the session that the client lost, if its cookie is good and its user still may see it. The cookie
/// stands for the password where NLA did not prove the user.
fn come_back(client: &ClientLogin, proven: Option<&LoginName>, door: Door<'_>) -> Option<Decided> {
    let proof = client.reconnect.as_ref()?;
    let Door { config, peer, .. } = door;
    let named = || LoginName::parse(&client.user, client.domain.as_deref(), &config.routing);
    let user = proven.map_or_else(|| named().user, |login| login.user.clone());
    let comer = Comer {
        user: &user,
        password: config.accounts.nt_hash(&user),
        address: peer.ip(),
    };
    let lost = match door.cookies.redeem(proof, &comer, Instant::now()) {
        Ok(lost) => lost,
        Err(refusal) => {
            warn!(%peer, %user, %refusal, "reconnect cookie refused; the client may log in as usual");
            return None;
        }
    };
    // What was granted then may be gone by now.
    let directory = config.directory.as_ref();
    let desktop = directory.find(&lost.desktop);
    let Some(grant) = desktop.and_then(|desktop| route::grant(desktop, &user, directory).ok()) else {
        warn!(%peer, %user, desktop = %lost.desktop, "the reconnect cookie's desktop is gone, or not granted any more");
        return None;
    };
    info!(%peer, %user, desktop = %lost.desktop, lost = %lost.session, "client comes back by its reconnect cookie");
    Some(Decided {
        user,
        verdict: Ok(grant),
        replaces: Some(lost.session),
    })
}

/// Feeds the handshake until it wants something other than bytes. What it says is sent before its step is returned.
async fn advance(handshake: &mut Handshake, link: &mut Link<Stream>) -> Result<Step, LoginError> {
    let mut out = Vec::new();
    loop {
        let fed = handshake.feed(&link.buffer, &mut out);
        link.send(&mut out).await?;
        let (consumed, step) = fed?;
        link.buffer.advance(consumed);
        match step {
            Step::NeedInput => link.fill().await?,
            step => return Ok(step),
        }
    }
}

async fn nla(
    link: &mut Link<Stream>,
    protocol: CredsspProtocol,
    config: &ServerConfig,
) -> Result<LoginName, LoginError> {
    let lookup = Lookup {
        accounts: Arc::clone(&config.accounts),
        routing: config.routing.clone(),
    };
    let mut credssp = Credssp::new(config.tls.public_key().to_vec(), Box::new(lookup), protocol)?;
    let mut out = Vec::new();
    loop {
        let fed = credssp.feed(&link.buffer, &mut out);
        link.send(&mut out).await?;
        let (consumed, step) = fed?;
        link.buffer.advance(consumed);
        match step {
            CredsspStep::NeedInput => link.fill().await?,
            CredsspStep::Accepted(name) => {
                return Ok(LoginName::parse(&name.user, name.domain.as_deref(), &config.routing));
            }
            CredsspStep::Denied { name } => {
                return Err(LoginError::WrongPassword(
                    name.map_or_else(String::new, |name| name.user),
                ));
            }
        }
    }
}

/// Accounts as CredSSP asks for them: by the whole name that the client typed.
struct Lookup {
    accounts: Arc<dyn Accounts>,
    routing: Routing,
}

impl AccountLookup for Lookup {
    fn nt_hash(&mut self, user: &str, domain: Option<&str>) -> Option<[u8; 16]> {
        let login = LoginName::parse(user, domain, &self.routing);
        self.accounts.nt_hash(&login.user).map(|hash| hash.0)
    }
}

/// The login of a client that sent its password inside TLS, if it is right.
async fn tls_login(client: &ClientLogin, config: &ServerConfig) -> Option<LoginName> {
    let password = client.password.as_ref().map_or("", |password| password.reveal());
    prove(&client.user, client.domain.as_deref(), password, config).await
}

/// The login by a name and a password that came inside TLS, if it is right.
pub(crate) async fn prove(
    user: &str,
    domain: Option<&str>,
    password: &str,
    config: &ServerConfig,
) -> Option<LoginName> {
    let login = LoginName::parse(user, domain, &config.routing);
    if config.accounts.prove(&login.user, domain, password).await {
        return Some(login);
    }
    // Slows guessing on one connection; guesses on many are bounded by the places at the door.
    tokio::time::sleep(GUESS_PAUSE).await;
    None
}

/// Tells a client that its password is wrong.
async fn refuse(handshake: &mut Handshake, link: &mut Link<Stream>, client: ClientLogin) -> LoginError {
    let mut out = Vec::new();
    handshake.refuse(CloseReason::BadCredentials, &mut out);
    match session::say_goodbye(link, &mut out).await {
        Ok(()) => LoginError::WrongPassword(client.user),
        Err(error) => LoginError::Io(error),
    }
}

/// Size announced to a client that only waits to be told why it gets nothing.
const NO_DESKTOP: Size = Size::new(640, 480);
const GUESS_PAUSE: Duration = Duration::from_millis(500);
