//! A client's answer to a reconnect cookie: nobody comes back without the secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdpmux_rdp::{ReconnectCookie, ReconnectProof};

fuzz_target!(|data: &[u8]| {
    let Some(proof) = ReconnectProof::parse(data) else {
        return;
    };
    let cookie = ReconnectCookie::new(proof.id(), *b"a secret of ours");
    let right = ReconnectProof::of(&cookie);
    assert_eq!(cookie.is_proven_by(&proof), proof == right, "{proof:?}");
});
