//! The front door, byte by byte.

use rdpmux_rdp::front::{self, FrontError, Opening};

/// What FreeRDP 2.11 sends with `/u:alice`.
const REQUEST: &[u8] =
    b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00Cookie: mstshash=alice\r\n\x01\x00\x08\x00\x03\x00\x00\x00";

fn request_with(cookie: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut bytes = vec![3, 0, 0, 0, 0, 0xE0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(cookie);
    bytes.extend_from_slice(tail);
    bytes[3] = bytes.len() as u8;
    bytes[4] = bytes.len() as u8 - 5;
    bytes
}

fn blob(version: u32, id: u32, name: Option<&str>) -> Vec<u8> {
    let mut tail = Vec::new();
    if let Some(name) = name {
        let units: Vec<u16> = name.encode_utf16().chain([0]).collect();
        tail.extend_from_slice(&(units.len() as u16).to_le_bytes());
        units.iter().for_each(|u| tail.extend_from_slice(&u.to_le_bytes()));
    }
    let mut bytes = Vec::new();
    for word in [16 + tail.len() as u32, 0, version, id] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&tail);
    bytes
}

#[test]
fn the_three_openings_are_told_apart() {
    assert_eq!(front::opening(REQUEST), Ok(Some(Opening::ConnectionRequest)));
    assert_eq!(
        front::opening(&blob(2, 0, Some("web1"))),
        Ok(Some(Opening::Preconnection))
    );
    assert_eq!(
        front::opening(&[0x16, 3, 1, 2, 0, 1]),
        Ok(Some(Opening::TlsClientHello))
    );
    for first in [&b""[..], b"\x03", b"\x16\x03", b"\x20\x00"] {
        assert_eq!(front::opening(first), Ok(None), "{first:?}");
    }
    for stranger in [&b"GET / HTTP/1.1"[..], b"SSH-2.0-x", b"\0\0\0\0", b"\x16\x03\x09\0"] {
        assert_eq!(front::opening(stranger), Err(FrontError::NotRdp), "{stranger:?}");
    }
}

#[test]
fn a_request_is_read_only_when_it_is_whole() {
    for length in 0..REQUEST.len() {
        assert_eq!(front::connection_request(&REQUEST[..length]), Ok(None), "{length}");
    }
    let more = [REQUEST, b"more"].concat();
    let (request, used) = front::connection_request(&more).unwrap().unwrap();
    assert_eq!(used, REQUEST.len());
    assert_eq!(request.cookie.as_deref(), Some("alice"));
    assert_eq!(request.routing_token, None);
    let p = request.protocols;
    assert!(p.tls && p.hybrid && !p.hybrid_ex);
}

#[test]
fn cookies_and_tokens_of_all_kinds_are_read() {
    const NEGOTIATION: &[u8] = &[1, 0, 8, 0, 0x0B, 0, 0, 0];
    let read = |cookie: &[u8]| {
        let request = front::connection_request(&request_with(cookie, NEGOTIATION))
            .unwrap()
            .unwrap()
            .0;
        (request.cookie, request.routing_token)
    };
    let text = |s: &str| Some(s.to_owned());
    assert_eq!(
        read(b"Cookie: msts=3640205228.15629.0000\r\n"),
        (None, text("3640205228.15629.0000"))
    );
    assert_eq!(read(b"web1\r\n"), (None, text("web1")));
    assert_eq!(
        read(b"tsv://x\r\nCookie: mstshash=bob\r\n"),
        (text("bob"), text("tsv://x"))
    );
    assert_eq!(read(b"Cookie: mstshash=\r\n"), (None, None));
    assert_eq!(read(b""), (None, None));
}

#[test]
fn a_client_of_before_negotiation_offers_nothing() {
    let (request, _) = front::connection_request(&request_with(b"Cookie: mstshash=x\r\n", b""))
        .unwrap()
        .unwrap();
    assert_eq!(request.protocols, front::Protocols::default());
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let mut wrong_indicator = REQUEST.to_vec();
    wrong_indicator[4] += 1;
    let mut oversized = REQUEST.to_vec();
    oversized[2] = 0x10;
    let mut wrong_code = REQUEST.to_vec();
    wrong_code[5] = 0xD0;
    let truncated_negotiation = request_with(b"", &[1, 0, 8]);
    let trailing = request_with(b"", &[1, 0, 8, 0, 1, 0, 0, 0, 9]);
    let binary_cookie = request_with(b"a\x01b\r\n", b"");
    for bad in [
        wrong_indicator,
        wrong_code,
        truncated_negotiation,
        trailing,
        binary_cookie,
    ] {
        assert!(
            matches!(front::connection_request(&bad), Err(FrontError::Malformed { .. })),
            "{bad:02x?}"
        );
    }
    assert!(matches!(
        front::connection_request(&oversized),
        Err(FrontError::Oversized { announced: 0x102B, .. })
    ));
}

#[test]
fn preconnection_blobs_of_both_versions_are_read() {
    let bytes = blob(2, 7, Some("vm-ä"));
    for length in 0..bytes.len() {
        assert_eq!(front::preconnection(&bytes[..length]), Ok(None));
    }
    let (pcb, used) = front::preconnection(&[&bytes[..], REQUEST].concat()).unwrap().unwrap();
    assert_eq!((pcb.id, pcb.name.as_deref(), used), (7, Some("vm-ä"), bytes.len()));
    let (pcb, _) = front::preconnection(&blob(1, 9, None)).unwrap().unwrap();
    assert_eq!((pcb.id, pcb.name), (9, None));
    let (pcb, _) = front::preconnection(&blob(2, 9, Some(""))).unwrap().unwrap();
    assert_eq!(pcb.name, None);
}

#[test]
fn preconnection_blobs_are_bounded_before_they_are_awaited() {
    let mut bytes = blob(2, 0, Some("x"));
    bytes[0..4].copy_from_slice(&5000_u32.to_le_bytes());
    assert!(matches!(
        front::preconnection(&bytes),
        Err(FrontError::Oversized { announced: 5000, .. })
    ));
    assert!(matches!(
        front::opening(&bytes),
        Err(FrontError::Oversized { announced: 5000, .. })
    ));
    let mut bytes = blob(2, 0, Some("x"));
    bytes[16] = 200;
    assert!(matches!(
        front::preconnection(&bytes),
        Err(FrontError::Malformed { .. })
    ));
    let mut bytes = blob(2, 0, Some("x"));
    bytes[18..20].copy_from_slice(&0xD800_u16.to_le_bytes());
    assert!(matches!(
        front::preconnection(&bytes),
        Err(FrontError::Malformed { .. })
    ));
}
