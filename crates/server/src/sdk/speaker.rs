//! Plays a program's sound: its handler runs on a thread of its own, its waves become pieces of PCM for the clients' hub.
//!
//! ```text
//! hub: somebody listens → task → wish → thread: handler.start → format ─┐
//! program: Wave → queue of 2 s ───────────────────────────────────────── task: pieces of 20 ms, in time → hub
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdpmux_model::Pcm;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::oversight::Calls;
use super::sound::{AudioFormat, ClientAudioFormatPdu, RdpsndServerHandler, RdpsndServerMessage, WaveFormat};
use crate::sound::{SoundHub, SoundSource};

/// The program's sound while the server runs; dropping it ends its task and, once the handler returns, its thread.
pub(super) struct Speaker {
    messages: mpsc::Sender<RdpsndServerMessage>,
    task: JoinHandle<()>,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Speaker {
    /// Starts the thread and the task.
    pub(super) fn start(handler: Box<dyn RdpsndServerHandler>, calls: Calls) -> std::io::Result<(Self, SoundHub)> {
        let played = broadcast::channel(PIECES).0;
        let source = SoundSource {
            played: played.clone(),
            recording: watch::channel(None).1,
            microphone: mpsc::channel(1).0,
            offered: watch::channel(false).0,
        };
        let hub = SoundHub::spawn("sdk".to_owned(), source);
        let (messages, inbox) = mpsc::channel(MESSAGES);
        let (wish, format) = spawn(handler, calls)?;
        let player = Player {
            listened: hub.listened(),
            wish,
            format,
            played,
            chosen: None,
            volume: [u16::MAX; 2],
            rest: Vec::new(),
            queue: VecDeque::new(),
            clock: Instant::now(),
        };
        let task = tokio::spawn(player.run(inbox));
        Ok((Self { messages, task }, hub))
    }

    /// Hands on what the program sends; it is dropped if too much waits.
    pub(super) fn say(&self, message: RdpsndServerMessage) {
        let _ = self.messages.try_send(message);
    }
}

/// Starts the thread: it is told whether sound is wished for, and tells the format in which the handler plays. Listeners who
/// come and go while the handler is in a call are not made up for.
fn spawn(mut handler: Box<dyn RdpsndServerHandler>, calls: Calls) -> std::io::Result<(Wish, Format)> {
    let (wish, mut wished) = watch::channel(false);
    let (chosen, format) = watch::channel(None);
    let runtime = Handle::current();
    thread::Builder::new().name("rdp-sound".into()).spawn(move || {
        let _runtime = runtime.enter();
        let mut is_started = false;
        while runtime
            .block_on(wished.wait_for(|wished| *wished != is_started))
            .is_ok()
        {
            is_started = !is_started;
            if is_started {
                chosen.send_replace(calls.call("sound handler", || begin(handler.as_mut())).flatten());
            } else {
                chosen.send_replace(None);
                calls.call("sound handler", || handler.stop());
            }
        }
    })?;
    Ok((wish, format))
}

/// Whether somebody listens.
type Wish = watch::Sender<bool>;
/// What the handler plays, while it does.
type Format = watch::Receiver<Option<AudioFormat>>;

/// The format that the handler chooses.
fn begin(handler: &mut dyn RdpsndServerHandler) -> Option<AudioFormat> {
    let formats: Vec<_> = handler.get_formats().iter().filter(|f| is_taken(f)).cloned().collect();
    if formats.is_empty() {
        warn!(
            "the sound handler has no PCM format of 8 or 16 bits, 1 or 2 channels, 8,000 to 192,000 Hz; there is no sound"
        );
        return None;
    }
    let client = ClientAudioFormatPdu { formats };
    let place = handler.start(&client)?;
    let chosen = client.formats.get(usize::from(place)).cloned();
    if chosen.is_none() {
        warn!(
            place,
            "the sound handler has chosen a format that there is not; there is no sound"
        );
    }
    chosen
}

fn is_taken(format: &AudioFormat) -> bool {
    format.format == WaveFormat::PCM
        && matches!(format.n_channels, 1 | 2)
        && matches!(format.bits_per_sample, 8 | 16)
        && Pcm::RATES.contains(&format.n_samples_per_sec)
}

struct Player {
    listened: watch::Receiver<bool>,
    wish: Wish,
    format: Format,
    played: broadcast::Sender<Pcm>,
    /// While somebody listens.
    chosen: Option<AudioFormat>,
    volume: [u16; 2],
    /// The beginning of a frame.
    rest: Vec<u8>,
    queue: VecDeque<Pcm>,
    /// When the next piece is due, at most [`AHEAD`] before now.
    clock: Instant,
}

impl Player {
    async fn run(mut self, mut inbox: mpsc::Receiver<RdpsndServerMessage>) {
        loop {
            let due = self.clock;
            tokio::select! {
                biased;
                changed = self.listened.changed() => match changed {
                    Ok(()) => self.turn(),
                    Err(_) => return,
                },
                Ok(()) = self.format.changed() => self.turn(),
                () = sleep_until(due), if !self.queue.is_empty() => self.play(),
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
            }
        }
    }

