//! One connection of a hypervisor while it speaks for a machine. What the peer says waits until the machine takes it,
//! and meanwhile the peer is not read; what it is told waits until the peer takes it. Neither waits for the other.

use std::os::fd::OwnedFd;

use rdpmux_wire::{v5, v6};
use tokio::sync::{mpsc, watch};

use super::board::Hold;
use super::memory::Peer;
use super::stream::{LinkError, Stream};

/// A connection, as its machine sees it. The connection ends when this is dropped.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Peer,
    /// Of protocol 6; none in protocol 5.
    pub(super) features: v6::Features,
    /// What the peer says.
    pub(super) said: mpsc::Receiver<Said>,
    /// Messages for it, encoded.
    pub(super) words: mpsc::Sender<Vec<u8>>,
    /// How far its updates were shown, one for each head that it has.
    pub(super) progress: watch::Sender<Vec<Progress>>,
}

/// What a hypervisor says, in the words of protocol 6 whatever it speaks.
#[derive(Debug)]
pub(super) enum Said {
    /// `DISPLAY_SWITCH` of protocol 5: a picture in named memory.
    Switch { format: u32, width: u32, height: u32 },
    /// All else, and the descriptor that came with a `SURFACE`.
    Message(v6::ToDaemon, Option<OwnedFd>),
}

/// How far a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) head: u32,
    /// Of the last update that was shown or refused.
    pub(super) serial: u32,
    /// It was shown.
    pub(super) success: bool,
    /// Frames per second that are of use.
    pub(super) rate: u32,
}

impl Progress {
    /// Before the first update; libraries start with this rate by themselves.
    fn none(head: u32) -> Self {
        Self {
            head,
            serial: 0,
            success: true,
            rate: 30,
        }
    }
}

/// Messages of a peer that its machine may be late with.
const SAID: usize = 64;
/// Messages for a peer that wait, besides [`Stream::ROOM`] bytes.
const WORDS: usize = 64;

/// A link and the ends that [`run`] takes.
pub(super) fn link(peer: Peer, features: v6::Features) -> (Link, Ends) {
    let (say, said) = mpsc::channel(SAID);
    let (words, told) = mpsc::channel(WORDS);
    let (progress, progressed) = watch::channel(Vec::new());
    let link = Link {
        peer,
        features,
        said,
        words,
        progress,
    };
    let ends = Ends {
        said: say,
        words: told,
        progress: progressed,
        now: Vec::new(),
        sent: Vec::new(),
    };
    (link, ends)
}

/// The connection's ends of a [`Link`].
pub(super) struct Ends {
    said: mpsc::Sender<Said>,
    words: mpsc::Receiver<Vec<u8>>,
    progress: watch::Receiver<Vec<Progress>>,
    now: Vec<Progress>,
    /// What the peer was told last of each head.
    sent: Vec<Progress>,
}

/// Carries a connection until the machine lets go of it.
///
/// # Errors
/// [`LinkError`] if the peer ended it, or broke the rules.
pub(super) async fn run(stream: &mut Stream, hold: &Hold, mut ends: Ends) -> Result<(), LinkError> {
    let mut waiting = None;
    loop {
        if waiting.is_none() {
            waiting = stream.next_said(hold.who().uuid);
        }
        if stream.has_room() {
            tell_progress(stream, &ends.now, &mut ends.sent);
        }
        let has_room = stream.has_room();
        tokio::select! {
            biased;
            permit = ends.said.reserve(), if waiting.is_some() => match (permit, waiting.take()) {
                (Ok(permit), Some(said)) => permit.send(said),
                _ => return Ok(()),
            },
            changed = ends.progress.changed() => match changed {
                Ok(()) => ends.now.clone_from(&ends.progress.borrow_and_update()),
                Err(_) => return Ok(()),
            },
            word = ends.words.recv(), if has_room => match word {
                Some(word) => stream.put(&word),
                None => return Ok(()),
            },
            turned = stream.turn(waiting.is_none()) => turned?,
        }
    }
}

/// Tells the peer what is new. In protocol 5 each update has its answer, and a new rate is told when all have theirs; in
/// protocol 6 an answer is for all updates so far.
fn tell_progress(stream: &mut Stream, now: &[Progress], sent: &mut Vec<Progress>) {
    for progress in now {
        let at = sent.iter().position(|known| known.head == progress.head);
        let at = at.unwrap_or_else(|| {
            sent.push(Progress::none(progress.head));
            sent.len() - 1
        });
        match stream.version() {
            v5::VERSION => answer_each(stream, &mut sent[at], progress),
            _ => answer_all(stream, &mut sent[at], progress),
        }
    }
}

fn answer_each(stream: &mut Stream, known: &mut Progress, now: &Progress) {
    let mut word = Vec::new();
    v5::ToGuest::UpdateComplete {
        success: now.success,
        rate: now.rate.min(u16::MAX.into()) as u16,
    }
    .encode(&mut word);
    while known.serial != now.serial && stream.has_room() {
        known.serial = known.serial.wrapping_add(1);
        known.rate = now.rate;
        stream.put(&word);
    }
    if known.rate != now.rate && stream.updates() == known.serial {
        known.rate = now.rate;
        stream.put(&word);
    }
}

fn answer_all(stream: &mut Stream, known: &mut Progress, now: &Progress) {
    if known == now {
        return;
    }
    *known = *now;
    let Progress {
        head,
        serial,
        success,
        rate,
    } = *now;
    let mut word = Vec::new();
    v6::ToGuest::Complete {
        head,
        serial,
        success,
        rate,
    }
    .encode(&mut word);
    stream.put(&word);
}
