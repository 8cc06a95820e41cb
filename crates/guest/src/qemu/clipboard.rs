//! QEMU's clipboard over D-Bus: `org.qemu.Display1.Clipboard`, which both sides serve. It carries UTF-8 text only. A guest
//! needs an agent (spice-vdagent) and QEMU a `qemu-vdagent` chardev; without them nothing happens here.
//!
//! ```text
//!   us: Register ─▶ QEMU: Register (serials start at 0) ─▶ the agent connects anew ─▶ QEMU: Register again: now it listens
//!   us: Grab(serial) ─▶ the guest can paste ─▶ QEMU: Request, and its main loop waits: answered from memory
//!   QEMU: Grab(serial) ─▶ the guest has copied ─▶ us: Request, when a viewer pastes
//! ```
//! A grab must have exactly the next serial, or the agent ignores it without a word. We never wait for QEMU's answer
//! while it may wait for ours.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rdpmux_model::GuestClipboardState;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;
use zbus::message::Message;
use zbus::wire::Variant;

use super::control;
use super::display::{Calls, Display};
use crate::port::ClipboardPort;

pub(super) const PATH: &str = "/org/qemu/Display1/Clipboard";
const INTERFACE: &str = "org.qemu.Display1.Clipboard";
const TEXT: &str = "text/plain;charset=utf-8";
/// The clipboard among X11's selections; the others stay in the guest.
const CLIPBOARD: u32 = 0;
/// QEMU gives up on the guest after 5 s.
const REQUEST: Duration = Duration::from_secs(6);
/// Text of a guest that is taken.
const TEXT_LIMIT: usize = 64 << 20;
/// After a reset the agent connects anew: a grab in between would be lost.
const REGRAB: Duration = Duration::from_millis(50);
/// An agent that announces itself twice sends QEMU 11 into an endless loop of resets: it is left alone meanwhile.
const STORM: usize = 8;
const STORM_TIME: Duration = Duration::from_secs(5);

type Reply = oneshot::Sender<Option<Arc<str>>>;
/// The guest's text, on its way, and who wants it.
type Reading = (Pin<Box<dyn Future<Output = Option<Arc<str>>> + Send>>, Reply);

/// The backend's ends of a [`ClipboardPort`]. Clones are the same ones; one connection uses them at a time.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    state: watch::Sender<GuestClipboardState>,
    offer: watch::Receiver<Option<Arc<str>>>,
    fetch: Arc<Mutex<mpsc::Receiver<Reply>>>,
}

/// A port and its ends.
pub(crate) fn port() -> (ClipboardPort, Ends) {
    let (state, told) = watch::channel(GuestClipboardState::default());
    let (offered, offer) = watch::channel(None);
    let (fetch, fetches) = mpsc::channel(1);
    let port = ClipboardPort {
        state: told,
        offer: offered,
        fetch,
    };
    let ends = Ends {
        state,
        offer,
        fetch: Arc::new(Mutex::new(fetches)),
    };
    (port, ends)
}

/// The clipboard of one connection; dropping it ends it.
pub(super) struct Clipboard {
    task: JoinHandle<()>,
    state: watch::Sender<GuestClipboardState>,
}

impl Drop for Clipboard {
    fn drop(&mut self) {
        self.task.abort();
        self.state
            .send_modify(|state| (state.ready, state.grab) = (false, None));
    }
}

/// Serves the clipboard of a QEMU on the thread that reads its connection.
///
/// # Errors
/// When that thread cannot be had, or the connection is closed.
pub(super) async fn start(display: &Display, ends: &Ends) -> zbus::Result<Clipboard> {
    // QEMU calls us as soon as it is called, and waits: first we must hear.
    let calls = display.calls(PATH).await?;
    let (display, state) = (display.clone(), ends.state.clone());
    let ends = ends.clone();
    let task = control::runtime()?.spawn(async move {
        let fetches = ends.fetch.lock().await;
        let serving = Serving {
            display,
            state: &ends.state,
            offer: ends.offer.clone(),
            registered: VecDeque::new(),
            serial: 0,
            holds: false,
            regrab: None,
            reading: None,
        };
        serving.run(calls, fetches).await;
    });
    Ok(Clipboard { task, state })
}

struct Serving<'a> {
    display: Display,
    state: &'a watch::Sender<GuestClipboardState>,
    offer: watch::Receiver<Option<Arc<str>>>,
    /// When QEMU registered last. More than once: there is an agent.
    registered: VecDeque<Instant>,
    /// Of the next grab, whosever.
    serial: u32,
    /// The guest can paste what we offered.
    holds: bool,
    /// When to offer again after a reset.
    regrab: Option<Instant>,
    /// The guest's text, on its way.
    reading: Option<Reading>,
}

