//! Any messages of a client on the clipboard channel, while the server asks, answers and announces: nothing ends the
//! session, and what is put out stays bounded.

use crate::client;

use client::{CLIENT, send_data, whole};
use rdpmux_model::{ClipboardFormat, FilePart, FileRequest};
use rdpmux_rdp::{ClipboardEvent, Session, SessionEvent};

const CLIPBOARD: u16 = 1004;
/// Bytes that content may have here.
const LIMIT: usize = 300;

/// The client's `drdynvc` is renamed.
fn session() -> Session {
    let mut client = CLIENT.to_vec();
    let at = client
        .windows(8)
        .position(|name| name == b"drdynvc\0")
        .expect("a recorded client");
    client[at..at + 7].copy_from_slice(b"cliprdr");
    client::session(&client)
}

/// One input.
pub fn fuzz(data: &[u8]) {
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
            .feed(&send_data(CLIPBOARD, &chunk), &mut events, &mut out)
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
}

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
