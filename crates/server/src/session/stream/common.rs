//! How clients come to share a stream and part from it: the common streams of a desktop, joining one, and going on alone.

use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_engine::SurfaceReader;
use rdpmux_model::SessionId;
use rdpmux_rdp::{FrameNumbers, FramePipe, Joined};
use tokio::time::Instant;

use super::{Engine, Follow, Follower, Made, Moved, State, Stream};

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
            let me = state.followers.get(&self.session);
            let may_fork = me.is_some_and(|me| me.has_all(count));
            match (may_fork, &mut state.engine) {
                (true, Some(engine)) => engine.fork(),
                _ => None,
            }
        };
        let Some(engine) = forked else { return false };
        self.stream.leave(self.session);
        self.change_to(Stream::new(self.stream.kind, Box::new(engine), self.session));
        true
    }

    /// Goes on with another surface: the client is shown all of it. `false` if it cannot now; what it waits for is told as a
    /// frame is.
    pub(crate) fn move_to(&mut self, surface: &SurfaceReader, numbers: FrameNumbers) -> bool {
        if !self.leave() || !self.before.is_empty() {
            return false;
        }
        let engine = {
            let mut state = self.stream.state.lock();
            let count = state.count;
            let is_ready = state.followers.get(&self.session).is_some_and(|me| me.has_all(count));
            state.engine.take_if(|_| is_ready)
        };
        let Some(engine) = engine else { return false };
        let mut writer = engine.writer;
        let parts = writer.move_to(numbers);
        let moved = Self::alone(self.session, writer, surface);
        if !parts.is_empty()
            && let Some(me) = moved.stream.state.lock().followers.get_mut(&self.session)
        {
            me.first = Some(Arc::new(Made::aside(parts)));
        }
        *self = moved;
        true
    }

    /// Joins the desktop's common stream if both show the same but for what moves, or offers this one as the common one.
    /// Whether it joins: what the client needs for it comes as the next frame.
    pub(crate) fn join(&mut self, common: &CommonStreams, now: Instant) -> bool {
        if self.framing.is_none() || !self.before.is_empty() || self.alone_until.is_some_and(|until| now < until) {
            return false;
        }
        let stream = common.of_kind(self.stream.kind, &self.stream);
        if Arc::ptr_eq(&stream, &self.stream) {
            return false;
        }
        // From here on, so that no frame is missed that is made right after.
        let made = stream.made.subscribe();
        let joins = {
            let mut mine = self.stream.state.lock();
            // A common stream joins no other one, so no two sessions wait for each other here.
            let mut theirs = stream.state.lock();
            merge(&mut mine, &mut theirs, self.session)
        };
        if joins {
            stream.made.send_modify(|_| {});
            (self.stream, self.made) = (stream, made);
        }
        joins
    }
}

/// Lets the only follower of `mine` follow `theirs`, if it has all frames so far.
fn merge(mine: &mut State, theirs: &mut State, session: SessionId) -> bool {
    let is_ready = mine.followers.len() == 1 && mine.followers.get(&session).is_some_and(|me| me.has_all(mine.count));
    let Some(engine) = mine.engine.take_if(|_| is_ready) else {
        return false;
    };
    match theirs.admit(session, engine) {
        Ok(()) => true,
        Err(engine) => {
            mine.engine = Some(engine);
            false
        }
    }
}

impl State {
    /// A new follower, whose frames `engine` made so far: it comes in now, or as soon as the pool gives our engine back. An
    /// error if it cannot.
    fn admit(&mut self, session: SessionId, engine: Box<Engine>) -> Result<(), Box<Engine>> {
        if self.failed.is_some() {
            return Err(engine);
        }
        let Some(group) = &mut self.engine else {
            self.followers.insert(session, Follower::at(self.count));
            self.joining.push((session, engine));
            return Ok(());
        };
        let Joined { members, joiner } = group.absorb(engine)?;
        if !members.is_empty() {
            self.push(Made::aside(members));
        }
        let first = Some(Arc::new(Made::aside(joiner)));
        let follower = Follower {
            first,
            ..Follower::at(self.count)
        };
        self.followers.insert(session, follower);
        Ok(())
    }

    pub(super) fn is_joining(&self, session: SessionId) -> bool {
        self.joining.iter().any(|(joiner, _)| *joiner == session)
    }

    /// The engine is back: those who waited for it come in. Whoever cannot goes on alone.
    pub(super) fn let_in(&mut self, kind: FramePipe) {
        for (session, engine) in std::mem::take(&mut self.joining) {
            if let Err(engine) = self.admit(session, engine) {
                let moved = Moved {
                    rest: Vec::new(),
                    stream: Stream::new(kind, engine, session),
                    is_slow: false,
                };
                let follower = Follower {
                    moved: Some(moved),
                    ..Follower::at(self.count)
                };
                self.followers.insert(session, follower);
            }
        }
    }
}

impl Engine {
    /// Makes the frames of `joiner`'s client from now on, too. Gives it back if the two do not fit.
    fn absorb(&mut self, mut joiner: Box<Self>) -> Result<Joined, Box<Self>> {
        if !self.view.can_absorb(&mut joiner.view) {
            return Err(joiner);
        }
        let Self { view, writer } = *joiner;
        match self.writer.join(writer) {
            Ok(joined) => {
                self.view.absorb(&view);
                Ok(joined)
            }
            Err(writer) => Err(Box::new(Self { view, writer })),
        }
    }
}
