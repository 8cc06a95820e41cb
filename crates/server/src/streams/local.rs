//! A client of one stream within the daemon: what it asks and is told goes through [`visit`](super::visit) as for every
//! other client, so it has their rights, their place and their limits.

use std::collections::VecDeque;

use rdpmux_streams::{Replay, Text, WireError, Wish};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::line::{Line, Said};
use super::{Streams, Visitor, visit};

/// See the module.
pub struct Local {
    line: Line,
    carrier: DuplexStream,
    said: VecDeque<Said>,
    visit: JoinHandle<()>,
}

/// Bytes under way between us and the desks.
const CARRIER: usize = 64 << 10;

impl Local {
    /// Opens a stream to watch it, on the current tokio runtime.
    pub fn open(streams: &Streams, stream: Text<'static>, replay: Replay, visitor: Visitor) -> Self {
        let (carrier, theirs) = tokio::io::duplex(CARRIER);
        Self {
            line: Line::new(stream, replay),
            carrier,
            said: VecDeque::new(),
            visit: tokio::spawn(visit(theirs, streams.clone(), visitor)),
        }
    }

    /// What it is told next; `None` after the end. What was written goes out meanwhile, so call it always. Cancel-safe.
    pub async fn next(&mut self) -> Option<Said> {
        let mut buffer = Vec::with_capacity(16 << 10);
        while self.said.is_empty() {
            let (mut reader, mut writer) = tokio::io::split(&mut self.carrier);
            let waits = !self.line.out().is_empty();
            tokio::select! {
                biased;
                sent = writer.write(self.line.out()), if waits => match sent {
                    Ok(count @ 1..) => self.line.sent(count),
                    _ => return None,
                },
                read = reader.read_buf(&mut buffer) => {
                    if !matches!(read, Ok(1..)) || self.hear(&buffer).is_err() {
                        return None;
                    }
                    buffer.clear();
                }
            }
        }
        self.said.pop_front()
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let mut said = Vec::new();
        let result = self.line.feed(bytes, &mut said);
        self.said.extend(said);
        result
    }

    /// Whether what is written now is kept until the device takes it.
    pub fn has_room(&self) -> bool {
        self.line.has_room()
    }

    /// Whether nothing that was typed is still on its way to the device; [`Said::Taken`] tells when.
    pub fn is_taken(&self) -> bool {
        self.line.is_taken()
    }

    /// Lets others write.
    pub fn release(&mut self) {
        self.line.wish(Wish::Release);
    }

    /// Types. Asks for the right to write first, which is granted if nobody else writes; otherwise the bytes are dropped.
    pub fn write(&mut self, bytes: &[u8]) {
        self.line.wish(Wish::Ask);
        self.line.write(bytes);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.visit.abort();
    }
}
