//! One sequence of frames, made once, for one client or for several that are in step.
//!
//! ```text
//!   frames made:   … 41  42  43 │ next: made by whoever is ready first
//!   followers:          b   a,c
//! ```
//! A follower takes the frames one after the other at its own pace. One that is [`MOST_BEHIND`] frames late when the next
//! is made goes on alone: it is sent what it misses, and from there on the latest picture only. A client that shows the
//! same picture as a stream of its desktop, or one that differs only where it moves, and keeps up, joins it.
//!
//! The lock is held for moving things and for copies of pending tiles, never while encoding; of two streams that of the
//! joiner is locked first, and only that of a lone follower can join.

mod common;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rdpmux_engine::{ClientView, FrameJob, Profile, SurfaceReader};
use rdpmux_model::{Client, FrameId, Rect, SessionId, Size};
use rdpmux_rdp::{CacheOffer, FrameError, FramePipe, FrameWriter, Monitor, SessionFraming};
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use common::CommonStreams;

use crate::session::encode_pool::EncodePool;

/// A stream of frames.
pub(crate) struct Stream {
    kind: FramePipe,
    born: Instant,
    state: Mutex<State>,
    made: watch::Sender<u64>,
}

struct State {
    /// `None` while the pool has it.
    engine: Option<Box<Engine>>,
    /// The encoder failed; the stream is over.
    failed: Option<String>,
    /// How many frames were made; `log` holds the last of them.
    count: u64,
    log: VecDeque<Arc<Made>>,
    followers: HashMap<SessionId, Follower>,
    /// Followers that come in when the pool gives the engine back, with what made their frames so far.
    joining: Vec<(SessionId, Box<Engine>)>,
    /// Rectangles that clients asked for while the pool had the engine.
    refresh: Vec<Rect<Client>>,
    rest_due: Instant,
}

/// What makes frames.
struct Engine {
    view: ClientView,
    writer: FrameWriter,
}

struct Follower {
    /// The number of the frame that it takes next.
    next: u64,
    /// What brings its client to this stream, first of all.
    first: Option<Arc<Made>>,
    /// It goes on with another stream.
    moved: Option<Moved>,
}

struct Moved {
    /// Frames of the old stream that it misses.
    rest: Vec<Arc<Made>>,
    stream: Arc<Stream>,
    /// It was too late. Otherwise it could not join.
    is_slow: bool,
}

impl Follower {
    /// One that has all up to there.
    fn at(next: u64) -> Self {
        Self {
            next,
            first: None,
            moved: None,
        }
    }

    /// Whether it took all of `count` frames and stays.
    fn has_all(&self, count: u64) -> bool {
        self.next == count && self.first.is_none() && self.moved.is_none()
    }
}

/// A frame.
pub(crate) struct Made {
    /// What the client acknowledges; `None` for what is not a frame but belongs into the stream.
    pub(crate) id: Option<FrameId>,
    /// Bytes of the pixels that were coded; `None` for what is no change, such as a refinement.
    pub(crate) raw: Option<usize>,
    /// It shows all that had changed when it was made.
    pub(crate) is_whole: bool,
    /// The desktop's size that the client has with it; `None` for what is not a frame.
    pub(crate) size: Option<Size>,
    payload: Payload,
}

impl Made {
    /// What belongs between the frames.
    fn aside(parts: Vec<Bytes>) -> Self {
        Self {
            id: None,
            raw: None,
            is_whole: false,
            size: None,
            payload: Payload::Shared(parts),
        }
    }
}

enum Payload {
    /// For every follower, each of which puts its own framing around.
    Shared(Vec<Bytes>),
    /// Complete, for the only follower.
    Own(Bytes),
}

/// What there is for a follower.
pub(crate) enum Next {
    Frame(Arc<Made>),
    /// A frame is being made.
    Wait,
    /// The client shows everything.
    Nothing,
    /// The client must be told of a new size by other means first.
    Resize(Size),
    Failed(String),
}

/// How a frame is asked for.
pub(crate) struct Ask<'a> {
    pub(crate) surface: &'a SurfaceReader,
    /// The desktop's monitors, if it has several.
    pub(crate) monitors: &'a [Monitor],
    pub(crate) profile: Profile,
    /// The link has nothing to do, so it may carry what nobody waits for.
    pub(crate) may_refine: bool,
    /// The size that a client without EGFX was told.
    pub(crate) told: Option<Size>,
    pub(crate) pool: &'a EncodePool,
}

