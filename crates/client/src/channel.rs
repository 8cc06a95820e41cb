//! The dynamic channels that this client has: the one for streams, `ECHO` so that the server can measure the link, and
//! the graphics pipeline, which is opened so that a change of the guest's mode needs no answer, and never looked at.

use std::sync::{Arc, Mutex, PoisonError};

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DrdynvcClient, DvcClientProcessor, DvcMessage, DvcProcessor};
use ironrdp_pdu::PduResult;

use crate::plain::Plain;

/// What was heard on the channels.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Number of the channel for streams.
    pub(crate) open: Option<u32>,
    /// The server closed it.
    pub(crate) is_closed: bool,
    /// The server has offered others: it offers all at once.
    pub(crate) others: bool,
    /// What came for us.
    pub(crate) bytes: Vec<u8>,
}

/// Shared with the processors, which IronRDP owns. One thread uses all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channels(Arc<Mutex<Heard>>);

impl Channels {
    pub(crate) fn with<T>(&self, then: impl FnOnce(&mut Heard) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn client(&self) -> DrdynvcClient {
        DrdynvcClient::new()
            .with_dynamic_channel(Streams(self.clone()))
            .with_dynamic_channel(Echo(self.clone()))
            .with_dynamic_channel(Blind)
    }
}

struct Streams(Channels);

impl_as_any!(Streams);
impl DvcClientProcessor for Streams {}

impl DvcProcessor for Streams {
    fn channel_name(&self) -> &str {
        "RDPMUX.STREAMS"
    }

    fn start(&mut self, channel: u32) -> PduResult<Vec<DvcMessage>> {
        self.0.with(|heard| heard.open = Some(channel));
        Ok(Vec::new())
    }

    fn process(&mut self, _channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        self.0.with(|heard| heard.bytes.extend_from_slice(payload));
        Ok(Vec::new())
    }

    fn close(&mut self, _channel: u32) {
        self.0.with(|heard| heard.is_closed = true);
    }
}

struct Echo(Channels);

impl_as_any!(Echo);
impl DvcClientProcessor for Echo {}

impl DvcProcessor for Echo {
    fn channel_name(&self) -> &str {
        "ECHO"
    }

    fn start(&mut self, _channel: u32) -> PduResult<Vec<DvcMessage>> {
        self.0.with(|heard| heard.others = true);
        Ok(Vec::new())
    }

    fn process(&mut self, _channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(vec![Box::new(Plain(payload.to_vec()))])
    }
}

struct Blind;

impl_as_any!(Blind);
impl DvcClientProcessor for Blind {}

impl DvcProcessor for Blind {
    fn channel_name(&self) -> &str {
        "Microsoft::Windows::RDS::Graphics"
    }

    fn start(&mut self, _channel: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(vec![Box::new(Plain(CAPABILITIES.to_vec()))])
    }

    fn process(&mut self, _channel: u32, _payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }
}

/// `RDPGFX_CAPS_ADVERTISE_PDU` with version 8 and a small cache ([MS-RDPEGFX] 2.2.2.18, 2.2.3.1).
const CAPABILITIES: [u8; 22] = [0x12, 0, 0, 0, 22, 0, 0, 0, 1, 0, 4, 0, 8, 0, 4, 0, 0, 0, 2, 0, 0, 0];
