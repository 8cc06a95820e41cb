//! Listeners of a connected machine: registered for each head, closed while nobody looks at it, so that QEMU has no
//! display to refresh, registered anew when somebody does or when QEMU told a listener nothing of a new mode.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rdpmux_model::Size;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{Connected, End, Machine, RESHAPE, TOGETHER};
use crate::qemu::attach::{AttachError, within};
use crate::qemu::input::Target;
use crate::qemu::listener::{Listener, Screen};

/// Registrations at most until a head that rested shows the mode that QEMU announces.
const WAKES: usize = 3;
/// The first silence may have begun before QEMU was done, the second cannot.
const SILENCES: usize = 2;

impl Machine {
    /// Registers a listener for each console.
    pub(super) async fn listen(&mut self, connected: &mut Connected) -> Result<(), AttachError> {
        for index in 0..connected.consoles.len().min(self.heads.len()) {
            let listener = self.listen_to(connected, index, None).await?;
            connected.listeners.push(Some(listener));
            let console = &connected.consoles[index];
            let target = Target {
                display: connected.display.clone(),
                path: console.path.clone(),
                has_fingers: console.has_fingers,
            };
            self.heads[index].begin(console, target);
        }
        Ok(())
    }

    async fn listen_to(
        &mut self,
        connected: &Connected,
        index: usize,
        silences: Option<watch::Sender<u32>>,
    ) -> Result<Listener, AttachError> {
        let (ours, theirs) = UnixStream::pair()?;
        let sink = self.heads[index].lend().ok_or(AttachError::HeadBusy)?;
        let mut screen = Screen::new(sink, self.title.clone(), connected.shared_frames);
        if let Some(silences) = silences {
            screen = screen.telling(silences);
        }
        // INVARIANT: the thread reads and answers before QEMU has its end.
        let listener = Listener::start(ours, screen, index, &self.watchdog, connected.ended_sender.clone())?;
        let path = &connected.consoles[index].path;
        let registered = connected.display.register_listener(path, theirs.as_fd());
        within("RegisterListener", registered).await??;
        Ok(listener)
    }

    /// Closes a head's listener and takes its sink back.
    async fn stop_listening(&mut self, connected: &mut Connected, index: usize) -> Option<End> {
        connected.listeners[index].take()?.close();
        let ended = timeout(TOGETHER, connected.ended.recv()).await.ok().flatten()?;
        let (head, reason) = (ended.head, self.restore(ended));
        if head == index {
            return None;
        }
        Some(self.end_of_listener(reason, &connected.display).await)
    }

    /// Registers anew for the heads whose listeners missed a change of mode: a new listener gets the whole picture.
    pub(super) async fn catch_up(&mut self, connected: &mut Connected) -> Option<End> {
        for index in 0..connected.listeners.len() {
            if connected.listeners[index].is_none() || !self.heads[index].is_behind() {
                continue;
            }
            tracing::debug!(guest = %self.title, head = index, "the listener missed a change of mode; registering again");
            if let Some(end) = self.stop_listening(connected, index).await {
                return Some(end);
            }
            match self.listen_to(connected, index, None).await {
                Ok(listener) => connected.listeners[index] = Some(listener),
                Err(error) => {
                    tracing::warn!(%error, guest = %self.title, "cannot register again");
                    return Some(End::Ended);
                }
            }
        }
        None
    }

    pub(super) fn note_audiences(&mut self) {
        let now = Instant::now();
        self.heads.iter_mut().for_each(|head| head.note_audience(now));
    }

    /// When the next head may rest.
    pub(super) fn rest_due(&self, connected: &Connected) -> Option<Instant> {
        if !connected.may_rest {
            return None;
        }
        let listening = self.heads.iter().zip(&connected.listeners);
        let idle = listening.filter_map(|(head, listener)| listener.as_ref().and(head.idle_since()));
        idle.min().map(|since| since + self.config.rest_after)
    }

    /// Closes the listeners of the heads that nobody has looked at for long enough. Without any, QEMU has no refresh
    /// timer and converts no picture; the guest draws on.
    pub(super) async fn rest(&mut self, connected: &mut Connected) -> Option<End> {
        let now = Instant::now();
        for index in 0..connected.listeners.len() {
            let idle = self.heads[index].idle_since();
            let is_due = idle.is_some_and(|since| since + self.config.rest_after <= now);
            if connected.listeners[index].is_none() || !is_due {
                continue;
            }
            tracing::debug!(guest = %self.title, head = index, "nobody looks; the display rests");
            // Said before it is so: nobody may take what is shown from now on for the newest.
            self.heads[index].set_resting(true);
            if let Some(end) = self.stop_listening(connected, index).await {
                return Some(end);
            }
        }
        None
    }

    /// Registers again for the heads that rested and that somebody looks at now.
    pub(super) async fn wake(&mut self, connected: &mut Connected) -> Result<Option<End>, AttachError> {
        self.note_audiences();
        for index in 0..connected.listeners.len() {
            if connected.listeners[index].is_some() || self.heads[index].idle_since().is_some() {
                continue;
            }
            let since = Instant::now();
            let woken = self.wake_head(connected, index).await;
            if woken.is_err() && timeout(TOGETHER, connected.display.closed()).await.is_ok() {
                return Ok(Some(self.end_of_display(connected).await));
            }
            if let Some(end) = woken? {
                return Ok(Some(end));
            }
            self.heads[index].set_resting(false);
            let took = since.elapsed();
            tracing::debug!(guest = %self.title, head = index, ?took, "somebody looks; the display is shown again");
        }
        Ok(None)
    }

    /// Registers until the surface is what QEMU shows. What comes first is the picture of QEMU's last refresh, possibly
    /// of another mode; the refresh that follows at once brings it up to date.
    async fn wake_head(&mut self, connected: &mut Connected, index: usize) -> Result<Option<End>, AttachError> {
        for attempt in 1..=WAKES {
            let (silences, mut silent) = watch::channel(0);
            let listener = self.listen_to(connected, index, Some(silences)).await?;
            connected.listeners[index] = Some(listener);
            let size = self.refreshed(connected, index).await?;
            self.heads[index].announce(size);
            silent.mark_unchanged();
            let all_shown = async {
                for _ in 0..SILENCES {
                    if silent.changed().await.is_err() {
                        break;
                    }
                }
            };
            // A guest that never pauses has shown enough by then.
            let _ = timeout(RESHAPE, all_shown).await;
            if !self.heads[index].is_behind() || attempt == WAKES {
                break;
            }
            if let Some(end) = self.stop_listening(connected, index).await {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Waits until QEMU has refreshed the display for a listener that was just registered: its main loop does so before it
    /// answers the next call. Returns the size of the mode.
    async fn refreshed(&self, connected: &Connected, index: usize) -> Result<Size, AttachError> {
        let path = &connected.consoles[index].path;
        Ok(within("GetAll", connected.display.size(path)).await??)
    }
}
