//! Fault injection for the end-to-end tests: while the file named by `RDPMUX_FAULT_STALL` exists, every session and
//! desktop task blocks its thread. It proves that a stuck daemon does not hurt a guest. Without the variable it is one
//! load of a static.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

/// Blocks the calling thread as long as the fault lasts.
pub(crate) fn hold() {
    static STALL: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("RDPMUX_FAULT_STALL").map(PathBuf::from));
    if let Some(file) = STALL.as_deref() {
        while file.exists() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
