//! Who writes, and what was written and is not with the device yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Hub;
use super::seat::{Seat, SeatId};
use crate::error::ErrorCode;
use crate::words::{Event, Rights, State, Wish};

/// What a device is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Bytes, one at least.
    Bytes(Vec<u8>),
    /// A break of so many ms; 0: the usual length.
    Break(u16),
}

/// What a device says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes.
    Bytes(Vec<u8>),
    /// How it is now.
    State(State),
    /// It was unplugged; nothing comes after this.
    Unplugged,
}

#[derive(Debug, Default)]
pub(super) struct Writing {
    /// And when it wrote last.
    writer: Option<(SeatId, Instant)>,
    changes: u64,
    queue: VecDeque<(SeatId, Input)>,
    bytes: usize,
    breaks: usize,
}

impl Writing {
    pub(super) fn writer(&self) -> Option<SeatId> {
        self.writer.map(|(id, _)| id)
    }

    /// Changes of the writer so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    fn set(&mut self, writer: Option<(SeatId, Instant)>) {
        if self.writer() != writer.map(|(id, _)| id) {
            self.changes += 1;
        }
        self.writer = writer;
    }

    pub(super) fn leave(&mut self, id: SeatId) {
        if self.writer() == Some(id) {
            self.set(None);
        }
    }

    fn push(&mut self, id: SeatId, bytes: &[u8]) -> bool {
        if self.bytes + bytes.len() > QUEUE {
            return false;
        }
        self.bytes += bytes.len();
        match self.queue.back_mut() {
            Some((last, Input::Bytes(waiting))) if *last == id => waiting.extend_from_slice(bytes),
            _ => self.queue.push_back((id, Input::Bytes(bytes.to_vec()))),
        }
        true
    }

    pub(super) fn take(&mut self, max: usize, seats: &mut BTreeMap<SeatId, Seat>) -> Option<Input> {
        let (id, input) = self.queue.pop_front()?;
        let mut bytes = match input {
            Input::Bytes(bytes) => bytes,
            Input::Break(ms) => {
                self.breaks -= 1;
                return Some(Input::Break(ms));
            }
        };
        if bytes.len() > max {
            let rest = bytes.split_off(max);
            self.queue.push_front((id, Input::Bytes(rest)));
        }
        self.bytes -= bytes.len();
        give_back(id, bytes.len(), seats);
        Some(Input::Bytes(bytes))
    }

    pub(super) fn drop_queue(&mut self, seats: &mut BTreeMap<SeatId, Seat>) {
        for (id, input) in self.queue.drain(..) {
            if let Input::Bytes(bytes) = input {
                give_back(id, bytes.len(), seats);
            }
        }
        (self.bytes, self.breaks) = (0, 0);
    }
}

fn give_back(id: SeatId, bytes: usize, seats: &mut BTreeMap<SeatId, Seat>) {
    if let Some(seat) = seats.get_mut(&id) {
        seat.owe(u32::try_from(bytes).expect("no more than was granted"));
    }
}

impl Hub {
    /// A writer that is silent for so long is released.
    pub const IDLE: Duration = Duration::from_secs(30 * 60);

    /// Who writes.
    pub fn writer(&self) -> Option<SeatId> {
        self.writing.writer()
    }

    /// The client wants to write, or no longer. The answer is WRITER, whatever comes of it.
    pub fn wish(&mut self, id: SeatId, wish: Wish, now: Instant) {
        match wish {
            Wish::Ask => {
                self.ask(id, false, now);
            }
            Wish::TakeOver => {
                self.ask(id, true, now);
            }
            Wish::Release if self.writing.writer() == Some(id) => {
                self.writing.set(None);
                self.revision += 1;
            }
            Wish::Release => {}
        }
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.remind();
        }
    }

    /// Whether the client writes now. Who may not write, or not take over, does as if it were not asked.
    pub(super) fn ask(&mut self, id: SeatId, is_take_over: bool, now: Instant) -> bool {
        let Some(rights) = self.seats.get(&id).map(Seat::rights) else {
            return false;
        };
        let is_free = self.writing.writer().is_none_or(|writer| writer == id);
        let may = rights.has(Rights::WRITE) && (is_free || is_take_over && rights.has(Rights::TAKE_OVER));
        if may {
            if self.writing.writer() != Some(id) {
                self.begin_to_answer(id);
            }
            self.writing.set(Some((id, now)));
            self.revision += 1;
        }
        may
    }

    /// What was said before somebody became the writer was another's to answer.
    fn begin_to_answer(&mut self, id: SeatId) {
        let total = self.history.total();
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.live_from(total);
        }
    }

    /// What the device asked of its terminal, answered by the daemon: given to it while nobody writes, whose terminal would.
    pub fn answer(&mut self, bytes: &[u8]) {
        if self.writing.writer().is_none() && !bytes.is_empty() {
            self.writing.push(SeatId::DAEMON, bytes);
        }
    }

    /// Input of a client. Of one that does not write it is dropped, and the client is told who does.
    ///
    /// # Errors
    /// [`ErrorCode::CreditOverrun`].
    pub fn input(&mut self, id: SeatId, bytes: &[u8], now: Instant) -> Result<(), ErrorCode> {
        let Some(seat) = self.seats.get_mut(&id) else {
            return Ok(());
        };
        let count = seat.spend(bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.writing.writer() != Some(id) {
            seat.owe(count);
            seat.remind();
            return Ok(());
        }
        self.writing.writer = Some((id, now));
        if !self.writing.push(id, bytes) {
            seat.owe(count);
        }
        Ok(())
    }

    /// A break by the writer, who needs the right to it, `at` ms after 1970. Others hear of it. Says whether it was taken.
    pub fn send_break(&mut self, id: SeatId, ms: u16, now: Instant, at: u64) -> bool {
        let may = |seat: &Seat| seat.rights().has(Rights::BREAK);
        let is_taken =
            self.writing.writer() == Some(id) && self.seats.get(&id).is_some_and(may) && self.writing.breaks < BREAKS;
        if is_taken {
            self.writing.writer = Some((id, now));
            self.writing.breaks += 1;
            self.writing.queue.push_back((id, Input::Break(ms)));
            self.event(Event::Break, at);
        } else if let Some(seat) = self.seats.get_mut(&id) {
            seat.remind();
        }
        is_taken
    }

    /// Releases a writer that was silent for too long.
    pub fn tick(&mut self, now: Instant) {
        if self.release_due().is_some_and(|due| now >= due) {
            self.writing.set(None);
            self.revision += 1;
        }
    }

    /// When [`Hub::tick`] has something to do, if nothing happens until then.
    pub fn release_due(&self) -> Option<Instant> {
        self.writing.writer.map(|(_, last)| last + Self::IDLE)
    }
}

/// Bytes for a device that takes none; what comes further is dropped.
const QUEUE: usize = 64 << 10;
/// Breaks for it.
const BREAKS: usize = 8;
