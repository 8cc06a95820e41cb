//! Where things lie in this repository. Called by every subcommand; creates nothing.

use std::path::PathBuf;

/// The repository's root folder.
pub fn path() -> PathBuf {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().expect("xtask lies in the repository").to_path_buf()
}

/// The folder for everything that is made: builds, peers, logs, screenshots.
pub fn target() -> PathBuf {
    path().join("target")
}

/// The folder that holds cargo's outputs of this workspace (`CARGO_TARGET_DIR` is respected).
pub fn cargo_target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(target, PathBuf::from)
}

/// The folder with peers that are unpacked beside the system: newer QEMU and FreeRDP, kernel, installer.
pub fn peers() -> PathBuf {
    target().join("peers")
}
