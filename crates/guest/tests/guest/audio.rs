//! Audio listeners with messages as QEMU sends them, and as no QEMU should.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdpmux_guest::qemu::audio::{Device, Recorder, Speaker, handle};
use rdpmux_model::Pcm;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, mpsc, watch};

use crate::call::call as method_call;

/// A body under construction, as D-Bus aligns it.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn word<const N: usize>(mut self, bytes: [u8; N]) -> Self {
        self.0.resize(self.0.len().next_multiple_of(N), 0);
        self.0.extend(bytes);
        self
    }

    fn array(self, bytes: &[u8]) -> Self {
        let mut body = self.word((bytes.len() as u32).to_le_bytes());
        body.0.extend(bytes);
        body
    }

    fn voice(voice: u64) -> Self {
        Self::default().word(voice.to_le_bytes())
    }

    fn bool(self, value: bool) -> Self {
        self.word(u32::from(value).to_le_bytes())
    }

    fn format(bits: u8, float: bool, rate: u32, channels: u8, frame: u32) -> Self {
        Self::voice(1)
            .word([bits])
            .bool(true)
            .bool(float)
            .word(rate.to_le_bytes())
            .word([channels])
            .word(frame.to_le_bytes())
            .word((rate.wrapping_mul(frame)).to_le_bytes())
            .bool(false)
    }
}

/// Handles a call; the answer's body without its length, if it is an array.
fn call(device: &mut dyn Device, member: &str, signature: &str, body: Body) -> Option<Vec<u8>> {
    call_at(Instant::now(), device, member, signature, body)
}

fn call_at(now: Instant, device: &mut dyn Device, member: &str, signature: &str, body: Body) -> Option<Vec<u8>> {
    let out = method_call((device.path(), device.interface()), (member, signature), &body.0);
    let mut answer = None;
    handle(device, &out, now, 1, |bytes| {
        let length = u32::from_le_bytes(bytes[4..8].try_into().expect("4 bytes")) as usize;
        answer = Some(bytes[bytes.len() - length..].to_vec());
        Ok(())
    })
    .expect("a message as it should be");
    answer
}

fn speaker() -> (Speaker, broadcast::Sender<Pcm>) {
    let (played, _) = broadcast::channel(64);
    (Speaker::new("web1".to_owned(), played.clone()), played)
}

const INIT: &str = "tybbuyuub";

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn write(speaker: &mut Speaker, data: &[u8]) {
    call(speaker, "Write", "tay", Body::voice(1).array(data));
}

#[test]
fn what_the_machine_plays_reaches_listeners_at_the_guests_volume() {
    let (mut speaker, played) = speaker();
    call(&mut speaker, "Init", INIT, Body::format(16, false, 48_000, 2, 4));
    write(&mut speaker, &bytes(&[100; 960]));
    let mut heard = played.subscribe();
    assert_eq!(heard.try_recv(), Err(TryRecvError::Empty), "what nobody heard is gone");
    write(&mut speaker, &bytes(&[1000, -1000].repeat(480)));
    let pcm = heard.try_recv().expect("10 ms");
    assert_eq!((pcm.rate, pcm.frames()), (48_000, 480));
    assert_eq!(pcm.samples[..2], [1000, -1000]);
    let volume = |mute, left, right| Body::voice(1).bool(mute).array(&[left, right]);
    call(&mut speaker, "SetVolume", "tbay", volume(false, 51, 255));
    write(&mut speaker, &bytes(&[1000, -1000].repeat(480)));
    assert_eq!(heard.try_recv().expect("10 ms").samples[..2], [200, -1000]);
    call(&mut speaker, "SetVolume", "tbay", volume(true, 255, 255));
    write(&mut speaker, &bytes(&[1000, -1000].repeat(480)));
    assert!(heard.try_recv().expect("10 ms").is_silent());
}

#[test]
fn short_pieces_are_gathered_and_long_ones_cut() {
    let (mut speaker, played) = speaker();
    let mut heard = played.subscribe();
    call(&mut speaker, "Init", INIT, Body::format(16, false, 48_000, 1, 2));
    for _ in 0..239 {
        write(&mut speaker, &bytes(&[7]));
    }
    assert_eq!(heard.try_recv(), Err(TryRecvError::Empty));
    write(&mut speaker, &bytes(&[7]));
    let pcm = heard.try_recv().expect("5 ms");
    assert_eq!((pcm.frames(), pcm.samples[0], pcm.samples[1]), (240, 7, 7));
    write(&mut speaker, &bytes(&[7; 2000]));
    let frames: Vec<usize> = std::iter::from_fn(|| Some(heard.try_recv().ok()?.frames())).collect();
    assert_eq!(frames, [960, 960, 80]);
}

