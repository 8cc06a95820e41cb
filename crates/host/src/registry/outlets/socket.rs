//! A Unix socket of one stream: what comes in is typed, what the device says goes out, and nothing else does. Who types
//! first writes, until it is silent for long, closes its side or leaves. Only the daemon's user and root come in.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rdpmux_server::Streams;
use rdpmux_server::streams::{Local, Said, Visitor};
use rdpmux_streams::{Replay, Rights, Text};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tracing::{info, warn};

use crate::admin::is_allowed;

/// Programs at one socket.
const PROGRAMS: usize = 16;
/// For a program that reads nothing.
const STALL: Duration = Duration::from_secs(15);
/// How soon a program may go on after the device took what it typed.
const AGAIN: Duration = Duration::from_millis(5);
/// For what a program typed right before it left: the stream may not even be open by then.
const LAST: Duration = Duration::from_secs(2);
/// How often a program that types no more is looked after.
const LOOK: Duration = Duration::from_millis(100);

/// Serves the socket until dropped.
pub(super) async fn serve(path: PathBuf, streams: Streams, stream: Text<'static>) {
    let socket = match Socket::open(&path) {
        Ok(socket) => socket,
        Err(error) => return warn!(socket = %path.display(), %error, "no socket for this stream"),
    };
    info!(socket = %path.display(), "stream has a socket");
    let places = Arc::new(Semaphore::new(PROGRAMS));
    let mut programs = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.listener.accept() => accepted,
            Some(_) = programs.join_next() => continue,
        };
        let Ok((program, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let peer = match program.peer_cred() {
            Ok(peer) if is_allowed(&peer) => peer,
            _ => continue,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            warn!(socket = %path.display(), "too many programs at a stream's socket; this one was closed");
            continue;
        };
        let who = peer
            .pid()
            .map_or_else(|| "socket".to_owned(), |pid| format!("socket, process {pid}"));
        let visitor = Visitor {
            who: Text::cleaned(&who),
            rights: Box::new(|_| Rights::ALL),
        };
        let local = Local::open(&streams, stream.clone(), Replay::None, visitor);
        programs.spawn(async move {
            let _place = place;
            // It leaves, or is made to.
            let _: io::Result<()> = carry(program, local).await;
        });
    }
}

async fn carry(mut program: UnixStream, mut stream: Local) -> io::Result<()> {
    let (mut reader, mut writer) = program.split();
    let mut typed = Vec::with_capacity(4 << 10);
    // Set once it types no more; it may go on listening.
    let mut silent: Option<Instant> = None;
    let (mut may_write, mut hears) = (true, true);
    let mut look = interval(LOOK);
    loop {
        typed.clear();
        tokio::select! {
            said = stream.next() => {
                let bytes = match said {
                    Some(Said::Output { bytes, .. }) => bytes,
                    Some(Said::Missing(count)) => format!("\r\n[rdpmux: {count} bytes are missing]\r\n").into_bytes(),
                    Some(Said::Writer { .. } | Said::Taken) => Vec::new(),
                    Some(Said::Ended(_)) | None => return Ok(()),
                };
                // One that has gone may have typed something that was not read yet.
                hears = hears && timeout(STALL, writer.write_all(&bytes)).await?.is_ok();
            }
            read = reader.read_buf(&mut typed), if silent.is_none() && stream.has_room() => match read {
                Ok(1..) => stream.write(&typed),
                Ok(0) | Err(_) => silent = Some(Instant::now()),
            },
            // The device may have taken some of it by then.
            () = sleep(AGAIN), if !stream.has_room() => {}
            _ = look.tick(), if silent.is_some() => {}
        }
        let Some(since) = silent else { continue };
        if stream.is_taken() && std::mem::take(&mut may_write) {
            stream.release();
        }
        hears = hears && !writer.ready(Interest::WRITABLE).await?.is_write_closed();
        if !hears && (stream.is_taken() || since.elapsed() >= LAST) {
            return Ok(());
        }
    }
}

/// The socket at its path, gone when dropped.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// In a directory of its own that nobody else may enter; what an earlier daemon left is replaced.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is something that is no socket; move it away",
                ));
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        if let Some(dir) = self.path.parent() {
            // Only when it is empty.
            let _ = fs::remove_dir(dir);
        }
    }
}
