//! The board of desktops that sessions read: what is on it can be reached. Machines put their desktops up and hold a
//! [`Ticket`] for each; a dropped ticket takes the desktop down.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rdpmux_guest::PowerPort;
use rdpmux_model::{ClipboardPolicy, DesktopName, Rights};
use rdpmux_server::streams::Visitor;
use rdpmux_server::{DesktopHandle, Directory, Streams};
use rdpmux_streams::{Kind, Text};
use tokio::sync::watch;

use super::grants::Policy;
use super::outlets::Outlets;

pub(crate) struct Board {
    desktops: RwLock<HashMap<DesktopName, Shown>>,
    policy: Arc<RwLock<Policy>>,
    /// What every machine's streams have besides clients.
    outlets: Outlets,
    next_serial: AtomicU64,
    /// Told after each change of `desktops`. INVARIANT: never while `desktops` is locked, and nobody locks `desktops`
    /// inside of it, since a watch has a lock of its own.
    changed: watch::Sender<()>,
}

/// One desktop on the board.
struct Shown {
    /// Its ticket's.
    serial: u64,
    handle: DesktopHandle,
    /// The switches of its machine.
    power: Option<PowerPort>,
    /// The streams of its machine.
    streams: Streams,
    /// Another name by which clients may ask for it.
    alias: Option<DesktopName>,
    /// If it is a stream's: what that is. Rights on it are those on the stream.
    stream: Option<Kind>,
}

/// A desktop to be put up.
pub(super) struct Notice {
    pub(super) handle: DesktopHandle,
    /// The switches of its machine.
    pub(super) power: Option<PowerPort>,
    /// The streams of its machine.
    pub(super) streams: Streams,
    /// Another name by which clients may ask for it; it counts only while no desktop has it as its name.
    pub(super) alias: Option<DesktopName>,
    /// If it is a stream's: what that is.
    pub(super) stream: Option<Kind>,
}

/// Keeps one desktop on the board. A later desktop of the same name is not taken down by an earlier one's ticket.
pub(super) struct Ticket {
    board: Arc<Board>,
    name: DesktopName,
    serial: u64,
}

impl Board {
    pub(super) fn new(policy: Policy, outlets: Outlets) -> Arc<Self> {
        Arc::new(Self {
            desktops: RwLock::default(),
            policy: Arc::new(RwLock::new(policy)),
            outlets,
            next_serial: AtomicU64::new(0),
            changed: watch::Sender::new(()),
        })
    }

    /// Puts a desktop up.
    pub(super) fn publish(board: &Arc<Self>, notice: Notice) -> Ticket {
        let Notice {
            handle,
            power,
            streams,
            alias,
            stream,
        } = notice;
        let name = handle.name().clone();
        let serial = board.next_serial.fetch_add(1, Ordering::Relaxed);
        let shown = Shown {
            serial,
            handle,
            power,
            streams,
            alias,
            stream,
        };
        board.desktops.write().insert(name.clone(), shown);
        board.changed.send_replace(());
        Ticket {
            board: board.clone(),
            name,
            serial,
        }
    }

    pub(super) fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    pub(super) fn replace_policy(&self, policy: Policy) {
        *self.policy.write() = policy;
    }

    fn shown<T>(&self, name: &DesktopName, then: impl FnOnce(&Shown) -> T) -> Option<T> {
        let desktops = self.desktops.read();
        let by_alias = || desktops.values().find(|shown| shown.alias.as_ref() == Some(name));
        desktops.get(name).or_else(by_alias).map(then)
    }

    /// Whether a desktop has that very name.
    pub(crate) fn has(&self, name: &DesktopName) -> bool {
        self.desktops.read().contains_key(name)
    }

    /// Viewers of all heads of a machine.
    pub(super) fn viewers(&self, machine: &DesktopName) -> usize {
        let desktops = self.desktops.read();
        let heads = desktops
            .values()
            .map(|shown| &shown.handle)
            .filter(|handle| handle.name().vm().eq_ignore_ascii_case(machine.vm()));
        heads.map(DesktopHandle::viewers).sum()
    }

    /// The switches of the machine behind a desktop, if it has any.
    pub(crate) fn power(&self, name: &DesktopName) -> Option<PowerPort> {
        self.shown(name, |shown| shown.power.clone())?
    }

