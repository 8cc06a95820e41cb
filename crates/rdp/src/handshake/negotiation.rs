//! The X.224 exchange: which security a client is given, or the protocol's own refusal.

use ironrdp_core::{WriteBuf, encode_vec};
use ironrdp_pdu::nego;
use ironrdp_pdu::x224::X224;

use super::{Handshake, HandshakeError, Phase, Refusal, Step, front_error};
use crate::credssp::CredsspProtocol;
use crate::front;

impl Handshake {
    pub(super) fn request(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<Step>), HandshakeError> {
        let Some((request, used)) = front::connection_request(buf).map_err(front_error)? else {
            return Ok((0, Some(Step::NeedInput)));
        };
        let offered = request.protocols;
        if self.config.plain {
            return self.without_security(offered, out).map(|()| (used, None));
        }
        let protocol = match (self.config.nla, self.config.tls) {
            (true, _) if offered.hybrid_ex => nego::SecurityProtocol::HYBRID_EX,
            (true, _) if offered.hybrid => nego::SecurityProtocol::HYBRID,
            (_, true) if offered.tls => nego::SecurityProtocol::SSL,
            _ => return Ok((used, Some(self.refuse_protocols(offered, out)))),
        };
        self.confirm(protocol, out);
        self.skip_negotiation(offered.wire())?;
        self.phase = Phase::Tls;
        Ok((used, None))
    }

    /// Goes on in the clear. Who asked for a protocol is told which one it is; others get the answer of before RDP 5.2.
    fn without_security(&mut self, offered: front::Protocols, out: &mut Vec<u8>) -> Result<(), HandshakeError> {
        match offered.asked {
            true => self.confirm(nego::SecurityProtocol::empty(), out),
            false => out.extend_from_slice(&PLAIN_CONFIRM),
        }
        self.skip_negotiation(offered.wire())?;
        self.acceptor.mark_security_upgrade_as_done();
        self.phase = Phase::Sequence;
        Ok(())
    }

    fn refuse_protocols(&mut self, offered: front::Protocols, out: &mut Vec<u8>) -> Step {
        let (code, refusal) = if !self.config.tls {
            (nego::FailureCode::HYBRID_REQUIRED_BY_SERVER, Refusal::NlaRequired)
        } else if offered.hybrid || offered.hybrid_ex {
            (nego::FailureCode::SSL_REQUIRED_BY_SERVER, Refusal::NlaDisabled)
        } else {
            (nego::FailureCode::SSL_REQUIRED_BY_SERVER, Refusal::TlsRequired)
        };
        let failure = X224(nego::ConnectionConfirm::Failure { code });
        out.extend_from_slice(&encode_vec(&failure).expect("a negotiation failure has a fixed size"));
        self.phase = Phase::Over;
        Step::Refused(refusal)
    }

    /// The Connection Confirm is ours because the acceptor's does not say that the graphics pipeline is there.
    fn confirm(&self, protocol: nego::SecurityProtocol, out: &mut Vec<u8>) {
        let flags =
            nego::ResponseFlags::EXTENDED_CLIENT_DATA_SUPPORTED | nego::ResponseFlags::DYNVC_GFX_PROTOCOL_SUPPORTED;
        let confirm = X224(nego::ConnectionConfirm::Response { flags, protocol });
        out.extend_from_slice(&encode_vec(&confirm).expect("a connection confirm has a fixed size"));
    }

    /// Walks the acceptor through the negotiation that is done already, with a request of our own making.
    fn skip_negotiation(&mut self, offered: nego::SecurityProtocol) -> Result<(), HandshakeError> {
        let request = X224(nego::ConnectionRequest {
            nego_data: None,
            flags: nego::RequestFlags::empty(),
            protocol: offered,
            correlation_info: None,
        });
        let bytes = encode_vec(&request).expect("a connection request without cookie has a fixed size");
        let mut scratch = WriteBuf::new();
        self.step(&bytes, &mut scratch)?;
        self.step(&[], &mut scratch)
    }

    pub(super) fn request_inside(
        &mut self,
        buf: &[u8],
        protocol: CredsspProtocol,
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Step>), HandshakeError> {
        const X224_DATA: u8 = 0xF0;
        let protocol = match protocol {
            CredsspProtocol::Hybrid => nego::SecurityProtocol::HYBRID,
            CredsspProtocol::HybridEx => nego::SecurityProtocol::HYBRID_EX,
        };
        let Some(&code) = buf.get(5) else {
            return Ok((0, Some(Step::NeedInput)));
        };
        let (used, offered) = if code == X224_DATA {
            (0, protocol)
        } else {
            let Some((request, used)) = front::connection_request(buf).map_err(front_error)? else {
                return Ok((0, Some(Step::NeedInput)));
            };
            self.confirm(protocol, out);
            (used, request.protocols.wire())
        };
        // What the acceptor picks has no effect any more, but it must find something to pick.
        self.skip_negotiation(offered | protocol)?;
        self.acceptor.mark_security_upgrade_as_done();
        self.leave_security();
        Ok((used, None))
    }
}

/// An X.224 Connection Confirm without a negotiation response ([MS-RDPBCGR] 2.2.1.2).
const PLAIN_CONFIRM: [u8; 11] = [3, 0, 0, 11, 6, 0xD0, 0, 0, 0x12, 0x34, 0];
