//! Machines whose hypervisor is built with librdpmux: they register (over D-Bus, by the daemon's `host`), connect to a
//! socket of ours, and put their pixels into shared memory. Protocols 5 and 6 as `rdpmux-wire` has them.
//!
//! `board` knows who registered, `door` accepts connections and hears who they speak for, `stream` and `link` carry one,
//! `machine` is the backend's task with its `head`s, `screen` and `memory` their pixels, `input` what they are told,
//! `peripherals` sound and clipboard, `flood` who says too much. D-Bus, ports and passwords are not here.

mod board;
mod door;
mod flood;
mod head;
mod input;
mod link;
mod machine;
mod memory;
mod peripherals;
mod screen;
mod stream;

use std::path::PathBuf;

use crate::port::Peripherals;
pub(crate) use machine::run;
use peripherals::Ends;

pub use board::{RegisterError, Registration, Switchboard, Ticket};
pub use rdpmux_wire::Uuid36;

/// Where the hypervisors connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// For protocol 5, which is ZeroMQ's `ipc`.
    pub socket: SocketName,
    /// For protocol 6; a stale socket at this path is replaced.
    pub socket6: PathBuf,
}

/// The name of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketName {
    /// In the abstract namespace, without the leading zero byte: gone with the daemon.
    Abstract(String),
    /// A file; a stale one is replaced.
    Path(PathBuf),
}

impl SocketName {
    /// As ZeroMQ names it, for example `ipc://@/tmp/rdpmux`.
    pub fn endpoint(&self) -> String {
        match self {
            Self::Abstract(name) => format!("ipc://@{name}"),
            Self::Path(path) => format!("ipc://{}", path.display()),
        }
    }
}

impl Default for SocketName {
    /// Where RDPMux always listened.
    fn default() -> Self {
        Self::Abstract("/tmp/rdpmux".to_owned())
    }
}

/// What a machine has besides its heads: in protocol 6 sound and a clipboard.
pub(crate) fn ports(ticket: &Ticket) -> (Peripherals, Option<Ends>) {
    match ticket.registration().version {
        rdpmux_wire::v6::VERSION => {
            let (ports, ends) = peripherals::ports();
            (ports, Some(ends))
        }
        _ => (Peripherals::default(), None),
    }
}
