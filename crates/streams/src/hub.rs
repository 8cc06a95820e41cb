//! A stream in the daemon: one device, many clients. The hub keeps the output, knows how far each client is and what it
//! may take, and who writes. It is not a task: whoever reads the device calls [`Hub::output`], and each client's
//! connection calls [`Hub::pull`] when it can send. Nothing here waits, so no client holds up the device or another.
//!
//! ```text
//! device → output → history ──┬─ pull (cursor, credit) → client
//!                             └─ pull (cursor, credit) → client
//! device ← take_input ← queue ←─ input ← the one client that writes
//! ```

mod seat;
mod writing;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::error::ErrorCode;
use crate::history::{History, Keep, Piece};
use crate::text::Text;
use crate::to_client::{Entry, ToClient};
use crate::words::{Event, Kind, Mode, Replay, Rights, State};
use seat::Seat;
pub use seat::{SeatId, Terms};
use writing::Writing;
pub use writing::{Input, Output};

/// What a stream is called and what it is.
#[derive(Debug, Clone)]
pub struct Label {
    /// By which it is opened, not empty.
    pub name: Text<'static>,
    /// For people.
    pub title: Text<'static>,
    /// What it is.
    pub kind: Kind,
}

/// One stream.
#[derive(Debug)]
pub struct Hub {
    label: Label,
    state: State,
    history: History,
    seats: BTreeMap<SeatId, Seat>,
    next_seat: u64,
    writing: Writing,
    size: (u16, u16),
    /// The last few, with when they were in ms since 1970.
    events: VecDeque<(Event, u64)>,
    /// Events so far.
    event_count: u64,
    revision: u64,
}

impl Hub {
    /// Clients of one stream.
    pub const SEATS: usize = 64;
    /// Events that a client may be late.
    const EVENTS: usize = 16;

    /// A stream without output yet.
    pub fn new(label: Label, keep: Keep) -> Self {
        Self {
            label,
            state: State::NoSource,
            history: History::new(keep),
            seats: BTreeMap::new(),
            next_seat: 0,
            writing: Writing::default(),
            size: (0, 0),
            events: VecDeque::new(),
            event_count: 0,
            revision: 0,
        }
    }

