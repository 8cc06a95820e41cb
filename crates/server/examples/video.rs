//! A generated moving picture, 1920x1080, 60 frames a second, for as many clients as come:
//!
//! `cargo run --release -p rdpmux-server --example video -- --cert cert.pem --key key.pem`
//!
//! Frames are pushed as they are painted. A client that is slower gets fewer of them; it delays nobody.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod options;
mod picture;

use anyhow::{Context as _, Result};
use options::Options;
use picture::{Frame, HEIGHT, WIDTH};
use rdpmux_server::{
    BitmapUpdate, DesktopSize, DisplayUpdate, PixelFormat, RdpServer, RdpServerDisplay, RdpServerDisplayUpdates,
};
use std::num::{NonZeroU16, NonZeroUsize};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = Options::read()?;
    let server = RdpServer::builder()
        .with_addr(options.address)
        .with_tls(options.identity.make_acceptor()?)
        .with_no_input()
        .with_display_handler(Video(picture::start(60)?))
        .build();
    options::run(server).await
}

struct Video(watch::Receiver<Frame>);

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
