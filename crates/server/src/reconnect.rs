//! Reconnect cookies: which session each belongs to, who may use it, from where and until when. A cookie is good once;
//! whoever comes back gets a new one. What a refused client may still do is log in as everybody does.
//!
//! ```text
//! issued ── session lost ──▶ waiting ── time ──▶ gone
//!    └───────── redeemed ◀──────┘
//! ```
//! A session that ended on purpose takes its cookie with it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_model::{DesktopName, SessionId};
use rdpmux_rdp::{ReconnectCookie, ReconnectProof};
use tokio::time::Instant;

use crate::access::NtHash;
use crate::config::Reconnect;

/// All cookies that are out.
pub(crate) struct Cookies {
    rules: Reconnect,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    issued: HashMap<u32, Issued>,
    /// Numbers of cookies that were redeemed, so that a second use is known for what it is.
    used: VecDeque<u32>,
    next: u32,
}

/// To whom a cookie belongs.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) session: SessionId,
    pub(crate) user: String,
    /// The user's password when the cookie was given: a changed one voids it.
    pub(crate) password: Option<NtHash>,
    pub(crate) desktop: DesktopName,
    pub(crate) address: IpAddr,
}

struct Issued {
    cookie: ReconnectCookie,
    owner: Owner,
    /// `None` while its session lives.
    until: Option<Instant>,
}

/// Who comes with a proof.
pub(crate) struct Comer<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: Option<NtHash>,
    pub(crate) address: IpAddr,
}

/// Why a cookie is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CookieRefusal {
    #[error("reconnection is switched off")]
    Off,
    #[error("no such cookie: it is of another server, or too old")]
    Unknown,
    #[error("it was used already")]
    Used,
    #[error("its proof is wrong")]
    Forged,
    #[error("it was given to {0}")]
    Elsewhere(IpAddr),
    #[error("its time is over")]
    Expired,
    #[error("it is another user's")]
    OtherUser,
    #[error("the password was changed since")]
    PasswordChanged,
}

impl Cookies {
    pub(crate) fn new(rules: Reconnect) -> Self {
        Self {
            rules,
            table: Mutex::default(),
        }
    }

    /// A cookie for a session that starts, of these random bytes. `None` if reconnection is off.
    pub(crate) fn issue(
        self: &Arc<Self>,
        owner: Owner,
        secret: [u8; 16],
        now: Instant,
    ) -> Option<(ReconnectCookie, Hold)> {
        if self.rules.within.is_zero() {
            return None;
        }
        let mut table = self.table.lock();
        table.sweep(now);
        let id = table.free_id();
        let cookie = ReconnectCookie::new(id, secret);
        let issued = Issued {
            cookie: cookie.clone(),
            owner,
            until: None,
        };
        table.issued.insert(id, issued);
        let hold = Hold {
            cookies: Arc::clone(self),
            id,
            keep: false,
        };
        Some((cookie, hold))
    }

    /// A session shows another desktop: its client comes back there.
    pub(crate) fn follow(&self, session: SessionId, desktop: &DesktopName) {
        let mut table = self.table.lock();
        let issued = table.issued.values_mut();
        for issued in issued.filter(|issued| issued.owner.session == session) {
            issued.owner.desktop = desktop.clone();
        }
    }

    /// Takes a cookie: whose session the client means to go on with. A refused one stays as it is, so that a stranger who
    /// comes with it does its owner no harm.
    pub(crate) fn redeem(
        &self,
        proof: &ReconnectProof,
        comer: &Comer<'_>,
        now: Instant,
    ) -> Result<Owner, CookieRefusal> {
        if self.rules.within.is_zero() {
            return Err(CookieRefusal::Off);
        }
        let id = proof.id();
        let mut table = self.table.lock();
        let Some(issued) = table.issued.get(&id) else {
            let was_used = table.used.contains(&id);
            return Err(if was_used {
                CookieRefusal::Used
            } else {
                CookieRefusal::Unknown
            });
        };
        let owner = &issued.owner;
        if !issued.cookie.is_proven_by(proof) {
            return Err(CookieRefusal::Forged);
        }
        if issued.until.is_some_and(|until| until <= now) {
            return Err(CookieRefusal::Expired);
        }
        if owner.address != comer.address && !self.rules.any_address {
            return Err(CookieRefusal::Elsewhere(owner.address));
        }
        if !owner.user.eq_ignore_ascii_case(comer.user) {
            return Err(CookieRefusal::OtherUser);
        }
        if owner.password != comer.password {
            return Err(CookieRefusal::PasswordChanged);
        }
        let owner = owner.clone();
        table.issued.remove(&id);
        table.used.truncate(USED - 1);
        table.used.push_front(id);
        Ok(owner)
    }
}

impl Table {
    /// Forgets what is over, and what waits longest if too much waits.
    fn sweep(&mut self, now: Instant) {
        self.issued
            .retain(|_, issued| issued.until.is_none_or(|until| until > now));
        let waiting = || self.issued.iter().filter_map(|(id, issued)| Some((issued.until?, *id)));
        if waiting().count() >= WAITING
            && let Some((_, oldest)) = waiting().min()
        {
            self.issued.remove(&oldest);
        }
    }

    fn free_id(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            // Sessions are far fewer than numbers.
            if !self.issued.contains_key(&self.next) {
                return self.next;
            }
        }
    }
}

/// A session's hold on its cookie. Dropped, the cookie is void; let go by [`Hold::wait`], it waits for the client.
pub(crate) struct Hold {
    cookies: Arc<Cookies>,
    id: u32,
    keep: bool,
}

impl Hold {
    /// The session was lost: its client may come back for a while.
    pub(crate) fn wait(mut self, now: Instant) {
        self.keep = true;
        let until = now + self.cookies.rules.within;
        if let Some(issued) = self.cookies.table.lock().issued.get_mut(&self.id) {
            issued.until = Some(until);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.keep {
            self.cookies.table.lock().issued.remove(&self.id);
        }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(300),
            any_address: false,
        }
    }
}

/// Cookies of lost sessions that may wait.
const WAITING: usize = 1024;
/// Used numbers that are remembered.
const USED: usize = 1024;

#[cfg(test)]
mod tests;
