//! The dynamic channels of one client: bounded reassembly of `drdynvc` and IronRDP's server on top of it.
//! [`graphics`](super::graphics) and [`monitors`](super::monitors) are the processors in it.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, Sender};

use ironrdp_dvc::DrdynvcServer;
use ironrdp_pdu::PduError;
use ironrdp_svc::{SvcMessage, SvcProcessor as _};
use rdpmux_model::Touch;

use super::SessionError;
use super::chunks::Chunks;
use super::echo::{Echo, EchoNews};
use super::graphics::{Graphics, GraphicsEvent};
use super::inbox::{Inbox, News};
use super::monitors::{DisplayControl, DisplayEvent};
use super::touch::Touches;
use crate::wire::{self, DynamicChannel, Reader};

/// The longest message of a client on our dynamic channels is a full cache offer: 5,462 entries of 12 bytes.
const MAX_MESSAGE: usize = 72 * 1024;
const COMMAND_CREATE: u8 = 1;
const COMMAND_DATA_FIRST: u8 = 2;
const COMMAND_DATA: u8 = 3;
const COMMAND_CAPABILITIES: u8 = 5;
const COMMAND_DATA_FIRST_COMPRESSED: u8 = 6;
const COMMAND_DATA_COMPRESSED: u8 = 7;

/// `drdynvc` of one client.
pub(crate) struct DynamicChannels {
    carrier: u16,
    server: DrdynvcServer,
    chunks: Chunks,
    /// The client has said that it has dynamic channels.
    ready: bool,
    /// Channels of [`Inbox`] that the client has not answered yet.
    awaited: Vec<u32>,
    /// Channels that we have closed, from the first to the last: numbers are not used twice.
    closed: Option<RangeInclusive<u32>>,
    news: Receiver<(u32, News)>,
    /// Channels on which the client's messages may be longer than [`MAX_MESSAGE`].
    long: Vec<(u32, usize)>,
    /// For further inboxes.
    newsagent: Sender<(u32, News)>,
}

impl DynamicChannels {
    /// The channels on the MCS channel `carrier`, with the graphics pipeline if the client has it, and with display
    /// control if it may ask for monitors.
    pub(crate) fn new(carrier: u16, graphics: Option<Graphics>, monitors: u32) -> Self {
        let mut server = DrdynvcServer::new();
        let (newsagent, news) = std::sync::mpsc::channel();
        if let Some(graphics) = graphics {
            server = server.with_dynamic_channel(graphics);
        }
        if monitors > 0 {
            server = server.with_dynamic_channel(DisplayControl::new(monitors));
        }
        Self {
            carrier,
            server: server
                .with_dynamic_channel(Echo::default())
                .with_dynamic_channel(Touches::default()),
            chunks: Chunks::new(MAX_MESSAGE),
            ready: false,
            awaited: Vec::new(),
            closed: None,
            long: Vec::new(),
            news,
            newsagent,
        }
    }

    /// Adds a channel that is handled outside, before [`Self::start`]; returns its number.
    pub(super) fn register(&mut self, name: impl Into<Cow<'static, str>>) -> u32 {
        let inbox = self.inbox(name.into());
        self.server = core::mem::take(&mut self.server).with_dynamic_channel(inbox);
        let id = self.server.get_channel_id_by_type::<Inbox>();
        let id = id.expect("it was registered in the line above");
        self.awaited.push(id);
        id
    }

    /// On this channel the client's messages may have `limit` bytes.
    pub(super) fn take_long(&mut self, id: u32, limit: usize) {
        self.long.push((id, limit));
    }

    /// Our graphics are not offered. Before [`Self::start`].
    pub(super) fn drop_graphics(&mut self) {
        if let Some(id) = self.server.get_channel_id_by_type::<Graphics>() {
            // It was not offered yet, so the client need not hear of it.
            let _ = self.server.close_channel(id);
        }
    }

    /// Whether channels may be created now.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Creates a channel that is handled outside; returns its number.
    pub(super) fn create(&mut self, name: &'static str, out: &mut Vec<u8>) -> Option<u32> {
        let inbox = self.inbox(name.into());
        let mut created = None;
        let request = self.server.create_channel_with::<_, PduError, _>(|id| {
            created = Some(id);
            Ok(inbox)
        });
        self.write(vec![request.ok()?], out);
        self.awaited.extend(created);
        created
    }

    /// Closes a channel, opened or not.
    pub(super) fn close(&mut self, id: u32, out: &mut Vec<u8>) {
        self.awaited.retain(|awaited| *awaited != id);
        let (first, last) = self
            .closed
            .as_ref()
            .map_or((id, id), |closed| (*closed.start(), *closed.end()));
        self.closed = Some(first.min(id)..=last.max(id));
        let message = self.server.close_channel(id);
        self.write(message.into_iter().collect(), out);
    }