    /// The streams of the machine behind a desktop.
    pub(crate) fn streams(&self, name: &DesktopName) -> Option<Streams> {
        self.shown(name, |shown| shown.streams.clone())
    }

    /// What `user` may do with streams of a kind of the desktop's machine.
    pub(crate) fn stream_rights(&self, user: &str, desktop: &DesktopName, kind: Kind) -> rdpmux_streams::Rights {
        self.policy.read().streams(user, desktop, kind)
    }

    /// Names of the desktops that can be reached, in alphabetical order.
    pub(crate) fn names(&self) -> Vec<DesktopName> {
        let mut names: Vec<_> = self.desktops.read().keys().cloned().collect();
        names.sort_by_key(|name| name.as_str().to_ascii_lowercase());
        names
    }

    /// Resolves when `done` is true of the names on the board; looks at it after each change. Cancel-safe.
    pub(crate) async fn wait_until(&self, done: impl Fn(&[DesktopName]) -> bool) {
        let mut changed = self.changed.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        while !done(&self.names()) && changed.changed().await.is_ok() {}
    }
}

/// Those that a grant can be about.
const KINDS: [Kind; 6] = [
    Kind::Serial,
    Kind::Console,
    Kind::Port,
    Kind::Monitor,
    Kind::Other,
    Kind::Log,
];

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut desktops = self.board.desktops.write();
        if desktops
            .get(&self.name)
            .is_some_and(|shown| shown.serial == self.serial)
        {
            desktops.remove(&self.name);
        }
        drop(desktops);
        self.board.changed.send_replace(());
    }
}

impl Directory for Board {
    fn find(&self, name: &DesktopName) -> Option<DesktopHandle> {
        self.shown(name, |shown| shown.handle.clone())
    }

    /// The configured desktop, else the first head of the only machine.
    fn default_desktop(&self) -> Option<DesktopHandle> {
        if let Some(name) = self.policy.read().default_desktop.clone() {
            return self.find(&name);
        }
        let desktops = self.desktops.read();
        let mut handles = desktops.values().map(|shown| &shown.handle);
        let machine = handles.next()?.name().vm();
        if !handles.all(|handle| handle.name().vm().eq_ignore_ascii_case(machine)) {
            return None;
        }
        let machine = DesktopName::new(machine).ok()?;
        drop(desktops);
        self.find(&machine)
    }

    fn beside(&self, user: &str, desktop: &DesktopName) -> Option<DesktopHandle> {
        let mut names = self.names();
        names.retain(|name| name.vm().eq_ignore_ascii_case(desktop.vm()) && self.rights(user, name).view);
        let here = names.iter().position(|name| name == desktop);
        let next = here.map_or(0, |here| (here + 1) % names.len());
        let next = names.get(next).filter(|next| *next != desktop)?;
        self.find(next)
    }

    fn rights(&self, user: &str, desktop: &DesktopName) -> Rights {
        let stream = self.shown(desktop, |shown| shown.stream).flatten();
        let policy = self.policy.read();
        let rights = policy.rights(user, desktop);
        stream.map_or(rights, |kind| {
            let granted = policy.streams(user, desktop, kind);
            let view = granted.has(rdpmux_streams::Rights::WATCH);
            Rights {
                view,
                control: view && granted.has(rdpmux_streams::Rights::WRITE),
                resize: rights.resize,
                ..Rights::default()
            }
        })
    }

    fn clipboard(&self, user: &str, desktop: &DesktopName) -> ClipboardPolicy {
        self.policy.read().clipboard(user, desktop)
    }

    fn streams_for(&self, user: &str, desktop: &DesktopName) -> Option<(Streams, Visitor)> {
        let streams = self.streams(desktop)?;
        let (policy, who, desktop) = (self.policy.clone(), user.to_owned(), desktop.clone());
        let rights = move |kind| policy.read().streams(&who, &desktop, kind);
        let knows = KINDS
            .into_iter()
            .any(|kind| rights(kind).has(rdpmux_streams::Rights::WATCH));
        let visitor = Visitor {
            who: Text::cleaned(user),
            rights: Box::new(rights),
        };
        knows.then_some((streams, visitor))
    }
}
