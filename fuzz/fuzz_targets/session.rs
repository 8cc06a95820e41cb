//! Any bytes from a client that is logged in: raw, and with the headers that lead to the inner parsers.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rdpmux_engine::codec::clear::Clear;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::Size;
use rdpmux_rdp::{Coders, Handshake, HandshakeConfig, Session, Step};

/// A client with `drdynvc` and the graphics pipeline, from its GCC exchange to its font list.
static CLIENT: &[u8] = include_bytes!("session_client.bin");
const IO: u16 = 1003;
const DRDYNVC: u16 = 1004;

fn session() -> Session {
    let mut handshake = Handshake::new(HandshakeConfig {
        nla: true,
        tls: true,
        coders: Arc::new(|| Coders {
            bulk: Box::new(Zgfx::new()),
            raster: Some(Box::new(Clear::new())),
        }),
        video: true,
        surface_codecs: rdpmux_rdp::SurfaceCodecs {
            nscodec: true,
            qoi: true,
            qoiz: true,
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
    let mut rest = data;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        let pdu = match kind % 4 {
            0 => body.to_vec(),
            1 => send_data(IO, body),
            2 => send_data(DRDYNVC, body),
            _ => {
                let header = (body.len() as u32).to_le_bytes();
                send_data(DRDYNVC, &[&header[..], &3_u32.to_le_bytes(), body].concat())
            }
        };
        events.clear();
        out.clear();
        match session.feed(&pdu, &mut events, &mut out) {
            Ok(used) => assert!(used <= pdu.len()),
            Err(_) => return,
        }
        rest = after;
    }
});

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