/// So many frames late, a follower goes on alone.
const MOST_BEHIND: u64 = 4;
/// A follower that was too slow does not join again for so long, and twice as long each time.
const ALONE: Duration = Duration::from_secs(2);
const MOST_DOUBLINGS: u32 = 6;
/// One that could not join tries again after so long.
const LATER: Duration = Duration::from_millis(500);
/// How often a view looks which tiles rest; such tiles are refined.
const REST: Duration = Duration::from_millis(150);
/// Bytes of a whole tile in a client's bitmap cache.
const TILE_BYTES: u32 = 64 * 64 * 4;

impl Stream {
    fn new(kind: FramePipe, engine: Box<Engine>, session: SessionId) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            engine: Some(engine),
            failed: None,
            count: 0,
            log: VecDeque::new(),
            followers: HashMap::from([(session, Follower::at(0))]),
            joining: Vec::new(),
            refresh: Vec::new(),
            rest_due: now + REST,
        };
        Arc::new(Self {
            kind,
            born: now,
            state: Mutex::new(state),
            made: watch::Sender::new(0),
        })
    }

    fn leave(&self, session: SessionId) {
        let mut state = self.state.lock();
        state.followers.remove(&session);
        state.joining.retain(|(joiner, _)| *joiner != session);
        state.trim();
    }

    /// Whether others may join: somebody follows it, and its engine works.
    fn is_open(&self) -> bool {
        let state = self.state.lock();
        !state.followers.is_empty() && state.failed.is_none()
    }

    /// Encodes in the pool and adds the frame. Ends by itself; followers are told through `made`.
    fn make(self: &Arc<Self>, mut engine: Box<Engine>, job: FrameJob, pool: &EncodePool) {
        let (stream, pool) = (Arc::clone(self), pool.clone());
        let timestamp = self.born.elapsed().as_millis() as u32;
        tokio::spawn(async move {
            let encode = move || {
                let made = engine.write(job, timestamp);
                (engine, made)
            };
            let (engine, made) = match pool.run(encode).await {
                Ok((engine, made)) => (Some(engine), made.map_err(|error| error.to_string())),
                Err(panic) => (None, Err(panic.to_string())),
            };
            stream.add(engine, made);
        });
    }

    fn add(&self, engine: Option<Box<Engine>>, made: Result<Made, String>) {
        let count = {
            let mut state = self.state.lock();
            state.engine = engine;
            match made {
                Ok(made) => state.push(made),
                Err(error) => state.failed = Some(error),
            }
            state.let_in(self.kind);
            state.count
        };
        self.made.send_replace(count);
    }
}

impl State {
    fn push(&mut self, made: Made) {
        self.log.push_back(Arc::new(made));
        self.count += 1;
        self.trim();
    }

    /// Forgets frames that all followers have.
    fn trim(&mut self) {
        let staying = self.followers.values().filter(|follower| follower.moved.is_none());
        let slowest = staying.map(|follower| follower.next).min();
        let kept = self.count - slowest.unwrap_or(self.count);
        while self.log.len() as u64 > kept {
            self.log.pop_front();
        }
    }

    /// The frames that a follower has not taken.
    fn missing(&self, next: u64) -> impl Iterator<Item = &Arc<Made>> {
        let late = (self.count - next) as usize;
        self.log.iter().skip(self.log.len() - late)
    }

    /// Sends those on alone who are too late. Their own streams begin where they are after what they miss.
    fn part_with_the_slow(&mut self, kind: FramePipe) {
        let is_late = |follower: &Follower| self.count - follower.next >= MOST_BEHIND && follower.moved.is_none();
        let late: Vec<SessionId> = self
            .followers
            .iter()
            .filter(|(_, follower)| is_late(follower))
            .map(|(session, _)| *session)
            .collect();
        if self.followers.len() < 2 {
            return;
        }
        for session in late {
            let Some(engine) = self.engine.as_mut().and_then(|engine| engine.fork()) else {
                return;
            };
            tracing::debug!(%session, "too slow for the shared frames");
            let stream = Stream::new(kind, Box::new(engine), session);
            let Some(next) = self.followers.get(&session).map(|follower| follower.next) else {
                continue;
            };
            let missing: Vec<_> = self.missing(next).cloned().collect();
            if let Some(follower) = self.followers.get_mut(&session) {
                let rest = follower.first.take().into_iter().chain(missing).collect();
                follower.next = self.count;
                follower.moved = Some(Moved {
                    rest,
                    stream,
                    is_slow: true,
                });
            }
        }
        self.trim();
    }
}

