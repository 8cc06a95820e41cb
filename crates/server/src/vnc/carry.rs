//! The streams of a machine inside a viewer's connection: what is in its chunks goes to [`visit`] and back, as over any
//! other carrier. Each side waits for the other; nothing is kept but what is on its way.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinSet;
use tracing::debug;

use rdpmux_rfb::{Shown, confirm_streams, profile_2009, stream_chunk};

use super::VncSettings;
use super::devices::Devices;
use super::end::End;
use crate::streams::{Streams, Visitor, visit};

/// Bytes between the session and the visit, each way.
const ROOM: usize = 32 << 10;
/// Bytes of one chunk.
const CHUNK: usize = 16 << 10;

/// What a viewer may ask for, until it does.
pub(super) struct Carriers {
    /// Streams that its user may know of.
    pub(super) offer: Option<(Streams, Visitor)>,
    pub(super) settings: VncSettings,
}

impl Carriers {
    /// The carrier that the viewer has asked for, the first time; appends what it is told of that.
    pub(super) fn chosen(&mut self, shown: Shown, out: &mut Vec<u8>) -> Option<Carry> {
        let encoding = self.settings.streams_2009.filter(|_| shown.devices && !shown.streams);
        if !shown.streams && encoding.is_none() {
            return None;
        }
        let mut carry = Carry::new(self.offer.take()?);
        match encoding {
            Some(encoding) => {
                let mut hello = Vec::new();
                carry.devices = Some(Devices::new(encoding, &mut hello));
                carry.give(&hello);
            }
            None => confirm_streams(out),
        }
        Some(carry)
    }
}

/// A visit inside a session. Dropping it ends the visit.
pub(super) struct Carry {
    /// For viewers that speak as in 2009.
    devices: Option<Devices>,
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    /// From the viewer, not taken yet.
    inbound: BytesMut,
    is_over: bool,
    _visit: JoinSet<()>,
}

impl Carry {
    fn new((streams, visitor): (Streams, Visitor)) -> Self {
        let (near, far) = tokio::io::duplex(ROOM);
        let (reader, writer) = tokio::io::split(near);
        let mut tasks = JoinSet::new();
        tasks.spawn(visit(far, streams, visitor));
        Self {
            devices: None,
            reader,
            writer,
            inbound: BytesMut::new(),
            is_over: false,
            _visit: tasks,
        }
    }

    /// Takes what was in a viewer's chunks.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.devices.is_none() {
            self.give(bytes);
        }
    }

    /// Takes a message of 2009.
    pub(super) fn take_2009(&mut self, message: profile_2009::ToServer) {
        let mut visit = Vec::new();
        if let Some(devices) = &mut self.devices {
            devices.said(message, &mut visit);
        }
        self.give(&visit);
    }

    /// What the visit said, in the viewer's language.
    ///
    /// # Errors
    /// [`End::Bug`].
    pub(super) fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), End> {
        let Some(devices) = &mut self.devices else {
            stream_chunk(bytes, out);
            return Ok(());
        };
        let mut visit = Vec::new();
        let heard = devices.heard(bytes, out, &mut visit);
        self.give(&visit);
        heard.map_err(|error| End::Bug(error.to_string()))
    }

    /// What is given once the visit is over is dropped.
    fn give(&mut self, bytes: &[u8]) {
        if !self.is_over {
            self.inbound.extend_from_slice(bytes);
        }
    }

    /// Whether the viewer has to wait before it is read again.
    pub(super) fn is_full(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// What the visit says next, if `wants`; empty when it took something, or is over. Cancel-safe.
    pub(super) async fn next(&mut self, wants: bool) -> Vec<u8> {
        let mut chunk = Vec::with_capacity(CHUNK);
        let count = tokio::select! {
            biased;
            written = self.writer.write(&self.inbound), if !self.inbound.is_empty() => {
                written.inspect(|count| drop(self.inbound.split_to(*count)))
            }
            read = self.reader.read_buf(&mut chunk), if wants && !self.is_over => read,
            count = std::future::pending() => count,
        };
        if !matches!(count, Ok(1..)) {
            debug!("a viewer's streams ended");
            self.is_over = true;
            self.inbound.clear();
        }
        chunk
    }
}
