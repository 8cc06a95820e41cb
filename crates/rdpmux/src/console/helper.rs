//! Between FreeRDP's channel `rdp2tcp` and consoles on this computer: FreeRDP's side is standard input and output, the
//! consoles' is a socket like a daemon's, so that `rdpmux console` finds it. One console at a time.
//!
//! ```text
//! PING from the daemon → HELLO → WELCOME → the socket is made
//! console: line of JSON, HELLO → its WELCOME → frames both ways → it leaves: its streams are closed, and a PING is sent;
//!          what comes before the PONG was for it, so the next console gets nothing of it
//! ```
//! FreeRDP does nothing else while it writes to us: so we always read, and each direction has a thread that writes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rdpmux_host::admin::{self, Answer, MAX_LINE, Problem, ProblemKind, Request};
use rdpmux_streams::frame::MAX_PAYLOAD;
use rdpmux_streams::rdp2tcp::Unframed;
use rdpmux_streams::{Frame, MAJOR, MINOR, Splitter, Text, ToClient, ToServer};
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use serde_json::{Value, json};

/// Runs until FreeRDP closes our standard input.
///
/// # Errors
/// When the socket cannot be made, or what comes is not the protocol of streams.
pub(crate) fn run() -> anyhow::Result<()> {
    let (up, queue) = Way::new();
    std::thread::spawn(move || queue.write(io::stdout()));
    let desk = Arc::new(Shared {
        desk: Mutex::new(Desk::new(up)),
        freed: Condvar::new(),
    });
    // Its file goes with it.
    let mut _door = None;
    let (mut unframed, mut splitter) = (Unframed::default(), splitter());
    let mut buffer = [0; 16 << 10];
    let mut stdin = io::stdin().lock();
    loop {
        let count = match stdin.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("cannot read from FreeRDP"),
        };
        let mut bytes = Vec::new();
        unframed.take(&buffer[..count], &mut bytes);
        splitter.feed(&bytes);
        while let Some(frame) = splitter.next_frame()? {
            let welcomed = desk.lock().take(&frame)?;
            desk.freed.notify_all();
            if let Some(vm) = welcomed {
                let door = Door::open()?;
                door.serve(&desk, &vm)?;
                eprintln!("rdpmux: the streams of {vm} are here: rdpmux console {vm}");
                _door = Some(door);
            }
        }
    }
}

/// Bytes on their way to somebody who may not take them now.
struct Way {
    sender: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

/// Where they come out.
struct End {
    receiver: Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Way {
    fn new() -> (Self, End) {
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let end = End {
            receiver,
            waiting: waiting.clone(),
        };
        (Self { sender, waiting }, end)
    }

    fn send(&self, bytes: Vec<u8>) {
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        let _ = self.sender.send(bytes);
    }

    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > MOST
    }
}

impl End {
    /// Until nobody sends any more, or nobody takes.
    fn write(self, mut to: impl Write) {
        while let Ok(bytes) = self.receiver.recv() {
            if to.write_all(&bytes).and_then(|()| to.flush()).is_err() {
                return;
            }
            self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }
}

struct Shared {
    desk: Mutex<Desk>,
    /// Told when the place of a console may be free again.
    freed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A console comes; it waits a moment for what the one before it left behind.
    fn join(&self, down: Way) -> Result<u64, &'static str> {
        let waits = |desk: &mut Desk| desk.console.is_none() && desk.barrier.is_some();
        let waited = self.freed.wait_timeout_while(self.lock(), PATIENCE, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.join(down)
    }
}

/// What both sides share.
struct Desk {
    /// To the daemon.
    up: Way,
    has_greeted: bool,
    /// The daemon's WELCOME, which every console gets.
    welcome: Vec<u8>,
    console: Option<Console>,
    /// Streams that consoles left open, until the daemon has closed them.
    stale: BTreeSet<u16>,
    /// A console left: its place is free after this PONG.
    barrier: Option<u64>,
    last_number: u64,
}

/// The console that uses the line.
struct Console {
    number: u64,
    down: Way,
    open: BTreeSet<u16>,
}

impl Desk {
    fn new(up: Way) -> Self {
        Self {
            up,
            has_greeted: false,
            welcome: Vec::new(),
            console: None,
            stale: BTreeSet::new(),
            barrier: None,
            last_number: 0,
        }
    }

