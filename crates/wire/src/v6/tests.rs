use super::*;
use crate::{MessageError, Uuid36};

fn uuid() -> Uuid36 {
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff".parse().expect("a uuid")
}

fn to_daemon() -> Vec<ToDaemon> {
    vec![
        ToDaemon::Hello {
            uuid: uuid(),
            features: Features::CLIPBOARD.with(Features::SIZE),
        },
        ToDaemon::Surface {
            head: 15,
            format: crate::format::X8R8G8B8,
            width: 8192,
            height: 4320,
            stride: 32_768,
            offset: 1 << 40,
            size: 1 << 33,
        },
        ToDaemon::Update {
            head: 0,
            serial: u32::MAX,
            rectangles: (0..RECTANGLES as u32).map(|n| [n, 2, 300, 70_000]).collect(),
        },
        ToDaemon::Cursor {
            head: 1,
            width: 200,
            height: 100,
            hot_x: 3,
            hot_y: 4,
            bgra: vec![9; 80_000],
        },
        ToDaemon::Leds { lit: lock::CAPS },
        ToDaemon::MouseMode { absolute: false },
        ToDaemon::HeadGone { head: 2 },
        ToDaemon::SoundFormat { rate: 48_000 },
        ToDaemon::SoundData { samples: vec![1; 400] },
        ToDaemon::SoundVolume { left: 65_535, right: 0 },
        ToDaemon::Recording { rate: 16_000 },
        ToDaemon::Shutdown,
        ToDaemon::ClipboardOffer(Offer {
            serial: 7,
            has_text: true,
        }),
        ToDaemon::ClipboardRequest { serial: 8 },
        ToDaemon::ClipboardData(Content {
            serial: 9,
            text: Some("ä".repeat(100_000)),
        }),
    ]
}

fn to_guest() -> Vec<ToGuest> {
    vec![
        ToGuest::Welcome {
            features: Features::SOUND,
        },
        ToGuest::Complete {
            head: 3,
            serial: 70_000,
            success: true,
            rate: 60,
        },
        ToGuest::Key {
            qnum: 0xC6,
            down: false,
        },
        ToGuest::Unicode { character: '🖥' },
        ToGuest::Pointer {
            head: 0,
            x: 8191,
            y: 0,
            buttons: button::SIDE | button::EXTRA,
        },
        ToGuest::Relative {
            head: 0,
            dx: -1,
            dy: i32::MIN,
            buttons: 0,
        },
        ToGuest::Wheel {
            head: 0,
            vertical: -120,
            horizontal: 30,
        },
        ToGuest::Locks { on: lock::NUM },
        ToGuest::Size {
            head: 1,
            x: 1920,
            y: 0,
            width: 1280,
            height: 1024,
            width_mm: 0,
            height_mm: 300,
        },
        ToGuest::MicrophoneData {
            rate: 48_000,
            samples: vec![2; 960 * 4],
        },
        ToGuest::ClipboardOffer(Offer {
            serial: 1,
            has_text: false,
        }),
        ToGuest::ClipboardRequest { serial: 2 },
        ToGuest::ClipboardData(Content { serial: 3, text: None }),
    ]
}

#[test]
fn each_message_comes_back_whatever_way_its_bytes_are_cut() {
    let mut bytes = Vec::new();
    to_daemon().iter().for_each(|message| message.encode(&mut bytes));
    for piece in [1, 7, 4096, bytes.len()] {
        let (mut splitter, mut read) = (Splitter::default(), Vec::new());
        for part in bytes.chunks(piece) {
            splitter.feed(part);
            while let Some(body) = splitter.next_message().expect("good lengths") {
                read.push(ToDaemon::decode(body).expect("a message"));
            }
        }
        assert_eq!(read, to_daemon(), "in pieces of {piece}");
        assert_eq!(splitter.waiting(), 0);
    }
    let (mut bytes, mut splitter) = (Vec::new(), Splitter::default());
    to_guest().iter().for_each(|message| message.encode(&mut bytes));
    splitter.feed(&bytes);
    for message in to_guest() {
        let body = splitter.next_message().expect("a good length").expect("a message");
        assert_eq!(ToGuest::decode(body), Ok(message));
    }
}

#[test]
fn only_bulk_messages_may_be_long() {
    let after = |length: u32, body: &[u8]| {
        let mut splitter = Splitter::default();
        splitter.feed(&[&length.to_le_bytes(), body].concat());
        splitter.next_message().map(|body| body.map(<[u8]>::len))
    };
    assert_eq!(
        after(u32::MAX, &[]),
        Err(MessageError::TooLong {
            given: u32::MAX.into(),
            limit: LONG,
        })
    );
    let body = |kind: u8| [&[0x92, kind][..], &[0; 14]].concat();
    // An update of a megabyte is refused when its first bytes are there, a text is waited for.
    assert_eq!(
        after(1 << 20, &body(18)),
        Err(MessageError::TooLong {
            given: 1 << 20,
            limit: SHORT,
        })
    );
    assert_eq!(after(1 << 20, &body(34)), Ok(None));
    assert_eq!(after(1 << 20, &[0x92]), Ok(None));
}

#[test]
fn values_that_cannot_be_are_refused_by_name() {
    let field = |kind, field| Err(MessageError::Field { kind, field });
    // Another version; a uuid that is none.
    assert_eq!(ToDaemon::decode(&[0x94, 16, 5, 0xA0, 0]), field(16, "version"));
    assert_eq!(ToDaemon::decode(&[0x94, 16, 6, 0xA1, b'x', 0]), field(16, "uuid"));
    // Head 16; a pointer with too few pixels; half a sample; half a character.
    assert_eq!(ToDaemon::decode(&[0x92, 22, 16]), field(22, "head"));
    assert_eq!(
        ToDaemon::decode(&[0x97, 19, 0, 1, 1, 0, 0, 0xC4, 3, 0, 0, 0]),
        field(19, "pixels")
    );
    assert_eq!(ToDaemon::decode(&[0x92, 24, 0xC4, 2, 0, 0]), field(24, "samples"));
    assert_eq!(ToDaemon::decode(&[0x93, 34, 1, 0xA1, 0xC3]), field(34, "text"));
    assert_eq!(
        ToGuest::decode(&[0x92, 51, 0xCD, 0xD8, 0]).err(),
        field(51, "character").err()
    );
    // Rectangles that are not whole, none, or 65 of them.
    for values in [5, 2, 2 + 4 * 65] {
        let mut bytes = vec![0xDC, 0, 0, 18];
        bytes[1..3].copy_from_slice(&(values as u16 + 1).to_be_bytes());
        bytes.resize(4 + values, 0);
        let count = MessageError::Count {
            kind: 18,
            given: values as u32 + 1,
        };
        assert_eq!(ToDaemon::decode(&bytes), Err(count));
    }
    // Types of the other direction and of protocol 5.
    for kind in [1, 15, 48, 127] {
        assert_eq!(ToDaemon::decode(&[0x91, kind]), Err(MessageError::Kind(kind.into())));
    }
}
