//! One client of a machine's streams, over any carrier that is a byte stream: what it asks is done, what it has to be
//! told is pulled from the desks while the carrier takes it. It is read only while little waits for it.

mod list;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdpmux_streams::frame::{MAX_PAYLOAD, MIN_PAYLOAD};
use rdpmux_streams::hub::{SeatId, Terms};
use rdpmux_streams::{
    ErrorCode, Gather, Kind, MAJOR, MINOR, Mode, Rights, Splitter, Text, ToClient, ToServer, WireError,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info};

use super::{Desk, Streams, unix_ms};

/// Who the client is and what it may do.
pub struct Visitor {
    /// As others see it.
    pub who: Text<'static>,
    /// What it may do with streams of a kind. Asked again every second, so that grants may change.
    pub rights: Box<dyn Fn(Kind) -> Rights + Send + Sync>,
}

impl Visitor {
    /// What it may do with a stream of that kind now.
    fn on(&self, kind: Kind) -> Rights {
        (self.rights)(kind).on(kind)
    }
}

/// Streams that a client may have open.
const OPEN: usize = 16;
/// OPENs in a second.
const OPENS: u32 = 8;
/// Bytes for a client above which it is not read.
const WAITING: usize = 64 << 10;
/// For more output than the little that there is.
const PAUSE: Duration = Duration::from_millis(5);
/// For HELLO.
const HELLO: Duration = Duration::from_secs(10);
/// For a carrier that takes nothing.
const STALL: Duration = Duration::from_secs(15);
/// For a client that says nothing; it is asked before.
const SILENCE: Duration = Duration::from_secs(90);
const QUIET: Duration = Duration::from_secs(30);
/// How often rights, silent writers and deadlines are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Serves a client until it leaves, breaks the protocol, does not read, or the machine is gone.
pub async fn visit<S: AsyncRead + AsyncWrite>(carrier: S, streams: Streams, visitor: Visitor) {
    visit_by(carrier, streams, visitor, Manner::default()).await;
}

/// What is particular about a carrier.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// Told whenever the client typed anything.
    pub(crate) typed: Arc<Notify>,
    /// The client does not know that the carrier is there before it hears something.
    pub(crate) calls: bool,
}

/// The same over a carrier with a manner of its own.
pub(crate) async fn visit_by<S>(carrier: S, streams: Streams, visitor: Visitor, manner: Manner)
where
    S: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(carrier);
    let mut changed = streams.0.changed.subscribe();
    let mut visit = Visit::new(streams, visitor, manner);
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        visit.fill();
        let waits = !visit.out.is_empty();
        if !waits && visit.is_over {
            break;
        }
        buffer.clear();
        tokio::select! {
            biased;
            written = writer.write(&visit.out), if waits => match written {
                Ok(0) | Err(_) => break,
                Ok(count) => visit.wrote(count),
            },
            read = reader.read_buf(&mut buffer), if !visit.is_over && visit.out.len() < WAITING => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => visit.take(&buffer),
            },
            () = sleep_until(visit.gather.until().unwrap_or(visit.moved).into()), if !waits && visit.is_pausing() => {}
            gone = changed.changed(), if !waits => if gone.is_err() || *changed.borrow_and_update() {
                visit.end(ErrorCode::MachineGone);
            },
            _ = clock.tick() => if !visit.look() {
                break;
            },
        }
    }
    let _: io::Result<()> = writer.shutdown().await;
}

struct Visit {
    streams: Streams,
    visitor: Visitor,
    manner: Manner,
    splitter: Splitter,
    /// Payload that both sides take; `None`: before HELLO.
    limit: Option<u32>,
    since: Instant,
    open: BTreeMap<u16, Place>,
    next_stream: u16,
    opens: (Instant, u32),
    /// The client follows the list: what it knows of it.
    known: Option<BTreeMap<u32, u64>>,
    out: Vec<u8>,
    /// When the desks are asked.
    gather: Gather,
    /// When the carrier last took something, or had nothing to take.
    moved: Instant,
    /// When the client last said anything, and whether it was asked to since.
    heard: Instant,
    is_asked: bool,
    is_over: bool,
}

/// An open stream.
struct Place {
    desk: Arc<Desk>,
    seat: SeatId,
    rights: Rights,
}

impl Visit {
    fn new(streams: Streams, visitor: Visitor, manner: Manner) -> Self {
        let now = now();
        Self {
            streams,
            visitor,
            manner,
            splitter: Splitter::default(),
            limit: None,
            since: now,
            open: BTreeMap::new(),
            next_stream: 1,
            opens: (now, 0),
            known: None,
            out: Vec::new(),
            gather: Gather::new(PAUSE),
            moved: now,
            heard: now,
            is_asked: false,
            is_over: false,
        }
    }

