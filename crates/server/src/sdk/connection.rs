//! What a program says to connections that come and hears of those that have gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tracing::error;

/// What to do when a client has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostConnectionAction {
    /// Go on.
    Continue,
    /// End the server, as by [`ServerEvent::Quit`](crate::ServerEvent::Quit).
    Stop,
}

/// Hears of connections to [`RdpServer::run`](crate::RdpServer::run). It is called on blocking threads, one call at a time; a
/// call that panics is logged and counts as the default.
pub trait ConnectionHandler: Send {
    /// Whether a connection may go on, before its first byte; `false` closes it. The next one waits for the answer.
    fn on_accept(&mut self, peer: SocketAddr) -> bool {
        let _ = peer;
        true
    }

    /// A connection has ended after `duration`; by a fault, if there is an `error`.
    fn on_disconnected(
        &mut self,
        peer: SocketAddr,
        duration: Duration,
        error: Option<&anyhow::Error>,
    ) -> PostConnectionAction {
        let _ = (peer, duration, error);
        PostConnectionAction::Continue
    }
}

/// The program's handler, if it has one. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Hooks(Option<Arc<Mutex<Box<dyn ConnectionHandler>>>>);

impl Hooks {
    pub(super) fn new(handler: Option<Box<dyn ConnectionHandler>>) -> Self {
        Self(handler.map(|handler| Arc::new(Mutex::new(handler))))
    }

    pub(super) async fn accepts(&self, peer: SocketAddr) -> bool {
        self.call(true, move |handler| handler.on_accept(peer)).await
    }

    pub(super) async fn has_left(
        &self,
        peer: SocketAddr,
        duration: Duration,
        error: Option<String>,
    ) -> PostConnectionAction {
        let error = error.map(anyhow::Error::msg);
        let call = move |handler: &mut dyn ConnectionHandler| handler.on_disconnected(peer, duration, error.as_ref());
        self.call(PostConnectionAction::Continue, call).await
    }

    async fn call<R, F>(&self, default: R, call: F) -> R
    where
        R: Send + 'static,
        F: FnOnce(&mut dyn ConnectionHandler) -> R + Send + 'static,
    {
        let Some(handler) = self.0.clone() else { return default };
        let called = spawn_blocking(move || call(handler.lock().as_mut())).await;
        called.unwrap_or_else(|error| {
            error!(%error, handler = "connection handler", "a handler of the program panicked");
            default
        })
    }
}
