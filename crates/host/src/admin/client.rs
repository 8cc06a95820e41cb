//! The asking side, for the commands of the binary: finds the daemon, asks, reads the answer. It blocks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::request::{Answer, Problem, ProblemKind, Request};
use super::usual_directory;

/// What a daemon answered.
#[derive(Debug)]
pub struct Reply {
    /// `ok` of the answer.
    pub value: Value,
    /// The bytes after it.
    pub payload: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No daemon listens.
    #[error("no running rdpmux was found at {}; start one, or name its socket with --socket", list(.0))]
    NoDaemon(Vec<PathBuf>),
    /// The connection broke.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What came is no answer.
    #[error("{}: what listens there is no rdpmux of this version", .0.display())]
    Strange(PathBuf),
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Problem),
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

/// Where daemons without a configured socket may listen, the usual one first.
pub fn sockets() -> Vec<PathBuf> {
    let mut directories = vec![directory()];
    let system = PathBuf::from("/run/rdpmux");
    if !directories.contains(&system) {
        directories.push(system);
    }
    directories.iter().flat_map(|directory| sockets_in(directory)).collect()
}

/// Where a program of this user puts a socket that commands shall find, with a name as `admin-….sock`.
pub fn directory() -> PathBuf {
    usual_directory()
}

fn sockets_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_one = |name: &str| name.starts_with("admin-") && name.ends_with(".sock");
    let mut others: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_one))
        .map(|entry| entry.path())
        .collect();
    others.sort();
    others.insert(0, directory.join("admin.sock"));
    others
}

/// Asks the daemons at these sockets one after the other until one knows what is meant.
///
/// # Errors
/// [`CallError`]; if none of several knows, what the last one said.
pub fn call(sockets: &[PathBuf], request: &Request) -> Result<Reply, CallError> {
    dial(sockets, request).map(|(reply, _)| reply)
}

/// The same, and the connection on which the daemon answered: after [`Request::Streams`] it is the carrier of streams.
///
/// # Errors
/// As [`call`].
pub fn dial(sockets: &[PathBuf], request: &Request) -> Result<(Reply, UnixStream), CallError> {
    let mut error = CallError::NoDaemon(sockets.to_vec());
    for path in sockets {
        match call_one(path, request) {
            Ok(reply) => return Ok(reply),
            Err(CallError::Io { source, .. }) if is_nobody(&source) => {}
            Err(found @ CallError::Refused(_)) if is_unknown(&found) => error = found,
            Err(found) => return Err(found),
        }
    }
    Err(error)
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn is_unknown(error: &CallError) -> bool {
    matches!(error, CallError::Refused(problem) if problem.kind == ProblemKind::NotFound)
}

fn call_one(path: &Path, request: &Request) -> Result<(Reply, UnixStream), CallError> {
    let io = |source| CallError::Io {
        path: path.to_owned(),
        source,
    };
    let strange = || CallError::Strange(path.to_owned());
    let stream = UnixStream::connect(path).map_err(io)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    let mut line = serde_json::to_vec(request).map_err(|_| strange())?;
    line.push(b'\n');
    (&stream).write_all(&line).map_err(io)?;
    let mut reader = BufReader::new(&stream);
    let mut line = Vec::new();
    let mut limited = reader.by_ref().take(MAX_ANSWER);
    limited.read_until(b'\n', &mut line).map_err(io)?;
    let answer: Answer = serde_json::from_slice(&line).map_err(|_| strange())?;
    if let Some(problem) = answer.error {
        return Err(problem.into());
    }
    let mut payload = Vec::new();
    let length = answer.payload as u64;
    reader
        .take(length.min(MAX_ANSWER))
        .read_to_end(&mut payload)
        .map_err(io)?;
    if payload.len() != answer.payload {
        return Err(strange());
    }
    let value = answer.ok.ok_or_else(strange)?;
    Ok((Reply { value, payload }, stream))
}

/// Longest line, and longest payload: more than a picture of the largest size needs.
const MAX_ANSWER: u64 = 512 << 20;
/// Long texts take their time to be typed.
const PATIENCE: Duration = Duration::from_secs(600);
