//! One shared memory file: checked when it arrives, then copied from.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, fstat, fstatfs};
use rustix::io::pread;

/// Which file it is, however many descriptors there are for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// Why a descriptor cannot be read as shared memory.
#[derive(Debug, thiserror::Error)]
pub enum ShmError {
    /// It is a pipe, a socket, a device or a file on a disk, any of which could block a reader for ever.
    #[error("descriptor is not a memory file")]
    NotMemory,
    /// The file ends before the bytes that were announced.
    #[error("memory file has {given} bytes where {needed} are needed")]
    TooShort {
        /// Bytes that the file has.
        given: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The kernel said no.
    #[error("memory file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A shared memory file, for reading.
#[derive(Debug)]
pub struct MemoryFile {
    id: FileId,
    len: u64,
    fd: OwnedFd,
}

/// What `fstatfs` calls tmpfs (memfd and POSIX shared memory), hugetlbfs and ramfs.
const MEMORY_FILE_SYSTEMS: [u32; 3] = [0x0102_1994, 0x9584_58F6, 0x8584_58F6];

impl MemoryFile {
    /// Takes a descriptor whose file has at least `needed` bytes now.
    ///
    /// # Errors
    /// [`ShmError::NotMemory`] if it is not a regular file in memory, [`ShmError::TooShort`], or what the kernel says.
    pub fn open(fd: OwnedFd, needed: u64) -> Result<Self, ShmError> {
        let (id, len) = identify(&fd)?;
        if len < needed {
            return Err(ShmError::TooShort { given: len, needed });
        }
        Ok(Self { id, len, fd })
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Bytes that the file had when it was opened.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Copies `out.len()` bytes from byte `offset` on. They may be torn: the other side writes when it likes.
    ///
    /// # Errors
    /// [`ShmError::TooShort`] if the file does not have them (any more), or what the kernel says. `out` may then be
    /// partly filled.
    pub fn copy_to(&self, offset: u64, out: &mut [u8]) -> Result<(), ShmError> {
        let needed = offset.saturating_add(out.len() as u64);
        if needed > self.len {
            return Err(ShmError::TooShort {
                given: self.len,
                needed,
            });
        }
        read_exact(&self.fd, offset, out)
    }
}

/// Which file a descriptor is for, and its length in bytes.
pub(crate) fn identify(fd: &OwnedFd) -> Result<(FileId, u64), ShmError> {
    let stat = fstat(fd).map_err(io::Error::from)?;
    let system = fstatfs(fd).map_err(io::Error::from)?;
    let in_memory = MEMORY_FILE_SYSTEMS.contains(&(system.f_type as u32));
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !in_memory {
        return Err(ShmError::NotMemory);
    }
    let id = FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    };
    Ok((id, u64::try_from(stat.st_size).unwrap_or(0)))
}

fn read_exact(fd: &OwnedFd, offset: u64, out: &mut [u8]) -> Result<(), ShmError> {
    let mut done = 0;
    while done < out.len() {
        match pread(fd, &mut out[done..], offset + done as u64) {
            Ok(0) => {
                return Err(ShmError::TooShort {
                    given: offset + done as u64,
                    needed: offset + out.len() as u64,
                });
            }
            Ok(n) => done += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(())
}
