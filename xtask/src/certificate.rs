//! Certificates for servers that run for a test or a bench.

use crate::steps;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Writes a key and a self-signed certificate for this subject alternative name (`DNS:localhost`, `IP:127.0.0.1`).
///
/// # Errors
/// When openssl is missing or cannot write.
pub fn write(certificate: &Path, key: &Path, name: &str) -> Result<()> {
    let common = name.split_once(':').map_or(name, |(_kind, name)| name);
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"])
        .args([
            "-subj",
            &format!("/CN={common}"),
            "-addext",
            &format!("subjectAltName={name}"),
        ])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate);
    steps::output(&mut openssl).map(drop)
}
