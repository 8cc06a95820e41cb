//! The server as strangers meet it: raw bytes at the door, limits, deadlines, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rdpmux_engine::surface;
use rdpmux_model::{DesktopName, HeadState, Rights, Size};
use rdpmux_server::{
    Accounts, Desktop, DesktopHandle, DesktopSource, Directory, Limits, Logins, NtHash, Peripherals, Reconnect,
    Routing, ServerConfig, Sessions, Stopper, SurfaceCodecs, TlsIdentity, serve, stop_pair,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

struct Nobody;

impl Accounts for Nobody {
    fn nt_hash(&self, _user: &str) -> Option<NtHash> {
        None
    }

    fn verify(&self, _user: &str, _password: &str) -> bool {
        false
    }
}

struct One(DesktopHandle);

impl Directory for One {
    fn find(&self, name: &DesktopName) -> Option<DesktopHandle> {
        (self.0.name() == name).then(|| self.0.clone())
    }

    fn default_desktop(&self) -> Option<DesktopHandle> {
        Some(self.0.clone())
    }

    fn rights(&self, _user: &str, _desktop: &DesktopName) -> Rights {
        Rights::CONTROL
    }
}

struct House {
    address: SocketAddr,
    stopper: Stopper,
    server: JoinHandle<()>,
    _desktop: Desktop,
}

async fn house(limits: Limits, logins: Logins) -> House {
    let (config, desktop) = one_desktop(limits, logins);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stopper, stop) = stop_pair();
    let server = tokio::spawn(serve(listener, Arc::new(config), stop));
    House {
        address,
        stopper,
        server,
        _desktop: desktop,
    }
}

pub fn one_desktop(limits: Limits, logins: Logins) -> (ServerConfig, Desktop) {
    one_machine(limits, logins, Peripherals::default())
}

pub fn one_machine(limits: Limits, logins: Logins, peripherals: Peripherals) -> (ServerConfig, Desktop) {
    let (writer, reader) = surface(Size::new(320, 200));
    let (frames, frames_rx) = watch::channel(reader.generation());
    let (state, state_rx) = watch::channel(HeadState::default());
    let (input, input_rx) = mpsc::channel(16);
    let source = DesktopSource {
        surface: reader,
        frames: frames_rx,
        state: state_rx,
        input,
        peripherals,
        audience: watch::Sender::default(),
        head: None,
    };
    let desktop = Desktop::spawn(DesktopName::new("web1").unwrap(), source);
    // The guest's side lives as long as the process.
    std::mem::forget((writer, frames, state, input_rx));
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = TlsIdentity::from_pem(key.cert.pem().as_bytes(), key.signing_key.serialize_pem().as_bytes()).unwrap();
    let directory = Arc::new(One(desktop.handle()));
    let config = ServerConfig {
        tls,
        accounts: Arc::new(Nobody),
        directory,
        logins,
        rdp2tcp: false,
        codecs: SurfaceCodecs::ALL,
        routing: Routing::default(),
        limits,
        reconnect: Reconnect::default(),
        sessions: Sessions::default(),
    };
    (config, desktop)
}

/// Everything that the server answers until it closes.
async fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut out = Vec::new();
    // A reset is a close as well.
    let _ = timeout(LONG, stream.read_to_end(&mut out))
        .await
        .expect("the server closes");
    out
}

/// A connection request without cookie that offers `protocols` ([MS-RDPBCGR] 2.2.1.1).
pub fn request(protocols: u8) -> Vec<u8> {
    vec![3, 0, 0, 19, 14, 0xE0, 0, 0, 0, 0, 0, 1, 0, 8, 0, protocols, 0, 0, 0]
}

fn short() -> Limits {
    Limits {
        handshake: Duration::from_millis(400),
        ..Limits::default()
    }
}

#[tokio::test]
async fn garbage_at_the_door_ends_that_connection_only() {
    let house = house(short(), Logins::default()).await;
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    eprintln!("seed {seed:#x}");
    for _ in 0..200 {
        let length = 1 + (next(&mut seed) % 300) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| next(&mut seed) as u8).collect();
        if next(&mut seed).is_multiple_of(2) {
            bytes.splice(0..0, [3, 0]);
        }
        answer(house.address, &bytes).await;
    }
    assert!(answer(house.address, b"GET / HTTP/1.1\r\n\r\n").await.is_empty());
    // The server still negotiates.
    let confirm = negotiate(house.address, 1).await;
    assert_eq!(confirm[5], 0xD0, "an X.224 Connection Confirm");
    assert_eq!(confirm[11], 2, "with a negotiation response");
}

