//! Streams at the operator's socket: after a good answer to [`Request::Streams`](super::Request::Streams) the connection
//! speaks the protocol of docs/streams.md and nothing else.

use std::sync::Arc;

use rdpmux_model::DesktopName;
use rdpmux_server::Streams;
use rdpmux_server::streams::{Visitor, visit};
use rdpmux_streams::{Kind, Rights, Text};
use tokio::net::UnixStream;

use super::Office;
use super::act::nowhere;
use super::request::{Problem, ProblemKind};
use crate::registry::Board;

/// The machine's streams, if it is there and `user` may know of any. Without a user the operator asks, who may all.
pub(super) fn admit(desktop: &str, user: Option<&str>, office: &Office) -> Result<(Streams, Visitor), Problem> {
    let name = DesktopName::new(desktop).ok();
    if let Some(user) = user {
        let rights = |name| rights(&office.board, user, name, Kind::Serial);
        if !name.as_ref().is_some_and(|name| rights(name).has(Rights::WATCH)) {
            let text = format!("{user:?} has no right to streams of {desktop:?}");
            return Err(Problem::new(ProblemKind::Denied, text));
        }
    }
    let found = name.and_then(|name| Some((office.board.streams(&name)?, name)));
    let (streams, name) = found.ok_or_else(|| nowhere(desktop, office))?;
    let board = Arc::clone(&office.board);
    let visitor = match user.map(str::to_owned) {
        Some(user) => Visitor {
            who: Text::cleaned(&user),
            rights: Box::new(move |kind| rights(&board, &user, &name, kind)),
        },
        None => Visitor {
            who: Text::cleaned("operator"),
            rights: Box::new(|_| Rights::ALL),
        },
    };
    Ok((streams, visitor))
}

fn rights(board: &Board, user: &str, desktop: &DesktopName, kind: Kind) -> Rights {
    board.stream_rights(user, desktop, kind)
}

/// Serves one client until it leaves.
pub(super) async fn carry(carrier: UnixStream, desktop: &str, user: Option<&str>, office: &Office) {
    // It was admitted a moment ago; if it would not be now, it goes without a word.
    if let Ok((streams, visitor)) = admit(desktop, user, office) {
        visit(carrier, streams, visitor).await;
    }
}
