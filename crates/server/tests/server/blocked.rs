//! Servers of the SDK whose program does not return from a call: what it holds up is its own. Also its connections over
//! streams of its own, with TLS.

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::{Arc, Mutex, mpsc};

use rdpmux_server::{
    BitmapUpdate, DesktopSize, DisplayUpdate, Entrance, KeyboardEvent, MouseEvent, PixelFormat, RdpServer,
    RdpServerDisplay, RdpServerDisplayUpdates, RdpServerInputHandler, TransportTls,
};
use tokio::io::DuplexStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::client::{self, Viewer};
use crate::door::LONG;
use crate::sdk::identity;

/// A call that does not return until the test lets it go. Clones are the same one.
#[derive(Clone)]
pub struct Gate {
    reached: Arc<Notify>,
    release: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Gate {
    /// Dropping the sender opens it.
    pub fn new() -> (Self, mpsc::Sender<()>) {
        let (opens, release) = mpsc::channel();
        let gate = Self {
            reached: Arc::default(),
            release: Arc::new(Mutex::new(release)),
        };
        (gate, opens)
    }

    pub fn pass(&self) {
        self.reached.notify_one();
        let _ = self.release.lock().unwrap().recv();
    }

    pub async fn is_reached(&self) {
        timeout(LONG, self.reached.notified()).await.expect("it is called");
    }
}

/// Blocks at the first key.
pub struct Hands(pub Gate);

impl RdpServerInputHandler for Hands {
    fn keyboard(&mut self, _event: KeyboardEvent) {
        self.0.pass();
    }

    fn mouse(&mut self, _event: MouseEvent) {}
}

/// Shows a square whenever it is asked to, and then may block.
pub struct Screen {
    pub squares: tokio::sync::watch::Receiver<u8>,
    pub gate: Option<Gate>,
}

#[async_trait::async_trait]
impl RdpServerDisplay for Screen {
    async fn size(&mut self) -> DesktopSize {
        DesktopSize {
            width: 320,
            height: 200,
        }
    }

    async fn updates(&mut self) -> anyhow::Result<Box<dyn RdpServerDisplayUpdates>> {
        Ok(Box::new(Updates {
            squares: self.squares.clone(),
            gate: self.gate.clone(),
        }))
    }
}

struct Updates {
    squares: tokio::sync::watch::Receiver<u8>,
    gate: Option<Gate>,
}

#[async_trait::async_trait]
impl RdpServerDisplayUpdates for Updates {
    async fn next_update(&mut self) -> anyhow::Result<Option<DisplayUpdate>> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        self.squares.changed().await?;
        let edge = NonZeroU16::new(16).unwrap();
        Ok(Some(DisplayUpdate::Bitmap(BitmapUpdate {
            x: 0,
            y: 0,
            width: edge,
            height: edge,
            format: PixelFormat::BgrX32,
            data: vec![*self.squares.borrow_and_update(); 16 * 16 * 4].into(),
            stride: NonZeroUsize::new(64).unwrap(),
        })))
    }
}

pub async fn comes(entrance: &Entrance) -> Viewer<DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let entrance = entrance.clone();
    tokio::spawn(async move { entrance.serve_stream(ours, None, TransportTls::AlreadyDone).await });
    client::login(theirs, ("alice", "secret"), |_| {}).await
}

pub const KEY_A: u8 = 0x1e;

#[tokio::test(flavor = "multi_thread")]
async fn an_input_handler_that_blocks_holds_up_neither_pictures_nor_further_clients() {
    let (gate, opens) = Gate::new();
    let (square, squares) = tokio::sync::watch::channel(0);
    let mut server = RdpServer::builder()
        .with_addr(([127, 0, 0, 1], 0))
        .with_tls(identity().0)
        .with_input_handler(Hands(gate.clone()))
        .with_display_handler(Screen { squares, gate: None })
        .build();
    let entrance = server.entrance().await.unwrap();
    let mut one = comes(&entrance).await;
    assert!(one.until(|one| one.updates > 0).await);
    one.press(KEY_A).await;
    gate.is_reached().await;
    let mut two = comes(&entrance).await;
    assert!(two.until(|two| two.updates > 0).await, "a further client is served");
    for viewer in [&mut one, &mut two] {
        let before = viewer.updates;
        square.send_modify(|color| *color += 50);
        assert!(
            viewer.until(|viewer| viewer.updates > before).await,
            "what changes is shown"
        );
    }
    assert_eq!(server.sessions().list().len(), 2);
    drop(opens);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_that_blocks_holds_up_neither_input_nor_further_clients() {
    let (gate, opens) = Gate::new();
    let (typed, opens_too) = Gate::new();
    // Notes the key, and goes on.
    drop(opens_too);
    let (_square, squares) = tokio::sync::watch::channel(0);
    let mut server = RdpServer::builder()
        .with_addr(([127, 0, 0, 1], 0))
        .with_tls(identity().0)
        .with_input_handler(Hands(typed.clone()))
        .with_display_handler(Screen {
            squares,
            gate: Some(gate.clone()),
        })
        .build();
    let entrance = server.entrance().await.unwrap();
    let mut one = comes(&entrance).await;
    gate.is_reached().await;
    let two = comes(&entrance).await;
    one.press(KEY_A).await;
    typed.is_reached().await;
    // It is listed when the server knows that it is in, a moment after the client does.
    let sessions = server.sessions();
    let mut changes = sessions.changes();
    let both = async { while sessions.list().len() != 2 && changes.changed().await.is_ok() {} };
    timeout(LONG, both).await.expect("a further client is served");
    drop((two, opens));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_stream_of_the_programs_the_server_runs_tls_and_serves_one_client_after_the_other() {
    let (acceptor, certificate) = identity();
    let (_square, squares) = tokio::sync::watch::channel(0);
    let mut server = RdpServer::builder()
        .with_addr(([127, 0, 0, 1], 0))
        .with_tls(acceptor)
        .with_no_input()
        .with_display_handler(Screen { squares, gate: None })
        .build();
    for _ in 0..2 {
        let (ours, theirs) = tokio::io::duplex(4096);
        let certificate = certificate.clone();
        let client = tokio::spawn(async move {
            let mut viewer = client::login_with_tls(theirs, ("alice", "secret"), certificate).await;
            viewer.until(|viewer| viewer.updates > 0).await
        });
        // A client that just goes may be an error or not.
        let _ = timeout(2 * LONG, server.run_connection(ours))
            .await
            .expect("the client has gone");
        assert!(client.await.unwrap(), "a picture came");
    }
}
