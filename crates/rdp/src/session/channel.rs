//! The dynamic channels of one client: bounded reassembly of `drdynvc` and IronRDP's server on top of it.
//! [`graphics`](super::graphics) and IronRDP's display control are the processors in it.

use ironrdp_displaycontrol::pdu::{DisplayControlCapabilities, DisplayControlMonitorLayout};
use ironrdp_displaycontrol::server::{DisplayControlHandler, DisplayControlServer};
use ironrdp_dvc::DrdynvcServer;
use ironrdp_svc::{SvcMessage, SvcProcessor as _};
use rdpmux_model::Touch;

use super::SessionError;
use super::chunks::Chunks;
use super::echo::Echo;
use super::graphics::{Graphics, GraphicsEvent};
use super::touch::Touches;
use crate::wire::{self, DynamicChannel, Reader};

/// The longest message of a client on our dynamic channels is a full cache offer: 5,462 entries of 12 bytes.
const MAX_MESSAGE: usize = 72 * 1024;
const COMMAND_DATA_FIRST: u8 = 2;
const COMMAND_DATA_FIRST_COMPRESSED: u8 = 6;
const COMMAND_DATA_COMPRESSED: u8 = 7;

/// Monitors and monitor area that display control announces; layout requests are not acted on yet.
const MONITORS: u32 = 1;
const MONITOR_AREA: (u32, u32) = (3840, 2400);

/// `drdynvc` of one client.
pub(crate) struct DynamicChannels {
    carrier: u16,
    server: DrdynvcServer,
    chunks: Chunks,
}

impl DynamicChannels {
    /// The channels on the MCS channel `carrier`, with the graphics pipeline if the client has it.
    pub(crate) fn new(carrier: u16, graphics: Option<Graphics>) -> Self {
        let mut server = DrdynvcServer::new();
        if let Some(graphics) = graphics {
            server = server.with_dynamic_channel(graphics);
        }
        Self {
            carrier,
            server: server
                .with_dynamic_channel(DisplayControlServer::new(Box::new(Layouts)))
                .with_dynamic_channel(Echo::default())
                .with_dynamic_channel(Touches::default()),
            chunks: Chunks::new(MAX_MESSAGE),
        }
    }

    pub(crate) fn carrier(&self) -> u16 {
        self.carrier
    }

    pub(crate) fn start(&mut self, out: &mut Vec<u8>) {
        let messages = self.server.start().expect("the capabilities request is constant");
        self.write(messages, out);
    }

    /// Takes one chunk; hands what came on the graphics channel to `sink`.
    pub(crate) fn chunk(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
        mut sink: impl FnMut(DynamicChannel, GraphicsEvent),
    ) -> Result<(), SessionError> {
        let Some(message) = self.chunks.take(chunk)? else {
            return Ok(());
        };
        check_data_first(&message)?;
        let messages = self.server.process(&message).map_err(|e| SessionError::Peer {
            message: "dynamic channel message",
            source: Some(Box::new(e)),
        })?;
        self.write(messages, out);
        if let Some(id) = self.server.get_channel_id_by_type::<Graphics>()
            && let Some(mut graphics) = self.server.dvc_by_id_mut::<Graphics>(id)
        {
            let carrier = self.carrier;
            for event in graphics.processor_mut().take_events() {
                sink(DynamicChannel { carrier, id }, event);
            }
        }
        Ok(())
    }

    /// Asks through the channel `ECHO`, if the client has opened it; returns the question's number.
    pub(crate) fn echo(&mut self, out: &mut Vec<u8>) -> Option<u16> {
        let id = self.server.get_channel_id_by_type::<Echo>()?;
        let (sequence, question) = self.server.dvc_by_id_mut::<Echo>(id)?.processor_mut().ask();
        let carrier = self.carrier;
        wire::dynamic_channel(out, DynamicChannel { carrier, id }, &question);
        Some(sequence)
    }

    /// The number of the question that the last chunk answered, if it did.
    pub(crate) fn echoed(&mut self) -> Option<u16> {
        let id = self.server.get_channel_id_by_type::<Echo>()?;
        self.server.dvc_by_id_mut::<Echo>(id)?.processor_mut().answered()
    }

    /// What fingers did since the last call.
    pub(crate) fn take_touches(&mut self) -> Vec<Touch> {
        let channel = self.server.get_channel_id_by_type::<Touches>();
        let touches = channel.and_then(|id| self.server.dvc_by_id_mut::<Touches>(id));
        touches.map_or_else(Vec::new, |mut touches| touches.processor_mut().take_events())
    }

    fn write(&self, messages: Vec<SvcMessage>, out: &mut Vec<u8>) {
        for message in messages {
            match message.encode_unframed_pdu() {
                Ok(bytes) => wire::static_channel(out, self.carrier, &bytes),
                Err(error) => tracing::warn!(%error, "a dynamic channel answer does not encode"),
            }
        }
    }
}

/// Refuses fragmented messages that announce too much, and compression, which we never offer (DVC version 2).
fn check_data_first(message: &[u8]) -> Result<(), SessionError> {
    let mut r = Reader(message);
    let Some(header) = r.u8() else {
        return Ok(());
    };
    match header >> 4 {
        COMMAND_DATA_FIRST => {}
        COMMAND_DATA_FIRST_COMPRESSED | COMMAND_DATA_COMPRESSED => {
            return Err(SessionError::Peer {
                message: "dynamic channel message: compressed without an offer",
                source: None,
            });
        }
        _ => return Ok(()),
    }
    let mut variable = |code: u8| match code & 3 {
        0 => r.u8().map(u32::from),
        1 => r.u16().map(u32::from),
        _ => r.u32(),
    };
    let _channel = variable(header);
    match variable(header >> 2) {
        Some(announced) if announced as usize > MAX_MESSAGE => Err(SessionError::Oversized {
            message: "dynamic channel message",
            announced: announced as usize,
            limit: MAX_MESSAGE,
        }),
        _ => Ok(()),
    }
}

/// Answers display control with one monitor; what the client asks for has no effect yet.
struct Layouts;

impl DisplayControlHandler for Layouts {
    fn monitor_layout(&self, layout: DisplayControlMonitorLayout) {
        tracing::debug!(monitors = layout.monitors().len(), "layout request ignored");
    }

    fn capabilities(&self) -> ironrdp_pdu::PduResult<DisplayControlCapabilities> {
        DisplayControlCapabilities::new(MONITORS, MONITOR_AREA.0, MONITOR_AREA.1)
            .map_err(|e| ironrdp_pdu::encode_err!(e))
    }
}
