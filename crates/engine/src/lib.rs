//! Frames without IO or clock: a guest's surface, what each viewer shows of it, what to send next, and the codecs.
//!
//! A [`SurfaceWriter`] compares and copies what the guest drew; tiles count their changes. A [`ClientView`] knows which
//! of them one viewer has, and takes a [`FrameJob`]: pixels copied out under one short lock, encoded without it. The
//! [`Pacer`] says when the next one may go. Equal work of several viewers of one surface is done once ([`cache`]).
#![forbid(unsafe_code)]

mod bitmap_cache;
pub mod cache;
mod canvas;
mod card;
pub mod codec;
mod compose;
mod damage;
mod follow;
mod fresh;
mod job;
mod moves;
mod pace;
mod plan;
mod quality;
mod screen;
pub mod sound;
mod surface;
mod tempo;
mod video;
mod view;

pub use canvas::Canvas;
pub use card::draw_card;
pub use codec::{CODECS, Codec};
pub use damage::{TileGrid, TileRect};
pub use follow::Changes;
pub use job::FrameJob;
pub use pace::{Pacer, PacerConfig, PacerStats, Readiness};
pub use plan::{Pipeline, Profile, VideoForm, VideoProfile};
pub use quality::Quality;
pub use surface::{PixelRows, SliceRows, SurfaceError, SurfaceReader, SurfaceWriter, surface};
pub use tempo::Tempo;
pub use view::ClientView;
