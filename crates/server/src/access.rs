//! Who may log in and what they may reach: the two questions that the server asks its embedder. It holds no account and
//! no policy of its own.

use std::fmt;
use std::pin::Pin;

use md4::{Digest, Md4};
use rdpmux_model::{ClipboardPolicy, DesktopName, Rights, Size};

use crate::config::Logins;
use crate::desktop::DesktopHandle;
use crate::streams::{Streams, Visitor};

/// MD4 of a password in UTF-16LE: all that NTLM needs and all that is kept ([MS-NLMP] 3.3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NtHash(pub [u8; 16]);

impl NtHash {
    /// MD4 over the password's UTF-16LE form ([MS-NLMP] 3.3.1 `NTOWFv1`).
    pub fn of_password(password: &str) -> Self {
        let mut md4 = Md4::new();
        for unit in password.encode_utf16() {
            md4.update(unit.to_le_bytes());
        }
        Self(md4.finalize().into())
    }
}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtHash(..)")
    }
}

/// The people who may log in. Called from many sessions at once; answers come from memory.
pub trait Accounts: Send + Sync {
    /// The hash that proves `user` in an NLA login; `None` if there is no such user. ASCII case does not count.
    fn nt_hash(&self, user: &str) -> Option<NtHash>;

    /// Whether `password` is that of `user`, for TLS logins where the client sends it. Takes the same time for every
    /// wrong answer.
    fn verify(&self, user: &str, password: &str) -> bool;

    /// The same for accounts that must ask elsewhere, with the domain that the client sent. The login's deadline holds.
    fn prove<'a>(
        &'a self,
        user: &'a str,
        _domain: Option<&'a str>,
        password: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(self.verify(user, password)))
    }

    /// Which of the offered logins these accounts take now; asked for each connection. Accounts that know no hashes, for
    /// example, cannot take NLA.
    fn logins(&self, offered: Logins) -> Logins {
        offered
    }
}

/// The desktops behind the port and who may reach them. Called from many sessions at once; answers come from memory.
pub trait Directory: Send + Sync {
    /// The desktop of that name.
    fn find(&self, name: &DesktopName) -> Option<DesktopHandle>;

    /// The desktop for a client that names none: the configured one, else the only one.
    fn default_desktop(&self) -> Option<DesktopHandle>;

    /// The desktop that comes after this one for a user who asks for the machine's next; `None` if there is only one.
    fn beside(&self, _user: &str, _desktop: &DesktopName) -> Option<DesktopHandle> {
        None
    }

    /// What `user` may do with the desktop. [`Rights::default`] is "nothing".
    fn rights(&self, user: &str, desktop: &DesktopName) -> Rights;

    /// A client is about to see the desktop; its screen has this size in pixels (unchecked, may be 0).
    fn arrives(&self, _user: &str, _desktop: &DesktopName, _screen: Size) {}

    /// What `user` may do with the clipboard of the desktop's machine; without [`Rights::control`] nothing anyway.
    fn clipboard(&self, _user: &str, _desktop: &DesktopName) -> ClipboardPolicy {
        ClipboardPolicy::ALL
    }

    /// The character devices of the desktop's machine, for a user who may know of any; the visitor says of which.
    fn streams_for(&self, _user: &str, _desktop: &DesktopName) -> Option<(Streams, Visitor)> {
        None
    }
}

/// Why a login that was proven gets no desktop. The client sees the same refusal for both, so that names do not leak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The user may not see it, or it does not exist.
    #[error("no desktop of that name for this user")]
    NotYours {
        /// What the client asked for.
        wanted: String,
    },
    /// The client named no desktop and there is no default.
    #[error("no desktop was named and there is no default")]
    NoneNamed,
}
