//! Sound of one session: which format it hears, what of it is dropped, and its microphone. What is played and who speaks
//! is decided in [`crate::sound`].

use std::time::Duration;

use bytes::Bytes;
use rdpmux_model::{SoundCodec, SoundFormat};
use rdpmux_rdp::SoundEvent;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tracing::{debug, info, trace, warn};

use super::{Drive, End};
use crate::sound::{SoundHub, SoundPace, Speech, Wave};

/// What a session hears and says.
pub(super) struct ViewerSound {
    hub: Option<SoundHub>,
    /// What the client plays; empty before it has said so.
    formats: Vec<SoundFormat>,
    line: Option<(SoundFormat, broadcast::Receiver<Wave>)>,
    /// The machine's clock.
    rate: Option<watch::Receiver<u32>>,
    pace: SoundPace,
    /// When the format was chosen.
    chosen_at: Instant,
    /// Its place among those who may speak.
    speech: Option<Speech>,
    /// The client was asked for its microphone.
    is_asked: bool,
}

/// Something to do.
pub(super) enum SoundWake {
    Wave(Wave),
    /// The machine changed its clock.
    Clock,
    /// The machine begins or stops to record, or another viewer spoke.
    Turn,
}

impl ViewerSound {
    pub(super) fn new(hub: Option<SoundHub>) -> Self {
        Self {
            hub,
            formats: Vec::new(),
            line: None,
            rate: None,
            pace: SoundPace::default(),
            chosen_at: Instant::now(),
            speech: None,
            is_asked: false,
        }
    }

    /// Waits for something to do. Cancel-safe.
    pub(super) async fn next(&mut self) -> SoundWake {
        let Self {
            line,
            rate,
            speech,
            pace,
            ..
        } = self;
        tokio::select! {
            biased;
            wave = wave(line, pace) => SoundWake::Wave(wave),
            () = clock(rate) => SoundWake::Clock,
            () = turn(speech) => SoundWake::Turn,
        }
    }
}

async fn wave(line: &mut Option<(SoundFormat, broadcast::Receiver<Wave>)>, pace: &mut SoundPace) -> Wave {
    loop {
        let Some((_, receiver)) = line else {
            return std::future::pending().await;
        };
        match receiver.recv().await {
            Ok(wave) => return wave,
            Err(RecvError::Lagged(count)) => (0..count).for_each(|_| pace.count_drop()),
            Err(RecvError::Closed) => *line = None,
        }
    }
}

