use std::fs;
use std::path::Path;

use rdpmux_server::streams::StreamSource;
use rdpmux_streams::hub::{Input, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::*;

/// The guest's side of a stream.
struct Device {
    output: mpsc::Sender<Output>,
    input: mpsc::Receiver<Input>,
}

fn attach(streams: &Streams, name: &str, kind: Kind) -> Device {
    let (output, said) = mpsc::channel(4);
    let (typed, input) = mpsc::channel(1);
    let label = Label {
        name: Text::cleaned(name),
        title: Text::default(),
        kind,
    };
    streams.attach(StreamSource {
        label,
        output: said,
        input: typed,
    });
    Device { output, input }
}

async fn says(device: &Device, text: &str) {
    let bytes = text.as_bytes().to_vec();
    device.output.send(Output::Bytes(bytes)).await.expect("taken");
}

/// A machine with outlets in a folder.
fn machine(folder: &Path) -> (Streams, Opened) {
    let streams = Streams::new("web1".to_owned());
    let outlets = Outlets {
        records: Some(Records {
            dir: folder.to_owned(),
            bytes: 1 << 20,
            files: 2,
        }),
        sockets: Some(folder.join("sockets")),
    };
    let opened = Opened::new(outlets, streams.clone(), "web1");
    (streams, opened)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("waited in vain: {what}");
}

async fn connect(path: &Path) -> UnixStream {
    until("the socket", || path.exists()).await;
    UnixStream::connect(path).await.expect("it is served")
}

#[tokio::test]
async fn everything_that_was_said_is_in_the_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let (streams, mut opened) = machine(folder.path());
    let device = attach(&streams, "serial0", Kind::Serial);
    let _file = attach(&streams, "log", Kind::Log);
    says(&device, "before\n").await;
    opened.fit(&streams.labels());
    for line in 0..1000 {
        says(&device, &format!("line {line}\n")).await;
    }
    let path = folder.path().join("web1.serial0.log");
    let text = || fs::read_to_string(&path).unwrap_or_default();
    until("the last line", || text().ends_with("line 999\n")).await;
    let lines: Vec<_> = text().lines().map(|line| line[25..].to_owned()).collect();
    let wanted: Vec<_> = ["before".to_owned()]
        .into_iter()
        .chain((0..1000).map(|line| format!("line {line}")))
        .collect();
    assert_eq!(lines, wanted);
    assert!(!folder.path().join("web1.log.log").exists(), "that is a file already");
}

#[tokio::test]
async fn a_socket_is_the_device_s_line_for_one_writer_and_many_readers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (streams, mut opened) = machine(folder.path());
    let mut device = attach(&streams, "serial0", Kind::Serial);
    let path = folder.path().join("sockets/web1/serial0");
    fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    // What a killed daemon leaves.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    opened.fit(&streams.labels());
    let mut first = loop {
        match UnixStream::connect(&path).await {
            Ok(socket) => break socket,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let mut second = connect(&path).await;
    first.write_all(b"root\r").await.expect("taken");
    assert_eq!(device.input.recv().await, Some(Input::Bytes(b"root\r".to_vec())));
    second.write_all(b"intruder").await.expect("taken");
    // Dropped; what comes next is the first one's.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    first.write_all(b"ls\r").await.expect("taken");
    assert_eq!(device.input.recv().await, Some(Input::Bytes(b"ls\r".to_vec())));
    says(&device, "bin\r\n").await;
    for socket in [&mut first, &mut second] {
        let mut said = [0; 5];
        socket.read_exact(&mut said).await.expect("said");
        assert_eq!(&said, b"bin\r\n");
    }
    // More than may wait, for a device that takes one piece at a time.
    let typed = vec![b'x'; 200 << 10];
    let wanted = typed.len();
    let writer = tokio::spawn(async move {
        first.write_all(&typed).await.expect("taken");
        first
    });
    let mut count = 0;
    while count < wanted {
        match device.input.recv().await {
            Some(Input::Bytes(bytes)) => count += bytes.len(),
            other => panic!("{other:?} after {count}"),
        }
    }
    drop(writer.await.expect("it wrote"));
    device.output.send(Output::Unplugged).await.expect("taken");
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).await.expect("closed");
    opened.fit(&streams.labels());
    until("the socket is gone", || !path.exists()).await;
}

#[tokio::test]
async fn what_a_program_types_right_before_it_leaves_reaches_the_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let (streams, mut opened) = machine(folder.path());
    let mut device = attach(&streams, "serial0", Kind::Serial);
    opened.fit(&streams.labels());
    let path = folder.path().join("sockets/web1/serial0");
    let mut typed = Vec::new();
    for turn in 0..50 {
        let mut program = connect(&path).await;
        program
            .write_all(format!("word {turn}\r").as_bytes())
            .await
            .expect("taken");
        drop(program);
        // It cannot be told any more, which is no reason not to hear it.
        says(&device, "echo").await;
        let wanted = format!("word {turn}\r").into_bytes();
        typed.clear();
        while typed != wanted {
            match device.input.recv().await {
                Some(Input::Bytes(bytes)) => typed.extend(bytes),
                other => panic!("{other:?} instead of what was typed"),
            }
            assert!(wanted.starts_with(&typed));
        }
    }
}

#[tokio::test]
async fn a_file_where_a_socket_should_be_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("serial0");
    fs::write(&path, "precious").expect("written");
    assert!(socket::Socket::open(&path).is_err());
    assert_eq!(fs::read(&path).expect("there"), b"precious");
}
