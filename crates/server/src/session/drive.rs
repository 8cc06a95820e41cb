//! Drives one session: bytes in, events to the desktop, frames out at the client's own pace.
//!
//! ```text
//!   no stream ──graphics ready──▶ follows a stream ──pacer ready──▶ takes its next frame ──▶ outbox
//!       ▲                              │
//!       └──────── legacy resize ───────┘
//! ```
//! Control and input never wait for any of it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rdpmux_engine::codec::nsc;
use rdpmux_engine::{Pacer, PacerConfig, Pipeline, Profile, Quality, Readiness, VideoForm, VideoProfile};
use rdpmux_model::{FrameId, Generation, HeadState, InputEvent, QueueDepth, SessionId, Size};
use rdpmux_rdp::{CacheOffer, CloseReason, FramePipe, FrameWriter, Session, SessionError, SessionEvent, SurfaceCodec};
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::desktop::{InputRefused, Seat};
use crate::fault;
use crate::listen::{Context, Stop};
use crate::login::Stream;
use crate::session::gauge::LinkGauge;
use crate::session::link::Link;
use crate::session::outbox::{Outbox, Overflow};
use crate::session::stream::{Ask, Follow, Made, Next};
use crate::session::{GOODBYE, linger};

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client left.
    Client,
    /// It has read its card.
    Farewell,
    /// The server stops.
    Stop,
    /// The desktop was removed.
    DesktopGone,
    /// The connection broke.
    Io(io::Error),
    /// The client took no bytes, or acknowledged no frame, for the whole deadline.
    Stalled(&'static str),
    /// The client broke the protocol.
    Peer(SessionError),
    /// The client made us answer without taking the answers, or typed what nobody took.
    Flood(&'static str),
    /// Our own fault: a frame could not be made.
    Bug(String),
}

/// Ends the session by itself.
pub(super) struct Farewell {
    pub(super) after: Duration,
    pub(super) reason: CloseReason,
}

/// One client's session.
pub(super) struct Drive {
    id: SessionId,
    rdp: Session,
    reader: ReadHalf<Stream>,
    inbound: BytesMut,
    outbox: Outbox,
    seat: Seat,
    frames: watch::Receiver<Generation>,
    state: watch::Receiver<HeadState>,
    shown: HeadState,
    pacer: Pacer,
    quality: Quality,
    gauge: LinkGauge,
    /// Where frames come from. `None`: graphics are not negotiated yet, or a legacy resize is under way.
    follow: Option<Follow>,
    /// Whether the client acknowledges frames on this pipe.
    acknowledges: bool,
    /// The size that a client without EGFX was told last.
    legacy_size: Size,
    unacknowledged: VecDeque<Unacknowledged>,
    suppressed: bool,
    /// When the last change was sent.
    changed_at: Instant,
    /// The client was hidden and may have lost what it showed.
    repaint: bool,
    /// What the client kept of earlier sessions and waits to hear about.
    cache_offer: Option<Vec<CacheOffer>>,
    /// Motion that found the desktop's queue full.
    held_motion: Option<InputEvent>,
    born: Instant,
    pipe_due: Instant,
    farewell: Option<(Instant, CloseReason)>,
    context: Arc<Context>,
    stop: Stop,
}

/// A frame on its way: where it ends in the outbox and since when the client has all of it.
struct Unacknowledged {
    id: FrameId,
    end: u64,
    delivered: Option<Instant>,
}

enum Wake {
    Stop,
    DesktopGone,
    Read(io::Result<usize>),
    Progress(Option<io::Result<()>>),
    Frame,
    State,
    Time,
}

impl Drive {
    pub(super) fn new(
        id: SessionId,
        rdp: Session,
        link: Link<Stream>,
        gauge: LinkGauge,
        seat: Seat,
        context: &Arc<Context>,
        farewell: Option<Farewell>,
    ) -> Self {
        let (reader, writer) = tokio::io::split(link.stream);
        let now = Instant::now();
        let limits = &context.config.limits;
        let desktop = seat.desktop().clone();
        Self {
            id,
            rdp,
            reader,
            inbound: link.buffer,
            outbox: Outbox::spawn(writer, limits.write),
            frames: desktop.frames(),
            state: desktop.state(),
            shown: HeadState::default(),
            pacer: Pacer::new(PacerConfig::default()),
            quality: Quality::default(),
            gauge,
            follow: None,
            acknowledges: true,
            legacy_size: desktop.surface().size(),
            unacknowledged: VecDeque::new(),
            suppressed: false,
            changed_at: now,
            repaint: false,
            cache_offer: None,
            held_motion: None,
            born: now,
            pipe_due: now + GRAPHICS,
            farewell: farewell.map(|f| (now + f.after, f.reason)),
            stop: context.stop.clone(),
            context: Arc::clone(context),
            seat,
        }
    }

    /// Runs the session to its end and tells the client why it ended.
    pub(super) async fn run(mut self) -> End {
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(reason) = end.told() {
            let mut out = Vec::new();
            self.rdp.error_info(reason, &mut out);
            let _ = self.outbox.push(Bytes::from(out));
        }
        if end.may_finish() {
            self.outbox.finish(GOODBYE).await;
            let _ = timeout(GOODBYE, linger(&mut self.reader)).await;
        }
        end
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let mut out = Vec::new();
        let mut events = Vec::new();
        self.rdp.share_numbers(self.seat.desktop().numbers());
        self.rdp.start(&mut events, &mut out);
        self.push(out)?;
        events.into_iter().try_for_each(|event| self.on_event(event))?;
        self.show_state()?;
        // Bytes that came with the last bytes of the login.
        self.digest()?;
        loop {
            fault::hold();
            self.pump()?;
            let wake = self.next().await;
            self.handle(wake)?;
        }
    }

    /// Waits for the next thing to do. Every arm is cancel-safe.
    async fn next(&mut self) -> Wake {
        let due = self.due();
        let Self {
            stop,
            seat,
            reader,
            inbound,
            outbox,
            follow,
            frames,
            state,
            ..
        } = self;
        tokio::select! {
            biased;
            () = stop.stopped() => Wake::Stop,
            () = seat.ended() => Wake::DesktopGone,
            read = reader.read_buf(inbound) => Wake::Read(read),
            progress = outbox.progress() => Wake::Progress(progress),
            () = made(follow) => Wake::Frame,
            changed = frames.changed() => if changed.is_ok() { Wake::Frame } else { Wake::DesktopGone },
            changed = state.changed() => if changed.is_ok() { Wake::State } else { Wake::DesktopGone },
            () = tokio::time::sleep_until(due) => Wake::Time,
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), End> {
        match wake {
            Wake::Stop => Err(End::Stop),
            Wake::DesktopGone => Err(End::DesktopGone),
            Wake::Read(Ok(0)) => Err(End::Client),
            Wake::Read(Err(error)) if is_goodbye(&error) => Err(End::Client),
            Wake::Read(Err(error)) => Err(End::Io(error)),
            Wake::Read(Ok(_)) => self.digest(),
            Wake::Progress(None) => {
                self.on_progress();
                Ok(())
            }
            Wake::Progress(Some(Err(error))) if error.kind() == io::ErrorKind::TimedOut => {
                Err(End::Stalled("took no bytes"))
            }
            Wake::Progress(Some(Err(error))) => Err(End::Io(error)),
            Wake::Progress(Some(Ok(()))) => Err(End::Client),
            Wake::Frame => Ok(()),
            Wake::State => self.show_state(),
            Wake::Time => self.on_time(),
        }
    }

    /// Feeds all complete PDUs to the protocol.
    fn digest(&mut self) -> Result<(), End> {
        let mut events = Vec::new();
        let mut out = Vec::new();
        loop {
            let fed = self.rdp.feed(&self.inbound, &mut events, &mut out);
            self.push(std::mem::take(&mut out))?;
            let consumed = fed.map_err(End::Peer)?;
            self.inbound.advance(consumed);
            for event in events.drain(..) {
                self.on_event(event)?;
            }
            if consumed == 0 {
                return Ok(());
            }
        }
    }

    fn on_event(&mut self, event: SessionEvent) -> Result<(), End> {
        match event {
            SessionEvent::GraphicsReady(writer) | SessionEvent::Reactivated(writer) => self.on_pipe(writer),
            SessionEvent::FrameAck { id, queue_depth } => self.on_ack(id, queue_depth),
            SessionEvent::CacheOffer(entries) => self.cache_offer = Some(entries),
            SessionEvent::Input(event) => return self.on_input(event),
            SessionEvent::Suppress(suppressed) => {
                self.suppressed = suppressed;
                self.repaint |= !suppressed;
            }
            SessionEvent::Refresh(rects) => {
                if let Some(follow) = &self.follow {
                    follow.refresh(rects);
                }
            }
            SessionEvent::RoundTrip { sequence } => {
                self.gauge.on_round_trip(Instant::now(), sequence, &mut self.pacer);
            }
            SessionEvent::Bandwidth { elapsed_ms, bytes, .. } => {
                LinkGauge::on_bandwidth(Instant::now(), bytes, elapsed_ms, &mut self.pacer);
            }
            SessionEvent::Shutdown => return Err(End::Client),
        }
        Ok(())
    }

    fn on_pipe(&mut self, writer: FrameWriter) {
        debug!(session = %self.id, pipe = ?writer.kind(), "graphics ready");
        self.acknowledges = writer.acknowledges();
        let max_frames = self.context.config.limits.frames_in_flight;
        let config = PacerConfig {
            acknowledges: self.acknowledges,
            max_frames,
            ..PacerConfig::default()
        };
        self.pacer = Pacer::new(config);
        self.unacknowledged.clear();
        self.follow = Some(Follow::alone(self.id, writer, self.seat.desktop().surface()));
    }

    fn on_input(&mut self, event: InputEvent) -> Result<(), End> {
        if let Some(motion) = self.held_motion.take()
            && !is_motion(event)
        {
            // Motion before an edge places the click: it goes first if there is room.
            let _ = self.seat.input(motion);
        }
        match self.seat.input(event) {
            Ok(()) => Ok(()),
            Err(InputRefused::Full) if is_motion(event) => {
                self.held_motion = Some(event);
                Ok(())
            }
            Err(InputRefused::Full) => Err(End::Flood("typed more than the guest takes")),
            Err(InputRefused::Gone) => Err(End::DesktopGone),
        }
    }

    fn on_ack(&mut self, id: FrameId, queue_depth: QueueDepth) {
        if let Some(index) = self.unacknowledged.iter().position(|frame| frame.id == id) {
            self.unacknowledged.drain(..=index);
        }
        if queue_depth == QueueDepth::Suspended {
            self.unacknowledged.clear();
        }
        self.pacer.on_ack(Instant::now().into_std(), id, queue_depth);
    }

    fn on_progress(&mut self) {
        let (now, written) = (Instant::now(), self.outbox.written());
        for frame in self.unacknowledged.iter_mut().filter(|frame| frame.end <= written) {
            frame.delivered.get_or_insert(now);
        }
    }

    /// Hands a frame to the outbox.
    fn send(&mut self, made: &Made) -> Result<(), End> {
        let mut out = Vec::new();
        if let Some(follow) = &self.follow {
            follow.frame(made, &mut out);
        }
        let Some(id) = made.id else { return self.push(out) };
        let now = Instant::now();
        self.gauge.tell(now, self.acknowledges, &mut self.pacer);
        self.pacer.on_sent(now.into_std(), id, out.len());
        let rate = self.pacer.link_rate();
        if let Some(raw) = made.raw {
            self.changed_at = now;
            self.quality.note(now.into_std(), raw, out.len(), rate);
        }
        for bytes in self.gauge.around(now, out, &mut self.rdp) {
            self.outbox.push(bytes)?;
        }
        if self.acknowledges {
            self.unacknowledged.push_back(Unacknowledged {
                id,
                end: self.outbox.queued(),
                delivered: None,
            });
        }
        Ok(())
    }

    fn on_time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if let Some((_, reason)) = self.farewell.take_if(|(due, _)| *due <= now) {
            let mut out = Vec::new();
            self.rdp.error_info(reason, &mut out);
            self.push(out)?;
            return Err(End::Farewell);
        }
        if self.follow.is_none() && self.pipe_due <= now {
            if self.pipe_due > self.born + GRAPHICS {
                return Err(End::Stalled("did not finish a reactivation"));
            }
            self.pipe_due = now + self.context.config.limits.write;
            let mut events = Vec::new();
            self.rdp.graphics_timeout(&mut events);
            events.into_iter().try_for_each(|event| self.on_event(event))?;
        }
        if self.ack_due().is_some_and(|due| due <= now) {
            return Err(End::Stalled("acknowledged no frame"));
        }
        if let Some(follow) = &self.follow {
            follow.tick(now, self.seat.desktop().surface());
        }
        if let Some(motion) = self.held_motion.take() {
            self.on_input(motion)?;
        }
        Ok(())
    }

    /// Sends what the client lacks, as far as it can take it now.
    fn pump(&mut self) -> Result<(), End> {
        let backlog = usize::try_from(self.outbox.backlog()).unwrap_or(usize::MAX);
        self.pacer.on_backlog(backlog);
        while self.can_send() {
            let Some(next) = self.next_frame()? else { return Ok(()) };
            match next {
                Next::Frame(made) => self.send(&made)?,
                Next::Wait => return Ok(()),
                Next::Nothing => return self.join(),
                Next::Resize(size) => return self.reactivate(size),
                Next::Failed(error) => return Err(End::Bug(error)),
            }
        }
        Ok(())
    }

    fn can_send(&self) -> bool {
        !self.suppressed && self.pacer.ready(Instant::now().into_std()) == Readiness::Ready
    }

    fn next_frame(&mut self) -> Result<Option<Next>, End> {
        let Some(follow) = &mut self.follow else {
            return Ok(None);
        };
        let surface = self.seat.desktop().surface();
        if let Some(entries) = &self.cache_offer
            && follow.leave()
            && follow
                .import_cache(entries, surface)
                .map_err(|error| End::Bug(error.to_string()))?
        {
            self.cache_offer = None;
        }
        if self.repaint && follow.leave() {
            follow.refresh([surface.size().rect()]);
            self.repaint = false;
        }
        if self.quality.is_reduced() {
            // A link that needs rougher pictures does not decide for the others.
            follow.leave();
        }
        let (kind, rate) = (follow.kind(), self.pacer.link_rate());
        let refinement_budget = self.quality.refinement_budget(rate).min(Profile::REFINEMENT_BUDGET);
        let is_quiet = self.changed_at.elapsed() > QUIET;
        // On a narrow link even one exact tile would hold up the next change.
        let has_room = self.pacer.stats().frames_in_flight == 0 && refinement_budget >= LEAST_REFINEMENT;
        let ask = Ask {
            surface,
            profile: Profile {
                byte_budget: self.quality.budget(rate),
                refinement_budget,
                quant: self.quality.quant(),
                video: video(kind, self.pacer.bytes_per(VIDEO_PICTURE)),
                ..Profile::new(pipeline(kind))
            },
            may_refine: is_quiet || has_room,
            told: (!matches!(kind, FramePipe::Egfx { .. })).then_some(self.legacy_size),
            pool: &self.context.pool,
        };
        Ok(Some(follow.next(&ask)))
    }

    /// A client that shows everything shares the frames to come with others who do.
    fn join(&mut self) -> Result<(), End> {
        let common = self.seat.desktop().streams();
        let Some(follow) = self.follow.as_mut().filter(|_| !self.quality.is_reduced()) else {
            return Ok(());
        };
        let Some(made) = follow.join(common, Instant::now()) else {
            return Ok(());
        };
        debug!(session = %self.id, "shares its frames");
        self.send(&made)
    }

    /// Changes the size of a desktop without EGFX. The pipe comes back with `Reactivated`.
    fn reactivate(&mut self, size: Size) -> Result<(), End> {
        let mut out = Vec::new();
        self.rdp.resize_legacy(size, &mut out);
        self.legacy_size = size;
        self.follow = None;
        self.pipe_due = Instant::now() + self.context.config.limits.write;
        self.push(out)
    }

    /// Brings the client's pointer and lock lamps to the head's state.
    fn show_state(&mut self) -> Result<(), End> {
        let state = self.state.borrow_and_update().clone();
        let mut out = Vec::new();
        if state.pointer != self.shown.pointer {
            self.rdp.pointer(&state.pointer, &mut out);
        }
        if state.locks != self.shown.locks {
            self.rdp.indicators(state.locks, &mut out);
        }
        self.shown = state;
        self.push(out)
    }

    fn push(&mut self, out: Vec<u8>) -> Result<(), End> {
        self.outbox.push(Bytes::from(out)).map_err(End::from)
    }

    /// When a frame that the client has must have been acknowledged.
    fn ack_due(&self) -> Option<Instant> {
        let delivered = self.unacknowledged.front()?.delivered?;
        Some(delivered + self.context.config.limits.write)
    }

    fn due(&mut self) -> Instant {
        let mut due = Instant::now() + TICK;
        let mut at = |time: Instant| due = due.min(time);
        if let Some((time, _)) = &self.farewell {
            at(*time);
        }
        match &self.follow {
            None => at(self.pipe_due),
            Some(follow) => {
                if let Readiness::Until(time) = self.pacer.ready(Instant::now().into_std()) {
                    at(Instant::from_std(time));
                }
                if let Some(rest) = follow.rest_due() {
                    at(rest);
                }
            }
        }
        if let Some(time) = self.ack_due() {
            at(time);
        }
        if self.held_motion.is_some() {
            at(Instant::now() + RETRY_MOTION);
        }
        due
    }
}

/// Resolves when the stream has a new frame. Cancel-safe.
async fn made(follow: &mut Option<Follow>) {
    match follow {
        Some(follow) => follow.changed().await,
        None => std::future::pending().await,
    }
}

impl End {
    /// What the client is told, if it still listens.
    fn told(&self) -> Option<CloseReason> {
        match self {
            Self::Stop | Self::DesktopGone => Some(CloseReason::ServerShutdown),
            Self::Flood(_) => Some(CloseReason::Limit),
            Self::Client | Self::Farewell | Self::Io(_) | Self::Stalled(_) | Self::Peer(_) | Self::Bug(_) => None,
        }
    }

    fn may_finish(&self) -> bool {
        !matches!(self, Self::Io(_) | Self::Stalled(_))
    }
}

impl From<Overflow> for End {
    fn from(_: Overflow) -> Self {
        Self::Flood("did not take our answers")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("the client left"),
            Self::Farewell => f.write_str("the client was told why it gets no desktop"),
            Self::Stop => f.write_str("the server stops"),
            Self::DesktopGone => f.write_str("the desktop was removed"),
            Self::Io(error) => write!(f, "the connection broke: {error}"),
            Self::Stalled(what) => write!(f, "the client {what} before the deadline"),
            Self::Peer(error) => write!(f, "the client broke the protocol: {error}"),
            Self::Flood(what) => write!(f, "the client {what}"),
            Self::Bug(error) => write!(f, "a frame could not be made: {error}"),
        }
    }
}

