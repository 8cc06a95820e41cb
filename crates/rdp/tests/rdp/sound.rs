//! Sound and microphone over a whole connection: the dynamic channel, the static one, and clients that say what cannot
//! be. Whatever a client says about sound, its session goes on.

use std::sync::{Arc, Mutex};

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DrdynvcClient, DvcClientProcessor, DvcMessage, DvcProcessor};
use ironrdp_pdu::PduResult;
use ironrdp_pdu::gcc::ChannelName;
use ironrdp_svc::{CompressionCondition, SvcClientProcessor, SvcMessage, SvcProcessor};
use rdpmux_client::Plain;
use rdpmux_model::{Pcm, SoundFormat, SoundRight};
use rdpmux_rdp::{SessionEvent, SoundEvent, SoundRefusal};

use crate::client::{Options, Pair, connect_with};

/// What the server said on a channel.
pub type Heard = Arc<Mutex<Vec<Vec<u8>>>>;
/// What the client answers to a message.
pub type Answers = fn(&[u8]) -> Vec<Vec<u8>>;

/// A channel of the client's, dynamic or static, that answers by a function.
pub struct Channel {
    name: &'static str,
    heard: Heard,
    answers: Answers,
}

impl_as_any!(Channel);
impl DvcClientProcessor for Channel {}

impl Channel {
    pub fn new(name: &'static str, answers: Answers) -> (Self, Heard) {
        let heard = Heard::default();
        let channel = Self {
            name,
            heard: heard.clone(),
            answers,
        };
        (channel, heard)
    }

    fn take(&self, message: &[u8]) -> Vec<Plain> {
        self.heard.lock().unwrap().push(message.to_vec());
        (self.answers)(message).into_iter().map(Plain).collect()
    }
}

impl DvcProcessor for Channel {
    fn channel_name(&self) -> &str {
        self.name
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }

    fn process(&mut self, _: u32, message: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(self
            .take(message)
            .into_iter()
            .map(|m| Box::new(m) as DvcMessage)
            .collect())
    }
}

#[derive(Debug)]
struct StaticSound(Heard, Answers);

impl_as_any!(StaticSound);
impl SvcClientProcessor for StaticSound {}

impl SvcProcessor for StaticSound {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_static(b"rdpsnd\0\0")
    }

    fn process(&mut self, message: &[u8]) -> PduResult<Vec<SvcMessage>> {
        self.0.lock().unwrap().push(message.to_vec());
        Ok((self.1)(message)
            .into_iter()
            .map(|m| SvcMessage::from(Plain(m)))
            .collect())
    }

    fn compression_condition(&self) -> CompressionCondition {
        CompressionCondition::Never
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(body.len() as u16).to_le_bytes(), body].concat()
}

/// A client's list of formats, of its version.
fn formats(flags: u32, version: u8, formats: &[&[u8]]) -> Vec<u8> {
    let mut body = flags.to_le_bytes().to_vec();
    body.extend([0; 10]);
    body.extend((formats.len() as u16).to_le_bytes());
    body.extend([0, version, 0, 0]);
    body.extend(formats.concat());
    message(7, &body)
}

