use super::*;
use crate::wire;

const CHANNEL_ID: u16 = 1005;

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// A started channel whose client has these capabilities.
fn open(flags: u32) -> Clipboard {
    let mut clipboard = Clipboard::new(CHANNEL_ID);
    clipboard.is_started = true;
    let mut body = vec![1, 0, 0, 0, 1, 0, 12, 0];
    body.extend_from_slice(&2u32.to_le_bytes());
    body.extend_from_slice(&flags.to_le_bytes());
    assert!(feed(&mut clipboard, &message(pdu::CAPABILITIES, 0, &body)).is_empty());
    clipboard
}

fn chunks(message: &[u8]) -> Vec<Vec<u8>> {
    let mut framed = Vec::new();
    wire::static_channel(&mut framed, CHANNEL_ID, message);
    let mut chunks = Vec::new();
    let mut rest = &framed[..];
    while let Some(pdu) = wire::next_pdu(rest).expect("our own framing") {
        chunks.push(pdu[15..].to_vec());
        rest = &rest[pdu.len()..];
    }
    chunks
}

fn feed(clipboard: &mut Clipboard, message: &[u8]) -> Vec<ClipboardEvent> {
    let mut events = Vec::new();
    for chunk in chunks(message) {
        clipboard.chunk(&chunk, &mut events);
    }
    let words = events.into_iter().map(|event| match event {
        SessionEvent::Clipboard(event) => event,
        other => panic!("{other:?}"),
    });
    words.collect()
}

/// Types and flags of what waits to be sent.
fn sent(clipboard: &mut Clipboard) -> Vec<(u16, u16)> {
    let mut out = Vec::new();
    clipboard.outgoing.fill(CHANNEL_ID, usize::MAX / 2, &mut out);
    let mut heads = Vec::new();
    let mut rest = &out[..];
    while let Some(pdu) = wire::next_pdu(rest).expect("our own framing") {
        let mut r = Reader(&pdu[15..]);
        let (_, flags) = (r.u32(), r.u32());
        if flags.is_some_and(|flags| flags & 1 != 0) {
            let (kind, flags, _) = pdu::header(&mut r).expect("a header");
            heads.push((kind, flags));
        }
        rest = &rest[pdu.len()..];
    }
    heads
}

fn long_list(count: u32) -> Vec<u8> {
    let body: Vec<u8> = (0..count)
        .flat_map(|i| (0xC000 + i).to_le_bytes().into_iter().chain([0, 0]))
        .collect();
    message(pdu::FORMAT_LIST, 0, &body)
}

#[test]
fn lists_with_long_and_short_names_are_read_and_acknowledged() {
    let text = [13, 0, 0, 0, 0, 0];
    let html = [0x10, 0xD0, 0, 0, b'H', 0, b'T', 0, 0, 0];
    let copied = |formats| {
        vec![ClipboardEvent::Copied {
            formats,
            crossed: false,
        }]
    };
    let named = |name: &str| ClipboardFormat {
        id: 0xD010,
        name: Some(name.to_owned()),
    };
    let mut clipboard = open(pdu::LONG_NAMES);
    let events = feed(
        &mut clipboard,
        &message(pdu::FORMAT_LIST, 0, &[&text[..], &html].concat()),
    );
    assert_eq!(events, copied(vec![ClipboardFormat::numbered(13), named("HT")]));
    assert_eq!(sent(&mut clipboard), [(pdu::FORMAT_LIST_RESPONSE, 1)]);

    let mut clipboard = open(0);
    let mut short = 0xD010u32.to_le_bytes().to_vec();
    short.extend_from_slice(b"HTML Format\0");
    short.resize(36, 0);
    assert_eq!(
        feed(&mut clipboard, &message(pdu::FORMAT_LIST, 4, &short)),
        copied(vec![named("HTML Format")])
    );
}

#[test]
fn a_list_that_crossed_ours_is_marked_once() {
    let mut clipboard = open(pdu::LONG_NAMES);
    clipboard.announcing = true;
    let is_crossed = |events: Vec<ClipboardEvent>| matches!(events[..], [ClipboardEvent::Copied { crossed: true, .. }]);
    assert!(is_crossed(feed(&mut clipboard, &long_list(1))));
    assert!(!is_crossed(feed(&mut clipboard, &long_list(1))));
    clipboard.announcing = true;
    feed(&mut clipboard, &message(pdu::FORMAT_LIST_RESPONSE, 1, &[]));
    assert!(!is_crossed(feed(&mut clipboard, &long_list(1))));
}

