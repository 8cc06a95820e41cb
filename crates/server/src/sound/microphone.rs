//! Whose microphone the machine hears: the first viewer who may speak and does not refuse, and only while the machine
//! records. When it leaves, the next one is asked.

use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_engine::sound::Resampler;
use rdpmux_model::{Pcm, SessionId};
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::SoundSource;

/// All who may speak to one machine. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Microphones(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Who is asked, and at which clock the machine records.
    asked: watch::Sender<Option<(SessionId, u32)>>,
    microphone: mpsc::Sender<Pcm>,
    offered: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of coming, without those who refused.
    speakers: Vec<SessionId>,
    recording: Option<u32>,
}

impl Microphones {
    pub(super) fn new(source: &SoundSource) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            asked: watch::channel(None).0,
            microphone: source.microphone.clone(),
            offered: source.offered.clone(),
        }))
    }

    /// `session` may be asked from now on.
    pub(crate) fn join(&self, session: SessionId) -> Speech {
        self.0.state.lock().speakers.push(session);
        self.choose();
        Speech {
            session,
            asked: self.0.asked.subscribe(),
            microphones: self.clone(),
            resampler: None,
        }
    }

    fn leave(&self, session: SessionId) {
        self.0.state.lock().speakers.retain(|speaker| *speaker != session);
        self.choose();
    }

    fn set_recording(&self, recording: Option<u32>) {
        self.0.state.lock().recording = recording;
        self.choose();
    }

    /// One place decides who is asked. Who speaks goes on until it leaves.
    fn choose(&self) {
        let state = self.0.state.lock();
        let first = state.speakers.first().copied();
        let chosen = first.zip(state.recording);
        self.0
            .asked
            .send_if_modified(|asked| std::mem::replace(asked, chosen) != chosen);
        let offered = first.is_some();
        self.0
            .offered
            .send_if_modified(|there| std::mem::replace(there, offered) != offered);
    }
}

/// Follows whether the machine records.
pub(super) async fn run(machine: String, mut recording: watch::Receiver<Option<u32>>, microphones: Microphones) {
    loop {
        let now = *recording.borrow_and_update();
        debug!(machine, rate = now, "the machine records");
        microphones.set_recording(now);
        if recording.changed().await.is_err() {
            return;
        }
    }
}

/// One session's place among those who may speak. Dropping it hands the microphone over.
#[derive(Debug)]
pub(crate) struct Speech {
    session: SessionId,
    asked: watch::Receiver<Option<(SessionId, u32)>>,
    microphones: Microphones,
    resampler: Option<Resampler>,
}

impl Speech {
    /// Resolves when it may have changed who is asked. Cancel-safe; never resolves when the machine is gone.
    pub(crate) async fn changed(&mut self) {
        if self.asked.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// The machine's clock in frames per second, if this session is the one to speak.
    pub(crate) fn wanted(&mut self) -> Option<u32> {
        let (asked, rate) = (*self.asked.borrow_and_update())?;
        (asked == self.session).then_some(rate)
    }

    /// What the session's microphone picked up. Dropped if it is not asked, or if the machine does not take it.
    pub(crate) fn speak(&mut self, pcm: Pcm) {
        let Some(rate) = self.wanted() else { return };
        let pcm = if pcm.rate == rate {
            self.resampler = None;
            pcm
        } else {
            if self
                .resampler
                .as_ref()
                .is_none_or(|r| r.from() != pcm.rate || r.to() != rate)
            {
                self.resampler = Some(Resampler::new(pcm.rate, rate));
            }
            let mut samples = Vec::new();
            if let Some(resampler) = &mut self.resampler {
                resampler.push(&pcm.samples, &mut samples);
            }
            Pcm {
                rate,
                samples: samples.into(),
            }
        };
        // A machine that does not read loses what it does not hear in time.
        let _ = self.microphones.0.microphone.try_send(pcm);
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        self.microphones.leave(self.session);
    }
}
