//! The clipboard that all viewers and the guest of one machine share. One task per machine owns it; sessions have a
//! [`ClipboardSeat`] each, the guest has a [`GuestClipboard`]. `hub` decides, this file carries.
//!
//! Nobody waits here: what finds a queue full is told that it failed.

mod files;
mod hub;
mod streams;
mod text;
mod transfer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rdpmux_model::{
    ClipboardFormat, ClipboardPolicy, DesktopName, FileRequest, GuestClipboardState, Rights, SessionId,
};
use rdpmux_rdp::ClipboardEvent;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

pub(crate) use hub::NoText;
use hub::{Effect, Hub};

/// The guest's side of the clipboard. The backend has the other ends.
#[derive(Debug, Clone)]
pub struct GuestClipboard {
    /// What the guest has and takes; latest wins.
    pub state: watch::Receiver<GuestClipboardState>,
    /// What the guest can paste, `\n` at the ends of lines; latest wins.
    pub offer: watch::Sender<Option<Arc<str>>>,
    /// Asks for the text that the guest copied last. `None`: it cannot be had.
    pub fetch: mpsc::Sender<oneshot::Sender<Option<Arc<str>>>>,
}

/// The clipboard of one machine. Clones are the same one; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct ClipboardHub {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Join {
        session: SessionId,
        who: String,
        policy: ClipboardPolicy,
        ends: Ends,
    },
    Client {
        session: SessionId,
        event: ClipboardEvent,
        _credit: Credit,
    },
    Text {
        session: SessionId,
        reply: oneshot::Sender<Result<Arc<str>, NoText>>,
    },
    Leave {
        session: SessionId,
    },
}

/// The hub's ends of what goes to a session.
#[derive(Debug)]
struct Ends {
    formats: watch::Sender<Arc<[ClipboardFormat]>>,
    notices: mpsc::Sender<Notice>,
}

/// What a session shall do at its client.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Tell what can be pasted.
    Announce(Arc<[ClipboardFormat]>),
    /// Ask for content.
    Fetch { format: u32, token: u32, limit: usize },
    /// Give what was wanted.
    Answer(Option<Bytes>),
    /// Ask for a part of a file.
    FetchFile(FileRequest),
    /// Give what was wanted of a file.
    AnswerFile { stream: u32, data: Option<Bytes> },
    /// Have a list of files kept.
    Lock(u32),
    /// And no longer.
    Unlock(u32),
}

/// A session's place in the hub's queue.
#[derive(Debug)]
struct Credit(Arc<AtomicUsize>);

impl Drop for Credit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ClipboardHub {
    /// Starts the machine's clipboard on the current tokio runtime, joined with the guest's if it has one.
    pub fn spawn(name: DesktopName, guest: Option<GuestClipboard>) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let task = Task {
            hub: Hub::new(name),
            seats: HashMap::new(),
            guest,
            reading: None,
            texts: HashMap::new(),
            next_ticket: 0,
        };
        // It ends when the last handle is gone.
        tokio::spawn(task.run(inbox));
        Self { commands }
    }

    /// Takes part for a session. `who` is for the audit log. `None`: it may neither give nor take, which is so for all who
    /// do not control the machine.
    pub(crate) async fn join(
        &self,
        session: SessionId,
        who: &str,
        rights: Rights,
        policy: ClipboardPolicy,
    ) -> Option<ClipboardSeat> {
        if !(rights.view && rights.control) || policy.is_nothing() {
            return None;
        }
        // The place for the farewell is reserved now, so that leaving cannot fail however full the queue is.
        let farewell = self.commands.clone().reserve_owned().await.ok()?;
        let (formats, announced) = watch::channel(Arc::from([]));
        let (notices, inbox) = mpsc::channel(NOTICES);
        let join = Command::Join {
            session,
            who: who.to_owned(),
            policy,
            ends: Ends { formats, notices },
        };
        self.commands.send(join).await.ok()?;
        Some(ClipboardSeat {
            session,
            commands: self.commands.clone(),
            announced,
            inbox,
            queued: Arc::default(),
            farewell: Some(farewell),
        })
    }
}

/// A session's part of the clipboard. Its end gives up what the session owns and waits for.
pub(crate) struct ClipboardSeat {
    session: SessionId,
    commands: mpsc::Sender<Command>,
    announced: watch::Receiver<Arc<[ClipboardFormat]>>,
    inbox: mpsc::Receiver<Notice>,
    queued: Arc<AtomicUsize>,
    farewell: Option<mpsc::OwnedPermit<Command>>,
}

impl ClipboardSeat {
    /// Hands on what the client did. `false`: there is no room, and nothing will come of it.
    pub(crate) fn client(&self, event: ClipboardEvent) -> bool {
        if self.queued.fetch_add(1, Ordering::Relaxed) >= QUEUED {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let command = Command::Client {
            session: self.session,
            event,
            _credit: Credit(self.queued.clone()),
        };
        self.commands.try_send(command).is_ok()
    }

    /// Asks for the text that this viewer would paste, to type it. Gone: there is no room.
    pub(crate) fn text(&self) -> oneshot::Receiver<Result<Arc<str>, NoText>> {
        let (reply, text) = oneshot::channel();
        let session = self.session;
        let _ = self.commands.try_send(Command::Text { session, reply });
        text
    }

    /// The next thing to do; never after the hub's end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Notice {
        tokio::select! {
            biased;
            Ok(()) = self.announced.changed() => Notice::Announce(self.announced.borrow_and_update().clone()),
            Some(notice) = self.inbox.recv() => notice,
            else => std::future::pending().await,
        }
    }
}

