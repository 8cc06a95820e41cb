//! From RFB's first byte to a proven user at a desktop. The user is proven as in an RDP login inside TLS; the desktop is
//! chosen by the user name, `alice#web1` or `web1\alice`, else by the TLS server name, else it is the default.

use std::io;

use bytes::Buf;
use rdpmux_model::Size;
use rdpmux_rfb::{Front, FrontError, Step, server_init};

use crate::access::Denied;
use crate::listen::{Context, Place};
use crate::login::{prove, upgrade};
use crate::route::{self, Grant, Hints};
use crate::session::link::{Link, Stream};
use crate::session::say_goodbye;

/// A viewer that was sent ServerInit.
pub(super) struct Arrival {
    pub(super) link: Link<Stream>,
    pub(super) user: String,
    pub(super) grant: Grant,
    /// The size that it was told.
    pub(super) size: Size,
    pub(super) place: Place,
}

/// Why a connection ended before that.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Front(#[from] FrontError),
    #[error("wrong user name or password, user {0:?}")]
    WrongPassword(String),
    #[error("{why}, user {user:?}")]
    Denied { user: String, why: Denied },
    #[error("too many sessions, user {0:?}")]
    Full(String),
    #[error("a message came out of order")]
    OutOfOrder,
}

/// Takes a connection through the handshake.
pub(super) async fn login(stream: Stream, context: &Context) -> Result<Arrival, LoginError> {
    let config = context.config.as_ref();
    let mut out = Vec::new();
    let mut front = Front::new(&mut out);
    let mut link = Link::new(stream);
    link.send(&mut out).await?;
    let Step::StartTls = advance(&mut front, &mut link).await? else {
        return Err(LoginError::OutOfOrder);
    };
    let mut hints = Hints::default();
    let mut link = upgrade(link, &mut hints, config.tls.vnc_acceptor()).await?;
    front.tls_done();
    let Step::Judge(typed) = advance(&mut front, &mut link).await? else {
        return Err(LoginError::OutOfOrder);
    };
    let Some(login) = prove(&typed.user, None, &typed.password, config).await else {
        let why = LoginError::WrongPassword(typed.user);
        return Err(refuse(front, link, "wrong user name or password", why).await);
    };
    let user = login.user.clone();
    let grant = match route::choose(&hints, &login, &config.routing, config.directory.as_ref()) {
        Ok(grant) => grant,
        Err(why) => {
            let said = match why {
                Denied::NotYours { .. } => "there is no such desktop for you",
                Denied::NoneNamed => "name a desktop: log in as user#desktop",
            };
            return Err(refuse(front, link, said, LoginError::Denied { user, why }).await);
        }
    };
    let Some(place) = context.place_of_new().await else {
        return Err(refuse(front, link, "too many sessions", LoginError::Full(user)).await);
    };
    front.accept(&mut out);
    link.send(&mut out).await?;
    let Step::Established = advance(&mut front, &mut link).await? else {
        return Err(LoginError::OutOfOrder);
    };
    let size = grant.desktop.surface().size();
    server_init(size, grant.desktop.name().as_str(), &mut out);
    link.send(&mut out).await?;
    Ok(Arrival {
        link,
        user,
        grant,
        size,
        place,
    })
}

/// Feeds the handshake until it wants something other than bytes. What it says is sent before its step is returned.
async fn advance(front: &mut Front, link: &mut Link<Stream>) -> Result<Step, LoginError> {
    let mut out = Vec::new();
    loop {
        let fed = front.feed(&link.buffer, &mut out);
        link.send(&mut out).await?;
        let (used, step) = fed?;
        link.buffer.advance(used);
        match step {
            Step::NeedInput => link.fill().await?,
            step => return Ok(step),
        }
    }
}

/// Tells a viewer why it gets nothing.
async fn refuse(mut front: Front, mut link: Link<Stream>, reason: &str, why: LoginError) -> LoginError {
    let mut out = Vec::new();
    front.refuse(reason, &mut out);
    say_goodbye(&mut link, &mut out)
        .await
        .map_or_else(LoginError::Io, |()| why)
}
