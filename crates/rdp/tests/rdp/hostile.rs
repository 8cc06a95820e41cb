//! Bytes that no friend sends: truncated, changed, reordered and random, in every phase. Nothing may panic, and nothing
//! may make us hold more than the limits say.

use ironrdp_connector::{ClientConnector, Sequence as _};
use ironrdp_core::WriteBuf;
use ironrdp_dvc::DrdynvcClient;
use rdpmux_rdp::{Credssp, CredsspProtocol, Handshake, HandshakeError, SessionEvent, Step, front};

use crate::client::{self, DESKTOP, OneUser, Options, PUBLIC_KEY};

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        eprintln!("seed {seed:#x}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.next() as usize % most;
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// All that a friendly client sends up to the end of the handshake, message by message.
pub fn record_client() -> Vec<Vec<u8>> {
    let mut connector = ClientConnector::new(
        client::connector_config(&Options {
            sound: true,
            ..Options::default()
        }),
        ([127, 0, 0, 1], 1).into(),
    );
    // Without a dynamic channel nothing behind `drdynvc` would ever be reached.
    connector.attach_static_channel(DrdynvcClient::new());
    let mut handshake = Handshake::new(client::server_config());
    let (mut recorded, mut down) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let mut up = WriteBuf::new();
        if connector.should_perform_security_upgrade() {
            connector.mark_security_upgrade_as_done();
        }
        match connector.next_pdu_hint() {
            None if !connector.state().is_terminal() => drop(connector.step_no_input(&mut up).unwrap()),
            None => break,
            Some(hint) => match hint.find_size(&down).unwrap() {
                Some((_, size)) if size <= down.len() => {
                    let pdu: Vec<u8> = down.drain(..size).collect();
                    connector.step(&pdu, None, &mut up).unwrap();
                }
                _ => {}
            },
        }
        if !up.filled().is_empty() {
            recorded.push(up.filled().to_vec());
        }
        match handshake.feed(up.filled(), &mut down).unwrap().1 {
            Step::UpgradeTls => handshake.tls_done(),
            Step::ChooseDesktop(_) => handshake.set_desktop(DESKTOP),
            _ => {}
        }
    }
    assert!(recorded.len() > 6, "{}", recorded.len());
    recorded
}

/// Feeds messages to a fresh server and follows its steps. Returns the messages that it took before it gave up.
fn replay(messages: &[Vec<u8>]) -> usize {
    let mut handshake = Handshake::new(client::server_config());
    let mut pending = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        pending.extend_from_slice(message);
        for _ in 0..8 {
            let mut out = Vec::new();
            match handshake.feed(&pending, &mut out) {
                Err(_) | Ok((_, Step::Refused(_))) => return i,
                Ok((used, step)) => {
                    pending.drain(..used);
                    match step {
                        Step::UpgradeTls => handshake.tls_done(),
                        Step::Credssp(_) => handshake.credssp_done(),
                        Step::ChooseDesktop(_) => handshake.set_desktop(DESKTOP),
                        _ => break,
                    }
                }
            }
        }
        assert!(pending.len() <= 2 * front::MAX_MESSAGE + 64 * 1024);
    }
    messages.len()
}

