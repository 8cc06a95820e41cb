//! Whether a server's certificate is the right one: named by its fingerprint, signed by an authority, or asked for.
//! Whatever the answer, the server has to prove that it has the certificate's key.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

/// SHA-256 of a certificate in DER form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// Reads 64 hexadecimal digits, perhaps with colons between them, and `sha256:` before them.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = match text.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("sha256:") => &text[7..],
            _ => text,
        };
        let digits: Vec<u32> = plain
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16))
            .collect::<Option<_>>()?;
        let (pairs, []) = digits.as_chunks::<2>() else {
            return None;
        };
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect();
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Which certificate is taken.
pub enum Trust<'a> {
    /// The one with this fingerprint.
    Fingerprint(Fingerprint),
    /// One for the host's name, signed by an authority of this file in PEM form.
    Authorities(Vec<u8>),
    /// One to which this says yes. It is asked before anything but the machine's name was sent.
    Ask(&'a dyn Fn(Fingerprint) -> bool),
}

impl Trust<'_> {
    /// TLS 1.2 or 1.3 that trusts so.
    pub(crate) fn config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let config = match self {
            Self::Authorities(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate =
                        certificate.map_err(|error| Error::General(format!("the authorities' file: {error}")))?;
                    roots.add(certificate)?;
                }
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| Error::General(format!("the authorities' file: {error}")))?;
                builder.with_webpki_verifier(verifier)
            }
            // The certificate itself is looked at after the handshake, before anything is sent.
            Self::Fingerprint(_) | Self::Ask(_) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(KeyOnly(provider))),
        };
        Ok(config.with_no_client_auth())
    }
}

/// Checks that the server has the key of the certificate that it shows, whichever that is.
#[derive(Debug)]
struct KeyOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for KeyOnly {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_people_write_it() {
        let plain = "00ff".repeat(16);
        let wanted = Fingerprint::parse(&plain).expect("64 digits");
        assert_eq!(wanted.to_string(), plain);
        let colons = vec!["00:FF"; 16].join(":");
        for text in [format!("SHA256:{plain}"), colons, format!(" {plain}\n")] {
            assert_eq!(Fingerprint::parse(&text), Some(wanted), "{text}");
        }
        for text in ["", "00", &plain[1..], &format!("{plain}00"), &"ä".repeat(32)] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
