//! Any bytes as CredSSP. A length prefix cuts them into messages; nobody gets in without the password.

use rdpmux_rdp::{AccountLookup, Credssp, CredsspProtocol, CredsspStep};

struct OneUser;

impl AccountLookup for OneUser {
    fn nt_hash(&mut self, user: &str, _domain: Option<&str>) -> Option<[u8; 16]> {
        (user.len().is_multiple_of(2)).then_some(*b"no one's nt hash")
    }
}

/// One input.
pub fn fuzz(data: &[u8]) {
    let protocol = if data.len().is_multiple_of(2) {
        CredsspProtocol::Hybrid
    } else {
        CredsspProtocol::HybridEx
    };
    let Ok(mut server) = Credssp::new(b"a public key".to_vec(), Box::new(OneUser), protocol) else {
        return;
    };
    let (mut rest, mut out) = (data, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (message, after) = after.split_at(length);
        match server.feed(message, &mut out) {
            Ok((_, CredsspStep::NeedInput)) => rest = after,
            Ok((_, CredsspStep::Accepted(name))) => panic!("{name:?} got in"),
            Ok((_, CredsspStep::Denied { .. })) | Err(_) => return,
        }
    }
}
