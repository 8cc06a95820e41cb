//! The hub with a machine and viewers of the test's making; time stands still unless it is moved.

use std::sync::Arc;

use rdpmux_model::SessionId;
use tokio::sync::broadcast::error::TryRecvError;

use super::*;

struct Machine {
    played: broadcast::Sender<Pcm>,
    recording: watch::Sender<Option<u32>>,
    spoken: mpsc::Receiver<Pcm>,
    offered: watch::Receiver<bool>,
    hub: SoundHub,
}

fn machine() -> Machine {
    let (played, _) = broadcast::channel(32);
    let (recording, recording_seen) = watch::channel(None);
    let (microphone, spoken) = mpsc::channel(4);
    let (offered, offered_seen) = watch::channel(false);
    let source = SoundSource {
        played: played.clone(),
        recording: recording_seen,
        microphone,
        offered,
    };
    Machine {
        played,
        recording,
        spoken,
        offered: offered_seen,
        hub: SoundHub::spawn("web1".to_owned(), source),
    }
}

fn pcm(rate: u32, sample: i16) -> Pcm {
    Pcm {
        rate,
        samples: Arc::from(vec![sample; rate as usize / 100 * 2]),
    }
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn bytes(line: &mut broadcast::Receiver<Wave>) -> Bytes {
    match line.recv().await.expect("the line is open") {
        Wave::Sound { bytes, .. } => bytes,
        Wave::Rest => panic!("a rest where a sound was due"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_machine_is_heard_only_while_somebody_listens_and_encoded_once_for_all() {
    let machine = machine();
    settle().await;
    assert_eq!(machine.played.receiver_count(), 0);
    let format = SoundFormat::pcm(48_000);
    let (mut one, mut two) = (machine.hub.listen(format), machine.hub.listen(format));
    settle().await;
    assert_eq!(machine.played.receiver_count(), 1);
    machine.played.send(pcm(48_000, 7)).expect("heard");
    let (a, b) = (bytes(&mut one).await, bytes(&mut two).await);
    assert_eq!(a.len(), 1920);
    assert_eq!(a.as_ptr(), b.as_ptr(), "both have the same bytes, not copies");
    drop((one, two));
    tokio::time::sleep(LOOK * 2).await;
    assert_eq!(machine.played.receiver_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_stands_still_loses_the_oldest_and_harms_no_other() {
    let machine = machine();
    let format = SoundFormat::pcm(48_000);
    let (mut stalled, mut quick) = (machine.hub.listen(format), machine.hub.listen(format));
    settle().await;
    for sample in 1..=100 {
        machine.played.send(pcm(48_000, sample)).expect("heard");
        assert_eq!(bytes(&mut quick).await[..2], sample.to_le_bytes());
    }
    assert!(matches!(stalled.try_recv(), Err(TryRecvError::Lagged(84))));
    assert_eq!(bytes(&mut stalled).await[..2], 85_i16.to_le_bytes());
}

#[tokio::test(start_paused = true)]
async fn each_format_has_its_own_line_and_the_clock_is_told() {
    let machine = machine();
    let mut pcm_line = machine.hub.listen(SoundFormat::pcm(44_100));
    let mut ima_line = machine.hub.listen(SoundFormat::ima(48_000));
    let clock = machine.hub.rate();
    settle().await;
    for _ in 0..3 {
        machine.played.send(pcm(44_100, 9)).expect("heard");
    }
    assert_eq!(bytes(&mut pcm_line).await.len(), 1764);
    assert_eq!(bytes(&mut ima_line).await.len(), 1024);
    assert_eq!(*clock.borrow(), 44_100);
}

#[tokio::test(start_paused = true)]
async fn silence_rests_after_a_second_and_a_sound_wakes_it_at_once() {
    let machine = machine();
    let mut line = machine.hub.listen(SoundFormat::pcm(48_000));
    settle().await;
    machine.played.send(pcm(48_000, 1)).expect("heard");
    bytes(&mut line).await;
    for _ in 0..100 {
        machine.played.send(pcm(48_000, 0)).expect("heard");
        bytes(&mut line).await;
    }
    for _ in 0..50 {
        machine.played.send(pcm(48_000, 0)).expect("heard");
        settle().await;
    }
    assert!(matches!(line.recv().await, Ok(Wave::Rest)));
    assert!(matches!(line.try_recv(), Err(TryRecvError::Empty)));
    machine.played.send(pcm(48_000, 1)).expect("heard");
    assert_eq!(bytes(&mut line).await[..2], [1, 0]);
    // A machine that stops altogether rests too.
    assert!(matches!(line.recv().await, Ok(Wave::Rest)));
}

#[tokio::test(start_paused = true)]
async fn the_first_who_may_speak_is_asked_and_hands_over_when_it_leaves() {
    let mut machine = machine();
    let microphones = machine.hub.microphones();
    let mut one = microphones.join(SessionId(1));
    let mut two = microphones.join(SessionId(2));
    assert!(*machine.offered.borrow());
    assert_eq!(
        (one.wanted(), two.wanted()),
        (None, None),
        "nobody is asked before the machine records"
    );
    machine.recording.send_replace(Some(48_000));
    one.changed().await;
    assert_eq!((one.wanted(), two.wanted()), (Some(48_000), None));
    two.speak(pcm(48_000, 2));
    one.speak(pcm(48_000, 1));
    assert_eq!(machine.spoken.recv().await.expect("spoken").samples[0], 1);
    drop(one);
    assert_eq!(two.wanted(), Some(48_000));
    two.speak(pcm(24_000, 5));
    let heard = machine.spoken.recv().await.expect("spoken");
    assert_eq!(heard.rate, 48_000);
    assert!(heard.frames().abs_diff(480) < 40);
    for _ in 0..100 {
        // More than the machine takes is dropped.
        two.speak(pcm(48_000, 5));
    }
    machine.recording.send_replace(None);
    two.changed().await;
    assert_eq!(two.wanted(), None);
    drop(two);
    assert!(!*machine.offered.borrow());
}
