//! For hypervisors: shows a machine's screen through rdpmux, and takes what viewers type and point.
//!
//! In Rust it is [`Display`]; in C it is `include/rdpmux.h`, with every function of the librdpmux that rdpmux descends
//! from, under the old name of the library. Both are faces of one `machine`. The protocols are described in
//! docs/librdpmux.md.
//!
//! ```no_run
//! use rdpmux::{Display, Picture, PixelFormat};
//!
//! let mut display = Display::builder("6f9619ff-8b86-d011-b42d-00cf4fc964ff").id(7).open()?;
//! display.on_key(|key| println!("{key:?}"));
//! let pixels = vec![0x80; 640 * 480 * 4];
//! let picture = Picture::new(&pixels, 640, 480, PixelFormat::Bgrx32);
//! display.switch(&picture)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
// Unsafe code is in `abi` only, where C calls.
#![deny(unsafe_code)]

mod abi;
mod bus;
mod display;
mod event;
mod feed;
mod link;
mod machine;
mod memory;
mod picture;
mod pump;
mod report;

pub use bus::RegisterError;
pub use display::{Builder, Display, Head, OpenError};
pub use event::{Action, Event, Key, Mouse, Size};
pub use feed::ShapeError;
pub use link::InvalidPath;
pub use machine::Error;
pub use picture::{Cursor, Picture};
pub use rdpmux_model::{Button, LockKeys, PixelFormat};
pub use rdpmux_wire::v6::Features;
