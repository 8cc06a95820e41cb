//! Every pixel format, every kind of pointer and some sizes, to be looked at one after the other: key F shows the next format,
//! P the next pointer, R the next size, M moves the client's pointer to (100, 100). What clients type and click is printed.
//!
//! `cargo run -p rdpmux-server --example gallery -- --cert cert.pem --key key.pem`

#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod options;

use anyhow::Result;
use options::Options;
use rdpmux_server::{
    BitmapUpdate, ColorPointer, DesktopSize, DisplayUpdate, KeyboardEvent, MouseEvent, PixelFormat,
    PointerPositionAttribute, RGBAPointer, RdpServer, RdpServerDisplay, RdpServerDisplayUpdates, RdpServerInputHandler,
};
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = Options::read()?;
    let gallery = Gallery::default();
    let server = RdpServer::builder()
        .with_addr(options.address)
        .with_tls(options.identity.make_acceptor()?)
        .with_input_handler(gallery.clone())
        .with_display_handler(gallery)
        .build();
    options::run(server).await
}

const SIZES: [(u16, u16); 3] = [(1024, 768), (1280, 800), (800, 600)];
/// Set 1 scan codes of the letters.
const F: u8 = 0x21;
const P: u8 = 0x19;
const R: u8 = 0x13;
const M: u8 = 0x32;

/// What is shown now, shared by display and input.
#[derive(Clone, Default)]
struct Gallery(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    format: usize,
    pointer: usize,
    size: usize,
    updates: Option<mpsc::UnboundedSender<DisplayUpdate>>,
}

impl Shown {
    fn size(&self) -> DesktopSize {
        let (width, height) = SIZES[self.size % SIZES.len()];
        DesktopSize { width, height }
    }

    fn send(&self, update: DisplayUpdate) {
        if let Some(updates) = &self.updates {
            // Nobody looks: the next client gets a whole picture.
            let _ = updates.send(update);
        }
    }

    fn send_picture(&self) {
        if let Some(update) = picture(self.size(), self.format % PixelFormat::ALL.len()) {
            self.send(DisplayUpdate::Bitmap(update));
        }
    }

    fn press(&mut self, code: u8) {
        match code {
            F => {
                self.format += 1;
                println!("FORMAT {:?}", PixelFormat::ALL[self.format % PixelFormat::ALL.len()]);
                self.send_picture();
            }
            P => {
                let (name, update) = pointer(self.pointer);
                self.pointer += 1;
                println!("POINTER {name}");
                self.send(update);
            }
            R => {
                self.size += 1;
                println!("SIZE {:?}", self.size());
                self.send(DisplayUpdate::Resize(self.size()));
                self.send_picture();
            }
            M => self.send(DisplayUpdate::PointerPosition(PointerPositionAttribute {
                x: 100,
                y: 100,
            })),
            _ => {}
        }
    }
}

impl RdpServerInputHandler for Gallery {
    fn keyboard(&mut self, event: KeyboardEvent) {
        println!("{event:?}");
        if let KeyboardEvent::Pressed { code, extended: false } = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).press(code);
        }
    }

    fn mouse(&mut self, event: MouseEvent) {
        println!("{event:?}");
    }
}

#[async_trait::async_trait]
impl RdpServerDisplay for Gallery {
    async fn size(&mut self) -> DesktopSize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size()
    }

    async fn updates(&mut self) -> Result<Box<dyn RdpServerDisplayUpdates>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.updates = Some(sender);
        shown.send_picture();
        Ok(Box::new(Updates(receiver)))
    }
}

struct Updates(mpsc::UnboundedReceiver<DisplayUpdate>);

#[async_trait::async_trait]
impl RdpServerDisplayUpdates for Updates {
    async fn next_update(&mut self) -> Result<Option<DisplayUpdate>> {
        Ok(self.0.recv().await)
    }
}

/// Waves in all colours, others for each format, in that format.
fn picture(size: DesktopSize, index: usize) -> Option<BitmapUpdate> {
    let format = PixelFormat::ALL[index];
    let mut data = Vec::new();
    for y in 0..u32::from(size.height) {
        for x in 0..u32::from(size.width) {
            let (red, green, blue) = (x as u8, y as u8, (x / 2 + y / 3 + index as u32 * 20) as u8);
            put(&mut data, format, red, green, blue);
        }
    }
    Some(BitmapUpdate {
        x: 0,
        y: 0,
        width: NonZeroU16::new(size.width)?,
        height: NonZeroU16::new(size.height)?,
        format,
        stride: NonZeroUsize::new(data.len() / usize::from(size.height))?,
        data: data.into(),
    })
}

/// Names of formats give the order of bytes in memory; of the 16-bit ones, that of the bits from the top.
fn put(data: &mut Vec<u8>, format: PixelFormat, red: u8, green: u8, blue: u8) {
    let (r, g, b, a) = (red, green, blue, 0xff);
    let word = |high: u8, low: u8| u16::from(high >> 3) << 11 | u16::from(g >> 2) << 5 | u16::from(low >> 3);
    match format {
        PixelFormat::ARgb32 | PixelFormat::XRgb32 => data.extend([a, r, g, b]),
        PixelFormat::ABgr32 | PixelFormat::XBgr32 => data.extend([a, b, g, r]),
        PixelFormat::BgrA32 | PixelFormat::BgrX32 => data.extend([b, g, r, a]),
        PixelFormat::RgbA32 | PixelFormat::RgbX32 => data.extend([r, g, b, a]),
        PixelFormat::Bgr24 => data.extend([b, g, r]),
        PixelFormat::Rgb24 => data.extend([r, g, b]),
        PixelFormat::Bgr16 => data.extend(word(b, r).to_le_bytes()),
        PixelFormat::Rgb16 => data.extend(word(r, b).to_le_bytes()),
    }
}

/// A pointer by its number, and its name.
fn pointer(number: usize) -> (&'static str, DisplayUpdate) {
    match number % 6 {
        0 => ("custom", square(0, 32, [0x20, 0x80, 0xff, 0xff])),
        1 => ("large", square(1, 96, [0xe0, 0x60, 0x10, 0xff])),
        2 => ("hidden", DisplayUpdate::HidePointer),
        3 => ("color", color()),
        4 => ("default", DisplayUpdate::DefaultPointer),
        _ => ("cached", DisplayUpdate::CachedPointer(0)),
    }
}

/// A filled square of blue, green, red and alpha.
fn square(cache_index: u16, side: u16, color: [u8; 4]) -> DisplayUpdate {
    DisplayUpdate::RGBAPointer(RGBAPointer {
        cache_index,
        width: side,
        height: side,
        hot_x: 0,
        hot_y: 0,
        data: color.repeat(usize::from(side) * usize::from(side)),
    })
}

/// The same in red, without alpha: a bit of the mask for each hole, and there are none.
fn color() -> DisplayUpdate {
    DisplayUpdate::ColorPointer(ColorPointer {
        cache_index: 2,
        width: 32,
        height: 32,
        hot_x: 0,
        hot_y: 0,
        and_mask: vec![0; 32 * 32 / 8],
        xor_mask: [0x10, 0x10, 0xf0].repeat(32 * 32),
    })
}
