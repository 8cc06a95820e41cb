//! A machine behind real sockets and real shared memory; the hypervisor's side is written here from `rdpmux-wire`.

mod bad;
mod six;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rdpmux_model::{Audience, InputEvent, Scancode, Size};
use rdpmux_wire::{Uuid36, format, v5, zmtp};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::GuestSpec;
use crate::librdpmux::{Config, Registration, SocketName, Switchboard};
use crate::port::HeadPort;

/// Nothing in these tests takes so long but a failure.
const LIMIT: Duration = Duration::from_secs(20);
const ID: i32 = 7;

fn uuid() -> Uuid36 {
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff".parse().expect("a uuid")
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A switchboard in a folder of its own, which is also where named memory is.
struct Rig {
    folder: TempDir,
    board: Switchboard,
}

/// A machine that runs.
struct Guest {
    events: mpsc::Receiver<GuestEvent>,
    port: HeadPort,
    task: JoinHandle<()>,
    peripherals: crate::Peripherals,
}

async fn rig() -> Rig {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let config = Config {
        socket: SocketName::Path(folder.path().join("five")),
        socket6: folder.path().join("six"),
    };
    let board = Switchboard::listen(config).await.expect("sockets");
    Rig { folder, board }
}

fn registration(version: i32) -> Registration {
    Registration {
        id: ID,
        uuid: uuid(),
        version,
        uid: Some(own_uid()),
    }
}

impl Rig {
    async fn start(&self, who: Registration) -> Guest {
        let Ok(GuestSpec::Librdpmux(ticket)) = self.board.register(who) else {
            panic!("{who:?} is refused");
        };
        let (sender, mut events) = mpsc::channel(64);
        let (peripherals, ends) = crate::librdpmux::ports(&ticket);
        let folder = self.folder.path().to_owned();
        let task = tokio::spawn(run_in(folder, ticket, "web1".to_owned(), sender, Arc::default(), ends));
        let Some(GuestEvent::HeadAdded(port)) = events.recv().await else {
            panic!("head 0 comes first");
        };
        Guest {
            events,
            port,
            task,
            peripherals,
        }
    }

    /// Named memory of `bytes`.
    fn memory(&self, bytes: &[u8]) -> File {
        let path = self.folder.path().join(format!("{ID}.rdpmux"));
        let mut file = File::create(path).expect("a file");
        file.write_all(bytes).expect("room");
        file
    }

    async fn five(&self) -> Five {
        Five::connect(self, uuid()).await
    }
}

impl Guest {
    /// Waits until `is_so` holds of the surface's pixels.
    async fn pixels(&self, is_so: impl Fn(Size, &[u8]) -> bool) {
        let mut frames = self.port.frames.clone();
        let wait = async {
            loop {
                frames.mark_unchanged();
                let (size, pixels) = self.port.surface.snapshot();
                if is_so(size, &pixels) {
                    return;
                }
                frames.changed().await.expect("the machine runs");
            }
        };
        timeout(LIMIT, wait).await.expect("the picture comes");
    }

    async fn presence(&self, is_so: impl Fn(&Presence) -> bool) {
        let mut state = self.port.state.clone();
        let wait = state.wait_for(|state| is_so(&state.presence));
        timeout(LIMIT, wait).await.expect("it comes").expect("the machine runs");
    }

    async fn ended(self) {
        timeout(LIMIT, self.task)
            .await
            .expect("it ends")
            .expect("without a panic");
    }
}

/// A hypervisor of protocol 5.
struct Five {
    socket: UnixStream,
    zmtp: zmtp::Connection,
    uuid: Uuid36,
}

impl Five {
    async fn connect(rig: &Rig, uuid: Uuid36) -> Self {
        let socket = UnixStream::connect(rig.folder.path().join("five"))
            .await
            .expect("it listens");
        let mut five = Self {
            socket,
            zmtp: zmtp::Connection::new(zmtp::Role::Dealer, b""),
            uuid,
        };
        while !five.zmtp.is_ready() {
            five.flush().await;
            five.read().await;
        }
        five
    }

    async fn flush(&mut self) {
        let out = self.zmtp.take_output();
        self.socket.write_all(&out).await.expect("it reads");
    }

    async fn read(&mut self) {
        let mut buffer = [0; 4096];
        let length = timeout(LIMIT, self.socket.read(&mut buffer)).await.expect("it speaks");
        let length = length.expect("a socket");
        assert!(length > 0, "the daemon closed the connection");
        self.zmtp.feed(&buffer[..length]).expect("zmtp");
    }

    async fn say_bytes(&mut self, bytes: &[u8]) {
        let uuid = self.uuid;
        self.zmtp.send(&[uuid.as_str().as_bytes(), bytes]);
        self.flush().await;
    }

    async fn say(&mut self, message: v5::ToDaemon) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.say_bytes(&bytes).await;
    }

    async fn switch(&mut self, format: u32, width: u32, height: u32) {
        self.say(v5::ToDaemon::Switch { format, width, height }).await;
    }

    async fn update(&mut self, x: u32, y: u32, width: u32, height: u32) {
        self.say(v5::ToDaemon::Update { x, y, width, height }).await;
    }

    async fn hear(&mut self) -> v5::ToGuest {
        loop {
            if let Some(parts) = self.zmtp.next_message() {
                let [uuid, message] = parts.as_slice() else {
                    panic!("{parts:?} is no message");
                };
                assert_eq!(Uuid36::from_bytes(uuid), Ok(self.uuid));
                return v5::ToGuest::decode(message).expect("a message");
            }
            self.read().await;
        }
    }

    /// The answer to an update: success and rate.
    async fn answer(&mut self) -> (bool, u16) {
        loop {
            if let v5::ToGuest::UpdateComplete { success, rate } = self.hear().await {
                return (success, rate);
            }
        }
    }
}

