//! The socket file: made with mode 0600 from the start, taken over from a daemon that died, removed at the end. A living
//! daemon's socket is never taken.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::net::UnixListener;
use tracing::info;

use super::usual_directory;

/// A bound socket; its file goes when this is dropped.
pub(crate) struct AdminSocket {
    path: PathBuf,
    /// Its file's inode: somebody may have put another there meanwhile.
    inode: u64,
}

impl AdminSocket {
    /// Binds at `path`.
    ///
    /// # Errors
    /// What the system says; `AddrInUse` if a living daemon has it.
    pub(crate) fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::DirBuilder::new().mode(0o755).recursive(true).create(directory)?;
        }
        remove_dead(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Before it is bound: the file then never has another mode, whatever its directory lets in.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        listen(&socket, BACKLOG)?;
        let listener = UnixListener::from_std(StdListener::from(socket))?;
        let socket = Self {
            path: path.to_owned(),
            inode: fs::metadata(path)?.ino(),
        };
        Ok((socket, listener))
    }

    /// Binds at the usual place: `admin.sock` there, or a name of this process if another daemon lives. `None` if there
    /// is no such place; the daemon then serves without.
    pub(crate) fn bind_usual() -> Option<(Self, UnixListener)> {
        let directory = usual_directory();
        let first = directory.join("admin.sock");
        let found = match Self::bind(&first) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Self::bind(&directory.join(format!("admin-{}.sock", std::process::id())))
            }
            found => found,
        };
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                info!(path = %first.display(), %error, "no admin socket, so no `rdpmux keys`, `power` and so on; set `admin_socket`");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of a daemon that died. Anything else than a socket stays.
fn remove_dead(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ));
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another rdpmux listens there")),
    }
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;
