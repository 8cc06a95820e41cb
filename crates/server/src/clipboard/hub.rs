//! Whose clipboard it is and who may have what of it: a state machine without IO. The owner of the last copy is asked when
//! somebody pastes. Policy is enforced here and nowhere else.
//!
//! ```text
//!   Nobody ──a viewer or the guest copies──▶ Viewer | Guest ──owner leaves, clears──▶ Nobody
//! ```
//! An offer is passed on after a moment: clients announce twice in a row, and two that echo each other's offers shall
//! not spin. `transfer` moves content, `streams` files.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdpmux_model::{
    ClipboardFormat, ClipboardKind, ClipboardPolicy, DesktopName, FileRequest, GuestClipboardState, SessionId,
};
use rdpmux_rdp::ClipboardEvent;
use tracing::debug;

use super::streams::{Lock, PendingFile};
use super::transfer::{Fetch, Waiter};

/// What the hub wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The viewer can paste these from now on.
    Announce {
        session: SessionId,
        formats: Arc<[ClipboardFormat]>,
    },
    /// The viewer's content is wanted.
    Fetch {
        session: SessionId,
        format: u32,
        token: u32,
        limit: usize,
    },
    /// What the viewer wanted.
    Answer { session: SessionId, data: Option<Bytes> },
    /// A part of a file of the viewer is wanted.
    FetchFile { session: SessionId, request: FileRequest },
    /// What the viewer wanted of a file.
    AnswerFile {
        session: SessionId,
        stream: u32,
        data: Option<Bytes>,
    },
    /// The viewer shall keep its list of files under this number.
    Lock { session: SessionId, id: u32 },
    /// It need not any longer.
    Unlock { session: SessionId, id: u32 },
    /// The guest can paste this from now on, or nothing.
    OfferGuest(Option<Arc<str>>),
    /// The guest's text is wanted.
    FetchGuest { grab: u64 },
    /// The text that was to be typed.
    Text {
        ticket: u64,
        text: Result<Arc<str>, NoText>,
    },
}

/// Why there is no text to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoText {
    #[error("the policy does not let this viewer bring text in")]
    Policy,
    #[error("there is no text on the clipboard")]
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    Viewer(SessionId),
    Guest,
}

/// One session.
pub(super) struct Viewer {
    /// For the audit log.
    pub(super) who: String,
    pub(super) policy: ClipboardPolicy,
    /// It has not told yet what it has.
    is_new: bool,
    /// What it copied last, as far as its policy lets it give.
    pub(super) offer: Vec<ClipboardFormat>,
    /// It waits for content: one transfer at a time.
    pub(super) waits: bool,
    /// What else it asked for meanwhile; it gets none of that.
    pub(super) in_vain: u32,
    /// Content that is under way from it, and what is wanted after that.
    pub(super) fetch: Option<Fetch>,
    pub(super) queued: VecDeque<(u32, Waiter)>,
    pub(super) locks: HashMap<u32, Lock>,
    /// Files that it has read since it got a list: who gave them, and their places there.
    pub(super) files_read: HashSet<(SessionId, u32)>,
    /// The last announcement was of something.
    told: bool,
}

#[derive(Default)]
pub(super) struct Guest {
    pub(super) ready: bool,
    /// Number of its last copy, if that is still there.
    pub(super) grab: Option<u64>,
    /// Its text, once somebody wanted it.
    pub(super) text: Option<Arc<str>>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) due: Option<Instant>,
    pasted: u64,
}

pub(super) struct Hub {
    pub(super) name: DesktopName,
    pub(super) viewers: HashMap<SessionId, Viewer>,
    pub(super) owner: Owner,
    pub(super) guest: Guest,
    pub(super) files: HashMap<u32, PendingFile>,
    pub(super) out: Vec<Effect>,
    announce_at: Option<Instant>,
    announced: VecDeque<Instant>,
    next_number: u32,
}

impl Hub {
    pub(super) fn new(name: DesktopName) -> Self {
        Self {
            name,
            viewers: HashMap::new(),
            owner: Owner::Nobody,
            guest: Guest::default(),
            files: HashMap::new(),
            out: Vec::new(),
            announce_at: None,
            announced: VecDeque::new(),
            next_number: 0,
        }
    }

    /// What has to be done since the last call.
    pub(super) fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn join(&mut self, session: SessionId, who: String, policy: ClipboardPolicy) {
        let viewer = Viewer {
            who,
            policy,
            is_new: true,
            offer: Vec::new(),
            waits: false,
            in_vain: 0,
            fetch: None,
            queued: VecDeque::new(),
            locks: HashMap::new(),
            files_read: HashSet::new(),
            told: false,
        };
        self.viewers.insert(session, viewer);
    }

