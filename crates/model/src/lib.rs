//! The words of rdpmux: ids, geometry, input events, pointers, encoded frames.
//!
//! This crate has no dependency, no IO and no clock. Every other crate speaks in these types; `engine` and `rdp` meet
//! only in [`EncodedFrame`], `guest` and `server` only in [`InputEvent`] and [`HeadState`].
#![forbid(unsafe_code)]

mod clipboard;
mod frame;
mod geometry;
mod head;
mod id;
mod input;
mod monitor;
mod pattern;
mod pixel_format;
mod pointer;
mod region;
mod rights;
mod sound;

pub use clipboard::{
    ClipboardFormat, ClipboardKind, ClipboardKinds, ClipboardPolicy, FilePart, FileRequest, GuestClipboardState,
};
pub use frame::{
    BulkCompressor, Color, EncodedFrame, FrameCommand, QueueDepth, RasterCompressor, RfxQuant, RfxTile, TilePayload,
    VideoRegion, VideoStream,
};
pub use geometry::{Client, Guest, Point, Rect, Size, TILE};
pub use head::{Audience, HeadState, MouseMode, PointerJump, Presence};
pub use id::{DesktopName, FrameId, Generation, InvalidName, SessionId};
pub use input::{Button, InputEvent, LockKeys, Scancode, Touch, TouchPhase, WheelAxis};
pub use monitor::{ClientMonitor, HeadShape, LayoutError, MonitorLayout};
pub use pattern::Pattern;
pub use pixel_format::PixelFormat;
pub use pointer::{PointerImage, PointerShape};
pub use region::Region;
pub use rights::Rights;
pub use sound::{Pcm, SoundCodec, SoundFormat, SoundRight};
