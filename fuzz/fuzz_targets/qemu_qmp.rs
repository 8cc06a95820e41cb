//! Lines of a QMP server.

use rdpmux_guest::qemu::qmp;

/// One input.
pub fn fuzz(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let _ = qmp::parse(line);
    }
}
