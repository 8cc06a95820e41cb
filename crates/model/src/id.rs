//! Names and counters.

use core::fmt;
use std::sync::Arc;

/// The name by which a desktop is chosen: `web1`, or `web1/1` for a further head of the VM `web1`.
///
/// INVARIANT: 1 to 64 characters of `A-Z a-z 0-9 . _ -`, with at most one `/` between two such parts. Such a name is
/// safe in a cookie, a TLS server name, a file name, a log line and a terminal. Comparison ignores ASCII case, as
/// user names and server names do on the wire; the spelling that was registered is kept for display.
#[derive(Debug, Clone)]
pub struct DesktopName(Arc<str>);

/// A text that cannot name a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName;

impl DesktopName {
    /// Longest name in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidName`] if the text breaks the rule above.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let part = |p: &str| {
            !p.is_empty()
                && p.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let valid = match text.split_once('/') {
            Some((vm, head)) => part(vm) && part(head),
            None => part(text),
        };
        if valid && text.len() <= Self::MAX_LEN {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName)
        }
    }

    /// The name as registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The VM's part: what stands before the `/`. Rights are granted to it.
    pub fn vm(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(vm, _)| vm)
    }
}

impl PartialEq for DesktopName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for DesktopName {}
impl core::hash::Hash for DesktopName {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}
impl fmt::Display for DesktopName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a desktop name has 1 to 64 characters of A-Z a-z 0-9 . _ - and at most one / before a head's number",
        )
    }
}
impl std::error::Error for InvalidName {}

/// One client connection, unique within the life of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// Counts the changes of one surface. A tile's generation is that of its last change; 0 is "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Generation(pub u64);

/// Numbers the frames sent to one client ([MS-RDPEGFX] 2.2.2.11 `frameId`). Wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameId(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_compared_without_case() {
        for good in ["web1", "Web-1.example", "web1/1", "a"] {
            assert!(DesktopName::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "/", "web1/", "/1", "a/b/c", "a b", "a#b", "ä", "a\n", long.as_str()] {
            assert_eq!(DesktopName::new(bad), Err(InvalidName), "{bad:?}");
        }
        assert_eq!(DesktopName::new("WEB1"), DesktopName::new("web1"));
        assert_eq!(
            DesktopName::new("web1/1").map(|n| n.vm().to_owned()),
            Ok("web1".to_owned())
        );
    }
}