#[test]
fn absurd_voices_are_refused_and_the_next_is_served() {
    let (mut speaker, played) = speaker();
    let mut heard = played.subscribe();
    for (bits, float, rate, channels, frame) in [
        (16, false, u32::MAX, 2, 4),
        (16, false, 0, 2, 4),
        (16, false, 48_000, 0, 0),
        (16, false, 48_000, 255, 510),
        (24, false, 48_000, 2, 6),
        (16, true, 48_000, 2, 4),
        (16, false, 48_000, 2, 5),
    ] {
        call(
            &mut speaker,
            "Init",
            INIT,
            Body::format(bits, float, rate, channels, frame),
        );
        write(&mut speaker, &[0x55; 4000]);
        assert_eq!(
            heard.try_recv(),
            Err(TryRecvError::Empty),
            "{bits} {rate} {channels} {frame}"
        );
    }
    for voice in 0..100_u64 {
        // A number of voices without end changes nothing either.
        call(&mut speaker, "SetEnabled", "tb", Body::voice(voice).bool(true));
        write(&mut speaker, &[]);
    }
    call(&mut speaker, "Init", INIT, Body::format(32, true, 44_100, 2, 8));
    let loud: Vec<u8> = [2.0_f32, f32::NAN]
        .repeat(441)
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    write(&mut speaker, &loud);
    let pcm = heard.try_recv().expect("10 ms");
    assert_eq!((pcm.rate, pcm.samples[0], pcm.samples[1]), (44_100, i16::MAX, 0));
}

struct Studio {
    recorder: Recorder,
    spoken: mpsc::Sender<Pcm>,
    recording: watch::Receiver<Option<u32>>,
    now: Instant,
}

fn studio() -> Studio {
    let (spoken, heard) = mpsc::channel(64);
    let (recording, recording_seen) = watch::channel(None);
    let mut recorder = Recorder::new("web1".to_owned(), Arc::new(Mutex::new(heard)), recording);
    call(&mut recorder, "Init", INIT, Body::format(16, false, 48_000, 1, 2));
    Studio {
        recorder,
        spoken,
        recording: recording_seen,
        now: Instant::now(),
    }
}

impl Studio {
    /// What the guest gets if it reads 20 ms after `milliseconds` have passed.
    fn read_after(&mut self, milliseconds: u64) -> Vec<i16> {
        self.now += Duration::from_millis(milliseconds);
        let body = Body::voice(1).word(1920_u64.to_le_bytes());
        let answer = call_at(self.now, &mut self.recorder, "Read", "tt", body).expect("an answer");
        assert_eq!(answer[..4], (answer.len() as u32 - 4).to_le_bytes());
        answer[4..]
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| i16::from_le_bytes(*bytes))
            .collect()
    }

    fn read(&mut self) -> Vec<i16> {
        self.read_after(10)
    }

    fn speak(&self, sample: i16) {
        let samples = Arc::from(vec![sample; 960]);
        self.spoken.try_send(Pcm { rate: 48_000, samples }).expect("room");
    }
}

#[test]
fn a_guest_that_records_reads_silence_at_once_and_then_the_microphone() {
    let mut studio = studio();
    assert_eq!(*studio.recording.borrow(), None);
    studio.speak(99);
    assert!(studio.read().is_empty(), "nothing is due yet");
    assert_eq!(*studio.recording.borrow(), Some(48_000));
    assert_eq!(studio.read(), [0; 480], "what was said before is not heard");
    for sample in 1..=3 {
        studio.speak(sample);
        assert_eq!(studio.read(), [0; 480], "a cushion of 40 ms comes first");
    }
    studio.speak(4);
    for sample in 1..=4 {
        assert_eq!(studio.read(), [sample; 480]);
    }
    assert_eq!(studio.read(), [0; 480]);
    call(&mut studio.recorder, "SetEnabled", "tb", Body::voice(1).bool(false));
    assert_eq!(*studio.recording.borrow(), None);
}

#[test]
fn a_guest_gets_what_time_has_made_due_however_much_and_often_it_asks() {
    let mut studio = studio();
    let mut frames = 0;
    for milliseconds in [0, 7, 0, 13, 11, 9, 20, 40, 0, 0] {
        frames += studio.read_after(milliseconds).len();
    }
    assert_eq!(frames, 48 * 100);
    assert!(
        studio.read_after(5_000).is_empty(),
        "what it missed while it stood still is over"
    );
    assert_eq!(studio.read().len(), 480);
}

#[test]
fn a_microphone_that_runs_ahead_loses_its_oldest_sound() {
    let mut studio = studio();
    studio.read();
    for sample in 1..=30 {
        studio.speak(sample);
    }
    // 40 of 300 ms are left.
    assert_eq!(studio.read(), [27; 480]);
}

#[test]
fn what_is_no_message_of_qemus_ends_the_connection() {
    let (mut speaker, _) = speaker();
    for bytes in [
        &b"junk"[..],
        &[0; 64],
        &[b'l', 1, 0, 1, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert!(handle(&mut speaker, bytes, Instant::now(), 1, |_| Ok(())).is_err());
    }
    let answer = call(&mut speaker, "Explode", "", Body::default()).expect("an error");
    assert!(String::from_utf8_lossy(&answer).contains("no method"));
}
