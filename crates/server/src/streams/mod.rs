//! The streams of a machine: one desk for each character device, where a task of its own always takes what the device
//! says, whoever reads it. [`visit`] serves one client over any carrier.
//!
//! A desk outlives its device's source: a machine that restarts, or is found again, goes on in the same history.

mod answers;
pub(crate) mod line;
mod local;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rdpmux_streams::history::Keep;
use rdpmux_streams::hub::{Input, Label, Output};
use rdpmux_streams::{Event, Hub, State};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, warn};

use answers::Answers;
pub use line::Said;
pub use local::Local;
pub(crate) use visit::{Manner, visit_by};
pub use visit::{Visitor, visit};

/// Streams of one machine; further devices are left out.
const STREAMS: usize = 256;
/// Bytes that a device is given at once.
const PIECE: usize = 1024;

/// Brings a device in. When its output is closed, the stream stays without a source; another of that name goes on.
#[derive(Debug)]
pub struct StreamSource {
    /// Its name and kind.
    pub label: Label,
    /// What the device says. It is always taken.
    pub output: mpsc::Receiver<Output>,
    /// What the device is given.
    pub input: mpsc::Sender<Input>,
}

/// All streams of one machine. Clones are the same.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    vm: String,
    desks: Mutex<Desks>,
    /// Told after anything happened to any desk; `true`: the machine is gone.
    changed: watch::Sender<bool>,
    /// Told after a stream came or was unplugged.
    listed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Desks {
    by_key: BTreeMap<u32, Arc<Desk>>,
    next_key: u32,
}

/// One stream.
#[derive(Debug)]
struct Desk {
    key: u32,
    hub: Mutex<Hub>,
    /// There is input for the device.
    typed: Notify,
}

impl Streams {
    /// A machine without streams yet.
    pub fn new(vm: String) -> Self {
        Self(Arc::new(Shared {
            vm,
            desks: Mutex::default(),
            changed: watch::Sender::new(false),
            listed: watch::Sender::new(()),
        }))
    }

    /// Brings a device in: as a stream of its own, or as what the stream of that name waits for. The task that takes its
    /// output ends with it.
    pub fn attach(&self, source: StreamSource) {
        let Some(desk) = self.desk(&source.label) else {
            return warn!(vm = self.0.vm, stream = %source.label.name, "too many streams; this one is left out");
        };
        debug!(vm = self.0.vm, stream = %source.label.name, "stream attached");
        {
            let mut hub = desk.hub.lock();
            hub.set_state(State::Open);
            hub.event(Event::SourceBack, unix_ms());
        }
        self.0.changed.send_replace(false);
        let streams = self.clone();
        // Ends when the source drops its end, as it does when the backend ends.
        tokio::spawn(async move { streams.follow(&desk, source).await });
    }

    /// The streams that there are.
    pub fn labels(&self) -> Vec<Label> {
        self.desks()
            .iter()
            .map(|desk| desk.hub.lock().label().clone())
            .collect()
    }

    /// Changes whenever [`Self::labels`] may have.
    pub fn listed(&self) -> watch::Receiver<()> {
        self.0.listed.subscribe()
    }

    /// The machine is gone: clients are told, and the streams with what they kept end with the last of them.
    pub fn end(&self) {
        self.0.desks.lock().by_key.clear();
        self.0.changed.send_replace(true);
    }

    fn desk(&self, label: &Label) -> Option<Arc<Desk>> {
        let mut desks = self.0.desks.lock();
        let is_same = |desk: &&Arc<Desk>| desk.hub.lock().label().name == label.name;
        if let Some(desk) = desks.by_key.values().find(is_same) {
            return Some(desk.clone());
        }
        if desks.by_key.len() >= STREAMS {
            return None;
        }
        desks.next_key += 1;
        let desk = Arc::new(Desk {
            key: desks.next_key,
            hub: Mutex::new(Hub::new(label.clone(), Keep::default())),
            typed: Notify::new(),
        });
        desks.by_key.insert(desk.key, desk.clone());
        drop(desks);
        self.0.listed.send_replace(());
        Some(desk)
    }

    fn desks(&self) -> Vec<Arc<Desk>> {
        self.0.desks.lock().by_key.values().cloned().collect()
    }

    fn has(&self, key: u32) -> bool {
        self.0.desks.lock().by_key.contains_key(&key)
    }

    /// Somebody typed, came or left: others may have to be told.
    fn touch(&self) {
        self.0.changed.send_modify(|_| ());
    }

    /// Takes what the device says and gives it what was typed.
    async fn follow(&self, desk: &Desk, mut source: StreamSource) {
        let mut next: Option<Input> = None;
        let mut answers = Answers::default();
        loop {
            if next.is_none() {
                next = desk.hub.lock().take_input(PIECE);
                if next.is_some() {
                    // The writer has credit again.
                    self.touch();
                }
            }
            tokio::select! {
                biased;
                output = source.output.recv() => match output {
                    Some(Output::Bytes(bytes)) => desk.hear(&bytes, &mut answers),
                    Some(Output::State(state)) => desk.hub.lock().set_state(state),
                    Some(Output::Unplugged) => {
                        self.0.desks.lock().by_key.remove(&desk.key);
                        self.0.listed.send_replace(());
                        return self.touch();
                    }
                    None => break,
                },
                permit = source.input.reserve(), if next.is_some() => match (permit, next.take()) {
                    (Ok(permit), Some(input)) => permit.send(input),
                    _ => break,
                },
                () = desk.typed.notified(), if next.is_none() => continue,
            }
            self.touch();
        }
        {
            let mut hub = desk.hub.lock();
            hub.set_state(State::NoSource);
            hub.event(Event::SourceLost, unix_ms());
        }
        self.touch();
    }
}

impl Desk {
    fn hear(&self, bytes: &[u8], answers: &mut Answers) {
        let question = {
            let mut hub = self.hub.lock();
            let question = answers.heard(bytes, &hub, Instant::now());
            hub.output(bytes);
            question
        };
        if let Some(question) = question {
            let answer = answers.answer(question, bytes);
            self.hub.lock().answer(&answer);
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
