//! The protocol of streams, both directions: bytes in pieces become messages that are refused, stepped over, or
//! understood and written as the same.

use rdpmux_streams::frame::{HEADER, MAX_PAYLOAD};
use rdpmux_streams::{Frame, Splitter, ToClient, ToServer};

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else {
        return;
    };
    let mut splitter = Splitter::default();
    splitter.set_limit(u32::from(*piece) << 10);
    for part in data.chunks(usize::from(*piece) + 1) {
        splitter.feed(part);
        loop {
            match splitter.next_frame() {
                Ok(Some(frame)) => check(&frame),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(splitter.waiting() < HEADER + MAX_PAYLOAD as usize);
    }
    // Without the lengths, which a fuzzer seldom gets right.
    if let Some(([kind, flags, stream], payload)) = data.split_first_chunk() {
        let stream = u16::from(*stream);
        check(&Frame {
            kind: *kind,
            flags: *flags,
            stream,
            payload,
        });
    }
}

fn check(frame: &Frame<'_>) {
    let mut written = Vec::new();
    if let Ok(Some(message)) = ToServer::decode(frame) {
        message.encode(&mut written);
        assert_eq!(ToServer::decode(&only(&written)), Ok(Some(message)));
    }
    let mut written = Vec::new();
    if let Ok(Some(message)) = ToClient::decode(frame) {
        message.encode(&mut written);
        assert_eq!(ToClient::decode(&only(&written)), Ok(Some(message)));
    }
}

/// The one frame in `bytes`, which says its own length.
fn only(bytes: &[u8]) -> Frame<'_> {
    let length = u32::from_le_bytes(bytes[4..HEADER].try_into().expect("4 bytes"));
    assert_eq!(length as usize, bytes.len() - HEADER);
    Frame {
        kind: bytes[0],
        flags: bytes[1],
        stream: u16::from_le_bytes([bytes[2], bytes[3]]),
        payload: &bytes[HEADER..],
    }
}
