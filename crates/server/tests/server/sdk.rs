//! Servers of the SDK as programs and clients meet them: displays and handlers that misbehave, the end by the program's
//! word, one client after the other.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdpmux_server::{
    BitmapUpdate, ConnectionHandler, Credentials, DesktopSize, DisplayUpdate, Entrance, PixelFormat,
    PostConnectionAction, RdpServer, RdpServerDisplay, RdpServerDisplayUpdates, ServerEvent, TransportTls,
};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::client::{self, Viewer};
use crate::door::LONG;

/// What one call of `updates` leads to.
enum Act {
    Error,
    Panic,
    /// `next_update` panics.
    PanicLater,
    /// `next_update` fails.
    ErrorLater,
    /// These, then none for ever.
    Show(Vec<DisplayUpdate>),
}

/// A display with a script.
#[derive(Clone, Default)]
struct Screen {
    acts: Arc<Mutex<VecDeque<Act>>>,
    asked: Arc<AtomicUsize>,
    /// How often its updates came to an end.
    ended: Arc<watch::Sender<usize>>,
    /// The size that it was asked for at first.
    initial: Arc<Mutex<Option<DesktopSize>>>,
}

impl Screen {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let acts = Arc::new(Mutex::new(acts.into_iter().collect()));
        Self {
            acts,
            ..Self::default()
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn has_ended(&self, times: usize) {
        let mut ended = self.ended.subscribe();
        let wait = timeout(LONG, ended.wait_for(|ended| *ended == times)).await;
        wait.expect("its updates come to an end").expect("the sender is here");
    }

    fn play(&self, updates: VecDeque<DisplayUpdate>, later: Option<Act>) -> Box<Updates> {
        Box::new(Updates(updates, later, self.ended.clone()))
    }
}

struct Updates(VecDeque<DisplayUpdate>, Option<Act>, Arc<watch::Sender<usize>>);

impl Drop for Updates {
    fn drop(&mut self) {
        self.2.send_modify(|ended| *ended += 1);
    }
}

#[async_trait::async_trait]
impl RdpServerDisplay for Screen {
    async fn size(&mut self) -> DesktopSize {
        DesktopSize {
            width: 320,
            height: 200,
        }
    }

    async fn request_initial_size(&mut self, client_size: DesktopSize) -> DesktopSize {
        *self.initial.lock().unwrap() = Some(client_size);
        self.size().await
    }

    async fn updates(&mut self) -> anyhow::Result<Box<dyn RdpServerDisplayUpdates>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let act = self.acts.lock().unwrap().pop_front();
        match act {
            Some(Act::Error) => anyhow::bail!("as asked"),
            Some(Act::Panic) => panic!("as asked"),
            Some(Act::Show(updates)) => Ok(self.play(updates.into(), None)),
            later => Ok(self.play(VecDeque::new(), later)),
        }
    }
}

#[async_trait::async_trait]
impl RdpServerDisplayUpdates for Updates {
    async fn next_update(&mut self) -> anyhow::Result<Option<DisplayUpdate>> {
        match self.1.take() {
            Some(Act::PanicLater) => panic!("as asked"),
            Some(Act::ErrorLater) => anyhow::bail!("as asked"),
            _ => {}
        }
        match self.0.pop_front() {
            Some(update) => Ok(Some(update)),
            None => std::future::pending().await,
        }
    }
}

fn square(x: u16, y: u16, color: u8) -> DisplayUpdate {
    let edge = NonZeroU16::new(16).unwrap();
    DisplayUpdate::Bitmap(BitmapUpdate {
        x,
        y,
        width: edge,
        height: edge,
        format: PixelFormat::BgrA32,
        data: vec![color; 16 * 16 * 4].into(),
        stride: NonZeroUsize::new(64).unwrap(),
    })
}

fn acceptor() -> TlsAcceptor {
    identity().0
}

/// An acceptor with its certificate.
pub fn identity() -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.der().clone())
}

