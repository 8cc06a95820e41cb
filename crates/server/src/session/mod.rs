//! One task per client: log in, then drive the session, then say goodbye. Nothing that happens here reaches another
//! session: an error or a panic ends this one.

mod card;
mod drive;
pub(crate) mod encode_pool;
mod gauge;
pub(crate) mod link;
mod liveness;
mod outbox;
pub(crate) mod stream;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rdpmux_model::{ClipboardPolicy, Rights, SessionId};
use rdpmux_rdp::{CloseReason, Coders, CodersFactory, ReconnectCookie, Session};
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::channels::ClientChannels;
use crate::clipboard::ClipboardSeat;
use crate::listen::{Context, Knock, TransportTls};
use crate::login::{self, Arrival, Door, LoginError};
use crate::reconnect::{Hold, Owner};
use crate::route::Grant;
use crate::sessions::{Presence, SessionFacts};
use crate::typing::Layout;
use drive::{Drive, End, Farewell};
use gauge::LinkGauge;
use link::{Link, Stream};

/// A connection that has said nothing yet.
pub(crate) struct Incoming {
    pub(crate) stream: Stream,
    /// An unspecified address if nobody knows.
    pub(crate) peer: SocketAddr,
    /// Its TCP socket once more, for its figures.
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) transport: TransportTls,
}

impl Incoming {
    /// Sets the socket's options.
    pub(crate) fn tcp(stream: TcpStream, peer: SocketAddr, deadline: Duration) -> io::Result<Self> {
        Ok(Self {
            socket: Some(prepare(&stream, deadline)?),
            stream: Box::new(stream),
            peer,
            transport: TransportTls::Managed,
        })
    }
}

/// How a connection ended: by itself, or by a fault that is said in words.
pub(crate) type Outcome = Result<(), String>;

/// Serves one connection to its end.
pub(crate) async fn run(id: SessionId, incoming: Incoming, context: Arc<Context>, knock: Knock) -> Outcome {
    let Incoming {
        stream,
        peer,
        socket,
        transport,
    } = incoming;
    let Some(arrival) = arrive(id, stream, (peer, transport), &context).await? else {
        return Ok(());
    };
    drop(knock);
    let place = match arrival.replaces {
        Some(lost) => {
            // It may not have noticed yet that its client is gone, and have the last place.
            context.config.sessions.close(lost, CloseReason::Replaced);
            context.place_of_old().await
        }
        None => context.place_of_new().await,
    };
    let Some(place) = place else {
        warn!(session = %id, %peer, user = arrival.user, "too many sessions; this one was refused");
        tell(arrival.session, arrival.link, CloseReason::Limit).await;
        return Err("too many sessions".to_owned());
    };
    let Arrival {
        session,
        link,
        user,
        verdict,
        replaces: _,
    } = arrival;
    let outcome = match verdict {
        Ok(grant) => {
            info!(session = %id, %peer, %user, desktop = %grant.desktop.name(), control = grant.rights.control,
                client = %session.info(), "session started");
            let facts = SessionFacts {
                id,
                user: user.clone(),
                desktop: grant.desktop.name().clone(),
                peer,
                client: session.info().to_string(),
                rights: grant.rights,
                speaks: false,
                age: Duration::ZERO,
            };
            let access = Access {
                place: Some(Listed::new(facts, &context)),
                grant,
                user,
                farewell: None,
            };
            serve(id, session, link, socket, access, &context).await
        }
        Err(denied) => {
            warn!(session = %id, %peer, %user, ?denied, "no desktop for this login");
            let card = card::Card::refusal(&denied);
            let grant = Grant {
                desktop: card.desktop(),
                rights: Rights::VIEW,
                clipboard: ClipboardPolicy::NONE,
                streams: None,
            };
            let farewell = Farewell {
                after: CARD,
                reason: CloseReason::Denied,
            };
            let access = Access {
                grant,
                place: None,
                farewell: Some(farewell),
                user,
            };
            serve(id, session, link, socket, access, &context).await
        }
    };
    drop(place);
    outcome
}

async fn arrive(
    id: SessionId,
    stream: Stream,
    (peer, transport): (SocketAddr, TransportTls),
    context: &Context,
) -> Result<Option<Arrival>, String> {
    let coders: CodersFactory = Arc::new(|| Coders {
        bulk: Box::new(rdpmux_engine::codec::zgfx::Zgfx::new()),
        raster: Some(Box::new(rdpmux_engine::codec::clear::Clear::new())),
    });
    let door = Door {
        config: &context.config,
        cookies: &context.cookies,
        peer,
        transport,
    };
    let login = timeout(context.config.limits.handshake, login::login(stream, door, coders));
    let mut stop = context.stop.clone();
    let result = tokio::select! {
        biased;
        () = stop.stopped() => return Ok(None),
        result = login => result,
    };
    match result {
        Ok(Ok(arrival)) => Ok(Some(arrival)),
        Ok(Err(error)) => {
            match &error {
                LoginError::Io(error) => debug!(session = %id, %peer, %error, "connection ended before the login"),
                error => warn!(session = %id, %peer, %error, "no login"),
            }
            Err(error.to_string())
        }
        Err(_) => {
            warn!(session = %id, %peer, "no login before the deadline; the connection was closed");
            Err("no login before the deadline".to_owned())
        }
    }
}

