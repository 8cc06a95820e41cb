//! A directory of our own (mode 0700) for sockets and files that end with the process.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Removed with all that is in it when dropped.
pub(crate) struct ScratchDir(PathBuf);

impl ScratchDir {
    /// Makes one under `XDG_RUNTIME_DIR`, else under the directory for temporary files.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_dir());
        let parent = runtime.unwrap_or_else(std::env::temp_dir);
        let path = parent.join(format!("rdpmux-{}", rdpmux_host::auth::random_word(10)));
        // Fails if the name exists, so nobody else can have put it there.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What is left in a directory for temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
