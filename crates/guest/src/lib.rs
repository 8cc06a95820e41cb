//! rdpmux guest.
#![forbid(unsafe_code)]
