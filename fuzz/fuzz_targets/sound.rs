//! Whatever a client says on the channels of sound and microphone, which it has opened. Nothing there ends a session.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::{Size, SoundFormat, SoundRight};
use rdpmux_rdp::{Coders, Handshake, HandshakeConfig, Session, SessionEvent, SoundEvent, Step};

/// A client with `drdynvc`, sound and microphone, from its GCC exchange to its font list.
static CLIENT: &[u8] = include_bytes!("session_client.bin");
const DRDYNVC: u16 = 1004;

struct Client {
    session: Session,
    out: Vec<u8>,
    events: Vec<SessionEvent>,
}

impl Client {
    fn connect() -> Self {
        let mut handshake = Handshake::new(HandshakeConfig {
            nla: true,
            tls: true,
            coders: Arc::new(|| Coders {
                bulk: Box::new(Zgfx::new()),
                raster: None,
            }),
            video: false,
            surface_codecs: rdpmux_rdp::SurfaceCodecs::default(),
        });
        let (mut data, mut out) = (CLIENT, Vec::new());
        let mut session = loop {
            let (used, step) = handshake.feed(data, &mut out).expect("a recorded client");
            data = &data[used..];
            match step {
                Step::UpgradeTls => handshake.tls_done(),
                Step::ChooseDesktop(_) => handshake.set_desktop(Size::new(800, 600)),
                Step::Established => break handshake.into_session().expect("it is established"),
                step => panic!("{step:?}"),
            }
        };
        let mut events = Vec::new();
        session.permit_sound(SoundRight::Both);
        session.start(&mut events, &mut out);
        assert!(session.has_microphone());
        Self { session, out, events }
    }

    /// A message of the client's on `drdynvc`.
    fn say(&mut self, message: &[u8]) {
        self.out.clear();
        let mut pdu = vec![3, 0, 0, 0, 2, 0xF0, 0x80, 0x64, 0, 1];
        pdu.extend_from_slice(&DRDYNVC.to_be_bytes());
        pdu.push(0x70);
        pdu.extend_from_slice(&((message.len() + 8) as u16 | 0x8000).to_be_bytes());
        pdu.extend_from_slice(&(message.len() as u32).to_le_bytes());
        pdu.extend_from_slice(&3_u32.to_le_bytes());
        pdu.extend_from_slice(message);
        let length = pdu.len() as u16;
        pdu[2..4].copy_from_slice(&length.to_be_bytes());
        let fed = self.session.feed(&pdu, &mut self.events, &mut self.out);
        assert_eq!(fed.expect("sound ends no session"), pdu.len());
    }

    /// The number of the channel that the last answer asks for; it is opened.
    fn open(&mut self, name: &[u8]) -> u8 {
        let at = self
            .out
            .windows(name.len())
            .position(|window| window == name)
            .expect("a request");
        let id = self.out[at - 1];
        self.say(&[0x10, id, 0, 0, 0, 0]);
        id
    }
}

fuzz_target!(|data: &[u8]| {
    let mut client = Client::connect();
    client.say(&[0x50, 0, 2, 0]);
    let sound = client.open(b"AUDIO_PLAYBACK_DVC");
    client.session.open_microphone(48_000, &mut client.out);
    let microphone = client.open(b"AUDIO_INPUT");
    let mut rest = data;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let format = SoundFormat::ALL[usize::from(length) % SoundFormat::ALL.len()];
        let Client { session, out, .. } = &mut client;
        match kind % 8 {
            0..=2 => client.say(&[&[0x30, sound][..], body].concat()),
            3 | 4 => client.say(&[&[0x30, microphone][..], body].concat()),
            5 => drop(session.wave(format, 7, body, out)),
            6 => session.close_microphone(out),
            _ => session.open_microphone(u32::from(length) * 1000, out),
        }
        for event in client.events.drain(..) {
            if let SessionEvent::Sound(SoundEvent::Ready { formats }) = event {
                assert!(!formats.is_empty());
            }
        }
    }
});
