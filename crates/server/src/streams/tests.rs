//! Clients of a machine's streams over a pipe in memory.

use std::collections::VecDeque;

use rdpmux_streams::frame::Frame;
use rdpmux_streams::{ErrorCode, Kind, Mode, Replay, Rights, Splitter, Text, ToClient, ToServer, Wish};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::*;

struct Device {
    output: mpsc::Sender<Output>,
    input: mpsc::Receiver<Input>,
}

fn device(streams: &Streams, name: &str) -> Device {
    let (output, said) = mpsc::channel(16);
    let (given, input) = mpsc::channel(1);
    streams.attach(StreamSource {
        label: Label {
            name: Text::cleaned(name),
            title: Text::default(),
            kind: Kind::Serial,
        },
        output: said,
        input: given,
    });
    Device { output, input }
}

impl Device {
    async fn says(&self, text: &str) {
        let bytes = text.as_bytes().to_vec();
        self.output.send(Output::Bytes(bytes)).await.expect("taken");
    }
}

struct Client {
    io: DuplexStream,
    splitter: Splitter,
    told: VecDeque<String>,
    _visit: JoinHandle<()>,
}

impl Client {
    /// One that said nothing yet.
    fn new(streams: &Streams, who: &str, rights: Rights) -> Self {
        let (io, carrier) = tokio::io::duplex(64 << 10);
        let visitor = Visitor {
            who: Text::cleaned(who),
            rights: Box::new(move |_| rights),
        };
        let mut splitter = Splitter::default();
        splitter.set_limit(MAX);
        Self {
            io,
            splitter,
            told: VecDeque::new(),
            _visit: tokio::spawn(visit(carrier, streams.clone(), visitor)),
        }
    }

    async fn greeted(streams: &Streams, who: &str, rights: Rights) -> Self {
        let mut client = Self::new(streams, who, rights);
        client.say(&hello(1, "")).await;
        client.expect("welcome web1").await;
        client
    }

    async fn say(&mut self, message: &ToServer<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.io.write_all(&bytes).await.expect("taken");
    }

    async fn open(&mut self, name: &str, mode: Mode, replay: Replay) {
        let name = Text::cleaned(name);
        let (request, credit) = (7, 1 << 16);
        self.say(&ToServer::Open {
            request,
            mode,
            replay,
            credit,
            name,
        })
        .await;
    }

    /// The next message as words; `end` at the end.
    async fn next(&mut self) -> String {
        loop {
            if let Some(word) = self.told.pop_front() {
                return word;
            }
            let mut bytes = Vec::new();
            if self.io.read_buf(&mut bytes).await.expect("a pipe") == 0 {
                return "end".to_owned();
            }
            self.splitter.feed(&bytes);
            while let Some(frame) = self.splitter.next_frame().expect("good frames") {
                self.told.push_back(word(&frame));
            }
        }
    }

    /// Skips what it is told until that is `wanted`.
    async fn expect(&mut self, wanted: &str) {
        let mut before = Vec::new();
        let found = tokio::time::timeout(std::time::Duration::from_secs(100), async {
            loop {
                match self.next().await {
                    word if word == wanted => return true,
                    word if word == "end" => return false,
                    word => before.push(word),
                }
            }
        });
        let found = found.await.unwrap_or(false);
        assert!(found, "{wanted:?} did not come, but {before:?}");
    }
}

const MAX: u32 = rdpmux_streams::frame::MAX_PAYLOAD;

fn hello(major: u16, vm: &str) -> ToServer<'_> {
    ToServer::Hello {
        major,
        minor: 0,
        caps: 0,
        max_frame: MAX,
        client: Text::default(),
        vm: Text::cleaned(vm),
    }
}

fn word(frame: &Frame<'_>) -> String {
    match ToClient::decode(frame).expect("good messages").expect("known") {
        ToClient::Welcome { vm, .. } => format!("welcome {vm}"),
        ToClient::Added(entry) => format!("added {} {:?}", entry.name, entry.state),
        ToClient::Changed(entry) => format!("changed {} {:?} {}", entry.name, entry.state, entry.writer),
        ToClient::Removed { why, .. } => format!("removed {why:?}"),
        ToClient::ListEnd { count } => format!("list of {count}"),
        ToClient::Opened { stream, mode, .. } => format!("opened {stream} {mode:?}"),
        ToClient::Failed { code, .. } => format!("failed {code:?}"),
        ToClient::Closed { code, offset, .. } => format!("closed {code:?} {offset}"),
        ToClient::Data { offset, bytes, .. } => format!("{offset}:{}", String::from_utf8_lossy(bytes)),
        ToClient::Writer { writer, who, .. } => format!("{writer:?} {who}"),
        ToClient::History { bytes, .. } => format!("kept {}", String::from_utf8_lossy(bytes)),
        ToClient::Event { what, .. } => format!("{what:?}"),
        ToClient::Error { code, .. } => format!("error {code:?}"),
        ToClient::Pong(value) => format!("pong {value}"),
        other => format!("{other:?}"),
    }
}

