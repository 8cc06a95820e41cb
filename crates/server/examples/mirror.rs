//! An X11 display for RDP clients, shared with whoever sits at it:
//!
//! `cargo run --release -p rdpmux-server --example mirror -- --cert cert.pem --key key.pem --display :0`
//!
//! The screen is read ten times a second, and only what differs is encoded. Keys and pointer go in through XTEST. What a
//! tool for daily use would have besides: damage and shared memory instead of reading everything, the pointer's picture,
//! characters that are no keys.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod options;

use anyhow::{Context as _, Result, ensure};
use options::Options;
use rdpmux_server::{
    BitmapUpdate, DesktopSize, DisplayUpdate, KeyboardEvent, MouseEvent, PixelFormat, RdpServer, RdpServerDisplay,
    RdpServerDisplayUpdates, RdpServerInputHandler,
};
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, ImageFormat, ImageOrder, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = Options::read()?;
    let screen = Screen::open(
        std::env::args()
            .skip_while(|word| word != "--display")
            .nth(1)
            .as_deref(),
    )?;
    let server = RdpServer::builder()
        .with_addr(options.address)
        .with_tls(options.identity.make_acceptor()?)
        .with_input_handler(screen.clone())
        .with_display_handler(screen)
        .build();
    options::run(server).await
}

/// A screen of an X server.
#[derive(Clone)]
struct Screen {
    connection: Arc<RustConnection>,
    root: Window,
}

impl Screen {
    /// `None`: the display that `DISPLAY` names.
    fn open(display: Option<&str>) -> Result<Self> {
        let (connection, index) = x11rb::connect(display).context("cannot connect to the X server")?;
        let setup = connection.setup();
        let screen = setup.roots.get(index).context("no such screen")?;
        ensure!(
            screen.root_depth == 24 && setup.image_byte_order == ImageOrder::LSB_FIRST,
            "the screen is not B, G, R in memory"
        );
        Ok(Self {
            root: screen.root,
            connection: Arc::new(connection),
        })
    }

    fn size(&self) -> Result<DesktopSize> {
        let root = self.connection.get_geometry(self.root)?.reply()?;
        Ok(DesktopSize {
            width: root.width,
            height: root.height,
        })
    }

    fn read(&self, DesktopSize { width, height }: DesktopSize) -> Result<BitmapUpdate> {
        let format = ImageFormat::Z_PIXMAP;
        let image = self
            .connection
            .get_image(format, self.root, 0, 0, width, height, u32::MAX)?;
        Ok(BitmapUpdate {
            x: 0,
            y: 0,
            width: NonZeroU16::new(width).context("no width")?,
            height: NonZeroU16::new(height).context("no height")?,
            format: PixelFormat::BgrX32,
            data: image.reply()?.data.into(),
            stride: NonZeroUsize::new(usize::from(width) * 4).context("no width")?,
        })
    }

    /// An event of the X server's own devices; it fails when the server is gone, which the display tells.
    fn fake(&self, kind: u8, detail: u8, x: i16, y: i16) {
        let sent = self
            .connection
            .xtest_fake_input(kind, detail, x11rb::CURRENT_TIME, self.root, x, y, 0);
        if sent.is_err() || self.connection.flush().is_err() {
            println!("the X server is gone");
        }
    }

    fn key(&self, kind: u8, code: u8, extended: bool) {
        if let Some(code) = keycode(code, extended) {
            self.fake(kind, code, 0, 0);
        }
    }

    fn notch(&self, button: u8) {
        self.fake(BUTTON_PRESS_EVENT, button, 0, 0);
        self.fake(BUTTON_RELEASE_EVENT, button, 0, 0);
    }
}

#[async_trait::async_trait]
impl RdpServerDisplay for Screen {
    async fn size(&mut self) -> DesktopSize {
        let nothing = DesktopSize { width: 0, height: 0 };
        Screen::size(self).unwrap_or(nothing)
    }

