//! The shared memory of protocol 5: a file of POSIX shared memory that the hypervisor names after the machine's id. It
//! must be its own: names there are anybody's to take.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rdpmux_shm::{FileId, MemoryFile, ShmError};
use rustix::fs::{Mode, OFlags, fstat, open, unlink};

/// Where Linux keeps POSIX shared memory.
pub(super) const FOLDER: &str = "/dev/shm";

/// Who is at the other end of a connection, by the kernel's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    /// `None` if it is in another namespace of processes.
    pub(super) pid: Option<i32>,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid} of user {}", self.uid),
            None => write!(f, "a process of user {}", self.uid),
        }
    }
}

/// Why there is no picture in named memory.
#[derive(Debug, thiserror::Error)]
pub(super) enum NamedError {
    #[error("there is no shared memory /{id}.rdpmux yet")]
    Missing { id: i32 },
    #[error("shared memory /{id}.rdpmux belongs to user {owner}, not to {uid}, who is connected")]
    Owner { id: i32, owner: u32, uid: u32 },
    #[error("shared memory /{id}.rdpmux: {source}")]
    Open { id: i32, source: io::Error },
    #[error(transparent)]
    Memory(#[from] ShmError),
}

/// A file that a hypervisor made.
#[derive(Debug)]
pub(super) struct Named {
    path: PathBuf,
    file: FileId,
    maker: Peer,
}

fn path_of(folder: &Path, id: i32) -> PathBuf {
    folder.join(format!("{id}.rdpmux"))
}

/// Opens machine `id`'s memory in `folder`, which has to be `maker`'s or root's. Never waits, follows no link.
pub(super) fn open_named(folder: &Path, id: i32, maker: Peer) -> Result<OwnedFd, NamedError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = open(path_of(folder, id), flags, Mode::empty()).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => NamedError::Missing { id },
        errno => NamedError::Open {
            id,
            source: errno.into(),
        },
    })?;
    let stat = fstat(&fd).map_err(|errno| NamedError::Open {
        id,
        source: errno.into(),
    })?;
    let (owner, uid) = (stat.st_uid, maker.uid);
    if owner != uid && owner != 0 && uid != 0 {
        return Err(NamedError::Owner { id, owner, uid });
    }
    Ok(fd)
}

impl Named {
    pub(super) fn new(folder: &Path, id: i32, file: &MemoryFile, maker: Peer) -> Self {
        Self {
            path: path_of(folder, id),
            file: file.id(),
            maker,
        }
    }

    /// Removes the file if its maker is dead; one that lives may come back to it. Without the right to, it stays.
    pub(super) fn release(self) {
        if self.maker_lives() {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(fd) = open(&self.path, flags, Mode::empty()) else {
            return;
        };
        let is_same = MemoryFile::open(fd, 0).is_ok_and(|file| file.id() == self.file);
        if is_same && let Err(error) = unlink(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "shared memory of a dead hypervisor stays");
        }
    }

    fn maker_lives(&self) -> bool {
        let pid = self.maker.pid.and_then(rustix::process::Pid::from_raw);
        let Some(pid) = pid else { return true };
        !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
    }
}
