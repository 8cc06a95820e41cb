//! Any input of a client that is logged in: fast-path and slow-path events, and messages of the touch channel.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::Size;
use rdpmux_rdp::{Coders, Handshake, HandshakeConfig, Session, Step};

static CLIENT: &[u8] = include_bytes!("session_client.bin");
const IO: u16 = 1003;
const DRDYNVC: u16 = 1004;
/// Numbers that the server may have given to its dynamic channels.
const CHANNELS: u8 = 12;

fn session() -> Session {
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
    let (mut data, mut out) = (CLIENT, Vec::new());
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
    let (mut events, mut out) = (Vec::new(), Vec::new());
    session.start(&mut events, &mut out);
    // Version 1, and then every channel is opened but that of the graphics.
    let _ = session.feed(&dynamic(&[0x50, 0, 1, 0]), &mut events, &mut out);
    for id in 1..CHANNELS {
        let _ = session.feed(&dynamic(&[0x10, id, 0, 0, 0, 0]), &mut events, &mut out);
    }
    let mut rest = data;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()).min(120));
        let pdu = match kind % 4 {
            0 => [&[kind & 0x3C, body.len() as u8 + 2][..], body].concat(),
            1 => slow(body),
            2 => dynamic(&[&[0x30, kind >> 2 & 0xF][..], body].concat()),
            _ => {
                let length = (body.len() as u32 + 6).to_le_bytes();
                dynamic(&[&[0x30, kind >> 2 & 0xF, 3, 0][..], &length, body].concat())
            }
        };
        out.clear();
        events.clear();
        match session.feed(&pdu, &mut events, &mut out) {
            Ok(used) => assert!(used <= pdu.len()),
            Err(_) => return,
        }
        // An event has a byte at least, and makes three at most: a position and both extended buttons.
        assert!(events.len() <= 3 * 256);
        assert!(session.cut_surrogates() <= data.len() as u64);
        rest = after;
    }
});

/// A share data PDU with input events ([MS-RDPBCGR] 2.2.8.1.1.3).
fn slow(body: &[u8]) -> Vec<u8> {
    let total = (18 + body.len() as u16).to_le_bytes();
    let header = [
        total[0], total[1], 0x17, 0, 0xEA, 3, 0xEA, 3, 1, 0, 0, 1, 0, 0, 28, 0, 0, 0,
    ];
    send_data(IO, &[&header[..], body].concat())
}

fn dynamic(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_le_bytes();
    send_data(DRDYNVC, &[&length[..], &3_u32.to_le_bytes(), message].concat())
}

fn send_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let mut pdu = vec![3, 0, 0, 0, 2, 0xF0, 0x80, 0x64, 0, 1];
    pdu.extend_from_slice(&channel.to_be_bytes());
    pdu.push(0x70);
    pdu.extend_from_slice(&(data.len() as u16 | 0x8000).to_be_bytes());
    pdu.extend_from_slice(data);
    let length = pdu.len() as u16;
    pdu[2..4].copy_from_slice(&length.to_be_bytes());
    pdu
}
