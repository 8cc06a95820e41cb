//! Automatic reconnection ([MS-RDPBCGR] 1.3.1.5, 5.5): a secret for the client, and the answer by which it proves later
//! that it has it. Which session the secret belongs to, and how long it is good, is the server's.
//!
//! INVARIANT: neither the secret nor the answer is printed. Over TLS the answer to a secret is always the same, so whoever
//! sees it once has it; the server takes each only once.

use ironrdp_core::{Decode as _, ReadCursor, encode_vec};
use ironrdp_pdu::rdp::client_info::ClientAutoReconnect;
use ironrdp_pdu::rdp::session_info::{LogonExFlags, LogonInfoExtended, ServerAutoReconnect};

use super::Session;
use crate::wire;

const PDU_SAVE_SESSION_INFO: u8 = 38;
const INFO_LOGON_EXTENDED: u32 = 3;

/// The secret that a client keeps in memory ([MS-RDPBCGR] 2.2.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconnectCookie(ServerAutoReconnect);

/// What a client answers to it ([MS-RDPBCGR] 2.2.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconnectProof(ClientAutoReconnect);

impl ReconnectCookie {
    /// Takes a number that names the session and 16 bytes of a good generator.
    pub fn new(id: u32, secret: [u8; 16]) -> Self {
        Self(ServerAutoReconnect {
            logon_id: id,
            random_bits: secret,
        })
    }

    /// The number that names the session.
    pub fn id(&self) -> u32 {
        self.0.logon_id
    }

    /// Whether `proof` was made from this secret: its HMAC-MD5 over a client random of zeros, as there is none over TLS.
    /// Takes the same time for every wrong answer.
    pub fn is_proven_by(&self, proof: &ReconnectProof) -> bool {
        proof.0.verify(&self.0)
    }
}

impl ReconnectProof {
    /// Reads the packet as it stands in the client info.
    ///
    /// `None` if its length or version are not those of the specification.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut cursor = ReadCursor::new(packet);
        let proof = ClientAutoReconnect::decode(&mut cursor).ok()?;
        cursor.is_empty().then_some(Self(proof))
    }

    /// The answer of a client that has this cookie.
    pub fn of(cookie: &ReconnectCookie) -> Self {
        Self(ClientAutoReconnect::from_server_cookie(&cookie.0))
    }

    /// The number of the session that it means to come back to.
    pub fn id(&self) -> u32 {
        self.0.logon_id
    }
}

impl From<ClientAutoReconnect> for ReconnectProof {
    fn from(packet: ClientAutoReconnect) -> Self {
        Self(packet)
    }
}

impl Session {
    /// Gives the client a cookie to come back with ([MS-RDPBCGR] 2.2.10.1); a later one replaces it. Clients that do not
    /// reconnect by themselves step over it.
    pub fn offer_reconnect(&self, cookie: &ReconnectCookie, out: &mut Vec<u8>) {
        if !self.is_live() {
            return;
        }
        let info = LogonInfoExtended {
            present_fields_flags: LogonExFlags::AUTO_RECONNECT_COOKIE,
            auto_reconnect: Some(cookie.0.clone()),
            errors_info: None,
        };
        let info = encode_vec(&info).expect("a cookie has a fixed size");
        wire::share_data(out, self.link.io, PDU_SAVE_SESSION_INFO, |out| {
            out.extend_from_slice(&INFO_LOGON_EXTENDED.to_le_bytes());
            out.extend_from_slice(&info);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_cookie_only_and_strangely_long_ones_are_none() {
        let cookie = ReconnectCookie::new(7, [3; 16]);
        let proof = ReconnectProof::of(&cookie);
        assert!(cookie.is_proven_by(&proof) && proof.id() == 7);
        assert!(!ReconnectCookie::new(8, [3; 16]).is_proven_by(&proof));
        assert!(!ReconnectCookie::new(7, [4; 16]).is_proven_by(&proof));
        let packet = proof.0.to_bytes();
        assert_eq!(ReconnectProof::parse(&packet), Some(proof));
        for length in 0..packet.len() {
            assert_eq!(ReconnectProof::parse(&packet[..length]), None);
        }
        assert_eq!(ReconnectProof::parse(&[&packet[..], &[0]].concat()), None);
    }

    #[test]
    fn secrets_are_not_printed() {
        let cookie = ReconnectCookie::new(7, [0xA5; 16]);
        let text = format!("{cookie:?} {:?}", ReconnectProof::of(&cookie));
        assert!(!text.contains("165") && !text.contains("A5"), "{text}");
    }
}
