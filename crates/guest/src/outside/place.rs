//! Where a character device is, as a person writes it: `serial0=unix:/run/vm/web1.console`.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rdpmux_streams::Text;
use tokio::net::UnixListener;

/// A character device by name and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The stream's name.
    pub name: Text<'static>,
    /// Where it is.
    pub place: Place,
}

/// Where a character device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `listen:PATH`, a Unix socket of ours; the hypervisor connects, again and again.
    Listen(PathBuf),
    /// `unix:PATH`, a Unix socket of the hypervisor's.
    Unix(PathBuf),
    /// `tcp:HOST:PORT`, likewise over TCP.
    Tcp(String),
    /// `pty:PATH`, a pseudo terminal that nobody else reads.
    Pty(PathBuf),
    /// `file:PATH`, a file that grows; it cannot be written to.
    File(PathBuf),
}

/// What is wrong with the text of a [`Source`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// There is no name, or none that a stream can have.
    #[error("begin with the stream's name, for example \"serial0=unix:/run/vm/web1.console\"")]
    Name,
    /// No such kind.
    #[error("{0:?} is no kind of place; there are listen:PATH, unix:PATH, tcp:HOST:PORT, pty:PATH and file:PATH")]
    Kind(String),
    /// Paths are absolute.
    #[error("{0:?} has to be an absolute path")]
    Path(String),
    /// No host and port.
    #[error("{0:?} is not HOST:PORT")]
    Address(String),
}

impl FromStr for Source {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (name, place) = text.split_once('=').ok_or(PlaceError::Name)?;
        let name = Text::new(name).map_err(|_| PlaceError::Name)?;
        // A desktop's name is made of it.
        if name.is_empty() || name.as_str().contains('/') {
            return Err(PlaceError::Name);
        }
        Ok(Self {
            name: name.into_owned(),
            place: place.parse()?,
        })
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let path = || match Path::new(rest) {
            path if path.is_absolute() => Ok(path.to_owned()),
            _ => Err(PlaceError::Path(rest.to_owned())),
        };
        match kind {
            "listen" => path().map(Self::Listen),
            "unix" => path().map(Self::Unix),
            "pty" => path().map(Self::Pty),
            "file" => path().map(Self::File),
            "tcp" => match rest.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Self::Tcp(rest.to_owned())),
                _ => Err(PlaceError::Address(rest.to_owned())),
            },
            _ => Err(PlaceError::Kind(kind.to_owned())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(path) => write!(f, "listen:{}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Pty(path) => write!(f, "pty:{}", path.display()),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A socket of ours at a path, which is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// The hypervisor may run as another user of the same group; who may come near is said by the folder.
const MODE: u32 = 0o660;

impl Door {
    /// Listens at `path`; what an earlier daemon left there is removed.
    ///
    /// # Errors
    /// When something else is there, or somebody listens.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
                _ => {
                    return Err(io::Error::new(
                        io::ErrorKind::AddrInUse,
                        "another program listens there",
                    ));
                }
            }
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