/// What Windows writes for 16 bits at 48 kHz, two channels.
const PCM_48: [u8; 18] = [1, 0, 2, 0, 0x80, 0xBB, 0, 0, 0, 0xEE, 2, 0, 4, 0, 16, 0, 0, 0];
const PCM_44: [u8; 18] = [1, 0, 2, 0, 0x44, 0xAC, 0, 0, 0x10, 0xB1, 2, 0, 4, 0, 16, 0, 0, 0];
/// A clock of 4 GHz with no channels and no bits.
const ABSURD: [u8; 18] = [1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn plays_all(heard: &[u8]) -> Vec<Vec<u8>> {
    plays(heard, formats(1, 8, &[&ABSURD, &PCM_44, &PCM_48]))
}

fn plays_as_of_old(heard: &[u8]) -> Vec<Vec<u8>> {
    plays(heard, formats(1, 5, &[&PCM_44]))
}

fn plays(heard: &[u8], list: Vec<u8>) -> Vec<Vec<u8>> {
    match heard[0] {
        7 => vec![list],
        6 => vec![message(6, &heard[4..8])],
        13 => vec![message(5, &[heard[4], heard[5], heard[8], 0])],
        _ => Vec::new(),
    }
}

fn connect(dynamic: Option<Channel>, static_sound: Option<StaticSound>) -> Pair {
    let options = Options {
        sound: true,
        ..Options::default()
    };
    connect_with(&options, None, |connector, mut channels: DrdynvcClient| {
        if let Some(channel) = dynamic {
            channels = channels.with_dynamic_channel(channel);
        }
        if let Some(sound) = static_sound {
            connector.attach_static_channel(sound);
        }
        channels
    })
}

fn take_sound(pair: &mut Pair) -> Vec<SoundEvent> {
    let (sound, others) = pair
        .events
        .drain(..)
        .partition(|event| matches!(event, SessionEvent::Sound(_)));
    pair.events = others;
    let sound: Vec<SessionEvent> = sound;
    sound
        .into_iter()
        .filter_map(|event| match event {
            SessionEvent::Sound(event) => Some(event),
            _ => None,
        })
        .collect()
}

fn wave(pair: &mut Pair, format: SoundFormat, data: &[u8]) -> Option<u8> {
    let mut out = Vec::new();
    let block = pair.session.wave(format, 0x1234, data, &mut out);
    pair.deliver(&out);
    block
}

#[test]
fn sound_goes_over_the_dynamic_channel_in_formats_that_both_know() {
    let (channel, heard) = Channel::new("AUDIO_PLAYBACK_DVC", plays_all);
    let mut pair = connect(Some(channel), None);
    pair.session.permit_sound(SoundRight::Out);
    pair.start();
    let events = take_sound(&mut pair);
    let ours = [SoundFormat::pcm(48_000), SoundFormat::pcm(44_100)];
    assert!(
        matches!(&events[..], [SoundEvent::Ready { formats }] if formats == &ours),
        "{events:?}"
    );
    assert_eq!(wave(&mut pair, ours[1], &[1, 2, 3, 4, 5, 6, 7, 8]), Some(1));
    let last = heard.lock().unwrap().last().cloned().expect("a wave");
    // The client's second format, its first block, 8 bytes of sound.
    assert_eq!(last[..9], [13, 0, 20, 0, 0x34, 0x12, 1, 0, 1]);
    assert_eq!(last[16..], [1, 2, 3, 4, 5, 6, 7, 8]);
    let events = take_sound(&mut pair);
    assert!(
        matches!(
            &events[..],
            [SoundEvent::Confirmed {
                block: 1,
                timestamp: 0x1234
            }]
        ),
        "{events:?}"
    );
    assert_eq!(
        wave(&mut pair, SoundFormat::ima(48_000), &[0; 1024]),
        None,
        "the client has none"
    );
    assert_eq!(wave(&mut pair, ours[0], &[0; 3]), None, "less than a frame");
    let mut out = Vec::new();
    pair.session.pause_sound(&mut out);
    pair.deliver(&out);
    assert_eq!(heard.lock().unwrap().last().unwrap()[0], 1);
}

#[test]
fn a_client_without_the_dynamic_channel_is_offered_the_static_one_and_old_ones_get_two_messages() {
    let heard = Heard::default();
    let mut pair = connect(None, Some(StaticSound(heard.clone(), plays_as_of_old)));
    pair.session.permit_sound(SoundRight::Out);
    pair.start();
    let format = SoundFormat::pcm(44_100);
    let events = take_sound(&mut pair);
    assert!(
        matches!(&events[..], [SoundEvent::Ready { formats }] if formats == &[format]),
        "{events:?}"
    );
    assert_eq!(wave(&mut pair, format, &[1, 2, 3, 4, 5, 6, 7, 8]), Some(1));
    let heard = heard.lock().unwrap();
    let [.., info, rest] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(info[..], [2, 0, 16, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(rest[..], [0, 0, 0, 0, 5, 6, 7, 8]);
}

#[test]
fn without_the_right_no_channel_is_opened() {
    let (channel, heard) = Channel::new("AUDIO_PLAYBACK_DVC", plays_all);
    let mut pair = connect(Some(channel), None);
    pair.start();
    assert!(heard.lock().unwrap().is_empty());
    assert!(!pair.session.has_microphone());
    assert_eq!(wave(&mut pair, SoundFormat::pcm(48_000), &[0; 4]), None);
}

fn plays_nothing_of_ours(heard: &[u8]) -> Vec<Vec<u8>> {
    plays(heard, formats(1, 8, &[&ABSURD, &ABSURD]))
}

fn is_deaf(heard: &[u8]) -> Vec<Vec<u8>> {
    plays(heard, formats(0, 8, &[&PCM_48]))
}

/// Announces 65,535 formats and has none.
fn promises_too_much(heard: &[u8]) -> Vec<Vec<u8>> {
    let mut list = formats(1, 8, &[]);
    list[18..20].copy_from_slice(&[255, 255]);
    plays(heard, list)
}

fn is_cut(_: &[u8]) -> Vec<Vec<u8>> {
    vec![vec![7, 0, 255, 255, 1]]
}

#[test]
fn absurd_formats_are_refused_by_name_and_the_session_goes_on() {
    let absurd = "format 0x0001 at 4294967295 Hz with 0 channels of 0 bits".to_owned();
    let cases: [(Answers, SoundRefusal); 4] = [
        (
            plays_nothing_of_ours,
            SoundRefusal::NoFormat {
                count: 2,
                first: absurd,
            },
        ),
        (is_deaf, SoundRefusal::NotPlayed),
        (promises_too_much, SoundRefusal::Malformed("list of sound formats")),
        (is_cut, SoundRefusal::Malformed("sound message length")),
    ];
    for (answers, expected) in cases {
        let (channel, _) = Channel::new("AUDIO_PLAYBACK_DVC", answers);
        let mut pair = connect(Some(channel), None);
        pair.session.permit_sound(SoundRight::Out);
        pair.start();
        let events = take_sound(&mut pair);
        assert!(
            matches!(&events[..], [SoundEvent::Refused(refusal)] if *refusal == expected),
            "{events:?}"
        );
        assert_eq!(wave(&mut pair, SoundFormat::pcm(48_000), &[0; 4]), None);
        assert!(pair.take_writer().is_some(), "its pictures go on");
    }
}

/// A microphone that has what it is offered and speaks at once.
fn speaks(heard: &[u8]) -> Vec<Vec<u8>> {
    match heard[0] {
        1 => vec![vec![1, 1, 0, 0, 0]],
        2 => vec![vec![5], heard.to_vec()],
        3 => vec![vec![7, 0, 0, 0, 0], vec![4, 0, 0, 0, 0], vec![5], vec![6, 1, 0, 2, 0]],
        _ => Vec::new(),
    }
}

fn says_no(heard: &[u8]) -> Vec<Vec<u8>> {
    match heard[0] {
        3 => vec![vec![4, 5, 0, 7, 0x80]],
        _ => speaks(heard),
    }
}

fn has_absurd_formats(heard: &[u8]) -> Vec<Vec<u8>> {
    match heard[0] {
        2 => vec![[&[2, 2, 0, 0, 0, 45, 0, 0, 0][..], &ABSURD, &ABSURD].concat()],
        _ => speaks(heard),
    }
}

fn promises_formats(heard: &[u8]) -> Vec<Vec<u8>> {
    match heard[0] {
        2 => vec![vec![2, 255, 255, 255, 255, 0, 0, 0, 0]],
        _ => speaks(heard),
    }
}

fn changes_to_none(heard: &[u8]) -> Vec<Vec<u8>> {
    match heard[0] {
        3 => vec![vec![4, 0, 0, 0, 0], vec![7, 200, 0, 0, 0], vec![6, 1, 0]],
        _ => speaks(heard),
    }
}

#[test]
fn the_microphone_is_asked_for_only_when_it_is_wanted_and_can_be_given_back() {
    for rate in [48_000, 44_100] {
        let (channel, heard) = Channel::new("AUDIO_INPUT", speaks);
        let mut pair = connect(Some(channel), None);
        pair.session.permit_sound(SoundRight::Both);
        pair.start();
        assert!(pair.session.has_microphone());
        assert!(heard.lock().unwrap().is_empty());
        let mut out = Vec::new();
        pair.session.open_microphone(rate, &mut out);
        pair.deliver(&out);
        let events = take_sound(&mut pair);
        let expected = Pcm {
            // It changes to the first format itself.
            rate: 48_000,
            samples: Arc::from([1, 1, 2, 2]),
        };
        let [SoundEvent::MicrophoneOpen { .. }, SoundEvent::Microphone(pcm)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(*pcm, expected);
        let open = heard
            .lock()
            .unwrap()
            .iter()
            .rfind(|message| message[0] == 3)
            .cloned()
            .expect("an open");
        assert_eq!(open[1..5], (rate / 50).to_le_bytes());
        assert_eq!(open[13..17], rate.to_le_bytes());
        let mut out = Vec::new();
        pair.session.close_microphone(&mut out);
        pair.deliver(&out);
        assert!(take_sound(&mut pair).is_empty(), "what we closed is no refusal");
    }
}

#[test]
fn a_microphone_that_cannot_be_is_refused_by_name_and_the_session_goes_on() {
    let cases: [(Answers, SoundRefusal); 4] = [
        (says_no, SoundRefusal::MicrophoneDenied { code: 0x8007_0005 }),
        (has_absurd_formats, SoundRefusal::NoMicrophoneFormat),
        (promises_formats, SoundRefusal::Malformed("list of microphone formats")),
        (changes_to_none, SoundRefusal::NoMicrophoneFormat),
    ];
    for (answers, expected) in cases {
        let (channel, _) = Channel::new("AUDIO_INPUT", answers);
        let mut pair = connect(Some(channel), None);
        pair.session.permit_sound(SoundRight::Both);
        pair.start();
        let mut out = Vec::new();
        pair.session.open_microphone(48_000, &mut out);
        pair.deliver(&out);
        let events = take_sound(&mut pair);
        let refused = |event: &SoundEvent| matches!(event, SoundEvent::MicrophoneRefused(r) if *r == expected);
        assert!(events.iter().any(refused), "{events:?} instead of {expected}");
        assert!(pair.take_writer().is_some(), "its pictures go on");
    }
}

#[test]
fn a_client_without_a_microphone_channel_says_so() {
    let mut pair = connect(None, None);
    pair.session.permit_sound(SoundRight::Both);
    pair.start();
    let mut out = Vec::new();
    pair.session.open_microphone(48_000, &mut out);
    pair.deliver(&out);
    let events = take_sound(&mut pair);
    let [SoundEvent::MicrophoneRefused(SoundRefusal::ChannelClosed)] = &events[..] else {
        panic!("{events:?}");
    };
}
