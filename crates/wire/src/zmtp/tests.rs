use super::*;

/// What libzmq 4.3.4 sends as a DEALER without identity, captured from its socket.
fn libzmq_dealer() -> Vec<u8> {
    let mut bytes = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1];
    bytes.extend_from_slice(b"NULL");
    bytes.resize(64, 0);
    bytes.extend_from_slice(b"\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00");
    bytes
}

fn exchange(a: &mut Connection, b: &mut Connection) {
    loop {
        let (from_a, from_b) = (a.take_output(), b.take_output());
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        b.feed(&from_a).expect("what a says");
        a.feed(&from_b).expect("what b says");
    }
}

#[test]
fn both_roles_shake_hands_and_keep_what_was_sent_before() {
    let mut router = Connection::new(Role::Router, b"");
    let mut dealer = Connection::new(Role::Dealer, b"me");
    dealer.send(&[b"uuid", b"data"]);
    assert!(!dealer.is_ready());
    exchange(&mut router, &mut dealer);
    assert!(dealer.is_ready() && router.is_ready());
    assert_eq!(router.peer_identity(), b"me");
    assert_eq!(router.next_message(), Some(vec![b"uuid".to_vec(), b"data".to_vec()]));
    assert_eq!(router.next_message(), None);
    let long = vec![7; 60_000];
    router.send(&[b"uuid", &long, b""]);
    exchange(&mut router, &mut dealer);
    assert_eq!(dealer.next_message(), Some(vec![b"uuid".to_vec(), long, Vec::new()]));
}

#[test]
fn a_real_dealer_is_understood_byte_by_byte() {
    let mut router = Connection::new(Role::Router, b"");
    let mut bytes = libzmq_dealer();
    bytes.extend_from_slice(b"\x01\x04uuid\x00\x02\x91\x06");
    for byte in bytes {
        router.feed(&[byte]).expect("a real peer");
    }
    assert!(router.is_ready());
    assert_eq!(router.next_message(), Some(vec![b"uuid".to_vec(), vec![0x91, 6]]));
}

#[test]
fn a_ping_is_answered_with_its_context() {
    let mut router = Connection::new(Role::Router, b"");
    router.feed(&libzmq_dealer()).expect("a real peer");
    router.take_output();
    router.feed(b"\x04\x0a\x04PING\x00\x0aabc").expect("a ping");
    assert_eq!(router.take_output(), b"\x04\x08\x04PONGabc");
}

#[test]
fn peers_that_cannot_be_served_are_told_apart() {
    let after = |bytes: &[u8]| Connection::new(Role::Router, b"").feed(bytes).expect_err("refused");
    assert_eq!(after(b"GET / HTTP"), ZmtpError::Signature(b'G'));
    // ZMTP 1: the length and flags of an identity.
    assert_eq!(after(&[1, 0]), ZmtpError::Signature(1));
    assert_eq!(after(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 1]), ZmtpError::Version(1));
    let mut curve = libzmq_dealer();
    curve[12..17].copy_from_slice(b"CURVE");
    assert_eq!(after(&curve), ZmtpError::Mechanism("CURVE".to_owned()));
    let mut publisher = libzmq_dealer();
    let at = publisher
        .windows(6)
        .position(|part| part == b"DEALER")
        .expect("its type");
    publisher[at..at + 6].copy_from_slice(b"XPUBXX");
    assert_eq!(after(&publisher), ZmtpError::SocketType("XPUBXX".to_owned()));
    let greeting = &libzmq_dealer()[..64];
    assert_eq!(
        after(&[greeting, b"\x04\x08\x05ERROR\x01x"].concat()),
        ZmtpError::Refused("x".to_owned())
    );
    assert_eq!(
        after(&[greeting, b"\x04\x0a\x09SUBSCRIBE"].concat()),
        ZmtpError::Command("SUBSCRIBE".to_owned())
    );
    assert_eq!(
        after(&[greeting, b"\x04\x09\x05READY\xFFab"].concat()),
        ZmtpError::Ready
    );
    assert!(matches!(
        after(&[greeting, b"\x00\x00"].concat()),
        ZmtpError::Command(_)
    ));
}

#[test]
fn frames_are_bounded_before_they_arrive() {
    let after = |bytes: &[u8]| {
        let mut router = Connection::new(Role::Router, b"");
        router.feed(&libzmq_dealer()).expect("a real peer");
        router.feed(bytes).map(|()| router.input.len())
    };
    let too_long = [&[2][..], &u64::MAX.to_be_bytes()].concat();
    assert_eq!(after(&too_long), Err(ZmtpError::TooLong(u64::MAX)));
    assert_eq!(after(&[0x80, 0]), Err(ZmtpError::Flags(0x80)));
    assert_eq!(after(&[5, 0]), Err(ZmtpError::Flags(5)));
    assert_eq!(after(&[1, 0].repeat(PARTS + 1)), Err(ZmtpError::TooManyParts));
    // The rest of a frame is kept, and no more.
    let part = [&[2][..], &(FRAME as u64).to_be_bytes(), &[0; 100]].concat();
    assert_eq!(after(&part), Ok(109));
}
