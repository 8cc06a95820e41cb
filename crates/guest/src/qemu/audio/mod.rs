//! Sound of a QEMU: a listener for what the machine plays and, while somebody offers a microphone, one for what it
//! records. Each has a thread that answers from memory, as QEMU's main loop waits for it.
//!
//! QEMU 7.2 crashes on either registration over a peer-to-peer connection; `super::attach` keeps it from here.

mod call;
mod line;
mod recorder;
mod speaker;
mod voice;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_model::Pcm;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::attach::{AttachError, within};
use super::display::Display;
use super::listener::{PeerError, WatchList};
use crate::port::SoundPort;
use crate::supervise::BackOff;
pub use call::{AudioCall, Device, RawFormat, handle};
use line::Line;
pub use recorder::Recorder;
pub use speaker::Speaker;
pub use voice::{VoiceFormat, VoiceRefusal};

const PATH: &str = "/org/qemu/Display1/Audio";
const INTERFACE: &str = "org.qemu.Display1.Audio";
/// Between attempts to register.
const TROUBLE: BackOff = BackOff::new(Duration::from_secs(1), Duration::from_secs(30));
/// A guest that has not read for so long does not record, whatever it said.
const QUIET: Duration = Duration::from_secs(2);
/// QEMU notices the end of a listener within this time; before, it takes no other.
const PARTING: Duration = Duration::from_millis(300);

/// The backend's ends of a [`SoundPort`].
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    played: broadcast::Sender<Pcm>,
    recording: watch::Sender<Option<u32>>,
    microphone: Arc<Mutex<mpsc::Receiver<Pcm>>>,
    offered: watch::Receiver<bool>,
}

/// A port and its other ends.
pub(crate) fn port() -> (SoundPort, Ends) {
    let (played, _) = broadcast::channel(SoundPort::PLAYED);
    let (recording, recording_seen) = watch::channel(None);
    let (microphone, spoken) = mpsc::channel(SoundPort::SPOKEN);
    let (offered, offered_seen) = watch::channel(false);
    let port = SoundPort {
        played: played.clone(),
        recording: recording_seen,
        microphone,
        offered,
    };
    let ends = Ends {
        played,
        recording,
        microphone: Arc::new(Mutex::new(spoken)),
        offered: offered_seen,
    };
    (port, ends)
}

/// Follows a QEMU's sound until it is dropped.
pub(super) struct Sound(JoinHandle<()>);

impl Sound {
    /// Registers at `display` and keeps registered. `title` names the guest in logs.
    pub(super) fn start(display: Display, ends: Ends, watchdog: WatchList, title: String) -> Self {
        let port = Port {
            display,
            ends,
            watchdog,
            title,
        };
        Self(tokio::spawn(async move {
            tokio::join!(port.keep_speaker(), port.keep_recorder());
        }))
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Port {
    display: Display,
    ends: Ends,
    watchdog: WatchList,
    title: String,
}

impl Port {
    /// Registered all the time, or a volume that the guest sets meanwhile would be unknown. What is played while nobody
    /// listens is dropped unread.
    async fn keep_speaker(&self) {
        let mut back_off = TROUBLE;
        loop {
            let speaker = Speaker::new(self.title.clone(), self.ends.played.clone());
            match self.register("RegisterOutListener", Box::new(speaker)).await {
                Ok(mut line) => self.tell(line.ended().await),
                Err(error) if is_absence(&error) => {
                    tracing::debug!(guest = %self.title, "the machine has no sound for its d-bus display");
                    return;
                }
                Err(error) => tracing::warn!(%error, guest = %self.title, "cannot listen to the machine's sound"),
            }
            sleep(back_off.delay()).await;
        }
    }

    /// Registered only while there is a microphone: each read of the guest's makes QEMU's main loop wait for us.
    async fn keep_recorder(&self) {
        let mut offered = self.ends.offered.clone();
        let mut back_off = TROUBLE;
        loop {
            if offered.wait_for(|offered| *offered).await.is_err() {
                return;
            }
            let recorder = Recorder::new(
                self.title.clone(),
                self.ends.microphone.clone(),
                self.ends.recording.clone(),
            );
            let reads = recorder.reads();
            match self.register("RegisterInListener", Box::new(recorder)).await {
                Ok(mut line) => {
                    let quiet = self.watch_reads(&reads);
                    tokio::select! {
                        reason = line.ended() => self.tell(reason),
                        _ = offered.wait_for(|offered| !offered) => back_off.reset(),
                        () = quiet => {}
                    }
                }
                Err(error) if is_absence(&error) => return,
                Err(error) => tracing::warn!(%error, guest = %self.title, "cannot offer a microphone to the machine"),
            }
            self.ends.recording.send_replace(None);
            sleep(if *offered.borrow() { back_off.delay() } else { PARTING }).await;
        }
    }

    /// A machine that is paused or hangs does not say that it has stopped to record.
    async fn watch_reads(&self, reads: &recorder::Reads) {
        loop {
            sleep(QUIET).await;
            if !reads.seen_since_last() {
                self.ends
                    .recording
                    .send_if_modified(|recording| recording.take().is_some());
            }
        }
    }

    async fn register(&self, method: &'static str, device: Box<dyn Device>) -> Result<Line, AttachError> {
        let (ours, theirs) = UnixStream::pair()?;
        // INVARIANT: the thread reads and answers before QEMU has its end.
        let line = Line::start(ours, device, &self.watchdog)?;
        let body = (zbus::Fd::from(theirs.as_fd()),);
        let registered = self.display.call(PATH, INTERFACE, method, &body);
        within(method, registered).await??;
        tracing::debug!(guest = %self.title, method, "registered");
        Ok(line)
    }

    fn tell(&self, reason: Result<(), PeerError>) {
        match reason {
            Ok(()) | Err(PeerError::Io(_)) => tracing::debug!(guest = %self.title, "the sound connection ended"),
            Err(error) => tracing::warn!(%error, guest = %self.title, "the sound connection was closed"),
        }
    }
}

/// Whether the machine has no sound for its display; the object is not there then.
fn is_absence(error: &AttachError) -> bool {
    matches!(
        error,
        AttachError::Bus(zbus::Error::MethodError(name, ..))
            if name.as_str().starts_with("org.freedesktop.DBus.Error.Unknown")
    )
}