    async fn updates(&mut self) -> Result<Box<dyn RdpServerDisplayUpdates>> {
        let mut interval = interval(Duration::from_millis(100));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Box::new(Updates {
            size: Screen::size(self)?,
            screen: self.clone(),
            interval,
        }))
    }
}

struct Updates {
    screen: Screen,
    size: DesktopSize,
    interval: Interval,
}

#[async_trait::async_trait]
impl RdpServerDisplayUpdates for Updates {
    /// It may block: the display has a thread of its own.
    async fn next_update(&mut self) -> Result<Option<DisplayUpdate>> {
        self.interval.tick().await;
        let size = self.screen.size()?;
        if size != self.size {
            self.size = size;
            return Ok(Some(DisplayUpdate::Resize(size)));
        }
        Ok(Some(DisplayUpdate::Bitmap(self.screen.read(size)?)))
    }
}

impl RdpServerInputHandler for Screen {
    fn keyboard(&mut self, event: KeyboardEvent) {
        match event {
            KeyboardEvent::Pressed { code, extended } => self.key(KEY_PRESS_EVENT, code, extended),
            KeyboardEvent::Released { code, extended } => self.key(KEY_RELEASE_EVENT, code, extended),
            KeyboardEvent::UnicodePressed(_) | KeyboardEvent::UnicodeReleased(_) | KeyboardEvent::Synchronize(_) => {}
        }
    }

    fn mouse(&mut self, event: MouseEvent) {
        match event {
            MouseEvent::Move { x, y } => self.fake(MOTION_NOTIFY_EVENT, 0, x as i16, y as i16),
            MouseEvent::RelMove { x, y } => self.fake(MOTION_NOTIFY_EVENT, 1, x as i16, y as i16),
            MouseEvent::LeftPressed => self.fake(BUTTON_PRESS_EVENT, 1, 0, 0),
            MouseEvent::LeftReleased => self.fake(BUTTON_RELEASE_EVENT, 1, 0, 0),
            MouseEvent::MiddlePressed => self.fake(BUTTON_PRESS_EVENT, 2, 0, 0),
            MouseEvent::MiddleReleased => self.fake(BUTTON_RELEASE_EVENT, 2, 0, 0),
            MouseEvent::RightPressed => self.fake(BUTTON_PRESS_EVENT, 3, 0, 0),
            MouseEvent::RightReleased => self.fake(BUTTON_RELEASE_EVENT, 3, 0, 0),
            MouseEvent::Button4Pressed => self.fake(BUTTON_PRESS_EVENT, 8, 0, 0),
            MouseEvent::Button4Released => self.fake(BUTTON_RELEASE_EVENT, 8, 0, 0),
            MouseEvent::Button5Pressed => self.fake(BUTTON_PRESS_EVENT, 9, 0, 0),
            MouseEvent::Button5Released => self.fake(BUTTON_RELEASE_EVENT, 9, 0, 0),
            MouseEvent::VerticalScroll { value } => self.notch(if value > 0 { 4 } else { 5 }),
            MouseEvent::Scroll { x, .. } => self.notch(if x > 0 { 7 } else { 6 }),
        }
    }
}

/// The X key code of a scan code: X servers on Linux count as the kernel does, eight higher, and the kernel numbers the keys
/// without the prefix `E0` by their scan codes.
fn keycode(code: u8, extended: bool) -> Option<u8> {
    if !extended {
        return (1..=0x58).contains(&code).then(|| code + 8);
    }
    Some(match code {
        // Enter of the key pad, right Ctrl, divide, Print, right Alt.
        0x1c => 104,
        0x1d => 105,
        0x35 => 106,
        0x37 => 107,
        0x38 => 108,
        // Home, Up, Page Up, Left, Right, End, Down, Page Down, Insert, Delete.
        0x47 => 110,
        0x48 => 111,
        0x49 => 112,
        0x4b => 113,
        0x4d => 114,
        0x4f => 115,
        0x50 => 116,
        0x51 => 117,
        0x52 => 118,
        0x53 => 119,
        // Both Windows keys and Menu.
        0x5b..=0x5d => code - 0x5b + 133,
        _ => return None,
    })
}