/// What a login led to: a desktop, or a card that says why there is none.
struct Access {
    grant: Grant,
    /// None for a card.
    place: Option<Listed>,
    user: String,
    farewell: Option<Farewell>,
}

/// A session in the list of sessions, with the cookie by which its client can come back.
struct Listed {
    presence: Presence,
    cookie: Option<(ReconnectCookie, Hold)>,
}

impl Listed {
    fn new(facts: SessionFacts, context: &Context) -> Self {
        let owner = Owner {
            session: facts.id,
            user: facts.user.clone(),
            password: context.config.accounts.nt_hash(&facts.user),
            desktop: facts.desktop.clone(),
            address: facts.peer.ip(),
        };
        let mut secret = [0; 16];
        let is_random = getrandom::fill(&mut secret).is_ok();
        Self {
            presence: context.config.sessions.enter(facts),
            cookie: is_random
                .then(|| context.cookies.issue(owner, secret, Instant::now()))
                .flatten(),
        }
    }
}

async fn serve(
    id: SessionId,
    mut session: Session,
    link: Link<Stream>,
    socket: Option<OwnedFd>,
    access: Access,
    context: &Arc<Context>,
) -> Outcome {
    let Access {
        grant,
        place,
        user,
        farewell,
    } = access;
    let keyboard = session.info().keyboard_layout;
    let layout = Layout::of_windows(keyboard);
    debug!(session = %id, keyboard = format_args!("{keyboard:#x}"), layout = layout.map(Layout::name), "the client's keyboard");
    let Ok(seat) = grant.desktop.join(id, grant.rights, layout).await else {
        tell(session, link, CloseReason::ServerShutdown).await;
        return Ok(());
    };
    let clipboard = clipboard(id, &grant, &user).await;
    let gauge = LinkGauge::new(socket);
    let channels = match grant.desktop.peripherals().channels.clone() {
        Some(factory) => ClientChannels::build(factory, id, &user, &mut session).await,
        None => None,
    };
    let mut drive = Drive::new(id, session, link, gauge, (seat, clipboard), context, farewell).with_channels(channels);
    if let Some((streams, visitor)) = grant.streams {
        drive = drive.with_streams(streams, visitor);
    }
    if let Some(place) = &place {
        drive = drive
            .listed(&place.presence, place.cookie.as_ref().map(|(cookie, _)| cookie))
            .roaming(user);
    }
    let (name, end) = drive.run().await;
    if let Some((_, hold)) = place.and_then(|place| place.cookie)
        && end.is_loss()
    {
        hold.wait(Instant::now());
    }
    match end {
        End::Client | End::Lost | End::Farewell | End::Idle | End::Told(_) => {
            info!(session = %id, desktop = %name, %end, "session ended");
            Ok(())
        }
        _ => {
            warn!(session = %id, desktop = %name, %end, "session ended");
            Err(end.to_string())
        }
    }
}

/// A part in the machine's clipboard, if there is one and the viewer may do anything with it. Only who controls the
/// machine may.
async fn clipboard(id: SessionId, grant: &Grant, user: &str) -> Option<ClipboardSeat> {
    let hub = grant.desktop.peripherals().clipboard.as_ref()?;
    hub.join(id, user, grant.rights, grant.clipboard).await
}

/// Tells a client why it is sent away, without a session.
async fn tell(mut session: Session, mut link: Link<Stream>, reason: CloseReason) {
    let mut out = Vec::new();
    session.error_info(reason, &mut out);
    if let Err(error) = say_goodbye(&mut link, &mut out).await {
        debug!(%error, "goodbye");
    }
}

/// Sends the last words and waits a moment for the client to take them and close.
pub(crate) async fn say_goodbye(link: &mut Link<Stream>, words: &mut Vec<u8>) -> io::Result<()> {
    let goodbye = async {
        link.send(words).await?;
        link.stream.shutdown().await?;
        linger(&mut link.stream).await
    };
    timeout(GOODBYE, goodbye).await.unwrap_or(Ok(()))
}

/// Reads what the client still sends until it closes: closing on unread bytes would reset the connection and the
/// client would lose what it was told.
pub(crate) async fn linger(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut discard = [0; 4096];
    while reader.read(&mut discard).await? > 0 {}
    Ok(())
}

/// A dead peer is noticed by the kernel even when we have nothing to write, and what waits in the kernel stays little.
/// Returns the socket once more, for its figures.
pub(crate) fn prepare(stream: &TcpStream, deadline: Duration) -> io::Result<OwnedFd> {
    sockopt::set_tcp_nodelay(stream, true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_INTERVAL)?;
    sockopt::set_tcp_user_timeout(stream, deadline.as_millis().try_into().unwrap_or(u32::MAX))?;
    rdpmux_sock::set_unsent_limit(stream, UNSENT)?;
    stream.as_fd().try_clone_to_owned()
}

/// How long a refused user may read why.
const CARD: Duration = Duration::from_secs(6);
/// How long a goodbye may take to be written.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes that may wait in the kernel before they are sent at all: stale pixels, if they were more.
const UNSENT: u32 = 32 * 1024;
const KEEP_IDLE: Duration = Duration::from_secs(30);
const KEEP_INTERVAL: Duration = Duration::from_secs(10);
