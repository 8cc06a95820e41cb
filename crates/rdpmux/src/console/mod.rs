//! A client of a machine's streams for the terminal: `line` speaks the protocol, `keys` finds the escapes in what is
//! typed, `screen` keeps what a guest prints from doing more than printing, `known` the certificates of servers,
//! `helper` is FreeRDP's. Used by `rdpmux console` and `streams`.

pub(crate) mod helper;
pub(crate) mod keys;
pub(crate) mod known;
pub(crate) mod line;
pub(crate) mod screen;