fn server(screen: Screen) -> RdpServer {
    let mut server = RdpServer::builder()
        .with_addr(([127, 0, 0, 1], 0))
        .with_tls(acceptor())
        .with_no_input()
        .with_display_handler(screen)
        .with_connection_handler(Some(Box::new(OnlyOne::default())))
        .build();
    server.set_credentials(Some(Credentials {
        username: "alice".into(),
        password: "secret".into(),
        domain: None,
    }));
    server
}

/// A client that comes over a pipe in memory.
async fn comes(entrance: &Entrance) -> (Viewer<DuplexStream>, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let entrance = entrance.clone();
    let session = tokio::spawn(async move { entrance.serve_stream(ours, None, TransportTls::AlreadyDone).await });
    (client::login(theirs, ("alice", "secret"), |_| {}).await, session)
}

/// Refuses nobody; the end of the first connection ends the server.
#[derive(Default)]
struct OnlyOne(Option<mpsc::UnboundedSender<SocketAddr>>);

impl ConnectionHandler for OnlyOne {
    fn on_accept(&mut self, peer: SocketAddr) -> bool {
        self.0.as_ref().is_none_or(|told| told.send(peer).is_ok())
    }

    fn on_disconnected(
        &mut self,
        _peer: SocketAddr,
        _duration: Duration,
        error: Option<&anyhow::Error>,
    ) -> PostConnectionAction {
        assert!(error.is_some(), "it said nothing that is RDP");
        PostConnectionAction::Stop
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_that_fails_and_panics_is_asked_again_and_then_seen() {
    let acts = [
        Act::Error,
        Act::Panic,
        Act::ErrorLater,
        Act::PanicLater,
        Act::Show(vec![square(0, 0, 200)]),
    ];
    let screen = Screen::new(acts);
    let mut server = server(screen.clone());
    let entrance = server.entrance().await.unwrap();
    let (mut viewer, _session) = comes(&entrance).await;
    let shown = viewer.until(|viewer| viewer.updates > 0 && screen.asked() == 5).await;
    assert!(shown, "the square came after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_updates_and_thousands_at_once_cost_no_session() {
    let mut updates = vec![
        square(320, 0, 1),
        DisplayUpdate::Resize(DesktopSize { width: 0, height: 9 }),
    ];
    let thousands = (0..5000_u16).map(|n| square(n % 300, n % 180, (n % 251) as u8));
    updates.extend(thousands);
    let screen = Screen::new([Act::Show(updates)]);
    let mut server = server(screen.clone());
    let entrance = server.entrance().await.unwrap();
    let sessions = server.sessions();
    let (mut viewer, _session) = comes(&entrance).await;
    let came = viewer.until(|viewer| viewer.updates > 0 && screen.asked() > 0).await;
    assert!(came, "a picture came");
    assert_eq!(sessions.list().len(), 1);
    assert_eq!(screen.asked(), 1, "no bad update ended the stream of updates");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_asked_for_once_for_all_clients_and_anew_when_one_comes_after_the_last_left() {
    let screen = Screen::new([Act::Show(vec![square(0, 0, 200)]), Act::Show(vec![square(8, 8, 100)])]);
    let mut server = server(screen.clone());
    let entrance = server.entrance().await.unwrap();
    let (mut one, first) = comes(&entrance).await;
    assert!(one.until(|viewer| viewer.updates > 0 && screen.asked() > 0).await);
    let (mut two, second) = comes(&entrance).await;
    assert!(two.until(|viewer| viewer.updates > 0).await);
    let stats = server.sessions().stats();
    assert!(stats.len() == 2 && stats[0].frames_sent > 0, "{stats:?}");
    assert_eq!(screen.asked(), 1);
    drop((one, two));
    for session in [first, second] {
        timeout(LONG, session).await.expect("its client has left").unwrap();
    }
    screen.has_ended(1).await;
    let (mut three, _third) = comes(&entrance).await;
    assert!(three.until(|_| screen.asked() == 2).await, "asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_exclusive_client_the_newest_is_served_and_the_one_before_is_told() {
    let screen = Screen::new([Act::Show(vec![square(0, 0, 200)])]);
    let mut server = RdpServer::builder()
        .with_addr(([127, 0, 0, 1], 0))
        .with_tls(acceptor())
        .with_no_input()
        .with_display_handler(screen)
        .with_exclusive_client()
        .build();
    let entrance = server.entrance().await.unwrap();
    let (mut one, first) = comes(&entrance).await;
    assert!(one.until(|viewer| viewer.updates > 0).await);
    let leaves = tokio::spawn(async move { one.until(|_| false).await });
    let (mut two, _second) = comes(&entrance).await;
    assert!(two.until(|viewer| viewer.updates > 0).await, "the newest is served");
    assert!(!leaves.await.unwrap(), "the one before was sent away");
    timeout(LONG, first).await.expect("its session has ended").unwrap();
    assert_eq!(server.sessions().list().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_hears_the_size_of_the_first_clients_screen_if_it_is_to_honor_it() {
    for honor in [true, false] {
        let screen = Screen::new([Act::Show(vec![square(0, 0, 200)])]);
        let mut server = RdpServer::builder()
            .with_addr(([127, 0, 0, 1], 0))
            .with_tls(acceptor())
            .with_no_input()
            .with_display_handler(screen.clone())
            .with_honor_client_desktop_size(honor)
            .build();
        let entrance = server.entrance().await.unwrap();
        let (mut viewer, _session) = comes(&entrance).await;
        let shown = viewer.until(|viewer| viewer.updates > 0 && screen.asked() > 0).await;
        let size = DesktopSize {
            width: 320,
            height: 200,
        };
        assert!(shown);
        assert_eq!(*screen.initial.lock().unwrap(), honor.then_some(size));
    }
}

/// The server with its address, running.
async fn running(
    mut server: RdpServer,
) -> (
    SocketAddr,
    mpsc::UnboundedSender<ServerEvent>,
    JoinHandle<anyhow::Result<()>>,
) {
    let events = server.event_sender().clone();
    let run = tokio::spawn(async move { server.run().await });
    let (answer, address) = oneshot::channel();
    events.send(ServerEvent::GetLocalAddr(answer)).unwrap();
    let address = timeout(LONG, address).await.expect("it answers").unwrap();
    (address.expect("it listens"), events, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn quit_tells_the_clients_and_returns_from_run() {
    let (address, events, run) = running(server(Screen::default())).await;
    let mut waiting = TcpStream::connect(address).await.unwrap();
    events.send(ServerEvent::Quit("the test ends".into())).unwrap();
    timeout(LONG, run).await.expect("it returns").unwrap().unwrap();
    let mut out = Vec::new();
    let _ = timeout(LONG, waiting.read_to_end(&mut out))
        .await
        .expect("it is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_asked_of_each_connection_and_may_end_the_server_after_one() {
    let (told, mut peers) = mpsc::unbounded_channel();
    let mut server = server(Screen::default());
    server.set_connection_handler(Some(Box::new(OnlyOne(Some(told)))));
    let (address, _events, run) = running(server).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let peer = timeout(LONG, peers.recv()).await.expect("asked");
    assert_eq!(peer, Some(stream.local_addr().unwrap()));
    drop(stream);
    timeout(LONG, run).await.expect("it returns").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_program_refuses_is_closed_at_once() {
    let (told, peers) = mpsc::unbounded_channel();
    drop(peers);
    let mut server = server(Screen::default());
    server.set_connection_handler(Some(Box::new(OnlyOne(Some(told)))));
    let (address, _events, run) = running(server).await;
    let mut refused = TcpStream::connect(address).await.unwrap();
    let mut out = Vec::new();
    let _ = timeout(LONG, refused.read_to_end(&mut out))
        .await
        .expect("it is closed");
    assert!(out.is_empty() && !run.is_finished(), "and the server goes on");
}

#[test]
fn servers_and_their_work_can_be_sent_to_other_threads() {
    fn sent(_: impl Send) {}
    let mut server = server(Screen::default());
    sent(server.run());
    sent(server.run_connection(tokio::io::duplex(1).0));
    sent(server);
}
