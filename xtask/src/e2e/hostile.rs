//! Hostile clients against the test card: random, truncated, oversized and reordered bytes at every stage, half-open
//! and slow connections. Real sessions are recorded through a proxy and played back with one change. While they run,
//! a viewer's keys must go on to be echoed, and the daemon must neither panic nor grow.

mod recording;

use super::client::Kind;
use super::clients::{demo, viewer};
use super::daemon::Daemon;
use super::report::{Case, Suite};
use super::text::Font;
use super::wait;
use anyhow::{Context, Result, bail, ensure};
use embedded_graphics::mono_font::ascii::FONT_10X20;
use recording::{CHANGES, Change, play, record};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("hostile first bytes", |case| guarded(case, first_bytes));
    suite.case("hostile handshakes", |case| guarded(case, handshakes));
    suite.case("hostile sessions", |case| guarded(case, sessions));
    suite.case("half-open and slow connections", |case| guarded(case, slow));
}

const SIZE: (usize, usize) = (1024, 768);
/// How long the daemon may keep a connection that says nothing; its own limit is 20 s.
const HALF_OPEN: Duration = Duration::from_secs(40);
/// How long a busy machine may take for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of a session that has a picture are more than these.
const PICTURE: usize = 2000;
/// A busy machine may be late with one.
const TRIES: usize = 4;
const QUIET: Duration = Duration::from_millis(25);

/// Attacks the daemon, looks at the witness by the last argument now and then, and says what it did.
type Attack = fn(&Case, &Daemon, &mut dyn FnMut() -> Result<()>) -> Result<String>;

/// Runs `attack` while a viewer types; nobody else may notice.
fn guarded(case: &Case, attack: Attack) -> Result<String> {
    let mut daemon = demo(&case.folder)?;
    let desktop = daemon.desktops[0].clone();
    let mut witness = viewer(case, "witness", &daemon, &desktop, Kind::FreeRdp2, &["/gfx"])?;
    let before = daemon.process.memory()?;
    let font = Font::of(&FONT_10X20);
    let mut count = 0;
    let mut slowest = Duration::ZERO;
    let mut notice = || -> Result<()> {
        count += 1;
        let word = format!("n{count}.");
        let started = Instant::now();
        witness.display.type_text(&word)?;
        witness.wait_for(
            &case.folder,
            wait::seconds(10),
            "still sees its keys",
            SIZE,
            |picture| font.find(picture, &word).is_some(),
        )?;
        slowest = slowest.max(started.elapsed());
        Ok(())
    };
    notice()?;
    let figure = attack(case, &daemon, &mut notice)?;
    notice()?;
    daemon.process.check()?;
    let log = daemon.process.output();
    if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
        bail!("the daemon panicked: {line}");
    }
    let after = daemon.process.memory()?;
    ensure!(
        after < before + 200 * 1024,
        "the daemon grew from {before} to {after} KiB"
    );
    Ok(format!(
        "{figure}; witness echo at most {} ms, daemon {} → {} MiB",
        slowest.as_millis(),
        before / 1024,
        after / 1024
    ))
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// A connection request that asks for the protocols in `wanted`, as [MS-RDPBCGR] 2.2.1.1.
fn connection_request(wanted: u8) -> Vec<u8> {
    vec![3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, wanted, 0, 0, 0]
}

fn connect(daemon: &Daemon) -> Result<TcpStream> {
    let stream = TcpStream::connect(&daemon.address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `bytes` and hangs up after the answer, whatever it is.
fn throw(daemon: &Daemon, bytes: &[u8]) -> Result<()> {
    let mut stream = connect(daemon)?;
    stream.set_read_timeout(Some(QUIET))?;
    // The server may close while we write.
    let _ = stream.write_all(bytes);
    let _ = stream.read(&mut [0; 4096]);
    Ok(())
}

fn first_bytes(_: &Case, daemon: &Daemon, notice: &mut dyn FnMut() -> Result<()>) -> Result<String> {
    let mut noise = Noise(0x1234_5678_9abc_def1);
    let mut count = 0;
    let request = connection_request(3);
    let preconnection = [
        &[18, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..],
        &[0x41; 300],
    ]
    .concat();
    let mut inputs: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![3, 0],
        vec![3, 0, 0xff, 0xff],
        [&[3, 0, 0xff, 0xff][..], &[0; 70_000]].concat(),
        vec![3, 0, 0, 0],
        vec![3, 0, 0, 4],
        preconnection,
        [0xff; 18].to_vec(),
        [&[0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 2, 0, 0, 0][..], &[0; 4096]].concat(),
        [&[22, 3, 1, 0xff, 0xff][..], &[0; 3000]].concat(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        [b"\x03\x00\x20\x00Cookie: mstshash=".as_slice(), &[b'a'; 8170]].concat(),
    ];
    for length in 0..request.len() {
        inputs.push(request[..length].to_vec());
        let mut flipped = request.clone();
        flipped[length] ^= 0xff;
        inputs.push(flipped);
    }
    inputs.extend((0..150).map(|_| {
        let length = noise.next() as usize % 600;
        noise.bytes(length)
    }));
    inputs.extend((0..50).map(|_| {
        let length = noise.next() as usize % 200;
        [request.clone(), noise.bytes(length)].concat()
    }));
    for input in &inputs {
        throw(daemon, input)?;
        count += 1;
        if count % 60 == 0 {
            notice()?;
        }
    }
    Ok(format!("{count} openings"))
}

/// Takes any certificate: these clients do not care.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(super) type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A TLS client connection over `stream`, handshake not yet done.
pub(super) fn tls(stream: TcpStream) -> Result<Tls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    let connection = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    Ok(rustls::StreamOwned::new(connection, stream))
}

/// Connection request, its answer, and TLS: the stage at which logins begin.
fn up_to_tls(daemon: &Daemon, request: &[u8]) -> Result<Tls> {
    let mut stream = connect(daemon)?;
    stream.write_all(request)?;
    let mut header = [0; 4];
    stream
        .read_exact(&mut header)
        .context("no answer to the connection request")?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])).saturating_sub(4)];
    stream.read_exact(&mut rest)?;
    let mut tls = tls(stream)?;
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).context("TLS handshake")?;
    }
    Ok(tls)
}