    /// Says something to the daemon.
    fn say(&self, message: &ToServer<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.up.send(bytes);
    }

    /// Takes what the daemon says; the machine's name if that was its WELCOME.
    fn take(&mut self, frame: &Frame<'_>) -> anyhow::Result<Option<String>> {
        match ToClient::decode(frame)? {
            Some(ToClient::Ping(value)) => self.pinged(value),
            Some(ToClient::Pong(value)) if self.barrier == Some(value) => self.barrier = None,
            Some(ToClient::Welcome { vm, .. }) if self.welcome.is_empty() => {
                self.welcome = whole(frame);
                return Ok(Some(vm.to_string()));
            }
            Some(ToClient::Error { text, .. }) => {
                self.hand_down(frame);
                bail!("the daemon ended the connection: {text}");
            }
            Some(ToClient::Opened { stream, .. }) => match &mut self.console {
                Some(console) => {
                    console.open.insert(stream);
                    self.hand_down(frame);
                }
                None => self.forget(stream),
            },
            Some(ToClient::Closed { stream, .. }) => {
                if !self.stale.remove(&stream) {
                    self.hand_down(frame);
                }
                if let Some(console) = &mut self.console {
                    console.open.remove(&stream);
                }
            }
            _ if self.stale.contains(&frame.stream) => {}
            _ => self.hand_down(frame),
        }
        Ok(None)
    }

    /// The first shows that the daemon is there, which FreeRDP does not tell us otherwise.
    fn pinged(&mut self, value: u64) {
        if self.has_greeted {
            return self.say(&ToServer::Pong(value));
        }
        self.has_greeted = true;
        self.say(&ToServer::Hello {
            major: MAJOR,
            minor: MINOR,
            caps: 0,
            max_frame: MAX_PAYLOAD,
            client: Text::cleaned(concat!("rdpmux stream-helper ", env!("CARGO_PKG_VERSION"))),
            vm: Text::default(),
        });
    }

    /// Gives a frame to the console. One that does not take them leaves.
    fn hand_down(&mut self, frame: &Frame<'_>) {
        let Some(console) = &self.console else { return };
        console.down.send(whole(frame));
        if console.down.is_full() {
            let number = console.number;
            self.leave(number);
        }
    }

    /// A console comes.
    fn join(&mut self, down: Way) -> Result<u64, &'static str> {
        if self.console.is_some() || self.barrier.is_some() {
            return Err("another console uses this connection; leave that one first");
        }
        self.last_number += 1;
        self.console = Some(Console {
            number: self.last_number,
            down,
            open: BTreeSet::new(),
        });
        Ok(self.last_number)
    }

    /// Takes what a console says. `false`: it has to go.
    fn take_up(&mut self, number: u64, frame: &Frame<'_>) -> bool {
        let Some(console) = self.console.as_ref().filter(|console| console.number == number) else {
            return false;
        };
        match ToServer::decode(frame) {
            Ok(Some(ToServer::Hello { .. })) => console.down.send(self.welcome.clone()),
            // We answer the daemon's ourselves.
            Ok(Some(ToServer::Pong(_)) | None) => {}
            Ok(Some(_)) => self.up.send(whole(frame)),
            Err(_) => return false,
        }
        !self.up.is_full()
    }

    /// A console leaves, if it has not left.
    fn leave(&mut self, number: u64) {
        let Some(console) = self.console.take_if(|console| console.number == number) else {
            return;
        };
        for stream in console.open {
            self.forget(stream);
        }
        self.barrier = Some(number);
        self.say(&ToServer::Ping(number));
    }

