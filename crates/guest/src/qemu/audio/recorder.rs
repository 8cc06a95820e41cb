//! What the machine records: a viewer's microphone, or silence. QEMU's main loop waits for every read, so it is answered
//! at once from what has come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rdpmux_model::Pcm;
use tokio::sync::{mpsc, watch};

use super::call::{AudioCall, Device, RawFormat};
use super::voice::{VoiceFormat, VoiceRefusal, Volume};

const MOST_VOICES: usize = 8;
/// Bytes of one answer.
const MOST_BYTES: u64 = 1 << 18;
/// Sound that is waited for before any is given, so that a network's unevenness is not heard, and what is kept when there
/// is more than [`MOST`], in milliseconds.
const CUSHION: usize = 40;
/// More than this many milliseconds is late: the oldest is dropped.
const MOST: usize = 200;

/// The listener for recording.
#[derive(Debug)]
pub struct Recorder {
    title: String,
    spoken: Arc<Mutex<mpsc::Receiver<Pcm>>>,
    recording: watch::Sender<Option<u32>>,
    reads: Reads,
    voices: BTreeMap<u64, (VoiceFormat, Volume)>,
    /// Two channels at the clock of the voice that reads.
    waiting: VecDeque<i16>,
    /// When the recording began, or was set to have begun, and frames given since.
    given: Option<(Instant, u64)>,
    /// The cushion is there.
    is_primed: bool,
    refusals: usize,
    tally: Tally,
}

/// Frames of one recording, for its log line.
#[derive(Debug, Default)]
struct Tally {
    read: usize,
    /// Of those, silence for want of sound.
    silent: usize,
    /// Sound that came too late.
    late: usize,
}

/// Whether the guest reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads(Arc<AtomicBool>);

impl Reads {
    /// Whether it has read since the last call.
    pub(super) fn seen_since_last(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Recorder {
    /// Gives what comes in `spoken`, and tells in `recording` at which clock the guest records.
    pub fn new(title: String, spoken: Arc<Mutex<mpsc::Receiver<Pcm>>>, recording: watch::Sender<Option<u32>>) -> Self {
        Self {
            title,
            spoken,
            recording,
            reads: Reads::default(),
            voices: BTreeMap::new(),
            waiting: VecDeque::new(),
            given: None,
            is_primed: false,
            refusals: 0,
            tally: Tally::default(),
        }
    }

    pub(super) fn reads(&self) -> Reads {
        self.reads.clone()
    }

    fn init(&mut self, voice: u64, raw: &RawFormat) {
        let format = VoiceFormat::new(raw).and_then(|format| match self.voices.len() {
            MOST_VOICES.. => Err(VoiceRefusal::TooMany),
            _ => Ok(format),
        });
        match format {
            Ok(format) => drop(self.voices.insert(voice, (format, Volume::FULL))),
            Err(refusal) if self.refusals < MOST_VOICES => {
                self.refusals += 1;
                tracing::warn!(%refusal, guest = %self.title, "the machine's recording is refused");
            }
            Err(_) => {}
        }
    }

    fn set_enabled(&mut self, voice: u64, enabled: bool) {
        let rate = self.voices.get(&voice).map(|(format, _)| format.rate());
        let wanted = rate.filter(|_| enabled);
        if self
            .recording
            .send_if_modified(|now| std::mem::replace(now, wanted) != wanted)
        {
            tracing::debug!(guest = %self.title, rate = wanted, before = ?std::mem::take(&mut self.tally), "the machine's recording");
            // What came for an earlier recording is not this one's.
            while self.spoken.lock().try_recv().is_ok() {}
            self.waiting.clear();
            self.given = None;
            self.is_primed = false;
        }
    }

    /// Frames that time has made due. QEMU reads as much as it has room for, at whatever pace, and takes less.
    fn due(&mut self, now: Instant, rate: u32) -> usize {
        let (began, given) = self.given.get_or_insert((now, 0));
        let passed = now.saturating_duration_since(*began).as_micros() as u64;
        let due = (passed * u64::from(rate) / 1_000_000).saturating_sub(*given);
        if due > u64::from(rate / 5) {
            // The machine stood still; what it missed is over.
            (*began, *given) = (now, 0);
            return 0;
        }
        due as usize
    }

    fn read(&mut self, voice: u64, size: u64, now: Instant) -> Vec<u8> {
        self.set_enabled(voice, true);
        self.reads.0.store(true, Ordering::Relaxed);
        let Some((format, volume)) = self.voices.get(&voice).copied() else {
            return Vec::new();
        };
        let per_millisecond = format.rate() as usize * 2 / 1000;
        {
            let mut spoken = self.spoken.lock();
            while let Ok(pcm) = spoken.try_recv() {
                if pcm.rate == format.rate() {
                    self.waiting.extend(pcm.samples.iter());
                }
            }
        }
        if self.waiting.len() > MOST * per_millisecond {
            let late = self.waiting.len() - CUSHION * per_millisecond;
            let late = late.next_multiple_of(2);
            self.waiting.drain(..late);
            self.tally.late += late / 2;
        }
        self.is_primed |= self.waiting.len() >= CUSHION * per_millisecond;
        let frames = size.min(MOST_BYTES) as usize / format.frame_bytes();
        let frames = frames.min(self.due(now, format.rate()));
        let mut samples = Vec::with_capacity(frames * 2);
        if self.is_primed {
            let there = self.waiting.len().min(frames * 2);
            samples.extend(self.waiting.drain(..there));
            self.is_primed = there == frames * 2;
        }
        self.tally.read += frames;
        if let Some((_, given)) = &mut self.given {
            *given += frames as u64;
        }
        self.tally.silent += frames - samples.len() / 2;
        samples.resize(frames * 2, 0);
        let mut out = Vec::with_capacity(frames * format.frame_bytes());
        format.encode(&samples, volume, &mut out);
        out
    }
}

impl Device for Recorder {
    fn path(&self) -> &'static str {
        "/org/qemu/Display1/AudioInListener"
    }

    fn interface(&self) -> &'static str {
        "org.qemu.Display1.AudioInListener"
    }

    fn thread_name(&self) -> &'static str {
        "qemu-recorder"
    }

    fn take(&mut self, call: &AudioCall<'_>, now: Instant) -> Vec<u8> {
        match call {
            AudioCall::Init { voice, format } => self.init(*voice, format),
            AudioCall::Fini { voice } => {
                self.set_enabled(*voice, false);
                self.voices.remove(voice);
            }
            AudioCall::SetEnabled { voice, enabled } => self.set_enabled(*voice, *enabled),
            AudioCall::SetVolume { voice, mute, volume } => {
                if let Some((_, known)) = self.voices.get_mut(voice) {
                    *known = Volume::new(*mute, volume);
                }
            }
            AudioCall::Read { voice, size } => return self.read(*voice, *size, now),
            AudioCall::Write { .. } => {}
        }
        Vec::new()
    }
}
