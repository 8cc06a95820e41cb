//! Test vectors of every message, which docs/streams.md shows in part, and what peers may not send.

use super::*;
use crate::frame::{HEADER, MAX_PAYLOAD, MIN_PAYLOAD};

fn text(text: &str) -> Text<'_> {
    Text::new(text).expect("a valid text")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame {
        kind: bytes[0],
        flags: bytes[1],
        stream: u16::from_le_bytes([bytes[2], bytes[3]]),
        payload: &bytes[HEADER..],
    }
}

fn to_server() -> Vec<(ToServer<'static>, &'static str)> {
    let (stream, request) = (0x0102, 7);
    vec![
        (
            ToServer::Hello {
                major: 1,
                minor: 0,
                caps: 0,
                max_frame: 65536,
                client: text("t 1"),
                vm: text("web1"),
            },
            "0100000017000000010000000000000000000100030074203104 0077656231",
        ),
        (ToServer::List { follow: true }, "020000000100000001"),
        (
            ToServer::Open {
                request,
                mode: Mode::Write,
                replay: Replay::From(0x1_0000_0001),
                credit: 0x1_0000,
                name: text("serial0"),
            },
            "030000001d00000007000000010200000100000001000000000001000700 73657269616c30",
        ),
        (ToServer::Close { stream }, "0400020100000000"),
        (ToServer::Data { stream, bytes: b"ls\r" }, "05000201030000006c730d"),
        (ToServer::Credit { stream, add: 4096 }, "060002010400000000100000"),
        (
            ToServer::Writer {
                stream,
                wish: Wish::TakeOver,
            },
            "070002010100000001",
        ),
        (ToServer::Break { stream, ms: 250 }, "0800020102000000fa00"),
        (
            ToServer::Size {
                stream,
                columns: 80,
                rows: 25,
            },
            "090002010400000050001900",
        ),
        (
            ToServer::History {
                request,
                from: 5,
                max: 1 << 20,
                name: text("a"),
            },
            "0a000000130000000700000005000000000000000000100001 0061",
        ),
        (ToServer::Ping(1), "0f000000080000000100000000000000"),
        (ToServer::Pong(2), "8f000000080000000200000000000000"),
    ]
}

fn to_client() -> Vec<(ToClient<'static>, &'static str)> {
    let (stream, request, key) = (0x0102, 7, 3);
    let entry = Entry {
        key,
        kind: Kind::Serial,
        rights: Rights::WATCH.with(Rights::WRITE),
        state: State::Open,
        total: 300,
        oldest: 0,
        watchers: 2,
        size: (80, 25),
        name: text("serial0"),
        title: text(""),
        writer: text("bob"),
    };
    let entry_hex =
        "2e00000003000000010301002c0100000000000000000000000000000200500019000700 73657269616c30 0000 0300626f62";
    vec![
        (
            ToClient::Welcome {
                major: 1,
                minor: 0,
                caps: 0,
                max_frame: 65536,
                max_open: 16,
                session: *b"0123456789abcdef",
                vm: text("web1"),
                principal: text("root"),
            },
            "810000002c00000001000000000000000000010010000000 30313233343536373839616263646566 0400 77656231 0400 726f6f74",
        ),
        (
            ToClient::Added(entry.clone()),
            Box::leak(format!("82000000{entry_hex}").into_boxed_str()),
        ),
        (
            ToClient::Changed(entry),
            Box::leak(format!("84000000{entry_hex}").into_boxed_str()),
        ),
        (
            ToClient::Removed {
                key,
                why: Removal::Unplugged,
            },
            "83000000050000000300000001",
        ),
        (ToClient::ListEnd { count: 1 }, "850000000400000001000000"),
        (
            ToClient::Opened {
                stream,
                request,
                mode: Mode::Write,
                size: (0, 0),
                offset: 9,
                credit: 4096,
            },
            "8600020118000000070000000100000000000000090000000000000000100000",
        ),
        (
            ToClient::Failed {
                request,
                code: ErrorCode::NoSuchStream,
                text: text("no"),
            },
            "870000000a00000007000000040002006e6f",
        ),
        (
            ToClient::Closed {
                stream,
                code: None,
                offset: 9,
                text: text(""),
            },
            "880002010c000000000009000000000000000000",
        ),
        (
            ToClient::Data {
                stream,
                is_replay: true,
                offset: 9,
                bytes: b"hi",
            },
            "890102010a00000009000000000000006869",
        ),
        (ToClient::Credit { stream, add: 1 }, "8a0002010400000001000000"),
        (
            ToClient::Writer {
                stream,
                writer: Writer::Other,
                who: text("al"),
            },
            "8b000201050000000202 00616c",
        ),
        (
            ToClient::Gap {
                stream,
                from: 1,
                to: 2,
                why: GapCause::Slow,
            },
            "8c000201110000000100000000000000020000000000000001",
        ),
        (
            ToClient::Event {
                stream,
                what: Event::Break,
                at: 1,
            },
            "8d00020109000000060100000000000000",
        ),
        (
            ToClient::History {
                request,
                from: 1,
                is_last: true,
                bytes: b"x",
            },
            "8e0000000e00000007000000010000000000000001 78",
        ),
        (ToClient::Ping(1), "0f000000080000000100000000000000"),
        (ToClient::Pong(2), "8f000000080000000200000000000000"),
        (
            ToClient::Error {
                code: ErrorCode::Version,
                text: text(""),
            },
            "ff0000000400000001000000",
        ),
    ]
}

#[test]
fn messages_of_clients_are_as_the_document_says() {
    for (message, vector) in to_server() {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(hex(&bytes), vector.replace(' ', ""), "{message:?}");
        assert_eq!(ToServer::decode(&frame(&bytes)), Ok(Some(message)));
    }
}

