//! All fuzz targets in one program, or one of them (see `build.rs`); `RDPMUX_FUZZ` says which runs. Started by
//! `cargo xtask fuzz`.
#![no_main]

use std::sync::LazyLock;

// What some targets share; a program with one target alone may need none of it.
#[allow(dead_code)]
#[path = "fuzz_targets/shared/call.rs"]
mod call;
#[allow(dead_code)]
#[path = "fuzz_targets/shared/client.rs"]
mod client;

/// Takes one input.
type Target = fn(&[u8]);

include!(concat!(env!("OUT_DIR"), "/targets.rs"));

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("RDPMUX_FUZZ").expect("RDPMUX_FUZZ names a target");
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no target {name} in this program")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