    fn wrote(&mut self, count: usize) {
        self.out.drain(..count);
        self.moved = now();
    }

    /// The connection ends once this has been sent.
    fn end(&mut self, code: ErrorCode) {
        let text = Text::cleaned(&code.to_string());
        ToClient::Error { code, text }.encode(&mut self.out);
        self.is_over = true;
    }

    fn take(&mut self, bytes: &[u8]) {
        (self.heard, self.is_asked) = (now(), false);
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(bytes);
        while !self.is_over {
            let message = match splitter.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => ToServer::decode(&frame),
                Err(error) => Err(error),
            };
            let limit = self.limit;
            if let Err(code) = message.map_err(WireError::code).and_then(|message| match message {
                Some(message) => self.act(message),
                None => Ok(()),
            }) {
                debug!(who = %self.visitor.who, %code, "a client of streams was turned away");
                self.end(code);
            }
            if let Some(agreed) = self.limit.filter(|_| limit.is_none()) {
                splitter.set_limit(agreed);
            }
        }
        self.splitter = splitter;
    }

    fn act(&mut self, message: ToServer<'_>) -> Result<(), ErrorCode> {
        if let ToServer::Hello {
            major, max_frame, vm, ..
        } = &message
        {
            return self.hello(*major, *max_frame, vm);
        }
        let limit = self.limit.ok_or(ErrorCode::Malformed)?;
        match message {
            ToServer::Hello { .. } | ToServer::Pong(_) => Ok(()),
            ToServer::Ping(value) => {
                ToClient::Pong(value).encode(&mut self.out);
                Ok(())
            }
            ToServer::List { follow } => {
                self.list(follow);
                Ok(())
            }
            ToServer::History {
                request,
                from,
                max,
                name,
            } => {
                self.history(request, from, max, &name, limit);
                Ok(())
            }
            ToServer::Open {
                request,
                mode,
                replay,
                credit,
                name,
            } => {
                let who = self.visitor.who.clone();
                let opened = self.opening(&name).and_then(|(stream, desk, rights)| {
                    let terms = Terms {
                        request,
                        stream,
                        rights,
                        mode,
                        replay,
                        credit,
                        who,
                    };
                    let seat = desk.hub.lock().open(terms, now(), &mut self.out)?;
                    self.open.insert(stream, Place { desk, seat, rights });
                    Ok(())
                });
                match opened {
                    Err(code) => self.fail(request, code),
                    Ok(()) => self.opened(&name, mode),
                }
                Ok(())
            }
            of_stream => self.act_on(of_stream),
        }
    }

    /// What is about a stream. One that was closed meanwhile is nobody's mistake.
    fn act_on(&mut self, message: ToServer<'_>) -> Result<(), ErrorCode> {
        let now = now();
        let (ToServer::Close { stream }
        | ToServer::Data { stream, .. }
        | ToServer::Credit { stream, .. }
        | ToServer::Writer { stream, .. }
        | ToServer::Break { stream, .. }
        | ToServer::Size { stream, .. }) = message
        else {
            return Ok(());
        };
        let Some(Place { desk, seat, .. }) = self.open.get(&stream) else {
            return Ok(());
        };
        let seat = *seat;
        let mut hub = desk.hub.lock();
        match message {
            ToServer::Data { bytes, .. } => {
                hub.input(seat, bytes, now)?;
                self.gather.typed(now);
                desk.typed.notify_one();
                self.manner.typed.notify_one();
                return Ok(());
            }
            ToServer::Credit { add, .. } => return hub.grant(seat, add),
            ToServer::Writer { wish, .. } => hub.wish(seat, wish, now),
            ToServer::Break { ms, .. } => {
                if hub.send_break(seat, ms, now, unix_ms()) {
                    desk.typed.notify_one();
                }
            }
            ToServer::Size { columns, rows, .. } => hub.resize(seat, columns, rows),
            _ => {
                drop(hub);
                self.close(stream, None);
                return Ok(());
            }
        }
        drop(hub);
        self.streams.touch();
        Ok(())
    }

    fn hello(&mut self, major: u16, max_frame: u32, vm: &Text<'_>) -> Result<(), ErrorCode> {
        if self.limit.is_some() {
            return Err(ErrorCode::Malformed);
        }
        if major != MAJOR {
            return Err(ErrorCode::Version);
        }
        if !vm.is_empty() && !vm.as_str().eq_ignore_ascii_case(&self.streams.0.vm) {
            return Err(ErrorCode::NoSuchStream);
        }
        let max_frame = max_frame.clamp(MIN_PAYLOAD, MAX_PAYLOAD);
        self.limit = Some(max_frame);
        let mut session = [0; 16];
        getrandom::fill(&mut session).map_err(|_| ErrorCode::Limit)?;
        let message = ToClient::Welcome {
            major: MAJOR,
            minor: MINOR,
            caps: 0,
            max_frame,
            max_open: OPEN as u16,
            session,
            vm: Text::cleaned(&self.streams.0.vm),
            principal: self.visitor.who.clone(),
        };
        message.encode(&mut self.out);
        Ok(())
    }

    fn opening(&mut self, name: &Text<'_>) -> Result<(u16, Arc<Desk>, Rights), ErrorCode> {
        let now = now();
        if now.saturating_duration_since(self.opens.0) > Duration::from_secs(1) {
            self.opens = (now, 0);
        }
        self.opens.1 += 1;
        if self.opens.1 > OPENS {
            return Err(ErrorCode::Rate);
        }
        if self.open.len() >= OPEN {
            return Err(ErrorCode::Limit);
        }
        let (desk, rights) = self.find(name)?;
        // 65,535 numbers and 16 places: none comes again within 1,024.
        while self.next_stream == 0 || self.open.contains_key(&self.next_stream) {
            self.next_stream = self.next_stream.wrapping_add(1);
        }
        let stream = self.next_stream;
        self.next_stream = self.next_stream.wrapping_add(1);
        Ok((stream, desk, rights))
    }

    fn opened(&self, name: &Text<'_>, mode: Mode) {
        let (vm, who) = (&self.streams.0.vm, &self.visitor.who);
        info!(target: "rdpmux::audit", vm, stream = %name, %who, ?mode, "stream opened");
        self.streams.touch();
    }

    fn fail(&mut self, request: u32, code: ErrorCode) {
        let text = Text::cleaned(&code.to_string());
        ToClient::Failed { request, code, text }.encode(&mut self.out);
    }

    fn close(&mut self, stream: u16, code: Option<ErrorCode>) {
        if let Some(place) = self.open.remove(&stream) {
            place.desk.hub.lock().close(place.seat, code, &mut self.out);
            self.streams.touch();
        }
    }

    fn is_pausing(&self) -> bool {
        self.gather.until().is_some_and(|until| now() < until)
    }

    /// What the client has to be told, while nothing waits for it. The first byte after a rest goes at once, those that
    /// follow it go together.
    fn fill(&mut self) {
        if !self.out.is_empty() || self.is_over || self.is_pausing() {
            return;
        }
        let limit = self.limit.unwrap_or(MIN_PAYLOAD) as usize;
        let gone: Vec<_> = self
            .open
            .iter()
            .filter(|(_, place)| !self.streams.has(place.desk.key))
            .map(|(stream, _)| *stream)
            .collect();
        for place in self.open.values() {
            if self.out.len() < WAITING {
                place.desk.hub.lock().pull(place.seat, limit, &mut self.out);
            }
        }
        for stream in gone {
            self.close(stream, Some(ErrorCode::NoSuchStream));
        }
        self.follow_list();
        self.moved = now();
        if !self.out.is_empty() {
            self.gather.took(self.out.len(), self.moved);
        }
    }

    /// Once a second. `false`: the client had its time.
    fn look(&mut self) -> bool {
        let now = now();
        if self.limit.is_none() && now.saturating_duration_since(self.since) > HELLO {
            return false;
        }
        if !self.out.is_empty() && now.saturating_duration_since(self.moved) > STALL {
            debug!(who = %self.visitor.who, "a client of streams does not read");
            return false;
        }
        if self.limit.is_none() && self.manner.calls {
            ToClient::Ping(0).encode(&mut self.out);
        }
        let silence = now.saturating_duration_since(self.heard);
        if silence > SILENCE {
            debug!(who = %self.visitor.who, "a client of streams does not answer");
            return false;
        }
        if silence > QUIET && !self.is_asked {
            self.is_asked = true;
            ToClient::Ping(0).encode(&mut self.out);
        }
        let mut withdrawn = Vec::new();
        for (stream, place) in &self.open {
            let mut hub = place.desk.hub.lock();
            if self.visitor.on(hub.label().kind) != place.rights {
                withdrawn.push(*stream);
            }
            if hub.release_due().is_some_and(|due| now >= due) {
                hub.tick(now);
                self.streams.touch();
            }
        }
        for stream in withdrawn {
            self.close(stream, Some(ErrorCode::Denied));
        }
        true
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut unread = Vec::new();
        for (_, place) in std::mem::take(&mut self.open) {
            place.desk.hub.lock().close(place.seat, None, &mut unread);
        }
        self.streams.touch();
    }
}

/// The runtime's clock, which tests move.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