#[test]
fn messages_of_the_daemon_are_as_the_document_says() {
    for (message, vector) in to_client() {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(hex(&bytes), vector.replace(' ', ""), "{message:?}");
        assert_eq!(ToClient::decode(&frame(&bytes)), Ok(Some(message)));
    }
}

#[test]
fn a_message_that_ends_too_early_is_malformed_and_one_that_is_longer_is_not() {
    // Whatever is shorter than these messages may be shorter still: their last field is the rest.
    let ends_in_bytes = |kind: u8| matches!(kind, 0x04 | 0x05 | 0x89 | 0x8e);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let (servers, clients) = (to_server(), to_client());
    for (message, _) in &servers {
        frames.push(Vec::new());
        message.encode(frames.last_mut().expect("just pushed"));
    }
    let count = frames.len();
    for (message, _) in &clients {
        frames.push(Vec::new());
        message.encode(frames.last_mut().expect("just pushed"));
    }
    for (index, bytes) in frames.iter().enumerate() {
        let decode = |bytes: &[u8]| {
            if index < count {
                ToServer::decode(&frame(bytes)).map(|message| message.is_some())
            } else {
                ToClient::decode(&frame(bytes)).map(|message| message.is_some())
            }
        };
        let malformed = Err(WireError::Malformed(bytes[0]));
        if ends_in_bytes(bytes[0]) {
            continue;
        }
        for end in HEADER..bytes.len() {
            assert_eq!(decode(&bytes[..end]), malformed, "{} bytes of {}", end, hex(bytes));
        }
        assert_eq!(decode(&[bytes, &b"more"[..]].concat()), Ok(true));
    }
}

#[test]
fn values_without_a_meaning_are_malformed() {
    for vector in [
        // A mode, a replay, no name, a name with a control character, a name that is no UTF-8.
        "030000001700000007000000030000000000000000000000000000000100 61",
        "030000001700000007000000000300000000000000000000000000000100 61",
        "030000001600000007000000000000000000000000000000000000000000",
        "030000001700000007000000000000000000000000000000000000000100 0a",
        "030000001700000007000000000000000000000000000000000000000100 ff",
        // Data for the connection, a list for a stream, a flag of 2.
        "050000000100000061",
        "020001000100000001",
        "020000000100000002",
        // A terminal without rows, a history of 2 MiB, a limit that nobody can live with.
        "090002010400000050000000",
        "0a00000013000000070000000500000000000000000020000100 61",
        "01000000100000000100000000000000ff0f000000000000",
    ] {
        let bytes = unhex(vector);
        assert_eq!(
            ToServer::decode(&frame(&bytes)),
            Err(WireError::Malformed(bytes[0])),
            "{vector}"
        );
    }
}

#[test]
fn later_messages_are_stepped_over_if_they_ask_nothing() {
    let later = Frame {
        kind: 0x41,
        flags: 3,
        stream: 9,
        payload: b"?",
    };
    assert_eq!(ToServer::decode(&later), Ok(None));
    assert_eq!(ToClient::decode(&Frame { kind: 0xc1, ..later }), Ok(None));
    for kind in [0x00, 0x0b, 0x30, 0x81, 0xa0] {
        assert_eq!(
            ToServer::decode(&Frame { kind, ..later }),
            Err(WireError::Unknown(kind))
        );
    }
}

#[test]
fn frames_come_out_whole_however_the_bytes_are_cut() {
    let mut bytes = Vec::new();
    for (message, _) in to_server() {
        message.encode(&mut bytes);
    }
    for piece in [1, 2, 7, 8, 9, 64, bytes.len()] {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for part in bytes.chunks(piece) {
            splitter.feed(part);
            while let Some(frame) = splitter.next_frame().expect("good frames") {
                found.push(hex(frame.payload));
            }
            assert!(splitter.waiting() < HEADER + MIN_PAYLOAD as usize);
        }
        assert_eq!(found.len(), to_server().len(), "pieces of {piece}");
        assert_eq!(splitter.waiting(), 0);
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_there() {
    let header = |length: u32| [&[5, 0, 1, 0][..], &length.to_le_bytes()].concat();
    let refused = |splitter: &mut Splitter| splitter.next_frame().expect_err("too large").code();
    let mut splitter = Splitter::default();
    splitter.feed(&header(MIN_PAYLOAD + 1));
    assert_eq!(refused(&mut splitter), ErrorCode::TooLarge);
    splitter.set_limit(u32::MAX);
    assert_eq!(splitter.next_frame(), Ok(None), "it may come now");
    let mut splitter = Splitter::default();
    splitter.set_limit(u32::MAX);
    splitter.feed(&header(MAX_PAYLOAD + 1));
    assert_eq!(refused(&mut splitter), ErrorCode::TooLarge);
    splitter = Splitter::default();
    splitter.set_limit(0);
    splitter.feed(&header(MIN_PAYLOAD));
    assert_eq!(splitter.next_frame(), Ok(None));
    splitter = Splitter::default();
    splitter.feed(&header(u32::MAX));
    assert_eq!(refused(&mut splitter), ErrorCode::TooLarge);
}

#[test]
fn strings_of_others_can_always_be_said() {
    assert_eq!(Text::cleaned("web1\x1b]0;x\u{7}\n").as_str(), "web1?]0;x??");
    assert_eq!(Text::cleaned("a\u{202e}b").as_str(), "a?b");
    let long = Text::cleaned(&"ä".repeat(200));
    assert_eq!(long.as_str().len(), 254, "cut between characters");
    assert_eq!(Text::new(long.as_str()), Ok(long.clone()));
    assert_eq!(Text::new(&"a".repeat(256)), Err(BadText));
    assert_eq!(Text::new("\u{9b}"), Err(BadText));
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).expect("ascii"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}
