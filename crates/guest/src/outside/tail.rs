//! A file that somebody else writes, from its last MiB on. A file that is cut off or replaced is read from its start.
//! It is looked at a few times a second: that works on every file system, and costs next to nothing.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdpmux_streams::State;
use rdpmux_streams::hub::Output;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::port::StreamEnds;

/// What is read of an old file.
const OLD: u64 = 1 << 20;
/// Bytes that are read at once.
const PIECE: u64 = 64 << 10;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: File,
    at: u64,
}

impl Tail {
    /// # Errors
    /// When there is no such file, or none that can be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "that is no file"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            at: found.len().saturating_sub(OLD),
        })
    }

    /// Reads on until the file cannot be read, or nobody wants it any more.
    pub(super) async fn run(mut self, ends: StreamEnds) -> io::Result<()> {
        if ends.output.send(Output::State(State::Open)).await.is_err() {
            return Ok(());
        }
        loop {
            // A file may be far away.
            let looked = spawn_blocking(move || (self.more(), self)).await;
            let Ok((more, tail)) = looked else {
                return Ok(());
            };
            self = tail;
            match more? {
                Some(bytes) => {
                    if ends.output.send(Output::Bytes(bytes)).await.is_err() {
                        return Ok(());
                    }
                }
                None if ends.output.is_closed() => return Ok(()),
                None => sleep(LOOK).await,
            }
        }
    }

    /// What was written since; `None`: nothing, for now.
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let found = self.file.metadata()?;
        if found.len() < self.at {
            self.at = 0;
        }
        if found.len() == self.at {
            return self.next_file(&found).map(|()| None);
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += (&self.file).take(PIECE).read_to_end(&mut bytes)? as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// Another file may have its name now.
    fn next_file(&mut self, ours: &Metadata) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(theirs) if (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()) => {
                self.file = File::open(&self.path)?;
                self.at = 0;
                Ok(())
            }
            // Between the old one and the new one there may be none.
            _ => Ok(()),
        }
    }
}
