//! Tests at the crate's border: strangers at the door, and IronRDP's client in memory. Real clients come in
//! `cargo xtask e2e`.

mod blocked;
mod carriers;
mod channels;
mod client;
mod door;
mod gfx;
mod log;
mod sdk;
mod slow_channels;
