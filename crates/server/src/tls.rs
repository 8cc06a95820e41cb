//! The server's TLS identity: certificate chain, key, and the public key that CredSSP binds to.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;
use x509_cert::der::Decode;

/// A certificate and key, ready to accept TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct TlsIdentity {
    acceptor: TlsAcceptor,
    vnc_acceptor: TlsAcceptor,
    public_key: Arc<[u8]>,
    certificate: CertificateDer<'static>,
}

/// Why a certificate and key cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file is not PEM or holds no certificate.
    #[error("no certificate in PEM form: {0}")]
    Certificate(String),
    /// The key file is not PEM or holds no private key.
    #[error("no private key in PEM form: {0}")]
    Key(String),
    /// The certificate cannot be parsed as X.509.
    #[error("the certificate is not X.509: {0}")]
    Parse(#[from] x509_cert::der::Error),
    /// Certificate and key do not belong together, or the key's kind is not supported.
    #[error("the certificate and key cannot be used: {0}")]
    Pair(#[from] tokio_rustls::rustls::Error),
}

impl TlsIdentity {
    /// Takes a certificate chain (leaf first) and its private key, both in PEM form.
    ///
    /// # Errors
    /// [`TlsError`] names the part that is wrong.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let leaf = chain
            .first()
            .cloned()
            .ok_or_else(|| TlsError::Certificate("the file is empty".into()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;
        let public_key = public_key(&leaf)?.into();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config.clone()));
        // TigerVNC 1.12 does not read on behind a session ticket, and waits for ever for what came with it.
        config.send_tls13_tickets = 0;
        Ok(Self {
            acceptor,
            vnc_acceptor: TlsAcceptor::from(Arc::new(config)),
            public_key,
            certificate: leaf,
        })
    }

    /// Takes a TLS acceptor as it is, and the certificate's `subjectPublicKey`, which only NLA needs.
    pub(crate) fn from_acceptor(acceptor: TlsAcceptor, public_key: &[u8]) -> Self {
        Self {
            vnc_acceptor: acceptor.clone(),
            acceptor,
            public_key: public_key.into(),
            certificate: CertificateDer::from(Vec::new()),
        }
    }

    /// No certificate: every TLS handshake fails.
    pub(crate) fn none() -> Result<Self, TlsError> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        Ok(Self::from_acceptor(TlsAcceptor::from(Arc::new(config)), &[]))
    }

    /// The leaf certificate in DER form, of which people compare the SHA-256.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// The same for VNC viewers.
    pub(crate) fn vnc_acceptor(&self) -> &TlsAcceptor {
        &self.vnc_acceptor
    }

    /// The `subjectPublicKey` bits of the certificate ([MS-CSSP] 3.1.5 `pubKeyAuth`).
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// The `subjectPublicKey` bits of a certificate in DER form.
pub(crate) fn public_key(certificate: &[u8]) -> Result<Vec<u8>, x509_cert::der::Error> {
    let parsed = x509_cert::Certificate::from_der(certificate)?;
    let info = parsed.tbs_certificate().subject_public_key_info();
    Ok(info.subject_public_key.raw_bytes().to_vec())
}
