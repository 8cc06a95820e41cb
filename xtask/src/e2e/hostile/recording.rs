//! What a real client says, recorded through a proxy of our own, and played back with one change.

use super::{Noise, QUIET, SIZE, connect, tls, up_to_tls};
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon::Daemon;
use crate::e2e::report::Case;
use anyhow::{Result, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Things that are said after the changed one.
const AFTERWARDS: usize = 6;

/// What a real client sent after TLS, one chunk per read.
pub(super) struct Recording {
    request: Vec<u8>,
    pub(super) chunks: Vec<Vec<u8>>,
}

/// Lets a real client log in with TLS through a proxy that keeps what it sends.
pub(super) fn record(case: &Case, daemon: &Daemon, name: &str, more: &[&str]) -> Result<Recording> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let desktop = &daemon.desktops[1];
    let more = [&["/sec:tls"], more].concat();
    let config = Config {
        kind: Kind::FreeRdp2,
        address: &address,
        user: &desktop.login(),
        password: &desktop.password,
        size: SIZE,
        more: &more,
        host: None,
    };
    let _client = Client::start(&case.folder, name, &config)?;
    let mut near = listener.accept()?.0;
    near.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut far = connect(daemon)?;
    let mut buffer = vec![0; 65536];
    let count = near.read(&mut buffer)?;
    let request = buffer[..count].to_vec();
    far.write_all(&request)?;
    let count = far.read(&mut buffer)?;
    near.write_all(&buffer[..count])?;
    let mut near = rustls::StreamOwned::new(rustls::ServerConnection::new(certificate(case)?)?, near);
    let mut far = tls(far)?;
    let mut chunks = Vec::new();
    let started = Instant::now();
    for stream in [&near.sock, &far.sock] {
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
    }
    while started.elapsed() < Duration::from_secs(6) {
        if let Some(count) = quiet(near.read(&mut buffer))? {
            if count == 0 {
                break;
            }
            chunks.push(buffer[..count].to_vec());
            far.write_all(&buffer[..count])?;
            far.flush()?;
        }
        if let Some(count) = quiet(far.read(&mut buffer))? {
            if count == 0 {
                break;
            }
            near.write_all(&buffer[..count])?;
            near.flush()?;
        }
    }
    ensure!(
        chunks.len() > 8,
        "the recorded client said only {} things: see {name}.log",
        chunks.len()
    );
    Ok(Recording { request, chunks })
}

/// `None` when nothing came in time.
fn quiet(result: std::io::Result<usize>) -> Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}

fn certificate(case: &Case) -> Result<Arc<rustls::ServerConfig>> {
    let (key, cert) = (case.folder.join("proxy.key"), case.folder.join("proxy.pem"));
    if !key.exists() {
        crate::certificate::write(&cert, &key, "DNS:localhost")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(
        vec![CertificateDer::from_pem_file(&cert)?],
        PrivateKeyDer::from_pem_file(&key)?,
    )?))
}

/// One change to a recording, at one chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Nothing,
    Random,
    Truncate,
    Oversize,
    Flip,
    Repeat,
    Skip,
    Hold,
}

pub(super) const CHANGES: [Change; 7] = [
    Change::Random,
    Change::Truncate,
    Change::Oversize,
    Change::Flip,
    Change::Repeat,
    Change::Skip,
    Change::Hold,
];

/// Plays a recording with one change. Returns how many bytes the server sent.
pub(super) fn play(
    daemon: &Daemon,
    recording: &Recording,
    at: usize,
    change: Change,
    noise: &mut Noise,
) -> Result<usize> {
    let mut tls = up_to_tls(daemon, &recording.request)?;
    // Its picture counts, so a busy server gets longer.
    let quiet = if change == Change::Nothing { QUIET * 4 } else { QUIET };
    tls.sock.set_read_timeout(Some(quiet))?;
    let mut received = 0;
    let last = at.saturating_add(AFTERWARDS).min(recording.chunks.len());
    for (index, chunk) in recording.chunks[..last].iter().enumerate() {
        let mut bytes = chunk.clone();
        if index == at {
            match change {
                Change::Nothing | Change::Hold => {}
                Change::Random => bytes = noise.bytes(1 + noise.0 as usize % 900),
                Change::Truncate => bytes.truncate(bytes.len() / 2),
                Change::Oversize => {
                    bytes.splice(2.min(bytes.len())..4.min(bytes.len()), [0xff, 0xff]);
                    bytes.resize(66_000, 0x55);
                }
                Change::Flip => (0..4).for_each(|_| {
                    let place = noise.next() as usize % bytes.len();
                    bytes[place] ^= 1 << (noise.next() % 8);
                }),
                Change::Repeat => bytes.extend_from_slice(chunk),
                Change::Skip => continue,
            }
        }
        if tls.write_all(&bytes).and_then(|()| tls.flush()).is_err() {
            break;
        }
        let mut buffer = vec![0; 65536];
        // Answers are not looked at, only taken, until the server is quiet.
        while let Ok(count) = tls.read(&mut buffer) {
            received += count;
            if count == 0 || received > 20_000_000 {
                return Ok(received);
            }
            if index + 1 < last && count < buffer.len() {
                break;
            }
        }
        if index == at && matches!(change, Change::Truncate | Change::Hold) {
            break;
        }
    }
    Ok(received)
}