async fn clock(rate: &mut Option<watch::Receiver<u32>>) {
    let changed = match rate {
        Some(rate) => rate.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}

async fn turn(speech: &mut Option<Speech>) {
    match speech {
        Some(speech) => speech.changed().await,
        None => std::future::pending().await,
    }
}

impl Drive {
    /// Opens the client's sound channels and gives it a place among those who may speak. Before the session starts.
    pub(super) fn permit_sound(&mut self) {
        let Some(hub) = &self.sound.hub else { return };
        self.rdp.permit_sound(self.seat.rights().sound);
        if self.rdp.has_microphone() {
            self.sound.speech = Some(hub.microphones().join(self.id));
        }
    }

    pub(super) fn on_sound_wake(&mut self, wake: SoundWake) -> Result<(), End> {
        match wake {
            SoundWake::Wave(Wave::Sound { bytes, lasts, at }) => {
                self.send_wave(&bytes, lasts, at);
                Ok(())
            }
            SoundWake::Wave(Wave::Rest) => {
                let mut out = Vec::new();
                self.rdp.pause_sound(&mut out);
                self.push(out)
            }
            SoundWake::Clock => {
                self.choose_format();
                Ok(())
            }
            SoundWake::Turn => self.take_turn(),
        }
    }

    /// Hands a wave to the outbox before all frames, or drops it.
    fn send_wave(&mut self, bytes: &Bytes, lasts: Duration, at: Instant) {
        let Some((format, _)) = self.sound.line else { return };
        let now = Instant::now();
        if now - at > LATE {
            return self.sound.pace.count_drop();
        }
        if !self.sound.pace.may_send(now.into_std()) {
            return;
        }
        let mut out = Vec::new();
        let timestamp = self.born.elapsed().as_millis() as u16;
        let Some(block) = self.rdp.wave(format, timestamp, bytes, &mut out) else {
            return;
        };
        if self.outbox.push_sound(Bytes::from(out), at + LATE) {
            self.sound.pace.on_sent(now.into_std(), block);
        } else {
            self.sound.pace.count_drop();
        }
        trace!(session = %self.id, block, ?lasts, "wave");
        if now - self.sound.chosen_at > LOOK {
            self.choose_format();
        }
    }

    /// The best format that the client plays and its link carries.
    fn choose_format(&mut self) {
        let Some(hub) = &self.sound.hub else { return };
        self.sound.chosen_at = Instant::now();
        let rate = self.sound.rate.get_or_insert_with(|| hub.rate());
        let rate = *rate.borrow_and_update();
        let now = self.sound.line.as_ref().map(|(format, _)| *format);
        let best = best(&self.sound.formats, rate, self.pacer.link_rate(), now);
        if best != now {
            debug!(session = %self.id, format = ?best, dropped = self.sound.pace.dropped(), "sound");
            self.sound.line = best.map(|format| (format, hub.listen(format)));
        }
    }

    fn take_turn(&mut self) -> Result<(), End> {
        let Some(speech) = &mut self.sound.speech else {
            return Ok(());
        };
        let wanted = speech.wanted();
        let mut out = Vec::new();
        match wanted {
            Some(rate) if !self.sound.is_asked => {
                info!(session = %self.id, desktop = %self.seat.desktop().name(), "the machine records: asking for the microphone");
                self.sound.is_asked = true;
                self.rdp.open_microphone(rate, &mut out);
            }
            None if self.sound.is_asked => {
                info!(session = %self.id, desktop = %self.seat.desktop().name(), "the microphone is closed");
                self.sound.is_asked = false;
                self.context.config.sessions.set_speaks(self.id, false);
                self.rdp.close_microphone(&mut out);
            }
            _ => {}
        }
        self.push(out)
    }

    pub(super) fn on_sound_event(&mut self, event: SoundEvent) {
        match event {
            SoundEvent::Ready { formats } => {
                debug!(session = %self.id, ?formats, "the client plays sound");
                self.sound.formats = formats;
                self.choose_format();
            }
            SoundEvent::Confirmed { block, .. } => {
                let took = self.sound.pace.on_confirmed(Instant::now().into_std(), block);
                trace!(session = %self.id, block, ?took, "wave confirmed");
            }
            SoundEvent::Refused(refusal) => {
                warn!(session = %self.id, %refusal, "no sound for this client");
                self.sound.formats.clear();
                self.sound.line = None;
            }
            SoundEvent::MicrophoneOpen { rate } => {
                info!(session = %self.id, desktop = %self.seat.desktop().name(), rate, "the machine hears this client's microphone");
                self.context.config.sessions.set_speaks(self.id, true);
            }
            SoundEvent::Microphone(pcm) => {
                if let Some(speech) = &mut self.sound.speech {
                    speech.speak(pcm);
                }
            }
            SoundEvent::MicrophoneRefused(refusal) => {
                warn!(session = %self.id, %refusal, "no microphone from this client");
                self.context.config.sessions.set_speaks(self.id, false);
                self.sound.is_asked = false;
                // Another viewer is asked then.
                self.sound.speech = None;
            }
        }
    }
}

/// The best of `formats` that a link of `link` bytes per second carries beside the pictures: uncompressed before
/// compressed, at the machine's clock `rate` before another. `now` is the one in use, which a link must exceed clearly
/// before a richer one is taken.
fn best(formats: &[SoundFormat], rate: u32, link: Option<u64>, now: Option<SoundFormat>) -> Option<SoundFormat> {
    let of = |codec: SoundCodec| {
        let same = formats.iter().filter(move |format| format.codec == codec);
        same.max_by_key(|format| (format.rate == rate, format.rate)).copied()
    };
    let smallest = formats.iter().min_by_key(|format| format.bytes_per_second()).copied();
    let is_carried = |format: &SoundFormat| {
        let bytes = u64::from(format.bytes_per_second());
        let is_richer = now.is_some_and(|now| now.bytes_per_second() < format.bytes_per_second());
        let share = if is_richer { SHARE * 3 / 2 } else { SHARE };
        link.is_none_or(|link| link >= bytes * share)
    };
    let carried = [of(SoundCodec::Pcm), of(SoundCodec::ImaAdpcm)].into_iter().flatten();
    carried.into_iter().find(is_carried).or(smallest)
}

/// One part in so many of a link is what sound may take.
const SHARE: u64 = 8;
/// Sound that is older than this is not sent.
const LATE: Duration = Duration::from_millis(200);
/// How often the link is looked at for another format.
const LOOK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_link_gets_compressed_sound_and_keeps_it_until_there_is_clearly_room() {
        let all = SoundFormat::ALL;
        let (pcm, ima, small) = (
            SoundFormat::pcm(44_100),
            SoundFormat::ima(44_100),
            SoundFormat::ima(22_050),
        );
        assert_eq!(best(&all, 44_100, None, None), Some(pcm));
        assert_eq!(best(&all, 44_100, Some(20_000_000), None), Some(pcm));
        assert_eq!(best(&all, 44_100, Some(1_000_000), None), Some(ima));
        assert_eq!(best(&all, 44_100, Some(100_000), None), Some(small));
        assert_eq!(best(&all, 44_100, Some(1_500_000), Some(ima)), Some(ima));
        assert_eq!(best(&all, 44_100, Some(1_500_000), Some(pcm)), Some(pcm));
        assert_eq!(best(&all, 44_100, Some(3_000_000), Some(ima)), Some(pcm));
    }

    #[test]
    fn a_client_gets_what_it_has() {
        let few = [SoundFormat::pcm(44_100)];
        assert_eq!(
            best(&few, 48_000, Some(1000), None),
            Some(few[0]),
            "there is nothing smaller"
        );
        assert_eq!(best(&[], 48_000, None, None), None);
        let both = [SoundFormat::pcm(48_000), SoundFormat::pcm(44_100)];
        assert_eq!(best(&both, 96_000, None, None), Some(both[0]));
    }
}
