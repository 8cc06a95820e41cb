//! What waits to be sent on the clipboard channel. Messages leave in pieces, as much as the caller has room for: a big one
//! holds up neither frames nor input, only the clipboard messages behind it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::pdu::FORMAT_LIST;
use crate::wire;

/// Messages that may wait. Only a client that asks without end and takes no answer comes that far: the answers to it
/// are then left out.
const MESSAGES: usize = 64;

struct Message {
    head: Vec<u8>,
    body: Bytes,
}

impl Message {
    fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Appends the bytes from `start` to `end` to `out`.
    fn copy(&self, start: usize, end: usize, out: &mut Vec<u8>) {
        let head = self.head.len();
        out.extend_from_slice(&self.head[start.min(head)..end.min(head)]);
        out.extend_from_slice(&self.body[start.saturating_sub(head)..end.saturating_sub(head)]);
    }

    fn is_format_list(&self) -> bool {
        self.head.starts_with(&FORMAT_LIST.to_le_bytes())
    }
}

#[derive(Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Message>,
    /// Bytes of the first message that are gone.
    sent: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a message. A list of formats takes the place of one that has not begun to leave.
    pub(super) fn push(&mut self, head: Vec<u8>, body: Bytes) {
        let message = Message { head, body };
        if message.is_format_list() {
            let begun = usize::from(self.sent > 0);
            let mut index = 0;
            self.queue.retain(|waiting| {
                index += 1;
                index <= begun || !waiting.is_format_list()
            });
        }
        if self.queue.len() < MESSAGES {
            self.queue.push_back(message);
        } else {
            tracing::debug!("a clipboard message was left out: the client takes none");
        }
    }

    /// Appends chunks until `budget` bytes are there or nothing waits.
    pub(super) fn fill(&mut self, channel: u16, budget: usize, out: &mut Vec<u8>) {
        let end = out.len().saturating_add(budget);
        while out.len() < end
            && let Some(message) = self.queue.front()
        {
            let total = message.len();
            let (start, stop) = (self.sent, total.min(self.sent + wire::CHANNEL_CHUNK));
            let place = wire::Place {
                total,
                first: start == 0,
                last: stop == total,
            };
            wire::static_chunk(out, channel, place, |out| message.copy(start, stop, out));
            self.sent = stop;
            if stop == total {
                self.queue.pop_front();
                self.sent = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_leaves_in_pieces_and_only_the_newest_list_behind_it() {
        let mut outgoing = Outgoing::default();
        let long: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        outgoing.push(vec![5, 0, 0, 0], Bytes::from(long.clone()));
        let list = |mark: u8| vec![FORMAT_LIST as u8, 0, 0, mark];
        let mut whole = Vec::new();
        outgoing.fill(1004, 2000, &mut whole);
        assert!(whole.len() < 4000);
        outgoing.push(list(1), Bytes::new());
        outgoing.push(list(2), Bytes::new());
        let mut pieces = 1;
        while !outgoing.is_empty() {
            outgoing.fill(1004, 2000, &mut whole);
            pieces += 1;
        }
        assert_eq!(pieces, 4);
        let mut payload = Vec::new();
        let mut rest = &whole[..];
        while let Some(pdu) = wire::next_pdu(rest).expect("our own framing") {
            // TPKT, X.224, MCS header, chunk header.
            payload.extend_from_slice(&pdu[7 + 8 + 8..]);
            rest = &rest[pdu.len()..];
        }
        assert_eq!(payload, [&[5, 0, 0, 0], &long[..], &list(2)].concat());
    }

    #[test]
    fn a_client_that_takes_nothing_does_not_make_the_queue_grow() {
        let mut outgoing = Outgoing::default();
        for _ in 0..10_000 {
            outgoing.push(vec![5, 0], Bytes::new());
        }
        assert_eq!(outgoing.queue.len(), MESSAGES);
    }
}