fn is_motion(event: InputEvent) -> bool {
    matches!(event, InputEvent::MoveTo { .. } | InputEvent::MoveBy { .. })
}

/// Many clients close the socket without TLS's `close_notify`.
fn is_goodbye(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// The protocol's words for the engine.
fn pipeline(pipe: FramePipe) -> Pipeline {
    match pipe {
        FramePipe::Egfx { progressive, .. } => Pipeline::Egfx { progressive },
        FramePipe::SurfaceCommands { codec } => match codec {
            SurfaceCodec::RemoteFx => Pipeline::SurfaceCommands,
            SurfaceCodec::Qoi => Pipeline::Qoi { zstd: false },
            SurfaceCodec::Qoiz => Pipeline::Qoi { zstd: true },
            SurfaceCodec::NsCodec {
                dynamic_fidelity: true, ..
            } => Pipeline::NsCodec(nsc::Quality::BEST),
            SurfaceCodec::NsCodec {
                subsampling,
                color_loss,
                ..
            } => Pipeline::NsCodec(nsc::Quality {
                color_loss,
                subsampling,
            }),
        },
        FramePipe::Bitmap { bits_per_pixel } => Pipeline::Bitmap { bits_per_pixel },
    }
}

/// How a client is sent videos, on a link that carries so many bytes in [`VIDEO_PICTURE`].
fn video(pipe: FramePipe, room: Option<usize>) -> Option<VideoProfile> {
    let form = match pipe {
        FramePipe::Egfx { avc420: true, .. } => VideoForm::Avc420,
        FramePipe::Egfx { avc444: true, .. } => VideoForm::Avc444,
        _ => return None,
    };
    Some(VideoProfile {
        form,
        room: room.unwrap_or(usize::MAX),
    })
}

/// What one of 30 pictures per second may take: 70 % of its time, so that the rest of the desktop gets through.
const VIDEO_PICTURE: Duration = Duration::from_millis(23);
/// A client with EGFX advertises it within this time; then the legacy pipe serves it.
const GRAPHICS: Duration = Duration::from_secs(2);
/// After so long without a change the link is taken to be free for refinements.
const QUIET: Duration = Duration::from_millis(250);
/// Raw bytes of the smallest refinement, one tile.
const LEAST_REFINEMENT: usize = 64 * 64 * 4;
/// The longest sleep.
const TICK: Duration = Duration::from_secs(5);
const RETRY_MOTION: Duration = Duration::from_millis(10);
