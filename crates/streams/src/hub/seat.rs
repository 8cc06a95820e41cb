//! One client of a stream: how far it is, what it may take and send, and what it was told.

use std::collections::VecDeque;

use crate::error::ErrorCode;
use crate::history::History;
use crate::text::Text;
use crate::to_client::ToClient;
use crate::words::{Event, GapCause, Mode, Replay, Rights, Writer};

/// A client of one stream. Not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(pub(super) u64);

impl SeatId {
    /// Nobody's; what it types is the daemon's.
    pub(super) const DAEMON: Self = Self(u64::MAX);
}

/// How a client opens a stream.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Number of its request.
    pub request: u32,
    /// The stream's number on its connection, not 0.
    pub stream: u16,
    /// What it may do.
    pub rights: Rights,
    /// What it wants.
    pub mode: Mode,
    /// Old output that it wants; it gets some only with the right to history.
    pub replay: Replay,
    /// Bytes of output that it takes at first.
    pub credit: u32,
    /// Who it is, for others.
    pub who: Text<'static>,
}

#[derive(Debug)]
pub(super) struct Seat {
    stream: u16,
    rights: Rights,
    who: Text<'static>,
    /// Offset of the next byte for it.
    cursor: u64,
    /// What is before this offset was there before the client, or before it became the writer.
    live: u64,
    /// Bytes of output that it still takes.
    credit: u32,
    /// Bytes of input that it may still send.
    allowance: u32,
    /// Bytes of input that it sent and may send again.
    owed: u32,
    /// Change of the writer that it was told of; `None`: has to be told.
    told: Option<u64>,
    /// Events that it was told of, or missed.
    events: u64,
}

impl Seat {
    /// Input that a client may send ahead, in bytes.
    pub(super) const INPUT: u32 = 4 << 10;

    pub(super) fn new(terms: Terms, cursor: u64, live: u64, events: u64) -> Self {
        Self {
            stream: terms.stream,
            rights: terms.rights,
            who: terms.who,
            cursor,
            live,
            credit: terms.credit,
            allowance: Self::INPUT,
            owed: 0,
            told: None,
            events,
        }
    }

    pub(super) fn stream(&self) -> u16 {
        self.stream
    }

    pub(super) fn rights(&self) -> Rights {
        self.rights
    }

    pub(super) fn who(&self) -> &Text<'static> {
        &self.who
    }

    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) fn live_from(&mut self, offset: u64) {
        self.live = offset;
    }

    pub(super) fn grant(&mut self, add: u32) -> Result<(), ErrorCode> {
        self.credit = self.credit.checked_add(add).ok_or(ErrorCode::CreditOverrun)?;
        Ok(())
    }

    /// Takes input off the allowance.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<u32, ErrorCode> {
        let bytes = u32::try_from(bytes).map_err(|_| ErrorCode::CreditOverrun)?;
        self.allowance = self.allowance.checked_sub(bytes).ok_or(ErrorCode::CreditOverrun)?;
        Ok(bytes)
    }

    /// Input went where it had to; the client may send as much again.
    pub(super) fn owe(&mut self, bytes: u32) {
        self.owed += bytes;
    }

    /// The client is told who writes, though it was before.
    pub(super) fn remind(&mut self) {
        self.told = None;
    }

    pub(super) fn tell_writer(
        &mut self,
        writer: Option<SeatId>,
        who: Text<'static>,
        changes: u64,
        id: SeatId,
        out: &mut Vec<u8>,
    ) {
        if self.told.replace(changes) == Some(changes) {
            return;
        }
        let message = ToClient::Writer {
            stream: self.stream,
            writer: match writer {
                None => Writer::Nobody,
                Some(writer) if writer == id => Writer::You,
                Some(_) => Writer::Other,
            },
            who,
        };
        message.encode(out);
    }

    pub(super) fn tell_events(&mut self, events: &VecDeque<(Event, u64)>, count: u64, out: &mut Vec<u8>) {
        let missed = usize::try_from(count - self.events).unwrap_or(usize::MAX);
        self.events = count;
        for (what, at) in events.iter().skip(events.len().saturating_sub(missed)) {
            let message = ToClient::Event {
                stream: self.stream,
                what: *what,
                at: *at,
            };
            message.encode(out);
        }
    }

    pub(super) fn tell_credit(&mut self, out: &mut Vec<u8>) {
        if self.owed == 0 {
            return;
        }
        let add = std::mem::take(&mut self.owed);
        self.allowance += add;
        let message = ToClient::Credit {
            stream: self.stream,
            add,
        };
        message.encode(out);
    }

    pub(super) fn tell_output(&mut self, history: &History, limit: usize, out: &mut Vec<u8>) {
        let is_replay = self.cursor < self.live;
        let room = limit.saturating_sub(ToClient::OVERHEAD).min(self.credit as usize);
        let piece = history.read(self.cursor, room);
        if piece.bytes.is_empty() {
            return;
        }
        if piece.offset > self.cursor {
            let message = ToClient::Gap {
                stream: self.stream,
                from: self.cursor,
                to: piece.offset,
                why: if is_replay { GapCause::Expired } else { GapCause::Slow },
            };
            message.encode(out);
            self.cursor = piece.offset;
        }
        let old = usize::try_from(self.live.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
        let bytes = match old {
            0 => piece.bytes,
            old => &piece.bytes[..old.min(piece.bytes.len())],
        };
        let message = ToClient::Data {
            stream: self.stream,
            is_replay: old > 0,
            offset: piece.offset,
            bytes,
        };
        message.encode(out);
        self.cursor += bytes.len() as u64;
        self.credit -= u32::try_from(bytes.len()).expect("within the credit");
    }
}