    fn turn(&mut self) {
        let is_listened = *self.listened.borrow_and_update();
        self.wish.send_replace(is_listened);
        self.chosen = self.format.borrow_and_update().clone().filter(|_| is_listened);
        self.silence();
    }

    fn silence(&mut self) {
        self.queue.clear();
        self.rest.clear();
    }

    fn take(&mut self, message: RdpsndServerMessage) {
        match message {
            RdpsndServerMessage::Wave(bytes, _) => self.wave(&bytes),
            RdpsndServerMessage::SetVolume { left, right } => self.volume = [left, right],
            RdpsndServerMessage::Close => self.silence(),
            RdpsndServerMessage::Error(error) => error!(%error, "the program's sound"),
        }
    }

    /// Cuts a wave into pieces.
    fn wave(&mut self, bytes: &[u8]) {
        let Some(format) = &self.chosen else { return };
        let rate = format.n_samples_per_sec;
        let frame = usize::from(format.n_channels) * usize::from(format.bits_per_sample / 8);
        let piece = rate as usize * PIECE_MS / 1000 * frame;
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / frame * frame;
        let rest = self.rest.split_off(whole);
        for part in self.rest.chunks(piece) {
            if self.queue.len() >= WAITING {
                break;
            }
            let samples: Vec<i16> = part
                .chunks_exact(frame)
                .flat_map(|f| stereo(f, format, self.volume))
                .collect();
            self.queue.push_back(Pcm {
                rate,
                samples: Arc::from(samples),
            });
        }
        self.rest = rest;
    }

    fn play(&mut self) {
        let Some(pcm) = self.queue.pop_front() else { return };
        let lasts = Duration::from_secs(1) * u32::try_from(pcm.frames()).unwrap_or(u32::MAX) / pcm.rate;
        let _ = self.played.send(pcm);
        let earliest = Instant::now().checked_sub(AHEAD).unwrap_or(self.clock);
        self.clock = self.clock.max(earliest) + lasts;
    }
}

/// Both samples of a frame.
fn stereo(frame: &[u8], format: &AudioFormat, volume: [u16; 2]) -> [i16; 2] {
    let sample = |at: usize| match format.bits_per_sample {
        8 => (i16::from(frame[at]) - 128) << 8,
        _ => i16::from_le_bytes([frame[2 * at], frame[2 * at + 1]]),
    };
    let (left, right) = (sample(0), sample(usize::from(format.n_channels) - 1));
    let loud = |sample: i16, volume: u16| (i32::from(sample) * i32::from(volume) / i32::from(u16::MAX)) as i16;
    [loud(left, volume[0]), loud(right, volume[1])]
}

/// The hub is never so late.
const PIECES: usize = 32;
const PIECE_MS: usize = 20;
/// Messages that wait to be looked at.
const MESSAGES: usize = 256;
/// Pieces that wait for their time: two seconds.
const WAITING: usize = 2000 / PIECE_MS;
/// How far ahead of their time pieces are played, so that a program may be as late.
const AHEAD: Duration = Duration::from_millis(80);

#[cfg(test)]
mod tests {
    use super::*;

    const fn pcm(channels: u16, bits: u16) -> AudioFormat {
        AudioFormat {
            format: WaveFormat::PCM,
            n_channels: channels,
            n_samples_per_sec: 44_100,
            n_avg_bytes_per_sec: 0,
            n_block_align: 0,
            bits_per_sample: bits,
            data: None,
        }
    }

    #[test]
    fn every_kind_of_pcm_becomes_two_channels_of_16_bits_as_loud_as_it_was_set() {
        let full = [u16::MAX; 2];
        assert_eq!(stereo(&[0, 0x80, 0xFF, 0x7F], &pcm(2, 16), full), [i16::MIN, i16::MAX]);
        assert_eq!(stereo(&[0x34, 0x12], &pcm(1, 16), full), [0x1234; 2]);
        assert_eq!(stereo(&[0, 255], &pcm(2, 8), full), [i16::MIN, 0x7F00]);
        assert_eq!(stereo(&[128], &pcm(1, 8), full), [0; 2]);
        assert_eq!(stereo(&[0, 0x80], &pcm(1, 16), [0, u16::MAX]), [0, i16::MIN]);
        assert!(is_taken(&pcm(1, 8)) && !is_taken(&pcm(3, 16)) && !is_taken(&pcm(2, 24)));
    }

