//! Both ends of ZeroMQ's transport: whatever a peer sends is refused or understood, in whatever pieces it comes, and
//! what one end sends the other understands.

use rdpmux_wire::zmtp::{Connection, FRAME, PARTS, Role};

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let role = if choice & 1 == 0 { Role::Router } else { Role::Dealer };
    let peer = if choice & 1 == 0 { Role::Dealer } else { Role::Router };
    let mut connection = Connection::new(role, b"");
    // Half of the inputs start behind a good handshake, or a fuzzer would hardly ever come so far.
    if choice & 2 == 0 {
        connection
            .feed(&Connection::new(peer, b"peer").take_output())
            .expect("a good handshake");
        assert!(connection.is_ready());
    }
    let whole = feed(&mut connection, data, data.len());
    exchange(data);

    // The same in pieces is the same.
    let mut connection = Connection::new(role, b"");
    if choice & 2 == 0 {
        let _ = connection.feed(&Connection::new(peer, b"peer").take_output());
    }
    let pieces = feed(&mut connection, data, usize::from(choice >> 2) + 1);
    assert_eq!(whole, pieces);
}

type Messages = Vec<Vec<Vec<u8>>>;

fn feed(connection: &mut Connection, data: &[u8], piece: usize) -> (Messages, bool) {
    let mut messages = Messages::new();
    for part in data.chunks(piece.max(1)) {
        let result = connection.feed(part);
        // A pong is at most three times a ping.
        assert!(connection.take_output().len() <= 512 + 3 * data.len());
        while let Some(message) = connection.next_message() {
            assert!(message.len() <= PARTS && message.iter().all(|frame| frame.len() <= FRAME));
            messages.push(message);
        }
        if result.is_err() {
            return (messages, false);
        }
    }
    (messages, true)
}

fn exchange(data: &[u8]) {
    let mut router = Connection::new(Role::Router, b"");
    let mut dealer = Connection::new(Role::Dealer, data);
    let parts: Vec<&[u8]> = data.chunks(300).take(PARTS).collect();
    if !parts.is_empty() {
        dealer.send(&parts);
    }
    router.feed(&dealer.take_output()).expect("ours");
    dealer.feed(&router.take_output()).expect("ours");
    router.feed(&dealer.take_output()).expect("ours");
    let expected = (!parts.is_empty()).then(|| parts.iter().map(|part| part.to_vec()).collect());
    assert_eq!(router.next_message(), expected);
}
