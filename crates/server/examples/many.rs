//! Ten desktops behind one port, chosen by the user name: `alice#3` sees desktop 3, `bob#3` may look at it as well.
//!
//! ```text
//! cargo run -p rdpmux-server --example many -- --cert cert.pem --key key.pem
//! xfreerdp /v:127.0.0.1 /cert-ignore '/u:alice#3' /p:password
//! ```
//!
//! An `RdpServer` is one desktop. This is the layer below, on which the daemon runs too: desktops, people, and who may see
//! what. It needs `rdpmux-engine` and `rdpmux-model` besides. A key inverts the colours of the desktop at which it is typed.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

use anyhow::{Context as _, Result};
use rdpmux_engine::{SliceRows, SurfaceWriter};
use rdpmux_model::{Audience, DesktopName, HeadState, InputEvent, PixelFormat, Point, Presence, Rect, Size};
use rdpmux_server::{
    Accounts, Desktop, DesktopHandle, DesktopSource, Directory, Limits, Logins, NtHash, Peripherals, Reconnect, Rights,
    Routing, ServerConfig, Sessions, SurfaceCodecs, TlsIdentity,
};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

const SIZE: Size = Size::new(800, 600);
const PASSWORD: &str = "password";

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let tls = TlsIdentity::from_pem(&file("--cert")?, &file("--key")?)?;
    let desktops: Result<Vec<_>> = (0..10).map(open).collect();
    let config = ServerConfig {
        tls,
        accounts: Arc::new(People),
        directory: Arc::new(House(desktops?)),
        logins: Logins::default(),
        codecs: SurfaceCodecs::ALL,
        routing: Routing::default(),
        rdp2tcp: false,
        limits: Limits::default(),
        reconnect: Reconnect::default(),
        sessions: Sessions::default(),
    };
    let address = word("--bind-addr").unwrap_or_else(|| "127.0.0.1:3389".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("LISTENING {}", listener.local_addr()?);
    let (_stopper, stop) = rdpmux_server::stop_pair();
    rdpmux_server::serve(listener, Arc::new(config), stop).await;
    Ok(())
}

/// A value of the command line.
fn word(name: &str) -> Option<String> {
    let words: Vec<String> = std::env::args().collect();
    words
        .windows(2)
        .find(|pair| pair[0] == name)
        .map(|pair| pair[1].clone())
}

/// What a file holds that the command line names.
fn file(name: &str) -> Result<Vec<u8>> {
    let path = word(name).with_context(|| format!("{name} FILE.pem is missing"))?;
    std::fs::read(&path).with_context(|| format!("cannot read {path}"))
}

/// Opens a desktop: pixels and what is known of the machine go one way, input comes the other.
fn open(number: u32) -> Result<Desktop> {
    let (mut writer, surface) = rdpmux_engine::surface(SIZE);
    let (frames, newest) = watch::channel(surface.generation());
    let (machine, state) = watch::channel(HeadState {
        presence: Presence::Running,
        ..HeadState::default()
    });
    let (input, mut events) = mpsc::channel(256);
    let (audience, _) = watch::channel(Audience::default());
    let source = DesktopSource {
        surface,
        frames: newest,
        state,
        input,
        peripherals: Peripherals::default(),
        audience,
        head: None,
    };
    tokio::spawn(async move {
        let _machine = machine;
        let mut inverted = 0;
        loop {
            if let Some(generation) = show(&mut writer, number, inverted)? {
                frames.send_replace(generation);
            }
            while let Some(event) = events.recv().await {
                println!("desktop {number}: {event:?}");
                if matches!(event, InputEvent::Key { down: true, .. }) {
                    inverted ^= 0xff;
                    break;
                }
            }
            if events.is_closed() {
                return anyhow::Ok(());
            }
        }
    });
    Ok(Desktop::spawn(DesktopName::new(&number.to_string())?, source))
}

/// Shows a colour and, in a row, one white square more than the desktop's number.
fn show(writer: &mut SurfaceWriter, number: u32, inverted: u8) -> Result<Option<rdpmux_model::Generation>> {
    let mut bytes = Vec::with_capacity((SIZE.width * SIZE.height * 4) as usize);
    for y in 0..SIZE.height {
        for x in 0..SIZE.width {
            let is_square = (40..80).contains(&y) && x % 70 >= 30 && x / 70 <= number;
            let color = match is_square {
                true => [255; 3],
                false => [number * 25, 255 - number * 25, 128].map(|value| value as u8 ^ inverted),
            };
            bytes.extend([color[2], color[1], color[0], 0]);
        }
    }
    let rows = SliceRows::new(&bytes, SIZE, SIZE.width as usize * 4, PixelFormat::Bgrx32)?;
    Ok(writer.commit(&[Rect::new(0, 0, SIZE.width, SIZE.height)], &rows, Point::new(0, 0)))
}

/// Two people with the same password.
struct People;

impl Accounts for People {
    fn nt_hash(&self, user: &str) -> Option<NtHash> {
        let is_known = ["alice", "bob"].iter().any(|known| known.eq_ignore_ascii_case(user));
        is_known.then(|| NtHash::of_password(PASSWORD))
    }

    fn verify(&self, user: &str, password: &str) -> bool {
        self.nt_hash(user) == Some(NtHash::of_password(password))
    }
}

/// Everybody may see every desktop; bob may only look. Who names none gets the first.
struct House(Vec<Desktop>);

impl Directory for House {
    fn find(&self, name: &DesktopName) -> Option<DesktopHandle> {
        self.0
            .iter()
            .map(Desktop::handle)
            .find(|desktop| desktop.name() == name)
    }

    fn default_desktop(&self) -> Option<DesktopHandle> {
        self.0.first().map(Desktop::handle)
    }

    fn rights(&self, user: &str, _desktop: &DesktopName) -> Rights {
        match user.eq_ignore_ascii_case("bob") {
            true => Rights::VIEW,
            false => Rights::CONTROL,
        }
    }
}