    /// Chooses a format by its place, and notes its calls.
    struct Handler(Vec<AudioFormat>, u16, mpsc::UnboundedSender<&'static str>);

    impl RdpsndServerHandler for Handler {
        fn get_formats(&self) -> &[AudioFormat] {
            &self.0
        }

        fn start(&mut self, client: &ClientAudioFormatPdu) -> Option<u16> {
            assert_eq!(client.formats.len(), 1, "Opus is left out");
            let _ = self.2.send("start");
            Some(self.1)
        }

        fn stop(&mut self) {
            let _ = self.2.send("stop");
        }
    }

    #[tokio::test]
    async fn waves_of_any_length_are_heard_in_pieces_while_somebody_listens() {
        let opus = AudioFormat {
            format: WaveFormat::OPUS,
            ..pcm(2, 16)
        };
        let (calls, oversee) = Calls::new();
        tokio::spawn(oversee);
        let (notes, mut noted) = mpsc::unbounded_channel();
        let handler = Handler(vec![opus, pcm(1, 16)], 0, notes);
        let (speaker, hub) = Speaker::start(Box::new(handler), calls).unwrap();
        let mut line = hub.listen(rdpmux_model::SoundFormat::pcm(44_100));
        assert_eq!(noted.recv().await, Some("start"));
        let tone: Vec<u8> = (1_i16..=4410).flat_map(i16::to_le_bytes).collect();
        let twice: Vec<u8> = (1_i16..=4410).flat_map(|s| [s.to_le_bytes(); 2]).flatten().collect();
        let is_whole = |heard: &[u8]| {
            heard
                .windows(twice.len() / 2)
                .any(|part| part == &twice[..twice.len() / 2])
        };
        let mut heard = Vec::new();
        // What comes before the task knows of the format is dropped.
        while !is_whole(&heard) {
            speaker.say(RdpsndServerMessage::Wave(tone.clone(), 0));
            hear(&mut line, &mut heard).await;
        }
        heard.clear();
        for part in [&tone[..3], &tone[3..4000], &tone[4000..]] {
            speaker.say(RdpsndServerMessage::Wave(part.to_vec(), 0));
        }
        while !is_whole(&heard) {
            hear(&mut line, &mut heard).await;
        }
        drop(line);
        assert_eq!(noted.recv().await, Some("stop"));
        drop(speaker);
    }

    /// Notes its calls, and takes as long for each start as the test likes.
    struct Slow(mpsc::UnboundedSender<&'static str>, std::sync::mpsc::Receiver<()>);

    impl RdpsndServerHandler for Slow {
        fn get_formats(&self) -> &[AudioFormat] {
            const { &[pcm(2, 16)] }
        }

        fn start(&mut self, _: &ClientAudioFormatPdu) -> Option<u16> {
            let _ = self.0.send("start");
            let _ = self.1.recv();
            Some(0)
        }

        fn stop(&mut self) {
            let _ = self.0.send("stop");
        }
    }

    #[tokio::test]
    async fn listeners_who_come_and_go_while_the_handler_is_in_a_call_leave_nothing_that_queues() {
        let (calls, oversee) = Calls::new();
        tokio::spawn(oversee);
        let (notes, mut noted) = mpsc::unbounded_channel();
        let (release, released) = std::sync::mpsc::channel();
        let (wish, mut format) = spawn(Box::new(Slow(notes, released)), calls).unwrap();
        wish.send_replace(true);
        assert_eq!(noted.recv().await, Some("start"));
        for time in 0..1000 {
            wish.send_replace(time % 2 == 0);
        }
        release.send(()).unwrap();
        assert_eq!(noted.recv().await, Some("stop"), "nobody listens in the end");
        wish.send_replace(true);
        assert_eq!(noted.recv().await, Some("start"));
        for time in 0..1001 {
            wish.send_replace(time % 2 == 0);
        }
        release.send(()).unwrap();
        assert!(
            format.wait_for(Option::is_some).await.is_ok(),
            "somebody listens in the end"
        );
        drop(wish);
        assert_eq!(noted.recv().await, None, "it is asked for nothing more");
    }

    /// The next piece, or nothing if none comes.
    async fn hear(line: &mut broadcast::Receiver<crate::sound::Wave>, heard: &mut Vec<u8>) {
        let wave = tokio::time::timeout(Duration::from_millis(300), line.recv());
        if let Ok(Ok(crate::sound::Wave::Sound { bytes, .. })) = wave.await {
            heard.extend_from_slice(&bytes);
        }
    }
}
