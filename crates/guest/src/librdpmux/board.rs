//! Who registered. A registration lives as long as its [`Ticket`], which goes into the machine's task; when that ends,
//! the UUID and the id are free again.
//!
//! ```text
//! Register ─▶ waiting ─▶ connected ─▶ lost ─▶ (10 s) gone
//!                 ^___________________/
//! ```
//! Who is waiting or lost may be registered anew by the same user: its hypervisor was started again.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rdpmux_wire::{InvalidUuid, Uuid36, v5, v6};
use tokio::sync::{Notify, mpsc};

use super::door::Doors;
use super::link::Link;
use super::memory::Named;
use super::{Config, SocketName};
use crate::GuestSpec;

/// What a hypervisor registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// Its number for the machine; names the shared memory of protocol 5.
    pub id: i32,
    /// The machine.
    pub uuid: Uuid36,
    /// Of the protocol, 5 or 6.
    pub version: i32,
    /// The user who registered, whose connections are believed. `None`: the bus cannot tell; then only the daemon's own
    /// user and root are.
    pub uid: Option<u32>,
}

/// Why a registration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Not [`Switchboard::VERSIONS`].
    #[error("protocol version {0} is not supported: 5 and 6 are")]
    Version(i32),
    /// A UUID that is none.
    #[error(transparent)]
    Uuid(#[from] InvalidUuid),
    /// Negative.
    #[error("id {0} is out of range: ids go from 0 to 2147483647")]
    Id(i32),
    /// Another connection speaks for it.
    #[error("machine {0} is registered already, and its hypervisor is connected")]
    DuplicateUuid(Uuid36),
    /// Another user registered it.
    #[error("machine {0} is registered already, by another user")]
    OtherUser(Uuid36),
    /// Another machine has it.
    #[error("id {id} belongs to machine {uuid} already")]
    DuplicateId {
        /// The id.
        id: i32,
        /// The machine that has it.
        uuid: Uuid36,
    },
    /// There are too many.
    #[error("there are {0} machines already")]
    Full(usize),
}

/// The sockets for hypervisors, and who registered; one per daemon. Dropping it closes them and all connections.
#[derive(Debug)]
pub struct Switchboard {
    config: Config,
    board: Arc<Board>,
    _doors: Doors,
}

impl Switchboard {
    /// Versions of the protocol, as `SupportedProtocolVersions` tells them.
    pub const VERSIONS: [i32; 2] = [v5::VERSION, v6::VERSION];
    /// Machines at most.
    pub const MACHINES: usize = 1024;

    /// Opens the sockets.
    ///
    /// # Errors
    /// What the kernel says, with the socket's name; another daemon listening there is one such reason.
    pub async fn listen(config: Config) -> io::Result<Self> {
        let board = Arc::new(Board::default());
        let doors = Doors::open(&config, &board)?;
        Ok(Self {
            config,
            board,
            _doors: doors,
        })
    }

    /// What `Register` answers: `ipc://@/tmp/rdpmux` for version 5, `unix:/run/…` for 6. `None` for other versions.
    pub fn path_for(&self, version: i32) -> Option<String> {
        match version {
            v5::VERSION => Some(self.config.socket.endpoint()),
            v6::VERSION => Some(format!("unix:{}", self.config.socket6.display())),
            _ => None,
        }
    }

    /// Where protocol 5 listens.
    pub fn socket(&self) -> &SocketName {
        &self.config.socket
    }

    /// Takes a registration. What comes back is to be spawned ([`crate::spawn`]); its task ends by itself when the
    /// hypervisor says so or has been away for 10 s. A machine whose hypervisor is away is
    /// replaced: its old task ends at once.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing has changed then.
    pub fn register(&self, who: Registration) -> Result<GuestSpec, RegisterError> {
        self.board.register(who).map(GuestSpec::Librdpmux)
    }
}

/// One registered machine, to be spawned. The registration ends with the last clone.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<Entry>);

impl Ticket {
    /// What was registered.
    pub fn registration(&self) -> &Registration {
        &self.0.who
    }

    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.0
    }
}

/// A registration.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) who: Registration,
    board: Arc<Board>,
    links: mpsc::Sender<Link>,
    /// Taken by the machine's task.
    arriving: Mutex<Option<mpsc::Receiver<Link>>>,
    /// Whether a connection speaks for the machine.
    is_held: AtomicBool,
    /// The machine was registered anew.
    pub(super) replaced: Notify,
    /// The shared memory of protocol 5, to be removed when its maker is dead.
    pub(super) memory: Mutex<Option<Named>>,
}

