//! Network auto-detection during the session ([MS-RDPBCGR] 2.2.14, 1.3.9): round trips and the rate of what lies between
//! two marks. The clock is the caller's; the client times a bandwidth measurement itself.

use std::collections::VecDeque;

use super::{SessionError, SessionEvent, peer};
use crate::wire::{self, Reader};

const SECURITY_REQUEST: u16 = 0x1000;
const SECURITY_RESPONSE: u16 = 0x2000;
const TYPE_REQUEST: u8 = 0;
const TYPE_RESPONSE: u8 = 1;
const HEADER: u8 = 6;

/// Requests of the continuous phase over the main connection.
const ROUND_TRIP_REQUEST: u16 = 0x0001;
const BANDWIDTH_START: u16 = 0x0014;
const BANDWIDTH_STOP: u16 = 0x0429;
const ROUND_TRIP_RESPONSE: u16 = 0x0000;
const BANDWIDTH_RESULTS: u16 = 0x000B;

/// Requests that may be on their way; the oldest is given up for a new one.
const OUTSTANDING: usize = 16;

/// What was asked of a client that takes such questions.
#[derive(Debug)]
pub(super) struct AutoDetect {
    /// MCS message channel.
    channel: u16,
    sequence: u16,
    round_trips: VecDeque<u16>,
    bandwidths: VecDeque<u16>,
    /// A measurement has started and was not stopped.
    measures: bool,
}

impl AutoDetect {
    pub(super) fn new(channel: u16) -> Self {
        Self {
            channel,
            sequence: 0,
            round_trips: VecDeque::new(),
            bandwidths: VecDeque::new(),
            measures: false,
        }
    }

    pub(super) fn channel(&self) -> u16 {
        self.channel
    }

    pub(super) fn round_trip(&mut self, out: &mut Vec<u8>) -> u16 {
        let sequence = self.request(ROUND_TRIP_REQUEST, out);
        remember(&mut self.round_trips, sequence);
        sequence
    }

    pub(super) fn start(&mut self, out: &mut Vec<u8>) -> bool {
        if self.measures {
            return false;
        }
        self.measures = true;
        self.request(BANDWIDTH_START, out);
        true
    }

    pub(super) fn stop(&mut self, out: &mut Vec<u8>) -> Option<u16> {
        if !core::mem::take(&mut self.measures) {
            return None;
        }
        let sequence = self.request(BANDWIDTH_STOP, out);
        remember(&mut self.bandwidths, sequence);
        Some(sequence)
    }

    fn request(&mut self, kind: u16, out: &mut Vec<u8>) -> u16 {
        self.sequence = self.sequence.wrapping_add(1);
        wire::send_data(out, self.channel, |out| {
            out.extend_from_slice(&SECURITY_REQUEST.to_le_bytes());
            out.extend_from_slice(&[0, 0, HEADER, TYPE_REQUEST]);
            out.extend_from_slice(&self.sequence.to_le_bytes());
            out.extend_from_slice(&kind.to_le_bytes());
        });
        self.sequence
    }

    /// Takes a message of the message channel. Answers to what was not asked, and other messages, are stepped over.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<Option<SessionEvent>, SessionError> {
        const BROKEN: &str = "message channel PDU";
        let mut r = Reader(data);
        let (flags, _) = (r.u16().ok_or(peer(BROKEN))?, r.u16().ok_or(peer(BROKEN))?);
        if flags & SECURITY_RESPONSE == 0 {
            tracing::debug!(flags, "message channel PDU without a use");
            return Ok(None);
        }
        let header = r.bytes::<6>().ok_or(peer("auto-detect response"))?;
        let [_length, TYPE_RESPONSE, s0, s1, k0, k1] = header else {
            return Err(peer("auto-detect response"));
        };
        let sequence = u16::from_le_bytes([s0, s1]);
        match u16::from_le_bytes([k0, k1]) {
            ROUND_TRIP_RESPONSE => {
                Ok(forget(&mut self.round_trips, sequence).then_some(SessionEvent::RoundTrip { sequence }))
            }
            BANDWIDTH_RESULTS => {
                let elapsed_ms = r.u32().ok_or(peer("bandwidth measure results"))?;
                let bytes = r.u32().ok_or(peer("bandwidth measure results"))?;
                Ok(
                    forget(&mut self.bandwidths, sequence).then_some(SessionEvent::Bandwidth {
                        sequence,
                        elapsed_ms,
                        bytes,
                    }),
                )
            }
            kind => {
                tracing::debug!(kind, "auto-detect response without a use");
                Ok(None)
            }
        }
    }
}

pub(super) fn remember(asked: &mut VecDeque<u16>, sequence: u16) {
    if asked.len() >= OUTSTANDING {
        asked.pop_front();
    }
    asked.push_back(sequence);
}

/// Whether it was asked; what was asked before it will not be answered any more.
pub(super) fn forget(asked: &mut VecDeque<u16>, sequence: u16) -> bool {
    let Some(at) = asked.iter().position(|known| *known == sequence) else {
        return false;
    };
    asked.drain(..=at);
    true
}
