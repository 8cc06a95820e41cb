//! Which sockets are there: patterns such as `/run/rdpmux/vm/*.qmp`. It only looks at file names and kinds; whether a
//! QEMU answers behind one is the backend's business.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rdpmux_model::Pattern;

/// A directory and a pattern for the sockets in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPattern {
    directory: PathBuf,
    file: Pattern,
}

/// Why a text is no socket pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The last component names one file.
    #[error("the file name needs a * or ?; for one socket write a [[vm]] with `qmp`")]
    Fixed,
    /// A directory has wildcards.
    #[error("* and ? may stand in the file name only, not in a directory")]
    Directory,
}

impl SocketPattern {
    /// Takes `directory/pattern`, where only the last component has `*` or `?`.
    ///
    /// # Errors
    /// [`PatternError`] if it does not have that form.
    pub fn new(path: &Path) -> Result<Self, PatternError> {
        let wild = |text: &str| text.contains(['*', '?']);
        let file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .ok_or(PatternError::Fixed)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        if wild(&directory.to_string_lossy()) {
            return Err(PatternError::Directory);
        }
        if !wild(&file) {
            return Err(PatternError::Fixed);
        }
        Ok(Self {
            directory: directory.to_owned(),
            file: Pattern::new(file),
        })
    }

    /// The directory that is looked at.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The matching sockets in the order of their names. A directory that is not there has none. May block on the disk.
    ///
    /// # Errors
    /// What the system says if the directory cannot be read.
    pub fn scan(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let matches = entry
                .file_name()
                .to_str()
                .is_some_and(|name| self.file.matches_file(name));
            // Follows links: a socket may be linked into the directory.
            if matches && fs::metadata(entry.path()).is_ok_and(|found| found.file_type().is_socket()) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }
}

impl fmt::Display for SocketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.directory.join(self.file.as_str()).display())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_the_file_name_may_have_wildcards() {
        assert_eq!(
            SocketPattern::new(Path::new("/run/vm/web1.qmp")),
            Err(PatternError::Fixed)
        );
        assert_eq!(
            SocketPattern::new(Path::new("/run/*/web1.qmp")),
            Err(PatternError::Directory)
        );
        assert_eq!(SocketPattern::new(Path::new("/")), Err(PatternError::Fixed));
    }

    #[test]
    fn a_scan_finds_sockets_and_nothing_else() {
        let directory = tempfile::tempdir().expect("tempdir");
        let at = |name: &str| directory.path().join(name);
        let _sockets: Vec<_> = ["b.qmp", "a.qmp", "c.sock"]
            .iter()
            .map(|name| UnixListener::bind(at(name)).expect("bind"))
            .collect();
        fs::write(at("d.qmp"), "").expect("write");
        let pattern = SocketPattern::new(&at("*.qmp")).expect("pattern");
        assert_eq!(pattern.scan().expect("scan"), [at("a.qmp"), at("b.qmp")]);
        let nowhere = SocketPattern::new(&at("nowhere/*.qmp")).expect("pattern");
        assert_eq!(nowhere.scan().expect("scan"), Vec::<PathBuf>::new());
    }
}
