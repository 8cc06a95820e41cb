//! Which desktop does a client want? The hints of the wire, in the order that README promises: preconnection blob,
//! routing token, TLS server name, user name, default.
//!
//! A hint that a person wrote on purpose (blob, token, `alice#web1`, `web1\alice`) is taken at its word: an unknown name
//! is refused. A hint that clients send by themselves (server name, `mstshash`) counts only if it names a desktop.

use rdpmux_model::{ClipboardPolicy, DesktopName, Rights};

use crate::access::{Denied, Directory};
use crate::config::Routing;
use crate::desktop::DesktopHandle;
use crate::streams::{Streams, Visitor};

/// What the wire said before and during login.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// Preconnection blob ([MS-RDPEPS] 2.2.1.2).
    pub(crate) preconnection: Option<String>,
    /// Routing token or load-balance cookie of the X.224 request ([MS-RDPBCGR] 2.2.1.1).
    pub(crate) token: Option<String>,
    /// TLS server name indication.
    pub(crate) server_name: Option<String>,
    /// `mstshash` cookie: the first letters of the user name, as the client pleases.
    pub(crate) cookie: Option<String>,
}

/// A login name taken apart: `alice#web1`, `web1\alice` or plain `alice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginName {
    /// The account.
    pub(crate) user: String,
    /// The desktop that the name carries.
    pub(crate) desktop: Option<String>,
}

impl LoginName {
    /// Takes a user name and domain apart as the client sent them.
    pub(crate) fn parse(user: &str, domain: Option<&str>, routing: &Routing) -> Self {
        let (domain, user) = match user.split_once('\\') {
            Some((inner, user)) => (Some(inner), user),
            None => (domain, user),
        };
        if let Some((user, desktop)) = user.rsplit_once('#') {
            return Self {
                user: user.to_owned(),
                desktop: Some(desktop.to_owned()),
            };
        }
        let is_selector = |d: &&str| {
            let real = routing.login_domains.iter().any(|real| real.eq_ignore_ascii_case(d));
            !d.is_empty() && *d != "." && !routing.all_domains_real && !real
        };
        Self {
            user: user.to_owned(),
            desktop: domain.filter(is_selector).map(str::to_owned),
        }
    }
}

/// A desktop and what the user may do there.
pub(crate) struct Grant {
    pub(crate) desktop: DesktopHandle,
    pub(crate) rights: Rights,
    pub(crate) clipboard: ClipboardPolicy,
    /// Character devices of its machine, if the user may know of any.
    pub(crate) streams: Option<(Streams, Visitor)>,
}

/// Chooses the desktop for a proven login.
pub(crate) fn choose(
    hints: &Hints,
    login: &LoginName,
    routing: &Routing,
    directory: &dyn Directory,
) -> Result<Grant, Denied> {
    let server_name = hints
        .server_name
        .as_deref()
        .and_then(|name| named_by_server(name, routing));
    let written = hints.preconnection.as_deref().or(hints.token.as_deref());
    let desktop = if let Some(name) = written {
        find(name, directory)?
    } else if let Some(ServerName::Written(label)) = server_name {
        find(label, directory)?
    } else if let Some(found) = server_name.and_then(|name| find(name.label(), directory).ok()) {
        found
    } else if let Some(name) = login.desktop.as_deref() {
        find(name, directory)?
    } else if let Some(found) = hints
        .cookie
        .as_deref()
        .and_then(|cookie| named_by_cookie(cookie, directory))
    {
        found
    } else {
        directory.default_desktop().ok_or(Denied::NoneNamed)?
    };
    grant(desktop, &login.user, directory)
}

/// What `user` may do with the desktop.
pub(crate) fn grant(desktop: DesktopHandle, user: &str, directory: &dyn Directory) -> Result<Grant, Denied> {
    let rights = directory.rights(user, desktop.name());
    if rights.view {
        let clipboard = directory.clipboard(user, desktop.name());
        Ok(Grant {
            streams: directory.streams_for(user, desktop.name()),
            desktop,
            rights,
            clipboard,
        })
    } else {
        Err(not_yours(desktop.name().as_str()))
    }
}

#[derive(Clone, Copy)]
enum ServerName<'a> {
    /// Under a configured name: the label is a desktop's name and nothing else.
    Written(&'a str),
    /// Some server name: its first label may be a desktop's name.
    Perhaps(&'a str),
}

impl<'a> ServerName<'a> {
    fn label(self) -> &'a str {
        match self {
            Self::Written(label) | Self::Perhaps(label) => label,
        }
    }
}

fn named_by_server<'a>(name: &'a str, routing: &Routing) -> Option<ServerName<'a>> {
    let (label, rest) = name.split_once('.')?;
    if routing.server_names.is_empty() {
        return Some(ServerName::Perhaps(label));
    }
    routing
        .server_names
        .iter()
        .any(|own| own.eq_ignore_ascii_case(rest))
        .then_some(ServerName::Written(label))
}

fn named_by_cookie(cookie: &str, directory: &dyn Directory) -> Option<DesktopHandle> {
    let name = cookie.rsplit_once('#').map_or(cookie, |(_, desktop)| desktop);
    find(name, directory).ok()
}

fn find(name: &str, directory: &dyn Directory) -> Result<DesktopHandle, Denied> {
    DesktopName::new(name)
        .ok()
        .and_then(|name| directory.find(&name))
        .ok_or_else(|| not_yours(name))
}

fn not_yours(wanted: &str) -> Denied {
    // The text is the client's: what reaches the log is short and printable.
    let wanted = wanted
        .chars()
        .take(DesktopName::MAX_LEN)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    Denied::NotYours { wanted }
}

#[cfg(test)]
mod tests;
