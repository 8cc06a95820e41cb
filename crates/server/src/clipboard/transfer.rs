//! Content on its way: asked of the owner when somebody pastes, one question at a time per owner, one transfer at a time
//! per viewer, with a deadline. What passes is logged with its size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdpmux_model::{ClipboardFormat, ClipboardKind, SessionId};
use tracing::{info, warn};

use super::hub::{Effect, Hub, NoText, Owner};
use super::{files, text};

/// Who waits for content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A viewer that pastes, in the format that it wants.
    Viewer { session: SessionId, format: u32 },
    /// The guest, which must have text before it pastes.
    Guest,
    /// Somebody who types it.
    Typist { ticket: u64 },
    /// The hub itself: does a newcomer have what it announces?
    Probe {
        session: SessionId,
        offer: Vec<ClipboardFormat>,
    },
}

/// A question to an owner.
pub(super) struct Fetch {
    token: u32,
    format: u32,
    pub(super) due: Instant,
    pub(super) waiters: Vec<Waiter>,
    /// The owner has copied something else since.
    pub(super) stale: bool,
}

/// What an owner answered.
struct Delivery<'a> {
    from: SessionId,
    format: u32,
    data: Option<&'a Bytes>,
    stale: bool,
}

impl Hub {
    /// A viewer pastes.
    pub(super) fn wanted(&mut self, now: Instant, session: SessionId, format: u32) {
        let Some(viewer) = self.viewers.get_mut(&session) else {
            return;
        };
        let policy = viewer.policy.outward;
        if std::mem::replace(&mut viewer.waits, true) {
            // Answers carry no numbers: a second question is answered, by nothing, after the first.
            viewer.in_vain = viewer.in_vain.saturating_add(1).min(IN_VAIN);
            return;
        }
        let is_plain = ClipboardFormat::numbered(format).is_plain_text();
        let waiter = Waiter::Viewer { session, format };
        match self.owner {
            Owner::Guest if is_plain && policy.has(ClipboardKind::Text) => self.ask_guest(now, waiter),
            Owner::Viewer(owner) if owner != session => {
                let source = if is_plain {
                    self.plain_text(owner, format)
                        .filter(|_| policy.has(ClipboardKind::Text))
                } else {
                    self.format_of(owner, format)
                        .filter(|found| found.1.is_some_and(|kind| policy.has(kind)))
                        .map(|found| found.0)
                };
                match source {
                    Some(source) => self.ask(now, owner, source, waiter),
                    None => self.fail(waiter),
                }
            }
            _ => self.fail(waiter),
        }
    }

    fn format_of(&self, owner: SessionId, id: u32) -> Option<(u32, Option<ClipboardKind>)> {
        let offer = &self.viewers.get(&owner)?.offer;
        offer
            .iter()
            .find(|format| format.id == id)
            .map(|format| (format.id, format.kind()))
    }

    /// Somebody wants to type what the viewer would paste.
    pub(super) fn wanted_for_typing(&mut self, now: Instant, session: SessionId, ticket: u64) {
        let refuse = |reason| Effect::Text {
            ticket,
            text: Err(reason),
        };
        let Some(policy) = self.viewers.get(&session).map(|viewer| viewer.policy) else {
            return self.out.push(refuse(NoText::Empty));
        };
        let waiter = Waiter::Typist { ticket };
        let is_own = self.owner == Owner::Viewer(session);
        if !policy.inward.text || !(is_own || policy.outward.text) {
            return self.out.push(refuse(NoText::Policy));
        }
        match self.owner {
            Owner::Guest => self.ask_guest(now, waiter),
            Owner::Viewer(owner) => match self.plain_text(owner, ClipboardFormat::UNICODE_TEXT) {
                Some(format) => self.ask(now, owner, format, waiter),
                None => self.fail(waiter),
            },
            Owner::Nobody => self.fail(waiter),
        }
    }

    /// Asks an owner, or waits until it has answered what was asked before.
    pub(super) fn ask(&mut self, now: Instant, owner: SessionId, format: u32, waiter: Waiter) {
        let Some(viewer) = self.viewers.get_mut(&owner) else {
            return self.fail(waiter);
        };
        match &mut viewer.fetch {
            Some(fetch) if fetch.format == format && !fetch.stale => {
                if !fetch.waiters.contains(&waiter) {
                    fetch.waiters.push(waiter);
                }
            }
            Some(_) if viewer.queued.iter().any(|(_, queued)| *queued == waiter) => {}
            Some(_) => viewer.queued.push_back((format, waiter)),
            None => self.start(now, owner, format, vec![waiter]),
        }
    }

