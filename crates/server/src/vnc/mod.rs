//! The RFB (VNC) door: the same house, accounts, desktops and limits as at RDP's, for viewers that speak RFB. One task per
//! viewer: log in, then drive the session.

mod carry;
mod devices;
mod drive;
mod end;
mod keyboard;
mod login;
mod picture;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rdpmux_model::SessionId;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::listen::{Context, Knock};
use crate::session::prepare;
use crate::sessions::SessionFacts;
use carry::Carriers;
use drive::Drive;
use end::End;
use login::{Arrival, LoginError};

/// What a door for VNC viewers does besides what all doors do.
#[derive(Debug, Clone, Copy, Default)]
pub struct VncSettings {
    /// The number of the pseudo-encoding by which a viewer asks for character devices as in 2009 (docs/rfb.md); `None`: it
    /// cannot. Negative, and no number that means something else.
    pub streams_2009: Option<i32>,
}

/// Serves one accepted connection to its end.
pub(crate) async fn run(
    id: SessionId,
    (stream, peer): (TcpStream, SocketAddr),
    context: Arc<Context>,
    settings: VncSettings,
    knock: Knock,
) {
    if let Err(error) = prepare(&stream, context.config.limits.write) {
        return debug!(session = %id, %peer, %error, "socket options");
    }
    let Some(arrival) = arrive(id, stream, peer, &context).await else {
        return;
    };
    drop(knock);
    let Arrival {
        link,
        user,
        grant,
        size,
        place: _place,
    } = arrival;
    let desktop = grant.desktop.name().clone();
    info!(session = %id, %peer, %user, %desktop, control = grant.rights.control, client = CLIENT, "session started");
    let presence = context.config.sessions.enter(SessionFacts {
        id,
        user,
        desktop: desktop.clone(),
        peer,
        client: CLIENT.to_owned(),
        rights: grant.rights,
        speaks: false,
        age: Duration::ZERO,
    });
    let Ok(seat) = grant.desktop.join(id, grant.rights, None).await else {
        return debug!(session = %id, "the desktop was removed meanwhile");
    };
    let carriers = Carriers {
        offer: grant.streams,
        settings,
    };
    let drive = Drive::new(link, (seat, size), carriers, presence.notice(), &context);
    let end = drive.run().await;
    match end {
        End::Lost | End::Idle | End::Stop | End::Told => info!(session = %id, %desktop, %end, "session ended"),
        _ => warn!(session = %id, %desktop, %end, "session ended"),
    }
}

async fn arrive(id: SessionId, stream: TcpStream, peer: SocketAddr, context: &Context) -> Option<Arrival> {
    let mut stop = context.stop.clone();
    let login = timeout(context.config.limits.handshake, login::login(Box::new(stream), context));
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

/// What viewers say of themselves: RFB has no words for it.
const CLIENT: &str = "VNC viewer";
