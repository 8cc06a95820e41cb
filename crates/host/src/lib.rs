//! rdpmux host.
#![forbid(unsafe_code)]
