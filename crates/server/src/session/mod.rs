//! One task per client: log in, then drive the session, then say goodbye. Nothing that happens here reaches another
//! session: an error or a panic ends this one.

mod card;
mod drive;
pub(crate) mod encode_pool;
mod gauge;
pub(crate) mod link;
mod outbox;
pub(crate) mod stream;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rdpmux_model::{Rights, SessionId};
use rdpmux_rdp::{CloseReason, Coders, CodersFactory, Session};
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::listen::{Context, Knock};
use crate::login::{self, Arrival, LoginError, Stream};
use crate::route::Grant;
use drive::{Drive, End, Farewell};
use gauge::LinkGauge;
use link::Link;

/// Serves one accepted connection to its end.
pub(crate) async fn run(id: SessionId, stream: TcpStream, peer: SocketAddr, context: Arc<Context>, knock: Knock) {
    let socket = match prepare(&stream, context.config.limits.write) {
        Ok(socket) => socket,
        Err(error) => return debug!(session = %id, %peer, %error, "socket options"),
    };
    let Some(arrival) = arrive(id, stream, peer, &context).await else {
        return;
    };
    drop(knock);
    let Some(place) = context.place() else {
        warn!(session = %id, %peer, user = arrival.user, "too many sessions; this one was refused");
        return tell(arrival.session, arrival.link, CloseReason::Limit).await;
    };
    let Arrival {
        session,
        link,
        user,
        verdict,
    } = arrival;
    match verdict {
        Ok(grant) => {
            info!(session = %id, %peer, %user, desktop = %grant.desktop.name(), control = grant.rights.control,
                client = %session.info(), "session started");
            let access = Access { grant, farewell: None };
            serve(id, session, link, socket, access, &context).await;
        }
        Err(denied) => {
            warn!(session = %id, %peer, %user, ?denied, "no desktop for this login");
            let card = card::Card::refusal(&denied);
            let grant = Grant {
                desktop: card.desktop(),
                rights: Rights::VIEW,
            };
            let farewell = Farewell {
                after: CARD,
                reason: CloseReason::Denied,
            };
            let access = Access {
                grant,
                farewell: Some(farewell),
            };
            serve(id, session, link, socket, access, &context).await;
        }
    }
    drop(place);
}

async fn arrive(id: SessionId, stream: TcpStream, peer: SocketAddr, context: &Context) -> Option<Arrival> {
    let coders: CodersFactory = Arc::new(|| Coders {
        bulk: Box::new(rdpmux_engine::codec::zgfx::Zgfx::new()),
        raster: Some(Box::new(rdpmux_engine::codec::clear::Clear::new())),
    });
    let login = timeout(
        context.config.limits.handshake,
        login::login(stream, &context.config, coders),
    );
    let mut stop = context.stop.clone();
    let result = tokio::select! {
        biased;
        () = stop.stopped() => return None,
        result = login => result,
    };
    match result {
        Ok(Ok(arrival)) => return Some(arrival),
        Ok(Err(LoginError::Io(error))) => debug!(session = %id, %peer, %error, "connection ended before the login"),
        Ok(Err(error)) => warn!(session = %id, %peer, %error, "no login"),
        Err(_) => warn!(session = %id, %peer, "no login before the deadline; the connection was closed"),
    }
    None
}

/// What a login led to: a desktop, or a card that says why there is none.
struct Access {
    grant: Grant,
    farewell: Option<Farewell>,
}

async fn serve(
    id: SessionId,
    session: Session,
    link: Link<Stream>,
    socket: OwnedFd,
    access: Access,
    context: &Arc<Context>,
) {
    let Access { grant, farewell } = access;
    let name = grant.desktop.name().clone();
    let Ok(seat) = grant.desktop.join(id, grant.rights).await else {
        return tell(session, link, CloseReason::ServerShutdown).await;
    };
    let gauge = LinkGauge::new(socket);
    let end = Drive::new(id, session, link, gauge, seat, context, farewell)
        .run()
        .await;
    match end {
        End::Client | End::Farewell => info!(session = %id, desktop = %name, %end, "session ended"),
        _ => warn!(session = %id, desktop = %name, %end, "session ended"),
    }
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
fn prepare(stream: &TcpStream, deadline: Duration) -> io::Result<OwnedFd> {
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