#[tokio::test]
async fn all_eight_formats_are_shown_pixel_by_pixel() {
    let rig = rig().await;
    let guest = rig.start(registration(5)).await;
    // Orange. Five bits can tell its green of 132, six have 130 or 134.
    let orange = [8, 132, 255];
    let formats: [(u32, &[u8], [u8; 3]); 8] = [
        (format::A8R8G8B8, &[8, 132, 255, 77], orange),
        (format::X8R8G8B8, &[8, 132, 255, 77], orange),
        (format::R8G8B8A8, &[77, 8, 132, 255], orange),
        (format::R8G8B8X8, &[77, 8, 132, 255], orange),
        (format::R8G8B8, &[8, 132, 255], orange),
        (format::B8G8R8, &[255, 132, 8], orange),
        (format::R5G6B5, &0xFC01_u16.to_le_bytes(), [8, 130, 255]),
        (format::X1R5G5B5, &0xFE01_u16.to_le_bytes(), orange),
    ];
    let mut five = rig.five().await;
    for (index, (code, pixel, color)) in formats.into_iter().enumerate() {
        // An odd width: rows follow each other without a gap.
        let size = Size::new(5 + index as u32, 3);
        rig.memory(&pixel.repeat(size.area() as usize));
        five.switch(code, size.width, size.height).await;
        let is_so = |now: Size, pixels: &[u8]| now == size && pixels.chunks_exact(4).all(|pixel| pixel[..3] == color);
        guest.pixels(is_so).await;
    }
}

#[tokio::test]
async fn an_update_is_answered_when_its_pixels_are_there() {
    let rig = rig().await;
    let mut guest = rig.start(registration(5)).await;
    let memory = rig.memory(&[1; 64 * 64 * 4]);
    let mut five = rig.five().await;
    five.switch(format::X8R8G8B8, 64, 64).await;
    for value in [50, 60, 70] {
        memory.write_all_at(&[value; 4], (10 * 64 + 20) * 4).expect("room");
        five.update(16, 0, 16, 16).await;
        assert!(five.answer().await.0);
        let (size, pixels) = guest.port.surface.snapshot();
        assert_eq!(size, Size::new(64, 64));
        assert_eq!(pixels[(10 * 64 + 20) * 4], value);
    }
    guest.presence(|presence| *presence == Presence::Running).await;
    let Some(GuestEvent::Identified { uuid: Some(told), .. }) = guest.events.recv().await else {
        panic!("it says who it is");
    };
    assert_eq!(told.parse(), Ok(uuid()));
}

#[tokio::test]
async fn the_rate_is_told_when_viewers_come_and_go() {
    let rig = rig().await;
    let guest = rig.start(registration(5)).await;
    rig.memory(&[1; 64 * 64 * 4]);
    guest.port.audience.send_replace(Audience::NONE);
    let mut five = rig.five().await;
    five.switch(format::X8R8G8B8, 64, 64).await;
    assert_eq!(five.answer().await, (true, 1));
    guest.port.audience.send_replace(Audience::new(1, 40));
    let (success, rate) = five.answer().await;
    assert!(success && rate > 1);
    guest.port.audience.send_replace(Audience::NONE);
    assert_eq!(five.answer().await, (true, 1));
}

