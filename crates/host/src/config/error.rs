//! Why a configuration cannot be used: every problem with its line, so that one round of editing is enough.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file.
    #[error("{}: there is no such file; write one, for example:\n\n{EXAMPLE}\nor name another with --config", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file says something wrong.
    #[error("{}", Report { path, problems })]
    Wrong {
        /// The file.
        path: PathBuf,
        /// In the order of the file.
        problems: Vec<Problem>,
    },
}

/// A configuration to start from.
pub const EXAMPLE: &str = "    [[discover]]
    qmp = \"/run/rdpmux/vm/*.qmp\"

    [[grant]]
    users = [\"alice\"]
    vms = [\"*\"]
    rights = [\"view\", \"control\"]
";

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Counted from 1; 0 if it concerns the whole file.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

struct Report<'a> {
    path: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match problem.line {
                0 => write!(f, "{}: {}", self.path.display(), problem.what)?,
                line => write!(f, "{}:{line}: {}", self.path.display(), problem.what)?,
            }
        }
        Ok(())
    }
}

/// Collects problems of one text.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            found: Vec::new(),
        }
    }

    /// Notes a problem at a byte of the text.
    pub(super) fn at(&mut self, offset: usize, what: impl Into<String>) {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        self.found.push(Problem {
            line,
            what: what.into(),
        });
    }

    /// Notes a problem of the whole text.
    pub(super) fn overall(&mut self, what: impl Into<String>) {
        self.found.push(Problem {
            line: 0,
            what: what.into(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found.dedup();
        self.found
    }
}
