//! The client's side of the example `custom_channel`: prints what it hears on both channels and says hello once on each.

use ironrdp_core::{Encode, EncodeResult, WriteCursor, ensure_size, impl_as_any};
use ironrdp_dvc::{DvcClientProcessor, DvcEncode, DvcMessage, DvcProcessor};
use ironrdp_pdu::PduResult;
use ironrdp_pdu::gcc::ChannelName;
use ironrdp_svc::{SvcClientProcessor, SvcEncode, SvcMessage, SvcProcessor};

/// A channel that answers its first message and prints `HEARD channel text` for each.
#[derive(Debug)]
pub(super) struct Talk {
    channel: &'static str,
    has_answered: bool,
}

impl_as_any!(Talk);
impl SvcClientProcessor for Talk {}
impl DvcClientProcessor for Talk {}

impl Talk {
    /// The static one.
    pub(super) fn on_static() -> Self {
        Self::on("EXAMPLE")
    }

    /// The dynamic one.
    pub(super) fn on_dynamic() -> Self {
        Self::on("RDPMUX::Example")
    }

    fn on(channel: &'static str) -> Self {
        Self {
            channel,
            has_answered: false,
        }
    }

    fn hear(&mut self, message: &[u8]) -> Option<Hello> {
        println!("HEARD {} {}", self.channel, String::from_utf8_lossy(message));
        let is_first = !std::mem::replace(&mut self.has_answered, true);
        is_first.then_some(Hello)
    }
}

impl SvcProcessor for Talk {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_static(b"EXAMPLE\0")
    }

    fn process(&mut self, message: &[u8]) -> PduResult<Vec<SvcMessage>> {
        Ok(self.hear(message).map(SvcMessage::from).into_iter().collect())
    }
}

impl DvcProcessor for Talk {
    fn channel_name(&self) -> &str {
        self.channel
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }

    fn process(&mut self, _: u32, message: &[u8]) -> PduResult<Vec<DvcMessage>> {
        let answer = self.hear(message);
        Ok(answer.into_iter().map(|hello| Box::new(hello) as DvcMessage).collect())
    }
}

struct Hello;

impl Encode for Hello {
    fn encode(&self, dst: &mut WriteCursor<'_>) -> EncodeResult<()> {
        ensure_size!(in: dst, size: self.size());
        dst.write_slice(b"hello");
        Ok(())
    }

    fn name(&self) -> &'static str {
        "hello"
    }

    fn size(&self) -> usize {
        5
    }
}

impl SvcEncode for Hello {}
impl DvcEncode for Hello {}