impl Drop for ClipboardSeat {
    fn drop(&mut self) {
        if let Some(permit) = self.farewell.take() {
            permit.send(Command::Leave { session: self.session });
        }
    }
}

struct Task {
    hub: Hub,
    seats: HashMap<SessionId, Ends>,
    guest: Option<GuestClipboard>,
    /// The guest's text, on its way.
    reading: Option<(u64, oneshot::Receiver<Option<Arc<str>>>)>,
    texts: HashMap<u64, oneshot::Sender<Result<Arc<str>, NoText>>>,
    next_ticket: u64,
}

enum Wake {
    Command(Option<Command>),
    Guest,
    Text(u64, Option<Arc<str>>),
    Time,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        if let Some(guest) = &mut self.guest {
            let state = *guest.state.borrow_and_update();
            self.hub.guest(Instant::now().into_std(), state);
        }
        loop {
            self.act();
            let wake = self.next(&mut inbox).await;
            let now = Instant::now().into_std();
            match wake {
                Wake::Command(Some(command)) => self.command(command),
                Wake::Command(None) => return,
                Wake::Guest => {
                    if let Some(guest) = &mut self.guest {
                        let state = *guest.state.borrow_and_update();
                        self.hub.guest(now, state);
                    }
                }
                Wake::Text(grab, text) => {
                    self.reading = None;
                    self.hub.guest_text(grab, text);
                }
                Wake::Time => {}
            }
            self.hub.tick(now);
        }
    }

    async fn next(&mut self, inbox: &mut mpsc::Receiver<Command>) -> Wake {
        let due = self.hub.due().map(Instant::from_std);
        tokio::select! {
            biased;
            command = inbox.recv() => Wake::Command(command),
            () = changed(&mut self.guest) => Wake::Guest,
            (grab, text) = read(&mut self.reading) => Wake::Text(grab, text),
            () = until(due) => Wake::Time,
        }
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now().into_std();
        match command {
            Command::Join {
                session,
                who,
                policy,
                ends,
            } => {
                self.seats.insert(session, ends);
                self.hub.join(session, who, policy);
            }
            Command::Client { session, event, .. } => self.hub.client(now, session, event),
            Command::Text { session, reply } => {
                self.texts.retain(|_, waiting| !waiting.is_closed());
                if self.texts.len() < TEXTS {
                    self.next_ticket += 1;
                    self.texts.insert(self.next_ticket, reply);
                    self.hub.wanted_for_typing(now, session, self.next_ticket);
                }
            }
            Command::Leave { session } => {
                self.seats.remove(&session);
                self.hub.leave(now, session);
            }
        }
    }

    /// Does what the hub wants until it wants nothing more.
    fn act(&mut self) {
        loop {
            let effects = self.hub.effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.effect(effect);
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Announce { session, formats } => {
                if let Some(seat) = self.seats.get(&session) {
                    seat.formats.send_replace(formats);
                }
            }
            Effect::Fetch {
                session,
                format,
                token,
                limit,
            } => {
                let notice = Notice::Fetch { format, token, limit };
                if !self.tell(session, notice) {
                    self.hub.data(Instant::now().into_std(), session, token, None);
                }
            }
            Effect::FetchFile { session, request } => {
                if !self.tell(session, Notice::FetchFile(request)) {
                    self.hub.file_data(session, request.stream, None);
                }
            }
            Effect::Answer { session, data } => {
                self.tell(session, Notice::Answer(data));
            }
            Effect::AnswerFile { session, stream, data } => {
                self.tell(session, Notice::AnswerFile { stream, data });
            }
            Effect::Lock { session, id } => {
                self.tell(session, Notice::Lock(id));
            }
            Effect::Unlock { session, id } => {
                self.tell(session, Notice::Unlock(id));
            }
            Effect::OfferGuest(text) => {
                if let Some(guest) = &self.guest {
                    guest.offer.send_if_modified(|offered| {
                        let is_new = *offered != text;
                        *offered = text;
                        is_new
                    });
                }
            }
            Effect::FetchGuest { grab } => self.read_guest(grab),
            Effect::Text { ticket, text } => {
                if let Some(reply) = self.texts.remove(&ticket) {
                    let _ = reply.send(text);
                }
            }
        }
    }

    fn read_guest(&mut self, grab: u64) {
        let (reply, text) = oneshot::channel();
        match &self.guest {
            Some(guest) if guest.fetch.try_send(reply).is_ok() => self.reading = Some((grab, text)),
            _ => self.hub.guest_text(grab, None),
        }
    }

    /// `false`: the session takes nothing, its client stalls.
    fn tell(&self, session: SessionId, notice: Notice) -> bool {
        self.seats
            .get(&session)
            .is_some_and(|seat| seat.notices.try_send(notice).is_ok())
    }
}

async fn changed(guest: &mut Option<GuestClipboard>) {
    if let Some(guest) = guest
        && guest.state.changed().await.is_ok()
    {
        return;
    }
    // A backend that ended leaves the clipboard to the viewers.
    std::future::pending().await
}

async fn read(reading: &mut Option<(u64, oneshot::Receiver<Option<Arc<str>>>)>) -> (u64, Option<Arc<str>>) {
    match reading {
        Some((grab, text)) => (*grab, text.await.unwrap_or_default()),
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Commands from all sessions of a machine.
const COMMANDS: usize = 2048;
/// Commands of one session.
const QUEUED: usize = 32;
/// What waits for one session.
const NOTICES: usize = 64;
/// Texts that are waited for, to be typed.
const TEXTS: usize = 64;

#[cfg(test)]
mod tests;
