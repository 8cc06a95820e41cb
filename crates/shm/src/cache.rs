//! Keeps the last few memory files open: a guest that flips between two buffers sends their descriptors over and over.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::file::{MemoryFile, ShmError, identify};

/// The memory files used last, at most [`FileCache::FILES`].
#[derive(Debug, Default)]
pub struct FileCache {
    /// Used last comes last.
    files: Vec<Arc<MemoryFile>>,
}

impl FileCache {
    /// Files that are kept.
    pub const FILES: usize = 4;

    /// The file behind a descriptor, which has at least `needed` bytes now; an open one if it is the same.
    ///
    /// # Errors
    /// As [`MemoryFile::open`].
    pub fn open(&mut self, fd: OwnedFd, needed: u64) -> Result<Arc<MemoryFile>, ShmError> {
        let (id, len) = identify(&fd)?;
        let known = self.files.iter().position(|file| file.id() == id);
        let known = known.map(|index| self.files.remove(index));
        // One that has grown or shrunk since is opened anew.
        let file = match known.filter(|file| file.size() == len && len >= needed) {
            Some(file) => file,
            None => Arc::new(MemoryFile::open(fd, needed)?),
        };
        if self.files.len() == Self::FILES {
            self.files.remove(0);
        }
        self.files.push(file.clone());
        Ok(file)
    }
}
