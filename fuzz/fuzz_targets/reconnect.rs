//! A client's answer to a reconnect cookie: nobody comes back without the secret.

use rdpmux_rdp::{ReconnectCookie, ReconnectProof};

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some(proof) = ReconnectProof::parse(data) else {
        return;
    };
    let cookie = ReconnectCookie::new(proof.id(), *b"a secret of ours");
    let right = ReconnectProof::of(&cookie);
    assert_eq!(cookie.is_proven_by(&proof), proof == right, "{proof:?}");
}
