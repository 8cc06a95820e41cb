//! Tests at the crate's border: byte vectors, and whole connections in memory with IronRDP's client at the other end.

mod autodetect;
mod client;
mod devices;
mod extra;
mod frames;
mod front;
mod handshake;
mod hostile;
mod legacy;
mod monitors;
mod pipeline;
mod random;
mod reconnect;
mod session;
mod sound;
mod streams;
mod videos;
