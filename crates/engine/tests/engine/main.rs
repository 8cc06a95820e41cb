//! The engine at its border: what a reference painter, built on foreign decoders, shows after the engine's frames.

mod clear;
mod codecs;
mod moves;
mod painter;
mod pictures;
mod random;
mod surfaces;
mod tiles;
#[cfg(feature = "h264")]
mod videos;
mod views;
