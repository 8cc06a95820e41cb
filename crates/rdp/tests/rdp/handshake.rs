//! The connection sequence: logins, refusals, Hyper-V's order.

use rdpmux_rdp::{
    CloseReason, Credssp, CredsspError, CredsspProtocol, CredsspStep, Handshake, HandshakeConfig, HandshakeError,
    Refusal, Step,
};

use crate::client::{self, OneUser, Options, PUBLIC_KEY};

const REQUEST_TLS: &[u8] = &[3, 0, 0, 19, 14, 0xE0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 1, 0, 0, 0];

#[test]
fn a_tls_client_is_asked_for_its_desktop_with_its_password() {
    let pair = client::connect(&Options::default());
    let login = pair.login.as_ref().unwrap();
    assert_eq!(login.user, "alice");
    assert_eq!(login.password.as_ref().map(|p| p.reveal()), Some("password"));
    assert_eq!(format!("{:?}", login.password), "Some(Password(..))");
    assert_eq!(
        (login.client_name.as_str(), login.client_build, login.auto_logon),
        ("tester", 4711, true)
    );
    assert_eq!((login.requested.width, login.requested.height), (1024, 768));
    let info = pair.session.info();
    assert_eq!(
        (info.keyboard_layout, info.scale_percent, info.egfx),
        (0x407, 150, true)
    );
    assert_eq!(
        (pair.result.desktop_size.width, pair.result.desktop_size.height),
        (800, 600)
    );
}

#[test]
fn an_nla_client_logs_in_by_its_nt_hash_and_leaves_no_password() {
    let pair = client::connect(&Options {
        nla: true,
        ..Options::default()
    });
    let login = pair.login.unwrap();
    assert_eq!(login.user, "alice");
    assert!(login.password.is_none());
}

fn verdict(user: &'static str, password: &'static str, ex: bool) -> CredsspStep {
    let protocol = if ex {
        CredsspProtocol::HybridEx
    } else {
        CredsspProtocol::Hybrid
    };
    let mut server = Credssp::new(PUBLIC_KEY.to_vec(), Box::new(OneUser), protocol).unwrap();
    let options = Options {
        user,
        password,
        ..Options::default()
    };
    client::credssp(&options, ex, &mut server)
}

#[test]
fn wrong_passwords_and_unknown_users_are_denied_alike() {
    for ex in [false, true] {
        assert!(matches!(verdict("alice", "password", ex), CredsspStep::Accepted(_)));
        for (user, password) in [("alice", "guess"), ("nobody", "password"), ("nobody", "")] {
            let step = verdict(user, password, ex);
            assert!(
                matches!(step, CredsspStep::Denied { name: Some(ref name) } if name.user == user),
                "{user} {step:?}"
            );
        }
    }
}

#[test]
fn credssp_messages_are_bounded_and_checked() {
    let new = || Credssp::new(PUBLIC_KEY.to_vec(), Box::new(OneUser), CredsspProtocol::Hybrid).unwrap();
    let mut out = Vec::new();
    let oversized = new().feed(&[0x30, 0x82, 0x20, 0x00], &mut out);
    assert!(matches!(
        oversized,
        Err(CredsspError::Oversized { announced: 0x2004, .. })
    ));
    assert!(matches!(new().feed(b"HTTP", &mut out), Err(CredsspError::Malformed(_))));
    assert!(matches!(
        new().feed(&[0x30, 0x82], &mut out),
        Ok((0, CredsspStep::NeedInput))
    ));
    // A TSRequest that skips the proof and delegates credentials at once.
    let delegation = [0x30, 0x0C, 0xA0, 3, 2, 1, 6, 0xA2, 5, 4, 3, 1, 2, 3];
    assert!(new().feed(&delegation, &mut out).is_err());
    assert!(out.is_empty());
}

fn refusal(nla: bool, tls: bool, offered: u8) -> (Refusal, u8) {
    let config = HandshakeConfig {
        nla,
        tls,
        ..client::server_config()
    };
    let mut request = REQUEST_TLS.to_vec();
    request[15] = offered;
    let mut out = Vec::new();
    let (used, step) = Handshake::new(config).feed(&request, &mut out).unwrap();
    assert_eq!(used, request.len());
    // RDP_NEG_FAILURE in an X.224 Connection Confirm.
    assert_eq!(out[..15], [3, 0, 0, 19, 14, 0xD0, 0, 0, 0, 0, 0, 3, 0, 8, 0]);
    match step {
        Step::Refused(refusal) => (refusal, out[15]),
        step => panic!("{step:?}"),
    }
}

