//! Who is at the door: the client's name and what it says about its user, taken from the GCC client core data and the
//! client info. Nothing here is verified yet; with NLA the verified name is CredSSP's.

use core::fmt;

use rdpmux_model::Size;

/// A clear-text password: overwritten when dropped, never printed.
pub struct Password(String);

impl Password {
    /// Takes the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text. Do not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        // Without `unsafe` a volatile write is out of reach; `black_box` keeps the compiler from dropping the stores.
        let mut bytes = core::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        core::hint::black_box(&mut bytes);
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What the client says about itself and its user ([MS-RDPBCGR] 2.2.1.3.2, 2.2.1.11.1.1).
#[derive(Debug)]
pub struct ClientLogin {
    /// User name; empty if the client sent none. With NLA: unverified, use CredSSP's name.
    pub user: String,
    /// Domain, if not empty.
    pub domain: Option<String>,
    /// Password, if the client sent one that is not empty. Always `None` after NLA.
    pub password: Option<Password>,
    /// The client computer's name, cleaned of control characters.
    pub client_name: String,
    /// `clientBuild`: 2600 for XP, 22621 for a Windows 11 and so on; rdesktop says 2600, FreeRDP 18363.
    pub client_build: u32,
    /// Desktop size that the client asked for, in pixels; unchecked, may be 0.
    pub requested: Size,
    /// Whether the client asks to be logged on with what it sent (`INFO_AUTOLOGON`).
    pub auto_logon: bool,
}
