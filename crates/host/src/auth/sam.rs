//! Credential files in SAM form, as FreeRDP's servers and RDPMux take them: `user:domain:LM hash:NT hash:::` per line, or
//! with fewer colons at the end. Domain and LM hash are not looked at. It only reads; `rdpmux user` never writes such a
//! file.

use std::path::Path;

use rdpmux_server::NtHash;
use tracing::warn;

use super::UsersError;
use super::file::parse_hash;
use crate::private_file::{self, PrivateFileError};

/// Largest file in bytes.
const LIMIT: u64 = 1 << 20;

/// The accounts of a file. A line that cannot be used is left out and named in the log, as FreeRDP skips it: whoever it
/// was meant for cannot log in, the others can.
///
/// # Errors
/// If there is no such file, others than its owner may read it, or it is no text.
pub(super) fn load(path: &Path) -> Result<Vec<(String, NtHash)>, UsersError> {
    if !path.is_absolute() {
        let relative = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path must begin with a /");
        return Err(PrivateFileError::io(path, relative).into());
    }
    let bytes = private_file::read(path, LIMIT)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| UsersError::Line {
        path: path.to_owned(),
        line: 1,
        what: "the file is not UTF-8 text",
    })?;
    let mut users: Vec<(String, NtHash)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match entry(line) {
            Ok(None) => {}
            Ok(Some((name, _))) if users.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) => {
                warn!(file = %path.display(), line = index + 1, "line left out: the user is already in the file");
            }
            Ok(Some(user)) => users.push(user),
            Err(what) => warn!(file = %path.display(), line = index + 1, what, "line left out"),
        }
    }
    Ok(users)
}

/// One line; `None` for an empty one and a comment.
fn entry(line: &str) -> Result<Option<(String, NtHash)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _domain, _lm_hash, hash, rest @ ..] = fields.as_slice() else {
        return Err("expected user:domain::hash:::");
    };
    if rest.len() > 3 || rest.iter().any(|field| !field.is_empty()) {
        return Err("there is something after the hash");
    }
    if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
        return Err("a user name has 1 to 64 characters");
    }
    let hash = parse_hash(hash).ok_or("the NT hash must have 32 hexadecimal digits")?;
    Ok(Some(((*name).to_owned(), hash)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdpmux_server::NtHash;

    const HASH: &str = "a4f49c406510bdcab6824ee7c30fd852";

    #[test]
    fn every_form_that_is_in_use_is_read() {
        for line in [
            format!("alice:::{HASH}:::"),
            format!("alice:CORP::{HASH}::"),
            format!("alice:CORP::{}", HASH.to_uppercase()),
            format!(" alice::aad3b435b51404eeaad3b435b51404ee:{HASH}:::\r"),
        ] {
            let user = entry(&line).expect("valid").expect("an entry");
            assert_eq!(user, ("alice".to_owned(), NtHash::of_password("Password")), "{line}");
        }
        assert_eq!(entry("  # alice:::x"), Ok(None));
        assert_eq!(entry(""), Ok(None));
    }

    #[test]
    fn lines_that_say_nothing_certain_are_left_out() {
        for line in [
            "alice".to_owned(),
            format!("alice:{HASH}"),
            format!(":CORP::{HASH}:::"),
            "alice:CORP::12:::".to_owned(),
            "alice:CORP:::::".to_owned(),
            format!("alice:CORP::{HASH}:::bob:CORP::{HASH}:::"),
            format!("alice:CORP::{HASH}::::"),
            format!("al\u{7}ice:::{HASH}:::"),
        ] {
            assert!(entry(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_file_must_be_private_absolute_and_a_file() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("sam");
        let text = format!("alice:::{HASH}:::\nrubbish\nALICE:x::{HASH}:::\nbob:::{HASH}::\n");
        private_file::replace(&path, text.as_bytes()).expect("write");
        let names: Vec<_> = load(&path).expect("load").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["alice", "bob"]);
        assert!(load(Path::new("sam")).is_err(), "relative to what?");
        assert!(load(directory.path()).is_err(), "a directory");
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).expect("pipe");
        assert!(load(&pipe).is_err(), "a pipe, which nobody writes to");
    }
}
