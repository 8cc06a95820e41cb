//! What a server is built from: plain values, as the document has them.

use std::net::SocketAddr;

use tokio_rustls::TlsAcceptor;

use super::codecs::BitmapCodecs;

/// The options of a server; the builder fills them in.
#[derive(Clone)]
pub struct RdpServerOptions {
    /// Where to listen. Port 0: any, see [`ServerEvent::GetLocalAddr`](crate::ServerEvent::GetLocalAddr).
    pub addr: SocketAddr,
    /// How clients are let in.
    pub security: RdpServerSecurity,
    /// What clients without the graphics pipeline may be sent.
    pub codecs: BitmapCodecs,
    /// The largest update in bytes that a client may send us in fragments ([MS-RDPBCGR] 2.2.7.2.6).
    pub max_request_size: u32,
}

impl RdpServerOptions {
    /// 8 MB.
    pub const DEFAULT_MAX_REQUEST_SIZE: u32 = 8 * 1024 * 1024;
}

/// How clients are let in.
#[derive(Clone)]
pub enum RdpServerSecurity {
    /// Everything in the clear, the password too: for trusted networks and old clients only.
    None,
    /// TLS; the password comes inside of it.
    Tls(TlsAcceptor),
    /// TLS and, inside of it, CredSSP with NTLM (NLA), which is bound to this `subjectPublicKey` of the certificate.
    Hybrid((TlsAcceptor, Vec<u8>)),
}
