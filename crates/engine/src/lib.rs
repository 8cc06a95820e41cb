//! rdpmux engine.
#![forbid(unsafe_code)]