    fn start(&mut self, now: Instant, owner: SessionId, format: u32, waiters: Vec<Waiter>) {
        let token = self.number();
        let Some(viewer) = self.viewers.get_mut(&owner) else {
            return;
        };
        viewer.fetch = Some(Fetch {
            token,
            format,
            due: now + PATIENCE,
            waiters,
            stale: false,
        });
        self.out.push(Effect::Fetch {
            session: owner,
            format,
            token,
            limit: usize::try_from(viewer.policy.limit).unwrap_or(MEMORY).min(MEMORY),
        });
    }

    /// The next question to an owner that has answered.
    fn start_next(&mut self, now: Instant, owner: SessionId) {
        let Some(viewer) = self.viewers.get_mut(&owner) else {
            return;
        };
        let Some((format, first)) = viewer.queued.pop_front() else {
            return;
        };
        let mut waiters = vec![first];
        viewer.queued.retain(|(wanted, waiter)| {
            let same = *wanted == format;
            if same {
                waiters.push(waiter.clone());
            }
            !same
        });
        self.start(now, owner, format, waiters);
    }

    /// An owner's answer.
    pub(super) fn data(&mut self, now: Instant, session: SessionId, token: u32, data: Option<Bytes>) {
        let Some(viewer) = self.viewers.get_mut(&session) else {
            return;
        };
        // An answer after the deadline finds nobody.
        let Some(fetch) = viewer.fetch.take_if(|fetch| fetch.token == token) else {
            return;
        };
        let delivery = Delivery {
            from: session,
            format: fetch.format,
            data: data.as_ref(),
            stale: fetch.stale,
        };
        for waiter in fetch.waiters {
            self.deliver(now, waiter, &delivery);
        }
        self.start_next(now, session);
    }

    fn deliver(&mut self, now: Instant, waiter: Waiter, delivery: &Delivery<'_>) {
        let plain = || delivery.data.and_then(|data| text::decode(delivery.format, data));
        match waiter {
            Waiter::Viewer { session, format } => {
                let data = delivery.data.cloned().and_then(|data| match format == delivery.format {
                    true => self.passes(delivery.from, format, data),
                    false => Some(Bytes::from(text::encode(format, &plain()?)?)),
                });
                let kind = self.format_of(delivery.from, delivery.format).and_then(|found| found.1);
                self.answer(session, Some(delivery.from), kind.unwrap_or(ClipboardKind::Text), data);
            }
            Waiter::Guest if delivery.stale || self.owner != Owner::Viewer(delivery.from) => {}
            Waiter::Guest => {
                let text = plain().filter(|text| !text.is_empty() && self.fits_guest(delivery.from, text));
                self.out.push(Effect::OfferGuest(text.map(Arc::from)));
            }
            Waiter::Typist { ticket } => {
                let text = plain().filter(|text| !text.is_empty()).map(Arc::from);
                let text = text.ok_or(NoText::Empty);
                self.out.push(Effect::Text { ticket, text });
            }
            Waiter::Probe { session, offer } => {
                if plain().is_some_and(|text| !text.is_empty()) && !delivery.stale && self.owner == Owner::Guest {
                    self.own(now, session, offer);
                } else {
                    self.announce(session);
                }
            }
        }
    }

    /// Lists of files are looked at before they pass.
    fn passes(&self, from: SessionId, format: u32, data: Bytes) -> Option<Bytes> {
        let is_list = self.viewers.get(&from).is_some_and(|viewer| {
            let found = viewer.offer.iter().find(|offered| offered.id == format);
            found.is_some_and(ClipboardFormat::is_file_list)
        });
        if !is_list {
            return Some(data);
        }
        match files::check(&data) {
            Ok(list) => {
                info!(target: AUDIT, desktop = %self.name, session = %from, user = self.who(from), files = list.count,
                    bytes = list.bytes, "clipboard: list of files");
                Some(data)
            }
            Err(problem) => {
                warn!(desktop = %self.name, session = %from, problem, "clipboard: list of files refused");
                None
            }
        }
    }

    fn fits_guest(&self, from: SessionId, text: &str) -> bool {
        let fits = text.len() <= GUEST_TEXT;
        if fits {
            info!(target: AUDIT, desktop = %self.name, from = %from, user = self.who(from), to = "guest", kind = "text",
                bytes = text.len(), "clipboard");
        } else {
            info!(desktop = %self.name, from = %from, bytes = text.len(), limit = GUEST_TEXT,
                "clipboard: text too long for the guest");
        }
        fits
    }

