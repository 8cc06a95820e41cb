//! The face for programs in Rust: a machine that is registered, connected and served by a thread of its own as long as
//! [`Display`] lives.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rdpmux_model::LockKeys;
use rdpmux_wire::InvalidUuid;
use rdpmux_wire::v6::{self, Content, Features, Offer};

use crate::bus::Registration;
use crate::event::{Event, Key, Mouse, Reader, lock_bits};
use crate::feed::Shape;
use crate::link::Incoming;
use crate::machine::{Error, Machine};
use crate::memory::Slice;
use crate::picture::{Cursor, Picture, cursor_message};
use crate::{pump, report};

/// Why a [`Display`] could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The machine's name is no UUID.
    #[error(transparent)]
    Uuid(#[from] InvalidUuid),
    /// Registration or connection failed.
    #[error(transparent)]
    Machine(#[from] Error),
    /// No thread or descriptor could be had.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// How a machine is registered.
#[derive(Debug, Clone)]
pub struct Builder {
    registration: Registration,
    path: Option<String>,
    group: Option<u32>,
    features: Features,
}

impl Builder {
    /// The machine's number, 0 to 2147483647, unique per host; 0 if not given.
    #[must_use]
    pub fn id(mut self, id: i32) -> Self {
        self.registration.id = id;
        self
    }

    /// TCP port of the machine's own RDP server; the first free one if not given.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.registration.port = port;
        self
    }

    /// Path of a SAM file with those who may log in; the daemon's users if not given.
    #[must_use]
    pub fn credential_file(mut self, path: &str) -> Self {
        path.clone_into(&mut self.registration.auth);
        self
    }

    /// Address of the D-Bus bus; the system bus if not given.
    #[must_use]
    pub fn bus(mut self, address: &str) -> Self {
        self.registration.bus = Some(address.to_owned());
        self
    }

    /// The newest protocol that may be used, 5 or 6; 6 if not given.
    #[must_use]
    pub fn newest_protocol(mut self, version: i32) -> Self {
        self.registration.newest = version;
        self
    }

    /// Connects to this socket (`ipc://…` or `unix:…`) and leaves the registration to somebody else.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Makes the screen's memory of protocol 5 readable for a group, for a daemon that is not root.
    #[must_use]
    pub fn memory_group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// What the program takes of protocol 6 beyond pixels, keys and the pointer.
    #[must_use]
    pub fn features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// Registers, connects and starts the thread that serves the connection. Waits for D-Bus, 10 s at most.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(self) -> Result<Display, OpenError> {
        let machine = Machine::new(self.registration.uuid.parse()?)?;
        if let Some(group) = self.group {
            machine.set_group(group);
        }
        machine.add_features(self.features);
        let path = match self.path {
            Some(path) => {
                machine.set_id(self.registration.id);
                path
            }
            None => machine.register(self.registration)?,
        };
        machine.connect(&path)?;
        let hooks = Arc::new(Mutex::new(Hooks::default()));
        let (served, called) = (machine.clone(), hooks.clone());
        let thread = thread::Builder::new()
            .name("rdpmux".to_owned())
            .spawn(move || serve(&served, &called))?;
        Ok(Display {
            machine,
            hooks,
            thread: Some(thread),
            shapes: Vec::new(),
            offers: 0,
        })
    }
}

type Hook<T> = Option<Box<dyn FnMut(T) + Send>>;

#[derive(Default)]
struct Hooks {
    key: Hook<Key>,
    mouse: Hook<Mouse>,
    event: Hook<Event>,
}

fn serve(machine: &Machine, hooks: &Mutex<Hooks>) {
    let (mut reader, mut events) = (Reader::default(), Vec::new());
    let mut take = |incoming: Incoming| {
        match incoming {
            Incoming::Five(message) => reader.take_5(message, &mut events),
            Incoming::Six(message) => reader.take_6(message, &mut events),
        }
        let mut hooks = hooks.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events.drain(..) {
            match (event, &mut *hooks) {
                (Event::Key(key), Hooks { key: Some(hook), .. }) => hook(key),
                (Event::Mouse(mouse), Hooks { mouse: Some(hook), .. }) => hook(mouse),
                (event, Hooks { event: Some(hook), .. }) => hook(event),
                _ => {}
            }
        }
    };
    if let Err(error) = pump::run(machine, &mut take) {
        report::error(error);
    }
}

/// A machine's screens, keyboard and mouse, as long as it lives.
pub struct Display {
    machine: Arc<Machine>,
    hooks: Arc<Mutex<Hooks>>,
    thread: Option<JoinHandle<()>>,
    /// Of each head.
    shapes: Vec<Option<Shape>>,
    /// Of the guest's clipboard.
    offers: u32,
}