#[tokio::test]
async fn keys_reach_the_hypervisor() {
    let rig = rig().await;
    let guest = rig.start(registration(5)).await;
    rig.memory(&[1; 64 * 64 * 4]);
    let mut five = rig.five().await;
    five.switch(format::X8R8G8B8, 64, 64).await;
    guest.pixels(|size, _| size == Size::new(64, 64)).await;
    for down in [true, false] {
        let scancode = Scancode::new(0x1E, false).expect("a key");
        guest
            .port
            .input
            .send(InputEvent::Key { scancode, down })
            .await
            .expect("room");
    }
    let mut keys = Vec::new();
    while keys.len() < 2 {
        if let v5::ToGuest::Keyboard { code, flags } = five.hear().await {
            keys.push((code, flags));
        }
    }
    assert_eq!(keys, [(0x1E, 0x4000), (0x1E, 0x8000)]);
}

#[tokio::test]
async fn a_machine_ends_when_it_says_so() {
    let rig = rig().await;
    let mut guest = rig.start(registration(5)).await;
    let mut five = rig.five().await;
    five.say(v5::ToDaemon::Shutdown).await;
    let mut notices = Vec::new();
    while let Some(event) = timeout(LIMIT, guest.events.recv()).await.expect("it ends") {
        if let GuestEvent::Notice(notice) = event {
            notices.push(notice);
        }
    }
    assert_eq!(notices, [Notice::Shutdown]);
    guest.ended().await;
    // Its names are free.
    rig.start(registration(5)).await;
}

#[tokio::test]
async fn a_hypervisor_that_dies_leaves_a_card_and_may_come_back() {
    let rig = rig().await;
    let guest = rig.start(registration(5)).await;
    rig.memory(&[200; 64 * 64 * 4]);
    let is_shown = |size: Size, pixels: &[u8]| size == Size::new(64, 64) && pixels[..3] == [200; 3];
    for _ in 0..2 {
        let mut five = rig.five().await;
        five.switch(format::X8R8G8B8, 64, 64).await;
        guest.pixels(is_shown).await;
        drop(five);
        guest
            .presence(|presence| matches!(presence, Presence::Gone { .. }))
            .await;
        guest.pixels(|size, pixels| !is_shown(size, pixels)).await;
    }
}

#[tokio::test]
async fn a_machine_that_is_registered_anew_replaces_the_one_that_waits() {
    let rig = rig().await;
    let first = rig.start(registration(5)).await;
    let second = rig.start(registration(5)).await;
    first.ended().await;
    rig.memory(&[1; 64 * 64 * 4]);
    let mut five = rig.five().await;
    five.switch(format::X8R8G8B8, 64, 64).await;
    second.pixels(|size, _| size == Size::new(64, 64)).await;
}

#[tokio::test]
async fn names_in_memory_are_the_hypervisors_own() {
    let rig = rig().await;
    let peer = |uid, pid| Peer { uid, pid: Some(pid) };
    let own = peer(own_uid(), rustix::process::getpid().as_raw_nonzero().get());
    let path = rig.folder.path().join("7.rdpmux");
    assert!(matches!(
        memory::open_named(rig.folder.path(), ID, own),
        Err(memory::NamedError::Missing { id: ID })
    ));
    std::os::unix::fs::symlink("/etc/hostname", &path).expect("a link");
    assert!(matches!(
        memory::open_named(rig.folder.path(), ID, own),
        Err(memory::NamedError::Open { .. })
    ));
    std::fs::remove_file(&path).expect("there");
    rig.memory(&[1]);
    let file = memory::open_named(rig.folder.path(), ID, own).expect("its own");
    let file = rdpmux_shm::MemoryFile::open(file, 0).expect("in memory");
    // Its maker lives: it stays. Then it is dead.
    Named::new(rig.folder.path(), ID, &file, own).release();
    assert!(path.exists());
    let mut child = std::process::Command::new("true").spawn().expect("a process");
    let dead = peer(own_uid(), child.id() as i32);
    child.wait().expect("it ends");
    Named::new(rig.folder.path(), ID, &file, dead).release();
    assert!(!path.exists());
}
