//! What an embedder adds to a session: channels of its own, and echo requests. Its messages leave while little waits; they
//! hold up neither input nor frames.

use std::sync::Arc;

use bytes::Bytes;
use rdpmux_rdp::{ChannelEvent, SessionEvent};
use tokio::time::Instant;
use tracing::warn;

use super::{Drive, End};
use crate::channels::{ChannelsWake, ClientChannels};
use crate::echo::EchoSeat;

/// What a session has of it.
#[derive(Default)]
pub(super) struct Extras {
    echo: Option<EchoSeat>,
    channels: Option<ClientChannels>,
}

pub(super) enum ExtraWake {
    Echo(Arc<[u8]>),
    Channels(ChannelsWake),
}

impl Extras {
    /// Waits for something to do; `backlog`: what waits for the client. Cancel-safe.
    pub(super) async fn next(&mut self, backlog: u64) -> ExtraWake {
        let Self { echo, channels } = self;
        tokio::select! {
            biased;
            payload = request(echo) => ExtraWake::Echo(payload),
            wake = progress(channels, backlog < ROOM) => ExtraWake::Channels(wake),
        }
    }
}

async fn request(echo: &mut Option<EchoSeat>) -> Arc<[u8]> {
    match echo {
        Some(seat) => seat.next().await,
        None => std::future::pending().await,
    }
}

async fn progress(channels: &mut Option<ClientChannels>, may_say: bool) -> ChannelsWake {
    match channels {
        Some(channels) => channels.next(may_say).await,
        None => std::future::pending().await,
    }
}

impl Drive {
    /// With channels of the embedder's.
    pub(in crate::session) fn with_channels(mut self, channels: Option<ClientChannels>) -> Self {
        self.extras.channels = channels;
        self
    }

    pub(super) fn on_extra_event(&mut self, event: SessionEvent) -> Result<(), End> {
        match event {
            SessionEvent::EchoReady => {
                let echo = self.seat.desktop().peripherals().echo.as_ref();
                self.extras.echo = echo.map(|echo| echo.join(self.id));
            }
            SessionEvent::Echo(payload) => {
                if let Some(seat) = &mut self.extras.echo {
                    seat.on_answer(payload, Instant::now());
                }
            }
            SessionEvent::Channel { number, event } => return self.on_channel(number, event),
            _ => {}
        }
        Ok(())
    }

    fn on_channel(&mut self, number: usize, event: ChannelEvent) -> Result<(), End> {
        let id = self.rdp.dynamic_id(number).unwrap_or_default();
        let Some(channels) = &mut self.extras.channels else {
            return Ok(());
        };
        if channels.on_event(number, id, event) {
            return Ok(());
        }
        warn!(session = %self.id, "the client sends more than the program takes; it loses the program's channels");
        self.close_channels()
    }

    pub(super) fn on_extra_wake(&mut self, wake: ExtraWake) -> Result<(), End> {
        let mut out = Vec::new();
        match wake {
            ExtraWake::Echo(payload) => {
                if let Some(seat) = &mut self.extras.echo
                    && self.rdp.echo(&payload, &mut out)
                {
                    seat.on_sent(payload, Instant::now());
                }
            }
            ExtraWake::Channels(ChannelsWake::Send(number, message)) => {
                self.rdp.write_channel(number, &message, &mut out);
            }
            ExtraWake::Channels(ChannelsWake::Carry(pdus)) => {
                for pdu in pdus {
                    self.rdp.write_dynamic_pdu(&pdu, &mut out);
                }
            }
            ExtraWake::Channels(ChannelsWake::Done(said, over)) => {
                for (number, message) in said {
                    self.rdp.write_channel(number, &message, &mut out);
                }
                for number in over {
                    self.rdp.close_channel(number, &mut out);
                }
            }
            ExtraWake::Channels(ChannelsWake::Failed) => return self.close_channels(),
        }
        self.outbox.push(Bytes::from(out)).map_err(End::from)
    }

    fn close_channels(&mut self) -> Result<(), End> {
        let Some(channels) = self.extras.channels.take() else {
            return Ok(());
        };
        let mut out = Vec::new();
        for number in 0..channels.count() {
            self.rdp.close_channel(number, &mut out);
        }
        self.push(out)
    }
}

/// Bytes in the outbox up to which messages are added.
const ROOM: u64 = 64 << 10;