impl Display {
    /// Starts to describe a machine with this UUID of 36 characters.
    pub fn builder(uuid: &str) -> Builder {
        Builder {
            registration: Registration {
                bus: None,
                name: "org.RDPMux.RDPMux".to_owned(),
                object: "/org/RDPMux/RDPMux".to_owned(),
                id: 0,
                uuid: uuid.to_owned(),
                port: 0,
                auth: String::new(),
                newest: v6::VERSION,
            },
            path: None,
            group: None,
            features: Features::default(),
        }
    }

    /// Has keys told to `hook`, on the thread that serves the connection. It must not call `on_…` itself.
    pub fn on_key(&mut self, hook: impl FnMut(Key) + Send + 'static) {
        self.lock_hooks().key = Some(Box::new(hook));
    }

    /// The same with what happens to mice.
    pub fn on_mouse(&mut self, hook: impl FnMut(Mouse) + Send + 'static) {
        self.lock_hooks().mouse = Some(Box::new(hook));
    }

    /// The same with all else; and with keys and mice that have no hook of their own.
    pub fn on_event(&mut self, hook: impl FnMut(Event) + Send + 'static) {
        self.lock_hooks().event = Some(Box::new(hook));
    }

    /// The first picture of head 0, or one of another size, format or content.
    ///
    /// # Errors
    /// As [`Head::switch`].
    pub fn switch(&mut self, picture: &Picture<'_>) -> Result<(), Error> {
        self.head(0).switch(picture)
    }

    /// A part of head 0 changed, in pixels. What is outside of the picture is left out.
    ///
    /// # Errors
    /// As [`Head::update`].
    pub fn update(&mut self, x: i32, y: i32, width: i32, height: i32) -> Result<(), Error> {
        self.head(0).update(x, y, width, height)
    }

    /// Hands over what changed of head 0; the frames per second that are of use now.
    ///
    /// # Errors
    /// As [`Head::refresh`].
    pub fn refresh(&mut self, picture: &Picture<'_>) -> Result<u32, Error> {
        self.head(0).refresh(picture)
    }

    /// Another head, 0 to 15; over protocol 5 there is only head 0.
    pub fn head(&mut self, number: u32) -> Head<'_> {
        Head { display: self, number }
    }

    /// Frames per second that are of use for head 0: 1 while nobody looks.
    pub fn rate(&self) -> u32 {
        self.machine.rate(0)
    }

    /// Protocol 6: the lights of the guest's keyboard.
    ///
    /// # Errors
    /// [`Error::NotTaken`] if the daemon does not read.
    pub fn set_leds(&mut self, lit: LockKeys) -> Result<(), Error> {
        let lit = lock_bits(lit);
        self.machine.set(v6::ToDaemon::Leds { lit })
    }

    /// Protocol 6: whether the guest takes positions of the mouse; otherwise it takes motions.
    ///
    /// # Errors
    /// As [`Display::set_leds`].
    pub fn set_absolute_mouse(&mut self, absolute: bool) -> Result<(), Error> {
        self.machine.set(v6::ToDaemon::MouseMode { absolute })
    }

    /// Protocol 6: the guest copied something, or what it has cannot be had as text. The number under which a viewer may
    /// ask for it.
    ///
    /// # Errors
    /// [`Error::NotTaken`] if the daemon does not take clipboards.
    pub fn offer_clipboard(&mut self, has_text: bool) -> Result<u32, Error> {
        self.offers = self.offers.wrapping_add(1).max(1);
        let serial = self.offers;
        let offer = v6::ToDaemon::ClipboardOffer(Offer { serial, has_text });
        self.machine.tell(Features::CLIPBOARD, &offer)?;
        Ok(serial)
    }

    /// Protocol 6: the guest pastes what viewers offered; [`Event::ClipboardText`] follows.
    ///
    /// # Errors
    /// As [`Display::offer_clipboard`].
    pub fn request_clipboard(&mut self, serial: u32) -> Result<(), Error> {
        let request = v6::ToDaemon::ClipboardRequest { serial };
        self.machine.tell(Features::CLIPBOARD, &request)
    }

    /// Protocol 6: the answer to [`Event::ClipboardRequest`]; `None` if it cannot be had.
    ///
    /// # Errors
    /// As [`Display::offer_clipboard`]; [`Error::Range`] for more than 8 MiB.
    pub fn give_clipboard(&mut self, serial: u32, text: Option<&str>) -> Result<(), Error> {
        if text.is_some_and(|text| text.len() > LONGEST_TEXT) {
            return Err(Error::Range("a text of a clipboard has 8 MiB at most"));
        }
        let text = text.map(str::to_owned);
        let content = v6::ToDaemon::ClipboardData(Content { serial, text });
        self.machine.tell(Features::CLIPBOARD, &content)
    }

    /// Protocol 6: what the machine plays from now on has so many frames per second, 8,000 to 192,000.
    ///
    /// # Errors
    /// [`Error::NotTaken`] if the daemon does not take sound.
    pub fn set_sound_rate(&mut self, rate: u32) -> Result<(), Error> {
        self.machine.tell(Features::SOUND, &v6::ToDaemon::SoundFormat { rate })
    }

    /// Protocol 6: what the machine plays, 16 bits, little-endian, left and right in turn; 32 KiB at most.
    ///
    /// # Errors
    /// As [`Display::set_sound_rate`]; [`Error::Range`] for no whole number of frames, or too many.
    pub fn play(&mut self, samples: &[u8]) -> Result<(), Error> {
        if samples.len() > LONGEST_SOUND || !samples.len().is_multiple_of(4) {
            return Err(Error::Range("sound is given in frames of 4 bytes, 32 KiB at most"));
        }
        let samples = samples.to_vec();
        self.machine.tell(Features::SOUND, &v6::ToDaemon::SoundData { samples })
    }

    /// Protocol 6: the guest's volume, 65,535 being full.
    ///
    /// # Errors
    /// As [`Display::set_sound_rate`].
    pub fn set_volume(&mut self, left: u16, right: u16) -> Result<(), Error> {
        self.machine
            .tell(Features::SOUND, &v6::ToDaemon::SoundVolume { left, right })
    }

    /// Protocol 6: the machine records at so many frames per second, or not any more at 0. [`Event::Microphone`] follows.
    ///
    /// # Errors
    /// [`Error::NotTaken`] if the daemon has no microphones.
    pub fn set_recording(&mut self, rate: u32) -> Result<(), Error> {
        self.machine
            .tell(Features::MICROPHONE, &v6::ToDaemon::Recording { rate })
    }

    fn lock_hooks(&self) -> std::sync::MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Display {
    /// Takes leave of the daemon; waits for that, 2 s at most.
    fn drop(&mut self) {
        self.machine.stop();
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            // It reported what went wrong.
            let _ = thread.join();
        }
    }
}

