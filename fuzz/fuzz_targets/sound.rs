//! Whatever a client says on the channels of sound and microphone, which it has opened. Nothing there ends a session.

use crate::client;

use client::{CLIENT, send_data, whole};
use rdpmux_model::{SoundFormat, SoundRight};
use rdpmux_rdp::{Session, SessionEvent, SoundEvent};

const DRDYNVC: u16 = 1004;

struct Client {
    session: Session,
    out: Vec<u8>,
    events: Vec<SessionEvent>,
}

impl Client {
    fn connect() -> Self {
        let mut session = client::session(CLIENT);
        let (mut events, mut out) = (Vec::new(), Vec::new());
        session.permit_sound(SoundRight::Both);
        session.start(&mut events, &mut out);
        assert!(session.has_microphone());
        Self { session, out, events }
    }

    /// A message of the client's on `drdynvc`.
    fn say(&mut self, message: &[u8]) {
        self.out.clear();
        let pdu = send_data(DRDYNVC, &whole(message));
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

/// One input.
pub fn fuzz(data: &[u8]) {
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
}
