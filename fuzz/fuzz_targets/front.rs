//! Any bytes at the front door and in the connection sequence, as if TLS and CredSSP had let them through.

use std::sync::Arc;

use rdpmux_engine::codec::clear::Clear;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::Size;
use rdpmux_rdp::{Coders, CredsspProtocol, Handshake, HandshakeConfig, Step, front};

/// One input.
pub fn fuzz(data: &[u8]) {
    let _ = front::opening(data);
    if let Ok(Some((_, used))) = front::preconnection(data) {
        assert!(used <= data.len());
    }
    if let Ok(Some((_, used))) = front::connection_request(data) {
        assert!(used <= data.len());
    }
    let config = HandshakeConfig {
        nla: true,
        tls: true,
        plain: false,
        coders: Arc::new(|| Coders {
            bulk: Box::new(Zgfx::new()),
            raster: Some(Box::new(Clear::new())),
        }),
        video: true,
        surface_codecs: rdpmux_rdp::SurfaceCodecs::ALL,
    };
    let handshake = match data.first() {
        Some(first) if first & 1 == 1 => Handshake::new(config),
        _ => Handshake::new_after_security(config, CredsspProtocol::HybridEx),
    };
    run(handshake, data.get(1..).unwrap_or_default());
}

fn run(mut handshake: Handshake, mut data: &[u8]) {
    let mut out = Vec::new();
    loop {
        match handshake.feed(data, &mut out) {
            Err(_) | Ok((_, Step::NeedInput | Step::Refused(_) | Step::Established)) => return,
            Ok((used, step)) => {
                data = &data[used..];
                match step {
                    Step::UpgradeTls => handshake.tls_done(),
                    Step::Credssp(_) => handshake.credssp_done(),
                    _ => handshake.set_desktop(Size::new(800, 600)),
                }
            }
        }
    }
}
