//! One client after finalization: bytes in, events and answers out. It holds no desktop, no clock and no pixels.

mod info;

use rdpmux_model::{Client, FrameId, InputEvent, LockKeys, PointerShape, Rect, Size};

pub use info::SessionInfo;

use crate::pipe::FrameWriter;

/// What the client has in store to show, by its own count ([MS-RDPEGFX] 2.2.2.13 `queueDepth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueDepth {
    /// It does not say.
    Unavailable,
    /// Bytes that it has not processed yet.
    Bytes(u32),
    /// It will not acknowledge frames any more, until it acknowledges one again.
    Suspended,
}

/// Why the server ends a session. The client shows it to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The user may not use the desktop, or there is none of that name.
    Denied,
    /// Wrong user or password.
    BadCredentials,
    /// Another connection took over.
    Replaced,
    /// Nothing was typed for too long.
    IdleTimeout,
    /// An administrator stops the server.
    ServerShutdown,
    /// A limit was reached: too many sessions, too little memory.
    Limit,
}

/// What a client did.
#[derive(Debug)]
pub enum SessionEvent {
    /// Frames go through this writer from now on. An older writer of the same session is void.
    GraphicsReady(FrameWriter),
    /// The client has taken the size of [`Session::resize_legacy`]; this writer replaces the older one.
    Reactivated(FrameWriter),
    /// A frame was shown, and all before it.
    FrameAck {
        /// Number from [`FrameWriter::write`].
        id: FrameId,
        /// What the client still has in store.
        queue_depth: QueueDepth,
    },
    /// Key, pointer, wheel or lock keys.
    Input(InputEvent),
    /// `true`: the client's window is hidden, send no frames. `false`: it is back; all of it may have to be sent again.
    Suppress(bool),
    /// These rectangles must be sent again.
    Refresh(Vec<Rect<Client>>),
    /// The client asks to disconnect ([MS-RDPBCGR] 2.2.2.2) or has done so.
    Shutdown,
}

/// Why a session ends by an error.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The client broke the protocol.
    #[error("malformed {message} from the client")]
    Peer {
        /// Which message.
        message: &'static str,
        /// What the decoder said, if it was one of IronRDP's.
        #[source]
        source: Option<Box<dyn core::error::Error + Send + Sync>>,
    },
    /// The client announced more than is taken.
    #[error("{message} of {announced} bytes where at most {limit} are taken")]
    Oversized {
        /// Which message.
        message: &'static str,
        /// Announced bytes.
        announced: usize,
        /// Limit in bytes.
        limit: usize,
    },
}

/// One client.
pub struct Session {
    info: SessionInfo,
}

impl Session {
    /// Who the client is and what it can do.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Takes bytes, appends events and answers, and returns how many bytes were used. The rest is fed again with more behind it.
    ///
    /// # Errors
    /// [`SessionError`]; write `out`, then close.
    pub fn feed(
        &mut self,
        buf: &[u8],
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> Result<usize, SessionError> {
        let _ = (events, out);
        Ok(buf.len())
    }

    /// Starts the channels. Call once, and write `out`. Legacy clients get their [`SessionEvent::GraphicsReady`] here.
    pub fn start(&mut self, events: &mut Vec<SessionEvent>, out: &mut Vec<u8>) {
        let _ = (events, out);
    }

    /// Whether the client may still open the graphics pipeline. While it may, no writer has been handed out.
    pub fn awaits_graphics(&self) -> bool {
        false
    }

    /// The client did not open the graphics pipeline in time: hands out a legacy writer. Nothing if there is one already.
    pub fn graphics_timeout(&mut self, events: &mut Vec<SessionEvent>) {
        let _ = events;
    }

    /// Shows a pointer.
    pub fn pointer(&mut self, shape: &PointerShape, out: &mut Vec<u8>) {
        let _ = (shape, out);
    }

    /// Sets the client's keyboard LEDs ([MS-RDPBCGR] 2.2.8.2.1.1).
    pub fn indicators(&mut self, locks: LockKeys, out: &mut Vec<u8>) {
        let _ = (locks, out);
    }

    /// Changes the desktop's size in clients without EGFX ([MS-RDPBCGR] 1.3.1.3). Send no frame and no pointer until
    /// [`SessionEvent::Reactivated`].
    pub fn resize_legacy(&mut self, size: Size, out: &mut Vec<u8>) {
        let _ = (size, out);
    }

    /// Tells why and ends the MCS domain. Write `out`, then close.
    pub fn error_info(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        let _ = (reason, out);
    }
}
