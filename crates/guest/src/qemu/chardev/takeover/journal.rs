//! What has to be put back, on disk before it is changed: one file per machine, of mode 0600, replaced whole.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::spec::Spec;

/// Longest file that is read; 256 devices have a tenth of it.
const LONGEST: u64 = 1 << 20;
const VERSION: u32 = 1;

/// One run of a QEMU: its process and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) process: i32,
    pub(super) start: u64,
}

/// What is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// We stop this machine, which runs otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stopped: Option<Run>,
    /// By label: what was, or may have been, taken over.
    #[serde(default)]
    pub(super) taken: BTreeMap<String, Spec>,
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    record: Record,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {why}; what was taken over has to be put back by hand", path.display())]
    Damaged { path: PathBuf, why: String },
}

impl Journal {
    /// Of the machine `name`, in `directory`. One that is not there is empty.
    pub(super) fn open(directory: &Path, name: &str) -> Result<Self, JournalError> {
        let path = directory.join(format!("{}.json", file_name(name)));
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(LONGEST).read_to_end(&mut bytes).map_err(io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let record = Record::default();
                return Ok(Self { path, record });
            }
            Err(error) => return Err(io(error)),
        }
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.version == VERSION => Ok(Self { path, record }),
            Ok(record) => Err(damaged(&path, format!("version {} is not known", record.version))),
            Err(error) => Err(damaged(&path, error.to_string())),
        }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Nothing has to be put back.
    pub(super) fn is_empty(&self) -> bool {
        self.record.stopped.is_none() && self.record.taken.is_empty()
    }

    /// Changes it; on disk when this returns. A change of nothing writes nothing.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), JournalError> {
        let mut record = self.record.clone();
        change(&mut record);
        if record == self.record {
            return Ok(());
        }
        record.version = VERSION;
        write(&self.path, &record).map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.record = record;
        Ok(())
    }
}

/// Set aside, so that it can be read and is not met again.
fn damaged(path: &Path, why: String) -> JournalError {
    let aside = path.with_extension("damaged");
    let path = match fs::rename(path, &aside) {
        Ok(()) => aside,
        Err(_) => path.to_owned(),
    };
    JournalError::Damaged { path, why }
}

fn write(path: &Path, record: &Record) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if record.stopped.is_none() && record.taken.is_empty() {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    } else {
        let new = path.with_extension("new");
        // One that a crash left may have any mode.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(record).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
    }
    File::open(directory)?.sync_all()
}

/// Machines may be called anything, files not.
pub(super) fn file_name(name: &str) -> String {
    let mut file = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => file.push(char::from(byte)),
            other => file.push_str(&format!("%{other:02x}")),
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn noted(directory: &Path) -> Journal {
        let mut journal = Journal::open(directory, "web.1").expect("open");
        let spec = Spec::parse("file:/a").expect("spec");
        journal
            .change(|record| {
                record.taken.insert("serial0".to_owned(), spec);
                record.stopped = Some(Run { process: 7, start: 9 });
            })
            .expect("write");
        journal
    }

    #[test]
    fn what_was_written_is_there_again_and_only_the_owner_reads_it() {
        let directory = tempfile::tempdir().expect("tempdir");
        let below = directory.path().join("take-over");
        let journal = noted(&below);
        let again = Journal::open(&below, "web.1").expect("open");
        assert_eq!(again.record(), journal.record());
        assert_eq!(again.path, below.join("web%2e1.json"));
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!((mode(&again.path), mode(&below)), (0o600, 0o700));
    }

    #[test]
    fn an_empty_one_leaves_no_file() {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut journal = noted(directory.path());
        journal
            .change(|record| {
                record.taken.clear();
                record.stopped = None;
            })
            .expect("write");
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 0);
        // What a crash left between two steps does not matter.
        fs::write(directory.path().join("web%2e1.new"), "{").expect("write");
        noted(directory.path());
    }

    #[test]
    fn garbage_and_halves_are_errors_by_name_and_set_aside() {
        let directory = tempfile::tempdir().expect("tempdir");
        let whole = fs::read(noted(directory.path()).path).expect("read");
        let path = directory.path().join("web%2e1.json");
        let mut broken: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        broken.push(b"{\"version\":2}".to_vec());
        broken.push(vec![0xFF; 100]);
        broken.push(b"[".repeat(100_000));
        for bytes in broken {
            fs::write(&path, &bytes).expect("write");
            let error = Journal::open(directory.path(), "web.1").expect_err("damaged");
            assert!(error.to_string().contains("put back by hand"), "{error}");
            assert!(!path.exists());
            let aside = fs::read(directory.path().join("web%2e1.damaged")).expect("aside");
            assert_eq!(aside, bytes);
            assert!(Journal::open(directory.path(), "web.1").is_ok());
        }
    }
}
