//! Drives one session: bytes in, events to the desktop, frames out at the client's own pace.
//!
//! ```text
//!   no stream ──graphics ready──▶ follows a stream ──pacer ready──▶ takes its next frame ──▶ outbox
//!       ▲                              │
//!       └──────── legacy resize ───────┘
//! ```
//! Control and input never wait for any of it.

mod clipboard;
mod elsewhere;
mod end;
mod extras;
mod frames;
mod layout;
mod sound;
mod state;
mod streams;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rdpmux_engine::{Pacer, PacerConfig, Quality, Readiness, Tempo};
use rdpmux_model::{
    ClipboardFormat, DesktopName, Generation, HeadState, InputEvent, MonitorLayout, SessionId, Size, TouchPhase,
};
use rdpmux_rdp::{CacheOffer, CloseReason, ReconnectCookie, Session, SessionEvent};
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::clipboard::{ClipboardSeat, Notice};
use crate::desktop::{InputRefused, Seat};
use crate::fault;
use crate::listen::{Context, Stop};
use crate::paste::Paster;
use crate::session::gauge::LinkGauge;
use crate::session::link::{Link, Stream};
use crate::session::liveness::{self, Liveness};
use crate::session::outbox::Outbox;
use crate::session::stream::Follow;
use crate::session::{GOODBYE, linger};
use crate::sessions::{Meter, Presence, told};
use elsewhere::Elsewhere;
pub(super) use end::End;
use end::is_goodbye;
use extras::{ExtraWake, Extras};
use frames::{Unacknowledged, made};
use layout::ShownSizes;
use sound::{SoundWake, ViewerSound};
use streams::{StreamsWake, ViewerStreams};

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
    clipboard: Option<ClipboardSeat>,
    /// What the client has copied, while that is the newest; `None` before it told.
    copied: Option<Vec<ClipboardFormat>>,
    paster: Paster,
    frames: watch::Receiver<Generation>,
    state: watch::Receiver<HeadState>,
    shown: HeadState,
    pacer: Pacer,
    tempo: Tempo,
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
    /// Until when a guest that rested is waited for: an old picture is better than none for long.
    patience: Instant,
    /// When the last change was sent.
    changed_at: Instant,
    /// The client was hidden and may have lost what it showed.
    repaint: bool,
    /// What the client kept of earlier sessions and waits to hear about.
    cache_offer: Option<Vec<CacheOffer>>,
    /// Motion that found the desktop's queue full.
    held_motion: Option<InputEvent>,
    sound: ViewerSound,
    streams: ViewerStreams,
    extras: Extras,
    /// The client's monitors, as its user wants them.
    layout: Option<MonitorLayout>,
    sizes: ShownSizes,
    /// The client has sent a list of monitors that cannot be.
    layout_refused: bool,
    born: Instant,
    pipe_due: Instant,
    farewell: Option<(Instant, CloseReason)>,
    /// `None`: it stays where it is.
    elsewhere: Option<Elsewhere>,
    liveness: Liveness,
    /// Where it is told to end.
    notice: Option<watch::Receiver<Option<CloseReason>>>,
    cookie: Option<ReconnectCookie>,
    meter: Arc<Meter>,
    context: Arc<Context>,
    stop: Stop,
}

enum Wake {
    Stop,
    Told(CloseReason),
    DesktopGone,
    Read(io::Result<usize>),
    Progress(Option<io::Result<()>>),
    Sound(SoundWake),
    Frame,
    State,
    Clipboard(Notice),
    Streams(StreamsWake),
    Extra(ExtraWake),
    Time,
}