#[test]
fn clients_without_a_common_protocol_get_the_protocols_own_refusal() {
    assert_eq!(refusal(true, true, 0), (Refusal::TlsRequired, 1));
    assert_eq!(refusal(true, false, 0), (Refusal::NlaRequired, 5));
    assert_eq!(refusal(true, false, 1), (Refusal::NlaRequired, 5));
    assert_eq!(refusal(false, true, 2), (Refusal::NlaDisabled, 1));
}

#[test]
fn the_confirm_promises_the_graphics_pipeline() {
    let mut handshake = Handshake::new(client::server_config());
    let mut out = Vec::new();
    let (_, step) = handshake.feed(REQUEST_TLS, &mut out).unwrap();
    assert!(matches!(step, Step::UpgradeTls));
    assert_eq!(out[11..], [2, 3, 8, 0, 1, 0, 0, 0]);
}

#[test]
fn in_hyper_v_order_the_request_is_answered_inside_tls() {
    let mut handshake = Handshake::new_after_security(client::server_config(), CredsspProtocol::HybridEx);
    let mut request = REQUEST_TLS.to_vec();
    request[15] = 0x0B;
    let mut out = Vec::new();
    for length in 0..request.len() {
        let step = handshake.feed(&request[..length], &mut out);
        assert!(matches!(step, Ok((0, Step::NeedInput))), "{length}");
    }
    let (used, step) = handshake.feed(&request, &mut out).unwrap();
    assert!(matches!(step, Step::NeedInput));
    assert_eq!(used, request.len());
    assert_eq!(out[11..], [2, 3, 8, 0, 8, 0, 0, 0]);
}

#[test]
fn a_refusal_after_the_login_says_why() {
    let mut bytes = Vec::new();
    let mut handshake = handshake_at_choose();
    handshake.refuse(CloseReason::Denied, &mut bytes);
    let code = 9_u32.to_le_bytes();
    let error_info = bytes.windows(4).position(|w| w == code);
    assert!(error_info.is_some(), "{bytes:02x?}");
    assert!(bytes.ends_with(&[3, 0, 0, 9, 2, 0xF0, 0x80, 0x21, 0x80]));
    assert!(matches!(handshake.feed(&[], &mut bytes), Err(HandshakeError::Bug(_))));
}

/// Replays a friendly client up to its client info.
fn handshake_at_choose() -> Handshake {
    let recorded = crate::hostile::record_client();
    let mut handshake = Handshake::new(client::server_config());
    for bytes in recorded {
        let mut out = Vec::new();
        let (_, step) = handshake.feed(&bytes, &mut out).unwrap();
        match step {
            Step::UpgradeTls => handshake.tls_done(),
            Step::ChooseDesktop(_) => return handshake,
            _ => {}
        }
    }
    panic!("the client sent no client info");
}

#[test]
fn without_security_every_client_goes_on_at_once_and_who_asked_nothing_is_answered_nothing() {
    let config = || HandshakeConfig {
        nla: false,
        tls: false,
        plain: true,
        ..client::server_config()
    };
    let answer = |request: &[u8]| {
        let mut out = Vec::new();
        let (used, step) = Handshake::new(config()).feed(request, &mut out).unwrap();
        assert!(used == request.len() && matches!(step, Step::NeedInput), "{step:?}");
        out
    };
    let old = [3, 0, 0, 11, 6, 0xE0, 0, 0, 0, 0, 0];
    assert_eq!(answer(&old), [3, 0, 0, 11, 6, 0xD0, 0, 0, 0x12, 0x34, 0]);
    for offered in [0, 1, 3] {
        let mut request = REQUEST_TLS.to_vec();
        request[15] = offered;
        let confirm = answer(&request);
        assert_eq!(confirm[11], 2, "a negotiation response");
        assert_eq!(confirm[15..19], [0; 4], "that chooses no protocol");
    }
}
