//! The backend's task: one registered machine, whichever connection speaks for it.
//!
//! ```text
//! card ── a connection ── pictures, updates, input ── lost ── card, 10 s ── end
//!  ^                                                     │         │
//!  └─────────────────────────────────────────────────────┴─────────┘ SHUTDOWN: end at once
//! ```
//! It never waits for a viewer; a hypervisor waits for it as long as a copy takes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdpmux_model::{HeadState, LockKeys, MouseMode, PointerShape, Presence};
use rdpmux_wire::v6::{self, ToDaemon};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::Ticket;
use super::board::Entry;
use super::flood::Flood;
use super::head::{Head, turned};
use super::input::Target;
use super::link::{Link, Said};
use super::memory::{self, Named, Peer};
use super::peripherals::Ends;
use super::screen::{Picture, PictureError};
use crate::port::{GuestEvent, Notice};
use crate::sink::GuestSink;
use crate::supervise::Counters;

/// A hypervisor that was lost may come back within this time.
const GRACE: Duration = Duration::from_secs(10);
/// A hypervisor that registered has so long to connect.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Messages that are taken at once.
const BATCH: usize = 64;
/// After so many messages at once, a moment for others.
const BREATH: Duration = Duration::from_millis(1);
/// Mistakes of a hypervisor that an operator should see, per connection.
const COMPLAINTS: u32 = 5;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The machine went away, and said so.
    Shutdown,
    /// Nobody said anything.
    Lost,
}

/// `DISPLAY_SWITCH` of protocol 5.
#[derive(Debug, Clone, Copy)]
struct Switch {
    format: u32,
    width: u32,
    height: u32,
}

/// Updates of one head that are shown together.
#[derive(Debug)]
struct Updates {
    head: u32,
    serial: u32,
    rectangles: Vec<[u32; 4]>,
}

struct Machine {
    entry: Arc<Entry>,
    title: String,
    events: mpsc::Sender<GuestEvent>,
    counters: Arc<Counters>,
    heads: BTreeMap<u32, Head>,
    ends: Option<Ends>,
    /// Where named memory is.
    folder: PathBuf,
    /// A switch whose memory is not there yet.
    owed: Option<Switch>,
    complaints: u32,
}

/// The task behind [`crate::spawn`].
pub(crate) async fn run(
    ticket: Ticket,
    title: String,
    events: mpsc::Sender<GuestEvent>,
    counters: Arc<Counters>,
    ends: Option<Ends>,
) {
    run_in(memory::FOLDER.into(), ticket, title, events, counters, ends).await;
}

/// The same with named memory in `folder`.
pub(super) async fn run_in(
    folder: PathBuf,
    ticket: Ticket,
    title: String,
    events: mpsc::Sender<GuestEvent>,
    counters: Arc<Counters>,
    ends: Option<Ends>,
) {
    let (owner, entry) = (events.clone(), ticket.entry().clone());
    let machine = Machine {
        entry: entry.clone(),
        title,
        events,
        counters,
        heads: BTreeMap::new(),
        ends,
        folder,
        owed: None,
        complaints: 0,
    };
    tokio::select! {
        biased;
        () = owner.closed() => {}
        () = entry.replaced.notified() => tracing::info!(machine = %entry.who.uuid, "machine registered anew"),
        () = machine.run() => {}
    }
}

impl Machine {
    async fn run(mut self) {
        let Some(mut arriving) = self.entry.arriving() else {
            return tracing::error!(machine = %self.entry.who.uuid, "the machine runs already");
        };
        self.head(0).await;
        self.show_absence(Presence::Waiting, &["Waiting for its hypervisor."]);
        let mut gone_at = Instant::now() + ARRIVAL;
        loop {
            let link = tokio::select! {
                biased;
                Some(link) = arriving.recv() => link,
                () = sleep_until(gone_at) => {
                    tracing::info!(guest = %self.title, "hypervisor did not come");
                    return;
                }
            };
            if self.serve(link).await == End::Shutdown {
                return;
            }
            gone_at = Instant::now() + GRACE;
        }
    }