    pub(super) fn leave(&mut self, now: Instant, session: SessionId) {
        let Some(viewer) = self.viewers.remove(&session) else {
            return;
        };
        let under_way = viewer.fetch.into_iter().flat_map(|fetch| fetch.waiters);
        let waiters: Vec<_> = under_way
            .chain(viewer.queued.into_iter().map(|(_, waiter)| waiter))
            .collect();
        for waiter in waiters {
            self.fail(waiter);
        }
        self.leave_files(session, viewer.locks);
        if self.owner == Owner::Viewer(session) {
            // What the guest was given it keeps.
            self.owner = Owner::Nobody;
            self.announce_soon(now);
        }
    }

    /// Something that a viewer's client did.
    pub(super) fn client(&mut self, now: Instant, session: SessionId, event: ClipboardEvent) {
        match event {
            ClipboardEvent::Copied { formats, crossed } => self.copied(now, session, formats, crossed),
            ClipboardEvent::Wanted { format } => self.wanted(now, session, format),
            ClipboardEvent::Data { token, data } => self.data(now, session, token, data),
            ClipboardEvent::FileWanted(request) => self.file_wanted(now, session, request),
            ClipboardEvent::FileData { stream, data } => self.file_data(session, stream, data),
            ClipboardEvent::Locked(id) => self.lock(session, id),
            ClipboardEvent::Unlocked(id) => self.unlock(session, id),
            ClipboardEvent::Refused(_) => {}
        }
    }

    fn copied(&mut self, now: Instant, session: SessionId, formats: Vec<ClipboardFormat>, crossed: bool) {
        let Some(viewer) = self.viewers.get_mut(&session) else {
            return;
        };
        let is_first = std::mem::take(&mut viewer.is_new);
        let offer = given(formats, &viewer.policy);
        if crossed {
            // Our list was on its way and has replaced what the client had.
            return;
        }
        let stale: Vec<_> = viewer.queued.drain(..).map(|(_, waiter)| waiter).collect();
        if let Some(fetch) = &mut viewer.fetch {
            fetch.stale = true;
        }
        for waiter in stale {
            self.fail(waiter);
        }
        match self.owner {
            // Whoever connects has not copied just now: what another viewer copied stays. The guest's copy yields, but
            // only to content that is there: some clients announce all formats that they know.
            Owner::Viewer(other) if is_first && other != session => self.announce(session),
            Owner::Guest if is_first => match offer.iter().find(|format| format.is_plain_text()).map(|f| f.id) {
                Some(format) => self.ask(now, session, format, Waiter::Probe { session, offer }),
                None if offer.is_empty() => self.announce(session),
                None => self.own(now, session, offer),
            },
            Owner::Nobody if is_first && offer.is_empty() => {}
            _ => self.own(now, session, offer),
        }
    }

    /// A viewer's copy becomes the clipboard.
    pub(super) fn own(&mut self, now: Instant, session: SessionId, offer: Vec<ClipboardFormat>) {
        let Some(viewer) = self.viewers.get_mut(&session) else {
            return;
        };
        let is_owner = self.owner == Owner::Viewer(session);
        viewer.offer = offer;
        if viewer.offer.is_empty() {
            if is_owner {
                self.owner = Owner::Nobody;
                self.out.push(Effect::OfferGuest(None));
                self.announce_soon(now);
            }
            return;
        }
        debug!(desktop = %self.name, %session, formats = viewer.offer.len(), "clipboard taken");
        self.owner = Owner::Viewer(session);
        self.announce_soon(now);
    }

    /// The guest's side changed.
    pub(super) fn guest(&mut self, now: Instant, state: GuestClipboardState) {
        let became_ready = state.ready && !self.guest.ready;
        let has_pasted = state.pasted != self.guest.pasted;
        (self.guest.ready, self.guest.pasted) = (state.ready, state.pasted);
        if state.grab != self.guest.grab {
            self.guest.grab = state.grab;
            self.guest.text = None;
            match state.grab {
                Some(_) => {
                    debug!(desktop = %self.name, "clipboard taken by the guest");
                    self.owner = Owner::Guest;
                    self.announce_soon(now);
                }
                None if self.owner == Owner::Guest => {
                    self.owner = Owner::Nobody;
                    self.announce_soon(now);
                }
                None => {}
            }
        } else if became_ready || has_pasted {
            // A client need not tell that it copied text again: what the guest was given is brought up to date.
            self.offer_guest(now);
        }
    }

