//! One machine as a program shows it: its heads' pictures, the memory that they are copied to, and the connection to the
//! daemon. The C functions and [`crate::Display`] are faces of this. Its main loop is in `pump`.
//!
//! One lock guards the state, for short: it is not held while pixels are copied, D-Bus is asked or callbacks run.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use rdpmux_wire::{Uuid36, v5, v6};
use rustix::event::{EventfdFlags, eventfd};

use crate::bus::{self, RegisterError, Registered, Registration};
use crate::feed::{Announcement, Due, FIRST_RATE, Feed, Shape, ShapeError};
use crate::link::{Address, InvalidPath, Link};
use crate::memory::{Memory, Source};
use crate::report;

/// Longest wait for the end of the main loop, of which the farewell may take one.
const FAREWELL: Duration = Duration::from_secs(2);
const FAREWELL_WRITE: Duration = Duration::from_secs(1);

/// Bytes that may wait for a daemon that does not read.
const LONGEST_QUEUE: usize = 20 << 20;

/// Why a call failed. None of these ends the machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The picture cannot be shown.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// D-Bus, or the daemon there.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// What `Register` gave, or a path of the program's own.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// Memory or socket.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// The order of calls is wrong.
    #[error("{0}")]
    Order(&'static str),
    /// A number is beyond its range.
    #[error("{0}")]
    Range(&'static str),
    /// The daemon does not read, or cannot take it.
    #[error("{0}")]
    NotTaken(&'static str),
}

/// A machine; shared by the thread in the main loop and those that draw.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) uuid: Uuid36,
    state: Mutex<State>,
    /// Notified when the main loop ends.
    pub(super) ended: Condvar,
    /// Wakes the main loop.
    pub(super) wake: OwnedFd,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) registration: Option<Registration>,
    pub(super) registered: Option<Registered>,
    id: Option<i32>,
    group: Option<u32>,
    pub(super) features: v6::Features,
    pub(super) address: Option<Address>,
    pub(super) link: Option<Link>,
    pub(super) heads: BTreeMap<u32, Head>,
    /// Told to each daemon that comes.
    leds: Option<v6::ToDaemon>,
    mouse_mode: Option<v6::ToDaemon>,
    pub(super) runner: Runner,
    pub(super) is_stopping: bool,
}

/// Who runs the main loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    Nobody,
    Thread(ThreadId),
}

#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) feed: Feed,
    memory: Option<Arc<Memory>>,
    cursor: Option<v6::ToDaemon>,
    /// Of the last update.
    pub(super) serial: u32,
}

