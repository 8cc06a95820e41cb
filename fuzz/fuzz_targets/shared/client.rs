//! A recorded client that is logged in, for the targets of what clients say afterwards: its session and its envelopes.

use std::sync::Arc;

use rdpmux_engine::codec::clear::Clear;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::Size;
use rdpmux_rdp::{Coders, Handshake, HandshakeConfig, Session, Step, SurfaceCodecs};

/// A client with `drdynvc` and the graphics pipeline, from its GCC exchange to its font list. Its channels are the IO
/// channel 1003, 1004 for `drdynvc` and 1005 for messages.
pub static CLIENT: &[u8] = include_bytes!("../session_client.bin");

/// The session of `client`, offered everything.
pub fn session(client: &[u8]) -> Session {
    let mut handshake = Handshake::new(HandshakeConfig {
        nla: true,
        tls: true,
        plain: false,
        coders: Arc::new(|| Coders {
            bulk: Box::new(Zgfx::new()),
            raster: Some(Box::new(Clear::new())),
        }),
        video: true,
        surface_codecs: SurfaceCodecs::ALL,
    });
    let (mut data, mut out) = (client, Vec::new());
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

/// One chunk that is a whole message of a virtual channel.
pub fn whole(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes()[..], &3_u32.to_le_bytes(), message].concat()
}

/// What the client sends on a channel.
pub fn send_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let mut pdu = vec![3, 0, 0, 0, 2, 0xF0, 0x80, 0x64, 0, 1];
    pdu.extend_from_slice(&channel.to_be_bytes());
    pdu.push(0x70);
    pdu.extend_from_slice(&(data.len() as u16 | 0x8000).to_be_bytes());
    pdu.extend_from_slice(data);
    let length = pdu.len() as u16;
    pdu[2..4].copy_from_slice(&length.to_be_bytes());
    pdu
}
