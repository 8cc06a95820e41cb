//! A peer of `cargo xtask bench sdk`: the picture of our `video` example by ironrdp-server, as its documentation says one
//! writes a server. Its `RdpServer` serves one client at a time and is bound to its thread, so each client that may come
//! gets a thread, a runtime and a server of its own; they share the listener and the painter.

#[path = "../../../crates/server/examples/picture/mod.rs"]
mod picture;

use anyhow::{Context as _, Result};
use ironrdp_server::tokio::{net::TcpStream, runtime, sync::watch, task::LocalSet};
use ironrdp_server::tokio_rustls::{TlsAcceptor, rustls};
use ironrdp_server::{
    BitmapUpdate, DesktopSize, DisplayUpdate, PixelFormat, RdpServer, RdpServerDisplay, RdpServerDisplayUpdates,
    TlsIdentityCtx,
};
use picture::{HEIGHT, WIDTH};
use std::net::TcpListener;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Updates that the servers have taken; each is asked for when the one before it is written.
static FRAMES: AtomicU64 = AtomicU64::new(0);

/// `bench-peer-ironrdp-server CERT KEY CLIENTS`
fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [cert, key, clients] = words.as_slice() else {
        anyhow::bail!("three arguments: certificate, key, number of clients");
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = TlsIdentityCtx::init_from_paths(Path::new(cert), Path::new(key))?.make_acceptor()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let frames = picture::start(60)?;
    println!("LISTENING {}", listener.local_addr()?);
    for _ in 0..clients.parse()? {
        let (listener, tls, frames) = (listener.try_clone()?, tls.clone(), frames.clone());
        std::thread::spawn(move || serve(&listener, &tls, &frames));
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
        println!("FRAMES {}", FRAMES.load(Ordering::Relaxed));
    }
}

/// One client after the other.
fn serve(listener: &TcpListener, tls: &TlsAcceptor, frames: &watch::Receiver<picture::Frame>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let mut server = RdpServer::builder()
            .with_addr(([127, 0, 0, 1], 0))
            .with_tls(tls.clone())
            .with_no_input()
            .with_display_handler(Video(frames.clone()))
            .build();
        let session = async { server.run_connection(TcpStream::from_std(stream)?).await };
        if let Err(error) = LocalSet::new().block_on(&runtime, session) {
            eprintln!("{error:#}");
        }
    }
}

struct Video(watch::Receiver<picture::Frame>);

#[async_trait::async_trait]
impl RdpServerDisplay for Video {
    async fn size(&mut self) -> DesktopSize {
        DesktopSize {
            width: WIDTH as u16,
            height: HEIGHT as u16,
        }
    }

    async fn updates(&mut self) -> Result<Box<dyn RdpServerDisplayUpdates>> {
        Ok(Box::new(Video(self.0.clone())))
    }
}

#[async_trait::async_trait]
impl RdpServerDisplayUpdates for Video {
    async fn next_update(&mut self) -> Result<Option<DisplayUpdate>> {
        self.0.changed().await?;
        let data = self.0.borrow_and_update().clone();
        FRAMES.fetch_add(1, Ordering::Relaxed);
        Ok(Some(DisplayUpdate::Bitmap(BitmapUpdate {
            x: 0,
            y: 0,
            width: NonZeroU16::new(WIDTH as u16).context("no width")?,
            height: NonZeroU16::new(HEIGHT as u16).context("no height")?,
            format: PixelFormat::BgrX32,
            data,
            stride: NonZeroUsize::new(WIDTH * 4).context("no stride")?,
        })))
    }
}
