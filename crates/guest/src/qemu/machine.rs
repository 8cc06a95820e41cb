//! The backend's main task: attach to QEMU, lend each head to a listener, follow what happens, take the heads back, say
//! why on a card, wait, try again.
//!
//! ```text
//! attach ── fit heads ── listen ── follow ── take back ── card ── back off ─┐
//!   ^───────────────────────────────────────────────────────────────────────┘
//! ```
//! `listening` is what it does with listeners; while it follows, those of heads that nobody looks at come and go.

mod listening;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rdpmux_model::Presence;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::attach::{AttachError, Attachment, attach, within};
use super::chardev::Chardevs;
use super::chardev::takeover::{Start, Taken};
use super::display::{Changes, Console, Display};
use super::floor::Floor;
use super::head::Head;
use super::listener::{Ended, Listener, PeerError, SharedFrames, Watchdog};
use super::monitor::Monitor;
use super::qmp::Control;
use super::switch;
use super::{Address, Config, Ends};
use super::{audio, clipboard};
use crate::port::{GuestEvent, Notice};
use crate::power::PowerRequest;
use crate::supervise::{BackOff, Counters, Quota};

/// Between attempts while QEMU is away.
const ABSENCE: BackOff = BackOff::new(Duration::from_millis(200), Duration::from_secs(1));
/// Between attempts when something is wrong.
const TROUBLE: BackOff = BackOff::new(Duration::from_secs(1), Duration::from_secs(30));
/// A connection that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// After a change of a console's size, its listener has seen a picture of that size by then, or never will.
const RESHAPE: Duration = Duration::from_millis(150);
/// Two connections of a QEMU that ends close within this time.
const TOGETHER: Duration = Duration::from_millis(500);
/// Being thrown off more often than this within a minute means that somebody else wants the display.
const FIGHTS: usize = 3;
const FIGHT_WINDOW: Duration = Duration::from_secs(60);
const FIGHT_PAUSE: Duration = Duration::from_secs(30);
/// Heads at most, and so messages of ended listeners.
const HEADS: usize = 16;

/// How a connection that had been made ended.
#[derive(Debug)]
enum End {
    /// QEMU is gone.
    Ended,
    /// Another client took the display; QEMU serves one.
    Taken,
    /// QEMU, or who poses as it, sent something that it may not, or a listener failed.
    Refused(PeerError),
}

pub(super) struct Machine {
    config: Config,
    title: String,
    events: mpsc::Sender<GuestEvent>,
    counters: Arc<Counters>,
    clipboard: clipboard::Ends,
    heads: Vec<Head>,
    floor: Floor,
    watchdog: Watchdog,
    was_there: bool,
    absence: BackOff,
    trouble: BackOff,
    fights: Quota,
    power: mpsc::Receiver<PowerRequest>,
    sound: audio::Ends,
}

/// What an open connection consists of.
struct Connected {
    display: Display,
    changes: Changes,
    qmp: Option<Control>,
    /// What happens to the machine, as long as QMP is there.
    notices: Option<mpsc::Receiver<Notice>>,
    /// QMP was to stay and ended.
    lost_qmp: bool,
    consoles: Vec<Console>,
    /// One for each head; none while the head rests.
    listeners: Vec<Option<Listener>>,
    shared_frames: SharedFrames,
    may_rest: bool,
    ended: mpsc::Receiver<Ended>,
    ended_sender: mpsc::Sender<Ended>,
}

impl Machine {
    pub(super) fn new(
        config: Config,
        title: String,
        events: mpsc::Sender<GuestEvent>,
        counters: Arc<Counters>,
        ends: Ends,
    ) -> std::io::Result<Self> {
        let watchdog = Watchdog::start(counters.watchdog.clone())?;
        Ok(Self {
            config,
            title,
            events,
            counters,
            clipboard: ends.clipboard,
            heads: Vec::new(),
            floor: Floor::default(),
            watchdog,
            was_there: false,
            absence: ABSENCE,
            trouble: TROUBLE,
            fights: Quota::new(FIGHTS, FIGHT_WINDOW),
            power: ends.power,
            sound: ends.sound,
        })
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let label = self.title.clone();
        self.fit_heads(&[label]).await;
        let waiting = format!("Waiting for QEMU at {}.", self.config.address);
        self.show_absence(&waiting, &[&waiting, COMES_BACK]);
        loop {
            let delay = match attach(&self.config).await {
                Ok(attachment) => self.serve(attachment).await,
                Err(error) => self.on_attach_error(&error),
            };
            switch::away(delay, &mut self.power).await;
        }
    }

