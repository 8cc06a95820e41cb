//! The users file: one `name:hash` per line, `#` starts a comment line. It is read whole, changed in memory and swapped
//! in whole; nobody but its owner may read it, since an NT hash is as good as the password for an NLA login.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rdpmux_server::NtHash;

use crate::private_file::{self, PrivateFileError};

/// A name that an account may have: 1 to 64 characters without spaces, control characters and `# : / \ @ *`, which mean
/// something else on the wire, in this file or in grants. ASCII case does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`UsersError::Name`] if the text breaks the rule above.
    pub fn new(text: &str) -> Result<Self, UsersError> {
        let reserved = |c: char| c.is_control() || c.is_whitespace() || "#:/\\@*?".contains(c);
        if text.is_empty() || text.chars().count() > 64 || text.contains(reserved) {
            return Err(UsersError::Name(
                text.chars().take(64).flat_map(char::escape_debug).collect(),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why the users file cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The text cannot name a user.
    #[error("`{0}` cannot name a user: 1 to 64 characters, no spaces and none of # : / \\ @ * ?")]
    Name(String),
    /// The file is not in its form.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The user is already there.
    #[error("user `{0}` exists; to change the password run: rdpmux user passwd {0}")]
    Exists(String),
    /// There is no such user.
    #[error("there is no user `{0}`; see: rdpmux user list")]
    Unknown(String),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
}

/// The users file in memory, with its place.
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
    users: Vec<(UserName, NtHash)>,
}

impl UsersFile {
    /// Largest file in bytes: some 10 000 users.
    const LIMIT: u64 = 1 << 20;

    /// Reads the file; a missing one has no users.
    ///
    /// # Errors
    /// If others may read it, it is not in its form, or the system refuses.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        let users = match private_file::read(path, Self::LIMIT) {
            Ok(bytes) => parse(path, &bytes)?,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            path: path.to_owned(),
            users,
        })
    }

    /// The users in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn into_users(self) -> Vec<(UserName, NtHash)> {
        self.users
    }

    /// Whether [`UsersFile::add`] would take the name; to be asked before a person types a password.
    ///
    /// # Errors
    /// [`UsersError::Exists`].
    pub fn check_new(&self, name: &UserName) -> Result<(), UsersError> {
        match self.position(name.as_str()) {
            Some(_) => Err(UsersError::Exists(name.0.clone())),
            None => Ok(()),
        }
    }

    /// Whether there is such a user.
    ///
    /// # Errors
    /// [`UsersError::Unknown`].
    pub fn check_known(&self, name: &UserName) -> Result<(), UsersError> {
        self.position(name.as_str())
            .map(|_| ())
            .ok_or_else(|| UsersError::Unknown(name.0.clone()))
    }

    /// Adds a user and writes the file.
    ///
    /// # Errors
    /// [`UsersError::Exists`], or the file cannot be written.
    pub fn add(&mut self, name: UserName, password: &str) -> Result<(), UsersError> {
        self.check_new(&name)?;
        self.users.push((name, NtHash::of_password(password)));
        self.store()
    }

    /// Changes a user's password and writes the file.
    ///
    /// # Errors
    /// [`UsersError::Unknown`], or the file cannot be written.
    pub fn set_password(&mut self, name: &UserName, password: &str) -> Result<(), UsersError> {
        let at = self
            .position(name.as_str())
            .ok_or_else(|| UsersError::Unknown(name.0.clone()))?;
        self.users[at].1 = NtHash::of_password(password);
        self.store()
    }

    /// Takes a user out and writes the file.
    ///
    /// # Errors
    /// [`UsersError::Unknown`], or the file cannot be written.
    pub fn delete(&mut self, name: &UserName) -> Result<(), UsersError> {
        let at = self
            .position(name.as_str())
            .ok_or_else(|| UsersError::Unknown(name.0.clone()))?;
        self.users.remove(at);
        self.store()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.users
            .iter()
            .position(|(other, _)| other.as_str().eq_ignore_ascii_case(name))
    }

    fn store(&self) -> Result<(), UsersError> {
        if let Some(directory) = self.path.parent() {
            private_file::prepare_directory(directory)?;
        }
        let mut text = String::from("# Users of rdpmux, one name:hash per line. Change it with: rdpmux user\n");
        for (name, hash) in &self.users {
            text.push_str(name.as_str());
            text.push(':');
            for byte in hash.0 {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        Ok(private_file::replace(&self.path, text.as_bytes())?)
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<(UserName, NtHash)>, UsersError> {
    let wrong = |line, what| UsersError::Line {
        path: path.to_owned(),
        line,
        what,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(1, "the file is not UTF-8 text"))?;
    let mut users: Vec<(UserName, NtHash)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = line
            .split_once(':')
            .ok_or_else(|| wrong(line_number, "expected name:hash"))?;
        let name = UserName::new(name).map_err(|_| wrong(line_number, "not a valid user name"))?;
        let hash = parse_hash(hash).ok_or_else(|| wrong(line_number, "the hash must have 32 hexadecimal digits"))?;
        if users
            .iter()
            .any(|(other, _)| other.as_str().eq_ignore_ascii_case(name.as_str()))
        {
            return Err(wrong(line_number, "the user is already in the file"));
        }
        users.push((name, hash));
    }
    Ok(users)
}

/// 32 hexadecimal digits.
pub(super) fn parse_hash(text: &str) -> Option<NtHash> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16)
        .ok()
        .map(|number| NtHash(number.to_be_bytes()))
}