    /// What it is.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Changes with whatever an entry of the list says, but for the counts of bytes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Its place in a list, for a client with these rights.
    pub fn entry(&self, key: u32, rights: Rights) -> Entry<'_> {
        Entry {
            key,
            kind: self.label.kind,
            rights,
            state: self.state,
            total: self.history.total(),
            oldest: self.history.oldest(),
            watchers: u16::try_from(self.seats.len()).unwrap_or(u16::MAX),
            size: self.size,
            name: self.label.name.clone(),
            title: self.label.title.clone(),
            writer: self.writer_name(),
        }
    }

    // ── the device's side ──

    /// The device said something.
    pub fn output(&mut self, bytes: &[u8]) {
        self.history.append(bytes);
    }

    /// Bytes that it said so far.
    pub fn total(&self) -> u64 {
        self.history.total()
    }

    /// How the device is. Without a source, input that waits is dropped: nobody knows what it would meet later.
    pub fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.revision += 1;
        }
        if state == State::NoSource || state == State::Off {
            self.writing.drop_queue(&mut self.seats);
        }
    }

    /// Something happened, `at` ms after 1970.
    pub fn event(&mut self, what: Event, at: u64) {
        if self.events.len() == Self::EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((what, at));
        self.event_count += 1;
    }

    /// What the device is to be given next, `max` bytes at most.
    pub fn take_input(&mut self, max: usize) -> Option<Input> {
        self.writing.take(max, &mut self.seats)
    }

    // ── the clients' side ──

    /// A client opens the stream; OPENED is appended to `out`.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchStream`] without the right to watch, [`ErrorCode::Denied`] if the wanted mode takes more rights,
    /// [`ErrorCode::Limit`] if too many have it open.
    pub fn open(&mut self, terms: Terms, now: Instant, out: &mut Vec<u8>) -> Result<SeatId, ErrorCode> {
        let needed = match terms.mode {
            Mode::Watch => Rights::WATCH,
            Mode::Write => Rights::WATCH.with(Rights::WRITE),
            Mode::TakeOver => Rights::WATCH.with(Rights::WRITE).with(Rights::TAKE_OVER),
        };
        if !terms.rights.has(Rights::WATCH) {
            return Err(ErrorCode::NoSuchStream);
        }
        if !terms.rights.has(needed) {
            return Err(ErrorCode::Denied);
        }
        if self.seats.len() >= Self::SEATS {
            return Err(ErrorCode::Limit);
        }
        let id = SeatId(self.next_seat);
        self.next_seat += 1;
        self.revision += 1;
        let (request, mode, stream) = (terms.request, terms.mode, terms.stream);
        let total = self.history.total();
        let cursor = match terms.replay {
            _ if !terms.rights.has(Rights::HISTORY) => total,
            Replay::None => total,
            Replay::Last(bytes) => total.saturating_sub(bytes).max(self.history.oldest()),
            Replay::From(offset) => offset.min(total),
        };
        self.seats.insert(id, Seat::new(terms, cursor, total, self.event_count));
        let is_writer = mode != Mode::Watch && self.ask(id, mode == Mode::TakeOver, now);
        let message = ToClient::Opened {
            stream,
            request,
            mode: if is_writer { Mode::Write } else { Mode::Watch },
            size: self.size,
            offset: cursor,
            credit: Seat::INPUT,
        };
        message.encode(out);
        Ok(id)
    }

    /// A client leaves, or has to (`code`); CLOSED is appended to `out`. What it typed before is still typed.
    pub fn close(&mut self, id: SeatId, code: Option<ErrorCode>, out: &mut Vec<u8>) {
        let Some(seat) = self.seats.remove(&id) else {
            return;
        };
        self.revision += 1;
        self.writing.leave(id);
        let text = code.map(|code| code.to_string()).unwrap_or_default();
        let message = ToClient::Closed {
            stream: seat.stream(),
            code,
            offset: seat.cursor(),
            text: Text::cleaned(&text),
        };
        message.encode(out);
    }

    /// The client can take so many bytes of output more.
    ///
    /// # Errors
    /// [`ErrorCode::CreditOverrun`] if that is more than can be counted.
    pub fn grant(&mut self, id: SeatId, add: u32) -> Result<(), ErrorCode> {
        self.seats.get_mut(&id).map_or(Ok(()), |seat| seat.grant(add))
    }

    /// Appends what the client has to be told and, within its credit, the next output to `out`: one frame of output at
    /// most, with a payload of `limit` bytes at most. Says whether anything was appended; call again until not.
    pub fn pull(&mut self, id: SeatId, limit: usize, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let writer = self.writing.writer();
        let name = self.writer_name().into_owned();
        let Some(seat) = self.seats.get_mut(&id) else {
            return false;
        };
        seat.tell_writer(writer, name, self.writing.changes(), id, out);
        seat.tell_events(&self.events, self.event_count, out);
        seat.tell_credit(out);
        seat.tell_output(&self.history, limit, out);
        out.len() > before
    }

    /// Old output for a client that need not have the stream open, see [`History::read`].
    pub fn history(&self, from: u64, max: usize) -> Piece<'_> {
        self.history.read(from, max)
    }

    /// The writer's terminal has this size. Others cannot say so.
    pub fn resize(&mut self, id: SeatId, columns: u16, rows: u16) {
        let may = |seat: &Seat| seat.rights().has(Rights::RESIZE);
        if self.writing.writer() == Some(id) && self.seats.get(&id).is_some_and(may) && self.size != (columns, rows) {
            self.size = (columns, rows);
            self.revision += 1;
        }
    }

    fn writer_name(&self) -> Text<'_> {
        let seat = self.writing.writer().and_then(|id| self.seats.get(&id));
        seat.map(|seat| seat.who().clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
