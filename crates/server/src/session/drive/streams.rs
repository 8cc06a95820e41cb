//! Streams of the machine over one session: the client's channel is a byte stream to a visit like any other
//! (`server::streams`). What the visit says leaves after frames and input's answers, in small pieces while little waits;
//! a client that takes nothing is let go by the visit, one that sends more than is taken loses the channel, and neither
//! ends or holds up the session.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rdpmux_rdp::{StreamsChannel, StreamsEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use super::{Drive, End};
use crate::streams::{Manner, Streams, Visitor, visit_by};

/// The part of a session in its machine's streams.
#[derive(Default)]
pub(super) struct ViewerStreams {
    /// Until the channel is open.
    access: Option<(Streams, Visitor)>,
    line: Option<Line>,
}

/// To the visit, which ends when this is dropped.
struct Line {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    /// From the client.
    inbound: BytesMut,
    /// For the client, since when.
    outbound: Vec<u8>,
    waits_since: Instant,
    /// Where the last piece ends in the outbox. The next one waits until it is written: small pieces would fill the queue,
    /// and together they are one.
    end: u64,
    /// When the next one may go: what a busy line says meanwhile goes with it.
    pause: Instant,
    /// Told by the visit that the client's user did something.
    typed: Arc<Notify>,
}

pub(super) enum StreamsWake {
    /// Bytes moved.
    Moved,
    /// The user typed.
    Typed,
    /// The visit is over.
    Over,
}

impl ViewerStreams {
    /// Waits for something to do. Cancel-safe.
    pub(super) async fn next(&mut self) -> StreamsWake {
        let Some(line) = &mut self.line else {
            return std::future::pending().await;
        };
        let Line {
            reader,
            writer,
            inbound,
            outbound,
            waits_since,
            typed,
            ..
        } = line;
        tokio::select! {
            biased;
            () = typed.notified() => StreamsWake::Typed,
            written = writer.write_buf(inbound), if !inbound.is_empty() => match written {
                Ok(1..) => StreamsWake::Moved,
                Ok(0) | Err(_) => {
                    // Its last words are read below.
                    inbound.clear();
                    StreamsWake::Moved
                }
            },
            read = reader.read_buf(outbound), if outbound.len() < PIECE => match read {
                Ok(count @ 1..) => {
                    if count == outbound.len() {
                        *waits_since = Instant::now();
                    }
                    StreamsWake::Moved
                }
                Ok(0) | Err(_) => StreamsWake::Over,
            },
        }
    }

    /// When to look at what waits: at the end of a pause, and then when it goes out however much waits before it. `None`:
    /// not before the last piece is written, or nothing waits.
    pub(super) fn due(&self, written: u64) -> Option<Instant> {
        let line = self.line.as_ref()?;
        let waits = !line.outbound.is_empty() && line.end <= written;
        let is_pause = line.pause > Instant::now();
        waits.then_some(if is_pause {
            line.pause
        } else {
            line.waits_since + PATIENCE
        })
    }
}

impl Drive {
    /// The user may know of streams of the machine.
    pub(in crate::session) fn with_streams(mut self, streams: Streams, visitor: Visitor) -> Self {
        self.streams.access = Some((streams, visitor));
        self
    }

    pub(super) fn permit_streams(&mut self) {
        if self.streams.access.is_some() {
            self.rdp.permit_streams();
            if self.context.config.rdp2tcp {
                self.rdp.permit_rdp2tcp();
            }
        }
    }

    pub(super) fn on_streams_event(&mut self, event: StreamsEvent) -> Result<(), End> {
        match event {
            StreamsEvent::Opened(channel) => self.open_streams(channel),
            StreamsEvent::Closed => {
                debug!(session = %self.id, "the client has no channel for streams");
                self.streams = ViewerStreams::default();
            }
            StreamsEvent::Bytes(bytes) => {
                let Some(line) = &mut self.streams.line else {
                    return Ok(());
                };
                if line.inbound.len() + bytes.len() > MOST {
                    debug!(session = %self.id, "the client sends more to streams than is taken");
                    return self.close_streams();
                }
                line.inbound.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn open_streams(&mut self, channel: StreamsChannel) {
        let Some((streams, visitor)) = self.streams.access.take() else {
            return;
        };
        debug!(session = %self.id, who = %visitor.who, ?channel, "the client has a channel for streams");
        let (ours, carrier) = tokio::io::duplex(PIECE);
        let (reader, writer) = tokio::io::split(ours);
        let typed = Arc::new(Notify::new());
        let manner = Manner {
            typed: typed.clone(),
            calls: channel == StreamsChannel::Static,
        };
        // Ends when our end is dropped.
        tokio::spawn(visit_by(carrier, streams, visitor, manner));
        self.streams.line = Some(Line {
            reader,
            writer,
            inbound: BytesMut::new(),
            outbound: Vec::with_capacity(PIECE),
            waits_since: Instant::now(),
            end: 0,
            pause: Instant::now(),
            typed,
        });
    }

    fn close_streams(&mut self) -> Result<(), End> {
        self.streams.line = None;
        let mut out = Vec::new();
        self.rdp.close_streams(&mut out);
        self.push(out)
    }

    pub(super) fn on_streams_wake(&mut self, wake: StreamsWake) -> Result<(), End> {
        match wake {
            StreamsWake::Moved => Ok(()),
            StreamsWake::Typed => {
                self.liveness.on_input(Instant::now());
                Ok(())
            }
            StreamsWake::Over => {
                // Its last words.
                if let Some(line) = self.streams.line.take().filter(|line| !line.outbound.is_empty()) {
                    let mut out = Vec::new();
                    self.rdp.write_streams(&line.outbound, &mut out);
                    self.push(out)?;
                }
                self.close_streams()
            }
        }
    }

    /// Sends a piece if little waits before it, or if it has waited for long: a video on a slow link leaves no other gap.
    pub(super) fn pump_streams(&mut self) -> Result<(), End> {
        let due = self.streams.due(self.outbox.written());
        let Some((due, line)) = due.zip(self.streams.line.as_mut()) else {
            return Ok(());
        };
        let now = Instant::now();
        if line.pause > now || self.outbox.backlog() >= ROOM && due > now {
            return Ok(());
        }
        let mut out = Vec::with_capacity(line.outbound.len() + 256);
        self.rdp.write_streams(&line.outbound, &mut out);
        line.outbound.clear();
        self.outbox.push(Bytes::from(out))?;
        line.end = self.outbox.queued();
        line.pause = now + PAUSE;
        Ok(())
    }
}

/// Bytes for the client that leave at once, and bytes between the visit and us in each direction.
const PIECE: usize = 8 << 10;
/// Bytes in the outbox up to which a piece is added.
const ROOM: u64 = 16 << 10;
/// How long a piece waits for that.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two pieces: a serial line says its bytes one by one, and each piece costs some 70 bytes of RDP and TLS.
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes of a client that wait for the visit. It takes them all the time unless its client does not read its answers.
const MOST: usize = 256 << 10;