    /// One connection from its beginning to its end; returns the time to wait before the next.
    async fn serve(&mut self, attachment: Attachment) -> Duration {
        let since = Instant::now();
        Counters::count(&self.counters.attached);
        let version = attachment.version.map(|version| version.to_string());
        tracing::info!(guest = %self.title, version, name = attachment.name, "attached to qemu");
        self.was_there = true;
        let end = self.serve_attached(attachment).await;
        for head in &self.heads {
            head.detach();
        }
        if since.elapsed() > GOOD {
            self.trouble.reset();
        }
        self.absence.reset();
        match end {
            Ok(end) => self.on_end(&end),
            Err(error) => self.on_attach_error(&error),
        }
    }

    async fn serve_attached(&mut self, attachment: Attachment) -> Result<End, AttachError> {
        let Attachment {
            display,
            qmp,
            name,
            uuid,
            shared_frames,
            may_rest,
            notice,
            has_safe_peripherals,
            tablet_per_head,
            ..
        } = attachment;
        self.floor.begin(tablet_per_head);
        // The owner's queue may be full; QEMU does not wait for it, only this task does.
        let _ = self.events.send(GuestEvent::Identified { name, uuid }).await;
        let changes = within("AddMatch", display.changes()).await??;
        let consoles = within("GetManagedObjects", display.consoles()).await??;
        // Serial ports are enough.
        if consoles.is_empty() && within("GetManagedObjects", display.chardevs()).await??.is_empty() {
            return Err(AttachError::NoConsole);
        }
        let labels: Vec<_> = consoles.iter().map(|console| console.label.clone()).collect();
        self.fit_heads(&labels).await;
        if let Some(notice) = notice {
            self.tell(notice);
        }
        let (ended_sender, ended) = mpsc::channel(HEADS);
        let (qmp, notices) = qmp.map(Control::start).unzip();
        let mut connected = Connected {
            display,
            changes,
            qmp,
            notices,
            lost_qmp: false,
            consoles,
            listeners: Vec::new(),
            shared_frames,
            may_rest,
            ended,
            ended_sender,
        };
        let (display, list) = (connected.display.clone(), self.watchdog.list());
        let _sound =
            has_safe_peripherals.then(|| audio::Sound::start(display, self.sound.clone(), list, self.title.clone()));
        let listening = self.listen(&mut connected).await;
        // Given up with the connection.
        let _clipboard = match has_safe_peripherals {
            true => clipboard::start(&connected.display, &self.clipboard)
                .await
                .inspect_err(|error| tracing::warn!(%error, guest = %self.title, "no clipboard"))
                .ok(),
            false => None,
        };
        let _streams = Chardevs::start(
            connected.display.clone(),
            connected.qmp.clone(),
            self.events.clone(),
            self.title.clone(),
        );
        let control = connected.qmp.clone().filter(|_| self.config.monitor);
        let _monitor = control.map(|control| Monitor::start(control, self.events.clone(), self.title.clone()));
        let _taken = connected.qmp.clone().and_then(|control| self.take_over(control));
        let end = match listening {
            Ok(()) => self.follow(&mut connected).await,
            Err(error) => Err(error),
        };
        self.take_back(connected).await;
        end
    }

    fn take_over(&self, control: Control) -> Option<Taken> {
        let (settings, Address::Qmp(socket)) = (self.config.take_over.clone()?, &self.config.address) else {
            return None;
        };
        let start = Start {
            settings,
            control,
            socket: socket.clone(),
            events: self.events.clone(),
            title: self.title.clone(),
        };
        start.now()
    }

