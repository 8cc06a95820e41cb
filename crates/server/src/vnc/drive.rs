//! Drives one VNC viewer: bytes in, events to the desktop, one update out whenever the viewer asked for one, there is
//! something new, and all before it is sent. So a slow viewer has one update on its way, and then the newest picture.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rdpmux_model::{Button, Generation, HeadState, InputEvent, MonitorLayout, Size, WheelAxis};
use rdpmux_rdp::CloseReason;
use rdpmux_rfb::{Event, Request, SizeNews, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout};

use super::carry::{Carriers, Carry};
use super::end::End;
use super::keyboard::{Keyboard, Pressed};
use super::picture::{Made, Picture, Wanted};
use crate::desktop::{InputRefused, Seat};
use crate::fault;
use crate::listen::{Context, Stop};
use crate::session::GOODBYE;
use crate::session::link::{Link, Stream};
use crate::sessions::told;

type Making = Pin<Box<dyn Future<Output = Result<Made, JoinError>> + Send>>;

/// One viewer's session.
pub(super) struct Drive {
    viewer: Viewer,
    reader: ReadHalf<Stream>,
    inbound: BytesMut,
    writer: WriteHalf<Stream>,
    out: BytesMut,
    is_flushed: bool,
    /// When the viewer last took something, or had nothing to take.
    moved: Instant,
    seat: Seat,
    frames: watch::Receiver<Generation>,
    state: watch::Receiver<HeadState>,
    notice: watch::Receiver<Option<CloseReason>>,
    /// `None`: an update is being made.
    picture: Option<Picture>,
    making: Option<Making>,
    wanted: Wanted,
    /// The viewer waits for an update.
    is_asked: bool,
    next_update: Instant,
    /// Until when a guest that rested is waited for.
    patience: Instant,
    keyboard: Keyboard,
    buttons: u8,
    /// Motion that found the desktop's queue full.
    held_motion: Option<InputEvent>,
    active: Instant,
    carriers: Carriers,
    carry: Option<Carry>,
    context: Arc<Context>,
    stop: Stop,
}

enum Wake {
    Stop,
    Told,
    DesktopGone,
    Written(io::Result<usize>),
    Read(io::Result<usize>),
    Made(Result<Made, JoinError>),
    Carried(Vec<u8>),
    Frame,
    State,
    Time,
}

impl Drive {
    /// For a viewer that was told the desktop's size and sent nothing yet.
    pub(super) fn new(
        link: Link<Stream>,
        (seat, size): (Seat, Size),
        carriers: Carriers,
        notice: watch::Receiver<Option<CloseReason>>,
        context: &Arc<Context>,
    ) -> Self {
        let now = Instant::now();
        let desktop = seat.desktop().clone();
        let (reader, writer) = tokio::io::split(link.stream);
        let wanted = Wanted {
            pointer: Some(desktop.state().borrow().pointer.clone()),
            ..Wanted::default()
        };
        Self {
            viewer: Viewer::new(carriers.settings.streams_2009),
            reader,
            inbound: link.buffer,
            writer,
            out: BytesMut::new(),
            is_flushed: true,
            moved: now,
            frames: desktop.frames(),
            state: desktop.state(),
            notice,
            picture: Some(Picture::new(desktop.surface().clone(), size)),
            making: None,
            wanted,
            is_asked: false,
            next_update: now,
            patience: now + PATIENCE,
            keyboard: Keyboard::new(desktop.layout()),
            buttons: 0,
            held_motion: None,
            active: now,
            carriers,
            carry: None,
            stop: context.stop.clone(),
            context: Arc::clone(context),
            seat,
        }
    }

    /// Runs the session to its end.
    pub(super) async fn run(mut self) -> End {
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // What it holds goes up now, however long the goodbye takes.
        drop(self.seat);
        let _ = timeout(GOODBYE, self.writer.shutdown()).await;
        end
    }

    async fn serve(&mut self) -> Result<Infallible, End> {
        self.digest()?;
        loop {
            fault::hold();
            self.start_update();
            let wake = self.next().await;
            self.handle(wake)?;
        }
    }

