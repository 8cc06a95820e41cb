//! The accounts that logins are checked against: kept in memory, read again when their file changed. A file that
//! became unreadable, malformed or open to others keeps the last good accounts and is reported once per change.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rdpmux_server::{Accounts, NtHash};
use tracing::{info, warn};

use super::{UserName, UsersError, UsersFile, sam, same_hash};

/// Accounts for [`rdpmux_server::serve`].
#[derive(Debug)]
pub struct Users {
    file: Option<(PathBuf, Form)>,
    known: Mutex<Known>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// That of `rdpmux user`.
    Own,
    /// SAM.
    Sam,
}

#[derive(Debug, Default)]
struct Known {
    /// By name in ASCII lower case.
    hashes: HashMap<String, NtHash>,
    stamp: Option<Stamp>,
}

/// What tells one state of the file from another: a swap changes the inode, an edit in place the time or the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    mode: u32,
}

impl Users {
    /// Accounts that live as long as this value: those of `demo` and `run`.
    pub fn in_memory(users: impl IntoIterator<Item = (UserName, String)>) -> Self {
        let hashes = users
            .into_iter()
            .map(|(name, password)| (name.as_str().to_ascii_lowercase(), NtHash::of_password(&password)));
        Self {
            file: None,
            known: Mutex::new(Known {
                hashes: hashes.collect(),
                stamp: None,
            }),
        }
    }

    /// Accounts of a users file, followed as it changes. A missing file has none yet.
    ///
    /// # Errors
    /// As [`UsersFile::load`].
    pub fn from_file(path: &Path) -> Result<Self, UsersError> {
        let known = Known::load(path, Form::Own)?;
        Ok(Self {
            file: Some((path.to_owned(), Form::Own)),
            known: Mutex::new(known),
        })
    }

    /// Accounts of a credential file in SAM form, followed as it changes. While it was never good there are none.
    pub(crate) fn from_sam(path: &Path) -> Self {
        let known = Known::load(path, Form::Sam).unwrap_or_else(|error| {
            warn!(%error, "credential file cannot be used: nobody can log in with it until it is put right");
            Known {
                stamp: Stamp::of(path),
                ..Known::default()
            }
        });
        Self {
            file: Some((path.to_owned(), Form::Sam)),
            known: Mutex::new(known),
        }
    }

    /// How many accounts there are.
    pub fn count(&self) -> usize {
        self.refresh();
        self.known.lock().hashes.len()
    }

    fn lookup(&self, user: &str) -> Option<NtHash> {
        self.refresh();
        self.known.lock().hashes.get(&user.to_ascii_lowercase()).copied()
    }

    /// One `stat` of a local file; the file is read only when that differs.
    fn refresh(&self) {
        let Some((path, form)) = &self.file else { return };
        let stamp = Stamp::of(path);
        let mut known = self.known.lock();
        if known.stamp == stamp {
            return;
        }
        match Known::load(path, *form) {
            Ok(fresh) => {
                info!(file = %path.display(), users = fresh.hashes.len(), "users file read again");
                *known = fresh;
            }
            Err(error) => {
                warn!(%error, "users file changed and cannot be used; the accounts read before stay in force");
                known.stamp = stamp;
            }
        }
    }
}

impl Known {
    fn load(path: &Path, form: Form) -> Result<Self, UsersError> {
        // Taken first: a change between the two is seen at the next look.
        let stamp = Stamp::of(path);
        let hashes = match form {
            Form::Own => {
                let users = UsersFile::load(path)?.into_users().into_iter();
                users
                    .map(|(name, hash)| (name.as_str().to_ascii_lowercase(), hash))
                    .collect()
            }
            Form::Sam => match sam::load(path) {
                Ok(users) => {
                    let users = users.into_iter();
                    users.map(|(name, hash)| (name.to_ascii_lowercase(), hash)).collect()
                }
                Err(UsersError::File(missing)) if missing.is_missing() => {
                    warn!(file = %path.display(), "there is no such credential file: nobody can log in with it");
                    HashMap::new()
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Self { hashes, stamp })
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            mode: found.mode(),
        })
    }
}

impl Accounts for Users {
    fn nt_hash(&self, user: &str) -> Option<NtHash> {
        self.lookup(user)
    }

    fn verify(&self, user: &str, password: &str) -> bool {
        let offered = NtHash::of_password(password);
        let known = self.lookup(user);
        // An unknown user costs the same comparison, against a hash that no password is expected to have.
        let same = same_hash(&offered, &known.unwrap_or(NtHash([0; 16])));
        same && known.is_some()
    }
}
