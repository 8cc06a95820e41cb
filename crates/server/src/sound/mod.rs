//! Sound of one machine for all its viewers. A task takes what the machine plays, encodes it once for each format that
//! somebody hears, and hands it out; nobody waits for anybody. Microphones are [`microphone`]'s.
//!
//! ```text
//! nobody listens ── first listener ──▶ playing ── a second of silence ──▶ resting
//!       ▲                                ▲ │                                │ │
//!       └────────── last one leaves ─────┼─┴────────────────────────────────┼─┘
//!                                        └────────── a sound ───────────────┘
//! ```

mod microphone;
mod pace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rdpmux_engine::sound::SoundEncoder;
use rdpmux_model::{Pcm, SoundFormat};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::debug;

pub(crate) use microphone::{Microphones, Speech};
pub(crate) use pace::SoundPace;

/// What a machine brings: its sound, and where a microphone goes.
#[derive(Debug, Clone)]
pub struct SoundSource {
    /// What it plays. Subscribed to only while somebody listens.
    pub played: broadcast::Sender<Pcm>,
    /// Frames per second at which it records, while it does.
    pub recording: watch::Receiver<Option<u32>>,
    /// What it then hears, at that clock.
    pub microphone: mpsc::Sender<Pcm>,
    /// Whether any viewer could speak.
    pub offered: watch::Sender<bool>,
}

/// A machine's sound as its viewers share it. Clones are the same one; the last one ends its task.
#[derive(Debug, Clone)]
pub struct SoundHub(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    lines: Arc<Lines>,
    microphones: Microphones,
    tasks: [JoinHandle<()>; 2],
}

/// What listeners and the task share.
#[derive(Debug)]
struct Lines {
    open: Mutex<BTreeMap<SoundFormat, broadcast::Sender<Wave>>>,
    /// A listener came.
    joined: Notify,
    /// The machine's clock in frames per second.
    rate: watch::Sender<u32>,
    /// Whether somebody listens.
    listened: watch::Sender<bool>,
}

/// A piece of sound in some format.
#[derive(Debug, Clone)]
pub(crate) enum Wave {
    /// Something to play.
    Sound {
        /// Whole blocks of the format, shared by all who hear it.
        bytes: Bytes,
        /// How long it lasts.
        lasts: Duration,
        /// When the machine played it.
        at: Instant,
    },
    /// Nothing for a while.
    Rest,
}

impl SoundHub {
    /// Starts the tasks on the current tokio runtime. `machine` names it in logs.
    pub fn spawn(machine: String, source: SoundSource) -> Self {
        let lines = Arc::new(Lines {
            open: Mutex::default(),
            joined: Notify::new(),
            rate: watch::channel(USUAL_RATE).0,
            listened: watch::channel(false).0,
        });
        let microphones = Microphones::new(&source);
        let tasks = [
            tokio::spawn(play(machine.clone(), source.played.clone(), lines.clone())),
            tokio::spawn(microphone::run(machine, source.recording, microphones.clone())),
        ];
        Self(Arc::new(Hub {
            lines,
            microphones,
            tasks,
        }))
    }

    /// Hears the machine in `format` from now on. A listener that is late by more than [`LATE`] pieces loses the oldest.
    pub(crate) fn listen(&self, format: SoundFormat) -> broadcast::Receiver<Wave> {
        let mut open = self.0.lines.open.lock();
        let line = open.entry(format).or_insert_with(|| broadcast::channel(LATE).0);
        let receiver = line.subscribe();
        drop(open);
        self.0.lines.joined.notify_one();
        receiver
    }

    /// The machine's clock in frames per second: what needs no resampling. A guess before it has played anything.
    pub(crate) fn rate(&self) -> watch::Receiver<u32> {
        self.0.lines.rate.subscribe()
    }

    /// Whether somebody listens. It takes a second to notice that the last one has left.
    pub(crate) fn listened(&self) -> watch::Receiver<bool> {
        self.0.lines.listened.subscribe()
    }

    /// Who may be asked to speak.
    pub(crate) fn microphones(&self) -> &Microphones {
        &self.0.microphones
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Lines {
    /// Closes the lines that nobody hears; whether any is left.
    fn prune(&self) -> bool {
        let mut open = self.open.lock();
        open.retain(|_, line| line.receiver_count() > 0);
        !open.is_empty()
    }

    fn listened(&self) -> Vec<(SoundFormat, broadcast::Sender<Wave>)> {
        let open = self.open.lock();
        open.iter().map(|(format, line)| (*format, line.clone())).collect()
    }
}

async fn play(machine: String, played: broadcast::Sender<Pcm>, lines: Arc<Lines>) {
    loop {
        while !lines.prune() {
            lines.joined.notified().await;
        }
        debug!(machine, "somebody listens");
        let mut machine_sound = played.subscribe();
        lines.listened.send_replace(true);
        let mut player = Player::default();
        while lines.prune() {
            tokio::select! {
                biased;
                pcm = machine_sound.recv() => match pcm {
                    Ok(pcm) => player.play(&pcm, &lines),
                    // So much at once is lost for good: nobody wants to hear it late.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                () = tokio::time::sleep(LOOK) => player.rest(&lines),
            }
        }
        debug!(machine, "nobody listens");
        lines.listened.send_replace(false);
    }
}

/// Encodes for all lines.
#[derive(Default)]
struct Player {
    encoders: BTreeMap<SoundFormat, SoundEncoder>,
    /// Frames of silence in a row.
    silent: u64,
    is_playing: bool,
}

impl Player {
    fn play(&mut self, pcm: &Pcm, lines: &Lines) {
        let at = Instant::now();
        lines
            .rate
            .send_if_modified(|rate| std::mem::replace(rate, pcm.rate) != pcm.rate);
        // Many guests play silence for ever; it need not travel.
        self.silent = if pcm.is_silent() {
            self.silent + pcm.frames() as u64
        } else {
            0
        };
        if self.silent > u64::from(pcm.rate) {
            return self.rest(lines);
        }
        self.is_playing = true;
        let listened = lines.listened();
        self.encoders
            .retain(|format, _| listened.iter().any(|(known, _)| known == format));
        for (format, line) in listened {
            let encoder = self.encoders.entry(format).or_insert_with(|| SoundEncoder::new(format));
            if let Some(encoded) = encoder.encode(pcm) {
                send(&line, format, encoded, at);
            }
        }
    }

    /// The machine plays nothing, or silence.
    fn rest(&mut self, lines: &Lines) {
        if !std::mem::take(&mut self.is_playing) {
            return;
        }
        for (format, line) in lines.listened() {
            if let Some(encoded) = self.encoders.get_mut(&format).and_then(SoundEncoder::finish) {
                send(&line, format, encoded, Instant::now());
            }
            let _ = line.send(Wave::Rest);
        }
    }
}

fn send(line: &broadcast::Sender<Wave>, format: SoundFormat, encoded: rdpmux_engine::sound::Encoded, at: Instant) {
    let wave = Wave::Sound {
        bytes: encoded.bytes.into(),
        lasts: Duration::from_secs(1) * encoded.frames / format.rate.max(1),
        at,
    };
    // Without a receiver it is dropped, and the line is closed at the next look.
    let _ = line.send(wave);
}

/// Pieces of 5 to 23 ms that a session may be late.
const LATE: usize = 16;
/// What most machines play at.
const USUAL_RATE: u32 = 48_000;
/// How long nothing comes before it counts as a rest, and how late a listener's leaving is noticed.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