    /// Waits for the next thing to do. Every arm is cancel-safe.
    async fn next(&mut self) -> Wake {
        let due = self.due();
        let has_room = self.out.len() < WAITING;
        let reads = has_room && !self.carry.as_ref().is_some_and(Carry::is_full);
        let writes = !self.out.is_empty() || !self.is_flushed;
        let Self {
            stop,
            notice,
            seat,
            reader,
            inbound,
            writer,
            out,
            frames,
            state,
            making,
            carry,
            ..
        } = self;
        tokio::select! {
            biased;
            () = stop.stopped() => Wake::Stop,
            _ = told(notice) => Wake::Told,
            () = seat.ended() => Wake::DesktopGone,
            written = write(writer, out), if writes => Wake::Written(written),
            read = reader.read_buf(inbound), if reads => Wake::Read(read),
            made = finished(making) => Wake::Made(made),
            said = carried(carry, has_room) => Wake::Carried(said),
            changed = frames.changed() => if changed.is_ok() { Wake::Frame } else { Wake::DesktopGone },
            changed = state.changed() => if changed.is_ok() { Wake::State } else { Wake::DesktopGone },
            () = tokio::time::sleep_until(due) => Wake::Time,
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), End> {
        match wake {
            Wake::Stop => Err(End::Stop),
            Wake::Told => Err(End::Told),
            Wake::DesktopGone => Err(End::DesktopGone),
            Wake::Written(count) => {
                self.is_flushed = self.out.is_empty();
                self.out.advance(count?);
                self.moved = Instant::now();
                Ok(())
            }
            Wake::Read(Ok(0)) => Err(End::Lost),
            Wake::Read(read) => {
                read?;
                self.digest()
            }
            Wake::Made(made) => {
                let made = made.map_err(|error| End::Bug(error.to_string()))?;
                self.making = None;
                self.is_asked &= made.bytes.is_empty();
                self.picture = Some(made.picture);
                self.push(&made.bytes);
                Ok(())
            }
            Wake::Carried(bytes) => {
                let mut out = Vec::new();
                let put = self.carry.as_mut().map_or(Ok(()), |carry| carry.put(&bytes, &mut out));
                self.push(&out);
                put
            }
            Wake::Frame => Ok(()),
            Wake::State => {
                let pointer = self.state.borrow_and_update().pointer.clone();
                self.wanted.pointer = Some(pointer);
                Ok(())
            }
            Wake::Time => self.on_time(),
        }
    }

    /// Makes an update if the viewer waits for one, took the last one, and there is something in it.
    fn start_update(&mut self) {
        let now = Instant::now();
        let waits = self.state.borrow().resting && now < self.patience;
        if !self.is_asked || !self.out.is_empty() || waits || now < self.next_update {
            return;
        }
        let Some(picture) = self
            .picture
            .take_if(|picture| picture.is_behind() || !self.wanted.is_empty())
        else {
            return;
        };
        self.next_update = now + RHYTHM;
        let (shown, wanted) = (self.viewer.shown(), std::mem::take(&mut self.wanted));
        let pool = self.context.pool.clone();
        self.making = Some(Box::pin(async move {
            pool.run(move || picture.update(shown, wanted)).await
        }));
    }

    /// Feeds all complete messages to the protocol.
    fn digest(&mut self) -> Result<(), End> {
        let mut events = Vec::new();
        let used = self.viewer.feed(&self.inbound, &mut events).map_err(End::Peer)?;
        self.inbound.advance(used);
        events.into_iter().try_for_each(|event| self.on_event(event))
    }

    fn on_event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Request(request) => self.on_request(request),
            Event::Key { keysym, scancode, down } => {
                let pressed = match scancode {
                    Some(scancode) => Pressed::Key(scancode),
                    None => self.keyboard.key(keysym, down, self.state.borrow().locks.caps),
                };
                match pressed {
                    Pressed::Key(scancode) => return self.input(InputEvent::Key { scancode, down }),
                    Pressed::Character(c) => {
                        self.active = Instant::now();
                        return Ok(self.seat.character(c)?);
                    }
                    Pressed::Nothing => {}
                }
            }
            Event::Pointer { buttons, x, y } => return self.on_pointer(buttons, x.into(), y.into()),
            Event::Resize(size) => self.on_resize(size),
            Event::Shown => self.on_shown(),
            Event::Streams(bytes) => {
                if let Some(carry) = &mut self.carry {
                    carry.take(&bytes);
                }
            }
            Event::Devices(message) => {
                if let Some(carry) = &mut self.carry {
                    carry.take_2009(message);
                }
            }
        }
        Ok(())
    }

    fn on_request(&mut self, request: Request) {
        self.is_asked = true;
        if !request.is_incremental {
            let lost = self.wanted.lost.get_or_insert(request.rect);
            *lost = lost.union(request.rect);
        }
    }

    /// The viewer said what it can show.
    fn on_shown(&mut self) {
        let shown = self.viewer.shown();
        if shown.extended_size {
            // It may ask for sizes once it was told the present one in the same way.
            self.wanted.size.get_or_insert(SizeNews::Now);
        }
        self.wanted.confirm_keys |= shown.keys;
        if shown.cursor {
            self.wanted.pointer = Some(self.state.borrow().pointer.clone());
        }
        let mut out = Vec::new();
        if let Some(carry) = self.carriers.chosen(shown, &mut out) {
            self.carry = Some(carry);
            self.push(&out);
        }
    }

    fn on_pointer(&mut self, buttons: u8, x: u32, y: u32) -> Result<(), End> {
        self.input(InputEvent::MoveTo { x, y })?;
        let changed = std::mem::replace(&mut self.buttons, buttons) ^ buttons;
        for bit in (0..8).filter(|bit| changed >> bit & 1 != 0) {
            let down = buttons >> bit & 1 != 0;
            let button = |button| Some(InputEvent::Button { button, down });
            let wheel = |axis, delta| down.then_some(InputEvent::Wheel { axis, delta });
            let event = match bit {
                0 => button(Button::Left),
                1 => button(Button::Middle),
                2 => button(Button::Right),
                3 => wheel(WheelAxis::Vertical, NOTCH),
                4 => wheel(WheelAxis::Vertical, -NOTCH),
                5 => wheel(WheelAxis::Horizontal, -NOTCH),
                6 => wheel(WheelAxis::Horizontal, NOTCH),
                _ => None,
            };
            event.map_or(Ok(()), |event| self.input(event))?;
        }
        Ok(())
    }

    /// The viewer's window has this size: a wish for the guest's head.
    fn on_resize(&mut self, size: Size) {
        let layout = MonitorLayout::new(vec![size.into()]);
        let is_taken = layout.is_ok_and(|layout| self.seat.wish(&layout));
        self.wanted.size = Some(match is_taken {
            true => SizeNews::Forwarded,
            false => SizeNews::Prohibited,
        });
    }

    fn input(&mut self, event: InputEvent) -> Result<(), End> {
        self.active = Instant::now();
        let is_motion = matches!(event, InputEvent::MoveTo { .. });
        if let Some(motion) = self.held_motion.take()
            && !is_motion
        {
            // Motion before an edge places the click: it goes first if there is room.
            let _ = self.seat.input(motion);
        }
        match self.seat.input(event) {
            Err(InputRefused::Full) if is_motion => {
                self.held_motion = Some(event);
                Ok(())
            }
            taken => Ok(taken?),
        }
    }

    fn on_time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let limits = &self.context.config.limits;
        if limits.idle.is_some_and(|idle| now >= self.active + idle) {
            return Err(End::Idle);
        }
        if !self.out.is_empty() && now >= self.moved + limits.write {
            return Err(End::Stalled);
        }
        self.held_motion.take().map_or(Ok(()), |motion| self.input(motion))
    }

    fn due(&self) -> Instant {
        let now = Instant::now();
        let mut due = now + TICK;
        if self.is_asked && self.next_update > now {
            due = due.min(self.next_update);
        }
        if self.is_asked && self.state.borrow().resting && self.patience > now {
            due = due.min(self.patience);
        }
        if self.held_motion.is_some() {
            due = due.min(now + RETRY_MOTION);
        }
        due
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.out.is_empty() {
            self.moved = Instant::now();
        }
        self.out.extend_from_slice(bytes);
    }
}

/// Writes some of `out`, or flushes if there is nothing left. Cancel-safe.
async fn write(writer: &mut WriteHalf<Stream>, out: &BytesMut) -> io::Result<usize> {
    if out.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

/// Resolves when the update is made. Cancel-safe.
async fn finished(making: &mut Option<Making>) -> Result<Made, JoinError> {
    match making {
        Some(making) => making.await,
        None => std::future::pending().await,
    }
}

/// What the streams say, while there is room for it. Cancel-safe.
async fn carried(carry: &mut Option<Carry>, has_room: bool) -> Vec<u8> {
    match carry {
        Some(carry) => carry.next(has_room).await,
        None => std::future::pending().await,
    }
}

/// One step of a wheel.
const NOTCH: i16 = 120;
/// Bytes for a viewer above which it is not read.
const WAITING: usize = 64 << 10;
/// No more than 60 updates in a second.
const RHYTHM: Duration = Duration::from_micros(16_667);
/// Longest wait for a guest that rested; QEMU shows itself within 50 ms.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest sleep: how often deadlines are looked at.
const TICK: Duration = Duration::from_secs(1);
const RETRY_MOTION: Duration = Duration::from_millis(10);
