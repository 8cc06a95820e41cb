//! IronRDP's client over any stream, with further channels if a test brings them. It has no graphics pipeline and looks at no
//! picture.

use std::sync::Arc;

use ironrdp_connector::{ClientConnector, Config, ConnectionOutcome, ConnectionResult, DesktopSize, Sequence as _};
use ironrdp_core::{WriteBuf, decode};
use ironrdp_pdu::x224::X224;
use ironrdp_pdu::{Action, mcs};
use ironrdp_svc::client_encode_svc_messages;
use rdpmux_client::plain_config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, RootCertStore};

use crate::door::LONG;

/// One client.
pub struct Viewer<S> {
    stream: S,
    ahead: Vec<u8>,
    pub session: ConnectionResult,
    /// Updates of the picture that came.
    pub updates: usize,
}

/// Logs in over a stream that needs no TLS.
pub async fn login<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    (user, password): (&str, &str),
    add: impl FnOnce(&mut ClientConnector),
) -> Viewer<S> {
    login_as(config(user, password), stream, add).await
}

/// The same as a client that says this of itself.
pub async fn login_as<S: AsyncRead + AsyncWrite + Unpin>(
    config: Config,
    mut stream: S,
    add: impl FnOnce(&mut ClientConnector),
) -> Viewer<S> {
    let mut connector = ClientConnector::new(config, ([127, 0, 0, 1], 3389).into());
    add(&mut connector);
    negotiate(&mut connector, &mut stream).await;
    finish(connector, stream).await
}

/// Logs in over a stream on which the server runs TLS with this certificate.
pub async fn login_with_tls<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    (user, password): (&str, &str),
    certificate: CertificateDer<'static>,
) -> Viewer<TlsStream<S>> {
    let mut connector = ClientConnector::new(config(user, password), ([127, 0, 0, 1], 3389).into());
    negotiate(&mut connector, &mut stream).await;
    assert!(connector.should_perform_security_upgrade(), "the server chose TLS");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let secure = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
    finish(connector, secure.expect("TLS")).await
}

/// Up to the place where TLS begins.
async fn negotiate(connector: &mut ClientConnector, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut ahead = Vec::new();
    while !connector.should_perform_security_upgrade() && !connector.state().is_terminal() {
        step(connector, stream, &mut ahead).await;
    }
    assert!(ahead.is_empty(), "the server says nothing before TLS");
}

async fn finish<S: AsyncRead + AsyncWrite + Unpin>(mut connector: ClientConnector, mut stream: S) -> Viewer<S> {
    connector.mark_security_upgrade_as_done();
    let mut ahead = Vec::new();
    while !connector.state().is_terminal() {
        step(&mut connector, &mut stream, &mut ahead).await;
    }
    let Some(ConnectionOutcome::Connected(session)) = connector.state.take_outcome() else {
        panic!("not connected");
    };
    Viewer {
        stream,
        ahead,
        session,
        updates: 0,
    }
}

async fn step(
    connector: &mut ClientConnector,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ahead: &mut Vec<u8>,
) {
    let mut out = WriteBuf::new();
    match connector.next_pdu_hint() {
        None => drop(connector.step_no_input(&mut out).expect("client step")),
        Some(hint) => {
            let size = loop {
                match hint.find_size(ahead).expect("client hint") {
                    Some((_, size)) if size <= ahead.len() => break size,
                    _ => assert!(more(stream, ahead).await, "the server closed"),
                }
            };
            let pdu: Vec<u8> = ahead.drain(..size).collect();
            connector.step(&pdu, None, &mut out).expect("client step");
        }
    }
    stream.write_all(out.filled()).await.expect("write");
    stream.flush().await.expect("write");
}

async fn more(stream: &mut (impl AsyncRead + Unpin), ahead: &mut Vec<u8>) -> bool {
    let read = timeout(LONG, stream.read_buf(ahead)).await;
    matches!(read.expect("the server says something"), Ok(1..))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Viewer<S> {
    /// Presses the key of this code, by a fast-path event ([MS-RDPBCGR] 2.2.8.1.2.2.1).
    pub async fn press(&mut self, code: u8) {
        let event = [1 << 2, 4, 0, code];
        self.stream.write_all(&event).await.expect("write");
    }

    /// Takes what comes until `done` is true of this client. `false`: the server ended the session before.
    pub async fn until(&mut self, mut done: impl FnMut(&Self) -> bool) -> bool {
        loop {
            while let Some(info) = ironrdp_pdu::find_size(&self.ahead).expect("the server's framing") {
                if info.length > self.ahead.len() {
                    break;
                }
                let pdu: Vec<u8> = self.ahead.drain(..info.length).collect();
                match info.action {
                    Action::FastPath => self.updates += 1,
                    Action::X224 => {
                        if !self.indication(&pdu).await {
                            return false;
                        }
                    }
                }
            }
            if done(self) {
                return true;
            }
            if !more(&mut self.stream, &mut self.ahead).await {
                return false;
            }
        }
    }

    async fn indication(&mut self, pdu: &[u8]) -> bool {
        let mcs::McsMessage::SendDataIndication(data) = decode::<X224<mcs::McsMessage<'_>>>(pdu).expect("MCS").0 else {
            return false;
        };
        let user = self.session.user_channel_id;
        if let Some(channel) = self.session.static_channels.get_by_channel_id_mut(data.channel_id) {
            let answers = channel.process(&data.user_data).expect("the server's message");
            let answers = client_encode_svc_messages(answers, data.channel_id, user).expect("answers");
            let _ = self.stream.write_all(&answers).await;
        }
        true
    }
}

pub fn config(user: &str, password: &str) -> Config {
    Config {
        desktop_size: DesktopSize {
            width: 320,
            height: 200,
        },
        enable_audio_playback: true,
        ..plain_config("tester", user.to_owned(), password.to_owned())
    }
}
