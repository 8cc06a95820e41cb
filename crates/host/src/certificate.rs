//! The certificate of the port: the operator's own, or a self-signed one that is made on first start and kept, so that
//! clients which remember it are not alarmed at the next start. RSA of 2048 bits: rdesktop 1.9 takes no other kind.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rdpmux_server::{TlsError, TlsIdentity};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::rand_core::UnwrapErr;
use sha2::{Digest, Sha256};
use tracing::info;

use crate::config::{CertificateFiles, Config};
use crate::private_file::{self, PrivateFileError};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The operator's files do not fit.
    #[error("`tls.certificate` = {}, `tls.key` = {}: {source}", files.certificate.display(), files.key.display())]
    Own {
        /// Which files.
        files: CertificateFiles,
        /// What is wrong.
        source: TlsError,
    },
    /// The kept files do not fit.
    #[error("{}: {source}; remove it and {} to have a new pair made", certificate.display(), key.display())]
    Kept {
        /// The kept certificate.
        certificate: PathBuf,
        /// The kept key.
        key: PathBuf,
        /// What is wrong.
        source: TlsError,
    },
    /// One of the kept files is gone.
    #[error("{} is there but {} is not; bring it back, or remove the first to have a new pair made", there.display(), missing.display())]
    Half {
        /// The file that is there.
        there: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// No key could be made.
    #[error("cannot make a key: {0}")]
    Key(String),
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be used.
    #[error("cannot use the certificate that was made: {0}")]
    Made(#[source] TlsError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
}

/// Certificate and key, with the fingerprint that people compare.
#[derive(Clone)]
pub struct Identity {
    tls: TlsIdentity,
    fingerprint: String,
}

impl Identity {
    /// Largest PEM file in bytes.
    const LIMIT: u64 = 1 << 20;

    /// The identity that the configuration asks for; makes the kept pair if there is none yet.
    ///
    /// # Errors
    /// [`CertificateError`] names the file and what to do.
    pub fn load(config: &Config) -> Result<Self, CertificateError> {
        match &config.certificate {
            Some(files) => Self::own(files),
            None => Self::kept(&config.state_dir, &config.routing.server_names),
        }
    }

    /// The same without making anything: `None` if the kept pair is still to be made.
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub fn inspect(config: &Config) -> Result<Option<Self>, CertificateError> {
        let files = ["certificate.pem", "key.pem"].map(|name| config.state_dir.join(name));
        if config.certificate.is_none() && files.iter().all(|file| !file.exists()) {
            return Ok(None);
        }
        Self::load(config).map(Some)
    }

    /// A self-signed identity that lives as long as this value: that of `demo` and `run`.
    ///
    /// # Errors
    /// [`CertificateError::Make`].
    pub fn ephemeral() -> Result<Self, CertificateError> {
        let (certificate, key) = make(&[])?;
        Self::from_pem(certificate.as_bytes(), key.as_bytes()).map_err(CertificateError::Made)
    }

    fn own(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let chain = fs::read(&files.certificate).map_err(|source| PrivateFileError::io(&files.certificate, source))?;
        let key = private_file::read(&files.key, Self::LIMIT)?;
        Self::from_pem(&chain, &key).map_err(|source| CertificateError::Own {
            files: files.clone(),
            source,
        })
    }

    fn kept(state_dir: &Path, server_names: &[String]) -> Result<Self, CertificateError> {
        private_file::prepare_directory(state_dir)?;
        let (certificate, key) = (state_dir.join("certificate.pem"), state_dir.join("key.pem"));
        match (certificate.exists(), key.exists()) {
            (true, true) => {}
            (false, false) => {
                let (certificate_pem, key_pem) = make(server_names)?;
                private_file::replace(&key, key_pem.as_bytes())?;
                private_file::replace(&certificate, certificate_pem.as_bytes())?;
                info!(certificate = %certificate.display(), "self-signed certificate made");
            }
            (true, false) => {
                return Err(CertificateError::Half {
                    there: certificate,
                    missing: key,
                });
            }
            (false, true) => {
                return Err(CertificateError::Half {
                    there: key,
                    missing: certificate,
                });
            }
        }
        let chain = fs::read(&certificate).map_err(|source| PrivateFileError::io(&certificate, source))?;
        let key_pem = private_file::read(&key, Self::LIMIT)?;
        Self::from_pem(&chain, &key_pem).map_err(|source| CertificateError::Kept {
            certificate,
            key,
            source,
        })
    }

    fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let tls = TlsIdentity::from_pem(certificate, key)?;
        let mut fingerprint = String::with_capacity(64);
        for byte in Sha256::digest(tls.certificate_der()) {
            let _ = write!(fingerprint, "{byte:02x}");
        }
        Ok(Self { tls, fingerprint })
    }

    /// SHA-256 of the leaf certificate in DER form, as 64 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn tls(&self) -> TlsIdentity {
        self.tls.clone()
    }
}

