//! Backends: what brings a guest's screens in and takes its input out. A backend runs as a task of its own, fills one
//! surface per head through a [`GuestSink`], and tells of heads by [`GuestEvent`].
//!
//! It is not a display server: who looks is nothing a backend knows, but for whether anybody does and how fast
//! ([`HeadPort::audience`]). The daemon joins a backend's [`HeadPort`]s to desktops; nothing in here waits for a viewer.
#![forbid(unsafe_code)]

pub mod librdpmux;
mod mapped;
mod motion;
pub mod outside;
mod port;
mod power;
pub mod qemu;
pub mod sink;
mod supervise;
pub mod testcard;

pub use port::{ClipboardPort, GuestEvent, HeadPort, Notice, Peripherals, SoundPort, StreamPort};
pub use power::{PowerAction, PowerError, PowerPort};
pub use sink::{GuestSink, SinkError};
pub use supervise::Counters;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A kind of guest, as the configuration and `rdpmux backends` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// Word in configuration, command line and metrics.
    pub name: &'static str,
    /// One line for a person.
    pub description: &'static str,
}

/// All backends, in the order in which they are listed.
pub const BACKENDS: &[Backend] = &[
    Backend {
        name: "qemu",
        description: "stock QEMU 7.0 or later with -display dbus",
    },
    Backend {
        name: "librdpmux",
        description: "hypervisors built with librdpmux, which register by themselves",
    },
    Backend {
        name: "testcard",
        description: "a drawn desktop without a machine, for trying and testing",
    },
];

/// Which guest to bring in.
#[derive(Debug, Clone)]
pub enum GuestSpec {
    /// The built-in guest.
    TestCard(testcard::Config),
    /// A QEMU.
    Qemu(qemu::Config),
    /// A machine that registered at a [`librdpmux::Switchboard`].
    Librdpmux(librdpmux::Ticket),
}

impl GuestSpec {
    /// The row of [`BACKENDS`] that serves this guest.
    pub fn backend(&self) -> &'static str {
        match self {
            Self::TestCard(_) => "testcard",
            Self::Qemu(_) => "qemu",
            Self::Librdpmux(_) => "librdpmux",
        }
    }
}

/// A running backend. Dropping it ends the backend and lets go of the guest; the guest itself runs on.
#[derive(Debug)]
pub struct GuestTask {
    task: JoinHandle<()>,
    counters: Arc<Counters>,
    peripherals: Peripherals,
}

impl GuestTask {
    /// Whether the backend has ended by itself: nobody listens to its events any more.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// What the machine has besides its heads.
    pub fn peripherals(&self) -> &Peripherals {
        &self.peripherals
    }

    /// What has happened to the backend so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for GuestTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a backend on the current tokio runtime.
///
/// `title` names the guest on cards. Head 0 arrives in `events` at once, whether the guest is there or not, and stays
/// until the task ends; its surface shows the guest or a card that says why it cannot. The backend ends when the
/// receiver of `events` is dropped or when the returned task is.
pub fn spawn(spec: GuestSpec, title: String, events: mpsc::Sender<GuestEvent>) -> GuestTask {
    let counters = Arc::new(Counters::default());
    let mut peripherals = Peripherals::default();
    let task = match spec {
        GuestSpec::TestCard(config) => tokio::spawn(testcard::run(config, title, events)),
        GuestSpec::Qemu(config) => {
            let (port, power) = power::port();
            peripherals.power = Some(port);
            let (sound, sound_ends) = qemu::audio::port();
            peripherals.sound = Some(sound);
            let (clipboard, clipboard_ends) = qemu::clipboard_port();
            peripherals.clipboard = Some(clipboard);
            let ends = qemu::Ends {
                power,
                sound: sound_ends,
                clipboard: clipboard_ends,
            };
            tokio::spawn(qemu::run(config, title, events, counters.clone(), ends))
        }
        GuestSpec::Librdpmux(ticket) => {
            let (ports, ends) = librdpmux::ports(&ticket);
            peripherals = ports;
            tokio::spawn(librdpmux::run(ticket, title, events, counters.clone(), ends))
        }
    };
    GuestTask {
        task,
        counters,
        peripherals,
    }
}
