//! Any messages of a client on the clipboard channel, while the server asks, answers and announces: nothing ends the
//! session, and what is put out stays bounded.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::{ClipboardFormat, FilePart, FileRequest, Size};
use rdpmux_rdp::{ClipboardEvent, Coders, Handshake, HandshakeConfig, Session, SessionEvent, Step};

/// A client with `drdynvc`, which is renamed to a client with `cliprdr`.
static CLIENT: &[u8] = include_bytes!("session_client.bin");
const CLIPBOARD: u16 = 1004;
/// Bytes that content may have here.
const LIMIT: usize = 300;

fn session() -> Session {
    let mut client = CLIENT.to_vec();
    let at = client
        .windows(8)
        .position(|name| name == b"drdynvc\0")
        .expect("a recorded client");
    client[at..at + 7].copy_from_slice(b"cliprdr");
    let mut handshake = Handshake::new(HandshakeConfig {
        nla: true,
        tls: true,
        coders: Arc::new(|| Coders {
            bulk: Box::new(Zgfx::new()),
            raster: None,
        }),
        video: false,
        surface_codecs: rdpmux_rdp::SurfaceCodecs {
            nscodec: false,
            qoi: false,
            qoiz: false,
        },
    });
    let (mut data, mut out) = (&client[..], Vec::new());
    loop {
        let (used, step) = handshake.feed(data, &mut out).expect("a recorded client");
        data = &data[used..];
        match step {
            Step::UpgradeTls => handshake.tls_done(),
            Step::ChooseDesktop(_) => handshake.set_desktop(Size::new(800, 600)),
            Step::Established => return handshake.into_session().expect("it is established"),
            step => panic!("{step:?}"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut session = session();
    assert!(session.clipboard_start());
    let (mut events, mut out) = (Vec::new(), Vec::new());
    let mut rest = data;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        let chunk = match kind % 8 {
            0 => body.to_vec(),
            1 => {
                serve(&mut session, body);
                Vec::new()
            }
            2 => whole(&[&[2, 0, 0, 0], &(body.len() as u32).to_le_bytes()[..], body].concat()),
            3 => whole(
                &[
                    &[7, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 12, 0, 2, 0, 0, 0],
                    &[length; 4][..],
                ]
                .concat(),
            ),
            4 => whole(&[&[5, 0, 1, 0], &(body.len() as u32).to_le_bytes()[..], body].concat()),
            _ => whole(body),
        };
        let used = session
            .feed(&send_data(&chunk), &mut events, &mut out)
            .expect("it never ends a session");
        assert!(used > 0);
        for event in events.drain(..) {
            check(&event);
        }
        if kind & 0x80 != 0 {
            session.clipboard_transmit(2000, &mut out);
        }
        assert!(out.len() <= 8000);
        out.clear();
        rest = after;
    }
    while session.clipboard_waits() {
        session.clipboard_transmit(2000, &mut out);
        assert!(out.len() <= 8000);
        out.clear();
    }
});

fn check(event: &SessionEvent) {
    match event {
        SessionEvent::Clipboard(ClipboardEvent::Copied { formats, .. }) => assert!(formats.len() <= 256),
        SessionEvent::Clipboard(ClipboardEvent::Data { data, .. } | ClipboardEvent::FileData { data, .. }) => {
            assert!(data.as_ref().is_none_or(|data| data.len() <= LIMIT));
        }
        SessionEvent::Clipboard(_) => {}
        event => panic!("{event:?}"),
    }
}

/// What the hub does to a client.
fn serve(session: &mut Session, body: &[u8]) {
    let number = |at: usize| u32::from(body.get(at).copied().unwrap_or_default());
    let content = (number(1) & 1 == 0).then(|| body.to_vec().into());
    match number(0) % 6 {
        0 => {
            session.clipboard_fetch(number(1), number(2), LIMIT);
        }
        1 => {
            let length = number(3).min(LIMIT as u32);
            let part = match number(2) & 1 {
                0 => FilePart::Size,
                _ => FilePart::Range {
                    position: u64::MAX,
                    length,
                },
            };
            session.clipboard_fetch_file(FileRequest {
                stream: number(1),
                index: number(4),
                part,
                lock: Some(number(5)),
            });
        }
        2 => session.clipboard_announce(&[ClipboardFormat {
            id: number(1),
            name: Some(String::from_utf8_lossy(body).into_owned()),
        }]),
        3 => session.clipboard_answer(content),
        4 => session.clipboard_answer_file(number(2), content),
        _ => session.clipboard_lock(number(1)),
    }
}

/// One chunk that is a whole message.
fn whole(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes()[..], &3_u32.to_le_bytes(), message].concat()
}

fn send_data(body: &[u8]) -> Vec<u8> {
    let total = 7 + 8 + body.len();
    let mut pdu = vec![3, 0, (total >> 8) as u8, total as u8, 2, 0xF0, 0x80, 25 << 2, 0, 6];
    pdu.extend_from_slice(&CLIPBOARD.to_be_bytes());
    pdu.push(0x70);
    pdu.extend_from_slice(&(0x8000 | body.len() as u16).to_be_bytes());
    pdu.extend_from_slice(body);
    pdu
}