    /// Follows the machine until one of its connections ends.
    async fn follow(&mut self, connected: &mut Connected) -> Result<End, AttachError> {
        let mut look_at_sizes = None;
        self.note_audiences();
        loop {
            let (due, rest_due) = (look_at_sizes, self.rest_due(connected));
            let end = tokio::select! {
                biased;
                Some(ended) = connected.ended.recv() => {
                    let reason = self.restore(ended);
                    Some(self.end_of_listener(reason, &connected.display).await)
                }
                () = connected.display.closed() => Some(self.end_of_display(connected).await),
                () = turned(&mut self.heads) => self.wake(connected).await?,
                change = connected.changes.next() => match change {
                    Some((path, changes)) => {
                        self.change(&connected.consoles, &path, &changes);
                        look_at_sizes = Some(Instant::now() + RESHAPE);
                        None
                    }
                    None => Some(self.end_of_display(connected).await),
                },
                notice = next_notice(&mut connected.notices) => {
                    self.on_notice(connected, notice);
                    None
                }
                Some(request) = self.power.recv() => {
                    switch::carry_out(request, connected.qmp.as_ref(), &self.config.address).await;
                    None
                }
                () = until(due) => {
                    look_at_sizes = None;
                    self.catch_up(connected).await
                }
                () = until(rest_due) => self.rest(connected).await,
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn on_notice(&self, connected: &mut Connected, notice: Option<Notice>) {
        match notice {
            Some(notice) => self.tell(notice),
            None => {
                tracing::debug!(guest = %self.title, "qmp connection ended");
                connected.qmp = None;
                connected.notices = None;
                connected.lost_qmp = true;
            }
        }
    }

    fn change(&mut self, consoles: &[Console], path: &str, changes: &[super::display::Change]) {
        let index = consoles.iter().position(|console| console.path == path);
        if let Some(head) = index.and_then(|index| self.heads.get_mut(index)) {
            for change in changes {
                tracing::debug!(guest = %self.title, head = index, ?change, "console");
                head.change(*change);
            }
        }
    }

    async fn end_of_listener(&self, reason: Result<(), PeerError>, display: &Display) -> End {
        match reason {
            Err(PeerError::Io(_)) | Ok(()) if display.is_on_bus() => End::Ended,
            Err(PeerError::Io(_)) | Ok(()) => match timeout(TOGETHER, display.closed()).await {
                Ok(()) => End::Ended,
                Err(_) => End::Taken,
            },
            Err(error) => End::Refused(error),
        }
    }

    async fn end_of_display(&mut self, connected: &mut Connected) -> End {
        if connected.display.is_on_bus() {
            return End::Ended;
        }
        if connected.listeners.iter().all(Option::is_none) {
            return end_at_rest(connected).await;
        }
        match timeout(TOGETHER, connected.ended.recv()).await {
            Ok(Some(ended)) => match self.restore(ended) {
                Err(PeerError::Io(_)) | Ok(()) => End::Ended,
                Err(error) => End::Refused(error),
            },
            _ => End::Taken,
        }
    }

    /// Puts a head's sink back to where it belongs.
    fn restore(&mut self, ended: Ended) -> Result<(), PeerError> {
        if let Some(head) = self.heads.get_mut(ended.head) {
            head.take_back(ended.screen.into_sink());
        }
        ended.reason
    }

    /// Closes all listeners and waits for their heads. Their threads end at once unless one hangs, and then there is
    /// nothing that could be shown on its head either.
    async fn take_back(&mut self, connected: Connected) {
        let Connected {
            listeners,
            mut ended,
            ended_sender,
            ..
        } = connected;
        drop((listeners, ended_sender));
        while let Some(one) = ended.recv().await {
            if let Err(error) = self.restore(one) {
                tracing::debug!(%error, guest = %self.title, "listener ended");
            }
        }
    }

    /// Adds and removes heads until there is one for each label. Head 0 stays in any case.
    async fn fit_heads(&mut self, labels: &[String]) {
        for label in labels.iter().skip(self.heads.len()) {
            let index = self.heads.len() as u32;
            let (head, port) = Head::open(index, label.clone(), &self.floor);
            self.heads.push(head);
            let _ = self.events.send(GuestEvent::HeadAdded(port)).await;
        }
        while self.heads.len() > labels.len() {
            self.heads.pop();
            let index = self.heads.len() as u32;
            let _ = self.events.send(GuestEvent::HeadRemoved { index }).await;
        }
    }

    fn tell(&self, notice: Notice) {
        tracing::info!(guest = %self.title, ?notice, "machine");
        if self.events.try_send(GuestEvent::Notice(notice)).is_err() {
            tracing::debug!(guest = %self.title, ?notice, "notice dropped: nobody takes it");
        }
    }

    fn on_end(&mut self, end: &End) -> Duration {
        Counters::count(&self.counters.failed);
        match end {
            End::Ended => {
                tracing::info!(guest = %self.title, "qemu ended");
                self.show_end();
                self.absence.delay()
            }
            End::Taken if self.fights.exceeds(Instant::now().into_std()) => {
                tracing::warn!(guest = %self.title, "another program keeps taking the display; pausing for 30 s");
                let text = "Another program keeps taking this machine's display, and QEMU serves only one at a time.";
                self.show_absence(text, &[text, "It is tried again every 30 seconds."]);
                FIGHT_PAUSE
            }
            End::Taken => {
                tracing::info!(guest = %self.title, "another program took the display; connecting again");
                self.trouble.delay()
            }
            End::Refused(error) => {
                Counters::count(&self.counters.refused);
                tracing::warn!(%error, guest = %self.title, "connection to qemu ended");
                self.show_trouble(&error.to_string());
                self.trouble.delay()
            }
        }
    }

    fn on_attach_error(&mut self, error: &AttachError) -> Duration {
        Counters::count(&self.counters.failed);
        if error.is_absence() {
            tracing::debug!(%error, guest = %self.title, "qemu is not there");
            if self.heads.iter().any(Head::is_running) {
                self.show_end();
            }
            return self.absence.delay();
        }
        tracing::warn!(%error, guest = %self.title, address = %self.config.address, "cannot attach to qemu");
        self.show_trouble(&error.to_string());
        self.trouble.delay()
    }

    fn show_trouble(&mut self, text: &str) {
        let title = format!("{} cannot be shown", self.title);
        let place = format!("QEMU at {}", self.config.address);
        self.show(&title, text, &[text, &place, "It is tried again by itself."]);
    }

    fn show_end(&mut self) {
        let line = "QEMU ended. You stay connected, and the picture returns when it starts again.";
        self.show_absence("QEMU ended", &[line]);
    }

    fn show_absence(&mut self, reason: &str, lines: &[&str]) {
        let title = format!("{} is not running", self.title);
        self.show(&title, reason, lines);
    }

    fn show(&mut self, title: &str, reason: &str, lines: &[&str]) {
        let presence = if self.was_there {
            Presence::Gone {
                reason: reason.to_owned(),
            }
        } else {
            Presence::Waiting
        };
        for head in &mut self.heads {
            head.show_absence(presence.clone(), title, lines);
        }
    }
}

const COMES_BACK: &str = "You stay connected; the picture comes when it starts.";

/// Waits until a time, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the audience of one of the heads has changed. Cancel-safe.
async fn turned(heads: &mut [Head]) {
    let mut turns: Vec<_> = heads.iter_mut().map(|head| Box::pin(head.turned())).collect();
    std::future::poll_fn(|context| {
        let is_one = turns.iter_mut().any(|turn| turn.as_mut().poll(context).is_ready());
        if is_one { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// How a connection ended that had no listener: QMP ends with QEMU, but not when another client took the display.
async fn end_at_rest(connected: &mut Connected) -> End {
    let Some(notices) = &mut connected.notices else {
        return if connected.lost_qmp { End::Ended } else { End::Taken };
    };
    let end_of_qmp = async { while notices.recv().await.is_some() {} };
    match timeout(TOGETHER, end_of_qmp).await {
        Ok(()) => End::Ended,
        Err(_) => End::Taken,
    }
}

/// The next notice, `None` at the end, or never if there is no QMP connection. Cancel-safe.
async fn next_notice(notices: &mut Option<mpsc::Receiver<Notice>>) -> Option<Notice> {
    match notices {
        Some(notices) => notices.recv().await,
        None => std::future::pending().await,
    }
}
