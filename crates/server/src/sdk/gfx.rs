//! Graphics that a program makes itself, over the graphics pipeline ([MS-RDPEGFX]) with IronRDP's `GraphicsPipelineServer`.
//!
//! Such a program has one client at a time in mind: its messages do not say for whom they are. So the first client that comes
//! gets the program's graphics, and who comes while it is there gets the display's updates from the server, as without a
//! factory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_egfx::server::{GraphicsPipelineHandler, GraphicsPipelineServer};
use ironrdp_pdu::PduResult;
use ironrdp_svc::SvcMessage;
use parking_lot::Mutex as Lock;
use rdpmux_model::SessionId;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::events::ServerEvent;
use crate::channels::{Channel, ChannelClient, ChannelFactory};

/// A graphics pipeline that the program and the session share.
pub type GfxServerHandle = Arc<Mutex<GraphicsPipelineServer>>;

/// Makes the program's graphics for a client.
pub trait GfxServerFactory: Send {
    /// Called once, before the server runs: where frames go, as [`ServerEvent::Egfx`].
    fn set_sender(&mut self, _sender: mpsc::UnboundedSender<ServerEvent>) {}

    /// Who hears of capabilities and acknowledged frames.
    fn build_gfx_handler(&self) -> Box<dyn GraphicsPipelineHandler>;

    /// The same with a handle by which the program draws; asked first.
    fn build_server_with_handle(&self) -> Option<(GfxDvcBridge, GfxServerHandle)> {
        None
    }
}

/// The session's side of a shared graphics pipeline.
pub struct GfxDvcBridge {
    inner: GfxServerHandle,
}

impl GfxDvcBridge {
    /// Shares `server` with the session.
    pub fn new(server: GfxServerHandle) -> Self {
        Self { inner: server }
    }

    /// The pipeline.
    pub fn server(&self) -> &GfxServerHandle {
        &self.inner
    }

    /// A program that panicked while it drew ends its own drawing, not the client's.
    fn lock(&self) -> MutexGuard<'_, GraphicsPipelineServer> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl_as_any!(GfxDvcBridge);

impl DvcProcessor for GfxDvcBridge {
    fn channel_name(&self) -> &str {
        ironrdp_egfx::CHANNEL_NAME
    }

    fn start(&mut self, channel: u32) -> PduResult<Vec<DvcMessage>> {
        self.lock().start(channel)
    }

    fn process(&mut self, channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        self.lock().process(channel, payload)
    }

    fn close(&mut self, channel: u32) {
        self.lock().close(channel);
    }
}

impl DvcServerProcessor for GfxDvcBridge {}

/// What a program draws.
#[derive(Debug)]
pub enum EgfxServerMessage {
    /// What `GraphicsPipelineServer::drain_output` gave, encoded by `ironrdp_dvc::encode_dvc_messages` for its `channel_id`.
    SendMessages {
        /// In order.
        messages: GfxMessages,
    },
}

/// Messages of the graphics pipeline, made `From` what `encode_dvc_messages` gives: those alone are not [`Sync`], and then
/// `?` could not pass on the error of sending a [`ServerEvent`].
#[derive(Debug)]
pub struct GfxMessages(Mutex<Vec<SvcMessage>>);

impl From<Vec<SvcMessage>> for GfxMessages {
    fn from(messages: Vec<SvcMessage>) -> Self {
        Self(Mutex::new(messages))
    }
}

/// The client whose turn it is.
struct Turn {
    session: SessionId,
    frames: mpsc::Sender<Vec<Vec<u8>>>,
}

/// A program's graphics. Clones are the same.
#[derive(Clone)]
pub(super) struct Gfx {
    factory: Arc<Lock<Box<dyn GfxServerFactory>>>,
    turn: Arc<Lock<Option<Turn>>>,
}

impl Gfx {
    pub(super) fn new(factory: Box<dyn GfxServerFactory>) -> Self {
        Self {
            factory: Arc::new(Lock::new(factory)),
            turn: Arc::default(),
        }
    }

    pub(super) fn set_sender(&self, sender: mpsc::UnboundedSender<ServerEvent>) {
        self.factory.lock().set_sender(sender);
    }

    /// Sends to the client whose turn it is. Returns it if it does not follow: what it shows cannot be right any more.
    pub(super) fn send(&self, message: EgfxServerMessage) -> Option<SessionId> {
        let EgfxServerMessage::SendMessages { messages } = message;
        let messages = messages.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.lock();
        let turn = turn.as_ref()?;
        let pdus: Result<Vec<_>, _> = messages.iter().map(SvcMessage::encode_unframed_pdu).collect();
        match pdus {
            Ok(pdus) => match turn.frames.try_send(pdus) {
                Err(mpsc::error::TrySendError::Full(_)) => Some(turn.session),
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
            },
            Err(error) => {
                warn!(%error, "the program's graphics do not encode");
                None
            }
        }
    }
}

/// The program's channels and, for the client whose turn it is, its graphics.
pub(super) struct WithGfx {
    pub(super) gfx: Gfx,
    pub(super) others: Option<Arc<dyn ChannelFactory>>,
}

impl ChannelFactory for WithGfx {
    fn channels(&self, client: &ChannelClient) -> Vec<Channel> {
        let mut channels = self
            .others
            .as_ref()
            .map_or_else(Vec::new, |others| others.channels(client));
        let mut turn = self.gfx.turn.lock();
        // A turn ends when the session's channels are dropped.
        if turn.as_ref().is_some_and(|turn| !turn.frames.is_closed()) {
            info!(session = %client.session, "another client has the program's graphics; this one gets the server's");
            return channels;
        }
        *turn = Some(Turn {
            session: client.session,
            frames: client.carrier(),
        });
        drop(turn);
        let factory = self.gfx.factory.lock();
        channels.push(Channel::Graphics(match factory.build_server_with_handle() {
            Some((bridge, _)) => Box::new(bridge),
            None => Box::new(GraphicsPipelineServer::new(factory.build_gfx_handler())),
        }));
        channels
    }
}
