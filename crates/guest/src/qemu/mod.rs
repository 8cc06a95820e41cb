//! Stock QEMU through its D-Bus display. This file is the configuration and the front door; the rest of the module is
//! how a QEMU is found, heard and driven without ever making it wait.

mod attach;
pub mod audio;
mod chardev;
mod clipboard;
mod control;
mod display;
mod floor;
mod gesture;
mod head;
mod input;
pub mod listener;
mod machine;
mod monitor;
pub mod qmp;
mod size;
mod switch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::port::GuestEvent;
use crate::power::PowerRequest;
use crate::supervise::Counters;
pub use chardev::takeover::{Backend, HandBack, Spec, SpecError, TakeOver};
pub(crate) use clipboard::port as clipboard_port;
use machine::Machine;

/// Where a QEMU is and how to treat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it is.
    pub address: Address,
    /// Keep the QMP connection for the machine's events. `false` for a socket that other programs use too (Proxmox):
    /// it is then left at once, and resets and pauses go unnoticed.
    pub qmp_stay: bool,
    /// QEMU makes no pictures of a head that nobody has looked at for so long.
    pub rest_after: Duration,
    /// Its monitor is a stream, too, which needs QMP to stay.
    pub monitor: bool,
    /// Which character devices may be taken over by QMP, which has to stay for that.
    pub take_over: Option<TakeOver>,
}

impl Config {
    /// Long enough that viewers who come back soon, or one after the other, do not make QEMU start anew each time.
    pub const REST_AFTER: Duration = Duration::from_secs(10);

    /// A QEMU that was started with `-display dbus,p2p=yes` and has a QMP socket for us alone.
    pub fn qmp(path: impl Into<PathBuf>) -> Self {
        Self {
            address: Address::Qmp(path.into()),
            qmp_stay: true,
            rest_after: Self::REST_AFTER,
            monitor: false,
            take_over: None,
        }
    }
}

/// How to reach a QEMU's display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Path of a QMP server socket; QEMU runs with `-display dbus,p2p=yes`.
    Qmp(PathBuf),
    /// A message bus; QEMU runs with `-display dbus,addr=…`.
    Bus {
        /// D-Bus address, for example `unix:path=/run/rdpmux/bus.sock`.
        address: String,
        /// Name or UUID of the machine; needed if there are several on the bus.
        vm: Option<String>,
    },
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Qmp(path) => write!(f, "{}", path.display()),
            Self::Bus { address, vm: None } => f.write_str(address),
            Self::Bus { address, vm: Some(vm) } => write!(f, "{vm} on {address}"),
        }
    }
}

/// The backend's ends of what a machine has besides its heads.
pub(crate) struct Ends {
    /// Its switches.
    pub(crate) power: mpsc::Receiver<PowerRequest>,
    /// Its sound.
    pub(crate) sound: audio::Ends,
    /// Its clipboard.
    pub(crate) clipboard: clipboard::Ends,
}

/// The task behind [`crate::spawn`].
pub(crate) async fn run(
    config: Config,
    title: String,
    events: mpsc::Sender<GuestEvent>,
    counters: Arc<Counters>,
    ends: Ends,
) {
    let owner = events.clone();
    let machine = match Machine::new(config, title, events, counters, ends) {
        Ok(machine) => machine,
        Err(error) => {
            tracing::error!(%error, "cannot start a thread for qemu");
            return;
        }
    };
    tokio::select! {
        biased;
        () = owner.closed() => {}
        () = machine.run() => {}
    }
}
