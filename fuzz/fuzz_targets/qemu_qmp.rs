//! Lines of a QMP server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdpmux_guest::qemu::qmp;

fuzz_target!(|data: &[u8]| {
    for line in data.split(|byte| *byte == b'\n') {
        let _ = qmp::parse(line);
    }
});