impl Entry {
    /// Where connections arrive. `None` if they do elsewhere already.
    pub(super) fn arriving(&self) -> Option<mpsc::Receiver<Link>> {
        self.arriving.lock().take()
    }

    /// Whether a connection of user `uid` is believed.
    fn believes(&self, uid: u32) -> bool {
        let own = rustix::process::geteuid().as_raw();
        uid == 0 || uid == self.who.uid.unwrap_or(own)
    }

    /// Whether `who` may register the machine anew.
    fn yields_to(&self, who: &Registration) -> Result<(), RegisterError> {
        if self.is_held.load(Ordering::Acquire) {
            return Err(RegisterError::DuplicateUuid(self.who.uuid));
        }
        let is_same = who.uid == self.who.uid || who.uid == Some(0);
        is_same.then_some(()).ok_or(RegisterError::OtherUser(self.who.uuid))
    }

    /// Removes the memory file of a hypervisor that is dead, so that the next can make its own.
    pub(super) fn release_memory(&self) {
        if let Some(named) = self.memory.lock().take() {
            named.release();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.release_memory();
        let mut entries = self.board.entries.lock();
        // It may be somebody else's by now.
        if entries
            .get(&self.who.uuid)
            .is_some_and(|entry| entry.strong_count() == 0)
        {
            entries.remove(&self.who.uuid);
        }
    }
}

/// A connection speaks for a machine as long as this lives.
#[derive(Debug)]
pub(super) struct Hold(Arc<Entry>);

impl Hold {
    /// Whose it is.
    pub(super) fn who(&self) -> &Registration {
        &self.0.who
    }

    /// Gives the connection to the machine. `false` if the machine is gone.
    pub(super) async fn hand_over(&self, link: Link) -> bool {
        self.0.links.send(link).await.is_ok()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}

/// Why a connection may not speak for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("nobody has registered machine {0}")]
    Unknown(Uuid36),
    #[error("machine {uuid} was registered for protocol {registered}, not {spoken}")]
    Version { uuid: Uuid36, registered: i32, spoken: i32 },
    #[error("machine {0} was registered by another user")]
    User(Uuid36),
    #[error("another connection speaks for machine {0}")]
    Held(Uuid36),
}

/// All registrations.
#[derive(Debug, Default)]
pub(super) struct Board {
    entries: Mutex<HashMap<Uuid36, Weak<Entry>>>,
}

impl Board {
    pub(super) fn register(self: &Arc<Self>, who: Registration) -> Result<Ticket, RegisterError> {
        if !Switchboard::VERSIONS.contains(&who.version) {
            return Err(RegisterError::Version(who.version));
        }
        if who.id < 0 {
            return Err(RegisterError::Id(who.id));
        }
        // Dropped after the lock: the last of an entry takes it.
        let known: Vec<Arc<Entry>>;
        let mut entries = self.entries.lock();
        known = entries.values().filter_map(Weak::upgrade).collect();
        let former = known.iter().find(|entry| entry.who.uuid == who.uuid);
        if let Some(other) = known
            .iter()
            .find(|entry| entry.who.id == who.id && entry.who.uuid != who.uuid)
        {
            let uuid = other.who.uuid;
            return Err(RegisterError::DuplicateId { id: who.id, uuid });
        }
        if known.len() >= Switchboard::MACHINES {
            return Err(RegisterError::Full(known.len()));
        }
        if let Some(former) = former {
            former.yields_to(&who)?;
            former.release_memory();
            former.replaced.notify_one();
        }
        let (links, arriving) = mpsc::channel(1);
        let entry = Arc::new(Entry {
            who,
            board: self.clone(),
            links,
            arriving: Mutex::new(Some(arriving)),
            is_held: AtomicBool::new(false),
            replaced: Notify::new(),
            memory: Mutex::new(None),
        });
        entries.insert(who.uuid, Arc::downgrade(&entry));
        drop(entries);
        Ok(Ticket(entry))
    }

    /// Lets a connection of user `uid` speak for a machine.
    pub(super) fn claim(&self, uuid: Uuid36, spoken: i32, uid: u32) -> Result<Hold, Refusal> {
        let entry = self.entries.lock().get(&uuid).and_then(Weak::upgrade);
        let entry = entry.ok_or(Refusal::Unknown(uuid))?;
        let registered = entry.who.version;
        if registered != spoken {
            return Err(Refusal::Version {
                uuid,
                registered,
                spoken,
            });
        }
        if !entry.believes(uid) {
            return Err(Refusal::User(uuid));
        }
        match entry.is_held.swap(true, Ordering::AcqRel) {
            false => Ok(Hold(entry)),
            true => Err(Refusal::Held(uuid)),
        }
    }
}
