//! rdpmux rdp.
#![forbid(unsafe_code)]