impl Drive {
    pub(super) fn new(
        id: SessionId,
        rdp: Session,
        link: Link<Stream>,
        gauge: LinkGauge,
        (seat, clipboard): (Seat, Option<ClipboardSeat>),
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
            clipboard,
            copied: None,
            paster: Paster::default(),
            frames: desktop.frames(),
            state: desktop.state(),
            shown: HeadState {
                // Where the pointer jumped before this client came is no news to it.
                jump: desktop.state().borrow().jump,
                ..HeadState::default()
            },
            pacer: Pacer::new(PacerConfig::default()),
            tempo: Tempo::default(),
            quality: Quality::default(),
            gauge,
            follow: None,
            acknowledges: true,
            legacy_size: desktop.surface().size(),
            unacknowledged: VecDeque::new(),
            suppressed: false,
            patience: now + PATIENCE,
            changed_at: now,
            repaint: false,
            cache_offer: None,
            held_motion: None,
            sound: ViewerSound::new(desktop.peripherals().sound.clone()),
            streams: ViewerStreams::default(),
            extras: Extras::default(),
            layout: None,
            sizes: ShownSizes::new(desktop.surface().size()),
            layout_refused: false,
            born: now,
            pipe_due: now + GRAPHICS,
            farewell: farewell.map(|f| (now + f.after, f.reason)),
            elsewhere: None,
            liveness: Liveness::new(now, limits.idle),
            notice: None,
            cookie: None,
            meter: Arc::default(),
            stop: context.stop.clone(),
            context: Arc::clone(context),
            seat,
        }
    }

    /// Where the session hears that it is to end, and the cookie by which its client can come back.
    pub(super) fn listed(mut self, presence: &Presence, cookie: Option<&ReconnectCookie>) -> Self {
        self.notice = Some(presence.notice());
        self.meter = presence.meter();
        self.cookie = cookie.cloned();
        self
    }

    /// Runs the session to its end and tells the client why it ended. Gives the desktop where it was last, too.
    pub(super) async fn run(mut self) -> (DesktopName, End) {
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(reason) = end.told() {
            let mut out = Vec::new();
            self.rdp.error_info(reason, &mut out);
            let _ = self.outbox.push(Bytes::from(out));
        }
        let desktop = self.seat.desktop().name().clone();
        // What it holds goes up now, however long the goodbye takes.
        drop(self.seat);
        if end.may_finish() {
            self.outbox.finish(GOODBYE).await;
            let _ = timeout(GOODBYE, linger(&mut self.reader)).await;
        }
        (desktop, end)
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let mut out = Vec::new();
        let mut events = Vec::new();
        self.rdp.share_numbers(self.seat.desktop().numbers());
        self.permit_sound();
        self.permit_streams();
        self.rdp.start(&mut events, &mut out);
        if let Some(cookie) = self.cookie.take() {
            self.rdp.offer_reconnect(&cookie, &mut out);
        }
        self.push(out)?;
        self.start_clipboard();
        events.into_iter().try_for_each(|event| self.on_event(event))?;
        self.show_state()?;
        // Bytes that came with the last bytes of the login.
        self.digest()?;
        loop {
            fault::hold();
            self.go_elsewhere().await?;
            self.pump()?;
            self.seat.set_rate(self.tempo.rate(Instant::now().into_std()));
            self.pump_clipboard()?;
            self.pump_streams()?;
            let wake = self.next().await;
            self.handle(wake)?;
        }
    }

    /// Waits for the next thing to do. Every arm is cancel-safe.
    async fn next(&mut self) -> Wake {
        let due = self.due();
        let backlog = self.outbox.backlog();
        let Self {
            stop,
            notice,
            seat,
            reader,
            inbound,
            outbox,
            follow,
            frames,
            state,
            sound,
            streams,
            extras,
            clipboard,
            ..
        } = self;
        tokio::select! {
            biased;
            () = stop.stopped() => Wake::Stop,
            reason = asked_to_end(notice) => Wake::Told(reason),
            () = seat.ended() => Wake::DesktopGone,
            read = reader.read_buf(inbound) => Wake::Read(read),
            progress = outbox.progress() => Wake::Progress(progress),
            sound = sound.next() => Wake::Sound(sound),
            () = made(follow) => Wake::Frame,
            changed = frames.changed() => if changed.is_ok() { Wake::Frame } else { Wake::DesktopGone },
            changed = state.changed() => if changed.is_ok() { Wake::State } else { Wake::DesktopGone },
            notice = clipboard::notice(clipboard) => Wake::Clipboard(notice),
            wake = streams.next() => Wake::Streams(wake),
            wake = extras.next(backlog) => Wake::Extra(wake),
            () = tokio::time::sleep_until(due) => Wake::Time,
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), End> {
        match wake {
            Wake::Stop => Err(End::Stop),
            Wake::Told(reason) => Err(End::Told(reason)),
            Wake::DesktopGone => Err(End::DesktopGone),
            Wake::Read(Ok(0)) => Err(End::Lost),
            Wake::Read(Err(error)) if is_goodbye(&error) => Err(End::Lost),
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
            Wake::Sound(wake) => self.on_sound_wake(wake),
            Wake::Frame => Ok(()),
            Wake::State => self.show_state(),
            Wake::Clipboard(notice) => {
                self.on_notice(notice);
                Ok(())
            }
            Wake::Streams(wake) => self.on_streams_wake(wake),
            Wake::Extra(wake) => self.on_extra_wake(wake),
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
            SessionEvent::Input(event) => return self.on_viewer_input(event),
            SessionEvent::Character(c) => return self.on_character(c),
            SessionEvent::Suppress(suppressed) => {
                self.suppressed = suppressed;
                self.seat.look(!suppressed);
                self.patience = Instant::now() + PATIENCE;
                self.repaint |= !suppressed;
            }
            SessionEvent::Layout(layout) => self.on_layout(layout),
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
            SessionEvent::Sound(event) => self.on_sound_event(event),
            SessionEvent::Clipboard(event) => self.on_clipboard(event),
            SessionEvent::Streams(event) => return self.on_streams_event(event),
            SessionEvent::Shutdown => return Err(End::Client),
            event => return self.on_extra_event(event),
        }
        Ok(())
    }

    fn on_input(&mut self, event: InputEvent) -> Result<(), End> {
        tracing::trace!("an input event came");
        self.liveness.on_input(Instant::now());
        if let Some(motion) = self.held_motion.take()
            && !is_motion(event)
        {
            // Motion before an edge places the click: it goes first if there is room.
            let _ = self.seat.input(motion);
        }
        match self.seat.input(event) {
            Err(InputRefused::Full) if is_motion(event) => {
                self.held_motion = Some(event);
                Ok(())
            }
            taken => typed(taken),
        }
    }

    fn on_character(&mut self, c: char) -> Result<(), End> {
        self.liveness.on_input(Instant::now());
        self.paster.stop();
        typed(self.seat.character(c))
    }

    fn on_time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if let Some((_, reason)) = self.farewell.take_if(|(due, _)| *due <= now) {
            let mut out = Vec::new();
            self.rdp.error_info(reason, &mut out);
            self.push(out)?;
            return Err(End::Farewell);
        }
        if self.liveness.is_idle(now) {
            return Err(End::Idle);
        }
        if self.liveness.beats(now) {
            let mut out = Vec::new();
            let (warn, reconnect) = liveness::MISSED;
            self.rdp.heartbeat(liveness::PERIOD, warn, reconnect, &mut out);
            self.push(out)?;
        }
        if self.follow.is_none() && !self.rdp.graphics_are_elsewhere() && self.pipe_due <= now {
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

    fn push(&mut self, out: Vec<u8>) -> Result<(), End> {
        self.outbox.push(Bytes::from(out)).map_err(End::from)
    }

    fn due(&mut self) -> Instant {
        self.liveness.on_queued(Instant::now(), self.outbox.queued());
        let mut due = self.liveness.due().min(Instant::now() + TICK);
        let mut at = |time: Instant| due = due.min(time);
        if let Some((time, _)) = &self.farewell {
            at(*time);
        }
        if self.state.borrow().resting && self.patience > Instant::now() {
            at(self.patience);
        }
        match &self.follow {
            None if self.rdp.graphics_are_elsewhere() => {}
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
        if let Some(time) = self.streams.due(self.outbox.written()) {
            at(time);
        }
        if self.tempo.is_moving() {
            at(Instant::now() + RATE);
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

/// Resolves when the session is told to end. Cancel-safe.
async fn asked_to_end(notice: &mut Option<watch::Receiver<Option<CloseReason>>>) -> CloseReason {
    match notice {
        Some(notice) => told(notice).await,
        None => std::future::pending().await,
    }
}

fn typed(taken: Result<(), InputRefused>) -> Result<(), End> {
    taken.map_err(|refused| match refused {
        InputRefused::Full => End::Flood("typed more than the guest takes"),
        InputRefused::Gone => End::DesktopGone,
    })
}

fn is_motion(event: InputEvent) -> bool {
    match event {
        InputEvent::MoveTo { .. } | InputEvent::MoveBy { .. } => true,
        InputEvent::Touch(touch) => touch.phase == TouchPhase::Update,
        _ => false,
    }
}

/// A client with EGFX advertises it within this time; then the legacy pipe serves it.
const GRAPHICS: Duration = Duration::from_secs(2);
/// Longest wait for a guest that rested; QEMU shows itself within 50 ms.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest sleep.
const TICK: Duration = Duration::from_secs(5);
/// How often the guest's side hears of a rate that changes.
const RATE: Duration = Duration::from_millis(250);
const RETRY_MOTION: Duration = Duration::from_millis(10);