impl Engine {
    fn write(&mut self, job: FrameJob, timestamp: u32) -> Result<Made, FrameError> {
        let (is_change, size) = (!job.is_refinement(), Some(job.size()));
        let frame = job.encode();
        let raw = is_change.then(|| frame.raw_bytes());
        let is_whole = self.view.is_whole();
        let (id, payload) = if self.writer.framing().is_some() {
            let frame = self.writer.compress(&[(0, &frame)], timestamp)?;
            (frame.id, Payload::Shared(frame.parts))
        } else {
            let mut out = Vec::new();
            let id = self.writer.write(&frame, timestamp, &mut out)?;
            (id, Payload::Own(out.into()))
        };
        Ok(Made {
            id: Some(id),
            raw,
            is_whole,
            size,
            payload,
        })
    }

    /// `None` in pipes that cannot, and while a job is under way.
    fn fork(&mut self) -> Option<Self> {
        let writer = self.writer.fork()?;
        let view = self.view.fork()?;
        Some(Self { view, writer })
    }
}

/// A session's place in a stream. Dropping it leaves the stream.
pub(crate) struct Follow {
    session: SessionId,
    stream: Arc<Stream>,
    made: watch::Receiver<u64>,
    framing: Option<SessionFraming>,
    /// Frames of a stream that was left, which come first.
    before: VecDeque<Arc<Made>>,
    /// How often it was too slow for a common stream, and until when it does not try one again.
    partings: u32,
    alone_until: Option<Instant>,
}

impl Follow {
    /// A stream of its own for a client that shows nothing yet.
    pub(crate) fn alone(session: SessionId, writer: FrameWriter, surface: &SurfaceReader) -> Self {
        let (kind, framing) = (writer.kind(), writer.framing());
        let mut view = ClientView::with_cache(cache_tiles(kind));
        view.tick_rest(surface);
        Self::of(
            session,
            framing,
            Stream::new(kind, Box::new(Engine { view, writer }), session),
        )
    }

    fn of(session: SessionId, framing: Option<SessionFraming>, stream: Arc<Stream>) -> Self {
        Self {
            session,
            made: stream.made.subscribe(),
            stream,
            framing,
            before: VecDeque::new(),
            partings: 0,
            alone_until: None,
        }
    }

    fn change_to(&mut self, stream: Arc<Stream>) {
        self.made = stream.made.subscribe();
        self.stream = stream;
    }

    pub(crate) fn kind(&self) -> FramePipe {
        self.stream.kind
    }