    fn inbox(&self, name: Cow<'static, str>) -> Inbox {
        Inbox {
            name,
            news: self.newsagent.clone(),
        }
    }

    /// What happened on channels that are handled outside.
    pub(super) fn take_news(&mut self) -> Vec<(DynamicChannel, News)> {
        let carrier = self.carrier;
        let news = self.news.try_iter();
        news.map(|(id, news)| (DynamicChannel { carrier, id }, news)).collect()
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
        self.check_data_first(&message)?;
        if self.is_stale(&message) {
            return Ok(());
        }
        let messages = self.server.process(&message).map_err(|e| SessionError::Peer {
            message: "dynamic channel message",
            source: Some(Box::new(e)),
        })?;
        self.write(messages, out);
        self.note_answers(&message);
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

    /// The same with a payload of the program's; `false` if the client has not opened the channel, or owes too many answers.
    pub(super) fn echo_payload(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(id) = self.server.get_channel_id_by_type::<Echo>() else {
            return false;
        };
        let carrier = self.carrier;
        let asked = self
            .server
            .dvc_by_id_mut::<Echo>(id)
            .is_some_and(|mut echo| echo.processor_mut().ask_with(payload));
        if asked {
            wire::dynamic_channel(out, DynamicChannel { carrier, id }, payload);
        }
        asked
    }

    /// What the last chunk did on the channel `ECHO`.
    pub(super) fn take_echoes(&mut self) -> Vec<EchoNews> {
        let id = self.server.get_channel_id_by_type::<Echo>();
        let echo = id.and_then(|id| self.server.dvc_by_id_mut::<Echo>(id));
        echo.map_or_else(Vec::new, |mut echo| echo.processor_mut().take_news())
    }

    /// What fingers did since the last call.
    pub(crate) fn take_touches(&mut self) -> Vec<Touch> {
        let channel = self.server.get_channel_id_by_type::<Touches>();
        let touches = channel.and_then(|id| self.server.dvc_by_id_mut::<Touches>(id));
        touches.map_or_else(Vec::new, |mut touches| touches.processor_mut().take_events())
    }

    /// Whether it is on a channel that we have closed, as the client may not know yet, or of a client that reconnects and
    /// still speaks on a channel of its former connection, as FreeRDP 2 does.
    fn is_stale(&self, message: &[u8]) -> bool {
        match header(message) {
            Some((COMMAND_DATA_FIRST | COMMAND_DATA, Some(id))) => !self.server.is_channel_opened(id),
            Some((COMMAND_CREATE, Some(id))) => {
                let was_closed = self.closed.as_ref().is_some_and(|closed| closed.contains(&id));
                was_closed && !self.server.is_channel_opened(id) && !self.awaited.contains(&id)
            }
            _ => false,
        }
    }

    /// IronRDP's server says nothing of channels that the client does not have.
    fn note_answers(&mut self, message: &[u8]) {
        match header(message) {
            Some((COMMAND_CAPABILITIES, _)) => self.ready = true,
            Some((COMMAND_CREATE, Some(id))) if self.awaited.contains(&id) => {
                self.awaited.retain(|awaited| *awaited != id);
                if !self.server.is_channel_opened(id) {
                    let _ = self.newsagent.send((id, News::Declined));
                }
            }
            _ => {}
        }
    }

    /// Refuses fragmented messages that announce too much, and compression, which we never offer (DVC version 2).
    fn check_data_first(&self, message: &[u8]) -> Result<(), SessionError> {
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
        let channel = variable(&mut r, header);
        let long = self.long.iter().find(|(id, _)| Some(*id) == channel);
        let limit = long.map_or(MAX_MESSAGE, |(_, limit)| *limit);
        match variable(&mut r, header >> 2) {
            Some(announced) if announced as usize > limit => Err(SessionError::Oversized {
                message: "dynamic channel message",
                announced: announced as usize,
                limit,
            }),
            _ => Ok(()),
        }
    }

    /// What display control has heard since it was asked last.
    pub(crate) fn take_display(&mut self) -> Option<DisplayEvent> {
        let id = self.server.get_channel_id_by_type::<DisplayControl>()?;
        self.server
            .dvc_by_id_mut::<DisplayControl>(id)?
            .processor_mut()
            .take_event()
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

/// Command of a message and the channel that it is about.
fn header(message: &[u8]) -> Option<(u8, Option<u32>)> {
    let mut r = Reader(message);
    let header = r.u8()?;
    Some((header >> 4, variable(&mut r, header)))
}

/// A number in 1, 2 or 4 bytes ([MS-RDPEDYC] 2.2.2.1 `cbId`).
fn variable(r: &mut Reader<'_>, code: u8) -> Option<u32> {
    match code & 3 {
        0 => r.u8().map(u32::from),
        1 => r.u16().map(u32::from),
        _ => r.u32(),
    }
}
