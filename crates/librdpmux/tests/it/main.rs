//! The library as programs see it: its two faces against the daemon's side of the wire, over real sockets.

mod bus;
mod c;
mod daemon;
mod fuzz;
mod rust;