    /// Resolves when a frame was made. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        // The sender lives in the stream that is held here.
        let _ = self.made.changed().await;
    }

    /// Appends a frame's bytes, complete for this client.
    pub(crate) fn frame(&self, made: &Made, out: &mut Vec<u8>) {
        match (&made.payload, &self.framing) {
            (Payload::Shared(parts), Some(framing)) => framing.frame(parts, out),
            (Payload::Own(bytes), _) => out.extend_from_slice(bytes),
            (Payload::Shared(_), None) => {}
        }
    }

    /// The next frame; starts making it if nobody has.
    pub(crate) fn next(&mut self, ask: &Ask<'_>) -> Next {
        self.follow_the_move();
        if let Some(made) = self.before.pop_front() {
            return Next::Frame(made);
        }
        let mut state = self.stream.state.lock();
        if let Some(error) = &state.failed {
            return Next::Failed(error.clone());
        }
        if state.is_joining(self.session) {
            return Next::Wait;
        }
        let Some(follower) = state.followers.get_mut(&self.session) else {
            return Next::Nothing;
        };
        let next = follower.next;
        if let Some(made) = follower.first.take() {
            return Next::Frame(made);
        }
        if follower.moved.is_some() {
            // Parted since the look above: what it misses is not in the log any more.
            drop(state);
            return self.next(ask);
        }
        let made = state.missing(next).next().cloned();
        if let Some(made) = made {
            if let Some(follower) = state.followers.get_mut(&self.session) {
                follower.next += 1;
            }
            state.trim();
            return Next::Frame(made);
        }
        self.start(&mut state, ask)
    }

    /// Starts the next frame if there is something to show.
    fn start(&self, state: &mut State, ask: &Ask<'_>) -> Next {
        let Some(engine) = &mut state.engine else {
            return Next::Wait;
        };
        let size = ask.surface.size();
        if ask.told.is_some_and(|told| told != size) {
            return Next::Resize(size);
        }
        // While heads change their places, their monitors and the size may not belong together: then nothing is told.
        if Monitor::make_up(ask.monitors, size) && engine.writer.tell_monitors(ask.monitors) {
            engine.view.invalidate_rect(size.rect());
        }
        for rect in state.refresh.drain(..) {
            engine.view.invalidate_rect(rect);
        }
        let is_current = engine.view.is_current(ask.surface);
        if is_current && !(ask.may_refine && engine.view.needs_refinement()) {
            return Next::Nothing;
        }
        state.part_with_the_slow(self.stream.kind);
        let Some(mut engine) = state.engine.take() else {
            return Next::Wait;
        };
        let mut job = engine.view.take_job(ask.surface, &ask.profile);
        if job.is_none() && ask.may_refine {
            job = engine.view.take_refinement(ask.surface, &ask.profile);
        }
        match job {
            // The guest changed its size in between: the job is dropped, and the view starts from nothing.
            Some(job) if ask.told.is_some_and(|told| told != job.size()) => {
                let size = job.size();
                state.engine = Some(engine);
                Next::Resize(size)
            }
            Some(job) => {
                self.stream.make(engine, job, ask.pool);
                Next::Wait
            }
            None => {
                state.engine = Some(engine);
                Next::Nothing
            }
        }
    }

    fn follow_the_move(&mut self) {
        let moved = {
            let mut state = self.stream.state.lock();
            let moved = state
                .followers
                .get_mut(&self.session)
                .and_then(|follower| follower.moved.take());
            if moved.is_some() {
                state.followers.remove(&self.session);
            }
            moved
        };
        if let Some(Moved { rest, stream, is_slow }) = moved {
            self.before.extend(rest);
            self.change_to(stream);
            let pause = if is_slow {
                ALONE * 2_u32.pow(self.partings.min(MOST_DOUBLINGS))
            } else {
                LATER
            };
            self.alone_until = Some(Instant::now() + pause);
            self.partings += u32::from(is_slow);
        }
    }

    /// The client asks for rectangles again.
    pub(crate) fn refresh(&self, rects: impl IntoIterator<Item = Rect<Client>>) {
        let mut state = self.stream.state.lock();
        // As many as one message may name; all beyond are one that holds everything.
        state.refresh.extend(rects);
        if state.refresh.len() > MOST_RECTS {
            let all = state.refresh.drain(..).fold(Rect::new(0, 0, 0, 0), Rect::union);
            state.refresh.push(all);
        }
    }

    /// Takes over what the client kept from an earlier session. `false` if that must wait until it is alone.
    pub(crate) fn import_cache(&self, entries: &[CacheOffer], surface: &SurfaceReader) -> Result<bool, FrameError> {
        let mut state = self.stream.state.lock();
        let Some(engine) = state.engine.as_mut() else {
            return Ok(false);
        };
        let keys = entries
            .iter()
            .map(|entry| (entry.bytes == TILE_BYTES).then_some(entry.key));
        let slots = engine.view.import_cache(surface, keys);
        engine.writer.accept_cache(slots).map(|()| true)
    }

    /// When the view is to look again which tiles rest, if it matters.
    pub(crate) fn rest_due(&self) -> Option<Instant> {
        let mut state = self.stream.state.lock();
        let due = state.rest_due;
        let engine = state.engine.as_mut()?;
        engine.view.needs_refinement().then_some(due)
    }

    /// Looks which tiles rest, if it is time.
    pub(crate) fn tick(&self, now: Instant, surface: &SurfaceReader) {
        let mut state = self.stream.state.lock();
        if state.rest_due > now {
            return;
        }
        if let Some(engine) = &mut state.engine {
            engine.view.tick_rest(surface);
            state.rest_due = now + REST;
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.stream.leave(self.session);
    }
}

/// Rectangles that wait to be refreshed.
const MOST_RECTS: usize = 64;

/// Whole tiles that the client's bitmap cache has room for.
fn cache_tiles(pipe: FramePipe) -> u16 {
    match pipe {
        FramePipe::Egfx {
            cache_slots,
            cache_bytes,
            ..
        } => cache_slots.min((cache_bytes / TILE_BYTES).try_into().unwrap_or(u16::MAX)),
        FramePipe::SurfaceCommands { .. } | FramePipe::Bitmap { .. } => 0,
    }
}
