//! Character devices whatever their backend is: `chardev-change` gives QEMU one end of a socket for a while, and what was
//! there before is put back at the end, or after a crash.
//!
//! ```text
//! look ── plan ── journal ── stop ── getfd, chardev-change ── relay ── cont ── line … line
//!   ^── each second ──────────────────────────────────────────────────────┘
//! the end: stop ── take what is on its way ── chardev-change ── line's rest ── cont ── journal
//! ```
//! `taking` does that; `spec` is what a backend was, `command_line` and `journal` know it, `plan` decides, `swap` are the
//! commands, `relay` serves whoever was served before.

mod command_line;
mod hand_back;
mod journal;
mod line;
mod plan;
mod relay;
mod spec;
mod swap;
mod taking;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rdpmux_model::Pattern;
use tokio::task::JoinHandle;

pub use hand_back::HandBack;
pub use spec::{Backend, Spec, SpecError};
pub(in crate::qemu) use taking::Start;

/// What may be taken over of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeOver {
    /// Labels of character devices.
    pub labels: Vec<Pattern>,
    /// What they are, where QEMU does not tell.
    pub restore: BTreeMap<String, Spec>,
    /// Where it is written down what has to be put back, and where links to terminals are.
    pub directory: PathBuf,
    /// The end.
    pub hand_back: HandBack,
}

/// Character devices that are taken over; dropping it leaves them without their other end until the next one.
pub(in crate::qemu) struct Taken(JoinHandle<()>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.abort();
    }
}