    /// One connection from its beginning to its end.
    async fn serve(&mut self, mut link: Link) -> End {
        Counters::count(&self.counters.attached);
        let who = self.entry.who;
        // The owner's queue may be full; only this task waits for it.
        let uuid = Some(who.uuid.to_string());
        let _ = self.events.send(GuestEvent::Identified { name: None, uuid }).await;
        (self.owed, self.complaints) = (None, 0);
        let target = Target {
            words: link.words.clone(),
            version: who.version,
            takes_characters: link.features.has(v6::Features::UNICODE),
        };
        self.heads.values_mut().for_each(|head| head.begin(target.clone()));
        if let Some(ends) = &mut self.ends {
            ends.begin(link.features);
        }
        self.tell_progress(&link);
        let end = self.follow(&mut link, &target).await;
        if let Some(ends) = &mut self.ends {
            ends.end();
        }
        match end {
            End::Shutdown => {
                tracing::info!(guest = %self.title, "machine was shut down");
                self.depart("It was shut down.").await;
                let _ = self.events.send(GuestEvent::Notice(Notice::Shutdown)).await;
            }
            End::Lost => {
                Counters::count(&self.counters.failed);
                self.depart("Its hypervisor has gone.").await;
            }
        }
        end
    }

    async fn follow(&mut self, link: &mut Link, target: &Target) -> End {
        let mut batch = Vec::with_capacity(BATCH);
        let mut flood = Flood::default();
        loop {
            tokio::select! {
                biased;
                () = turned(&mut self.heads) => self.tell_wishes(link).await,
                word = next_of(&mut self.ends) => tell(link, &word).await,
                taken = link.said.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return End::Lost;
                    }
                    let since = Instant::now();
                    if flood.is_news(since.into_std(), taken == BATCH) {
                        let peer = link.peer;
                        tracing::warn!(guest = %self.title, %peer, "hypervisor: a flood of messages; it is slowed");
                    }
                    if let Some(end) = self.take(batch.drain(..), link, target).await {
                        return end;
                    }
                    // A flood gets half of a core at most.
                    let took = since.elapsed();
                    if took >= BREATH || taken == BATCH {
                        sleep(took.max(BREATH)).await;
                    }
                }
            }
        }
    }

    /// Takes messages. Updates that follow each other are shown together.
    async fn take(&mut self, batch: impl Iterator<Item = Said>, link: &Link, target: &Target) -> Option<End> {
        let mut waiting: Option<Updates> = None;
        for said in batch {
            match said {
                Said::Message(
                    ToDaemon::Update {
                        head,
                        serial,
                        rectangles,
                    },
                    _,
                ) => match &mut waiting {
                    Some(updates) if updates.head == head => {
                        updates.serial = serial;
                        updates.rectangles.extend(rectangles);
                    }
                    _ => {
                        self.update(waiting.take(), link).await;
                        waiting = Some(Updates {
                            head,
                            serial,
                            rectangles,
                        });
                    }
                },
                Said::Switch { format, width, height } => {
                    self.update(waiting.take(), link).await;
                    self.switch(Switch { format, width, height }, link.peer).await;
                }
                Said::Message(ToDaemon::Shutdown, _) => {
                    self.update(waiting.take(), link).await;
                    return Some(End::Shutdown);
                }
                Said::Message(message, file) => {
                    self.update(waiting.take(), link).await;
                    self.message(message, file, link, target).await;
                }
            }
        }
        self.update(waiting, link).await;
        None
    }

    async fn update(&mut self, updates: Option<Updates>, link: &Link) {
        let Some(updates) = updates else { return };
        if let Some(switch) = self.owed.take() {
            self.switch(switch, link.peer).await;
        }
        let Some(head) = self.heads.get_mut(&updates.head) else {
            return self.complain(&format_args!("update of head {}, which is not there", updates.head));
        };
        let Updates { serial, rectangles, .. } = updates;
        let shown = match head.is_small(&rectangles) {
            true => head.draw(|screen| screen.update(&rectangles)),
            false => head.draw_long(move |screen| screen.update(&rectangles)).await,
        };
        let result = shown.unwrap_or(Err(PictureError::NoPicture));
        head.note(serial, result.is_ok());
        if let Err(error) = result {
            self.on_picture_error(updates.head, &error);
        }
        self.tell_progress(link);
    }

    /// Shows a picture in named memory.
    async fn switch(&mut self, switch: Switch, peer: Peer) {
        let id = self.entry.who.id;
        let picture = Picture {
            format: switch.format,
            width: switch.width,
            height: switch.height,
            stride: None,
            offset: 0,
            size: u64::MAX,
        };
        let file = match memory::open_named(&self.folder, id, peer) {
            Ok(file) => file,
            Err(error) => {
                self.owed = matches!(error, memory::NamedError::Missing { .. }).then_some(switch);
                return self.on_picture_error(0, &error.into());
            }
        };
        if let Some(memory) = self.show(0, file, picture).await {
            let named = Named::new(&self.folder, id, &memory, peer);
            *self.entry.memory.lock() = Some(named);
        }
    }

    /// Shows a whole picture on a head that is there; the memory that it is in, if it could be.
    async fn show(&mut self, index: u32, file: OwnedFd, picture: Picture) -> Option<Arc<rdpmux_shm::MemoryFile>> {
        let head = self.heads.get_mut(&index)?;
        match head.draw_long(move |screen| screen.show(file, &picture)).await? {
            Ok(map) => {
                tracing::info!(guest = %self.title, head = index, width = picture.width, height = picture.height, "screen");
                Some(map.file)
            }
            Err(error) => {
                self.on_picture_error(index, &error);
                None
            }
        }
    }

    /// Messages of protocol 6 besides updates.
    async fn message(&mut self, message: ToDaemon, file: Option<OwnedFd>, link: &Link, target: &Target) {
        let message = match self.ends.as_mut().map(|ends| ends.take(message)) {
            Some(Ok(Some(answer))) => return tell(link, &answer).await,
            Some(Ok(None)) | None => return,
            Some(Err(message)) => message,
        };
        match message {
            ToDaemon::Surface {
                head,
                format,
                width,
                height,
                stride,
                offset,
                size,
            } => {
                let Some(file) = file else { return };
                let picture = Picture {
                    format,
                    width,
                    height,
                    stride: Some(stride),
                    offset,
                    size,
                };
                if self.head(head).await {
                    self.heads.entry(head).and_modify(|head| head.begin(target.clone()));
                    self.tell_progress(link);
                }
                self.show(head, file, picture).await;
            }
            ToDaemon::Cursor {
                head,
                width,
                height,
                hot_x,
                hot_y,
                bgra,
            } => self.point(head, (width, height), (hot_x, hot_y), &bgra),
            ToDaemon::Leds { lit } => {
                let locks = LockKeys {
                    scroll: lit & v6::lock::SCROLL != 0,
                    num: lit & v6::lock::NUM != 0,
                    caps: lit & v6::lock::CAPS != 0,
                };
                self.set_state(|state| state.locks = locks);
            }
            ToDaemon::MouseMode { absolute } => {
                let mode = match absolute {
                    true => MouseMode::Absolute,
                    false => MouseMode::Relative,
                };
                self.set_state(|state| state.mouse = mode);
            }
            ToDaemon::HeadGone { head: 0 } => self.complain(&"head 0 cannot go"),
            ToDaemon::HeadGone { head } => self.remove(head).await,
            _ => self.complain(&"a message came where it does not belong"),
        }
    }

    fn point(&mut self, index: u32, size: (u32, u32), hot: (u32, u32), bgra: &[u8]) {
        let Some(head) = self.heads.get(&index) else {
            return self.complain(&format_args!("pointer of head {index}, which is not there"));
        };
        let signed = |(x, y): (u32, u32)| (x.min(i32::MAX as u32) as i32, y.min(i32::MAX as u32) as i32);
        let shape = match size {
            (0, 0) => Ok(PointerShape::Hidden),
            size => GuestSink::pointer_image(signed(size), signed(hot), bgra),
        };
        match shape {
            Ok(shape) => head.set_state(|state| state.pointer = shape),
            Err(error) => self.complain(&error),
        }
    }

    /// Makes a head if there is none of that number. Whether it did.
    async fn head(&mut self, index: u32) -> bool {
        if self.heads.contains_key(&index) {
            return false;
        }
        let label = match index {
            0 => self.title.clone(),
            _ => format!("{} {index}", self.title),
        };
        let (head, port) = Head::open(index, label);
        self.heads.insert(index, head);
        let _ = self.events.send(GuestEvent::HeadAdded(port)).await;
        true
    }

    async fn remove(&mut self, index: u32) {
        if self.heads.remove(&index).is_some() {
            let _ = self.events.send(GuestEvent::HeadRemoved { index }).await;
        }
    }

    /// Nothing comes any more: head 0 says so, the others go.
    async fn depart(&mut self, reason: &str) {
        while let Some(index) = self.heads.keys().next_back().copied().filter(|index| *index > 0) {
            self.remove(index).await;
        }
        let presence = Presence::Gone {
            reason: reason.to_owned(),
        };
        self.show_absence(presence, &[reason]);
    }

    fn set_state(&self, change: impl Fn(&mut HeadState)) {
        self.heads.values().for_each(|head| head.set_state(&change));
    }

    fn show_absence(&mut self, presence: Presence, lines: &[&str]) {
        if let Some(head) = self.heads.get_mut(&0) {
            head.show_absence(presence, &self.title, lines);
        }
    }

    /// A picture that was seen before stays, unless its memory is gone.
    fn on_picture_error(&mut self, index: u32, error: &PictureError) {
        use PictureError::{Format, Memory, Sink};
        if matches!(error, Sink(_) | Format(_) | Memory(_)) {
            Counters::count(&self.counters.refused);
        }
        self.complain(error);
        let title = self.title.clone();
        let Some(head) = self.heads.get_mut(&index) else { return };
        if !head.has_shown() || matches!(error, Memory(_)) {
            head.card(&title, &["There is no picture of it:", &error.to_string()]);
        }
    }

    fn complain(&mut self, what: &dyn std::fmt::Display) {
        self.complaints = self.complaints.saturating_add(1);
        match self.complaints {
            ..COMPLAINTS => tracing::warn!(guest = %self.title, "hypervisor: {what}"),
            COMPLAINTS => tracing::warn!(guest = %self.title, "hypervisor: {what}; more of it goes to the debug log"),
            _ => tracing::debug!(guest = %self.title, "hypervisor: {what}"),
        }
    }

    fn tell_progress(&self, link: &Link) {
        let now: Vec<_> = self.heads.values().map(Head::progress).collect();
        link.progress.send_if_modified(|known| {
            let is_new = *known != now;
            *known = now;
            is_new
        });
    }

    /// Viewers came or went, or wish for other sizes.
    async fn tell_wishes(&mut self, link: &Link) {
        self.tell_progress(link);
        let wishes: Vec<_> = self.heads.values_mut().filter_map(Head::wishes).collect();
        for wish in wishes.iter().filter(|_| link.features.has(v6::Features::SIZE)) {
            tell(link, wish).await;
        }
    }
}

async fn tell(link: &Link, message: &v6::ToGuest) {
    let mut word = Vec::new();
    message.encode(&mut word);
    // If it is gone, that is noticed where it is heard.
    let _ = link.words.send(word).await;
}

async fn next_of(ends: &mut Option<Ends>) -> v6::ToGuest {
    match ends {
        Some(ends) => ends.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
