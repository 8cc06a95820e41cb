//! rdpmux pixel.
