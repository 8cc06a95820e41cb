//! Clients that send more than a program's channel takes, and programs that do not return from a call for ten seconds: what
//! is lost, what the log says, and who goes on. The ten seconds are those of tokio's clock, which the tests push on.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DrdynvcClient, DvcClientProcessor, DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::PduResult;
use ironrdp_pdu::gcc::ChannelName;
use ironrdp_svc::{SvcClientProcessor, SvcMessage, SvcProcessor, SvcServerProcessor};
use rdpmux_client::Plain;
use rdpmux_server::{
    Channel, ChannelClient, ChannelFactory, ChannelSendError, ChannelSender, Entrance, RdpServer, TransportTls,
};
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::blocked::{Gate, Hands, KEY_A, Screen, comes};
use crate::channels::until;
use crate::client::{self, Viewer};
use crate::log;
use crate::sdk::identity;

/// The program's end: passes a gate with each message.
#[derive(Clone)]
struct Slow {
    name: &'static str,
    gate: Gate,
    is_open: Arc<AtomicBool>,
    heard: Arc<AtomicUsize>,
}

impl_as_any!(Slow);
impl DvcServerProcessor for Slow {}
impl SvcServerProcessor for Slow {}

impl Slow {
    fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.gate.pass();
    }
}

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl DvcProcessor for Slow {
    fn channel_name(&self) -> &str {
        self.name
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        self.open();
        Ok(Vec::new())
    }

    fn process(&mut self, _: u32, _: &[u8]) -> PduResult<Vec<DvcMessage>> {
        self.hear();
        Ok(Vec::new())
    }
}

impl SvcProcessor for Slow {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_utf8(self.name).expect("a short name")
    }

    fn start(&mut self) -> PduResult<Vec<SvcMessage>> {
        self.open();
        Ok(Vec::new())
    }

    fn process(&mut self, _: &[u8]) -> PduResult<Vec<SvcMessage>> {
        self.hear();
        Ok(Vec::new())
    }
}

/// The client's end: answers a message by so many of a quarter of a megabyte.
#[derive(Debug, Clone)]
struct Answers {
    name: &'static str,
    messages: usize,
    is_open: Arc<AtomicBool>,
    has_answered: Arc<AtomicBool>,
}

impl_as_any!(Answers);
impl DvcClientProcessor for Answers {}
impl SvcClientProcessor for Answers {}

impl Answers {
    fn all(&self) -> impl Iterator<Item = Plain> + use<> {
        self.has_answered.store(true, Ordering::Relaxed);
        let messages = self.messages;
        (0..messages).map(|_| Plain(vec![b'x'; 1 << 18]))
    }
}

impl DvcProcessor for Answers {
    fn channel_name(&self) -> &str {
        self.name
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        self.is_open.store(true, Ordering::Relaxed);
        Ok(Vec::new())
    }

    fn process(&mut self, _: u32, _: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(self.all().map(|text| Box::new(text) as DvcMessage).collect())
    }
}

impl SvcProcessor for Answers {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_utf8(self.name).expect("a short name")
    }

    fn process(&mut self, _: &[u8]) -> PduResult<Vec<SvcMessage>> {
        Ok(self.all().map(SvcMessage::from).collect())
    }
}

/// Gives every client both kinds of channel, with senders for those that it gave last.
struct Factory {
    end: Slow,
    senders: Mutex<Vec<ChannelSender>>,
}

impl ChannelFactory for Factory {
    fn channels(&self, client: &ChannelClient) -> Vec<Channel> {
        let name = self.end.name;
        *self.senders.lock().unwrap() = vec![client.static_sender(name), client.dynamic_sender(name)];
        vec![
            Channel::Static(Box::new(self.end.clone())),
            Channel::Dynamic(Box::new(self.end.clone())),
        ]
    }
}

/// A server whose program is slow at a channel.
struct Stage {
    slow: Slow,
    factory: Arc<Factory>,
    /// Lets the program go on.
    opens: std::sync::mpsc::Sender<()>,
    square: watch::Sender<u8>,
    entrance: Entrance,
    _server: RdpServer,
}

impl Stage {
    async fn new(name: &'static str) -> Self {
        log::keep();
        let (gate, opens) = Gate::new();
        let slow = Slow {
            name,
            gate,
            is_open: Arc::default(),
            heard: Arc::default(),
        };
        let factory = Arc::new(Factory {
            end: slow.clone(),
            senders: Mutex::default(),
        });
        let (square, squares) = watch::channel(0);
        let mut server = RdpServer::builder()
            .with_addr(([127, 0, 0, 1], 0))
            .with_tls(identity().0)
            .with_no_input()
            .with_display_handler(Screen { squares, gate: None })
            .with_channel_factory(Some(factory.clone()))
            .build();
        Self {
            slow,
            factory,
            opens,
            square,
            entrance: server.entrance().await.unwrap(),
            _server: server,
        }
    }