/// A certificate and key in PEM form. Valid for long: clients trust it by its fingerprint, not by an authority.
fn make(server_names: &[String]) -> Result<(String, String), CertificateError> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned()];
    names.extend(server_names.iter().flat_map(|name| [name.clone(), format!("*.{name}")]));
    if !host.is_empty() && host.is_ascii() && host != "localhost" {
        names.push(host.clone());
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(
        DnType::CommonName,
        if host.is_empty() { "rdpmux".to_owned() } else { host },
    );
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key_pem = make_key()?;
    let key = KeyPair::from_pem(&key_pem)?;
    Ok((params.self_signed(&key)?.pem(), key_pem))
}

/// A new RSA key in PKCS#8 form. Takes up to some seconds. `ring`, which signs with it, cannot make one.
fn make_key() -> Result<String, CertificateError> {
    let failed = |what: &dyn std::fmt::Display| CertificateError::Key(what.to_string());
    let key = RsaPrivateKey::new(&mut UnwrapErr(getrandom::SysRng), KEY_BITS).map_err(|error| failed(&error))?;
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| failed(&error))?;
    Ok((*pem).clone())
}

const KEY_BITS: usize = 2048;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(state_dir: &Path) -> Config {
        Config {
            state_dir: state_dir.to_owned(),
            ..Config::default()
        }
    }

    #[test]
    fn the_certificate_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().expect("tempdir");
        let state = directory.path().join("state");
        let first = Identity::load(&config(&state)).expect("made");
        let second = Identity::load(&config(&state)).expect("kept");
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.fingerprint().len(), 64);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join("key.pem"))), (0o700, 0o600));
        assert_ne!(Identity::ephemeral().expect("made").fingerprint(), first.fingerprint());
    }

    #[test]
    fn half_a_pair_and_a_readable_key_are_refused_with_the_remedy() {
        let directory = tempfile::tempdir().expect("tempdir");
        let state = directory.path().join("state");
        Identity::load(&config(&state)).expect("made");
        let key = state.join("key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
        let error = Identity::load(&config(&state)).err().expect("refused").to_string();
        assert!(error.contains("chmod 0600"), "{error}");
        fs::remove_file(&key).expect("remove");
        let error = Identity::load(&config(&state)).err().expect("refused").to_string();
        assert!(error.contains("certificate.pem is there but"), "{error}");
    }

    #[test]
    fn an_own_certificate_that_does_not_fit_names_the_keys_of_the_configuration() {
        let directory = tempfile::tempdir().expect("tempdir");
        let (certificate, _) = make(&[]).expect("made");
        let (_, other_key) = make(&[]).expect("made");
        let files = CertificateFiles {
            certificate: directory.path().join("c.pem"),
            key: directory.path().join("k.pem"),
        };
        fs::write(&files.certificate, certificate).expect("write");
        private_file::replace(&files.key, other_key.as_bytes()).expect("write");
        let config = Config {
            certificate: Some(files),
            ..config(directory.path())
        };
        let error = Identity::load(&config).err().expect("refused").to_string();
        assert!(
            error.contains("`tls.certificate` = ") && error.contains("`tls.key` = "),
            "{error}"
        );
    }
}
