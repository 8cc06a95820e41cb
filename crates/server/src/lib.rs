//! rdpmux server.
#![forbid(unsafe_code)]