    /// A client with that channel of one kind, which answers the program by so many messages, and the program's sender.
    async fn client(&self, is_static: bool, messages: usize) -> (Viewer<DuplexStream>, Answers, ChannelSender) {
        let end = Answers {
            name: self.slow.name,
            messages,
            is_open: Arc::new(AtomicBool::new(is_static)),
            has_answered: Arc::default(),
        };
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let entrance = self.entrance.clone();
        tokio::spawn(async move { entrance.serve_stream(ours, None, TransportTls::AlreadyDone).await });
        let theirs = client::login(theirs, ("alice", "secret"), |connector| {
            if is_static {
                connector.attach_static_channel(end.clone());
            } else {
                connector.attach_static_channel(DrdynvcClient::new().with_dynamic_channel(end.clone()));
            }
        });
        self.slow.is_open.store(false, Ordering::Relaxed);
        let mut viewer = theirs.await;
        let is_there = |viewer: &Viewer<_>| viewer.updates > 0 && end.is_open.load(Ordering::Relaxed);
        assert!(viewer.until(is_there).await);
        until(|| self.slow.is_open.load(Ordering::Relaxed)).await;
        let sender = self.factory.senders.lock().unwrap()[usize::from(!is_static)].clone();
        (viewer, end, sender)
    }

    /// What changes is shown to this client.
    async fn is_shown(&self, viewer: &mut Viewer<DuplexStream>) {
        let before = viewer.updates;
        self.square.send_modify(|color| *color += 50);
        assert!(viewer.until(|viewer| viewer.updates > before).await);
    }
}

/// Pushes the clock on until `done`. The tasks run meanwhile; nothing may wait for a client that does not read.
async fn seconds_pass_until(done: impl Future<Output = ()>) {
    let mut done = pin!(done);
    tokio::time::pause();
    loop {
        tokio::select! {
            biased;
            () = &mut done => break,
            () = tokio::time::advance(Duration::from_secs(1)) => {}
        }
    }
    tokio::time::resume();
}

async fn flood(name: &'static str, is_static: bool) {
    let stage = Stage::new(name).await;
    let (mut other, ..) = stage.client(is_static, 0).await;
    let (mut rude, end, sender) = stage.client(is_static, 40).await;
    // Time stands still, so that it is not the ten seconds of the call by which the channels are lost.
    tokio::time::pause();
    sender.send(b"go on".to_vec()).unwrap();
    assert!(rude.until(|_| end.has_answered.load(Ordering::Relaxed)).await);
    sender.closed().await;
    tokio::time::resume();
    assert_eq!(sender.send(Vec::new()), Err(ChannelSendError::Gone));
    assert!(log::has(&["the client sends more than the program takes"]));

    stage.is_shown(&mut rude).await;
    stage.is_shown(&mut other).await;
    let (mut next, _, sender) = stage.client(is_static, 1).await;
    stage.is_shown(&mut next).await;
    assert_eq!(sender.send(Vec::new()), Ok(()), "a further client has its channels");

    drop((other, rude, next, stage.opens));
    let of_clients = || Arc::strong_count(&stage.slow.heard) - 2;
    until(|| of_clients() == 0).await;
    let heard = stage.slow.heard.load(Ordering::Relaxed);
    assert!(heard <= 1, "the rest of the flood is dropped: {heard}");
}

#[tokio::test]
async fn a_client_that_floods_a_static_channel_of_the_programs_loses_it_and_nothing_else() {
    flood("floods", true).await;
}

#[tokio::test]
async fn a_client_that_floods_a_dynamic_channel_of_the_programs_loses_it_and_nothing_else() {
    flood("Floods", false).await;
}

#[tokio::test]
async fn a_processor_that_does_not_return_for_ten_seconds_loses_that_clients_channels_by_name_and_nothing_else() {
    let stage = Stage::new("Example.Slow").await;
    let (mut other, ..) = stage.client(false, 0).await;
    let (mut viewer, end, sender) = stage.client(false, 1).await;
    sender.send(b"go on".to_vec()).unwrap();
    assert!(viewer.until(|_| end.has_answered.load(Ordering::Relaxed)).await);
    stage.slow.gate.is_reached().await;
    seconds_pass_until(sender.closed()).await;
    assert!(log::has(&[
        "ERROR",
        "channel=\"example.slow\"",
        "panicked or does not return"
    ]));
    stage.is_shown(&mut viewer).await;
    stage.is_shown(&mut other).await;
}

#[tokio::test]
async fn handlers_that_do_not_return_for_ten_seconds_are_named_in_the_log() {
    log::keep();
    let (hands, hands_open) = Gate::new();
    let (screen, screen_opens) = Gate::new();
    let (_square, squares) = watch::channel(0);
    let mut server = RdpServer::builder()
        .with_addr(([127, 0, 0, 1], 0))
        .with_tls(identity().0)
        .with_input_handler(Hands(hands.clone()))
        .with_display_handler(Screen {
            squares,
            gate: Some(screen.clone()),
        })
        .build();
    let entrance = server.entrance().await.unwrap();
    let mut viewer = comes(&entrance).await;
    screen.is_reached().await;
    viewer.press(KEY_A).await;
    hands.is_reached().await;
    for (name, opens) in [("input handler", hands_open), ("display", screen_opens)] {
        let handler = format!("handler=\"{name}\"");
        let is_named = || log::has(&["WARN", &handler, "does not return", "seconds=10"]);
        seconds_pass_until(until(is_named)).await;
        drop(opens);
        until(|| log::has(&["INFO", &handler, "has returned"])).await;
    }
}