impl Serving<'_> {
    async fn run(mut self, mut calls: Calls, mut fetches: MutexGuard<'_, mpsc::Receiver<Reply>>) {
        self.offer.mark_unchanged();
        self.post("Register", &()).await;
        loop {
            let regrab = self.regrab;
            tokio::select! {
                biased;
                call = calls.next() => match call {
                    Some(call) => self.answer(&call).await,
                    None => return,
                },
                text = read(&mut self.reading) => {
                    if let Some((_, reply)) = self.reading.take() {
                        let _ = reply.send(text);
                    }
                }
                Ok(()) = self.offer.changed() => self.offer_now().await,
                Some(reply) = fetches.recv(), if self.reading.is_none() => {
                    self.reading = Some((Box::pin(request(self.display.clone())), reply));
                }
                () = until(regrab) => {
                    self.regrab = None;
                    self.offer_now().await;
                }
            }
        }
    }

    /// Answers a call of QEMU at once.
    async fn answer(&mut self, call: &Message) {
        let header = call.header();
        let member = header.member().map_or("", |member| member.as_str());
        let nothing = HashMap::<String, Variant<'_>>::new();
        let answered = match member {
            "Request" => match self.offered(call) {
                Some(text) => self.display.reply(call, &(TEXT, text.as_bytes())).await,
                None => {
                    self.display
                        .refuse(call, "nothing of that kind is on the clipboard")
                        .await
                }
            },
            "Register" | "Unregister" | "Grab" | "Release" => self.display.reply(call, &()).await,
            // A proxy asks for properties; there are none.
            "GetAll" => self.display.reply(call, &(nothing,)).await,
            _ => self.display.refuse(call, "no such method").await,
        };
        if let Err(error) = answered {
            debug!(%error, member, "cannot answer qemu");
        }
        match member {
            "Register" => self.on_register(),
            "Unregister" => self.tell(|state| (state.ready, state.grab) = (false, None)),
            "Grab" => self.on_grab(call),
            "Release" if matches!(call.body().deserialize::<(u32,)>(), Ok((CLIPBOARD,))) => {
                self.tell(|state| state.grab = None);
            }
            "Request" => self.tell(|state| state.pasted += 1),
            _ => {}
        }
    }

    /// The text for a `Request`, if it asks for text of the clipboard.
    fn offered(&self, call: &Message) -> Option<Arc<str>> {
        let (selection, kinds) = call.body().deserialize::<(u32, Vec<String>)>().ok()?;
        let wants_text = selection == CLIPBOARD && kinds.iter().any(|kind| kind == TEXT);
        self.offer.borrow().clone().filter(|_| wants_text)
    }

    /// Serials begin anew, and what we offered is forgotten.
    fn on_register(&mut self) {
        let now = Instant::now();
        (self.serial, self.holds) = (0, false);
        self.registered.push_back(now);
        let agent = self.registered.len() > 1;
        while self.registered.len() > STORM {
            self.registered.pop_front();
        }
        let storm = self.registered.len() == STORM && now - self.registered[0] < STORM_TIME;
        debug!(agent, storm, "qemu's clipboard was reset");
        self.regrab = Some(now + if storm { STORM_TIME } else { REGRAB });
        self.tell(|state| (state.ready, state.grab) = (agent, None));
    }

    fn on_grab(&mut self, call: &Message) {
        let Ok((CLIPBOARD, serial, kinds)) = call.body().deserialize::<(u32, u32, Vec<String>)>() else {
            return;
        };
        (self.serial, self.holds) = (serial.wrapping_add(1), false);
        let has_text = kinds.iter().any(|kind| kind == TEXT);
        self.tell(|state| {
            let next = state.copies + 1;
            state.copies = next;
            state.grab = has_text.then_some(next);
        });
    }

    /// Tells the guest what it can paste now.
    async fn offer_now(&mut self) {
        let has_text = self.offer.borrow_and_update().is_some();
        if self.registered.is_empty() {
            return;
        }
        if has_text {
            let serial = self.serial;
            self.serial = serial.wrapping_add(1);
            self.holds = true;
            self.tell(|state| state.grab = None);
            self.post("Grab", &(CLIPBOARD, serial, vec![TEXT])).await;
        } else if std::mem::take(&mut self.holds) {
            self.post("Release", &(CLIPBOARD,)).await;
        }
    }

    async fn post<B>(&mut self, member: &str, body: &B)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        if let Err(error) = self.display.post(PATH, INTERFACE, member, body).await {
            debug!(%error, member, "cannot tell qemu of the clipboard");
        }
    }

    fn tell(&self, change: impl FnOnce(&mut GuestClipboardState)) {
        self.state.send_modify(change);
    }
}

/// Asks for what the guest copied.
async fn request(display: Display) -> Option<Arc<str>> {
    let body = (CLIPBOARD, vec![TEXT]);
    let answer = timeout(REQUEST, display.call(PATH, INTERFACE, "Request", &body)).await;
    let reply = match answer {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => {
            debug!(%error, "the guest's clipboard");
            return None;
        }
        Err(_) => return None,
    };
    let (_kind, data) = reply.body().deserialize::<(String, Vec<u8>)>().ok()?;
    if data.len() > TEXT_LIMIT {
        return None;
    }
    let text = String::from_utf8_lossy(&data);
    let text = text.split('\0').next().unwrap_or_default().replace("\r\n", "\n");
    Some(Arc::from(text))
}

async fn read(reading: &mut Option<Reading>) -> Option<Arc<str>> {
    match reading {
        Some((text, _)) => text.await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
