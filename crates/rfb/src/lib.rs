//! RFB (VNC) server side without IO or clock: [`Front`] takes a connection to a login inside TLS, [`Viewer`] makes
//! events of what a viewer sends, [`Encoder`] makes updates of pixels.
//!
//! RFC 6143 and the community's rfbproto.rst are meant by "RFB"; what of it is spoken is in docs/rfb.md.
#![forbid(unsafe_code)]

mod cursor;
mod encode;
mod format;
mod front;
pub mod keysym;
pub mod profile_2009;
mod viewer;
mod zrle;

pub use encode::{Encoder, SizeNews, Strip, Update};
pub use format::{FormatError, PixelFormat};
pub use front::{Front, FrontError, Login, Step, server_init};
pub use viewer::{Event, Request, Shown, StreamsEncoding, Viewer, ViewerError, confirm_streams, stream_chunk};