    /// Time passed: see [`Self::due`].
    pub(super) fn tick(&mut self, now: Instant) {
        if self.announce_at.take_if(|at| *at <= now).is_some() {
            self.announced.push_back(now);
            let sessions: Vec<_> = self.viewers.keys().copied().collect();
            for session in sessions {
                self.announce(session);
            }
            self.offer_guest(now);
        }
        self.expire(now);
        self.expire_files(now);
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let fetches = self
            .viewers
            .values()
            .filter_map(|viewer| Some(viewer.fetch.as_ref()?.due));
        let files = self.files.values().map(|file| file.due);
        fetches.chain(files).chain(self.announce_at).chain(self.guest.due).min()
    }

    fn announce_soon(&mut self, now: Instant) {
        self.announced.retain(|at| now.saturating_duration_since(*at) < CALM);
        let delay = if self.announced.len() < LIVELY { SETTLE } else { SLOW };
        self.announce_at.get_or_insert(now + delay);
    }

    /// Tells one viewer what it can paste.
    pub(super) fn announce(&mut self, session: SessionId) {
        let Some(viewer) = self.viewers.get(&session) else {
            return;
        };
        if viewer.is_new || self.owner == Owner::Viewer(session) {
            return;
        }
        let formats = self.shown(viewer);
        let told = !formats.is_empty();
        if let Some(viewer) = self.viewers.get_mut(&session)
            && std::mem::replace(&mut viewer.told, told) | told
        {
            self.out.push(Effect::Announce { session, formats });
        }
    }

    /// What of the clipboard a viewer may see: plain text in every encoding, the rest as it is.
    fn shown(&self, viewer: &Viewer) -> Arc<[ClipboardFormat]> {
        let offer: &[ClipboardFormat] = match self.owner {
            Owner::Nobody => &[],
            Owner::Guest => &[ClipboardFormat::numbered(ClipboardFormat::UNICODE_TEXT)],
            Owner::Viewer(owner) => self.viewers.get(&owner).map_or(&[], |owner| &owner.offer),
        };
        let allowed = |format: &&ClipboardFormat| format.kind().is_some_and(|kind| viewer.policy.outward.has(kind));
        let has_text = offer.iter().filter(allowed).any(ClipboardFormat::is_plain_text);
        let plain = TEXTS
            .iter()
            .filter(|_| has_text)
            .map(|id| ClipboardFormat::numbered(*id));
        let rest = offer.iter().filter(allowed).filter(|format| !format.is_plain_text());
        plain.chain(rest.cloned()).collect()
    }

    /// Gives the guest the text that is on the clipboard. It is fetched now, because QEMU waits for the answer when the
    /// guest pastes.
    fn offer_guest(&mut self, now: Instant) {
        if !self.guest.ready {
            return;
        }
        let Owner::Viewer(owner) = self.owner else { return };
        match self.plain_text(owner, ClipboardFormat::UNICODE_TEXT) {
            Some(format) => self.ask(now, owner, format, Waiter::Guest),
            None => self.out.push(Effect::OfferGuest(None)),
        }
    }

    /// The plain format in which a viewer's text is best fetched for somebody who wants `format`.
    pub(super) fn plain_text(&self, owner: SessionId, format: u32) -> Option<u32> {
        let offer = &self.viewers.get(&owner)?.offer;
        let has = |id: u32| offer.iter().any(|format| format.is_plain_text() && format.id == id);
        [format].into_iter().chain(TEXTS).find(|id| has(*id))
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }
}

/// What a viewer's policy lets it give: known kinds, each number once, none that poses as another.
fn given(formats: Vec<ClipboardFormat>, policy: &ClipboardPolicy) -> Vec<ClipboardFormat> {
    let mut offer: Vec<ClipboardFormat> = Vec::new();
    for format in formats {
        let allowed = format.kind().is_some_and(|kind: ClipboardKind| policy.inward.has(kind));
        let poses = format.name.is_some() && TEXTS.contains(&format.id);
        if allowed && !poses && offer.iter().all(|known| known.id != format.id) {
            offer.push(format);
        }
    }
    offer
}

/// Plain formats, best first.
const TEXTS: [u32; 3] = [
    ClipboardFormat::UNICODE_TEXT,
    ClipboardFormat::TEXT,
    ClipboardFormat::OEM_TEXT,
];
/// Until an offer is passed on.
const SETTLE: Duration = Duration::from_millis(60);
/// The same once there were [`LIVELY`] within [`CALM`]: two clients echo each other.
const SLOW: Duration = Duration::from_secs(1);
const LIVELY: usize = 12;
const CALM: Duration = Duration::from_secs(10);
