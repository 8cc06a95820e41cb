//! A dynamic channel whose messages are handled outside of IronRDP's server: it only says what happened.

use std::borrow::Cow;
use std::sync::mpsc::Sender;

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::PduResult;

/// What happened on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The client opened it.
    Opened,
    /// The client does not have it.
    Declined,
    /// A whole message.
    Message(Vec<u8>),
    /// It is closed.
    Closed,
}

/// Processor of such a channel.
pub(super) struct Inbox {
    pub(super) name: Cow<'static, str>,
    pub(super) news: Sender<(u32, News)>,
}

impl_as_any!(Inbox);

impl Inbox {
    fn say(&self, channel: u32, news: News) {
        // Without a receiver the session has ended.
        let _ = self.news.send((channel, news));
    }
}

impl DvcProcessor for Inbox {
    fn channel_name(&self) -> &str {
        &self.name
    }

    fn start(&mut self, channel: u32) -> PduResult<Vec<DvcMessage>> {
        self.say(channel, News::Opened);
        Ok(Vec::new())
    }

    fn process(&mut self, channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        self.say(channel, News::Message(payload.to_vec()));
        Ok(Vec::new())
    }

    fn close(&mut self, channel: u32) {
        self.say(channel, News::Closed);
    }
}

impl DvcServerProcessor for Inbox {}
