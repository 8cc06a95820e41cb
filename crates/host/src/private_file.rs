//! Files that only their owner may read: the users file and private keys. Written whole and swapped in, so that a reader
//! or a power cut sees the old file or the new one; refused when others could have read or changed them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Why a private file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The file or its directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner have access.
    #[error("{}: mode {mode:04o} lets others in; run: chmod {wanted:04o} {}", path.display(), path.display())]
    Open {
        /// Which file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it should have.
        wanted: u32,
    },
}

impl PrivateFileError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a file of at most `limit` bytes that nobody but its owner may read.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, PrivateFileError> {
    let io = |source| PrivateFileError::io(path, source);
    // Without waiting: the path may have been named by somebody else, and lead to a pipe.
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(no_wait)
        .open(path)
        .map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Open {
            path: path.to_owned(),
            mode,
            wanted: 0o600,
        });
    }
    if metadata.len() > limit {
        return Err(io(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        )));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Replaces `path` by a file of mode 0600 with these bytes. Root keeps the directory's owner, so that `rdpmux user add`
/// as root does not lock the daemon's own user out.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    let io = |source| PrivateFileError::io(path, source);
    let directory = path
        .parent()
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .ok_or_else(|| io(io::Error::new(io::ErrorKind::InvalidInput, "no file name")))?;
    let temporary = directory.join(format!(".{}.{}", name.to_string_lossy(), crate::auth::random_word(8)));
    let result = write_new(&temporary, directory, bytes).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = result {
        // The leftover is ours, private and of no use.
        let _ = fs::remove_file(&temporary);
        return Err(io(error));
    }
    File::open(directory).and_then(|d| d.sync_all()).map_err(io)
}

fn write_new(path: &Path, directory: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if rustix::process::geteuid().is_root() {
        let owner = fs::metadata(directory)?;
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes `path` a directory of mode 0700 if it does not exist; refuses one that others may write to.
pub(crate) fn prepare_directory(path: &Path) -> Result<(), PrivateFileError> {
    let io = |source| PrivateFileError::io(path, source);
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(io(io::Error::from(io::ErrorKind::NotADirectory))),
        Ok(found) if found.mode() & 0o022 != 0 => Err(PrivateFileError::Open {
            path: path.to_owned(),
            mode: found.mode() & 0o7777,
            wanted: 0o700,
        }),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(io)?;
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}