    fn forget(&mut self, stream: u16) {
        self.stale.insert(stream);
        self.say(&ToServer::Close { stream });
    }
}

/// A frame as it is on the wire.
fn whole(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + frame.payload.len());
    bytes.extend_from_slice(&[frame.kind, frame.flags]);
    bytes.extend_from_slice(&frame.stream.to_le_bytes());
    bytes.extend_from_slice(&(frame.payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(frame.payload);
    bytes
}

/// The socket for consoles, in the folder where commands look for daemons.
struct Door {
    path: PathBuf,
    listener: UnixListener,
}

impl Door {
    fn open() -> anyhow::Result<Self> {
        let folder = admin::directory();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        remove_dead(&folder);
        let path = folder.join(format!("{PREFIX}{}.sock", std::process::id()));
        let bound = || -> io::Result<UnixListener> {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            // Before it is bound, so that its file never has another mode.
            fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
            bind(&socket, &SocketAddrUnix::new(&path)?)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            listen(&socket, 8)?;
            Ok(UnixListener::from(socket))
        };
        let listener = bound().with_context(|| path.display().to_string())?;
        Ok(Self { path, listener })
    }

    /// Lets consoles in, each on a thread of its own.
    fn serve(&self, desk: &Arc<Shared>, vm: &str) -> io::Result<()> {
        let (listener, desk, vm) = (self.listener.try_clone()?, desk.clone(), vm.to_owned());
        std::thread::spawn(move || {
            while let Ok((console, _)) = listener.accept() {
                let (desk, vm) = (desk.clone(), vm.clone());
                std::thread::spawn(move || attend(&console, &desk, &vm));
            }
        });
        Ok(())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// FreeRDP kills its helper, whose socket then stays.
fn remove_dead(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_helpers = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_dead = || UnixStream::connect(entry.path()).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
        if is_helpers && is_dead() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Serves one console, or tells any other command that it is wrong here.
fn attend(console: &UnixStream, desk: &Arc<Shared>, vm: &str) {
    let (down, queue) = Way::new();
    let joined = asked(console, vm).and_then(|()| {
        let unavailable = |text| Problem::new(ProblemKind::Unavailable, text);
        desk.join(down).map_err(unavailable)
    });
    let number = match joined {
        Ok(number) => number,
        Err(problem) => return answer(console, None, Some(problem)),
    };
    answer(console, Some(json!({})), None);
    if let Ok(writer) = console.try_clone() {
        std::thread::spawn(move || {
            queue.write(&writer);
            let _ = writer.shutdown(Shutdown::Both);
        });
        follow(console, desk, number);
    }
    desk.lock().leave(number);
}

/// Whether the first line asks for the streams of this machine.
fn asked(console: &UnixStream, vm: &str) -> Result<(), Problem> {
    let bad = |text: &str| Problem::new(ProblemKind::BadRequest, text);
    let mut line = String::new();
    let _ = console.set_read_timeout(Some(PATIENCE));
    // Nothing is sent behind the line before its answer, so nothing is lost in the buffer.
    let read = BufReader::new(console.take(MAX_LINE as u64)).read_line(&mut line);
    let _ = console.set_read_timeout(None);
    match read.ok().and_then(|_| serde_json::from_str(&line).ok()) {
        Some(Request::Streams { desktop, user: None }) if desktop.eq_ignore_ascii_case(vm) => Ok(()),
        Some(Request::Streams { user: Some(_), .. }) => Err(bad("over RDP you are who logged in there")),
        Some(_) => {
            let text = format!("only the streams of {vm} are here, over RDP");
            Err(Problem::new(ProblemKind::NotFound, text))
        }
        None => Err(bad("no request")),
    }
}

fn answer(mut console: &UnixStream, ok: Option<Value>, error: Option<Problem>) {
    let answer = Answer { ok, error, payload: 0 };
    if let Ok(mut line) = serde_json::to_vec(&answer) {
        line.push(b'\n');
        let _ = console.write_all(&line);
    }
}

/// Takes what the console says until it goes.
fn follow(mut console: &UnixStream, desk: &Shared, number: u64) {
    let mut splitter = splitter();
    let mut buffer = [0; 4 << 10];
    while let Ok(count @ 1..) = console.read(&mut buffer) {
        splitter.feed(&buffer[..count]);
        loop {
            match splitter.next_frame() {
                Ok(Some(frame)) if desk.lock().take_up(number, &frame) => {}
                Ok(None) => break,
                _ => return,
            }
        }
    }
}

fn splitter() -> Splitter {
    let mut splitter = Splitter::default();
    splitter.set_limit(MAX_PAYLOAD);
    splitter
}

/// Of the sockets' names: commands look at `admin-*.sock`.
const PREFIX: &str = "admin-helper-";
/// Bytes that may wait for somebody: more than the credits of a console, and its largest answer, a piece of history.
const MOST: usize = 4 << 20;
/// For a console's first line.
const PATIENCE: Duration = Duration::from_secs(10);
