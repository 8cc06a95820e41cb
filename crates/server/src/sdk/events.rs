//! What a program tells its running server.

use std::net::SocketAddr;

use ironrdp_cliprdr::backend::ClipboardMessage;
use tokio::sync::{mpsc, oneshot};

use super::credentials::Credentials;
use super::sound::RdpsndServerMessage;

/// A message to a running server, by [`RdpServer::event_sender`](crate::RdpServer::event_sender).
#[derive(Debug)]
pub enum ServerEvent {
    /// Tells all clients that the server ends, waits a moment for them, and returns from
    /// [`RdpServer::run`](crate::RdpServer::run). The text is for the log.
    Quit(String),
    /// Logins from now on need these.
    SetCredentials(Credentials),
    /// Asks for the address where the server listens; `None` if it does not.
    GetLocalAddr(oneshot::Sender<Option<SocketAddr>>),
    /// What the program does with the clipboard.
    Clipboard(ClipboardMessage),
    /// Plays sound, or stops to.
    Rdpsnd(RdpsndServerMessage),
    /// Draws at the client that has the program's graphics.
    Egfx(super::gfx::EgfxServerMessage),
    /// As [`EchoServerHandle::send_request`](crate::EchoServerHandle::send_request).
    Echo(EchoServerMessage),
}

/// A message about the channel `ECHO`.
#[derive(Debug)]
pub enum EchoServerMessage {
    /// Asks the clients.
    SendRequest {
        /// What they send back: 1 byte to 64 KiB.
        payload: Vec<u8>,
    },
}

impl ServerEvent {
    /// A channel of such messages.
    pub fn create_channel() -> (mpsc::UnboundedSender<Self>, mpsc::UnboundedReceiver<Self>) {
        mpsc::unbounded_channel()
    }
}
