//! A pseudo terminal: the slave of which a hypervisor has the master. Its settings are made raw, so that every byte
//! passes as it is.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, ioctl_tiocexcl, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;

/// Takes the terminal for us alone: two readers would each get a part.
///
/// # Errors
/// When it is not there, is no terminal, or another program has it.
pub(super) fn open(path: &Path) -> io::Result<impl AsyncRead + AsyncWrite + use<>> {
    if let Some(program) = reader_of(path) {
        let text = format!("process {program} reads it");
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
    }
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    let mut settings = tcgetattr(&file)?;
    settings.make_raw();
    tcsetattr(&file, OptionalActions::Now, &settings)?;
    ioctl_tiocexcl(&file)?;
    // To tokio it is as a pipe in each direction.
    let reader = pipe::Receiver::from_file_unchecked(file.try_clone()?)?;
    let writer = pipe::Sender::from_file_unchecked(file)?;
    Ok(tokio::io::join(reader, writer))
}

/// A process that has the terminal open, as far as we may see.
fn reader_of(path: &Path) -> Option<u32> {
    let path = fs::canonicalize(path).ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.into_iter().find(|id| {
        let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        files
            .into_iter()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
    })
}