#[test]
fn ten_thousand_formats_are_refused_by_name_and_the_next_list_is_taken() {
    let mut clipboard = open(pdu::LONG_NAMES);
    let events = feed(&mut clipboard, &long_list(10_000));
    assert_eq!(
        events,
        [ClipboardEvent::Refused(ClipboardRefusal::TooManyFormats {
            announced: 10_000
        })]
    );
    let far_too_many = feed(&mut clipboard, &long_list(100_000));
    assert!(matches!(
        far_too_many[..],
        [ClipboardEvent::Refused(ClipboardRefusal::Oversized {
            announced: 600_008,
            ..
        })]
    ));
    assert_eq!(
        sent(&mut clipboard),
        [(pdu::FORMAT_LIST_RESPONSE, 2), (pdu::FORMAT_LIST_RESPONSE, 2)]
    );
    assert!(matches!(
        feed(&mut clipboard, &long_list(3))[..],
        [ClipboardEvent::Copied { .. }]
    ));
}

#[test]
fn announced_gigabytes_cost_nothing_and_fail_the_question() {
    let mut clipboard = open(pdu::LONG_NAMES);
    clipboard.questions.push_back(Question { id: 7, limit: 1000 });
    let mut bomb = u32::MAX.to_le_bytes().to_vec();
    bomb.extend_from_slice(&1u32.to_le_bytes());
    bomb.extend_from_slice(&message(pdu::DATA_RESPONSE, 1, &[0; 100]));
    let mut events = Vec::new();
    clipboard.chunk(&bomb, &mut events);
    let is_failed = matches!(
        events[..],
        [
            SessionEvent::Clipboard(ClipboardEvent::Data { token: 7, data: None }),
            SessionEvent::Clipboard(ClipboardEvent::Refused(ClipboardRefusal::Oversized {
                announced: 0xFFFF_FFFF,
                ..
            }))
        ]
    );
    assert!(is_failed, "{events:?}");
    let unasked = feed(&mut clipboard, &message(pdu::DATA_RESPONSE, 1, b"unasked"));
    assert_eq!(unasked, [ClipboardEvent::Refused(ClipboardRefusal::Unasked)]);
}

#[test]
fn answers_are_matched_in_order_and_by_stream() {
    let mut clipboard = open(pdu::LONG_NAMES | pdu::FILES);
    for (id, limit) in [(1, 100), (2, 4), (3, 100)] {
        clipboard.questions.push_back(Question { id, limit });
    }
    let mut answer = |flags, body: &[u8]| feed(&mut clipboard, &message(pdu::DATA_RESPONSE, flags, body));
    let data = |token, data: Option<&'static [u8]>| {
        [ClipboardEvent::Data {
            token,
            data: data.map(Bytes::from_static),
        }]
    };
    assert_eq!(answer(1, b"first"), data(1, Some(b"first")));
    assert_eq!(answer(1, b"too long"), data(2, None));
    assert_eq!(answer(2, b""), data(3, None));
    for (id, limit) in [(8, 8), (9, 2)] {
        clipboard.file_questions.push(Question { id, limit });
    }
    let mut answer = |body: &[u8]| feed(&mut clipboard, &message(pdu::FILE_RESPONSE, 1, body));
    let file = |stream, data: Option<&'static [u8]>| {
        [ClipboardEvent::FileData {
            stream,
            data: data.map(Bytes::from_static),
        }]
    };
    assert_eq!(answer(&[9, 0, 0, 0, 1, 2, 3]), file(9, None));
    assert_eq!(answer(&[8, 0, 0, 0, 1, 2, 3]), file(8, Some(&[1, 2, 3])));
    assert_eq!(
        answer(&[8, 0, 0, 0]),
        [ClipboardEvent::Refused(ClipboardRefusal::Unasked)]
    );
}

#[test]
fn what_does_not_decode_is_refused_by_name() {
    let mut clipboard = open(pdu::LONG_NAMES);
    let mut lie = message(pdu::DATA_REQUEST, 0, &[1, 0, 0, 0]);
    lie[4] = 200;
    let cut_name = message(pdu::FORMAT_LIST, 0, &[13, 0, 0, 0, b'x', 0]);
    for (message, name) in [
        (lie, ClipboardRefusal::Malformed("length")),
        (vec![1], ClipboardRefusal::Malformed("header")),
        (cut_name, ClipboardRefusal::Malformed("format name")),
        (message(99, 0, &[]), ClipboardRefusal::Unknown(99)),
        (
            message(pdu::FILE_REQUEST, 0, &[0; 24]),
            ClipboardRefusal::Malformed("file contents request"),
        ),
    ] {
        assert_eq!(feed(&mut clipboard, &message), [ClipboardEvent::Refused(name)]);
    }
}

#[test]
fn requests_for_files_keep_their_64_bit_positions_and_locks() {
    let request = FileRequest {
        stream: 3,
        index: 1,
        part: FilePart::Range {
            position: 0x1_0000_0002,
            length: 4096,
        },
        lock: Some(77),
    };
    let mut clipboard = open(pdu::LONG_NAMES | pdu::FILES | pdu::LOCKS);
    let wire = pdu::file_contents_request(&request);
    assert_eq!(feed(&mut clipboard, &wire), [ClipboardEvent::FileWanted(request)]);
}
