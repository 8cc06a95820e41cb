//! A socket of protocol 6, both directions: bytes in pieces become messages that are refused, or understood and written
//! as the same.

use rdpmux_wire::v6::{Splitter, ToDaemon, ToGuest};

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else {
        return;
    };
    let mut splitter = Splitter::default();
    for part in data.chunks(usize::from(*piece) + 1) {
        splitter.feed(part);
        loop {
            match splitter.next_message() {
                Ok(Some(body)) => check(body),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(splitter.waiting() <= data.len());
    }
    // Without the lengths, which a fuzzer seldom gets right.
    check(data);
}

fn check(body: &[u8]) {
    if let Ok(message) = ToDaemon::decode(body) {
        let mut written = Vec::new();
        message.encode(&mut written);
        assert_eq!(ToDaemon::decode(&written[4..]), Ok(message));
    }
    if let Ok(message) = ToGuest::decode(body) {
        let mut written = Vec::new();
        message.encode(&mut written);
        assert_eq!(ToGuest::decode(&written[4..]), Ok(message));
    }
}