fn handshakes(_: &Case, daemon: &Daemon, notice: &mut dyn FnMut() -> Result<()>) -> Result<String> {
    let mut noise = Noise(0x0bad_cafe_0bad_cafe);
    let mut count = 0;
    // A broken TLS handshake after a good request.
    for length in [0, 1, 5, 40, 300, 3000] {
        let mut stream = connect(daemon)?;
        stream.write_all(&connection_request(3))?;
        let _ = stream.read(&mut [0; 64]);
        stream.set_read_timeout(Some(QUIET))?;
        let _ = stream.write_all(&[&[22, 3, 1, 0x40, 0][..], &noise.bytes(length)].concat());
        let _ = stream.read(&mut [0; 4096]);
        count += 1;
    }
    notice()?;
    // Nonsense instead of CredSSP (protocol 2) and instead of the MCS connect (protocol 1).
    for protocol in [1, 3] {
        let mut inputs: Vec<Vec<u8>> = vec![
            vec![0x30],
            vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            [&[0x30, 0x83, 0x0f, 0xff, 0xff][..], &vec![0; 200_000]].concat(),
            [&[0x30, 0x80][..], &[0xa0; 500]].concat(),
            [0x30, 0x82].repeat(3000),
            vec![
                3, 0, 0xff, 0xff, 2, 0xf0, 0x80, 0x7f, 0x65, 0x84, 0xff, 0xff, 0xff, 0xff,
            ],
            [&[3, 0, 4, 0, 2, 0xf0, 0x80, 0x7f, 0x65, 0x82, 3, 0xf0][..], &[4; 1012]].concat(),
            vec![3, 0, 0, 8, 2, 0xf0, 0x80, 0x04],
        ];
        inputs.extend((0..60).map(|_| {
            let length = noise.next() as usize % 2000;
            noise.bytes(length)
        }));
        for input in inputs {
            let mut tls = up_to_tls(daemon, &connection_request(protocol))?;
            tls.sock.set_read_timeout(Some(QUIET))?;
            let _ = tls.write_all(&input).and_then(|()| tls.flush());
            let _ = tls.read(&mut [0; 4096]);
            count += 1;
        }
        notice()?;
    }
    Ok(format!("{count} broken handshakes and logins"))
}

fn sessions(case: &Case, daemon: &Daemon, notice: &mut dyn FnMut() -> Result<()>) -> Result<String> {
    let mut noise = Noise(0x5eed_5eed_5eed_5eed);
    let mut count = 0;
    let mut alive = Vec::new();
    for (name, more) in [("recorded-gfx", &["/gfx"][..]), ("recorded-bitmap", &[][..])] {
        let recording = record(case, daemon, name, more)?;
        // The handshake and the first updates and acknowledgements; what follows repeats.
        let stages = recording.chunks.len().min(22);
        let mut unchanged = 0;
        for _ in 0..TRIES {
            if unchanged <= PICTURE {
                unchanged = play(daemon, &recording, usize::MAX, Change::Nothing, &mut noise)?;
            }
        }
        ensure!(
            unchanged > PICTURE,
            "the recording of {name} gets no picture when it is played: {unchanged} bytes"
        );
        alive.push(format!(
            "{name}: {} chunks, {} KiB of picture",
            recording.chunks.len(),
            unchanged / 1024
        ));
        for at in 0..stages {
            for change in CHANGES {
                play(daemon, &recording, at, change, &mut noise)
                    .with_context(|| format!("{name}: {change:?} at {at}"))?;
                count += 1;
            }
            if at % 8 == 7 {
                notice()?;
            }
        }
    }
    Ok(format!("{count} changed sessions ({})", alive.join("; ")))
}

fn slow(_: &Case, daemon: &Daemon, notice: &mut dyn FnMut() -> Result<()>) -> Result<String> {
    let started = Instant::now();
    let mut open: Vec<TcpStream> = (0..20).map(|_| connect(daemon)).collect::<Result<_>>()?;
    let request = connection_request(3);
    let mut drip: Vec<TcpStream> = (0..4).map(|_| connect(daemon)).collect::<Result<_>>()?;
    let mut late: Vec<Tls> = (0..4).map(|_| up_to_tls(daemon, &request)).collect::<Result<_>>()?;
    notice()?;
    let mut sent = 0;
    while started.elapsed() < HALF_OPEN {
        for stream in &mut drip {
            let _ = stream.write_all(&request[sent % request.len()..=sent % request.len()]);
        }
        sent += usize::from(sent + 1 < request.len());
        notice()?;
        let idle = open
            .iter_mut()
            .filter_map(|stream| is_open(stream).then_some(()))
            .count();
        let tls = late
            .iter_mut()
            .filter_map(|stream| is_open(&mut stream.sock).then_some(()))
            .count();
        let slow = drip
            .iter_mut()
            .filter_map(|stream| is_open(stream).then_some(()))
            .count();
        if idle + tls + slow == 0 {
            return Ok(format!(
                "28 half-open connections closed after {} s",
                started.elapsed().as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(700));
    }
    bail!("half-open connections are still open after {} s", HALF_OPEN.as_secs())
}

fn is_open(stream: &mut TcpStream) -> bool {
    if stream.set_read_timeout(Some(Duration::from_millis(1))).is_err() {
        return false;
    }
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}
