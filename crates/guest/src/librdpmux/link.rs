//! One connection of a hypervisor: bytes to messages and back, for both protocols, in one task that never waits for the
//! peer with anything but its own messages.

use tokio::sync::{mpsc, watch};

use super::memory::Peer;

/// A connection, as its machine sees it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Peer,
    /// What the peer says.
    pub(super) said: mpsc::Receiver<Said>,
    /// Messages for it, encoded.
    pub(super) words: mpsc::Sender<Vec<u8>>,
    /// How far its updates were shown.
    pub(super) progress: watch::Sender<Vec<Progress>>,
}
