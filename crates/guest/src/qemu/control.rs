//! The thread on which the main connections to all QEMUs are read. QEMU's main loop waits for the answers to some calls
//! that it makes over them, so they are answered here, from memory, however busy the rest of the daemon is. Nothing that
//! runs here may wait for anything but a socket or a timer.

use std::future::pending;
use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};

static THREAD: OnceLock<Handle> = OnceLock::new();

/// The thread's runtime; it lives as long as the process.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn runtime() -> io::Result<Handle> {
    if let Some(handle) = THREAD.get() {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let name = "qemu-control".to_owned();
    std::thread::Builder::new()
        .name(name)
        .spawn(move || runtime.block_on(pending::<()>()))?;
    // Two that start at once make two threads; the second one idles.
    Ok(THREAD.get_or_init(|| handle).clone())
}