fn machine() -> Streams {
    Streams::new("web1".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_client_lists_opens_reads_and_writes() {
    let streams = machine();
    let mut serial = device(&streams, "serial0");
    let mut client = Client::greeted(&streams, "alice", Rights::ALL).await;
    client.say(&ToServer::List { follow: true }).await;
    assert_eq!(client.next().await, "added serial0 Open");
    assert_eq!(client.next().await, "list of 1");
    serial.says("login: ").await;
    client.open("serial0", Mode::Write, Replay::From(0)).await;
    client.expect("opened 1 Write").await;
    client.expect("0:login: ").await;
    client
        .say(&ToServer::Data {
            stream: 1,
            bytes: b"root\r",
        })
        .await;
    assert_eq!(serial.input.recv().await, Some(Input::Bytes(b"root\r".to_vec())));
    client.say(&ToServer::Break { stream: 1, ms: 0 }).await;
    assert_eq!(serial.input.recv().await, Some(Input::Break(0)));
    serial.says("# ").await;
    client.expect("7:# ").await;
    client.say(&ToServer::Ping(5)).await;
    client.expect("pong 5").await;
    client.say(&ToServer::Close { stream: 1 }).await;
    client.expect("closed None 9").await;
    let (request, name) = (1, Text::cleaned("serial0"));
    client
        .say(&ToServer::History {
            request,
            from: 2,
            max: 4,
            name,
        })
        .await;
    client.expect("kept gin:").await;
}

#[tokio::test(start_paused = true)]
async fn devices_come_and_go_and_come_back_with_their_history() {
    let streams = machine();
    let serial = device(&streams, "serial0");
    let mut client = Client::greeted(&streams, "alice", Rights::ALL).await;
    client.say(&ToServer::List { follow: true }).await;
    client.expect("list of 1").await;
    let extra = device(&streams, "serial1");
    client.expect("added serial1 Open").await;
    client.open("serial1", Mode::Watch, Replay::None).await;
    client.expect("opened 1 Watch").await;
    extra.output.send(Output::Unplugged).await.expect("taken");
    client.expect("closed Some(NoSuchStream) 0").await;
    client.expect("removed Unplugged").await;
    serial.says("before").await;
    drop(serial);
    client.expect("changed serial0 NoSource ").await;
    let serial = device(&streams, "serial0");
    client.expect("changed serial0 Open ").await;
    serial.says(", after").await;
    client.open("serial0", Mode::Watch, Replay::From(0)).await;
    client.expect("0:before, after").await;
    streams.end();
    client.expect("error MachineGone").await;
    assert_eq!(client.next().await, "end");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_watch_knows_of_nothing() {
    let streams = machine();
    let _serial = device(&streams, "serial0");
    let mut stranger = Client::greeted(&streams, "mallory", Rights::NONE).await;
    stranger.say(&ToServer::List { follow: false }).await;
    assert_eq!(stranger.next().await, "list of 0");
    for name in ["serial0", "serial9"] {
        stranger.open(name, Mode::Watch, Replay::None).await;
        assert_eq!(stranger.next().await, "failed NoSuchStream");
    }
    let mut watcher = Client::greeted(&streams, "bob", Rights::WATCH).await;
    watcher.open("serial0", Mode::Write, Replay::None).await;
    assert_eq!(watcher.next().await, "failed Denied");
}

#[tokio::test(start_paused = true)]
async fn three_watch_and_one_writes() {
    let streams = machine();
    let mut serial = device(&streams, "serial0");
    let mut clients = Vec::new();
    for who in ["a", "b", "c", "d"] {
        let mut client = Client::greeted(&streams, who, Rights::ALL).await;
        client.open("serial0", Mode::Write, Replay::None).await;
        clients.push(client);
    }
    clients[0].expect("You a").await;
    clients[3].expect("Other a").await;
    clients[3]
        .say(&ToServer::Data {
            stream: 1,
            bytes: b"no",
        })
        .await;
    clients[3].expect("Other a").await;
    let wish = Wish::TakeOver;
    clients[3].say(&ToServer::Writer { stream: 1, wish }).await;
    for client in &mut clients[..3] {
        client.expect("Other d").await;
    }
    clients[3]
        .say(&ToServer::Data {
            stream: 1,
            bytes: b"yes",
        })
        .await;
    assert_eq!(serial.input.recv().await, Some(Input::Bytes(b"yes".to_vec())));
    serial.says("all").await;
    for client in &mut clients {
        client.expect("0:all").await;
    }
    let last = clients.pop().expect("four");
    drop(last);
    clients[0].expect("Nobody ").await;
}

#[tokio::test(start_paused = true)]
async fn what_breaks_the_protocol_ends_with_its_reason() {
    let streams = machine();
    let _serial = device(&streams, "serial0");
    for (messages, reason) in [
        (vec![hello(2, "")], "error Version"),
        (vec![hello(1, "web2")], "error NoSuchStream"),
        (vec![hello(1, ""), hello(1, "")], "error Malformed"),
        (vec![ToServer::List { follow: false }], "error Malformed"),
    ] {
        let mut client = Client::new(&streams, "a", Rights::ALL);
        for message in &messages {
            client.say(message).await;
        }
        client.expect(reason).await;
        assert_eq!(client.next().await, "end");
    }
    let mut client = Client::new(&streams, "a", Rights::ALL);
    client
        .io
        .write_all(&[1, 0, 0, 0, 255, 255, 255, 255])
        .await
        .expect("taken");
    client.expect("error TooLarge").await;
    let mut client = Client::greeted(&streams, "a", Rights::ALL).await;
    client.open("serial0", Mode::Watch, Replay::None).await;
    let add = u32::MAX;
    client.say(&ToServer::Credit { stream: 1, add }).await;
    client.expect(&format!("error {:?}", ErrorCode::CreditOverrun)).await;
    let mut silent = Client::new(&streams, "a", Rights::ALL);
    assert_eq!(silent.next().await, "end", "who says nothing is let go");
}

#[tokio::test(start_paused = true)]
async fn opens_in_a_loop_are_refused() {
    let streams = machine();
    let _serial = device(&streams, "serial0");
    let mut client = Client::greeted(&streams, "a", Rights::ALL).await;
    for _ in 0..8 {
        client.open("serial0", Mode::Watch, Replay::None).await;
    }
    client.open("serial0", Mode::Watch, Replay::None).await;
    client.expect("failed Rate").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_up_nobody_and_goes() {
    let streams = machine();
    let serial = device(&streams, "serial0");
    let mut stuck = Client::greeted(&streams, "stuck", Rights::ALL).await;
    stuck.open("serial0", Mode::TakeOver, Replay::None).await;
    stuck.expect("You stuck").await;
    let add = 1 << 30;
    stuck.say(&ToServer::Credit { stream: 1, add }).await;
    for _ in 0..4000 {
        serial.says(&"x".repeat(1000)).await;
    }
    let mut other = Client::greeted(&streams, "other", Rights::ALL).await;
    other.open("serial0", Mode::Watch, Replay::Last(1)).await;
    other.expect("Other stuck").await;
    other.expect("Nobody ").await;
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_asked_and_then_let_go() {
    let streams = machine();
    let mut client = Client::greeted(&streams, "a", Rights::ALL).await;
    let began = tokio::time::Instant::now();
    for _ in 0..4 {
        client.expect("Ping(0)").await;
        client.say(&ToServer::Pong(0)).await;
    }
    assert!(
        began.elapsed() > std::time::Duration::from_secs(100),
        "who answers stays"
    );
    client.expect("Ping(0)").await;
    assert_eq!(client.next().await, "end");
}

#[tokio::test(start_paused = true)]
async fn what_a_busy_line_says_byte_by_byte_goes_in_few_frames() {
    let streams = machine();
    let serial = device(&streams, "serial0");
    let mut client = Client::greeted(&streams, "alice", Rights::ALL).await;
    client.open("serial0", Mode::Watch, Replay::From(0)).await;
    client.expect("opened 1 Watch").await;
    serial.says("first;").await;
    client.expect("0:first;").await;
    for _ in 0..100 {
        serial.says("x").await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    serial.says(".").await;
    let (mut frames, mut all) = (0, String::new());
    while !all.ends_with('.') {
        let word = client.next().await;
        let (offset, bytes) = word.split_once(':').expect("only output");
        assert_eq!(offset, (6 + all.len()).to_string());
        (frames, all) = (frames + 1, all + bytes);
    }
    assert_eq!(all.len(), 101);
    assert!(frames < 40, "{frames} frames");
}

#[tokio::test]
async fn of_ten_thousand_streams_as_many_are_listed_as_fit_and_the_others_are_let_go() {
    let streams = Streams::new("web1".to_owned());
    let mut devices: Vec<_> = (0..10_000)
        .map(|index| device(&streams, &format!("serial{index}")))
        .collect();
    assert_eq!(streams.labels().len(), STREAMS);
    let mut client = Client::greeted(&streams, "alice", Rights::ALL).await;
    client.say(&ToServer::List { follow: false }).await;
    client.expect(&format!("list of {STREAMS}")).await;
    // Their backends see at once that nobody takes what they say.
    assert!(devices[STREAMS..].iter().all(|left_out| left_out.output.is_closed()));
    let last = devices.swap_remove(STREAMS - 1);
    client
        .open(&format!("serial{}", STREAMS - 1), Mode::Watch, Replay::From(0))
        .await;
    client.expect("opened 1 Watch").await;
    last.says("still served").await;
    client.expect("0:still served").await;
}
