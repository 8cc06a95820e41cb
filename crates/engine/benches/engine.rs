//! Codec and surface figures as ratios in one run.
fn main() {}
