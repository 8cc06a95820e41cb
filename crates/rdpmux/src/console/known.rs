//! Certificates of servers that were trusted once, as ssh keeps them: one line each, the server and its SHA-256.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rdpmux_client::Fingerprint;

/// What is known of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    Nothing,
    /// That certificate.
    This,
    /// Others, and not that one.
    Another,
}

/// The user's file.
pub(crate) fn path() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(config.join("rdpmux/known_hosts"))
}

/// Looks a server up, as `host:port`. A file that is not there knows nothing.
pub(crate) fn look_up(path: &Path, server: &str, found: Fingerprint) -> anyhow::Result<Known> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Known::Nothing),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let mut known = Known::Nothing;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let is_server = words.next().is_some_and(|name| name.eq_ignore_ascii_case(server));
        if let Some(kept) = words.next().filter(|_| is_server).and_then(Fingerprint::parse) {
            if kept == found {
                return Ok(Known::This);
            }
            known = Known::Another;
        }
    }
    Ok(known)
}

/// Adds a server.
pub(crate) fn remember(path: &Path, server: &str, found: Fingerprint) -> anyhow::Result<()> {
    let add = || {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.write_all(format!("{server} {found}\n").as_bytes())
    };
    add().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/known_hosts");
        let print = |digit: &str| Fingerprint::parse(&digit.repeat(64)).expect("64 digits");
        let look_up = |server, digit| super::look_up(&path, server, print(digit)).expect("it can be read");
        assert_eq!(look_up("a:3389", "1"), Known::Nothing);
        remember(&path, "a:3389", print("1")).expect("written");
        remember(&path, "b:3389", print("2")).expect("written");
        assert_eq!(look_up("A:3389", "1"), Known::This);
        assert_eq!(look_up("a:3389", "2"), Known::Another);
        assert_eq!(look_up("a:3390", "1"), Known::Nothing);
        fs::write(&path, "a:3389\nnonsense\na:3389 zz\n\u{1F600}").expect("written");
        assert_eq!(look_up("a:3389", "1"), Known::Nothing);
    }
}
