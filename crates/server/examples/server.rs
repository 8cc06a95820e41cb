//! A server to start from: rectangles of random colours, every input event printed, a clipboard both ways, a tone, and
//! round trips measured.
//!
//! ```text
//! cargo run -p rdpmux-server --example server -- --bind-addr 127.0.0.1:3389 --cert cert.pem --key key.pem \
//!     --user admin --pass password --sec hybrid
//! ```
#![allow(clippy::print_stdout, reason = "it shows what it is told")]

mod devices;

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use anyhow::{Context, bail};
use rdpmux_server::pdu::DisplayControlMonitorLayout;
use rdpmux_server::{
    BitmapUpdate, Credentials, DesktopSize, DisplayUpdate, EchoServerHandle, KeyboardEvent, MouseEvent, PixelFormat,
    RdpServer, RdpServerDisplay, RdpServerDisplayUpdates, RdpServerInputHandler, ServerEvent, Sessions, TlsIdentityCtx,
};
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let options = Options::parse(std::env::args().skip(1))?;
    let builder = RdpServer::builder().with_addr(options.bind_addr);
    let builder = match options.security.as_str() {
        "none" => builder.with_no_security(),
        "tls" => builder.with_tls(options.identity()?.make_acceptor()?),
        "hybrid" => {
            let identity = options.identity()?;
            builder.with_hybrid(identity.make_acceptor()?, identity.pub_key)
        }
        other => bail!("--sec {other} is not none, tls or hybrid"),
    };
    let mut server = builder
        .with_input_handler(Printer)
        .with_display_handler(Screen { size: SIZE })
        .with_cliprdr_factory(Some(Box::new(devices::Clipboard::default())))
        .with_sound_factory(Some(Box::new(devices::Sound::default())))
        .build();
    server.set_credentials(options.credentials);
    let (sender, address) = oneshot::channel();
    server.event_sender().send(ServerEvent::GetLocalAddr(sender))?;
    tokio::spawn(async move {
        if let Ok(Some(address)) = address.await {
            println!("LISTENING {address}");
        }
    });
    tokio::spawn(measure(server.echo_handle().clone(), server.sessions()));
    server.run().await
}

/// Prints how long clients that have the channel ECHO take to answer.
async fn measure(echo: EchoServerHandle, sessions: Sessions) -> anyhow::Result<()> {
    let mut interval = interval(Duration::from_secs(2));
    loop {
        interval.tick().await;
        for measured in echo.take_measurements() {
            println!("Echo: {}, {:?}", measured.session, measured.round_trip_time);
        }
        if !sessions.list().is_empty() {
            echo.send_request(b"rdpmux".to_vec())?;
        }
    }
}

/// The command line.
struct Options {
    bind_addr: SocketAddr,
    cert: Option<String>,
    key: Option<String>,
    credentials: Option<Credentials>,
    security: String,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            bind_addr: ([127, 0, 0, 1], 3389).into(),
            cert: None,
            key: None,
            credentials: None,
            security: "hybrid".to_owned(),
        };
        let (mut user, mut pass) = (None, None);
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} wants a value"))?;
            match word.as_str() {
                "--bind-addr" => {
                    options.bind_addr = value.parse().context("--bind-addr wants an address and a port")?
                }
                "--cert" => options.cert = Some(value),
                "--key" => options.key = Some(value),
                "--user" => user = Some(value),
                "--pass" => pass = Some(value),
                "--sec" => options.security = value,
                other => bail!("{other} is not --bind-addr, --cert, --key, --user, --pass or --sec"),
            }
        }
        options.credentials = user.zip(pass).map(|(username, password)| Credentials {
            username,
            password,
            domain: None,
        });
        Ok(options)
    }

    fn identity(&self) -> anyhow::Result<TlsIdentityCtx> {
        let (cert, key) = self
            .cert
            .as_ref()
            .zip(self.key.as_ref())
            .context("TLS needs --cert and --key")?;
        TlsIdentityCtx::init_from_paths(cert, key)
    }
}

struct Printer;

impl RdpServerInputHandler for Printer {
    fn keyboard(&mut self, event: KeyboardEvent) {
        println!("{event:?}");
    }

    fn mouse(&mut self, event: MouseEvent) {
        println!("{event:?}");
    }
}

struct Screen {
    size: DesktopSize,
}

#[async_trait::async_trait]
impl RdpServerDisplay for Screen {
    async fn size(&mut self) -> DesktopSize {
        self.size
    }

    async fn updates(&mut self) -> anyhow::Result<Box<dyn RdpServerDisplayUpdates>> {
        let mut interval = interval(Duration::from_millis(100));
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Box::new(Rectangles {
            size: self.size,
            interval,
            random: 0x9E37_79B9_7F4A_7C15,
        }))
    }

    fn request_layout(&mut self, layout: DisplayControlMonitorLayout) {
        for monitor in layout.monitors {
            println!(
                "Monitor: {}x{} at ({}, {})",
                monitor.width, monitor.height, monitor.left, monitor.top
            );
        }
    }
}

struct Rectangles {
    size: DesktopSize,
    interval: Interval,
    random: u64,
}

impl Rectangles {
    /// A number below `end`, or 0.
    fn below(&mut self, end: u16) -> u16 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % u64::from(end.max(1))) as u16
    }
}

#[async_trait::async_trait]
impl RdpServerDisplayUpdates for Rectangles {
    async fn next_update(&mut self) -> anyhow::Result<Option<DisplayUpdate>> {
        self.interval.tick().await;
        let (x, y) = (self.below(self.size.width), self.below(self.size.height));
        let width = NonZeroU16::MIN.saturating_add(self.below((self.size.width - x).min(200) - 1));
        let height = NonZeroU16::MIN.saturating_add(self.below((self.size.height - y).min(200) - 1));
        let color = [self.below(256) as u8, self.below(256) as u8, self.below(256) as u8, 255];
        let pixels = usize::from(width.get()) * usize::from(height.get());
        Ok(Some(DisplayUpdate::Bitmap(BitmapUpdate {
            x,
            y,
            width,
            height,
            format: PixelFormat::BgrA32,
            data: color.repeat(pixels).into(),
            stride: NonZeroUsize::from(width).saturating_mul(NonZeroUsize::new(4).context("not 0")?),
        })))
    }
}

const SIZE: DesktopSize = DesktopSize {
    width: 1280,
    height: 720,
};
