//! How clients come to share a stream and part from it: the common streams of a desktop, joining one, and going on alone.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rdpmux_model::SessionId;
use rdpmux_rdp::{FramePipe, Joined};
use tokio::time::Instant;

use super::{Engine, Follow, Follower, Made, State, Stream};

/// The streams of one desktop that clients join, at most one for each kind of client.
#[derive(Default)]
pub(crate) struct CommonStreams(Mutex<Vec<std::sync::Weak<Stream>>>);

impl CommonStreams {
    /// The open one for clients of this kind; `own` becomes it if there is none.
    fn of_kind(&self, kind: FramePipe, own: &Arc<Stream>) -> Arc<Stream> {
        let mut streams = self.0.lock();
        streams.retain(|stream| stream.upgrade().is_some_and(|stream| stream.is_open()));
        let found = streams
            .iter()
            .filter_map(std::sync::Weak::upgrade)
            .find(|stream| stream.kind == kind);
        found.unwrap_or_else(|| {
            streams.push(Arc::downgrade(own));
            Arc::clone(own)
        })
    }
}

impl Follow {
    /// Whether nobody else follows this stream.
    pub(crate) fn is_alone(&self) -> bool {
        self.stream.state.lock().followers.len() == 1
    }

    /// Goes on with a stream of its own. `false` if it cannot now; true at once if it is alone already.
    pub(crate) fn leave(&mut self) -> bool {
        self.follow_the_move();
        if self.is_alone() {
            return true;
        }
        let forked = {
            let mut state = self.stream.state.lock();
            let count = state.count;
            let has_all = |follower: &Follower| follower.next == count && follower.moved.is_none();
            let may_fork = state.followers.get(&self.session).is_some_and(has_all);
            match (may_fork, &mut state.engine) {
                (true, Some(engine)) => engine.fork(),
                _ => None,
            }
        };
        let Some(engine) = forked else { return false };
        self.stream.leave(self.session);
        self.change_to(Stream::new(self.stream.kind, engine, self.session));
        true
    }

    /// Joins the desktop's common stream if both show the same, or offers this one as the common one. Returns what is to
    /// be sent to this client at once.
    pub(crate) fn join(&mut self, common: &CommonStreams, now: Instant) -> Option<Made> {
        self.framing?;
        if !self.before.is_empty() || self.alone_until.is_some_and(|until| now < until) {
            return None;
        }
        let stream = common.of_kind(self.stream.kind, &self.stream);
        if Arc::ptr_eq(&stream, &self.stream) {
            return None;
        }
        // From here on, so that no frame is missed that is made right after.
        let made = stream.made.subscribe();
        let parts = {
            let mut mine = self.stream.state.lock();
            // A common stream joins no other one, so no two sessions wait for each other here.
            let mut theirs = stream.state.lock();
            merge(&mut mine, &mut theirs, self.session)?
        };
        stream.made.send_modify(|_| {});
        (self.stream, self.made) = (stream, made);
        Some(Made::aside(parts))
    }
}

/// Lets the only follower of `mine` follow `theirs`, if both are idle and show the same.
fn merge(mine: &mut State, theirs: &mut State, session: SessionId) -> Option<Vec<Bytes>> {
    let up_to_date = |state: &State| state.followers.get(&session).is_some_and(|me| me.next == state.count);
    if mine.followers.len() != 1 || !up_to_date(mine) || theirs.failed.is_some() {
        return None;
    }
    let (Some(engine), Some(group)) = (&mut mine.engine, &mut theirs.engine) else {
        return None;
    };
    if !group.view.is_in_step(&mut engine.view) {
        return None;
    }
    let engine = mine.engine.take()?;
    let Engine { view, writer } = *engine;
    match group.writer.join(writer) {
        Ok(Joined { members, joiner }) => {
            group.view.absorb(&view);
            if !members.is_empty() {
                theirs.push(Made::aside(members));
            }
            let next = theirs.count;
            theirs.followers.insert(session, Follower { next, moved: None });
            Some(joiner)
        }
        Err(writer) => {
            mine.engine = Some(Box::new(Engine { view, writer }));
            None
        }
    }
}
