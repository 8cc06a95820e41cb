//! Channels of a program's own, a static and a dynamic one, built for each client that comes:
//!
//! `cargo run -p rdpmux-server --example custom_channel -- --cert cert.pem --key key.pem`
//!
//! Both greet the client and give back in capitals what it says; on the dynamic one a clock ticks unasked. The processors
//! are those of IronRDP, `SvcProcessor` and `DvcProcessor`, so what was written for its servers and clients fits.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod options;

use anyhow::Result;
use ironrdp_core::{Encode, EncodeResult, WriteCursor, ensure_size, impl_as_any};
use ironrdp_dvc::{DvcEncode, DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::PduResult;
use ironrdp_pdu::gcc::ChannelName;
use ironrdp_svc::{SvcEncode, SvcMessage, SvcProcessor, SvcServerProcessor};
use options::Options;
use rdpmux_server::{Channel, ChannelClient, ChannelFactory, ChannelSendError, ChannelSender, RdpServer};
use std::sync::Arc;
use std::time::Duration;

/// Names of static channels have seven characters at most.
const STATIC: &str = "EXAMPLE";
const DYNAMIC: &str = "RDPMUX::Example";

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = Options::read()?;
    let server = RdpServer::builder()
        .with_addr(options.address)
        .with_tls(options.identity.make_acceptor()?)
        .with_no_input()
        .with_no_display()
        .with_channel_factory(Some(Arc::new(Talks)))
        .build();
    options::run(server).await
}

struct Talks;

impl ChannelFactory for Talks {
    fn channels(&self, client: &ChannelClient) -> Vec<Channel> {
        tokio::spawn(tick(client.dynamic_sender(DYNAMIC)));
        let talk = |channel| Talk {
            channel,
            user: client.user.clone(),
        };
        vec![
            Channel::Static(Box::new(talk(STATIC))),
            Channel::Dynamic(Box::new(talk(DYNAMIC))),
        ]
    }
}

/// Says the seconds until the client is gone.
async fn tick(sender: ChannelSender) {
    for seconds in 1_u64.. {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // A client that reads slowly misses some.
        if sender.send(format!("tick {seconds}").into_bytes()) == Err(ChannelSendError::Gone) {
            return;
        }
    }
}

/// One channel of one client.
#[derive(Debug)]
struct Talk {
    channel: &'static str,
    user: String,
}

impl_as_any!(Talk);
impl SvcServerProcessor for Talk {}
impl DvcServerProcessor for Talk {}

impl Talk {
    fn greet(&self) -> Text {
        Text(format!("welcome, {}", self.user))
    }

    fn answer(&self, message: &[u8]) -> Text {
        let text = String::from_utf8_lossy(message);
        println!("{} of {}: {text}", self.channel, self.user);
        Text(text.to_uppercase())
    }
}

impl SvcProcessor for Talk {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_static(b"EXAMPLE\0")
    }

    fn start(&mut self) -> PduResult<Vec<SvcMessage>> {
        Ok(vec![self.greet().into()])
    }

    fn process(&mut self, message: &[u8]) -> PduResult<Vec<SvcMessage>> {
        Ok(vec![self.answer(message).into()])
    }
}

impl DvcProcessor for Talk {
    fn channel_name(&self) -> &str {
        self.channel
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(vec![Box::new(self.greet())])
    }

    fn process(&mut self, _: u32, message: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(vec![Box::new(self.answer(message))])
    }
}

/// Processors are dropped when their client has gone; `close` is called if it closes the channel and stays.
impl Drop for Talk {
    fn drop(&mut self) {
        println!("{} of {} is closed", self.channel, self.user);
    }
}

/// A message: its text, and nothing around it.
struct Text(String);

impl Encode for Text {
    fn encode(&self, dst: &mut WriteCursor<'_>) -> EncodeResult<()> {
        ensure_size!(in: dst, size: self.size());
        dst.write_slice(self.0.as_bytes());
        Ok(())
    }

    fn name(&self) -> &'static str {
        "text"
    }

    fn size(&self) -> usize {
        self.0.len()
    }
}

impl SvcEncode for Text {}
impl DvcEncode for Text {}
