//! The task of one machine: looks once a second, takes over what is wanted, puts back what is not, and all at the end.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use rdpmux_streams::Text;
use rdpmux_streams::hub::Label;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::command_line::{Said, of_process, start_of};
use super::hand_back::Holder;
use super::journal::{Journal, JournalError, Run, file_name};
use super::line::{Line, Word};
use super::plan::{Known, Plan, Seen, is_stopped_for, plan, with_link};
use super::relay::{Relay, point};
use super::spec::{Backend, Spec};
use super::{TakeOver, Taken, swap};
use crate::port::{GuestEvent, StreamPort};
use crate::qemu::chardev::line::pair;
use crate::qemu::qmp::{Control, Qmp, QmpError, Turn};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for a line to do what it was asked.
const ASKED: Duration = Duration::from_secs(5);
/// Devices of one machine.
const DEVICES: usize = 256;

/// Why a round broke off.
#[derive(Debug, thiserror::Error)]
enum TakingError {
    #[error("qmp: {0}")]
    Qmp(#[from] QmpError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What the task needs.
pub(in crate::qemu) struct Start {
    pub(in crate::qemu) settings: TakeOver,
    pub(in crate::qemu) control: Control,
    /// Of the QMP socket, for the end if the connection is gone by then.
    pub(in crate::qemu) socket: PathBuf,
    pub(in crate::qemu) events: mpsc::Sender<GuestEvent>,
    pub(in crate::qemu) title: String,
}

impl Start {
    /// `None`: there is nothing to take over, or the daemon ends.
    pub(in crate::qemu) fn now(self) -> Option<Taken> {
        let holder = self.settings.hand_back.enter()?;
        Some(Taken(tokio::spawn(self.run(holder))))
    }

    async fn run(self, holder: Holder) {
        let (directory, title) = (self.settings.directory.clone(), self.title.clone());
        let opened = Journal::open(&directory, &title).or_else(|error| {
            warn!(%error, guest = %title, "what was taken over is not known");
            Journal::open(&directory, &title)
        });
        let journal = match opened {
            Ok(journal) => journal,
            Err(error) => return warn!(%error, guest = %self.title, "nothing is taken over"),
        };
        if self.settings.labels.is_empty() && journal.is_empty() {
            return;
        }
        let process = self.control.peer().unwrap_or_default();
        let taking = Taking {
            run: Run {
                process,
                start: start_of(process).unwrap_or_default(),
            },
            said: of_process(process),
            start: self,
            journal,
            lines: HashMap::new(),
            tasks: JoinSet::new(),
            told: HashSet::new(),
        };
        taking.run(holder).await;
    }
}

/// A device that was taken over.
struct Held {
    words: mpsc::Sender<Word>,
    spec: Spec,
    seen: Seen,
}

struct Taking {
    start: Start,
    journal: Journal,
    run: Run,
    said: Said,
    lines: HashMap<String, Held>,
    tasks: JoinSet<String>,
    /// Refusals that were told.
    told: HashSet<(String, String)>,
}

impl Taking {
    async fn run(mut self, holder: Holder) {
        loop {
            let turn = self.start.control.turn().await;
            let round = self.round(&turn).await;
            drop(turn);
            if let Err(error) = round {
                // The devices go on by themselves.
                warn!(%error, guest = %self.start.title, "no longer looking for character devices");
                break;
            }
            if self.start.settings.labels.is_empty() && self.journal.is_empty() {
                return;
            }
            tokio::select! {
                () = holder.asked() => break,
                () = sleep(LOOK) => {}
                Some(Ok(label)) = self.tasks.join_next() => {
                    self.lines.remove(&label);
                    // Not at once, or a device that another program takes away is fought for.
                    sleep(LOOK).await;
                }
            }
        }
        holder.asked().await;
        self.hand_back().await;
    }

    async fn round(&mut self, turn: &Turn) -> Result<(), TakingError> {
        let mut all = swap::look(turn).await?;
        if self.follow(turn, &all).await? {
            all = swap::look(turn).await?;
        }
        let (mut takes, mut puts) = (Vec::new(), Vec::new());
        for seen in &all {
            if self.lines.contains_key(&seen.label) {
                continue;
            }
            match self.plan(seen) {
                Plan::Leave => {}
                Plan::Refuse(why) => self.refuse(&seen.label, why),
                Plan::Take(spec) if self.lines.len() + takes.len() < DEVICES => {
                    let link = format!("{}.{}.tty", file_name(&self.start.title), file_name(&seen.label));
                    takes.push((seen.clone(), with_link(&spec, self.start.settings.directory.join(link))));
                }
                Plan::Take(_) => self.refuse(&seen.label, format!("there are {DEVICES} already")),
                Plan::PutBack(spec) => puts.push((seen.clone(), spec)),
            }
        }
        self.forget(&all)?;
        if !takes.is_empty() || !puts.is_empty() || self.journal.record().stopped.is_some() {
            self.change(turn, takes, puts).await?;
        }
        Ok(())
    }

    fn plan(&self, seen: &Seen) -> Plan {
        let settings = &self.start.settings;
        let is_refused = |label: &str| {
            self.told
                .iter()
                .any(|(told, why)| told == label && why.starts_with(QEMU_SAYS))
        };
        let is_wanted =
            |label: &str| settings.labels.iter().any(|pattern| pattern.matches(label)) && !is_refused(label);
        let known = Known {
            is_wanted: &is_wanted,
            restore: &settings.restore,
            journal: &self.journal.record().taken,
            said: &self.said,
        };
        plan(seen, &known)
    }

    /// Told once.
    fn refuse(&mut self, label: &str, why: String) {
        let vm = &self.start.title;
        if self.told.insert((label.to_owned(), why.clone())) {
            warn!(guest = %vm, stream = label, "{label} of {vm} is not taken over: {why}");
        }
    }

    /// What was taken over and is different, or gone. `true`: something was put back.
    async fn follow(&mut self, turn: &Turn, all: &[Seen]) -> Result<bool, TakingError> {
        let mut gone = Vec::new();
        for (label, held) in &mut self.lines {
            match all.iter().find(|seen| seen.label == *label) {
                Some(seen) if seen.front.is_some() => {
                    if seen.is_open != held.seen.is_open {
                        let _ = held.words.send(Word::Open(seen.is_open)).await;
                    }
                    held.seen = seen.clone();
                }
                found => gone.push((label.clone(), found.is_some_and(Seen::is_ours))),
            }
        }
        let mut is_changed = false;
        for (label, is_there) in gone {
            let Some(held) = self.lines.remove(&label) else {
                continue;
            };
            info!(guest = %self.start.title, stream = label, "character device unplugged");
            if is_there {
                // Nobody uses it, so nothing can stall.
                self.make_room(&held).await;
                is_changed |= self.put_back(turn, &label, &held.spec).await?;
            }
            let _ = held.words.send(Word::End(true)).await;
            self.journal.change(|record| {
                record.taken.remove(&label);
            })?;
        }
        Ok(is_changed)
    }

    /// What the journal has although it never happened, or of a machine that began anew.
    fn forget(&mut self, all: &[Seen]) -> Result<(), JournalError> {
        let run = self.run;
        self.journal.change(|record| {
            record
                .taken
                .retain(|label, _| all.iter().any(|seen| seen.label == *label && seen.is_ours()));
            record.stopped = record.stopped.filter(|stopped| *stopped == run);
        })
    }

    /// Everything that has to be changed, within one pause of the machine.
    async fn change(
        &mut self,
        turn: &Turn,
        takes: Vec<(Seen, Spec)>,
        puts: Vec<(Seen, Spec)>,
    ) -> Result<(), TakingError> {
        let mut ready = Vec::new();
        for (seen, spec) in takes {
            match Relay::prepare(&spec).await {
                Ok(relay) => ready.push((seen, spec, relay)),
                Err(error) => self.refuse(&seen.label, error.to_string()),
            }
        }
        self.journal.change(|record| {
            let noted = ready.iter().map(|(seen, spec, _)| (seen.label.clone(), spec.clone()));
            record.taken.extend(noted);
        })?;
        let (stopped, live): (Vec<_>, Vec<_>) = ready.into_iter().partition(|(seen, ..)| is_stopped_for(seen));
        for (seen, spec, relay) in live {
            self.take(turn, seen, spec, relay).await?;
        }
        let (puts, live): (Vec<_>, Vec<_>) = puts.into_iter().partition(|(seen, _)| is_stopped_for(seen));
        for (seen, spec) in live {
            self.put_back(turn, &seen.label, &spec).await?;
        }
        if stopped.is_empty() && puts.is_empty() && self.journal.record().stopped.is_none() {
            return Ok(());
        }
        self.pause(turn).await?;
        for (seen, spec, relay) in stopped {
            self.take(turn, seen, spec, relay).await?;
        }
        for (seen, spec) in puts {
            self.put_back(turn, &seen.label, &spec).await?;
        }
        self.resume(turn).await
    }

    /// Stops the machine if it runs; that it is to run again is on disk first.
    async fn pause(&mut self, turn: &Turn) -> Result<(), TakingError> {
        if swap::runs(turn).await? {
            let run = self.run;
            self.journal.change(|record| record.stopped = Some(run))?;
            swap::stop(turn).await?;
        }
        Ok(())
    }

    /// Lets it run again if it was us who stopped it, now or before a crash.
    async fn resume(&mut self, turn: &Turn) -> Result<(), TakingError> {
        if self.journal.record().stopped.is_some() {
            if swap::is_paused(turn).await? {
                swap::resume(turn).await?;
            }
            self.journal.change(|record| record.stopped = None)?;
        }
        Ok(())
    }

    /// Fails only if QEMU is no longer there; what it or the system refuses is told.
    async fn take(&mut self, turn: &Turn, seen: Seen, spec: Spec, mut relay: Relay) -> Result<(), TakingError> {
        let label = seen.label.clone();
        let (ours, theirs) = match sockets().await {
            Ok(sockets) => sockets,
            Err(error) => {
                self.refuse(&label, error.to_string());
                return Ok(());
            }
        };
        match swap::give(turn, &label, theirs).await {
            Ok(()) => {}
            Err(QmpError::Refused { text, .. }) => {
                self.refuse(&label, format!("{QEMU_SAYS}{text}"));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = relay.begin(&spec).await {
            self.refuse(&label, error.to_string());
            relay.give_up_place().await;
            return self.put_back(turn, &label, &spec).await.map(|_| ());
        }
        self.hold(seen, spec, relay, ours).await;
        Ok(())
    }

    async fn hold(&mut self, seen: Seen, spec: Spec, relay: Relay, socket: TcpStream) {
        let label = seen.label.clone();
        let Some(stream) = stream(&seen) else {
            return;
        };
        info!(guest = %self.start.title, stream = label, was = %spec, "character device taken over");
        let (port, ends) = StreamPort::open(stream);
        let (words, asked) = mpsc::channel(1);
        let line = Line {
            label: label.clone(),
            control: self.start.control.clone(),
            relay,
            ends,
            words: asked,
        };
        let for_task = label.clone();
        self.tasks.spawn(async move {
            line.run(socket).await;
            for_task
        });
        if !seen.is_open {
            let _ = words.send(Word::Open(false)).await;
        }
        self.lines.insert(label, Held { words, spec, seen });
        let _ = self.start.events.send(GuestEvent::StreamAdded(port)).await;
    }

    /// Whether it is what it was.
    async fn put_back(&mut self, turn: &Turn, label: &str, spec: &Spec) -> Result<bool, TakingError> {
        let vm = &self.start.title;
        match swap::put_back(turn, label, spec).await {
            Ok(terminal) => {
                if let (Backend::Pty(Some(link)), Some(terminal)) = (&spec.backend, terminal)
                    && let Err(error) = point(link, &terminal)
                {
                    warn!(guest = %vm, stream = label, %error, link = %link.display(), "no link to the terminal");
                }
                info!(guest = %vm, stream = label, to = %spec, "character device handed back");
                self.journal.change(|record| {
                    record.taken.remove(label);
                })?;
                Ok(true)
            }
            Err(QmpError::Refused { text, .. }) => {
                warn!(guest = %vm, stream = label, "{label} of {vm} is not put back to {spec}: qemu says: {text}");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn make_room(&self, held: &Held) {
        let (done, answered) = oneshot::channel();
        let _ = timeout(ASKED, async {
            if held.words.send(Word::MakeRoom(done)).await.is_ok() {
                let _ = answered.await;
            }
        })
        .await;
    }

    /// The end of the daemon.
    async fn hand_back(mut self) {
        let title = self.start.title.clone();
        if self.lines.is_empty() {
            return;
        }
        let mut control = self.start.control.clone();
        if swap::runs(&control.turn().await).await.is_err() {
            match Qmp::connect(&self.start.socket).await {
                Ok(qmp) => control = Control::start(qmp).0,
                Err(error) => {
                    return warn!(%error, guest = %title, "nothing is handed back; it will be at the next start");
                }
            }
        }
        let turn = control.turn().await;
        if let Err(error) = self.hand_all_back(&turn).await {
            warn!(%error, guest = %title, "not all is handed back; it will be at the next start");
        }
    }

    async fn hand_all_back(&mut self, turn: &Turn) -> Result<(), TakingError> {
        let lines = std::mem::take(&mut self.lines);
        let (stopped, live): (Vec<_>, Vec<_>) = lines.into_iter().partition(|(_, held)| is_stopped_for(&held.seen));
        let mut result = self.let_go(turn, live).await;
        if !stopped.is_empty() {
            self.pause(turn).await?;
            result = result.and(self.let_go(turn, stopped).await);
            let resumed = self.resume(turn).await;
            result = result.and(resumed);
        }
        result
    }

    async fn let_go(&mut self, turn: &Turn, lines: Vec<(String, Held)>) -> Result<(), TakingError> {
        for (label, held) in &lines {
            self.make_room(held).await;
            if self.put_back(turn, label, &held.spec).await? {
                let _ = held.words.send(Word::End(false)).await;
            }
        }
        // The rest of each belongs before what the device says next.
        let labels: HashSet<_> = lines.iter().map(|(label, _)| label.clone()).collect();
        drop(lines);
        let ended = async {
            let mut left = labels.len();
            while left > 0
                && let Some(ended) = self.tasks.join_next().await
            {
                left -= usize::from(ended.is_ok_and(|label| labels.contains(&label)));
            }
        };
        let _ = timeout(ASKED, ended).await;
        Ok(())
    }
}

/// Before what QEMU itself refuses: it is not asked again.
const QEMU_SAYS: &str = "qemu says: ";

async fn sockets() -> std::io::Result<(TcpStream, std::os::fd::OwnedFd)> {
    let (ours, theirs) = pair().await?;
    Ok((ours, theirs.into_std()?.into()))
}

/// What it is called; `None` if that cannot be said.
fn stream(seen: &Seen) -> Option<Label> {
    let front = seen.front.as_ref()?;
    let name = Text::new(&seen.label).ok().filter(|name| !name.is_empty())?;
    Some(Label {
        kind: front.kind,
        name: name.into_owned(),
        title: Text::cleaned(front.port.as_deref().unwrap_or_default()),
    })
}