/// One screen of a machine.
pub struct Head<'a> {
    display: &'a mut Display,
    number: u32,
}

impl Head<'_> {
    /// The first picture, or one of another size, format or content.
    ///
    /// # Errors
    /// [`Error`] if it cannot be shown or copied.
    pub fn switch(&mut self, picture: &Picture<'_>) -> Result<(), Error> {
        let shape = picture.shape()?;
        self.display.machine.switch(self.number, shape)?;
        let index = self.number as usize;
        let shapes = &mut self.display.shapes;
        shapes.resize(shapes.len().max(index + 1), None);
        shapes[index] = Some(shape);
        self.hand_over(picture).map(drop)
    }

    /// A part changed, in pixels. What is outside of the picture is left out.
    ///
    /// # Errors
    /// [`Error::Order`] before the first picture.
    pub fn update(&mut self, x: i32, y: i32, width: i32, height: i32) -> Result<(), Error> {
        self.display.machine.damage(self.number, [x, y, width, height])
    }

    /// Hands over what changed, unless the daemon still copies the last change: then with the next call, so that no viewer
    /// sees half a picture. A picture of another shape is switched to. The frames per second that are of use now.
    ///
    /// # Errors
    /// [`Error`] if it cannot be shown or copied.
    pub fn refresh(&mut self, picture: &Picture<'_>) -> Result<u32, Error> {
        let shape = picture.shape()?;
        if self.display.shapes.get(self.number as usize).copied().flatten() != Some(shape) {
            self.switch(picture)?;
            return Ok(self.display.machine.rate(self.number));
        }
        self.hand_over(picture)
    }

    /// Protocol 6: the pointer's picture, or none while the guest hides it.
    ///
    /// # Errors
    /// [`Error::Range`] for a picture that is none, [`Error::Order`] before the head's first picture.
    pub fn set_cursor(&mut self, cursor: Option<&Cursor<'_>>) -> Result<(), Error> {
        let message = cursor_message(self.number, cursor)?;
        self.display.machine.set(message)
    }

    /// The head is gone; head 0 stays.
    ///
    /// # Errors
    /// [`Error::Order`] if there is none, [`Error::Range`] for head 0.
    pub fn remove(self) -> Result<(), Error> {
        if let Some(shape) = self.display.shapes.get_mut(self.number as usize) {
            *shape = None;
        }
        self.display.machine.remove_head(self.number)
    }

    fn hand_over(&mut self, picture: &Picture<'_>) -> Result<u32, Error> {
        let slice = Slice {
            pixels: picture.pixels,
            stride: picture.stride,
        };
        self.display.machine.refresh(self.number, &slice)
    }
}

/// Bytes of a text of a clipboard.
pub(crate) const LONGEST_TEXT: usize = 8 << 20;
/// Bytes of sound at once.
pub(crate) const LONGEST_SOUND: usize = 32 << 10;
