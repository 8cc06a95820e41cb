use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rdpmux_streams::State;
use rdpmux_streams::hub::{Input, Output};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::*;

/// A source that is followed, as its owner sees it.
struct Owner {
    events: mpsc::Receiver<GuestEvent>,
    _follower: Follower,
}

fn own(place: Place) -> Owner {
    let (sender, events) = mpsc::channel(4);
    let source = Source {
        name: Text::cleaned("serial0"),
        place,
    };
    Owner {
        events,
        _follower: follow(source, "web1".to_owned(), sender),
    }
}

impl Owner {
    async fn port(&mut self) -> StreamPort {
        match self.events.recv().await.expect("the follower runs") {
            GuestEvent::StreamAdded(port) => port,
            other => panic!("{other:?}"),
        }
    }

    /// The port of something that is there.
    async fn open(&mut self) -> StreamPort {
        loop {
            let mut port = self.port().await;
            if port.output.recv().await == Some(Output::State(State::Open)) {
                return port;
            }
        }
    }
}

/// What it says until it has said as much as is wanted.
async fn said(port: &mut StreamPort, wanted: &[u8]) {
    let mut all = Vec::new();
    while all.len() < wanted.len() {
        match port.output.recv().await {
            Some(Output::Bytes(bytes)) => all.extend(bytes),
            other => panic!("{other:?} after {:?}", all.escape_ascii().to_string()),
        }
    }
    assert_eq!(all.escape_ascii().to_string(), wanted.escape_ascii().to_string());
}

async fn gone(mut port: StreamPort) {
    assert_eq!(port.output.recv().await, None);
}

/// Both ways over a connection.
async fn talk(port: &mut StreamPort, other: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    other.write_all(b"login: \xff\x00").await.unwrap();
    said(port, b"login: \xff\x00").await;
    port.input.send(Input::Break(0)).await.unwrap();
    port.input.send(Input::Bytes(b"root\r".to_vec())).await.unwrap();
    let mut typed = [0; 5];
    other.read_exact(&mut typed).await.unwrap();
    assert_eq!(&typed, b"root\r");
}

#[test]
fn places_are_read_as_they_are_written() {
    for text in [
        "serial0=unix:/run/a.sock",
        "a=listen:/run/rdpmux/web1",
        "b=tcp:[::1]:4001",
        "c=pty:/dev/pts/3",
        "d=file:/var/log/web1=x.log",
    ] {
        let source: Source = text.parse().unwrap();
        assert_eq!(format!("{}={}", source.name, source.place), text);
    }
    for (text, wanted) in [
        ("unix:/run/a", PlaceError::Name),
        ("=unix:/run/a", PlaceError::Name),
        ("a/b=unix:/run/a", PlaceError::Name),
        ("a\u{7}=unix:/run/a", PlaceError::Name),
        ("a=udp:1", PlaceError::Kind("udp".to_owned())),
        ("a=unix", PlaceError::Path(String::new())),
        ("a=file:log", PlaceError::Path("log".to_owned())),
        ("a=tcp:host", PlaceError::Address("host".to_owned())),
        ("a=tcp:host:99999", PlaceError::Address("host:99999".to_owned())),
    ] {
        assert_eq!(text.parse::<Source>(), Err(wanted), "{text}");
    }
}

#[tokio::test]
async fn a_place_is_listed_before_anything_is_there() {
    let mut owner = own(Place::Unix(PathBuf::from("/nonexistent/socket")));
    let mut port = owner.port().await;
    assert_eq!(port.label.name.as_str(), "serial0");
    assert_eq!(port.output.recv().await, None);
}

#[tokio::test]
async fn a_hypervisor_that_connects_again_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serial0");
    // What a killed daemon leaves.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut owner = own(Place::Listen(path.clone()));
    for _ in 0..2 {
        let mut socket = loop {
            match UnixStream::connect(&path).await {
                Ok(socket) => break socket,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut port = owner.open().await;
        talk(&mut port, &mut socket).await;
        drop(socket);
        gone(port).await;
    }
    drop(owner);
    while path.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_socket_that_another_program_listens_on_stays_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serial0");
    let _theirs = UnixListener::bind(&path).unwrap();
    let error = Door::open(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert!(Door::open(&file).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[tokio::test]
async fn a_hypervisor_s_own_sockets_are_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serial0");
    let unix = UnixListener::bind(&path).unwrap();
    let mut owner = own(Place::Unix(path));
    let (mut socket, _) = unix.accept().await.unwrap();
    talk(&mut owner.open().await, &mut socket).await;

    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut owner = own(Place::Tcp(tcp.local_addr().unwrap().to_string()));
    let (mut socket, _) = tcp.accept().await.unwrap();
    talk(&mut owner.open().await, &mut socket).await;
}

fn terminal() -> (OwnedFd, PathBuf) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    (master, PathBuf::from(name.to_str().unwrap()))
}

#[tokio::test]
async fn a_terminal_is_raw_and_ours_alone() {
    let (master, path) = terminal();
    let mut owner = own(Place::Pty(path.clone()));
    let mut port = owner.open().await;
    rustix::io::write(&master, b"a\r\x03\x04b\n").unwrap();
    said(&mut port, b"a\r\x03\x04b\n").await;
    port.input.send(Input::Bytes(b"ls\n\r".to_vec())).await.unwrap();
    let mut typed = [0; 4];
    tokio::task::spawn_blocking(move || {
        let mut at = 0;
        while at < typed.len() {
            at += rustix::io::read(&master, &mut typed[at..]).unwrap();
        }
        assert_eq!(&typed, b"ls\n\r");
    })
    .await
    .unwrap();
    // The master is closed with the task.
    gone(port).await;

    let (_master, path) = terminal();
    let _theirs = fs::OpenOptions::new().read(true).open(&path).unwrap();
    let error = tty::open(&path).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(tty::open(Path::new("/dev/null")).is_err());
}

#[tokio::test]
async fn a_file_is_followed_through_truncation_and_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web1.log");
    fs::write(&path, "boot\n").unwrap();
    let mut owner = own(Place::File(path.clone()));
    let mut port = owner.open().await;
    assert_eq!(port.label.kind, Kind::Log);
    said(&mut port, b"boot\n").await;
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"more\n").unwrap();
    said(&mut port, b"more\n").await;
    file.set_len(0).unwrap();
    file.write_all(b"new\n").unwrap();
    said(&mut port, b"new\n").await;
    fs::rename(&path, folder.path().join("old")).unwrap();
    fs::write(&path, "after\n").unwrap();
    said(&mut port, b"after\n").await;
}
