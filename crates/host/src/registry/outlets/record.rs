//! What a stream said, as a file with the time before each line. Files are the owner's alone, since a console may show
//! secrets, and are set aside when they are full: `web1.serial0.log`, then `.1`, `.2` and so on, the oldest last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use time::OffsetDateTime;
use time::macros::format_description;

/// Where records are and how large they grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// Their directory.
    pub dir: PathBuf,
    /// Bytes of a file before the next one begins.
    pub bytes: u64,
    /// Files of a stream, the newest among them.
    pub files: u32,
}

/// The record of one stream.
#[derive(Debug)]
pub(super) struct Record {
    records: Records,
    path: PathBuf,
    /// `None`: it could not be opened; it is tried again.
    file: Option<File>,
    size: u64,
    is_line_start: bool,
    /// Bytes that are not in it and should be.
    missing: u64,
}

impl Record {
    pub(super) fn new(records: &Records, vm: &str, stream: &str) -> Self {
        Self {
            path: records.dir.join(format!("{}.{}.log", escaped(vm), escaped(stream))),
            records: records.clone(),
            file: None,
            size: 0,
            is_line_start: true,
            missing: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// So many bytes did not reach us; the record says so with what is written next.
    pub(super) fn missed(&mut self, bytes: u64) {
        self.missing += bytes;
    }

    /// Adds what the stream said at that time.
    ///
    /// # Errors
    /// When it cannot be written; the next call tries anew, and says how much is missing.
    pub(super) fn write(&mut self, at: OffsetDateTime, said: &[u8]) -> io::Result<()> {
        let begins = self.is_line_start;
        let mut text = Vec::with_capacity(said.len() + 32);
        if self.missing > 0 {
            let start = if self.is_line_start { "" } else { "\n" };
            let note = format!("{start}{}[rdpmux: {} bytes are missing]\n", stamp(at), self.missing);
            text.extend_from_slice(note.as_bytes());
            self.is_line_start = true;
        }
        for line in said.split_inclusive(|byte| *byte == b'\n') {
            if self.is_line_start {
                text.extend_from_slice(stamp(at).as_bytes());
            }
            text.extend_from_slice(line);
            self.is_line_start = line.ends_with(b"\n");
        }
        let written = self.put(&text, begins);
        match written {
            Ok(()) => self.missing = 0,
            Err(_) => self.missing += said.len() as u64,
        }
        written
    }

    /// A file ends with a line, unless a line is as long as a file.
    fn put(&mut self, text: &[u8], begins: bool) -> io::Result<()> {
        if self.size >= self.records.bytes && (begins || self.size >= self.records.bytes.saturating_mul(2)) {
            self.file = None;
            self.set_aside()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = open(&self.path)?;
                self.size = file.metadata()?.len();
                none.insert(file)
            }
        };
        let written = file.write_all(text);
        match &written {
            Ok(()) => self.size += text.len() as u64,
            Err(_) => self.file = None,
        }
        written
    }

    /// Each file takes the name of the next older one.
    fn set_aside(&self) -> io::Result<()> {
        let name = |number: u32| match number {
            0 => self.path.clone(),
            older => PathBuf::from(format!("{}.{older}", self.path.display())),
        };
        for number in (0..self.records.files.saturating_sub(1)).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match self.records.files {
            0 | 1 => fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }
}

/// A file that is there must be a plain one of ours: the directory may be one that others write to.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is something that is no file",
        ));
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others may read the file that is there; chmod 600 it",
        ));
    }
    Ok(file)
}

/// `2026-11-21T20:15:00.123Z `.
fn stamp(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z ");
    at.to_utc().format(form).unwrap_or_default()
}

/// A name as a part of a file's: letters, digits, `-` and `_` stay, what else is in it becomes its bytes, as `%2f`.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(dir: &Path, bytes: u64, files: u32) -> Records {
        Records {
            dir: dir.to_owned(),
            bytes,
            files,
        }
    }

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).expect("in range")
    }

    #[test]
    fn lines_have_the_time_at_which_they_began() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut record = Record::new(&records(folder.path(), 1 << 20, 2), "web1", "serial0");
        record.write(at(0), b"login: ").expect("written");
        record.write(at(1), b"root\r\n\r\n\xff#").expect("written");
        record.missed(12);
        record.write(at(2), b" ls\n").expect("written");
        let text = fs::read(record.path()).expect("there");
        let wanted =
            b"1970-01-01T00:00:00.000Z login: root\r\n1970-01-01T00:00:01.000Z \r\n1970-01-01T00:00:01.000Z \xff#\n\
            1970-01-01T00:00:02.000Z [rdpmux: 12 bytes are missing]\n1970-01-01T00:00:02.000Z  ls\n";
        assert_eq!(text.escape_ascii().to_string(), wanted.escape_ascii().to_string());
        let mode = fs::metadata(record.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn full_files_are_set_aside_and_the_oldest_goes() {
        for files in [1, 3] {
            let folder = tempfile::tempdir().expect("a folder");
            let mut record = Record::new(&records(folder.path(), 60, files), "web1", "serial0");
            for line in 0..20 {
                record
                    .write(at(line), format!("line {line}\n").as_bytes())
                    .expect("written");
            }
            // A daemon that starts again goes on in the same file.
            let mut record = Record::new(&record.records, "web1", "serial0");
            record.write(at(20), b"line 20\n").expect("written");
            let mut names: Vec<_> = fs::read_dir(folder.path())
                .expect("there")
                .flatten()
                .map(|entry| entry.file_name())
                .collect();
            names.sort();
            assert_eq!(names.len() as u32, files, "{names:?}");
            assert!(fs::read_to_string(record.path()).expect("there").ends_with("line 20\n"));
            for name in names {
                let size = fs::metadata(folder.path().join(name)).expect("there").len();
                assert!(size < 60 + 40, "{size}");
            }
        }
    }

    #[test]
    fn names_stay_in_the_directory_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = records(folder.path(), 60, 2);
        let record = Record::new(&all, "../web1", "../../etc/passwd");
        assert_eq!(record.path().parent(), Some(folder.path()));
        let precious = folder.path().join("precious");
        fs::write(&precious, "").expect("written");
        let mut record = Record::new(&all, "web1", "a");
        std::os::unix::fs::symlink(&precious, record.path()).expect("linked");
        assert!(record.write(at(0), b"x\n").is_err());
        fs::remove_file(record.path()).expect("removed");
        fs::write(record.path(), "").expect("written");
        fs::set_permissions(record.path(), fs::Permissions::from_mode(0o644)).expect("set");
        assert!(record.write(at(0), b"x\n").is_err());
        fs::set_permissions(record.path(), fs::Permissions::from_mode(0o600)).expect("set");
        record.write(at(0), b"y\n").expect("tried again");
        let text = fs::read_to_string(record.path()).expect("there");
        assert!(
            text.contains("[rdpmux: 4 bytes are missing]\n") && text.ends_with("Z y\n"),
            "{text}"
        );
        assert_eq!(fs::read(&precious).expect("there"), b"");
    }
}
