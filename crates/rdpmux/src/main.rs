//! rdpmux.
fn main() {}