impl Machine {
    /// A machine that nobody knows yet.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn new(uuid: Uuid36) -> io::Result<Arc<Self>> {
        let state = State {
            registration: None,
            registered: None,
            id: None,
            group: None,
            features: v6::Features::default(),
            address: None,
            link: None,
            heads: BTreeMap::new(),
            leds: None,
            mouse_mode: None,
            runner: Runner::Nobody,
            is_stopping: false,
        };
        Ok(Arc::new(Self {
            uuid,
            state: Mutex::new(state),
            ended: Condvar::new(),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes memory readable for a group from the next on.
    pub(crate) fn set_group(&self, group: u32) {
        self.lock().group = Some(group);
    }

    /// The machine's number, where somebody else registers it.
    pub(crate) fn set_id(&self, id: i32) {
        self.lock().id = Some(id);
    }

    /// What the program can take over protocol 6; counts from the next connection on.
    pub(crate) fn add_features(&self, features: v6::Features) {
        let mut state = self.lock();
        state.features = state.features.with(features);
    }

    /// Registers over D-Bus: the path of the daemon's socket.
    ///
    /// # Errors
    /// [`Error::Register`], or [`Error::Range`] for a negative id.
    pub(crate) fn register(&self, registration: Registration) -> Result<String, Error> {
        if registration.id < 0 {
            return Err(Error::Range("a machine's id is 0 to 2147483647"));
        }
        let registered = bus::register(&registration)?;
        let path = registered.path.clone();
        let mut state = self.lock();
        state.id = Some(registration.id);
        state.address = Address::parse(&path).ok();
        state.registration = Some(registration);
        state.registered = Some(registered);
        Ok(path)
    }

    /// Connects to a daemon's socket.
    ///
    /// # Errors
    /// [`Error::Path`] or [`Error::Io`].
    pub(crate) fn connect(&self, path: &str) -> Result<(), Error> {
        let address = Address::parse(path)?;
        let features = self.lock().features;
        let link = Link::connect(&address, self.uuid, features).map_err(|error| Error::Io {
            what: "connection to the daemon",
            error,
        })?;
        self.lock().put_link(address, link);
        self.wake();
        Ok(())
    }

    /// A head's picture has this shape from now on.
    ///
    /// # Errors
    /// [`Error::Shape`] if it cannot be shown, [`Error::Range`] for a head that cannot be.
    pub(crate) fn switch(&self, head: u32, shape: Shape) -> Result<(), Error> {
        if head >= v6::HEADS {
            return Err(Error::Range("heads are numbered 0 to 15"));
        }
        let mut state = self.lock();
        state.check(head, shape)?;
        state.heads.entry(head).or_default().feed.switch(shape);
        Ok(())
    }

    /// A part of a head's picture changed.
    ///
    /// # Errors
    /// [`Error::Order`] before the first switch.
    pub(crate) fn damage(&self, head: u32, area: [i32; 4]) -> Result<(), Error> {
        let [x, y, width, height] = area;
        let mut state = self.lock();
        let head = state.heads.get_mut(&head).ok_or(NO_PICTURE)?;
        head.feed.damage(x, y, width, height);
        Ok(())
    }

    /// Copies what changed, unless the daemon still copies; returns the frames per second that are of use.
    ///
    /// # Errors
    /// [`Error`]; what changed is then copied later.
    pub(crate) fn refresh(&self, head: u32, source: &dyn Source) -> Result<u32, Error> {
        let (due, memory) = {
            let mut state = self.lock();
            let Some(due) = state.heads.get_mut(&head).ok_or(NO_PICTURE)?.feed.due(Instant::now()) else {
                return Ok(state.rate(head));
            };
            state.check(head, due.shape)?;
            let memory = state.memory(head, due)?;
            state.heads.get_mut(&head).ok_or(NO_PICTURE)?.feed.start(due);
            (due, memory)
        };
        let copied = memory.copy(source, due.shape, due.area);
        let mut state = self.lock();
        let rate = state.rate(head);
        let is_there = state.link.as_ref().is_some_and(Link::is_ready);
        let Some(entry) = state.heads.get_mut(&head) else {
            return Ok(rate);
        };
        let is_same = entry
            .memory
            .as_ref()
            .is_some_and(|present| Arc::ptr_eq(present, &memory));
        if !is_same {
            // Another daemon came meanwhile, with another protocol.
            entry.feed.failed(due);
            return Ok(rate);
        }
        if let Err(error) = copied {
            entry.feed.failed(due);
            let what = "the picture cannot be copied";
            return Err(Error::Io { what, error });
        }
        if let Some(announcement) = entry.feed.done(due, is_there, Instant::now()) {
            state.announce(head, announcement);
        }
        drop(state);
        self.flush();
        Ok(rate)
    }

    /// Frames per second that are of use for a head.
    pub(crate) fn rate(&self, head: u32) -> u32 {
        self.lock().rate(head)
    }

    /// Head `head` is gone.
    pub(crate) fn remove_head(&self, head: u32) -> Result<(), Error> {
        let mut state = self.lock();
        if head == 0 {
            return Err(Error::Range("head 0 stays"));
        }
        state.heads.remove(&head).ok_or(NO_PICTURE)?;
        state.tell(&v6::ToDaemon::HeadGone { head })?;
        drop(state);
        self.flush();
        Ok(())
    }

    /// Tells a daemon of protocol 6 something that later daemons are told, too: pointer, lights, mouse mode.
    ///
    /// # Errors
    /// [`Error::Order`] for the pointer of a head without a picture.
    pub(crate) fn set(&self, message: v6::ToDaemon) -> Result<(), Error> {
        let mut state = self.lock();
        match &message {
            v6::ToDaemon::Cursor { head, .. } => {
                state.heads.get_mut(head).ok_or(NO_PICTURE)?.cursor = Some(message.clone());
            }
            v6::ToDaemon::Leds { .. } => state.leds = Some(message.clone()),
            v6::ToDaemon::MouseMode { .. } => state.mouse_mode = Some(message.clone()),
            _ => {}
        }
        state.tell(&message)?;
        drop(state);
        self.flush();
        Ok(())
    }

    /// Tells the present daemon something, if it takes `features`.
    ///
    /// # Errors
    /// [`Error::NotTaken`] if it does not.
    pub(crate) fn tell(&self, features: v6::Features, message: &v6::ToDaemon) -> Result<(), Error> {
        let mut state = self.lock();
        if !state.link.as_ref().is_some_and(|link| link.takes(features)) {
            return Err(Error::NotTaken("the daemon does not take this, or is not there"));
        }
        state.tell(message)?;
        drop(state);
        self.flush();
        Ok(())
    }

    /// Takes leave, ends the main loop, and waits for that unless it is what calls.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        self.wake();
        let runner = state.runner;
        if runner == Runner::Nobody {
            let link = state.link.take();
            drop(state);
            farewell(link);
        } else if runner != Runner::Thread(std::thread::current().id()) {
            let is_running = |state: &mut State| state.runner != Runner::Nobody;
            // Longer than a farewell takes; a thread in a callback that never returns is left alone.
            drop(self.ended.wait_timeout_while(state, FAREWELL, is_running));
        } else {
            drop(state);
        }
        self.lock().heads.clear();
    }

    /// Writes what waits; what the socket does not take now is for the main loop. Errors, too.
    fn flush(&self) {
        let mut state = self.lock();
        let Some(link) = &mut state.link else { return };
        if link.flush().is_err() || link.wants_to_write() {
            drop(state);
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        // Full, it wakes as well.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl State {
    /// Takes a new connection for the old one.
    pub(super) fn put_link(&mut self, address: Address, link: Link) {
        self.lose_link();
        self.link = Some(link);
        let is_other = self.version() != Some(address.version);
        self.address = Some(address);
        for head in self.heads.values_mut().filter(|_| is_other) {
            head.memory = None;
            head.feed.forget();
        }
    }

    /// The connection is over.
    pub(super) fn lose_link(&mut self) {
        self.link = None;
        for head in self.heads.values_mut() {
            head.feed.lost();
        }
    }

    /// The daemon is ready: it is told what there is.
    pub(super) fn introduce(&mut self) {
        let now = Instant::now();
        let numbers: Vec<u32> = self.heads.keys().copied().collect();
        for number in numbers {
            let Some(head) = self.heads.get_mut(&number) else {
                continue;
            };
            let cursor = head.cursor.clone();
            if let Some(announcement) = head.feed.introduce(now) {
                self.announce(number, announcement);
            }
            self.tell_again(cursor);
        }
        self.tell_again(self.leds.clone());
        self.tell_again(self.mouse_mode.clone());
    }

    fn tell_again(&mut self, message: Option<v6::ToDaemon>) {
        if let (Some(message), Some(link)) = (message, &mut self.link) {
            link.tell(&message, None);
        }
    }

    fn tell(&mut self, message: &v6::ToDaemon) -> Result<(), Error> {
        match &mut self.link {
            Some(link) if link.waiting() > LONGEST_QUEUE => Err(Error::NotTaken("the daemon does not read")),
            Some(link) if link.is_ready() => {
                link.tell(message, None);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn announce(&mut self, head: u32, announcement: Announcement) {
        let Some(entry) = self.heads.get_mut(&head) else { return };
        let Some(link) = &mut self.link else { return };
        entry.serial = entry.serial.wrapping_add(1).max(1);
        let memory = entry.memory.as_ref().map(|memory| memory.as_fd());
        if let Err(error) = link.announce(head, entry.serial, announcement, memory) {
            report::error(format_args!("a picture was not shown: {error}"));
        }
    }

    fn rate(&self, head: u32) -> u32 {
        self.heads.get(&head).map_or(FIRST_RATE, |head| head.feed.rate())
    }

    /// Whether what is spoken shows such a picture.
    fn check(&self, head: u32, shape: Shape) -> Result<(), Error> {
        if self.version() != Some(v5::VERSION) {
            return Ok(());
        }
        if head != 0 {
            return Err(Error::Range("protocol 5 shows head 0 only"));
        }
        let size = shape.size;
        if size.area() > crate::memory::PIXELS {
            return Err(ShapeError::TooLarge {
                width: size.width,
                height: size.height,
            }
            .into());
        }
        Ok(())
    }

    fn version(&self) -> Option<i32> {
        self.address.as_ref().map(|address| address.version)
    }

    /// The memory that a copy goes to; a new one for a new picture over protocol 6, where viewers' old one stays as it is.
    fn memory(&mut self, head: u32, due: Due) -> Result<Arc<Memory>, Error> {
        let what = "shared memory";
        let version = self.version().ok_or(NOT_REGISTERED)?;
        let entry = self.heads.get_mut(&head).ok_or(NO_PICTURE)?;
        let wanted = entry.memory.as_ref().filter(|memory| memory.fits(version, due));
        let memory = match wanted {
            Some(memory) => memory.clone(),
            None if version == v5::VERSION => {
                let id = self.id.ok_or(NOT_REGISTERED)?;
                // The old one has the name that the new one gets.
                entry.memory = None;
                let memory = Memory::named(id, self.group).map_err(|error| Error::Io { what, error })?;
                Arc::new(memory)
            }
            None => Arc::new(Memory::unnamed(due.shape).map_err(|error| Error::Io { what, error })?),
        };
        entry.memory = Some(memory.clone());
        Ok(memory)
    }
}

/// Says farewell over a connection that nobody else serves.
pub(super) fn farewell(link: Option<Link>) {
    let Some(mut link) = link.filter(Link::is_ready) else {
        return;
    };
    link.shut_down();
    let until = Instant::now() + FAREWELL_WRITE;
    while link.flush().is_ok() && link.wants_to_write() {
        let Some(rest) = until.checked_duration_since(Instant::now()) else {
            return;
        };
        crate::pump::wait_to_write(&link, rest);
    }
}

const NO_PICTURE: Error = Error::Order("there is no picture yet: mux_display_switch comes first");
const NOT_REGISTERED: Error =
    Error::Order("the machine is not registered yet: the picture is shown with the next refresh after that");
