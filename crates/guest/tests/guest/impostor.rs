//! A program that poses as QEMU: a QMP socket, a D-Bus display with one console, and a listener's socket on which it
//! says whatever a test wants. Serves one connection after the other until it is dropped.

use std::io::{BufRead, BufReader, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::call::call as method_call;

/// What the impostor does with each listener's socket, once it has authenticated the daemon.
pub type Script = dyn Fn(&mut UnixStream) + Send + Sync;

struct Console {
    script: Arc<Script>,
}

#[zbus::interface(name = "org.qemu.Display1.Console")]
impl Console {
    fn register_listener(&self, listener: zbus::OwnedFd) {
        let script = self.script.clone();
        std::thread::spawn(move || {
            let mut socket = UnixStream::from(OwnedFd::from(listener));
            socket.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
            authenticate(&mut socket);
            script(&mut socket);
        });
    }

    #[zbus(property)]
    fn label(&self) -> String {
        "VGA".to_owned()
    }

    #[zbus(property, name = "Type")]
    fn kind(&self) -> String {
        "Graphic".to_owned()
    }
}

/// Listens for QMP at `path` on a thread of its own.
pub fn pose_as_qemu(path: &Path, script: Arc<Script>) {
    let listener = UnixListener::bind(path).expect("socket");
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let script = script.clone();
            serve(socket.expect("accepted"), Console { script }, &runtime);
        }
    });
}

/// One QMP connection, until its other side closes it.
fn serve(mut socket: UnixStream, console: Console, runtime: &tokio::runtime::Handle) {
    let mut console = Some(console);
    let mut display = None;
    let mut descriptor = None;
    let greeting = json!({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}});
    say(&mut socket, &greeting);
    while let Some((line, passed)) = receive(&mut socket) {
        descriptor = passed.or(descriptor);
        let value = match line["execute"].as_str().expect("a command") {
            "query-display-options" => json!({"type": "dbus", "p2p": true}),
            "add_client" => {
                let fd: OwnedFd = descriptor.take().expect("a descriptor");
                let console = console.take().expect("one display for each connection");
                display = Some(runtime.spawn(display_server(fd.into(), console)));
                json!({})
            }
            _ => json!({}),
        };
        say(&mut socket, &json!({ "return": value }));
    }
    if let Some(task) = display {
        task.abort();
    }
}

async fn display_server(socket: UnixStream, console: Console) {
    let guid = zbus::Guid::generate();
    let connection = zbus::connection::Builder::unix_stream(socket)
        .server(guid)
        .p2p()
        .serve_at("/org/qemu/Display1", zbus::fdo::ObjectManager)
        .serve_at("/org/qemu/Display1/Console_0", console)
        .build()
        .await
        .expect("display");
    connection.closed().await;
}

fn say(socket: &mut UnixStream, value: &Value) {
    // The daemon may have left already.
    let _ = socket.write_all(format!("{value}\n").as_bytes());
}

/// One line and the descriptor that came with it.
fn receive(socket: &mut UnixStream) -> Option<(Value, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = vec![0; 4096];
    let received = recvmsg(
        &*socket,
        &mut [IoSliceMut::new(&mut buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .ok()?;
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let line = buffer[..received.bytes].split(|byte| *byte == b'\n').next()?;
    Some((serde_json::from_slice(line).ok()?, descriptor))
}

/// The server's side of authentication, as QEMU's.
fn authenticate(socket: &mut UnixStream) {
    let mut reader = BufReader::new(OneByte(socket));
    let mut line = String::new();
    let answers = ["OK 0123456789abcdef0123456789abcdef\r\n", "AGREE_UNIX_FD\r\n", ""];
    for answer in answers {
        line.clear();
        reader.read_line(&mut line).expect("authentication");
        reader.get_mut().0.write_all(answer.as_bytes()).expect("authentication");
    }
    assert_eq!(line, "BEGIN\r\n");
}

/// Reads byte by byte, so that nothing beyond a line is taken.
struct OneByte<'a>(&'a mut UnixStream);

impl Read for OneByte<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(&mut out[..1])
    }
}

/// A flag of a message (D-Bus specification, "Message Format").
const NO_REPLY_EXPECTED: u8 = 1;

/// A call without arguments but `words` and, if the signature has one, an array of bytes, no answer wanted.
pub fn call(member: &str, signature: &str, words: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    if signature.ends_with("ay") {
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
    }
    let to = ("/org/qemu/Display1/Listener", "org.qemu.Display1.Listener");
    let mut message = method_call(to, (member, signature), &body);
    message[2] = NO_REPLY_EXPECTED;
    message
}