#[tokio::test]
async fn legacy_security_is_refused_with_the_protocols_own_failure() {
    let house = house(short(), Logins::default()).await;
    let confirm = negotiate(house.address, 0).await;
    assert_eq!(
        (confirm[5], confirm[11], confirm[15]),
        (0xD0, 3, 1),
        "RDP_NEG_FAILURE, SSL_REQUIRED_BY_SERVER"
    );
    let only_nla = self::house(short(), Logins::NLA).await;
    let confirm = negotiate(only_nla.address, 1).await;
    assert_eq!(
        (confirm[5], confirm[11], confirm[15]),
        (0xD0, 3, 5),
        "RDP_NEG_FAILURE, HYBRID_REQUIRED_BY_SERVER"
    );
}

#[tokio::test]
async fn a_half_open_connection_is_closed_at_the_deadline() {
    let house = house(short(), Logins::default()).await;
    for opening in [&b""[..], &[3], &[3, 0, 0, 19, 14], &request(1)] {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(opening).await.unwrap();
        let mut out = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut out))
            .await
            .expect("closed at the deadline");
    }
}

#[tokio::test]
async fn an_address_cannot_take_every_place_at_the_door() {
    let limits = Limits {
        handshakes_per_address: 3,
        handshake: LONG,
        ..Limits::default()
    };
    let house = house(limits, Logins::default()).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(TcpStream::connect(house.address).await.unwrap());
    }
    let mut refused = TcpStream::connect(house.address).await.unwrap();
    let mut out = Vec::new();
    let _ = timeout(LONG, refused.read_to_end(&mut out))
        .await
        .expect("the fourth is closed at once");
    // A place that is given back serves the next.
    waiting.pop();
    let confirm = loop {
        let confirm = negotiate(house.address, 1).await;
        if !confirm.is_empty() {
            break confirm;
        }
    };
    assert_eq!(confirm[11], 2);
}

#[tokio::test]
async fn the_places_of_a_house_are_counted_over_all_its_doors() {
    let limits = Limits {
        handshakes_per_address: 1,
        handshake: LONG,
        ..Limits::default()
    };
    let (config, _desktop) = one_desktop(limits, Logins::default());
    let (config, house) = (Arc::new(config), rdpmux_server::House::default());
    let (_stopper, stop) = stop_pair();
    let mut doors = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        doors.push(listener.local_addr().unwrap());
        let (house, config, stop) = (house.clone(), config.clone(), stop.clone());
        tokio::spawn(async move { house.serve(listener, config, stop).await });
    }
    // It has the place once it was answered.
    let mut first = TcpStream::connect(doors[0]).await.unwrap();
    first.write_all(&request(1)).await.unwrap();
    first.read_exact(&mut [0; 19]).await.unwrap();
    assert!(negotiate(doors[1], 1).await.is_empty(), "no second place");
    drop(first);
    timeout(LONG, async { while negotiate(doors[1], 1).await.is_empty() {} })
        .await
        .expect("the place is free again");
}

#[tokio::test]
async fn stop_ends_the_server_and_who_waits_at_its_door() {
    let house = house(
        Limits {
            handshake: LONG,
            ..Limits::default()
        },
        Logins::default(),
    )
    .await;
    let mut waiting = TcpStream::connect(house.address).await.unwrap();
    waiting.write_all(&[3, 0]).await.unwrap();
    house.stopper.stop();
    timeout(LONG, house.server).await.expect("the server ends").unwrap();
    let mut out = Vec::new();
    let _ = timeout(LONG, waiting.read_to_end(&mut out))
        .await
        .expect("the connection ends");
}

/// The first answer to a connection request, or nothing if the server closed.
async fn negotiate(address: SocketAddr, protocols: u8) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&request(protocols)).await;
    let mut confirm = vec![0; 19];
    match timeout(LONG, stream.read_exact(&mut confirm)).await.expect("an answer") {
        Ok(_) => confirm,
        Err(_) => Vec::new(),
    }
}

fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

pub const LONG: Duration = Duration::from_secs(20);
