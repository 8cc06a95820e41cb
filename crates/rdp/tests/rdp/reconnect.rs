//! Reconnect cookies as IronRDP's client reads them.

use ironrdp_pdu::rdp::client_info::ClientAutoReconnect;
use ironrdp_pdu::rdp::headers::ShareDataPdu;
use ironrdp_pdu::rdp::session_info::InfoData;
use rdpmux_rdp::{ReconnectCookie, ReconnectProof};

use crate::client::{self, Options};

#[test]
fn the_clients_answer_to_the_cookie_that_it_was_given_proves_it() {
    let mut pair = client::connect(&Options::default());
    pair.start();
    pair.share.clear();
    let cookie = ReconnectCookie::new(0x1234_5678, *b"sixteen bytes of");
    let mut out = Vec::new();
    pair.session.offer_reconnect(&cookie, &mut out);
    pair.deliver(&out);
    let [ShareDataPdu::SaveSessionInfo(info)] = &pair.share[..] else {
        panic!("{:?}", pair.share);
    };
    let InfoData::LogonExtended(info) = &info.info_data else {
        panic!("{info:?}");
    };
    let given = info.auto_reconnect.as_ref().expect("a cookie");
    let packet = ClientAutoReconnect::from_server_cookie(given).to_bytes();
    let proof = ReconnectProof::parse(&packet).expect("a packet of the right form");
    assert!(cookie.is_proven_by(&proof));
}

#[test]
fn a_client_that_takes_no_heartbeats_gets_none() {
    let pair = client::connect(&Options::default());
    let mut out = Vec::new();
    assert!(!pair.session.heartbeat(5, 2, 2, &mut out) && out.is_empty());
}
