//! Certificate and key from files, ready for the builder (feature `helper`).

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::public_key;

/// A certificate chain and its key.
pub struct TlsIdentityCtx {
    /// The leaf first.
    pub certs: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub priv_key: PrivateKeyDer<'static>,
    /// The leaf's `subjectPublicKey`, to which CredSSP binds ([MS-CSSP] 3.1.5).
    pub pub_key: Vec<u8>,
}

impl TlsIdentityCtx {
    /// Reads certificate and key, each in PEM or DER form.
    ///
    /// # Errors
    /// Names the file that cannot be read or understood.
    pub fn init_from_paths(cert_path: impl AsRef<Path>, key_path: impl AsRef<Path>) -> anyhow::Result<Self> {
        let (cert_path, key_path) = (cert_path.as_ref(), key_path.as_ref());
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let (cert, key) = (read(cert_path)?, read(key_path)?);
        let certs = certificates(cert).with_context(|| format!("no certificate in {}", cert_path.display()))?;
        let priv_key = private_key(key).with_context(|| format!("no private key in {}", key_path.display()))?;
        let leaf = certs.first().context("no certificate")?;
        let pub_key = public_key(leaf).with_context(|| format!("{} is not X.509", cert_path.display()))?;
        Ok(Self {
            certs,
            priv_key,
            pub_key,
        })
    }

    /// An acceptor of TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// When certificate and key do not belong together, or the key's kind is not supported.
    pub fn make_acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.certs.clone(), self.priv_key.clone_key())
            .context("certificate and key cannot be used")?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn certificates(bytes: Vec<u8>) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    if !is_pem(&bytes) {
        return Ok(vec![CertificateDer::from(bytes)]);
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "the file has other PEM sections only");
    Ok(chain)
}

fn private_key(bytes: Vec<u8>) -> anyhow::Result<PrivateKeyDer<'static>> {
    match is_pem(&bytes) {
        true => Ok(PrivateKeyDer::from_pem_slice(&bytes)?),
        false => PrivateKeyDer::try_from(bytes).map_err(anyhow::Error::msg),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_key_are_read_as_pem_and_as_der() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let pem = TlsIdentityCtx::init_from_paths(
            write("cert.pem", made.cert.pem().as_bytes()),
            write("key.pem", made.signing_key.serialize_pem().as_bytes()),
        )
        .unwrap();
        let der = TlsIdentityCtx::init_from_paths(
            write("cert.der", made.cert.der()),
            write("key.der", &made.signing_key.serialize_der()),
        )
        .unwrap();
        assert!(!pem.pub_key.is_empty() && pem.pub_key == der.pub_key && pem.certs == der.certs);
        assert!(pem.make_acceptor().is_ok() && der.make_acceptor().is_ok());
        let missing = TlsIdentityCtx::init_from_paths("nowhere.pem", folder.path().join("key.pem"));
        assert!(format!("{:#}", missing.err().unwrap()).contains("nowhere.pem"));
        let swapped = TlsIdentityCtx::init_from_paths(folder.path().join("key.pem"), folder.path().join("cert.pem"));
        assert!(swapped.is_err());
    }
}