/// The fuzz targets start from what a friendly client sends. `RDPMUX_BLESS=1` writes their files anew.
#[test]
fn the_seeds_of_the_fuzz_targets_are_what_a_client_sends_today() {
    let recorded = record_client().concat();
    let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/");
    let message = first_ts_request();
    let credssp = [&(message.len() as u16).to_le_bytes()[..], &message].concat();
    for (name, bytes) in [
        ("fuzz_targets/session_client.bin", recorded.clone()),
        ("corpus/front/client", [&[1][..], &recorded].concat()),
        ("corpus/credssp/negotiate", credssp),
    ] {
        let path = format!("{fuzz}{name}");
        if std::env::var_os("RDPMUX_BLESS").is_some() {
            std::fs::create_dir_all(path.rsplit_once('/').unwrap().0).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(
            std::fs::read(&path).is_ok_and(|stored| stored == bytes),
            "{name} is not current"
        );
    }
}

#[test]
fn a_recorded_client_is_taken_again() {
    let recorded = record_client();
    assert_eq!(replay(&recorded), recorded.len());
}

#[test]
fn changed_bytes_in_a_handshake_never_panic() {
    let recorded = record_client();
    let mut random = Random::new(0x5EED_0001);
    for _ in 0..3000 {
        let mut messages = recorded.clone();
        for _ in 0..=random.next() % 3 {
            let at = random.next() as usize % messages.len();
            let message = &mut messages[at];
            let byte = random.next() as usize % message.len();
            match random.next() % 4 {
                0 => message[byte] = random.next() as u8,
                1 => message[byte] = [0, 1, 0x7F, 0x80, 0xFF][random.next() as usize % 5],
                2 => message.truncate(byte.max(1)),
                _ => {
                    let other = random.next() as usize % messages.len();
                    messages.swap(at, other);
                }
            }
        }
        replay(&messages);
    }
}

#[test]
fn random_bytes_at_the_front_door_never_panic() {
    let mut random = Random::new(0x5EED_0002);
    for _ in 0..20_000 {
        let mut bytes = random.bytes(300);
        if random.next().is_multiple_of(2) && bytes.len() > 12 {
            let length = bytes.len();
            bytes[..6].copy_from_slice(&[3, 0, (length >> 8) as u8, length as u8, (length - 5) as u8, 0xE0]);
        }
        let _ = front::opening(&bytes);
        let _ = front::preconnection(&bytes);
        let _ = front::connection_request(&bytes);
    }
}

/// A TSRequest around an NTLM negotiate message.
fn first_ts_request() -> Vec<u8> {
    let ntlm = b"NTLMSSP\0\x01\0\0\0\xB7\x82\x08\xE2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06\x01\xB1\x1D\0\0\0\x0F";
    let mut first = vec![
        0x30,
        0,
        0xA0,
        3,
        2,
        1,
        6,
        0xA1,
        0,
        0x30,
        0,
        0x30,
        0,
        0xA0,
        0,
        4,
        ntlm.len() as u8,
    ];
    first.extend_from_slice(ntlm);
    let total = first.len() as u8;
    (first[1], first[8], first[10], first[12], first[14]) = (total - 2, total - 9, total - 11, total - 13, total - 15);
    first
}

#[test]
fn random_bytes_in_credssp_never_panic() {
    let mut random = Random::new(0x5EED_0003);
    let first = first_ts_request();
    for round in 0..3000 {
        let mut server = Credssp::new(PUBLIC_KEY.to_vec(), Box::new(OneUser), CredsspProtocol::HybridEx).unwrap();
        let mut out = Vec::new();
        if round % 3 != 0 {
            assert!(server.feed(&first, &mut out).is_ok(), "{out:?}");
            assert!(!out.is_empty());
        }
        let mut bytes = if round % 2 == 0 {
            first.clone()
        } else {
            random.bytes(120)
        };
        for _ in 0..random.next() % 4 {
            if !bytes.is_empty() {
                let at = random.next() as usize % bytes.len();
                bytes[at] = random.next() as u8;
            }
        }
        if round % 5 == 0 && bytes.len() > 2 {
            bytes[0] = 0x30;
            bytes[1] = (bytes.len() - 2).min(127) as u8;
        }
        let _ = server.feed(&bytes, &mut out);
    }
}

#[test]
fn random_bytes_in_a_session_never_panic() {
    let mut random = Random::new(0x5EED_0004);
    let mut pair = client::connect(&Options::default());
    pair.start();
    let drdynvc = pair.result.static_channels.channel_ids().next().unwrap();
    for _ in 0..20_000 {
        let body = random.bytes(64);
        let pdu = match random.next() % 4 {
            0 => body,
            1 => [&[(random.next() as u8) & 0x3C, body.len() as u8 + 2], &body[..]].concat(),
            kind => {
                let channel = if kind == 2 { pair.result.io_channel_id } else { drdynvc };
                let mut data = body;
                if random.next().is_multiple_of(2) && data.len() >= 18 {
                    shape(&mut data, kind == 2, &mut random);
                }
                send_data_request(channel, &data)
            }
        };
        let (mut events, mut out) = (Vec::<SessionEvent>::new(), Vec::new());
        // A session goes on after an error only here.
        let _ = pair.session.feed(&pdu, &mut events, &mut out);
    }
}

/// Gives random bytes the headers with which they reach the inner parsers.
fn shape(data: &mut [u8], share: bool, random: &mut Random) {
    let length = data.len();
    if share {
        data[..4].copy_from_slice(&[length as u8, 0, [0x13, 0x17][random.next() as usize % 2], 0]);
        data[14] = [20, 28, 31, 33, 35, 39, 56][random.next() as usize % 7];
        data[15] = 0;
    } else {
        data[..8].copy_from_slice(&[length as u8 - 8, 0, 0, 0, 3, 0, 0, 0]);
        data[8] = [0x10, 0x20, 0x30, 0x40, 0x50][random.next() as usize % 5];
        data[9] = random.next() as u8 % 3;
        data[10] = [0x0D, 0x10, 0x12, 0x16][random.next() as usize % 4];
        data[11..18].copy_from_slice(&[0, 0, 0, length as u8 - 10, 0, 0, 0]);
    }
}

pub fn send_data_request(channel: u16, data: &[u8]) -> Vec<u8> {
    let mut pdu = vec![3, 0, 0, 0, 2, 0xF0, 0x80, 0x64, 0, 1];
    pdu.extend_from_slice(&channel.to_be_bytes());
    pdu.push(0x70);
    pdu.extend_from_slice(&(data.len() as u16 | 0x8000).to_be_bytes());
    pdu.extend_from_slice(data);
    let length = pdu.len() as u16;
    pdu[2..4].copy_from_slice(&length.to_be_bytes());
    pdu
}

#[test]
fn no_message_before_the_login_is_longer_than_the_limit() {
    let mut handshake = Handshake::new(client::server_config());
    let recorded = record_client();
    let mut out = Vec::new();
    handshake.feed(&recorded[0], &mut out).unwrap();
    handshake.tls_done();
    // A TPKT header that announces 5000 bytes is refused before they are there.
    let result = handshake.feed(&[3, 0, 0x13, 0x88], &mut out);
    assert!(matches!(
        result,
        Err(HandshakeError::Oversized {
            announced: 5000,
            limit: front::MAX_MESSAGE
        })
    ));
}

#[test]
fn endless_chatter_before_the_login_ends() {
    let mut handshake = Handshake::new(client::server_config());
    let recorded = record_client();
    let mut out = Vec::new();
    handshake.feed(&recorded[0], &mut out).unwrap();
    handshake.tls_done();
    // Fast-path input has no business here and is stepped over, but not for ever.
    let chatter = [[0x04, 0x80, 0x84].as_slice(), &[0; 129]].concat();
    let ended = (0..2000).find_map(|_| handshake.feed(&chatter, &mut out).err());
    assert!(matches!(ended, Some(HandshakeError::Oversized { .. })), "{ended:?}");
}