    /// Gives a viewer what it waits for, if that is not too much.
    fn answer(&mut self, session: SessionId, from: Option<SessionId>, kind: ClipboardKind, data: Option<Bytes>) {
        let Some(limit) = self.viewers.get(&session).map(|viewer| viewer.policy.limit) else {
            return;
        };
        let data = data.filter(|data| data.len() as u64 <= limit);
        if kind == ClipboardKind::Files
            && let Some(viewer) = self.viewers.get_mut(&session)
        {
            viewer.files_read.clear();
        }
        let giver = from.map_or_else(|| "guest".to_owned(), |from| format!("{from} {}", self.who(from)));
        match &data {
            Some(data) => {
                info!(target: AUDIT, desktop = %self.name, from = giver, to = %session, user = self.who(session),
                kind = kind.word(), bytes = data.len(), "clipboard")
            }
            None => info!(target: AUDIT, desktop = %self.name, from = giver, to = %session, user = self.who(session),
                kind = kind.word(), "clipboard: nothing was given"),
        }
        self.settle(session, data);
    }

    /// Ends a viewer's transfer.
    fn settle(&mut self, session: SessionId, data: Option<Bytes>) {
        let Some(viewer) = self.viewers.get_mut(&session) else {
            return;
        };
        viewer.waits = false;
        let in_vain = std::mem::take(&mut viewer.in_vain);
        self.out.push(Effect::Answer { session, data });
        for _ in 0..in_vain {
            self.out.push(Effect::Answer { session, data: None });
        }
    }

    pub(super) fn who(&self, session: SessionId) -> &str {
        self.viewers.get(&session).map_or("", |viewer| &viewer.who)
    }

    /// Somebody waits in vain.
    pub(super) fn fail(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Viewer { session, .. } => self.settle(session, None),
            Waiter::Guest => {}
            Waiter::Typist { ticket } => self.out.push(Effect::Text {
                ticket,
                text: Err(NoText::Empty),
            }),
            Waiter::Probe { session, .. } => self.announce(session),
        }
    }

    /// Asks the guest, unless its text is known.
    fn ask_guest(&mut self, now: Instant, waiter: Waiter) {
        let Some(grab) = self.guest.grab else {
            return self.fail(waiter);
        };
        if let Some(text) = self.guest.text.clone() {
            return self.deliver_guest(waiter, Some(&text));
        }
        if self.guest.waiters.is_empty() {
            self.out.push(Effect::FetchGuest { grab });
            self.guest.due = Some(now + PATIENCE);
        }
        self.guest.waiters.push(waiter);
    }

    /// The guest's answer.
    pub(super) fn guest_text(&mut self, grab: u64, text: Option<Arc<str>>) {
        self.guest.due = None;
        if self.guest.grab == Some(grab) {
            self.guest.text.clone_from(&text);
        }
        for waiter in std::mem::take(&mut self.guest.waiters) {
            self.deliver_guest(waiter, text.as_ref());
        }
    }

    fn deliver_guest(&mut self, waiter: Waiter, text: Option<&Arc<str>>) {
        match waiter {
            Waiter::Viewer { session, format } => {
                let data = text.and_then(|text| text::encode(format, text)).map(Bytes::from);
                self.answer(session, None, ClipboardKind::Text, data);
            }
            Waiter::Typist { ticket } => self.out.push(Effect::Text {
                ticket,
                text: text.cloned().ok_or(NoText::Empty),
            }),
            Waiter::Guest | Waiter::Probe { .. } => {}
        }
    }

    /// Gives up what took too long.
    pub(super) fn expire(&mut self, now: Instant) {
        let late: Vec<_> = self
            .viewers
            .iter()
            .filter(|(_, viewer)| viewer.fetch.as_ref().is_some_and(|fetch| fetch.due <= now))
            .map(|(session, _)| *session)
            .collect();
        for session in late {
            warn!(desktop = %self.name, %session, "clipboard: the client did not give what it had announced");
            let fetch = self.viewers.get_mut(&session).and_then(|viewer| viewer.fetch.take());
            for waiter in fetch.into_iter().flat_map(|fetch| fetch.waiters) {
                self.fail(waiter);
            }
            self.start_next(now, session);
        }
        if self.guest.due.take_if(|due| *due <= now).is_some() {
            warn!(desktop = %self.name, "clipboard: the guest did not give what it had announced");
            for waiter in std::mem::take(&mut self.guest.waiters) {
                self.fail(waiter);
            }
        }
    }
}

/// Where the audit lines go.
pub(super) const AUDIT: &str = "rdpmux::audit";
/// From a question to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Content that is held in memory, whatever a policy allows for files.
pub(super) const MEMORY: usize = 64 << 20;
/// Questions beside the one under way that are answered at all.
const IN_VAIN: u32 = 16;
/// Text that a guest is given: it is held until the next copy.
const GUEST_TEXT: usize = 1 << 20;
