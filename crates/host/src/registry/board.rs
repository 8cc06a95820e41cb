//! The board of desktops that sessions read: what is on it can be reached. Machines put their desktops up and hold a
//! [`Ticket`] for each; a dropped ticket takes the desktop down.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rdpmux_model::{DesktopName, Rights};
use rdpmux_server::{DesktopHandle, Directory};
use tokio::sync::watch;

use super::grants::Policy;

pub(crate) struct Board {
    desktops: RwLock<HashMap<DesktopName, (u64, DesktopHandle)>>,
    policy: RwLock<Policy>,
    /// Counts changes of `desktops`; also the serial of tickets.
    changes: watch::Sender<u64>,
}

/// Keeps one desktop on the board. A later desktop of the same name is not taken down by an earlier one's ticket.
pub(super) struct Ticket {
    board: Arc<Board>,
    name: DesktopName,
    serial: u64,
}

impl Board {
    pub(super) fn new(policy: Policy) -> Arc<Self> {
        let (changes, _) = watch::channel(0);
        Arc::new(Self {
            desktops: RwLock::default(),
            policy: RwLock::new(policy),
            changes,
        })
    }

    pub(super) fn publish(board: &Arc<Self>, handle: DesktopHandle) -> Ticket {
        let name = handle.name().clone();
        let mut desktops = board.desktops.write();
        let serial = board.bump();
        desktops.insert(name.clone(), (serial, handle));
        Ticket {
            board: board.clone(),
            name,
            serial,
        }
    }

    pub(super) fn replace_policy(&self, policy: Policy) {
        *self.policy.write() = policy;
    }

    /// Viewers of all heads of a machine.
    pub(super) fn viewers(&self, machine: &DesktopName) -> usize {
        let desktops = self.desktops.read();
        let heads = desktops
            .values()
            .filter(|(_, handle)| handle.name().vm().eq_ignore_ascii_case(machine.vm()));
        heads.map(|(_, handle)| handle.viewers()).sum()
    }

    /// Names of the desktops that can be reached, in alphabetical order.
    pub(super) fn names(&self) -> Vec<DesktopName> {
        let mut names: Vec<_> = self.desktops.read().keys().cloned().collect();
        names.sort_by_key(|name| name.as_str().to_ascii_lowercase());
        names
    }

    /// Resolves when all of these are there.
    pub(super) async fn wait_for(&self, names: &[DesktopName]) {
        let mut changes = self.changes.subscribe();
        // The desktops are looked at outside the channel's own lock, which publishers take inside that of the desktops.
        while !names.iter().all(|name| self.desktops.read().contains_key(name)) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn bump(&self) -> u64 {
        let mut serial = 0;
        self.changes.send_modify(|count| {
            *count += 1;
            serial = *count;
        });
        serial
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut desktops = self.board.desktops.write();
        if desktops
            .get(&self.name)
            .is_some_and(|(serial, _)| *serial == self.serial)
        {
            desktops.remove(&self.name);
            self.board.bump();
        }
    }
}

impl Directory for Board {
    fn find(&self, name: &DesktopName) -> Option<DesktopHandle> {
        self.desktops.read().get(name).map(|(_, handle)| handle.clone())
    }

    /// The configured desktop, else the first head of the only machine.
    fn default_desktop(&self) -> Option<DesktopHandle> {
        if let Some(name) = self.policy.read().default_desktop.clone() {
            return self.find(&name);
        }
        let desktops = self.desktops.read();
        let mut handles = desktops.values().map(|(_, handle)| handle);
        let machine = handles.next()?.name().vm();
        if !handles.all(|handle| handle.name().vm().eq_ignore_ascii_case(machine)) {
            return None;
        }
        desktops
            .get(&DesktopName::new(machine).ok()?)
            .map(|(_, handle)| handle.clone())
    }

    fn rights(&self, user: &str, desktop: &DesktopName) -> Rights {
        self.policy.read().rights(user, desktop)
    }
}
