//! One client from the capability exchange on: bytes in, events and answers out. No desktop, no clock, no pixels.
//! The handshake drives it through its first activation, the server from then on.
//!
//! ```text
//! Demand Active → AwaitConfirm → AwaitFontList → Live ─ resize_legacy ─┐
//!                      ↑───────────────────────────────────────────────┘
//! ```

mod audin;
mod audio_format;
mod autodetect;
pub(crate) mod caps;
mod channel;
mod chunks;
mod cliprdr;
mod echo;
mod event;
mod extra;
mod graphics;
mod inbox;
mod info;
mod input;
mod liveness;
mod monitors;
mod path;
mod pointer;
mod rdpsnd;
mod reconnect;
mod share;
mod sound;
mod streams;
mod touch;

use rdpmux_model::{FrameId, InputEvent, LockKeys, MonitorLayout, PointerShape, QueueDepth, Size};

pub use cliprdr::{ClipboardEvent, ClipboardRefusal};
pub use event::SessionEvent;
pub use extra::{ChannelEvent, ChannelKind, ChannelRefusal};
pub use graphics::CacheOffer;
pub use info::SessionInfo;
pub use monitors::{DesktopShape, layout_in_message};
pub use reconnect::{ReconnectCookie, ReconnectProof};
pub use sound::{SoundEvent, SoundRefusal};
pub use streams::{StreamsChannel, StreamsEvent};

use crate::pipe::{CodersFactory, Egfx, FrameNumbers, FrameWriter, Monitor, SurfaceCodecs};
use crate::wire::{self, DynamicChannel, Reader};
use autodetect::AutoDetect;
use caps::ClientCaps;
use channel::DynamicChannels;
use cliprdr::Clipboard;
use graphics::{Graphics as GraphicsProcessor, GraphicsEvent};
use input::InputDecoder;
use pointer::PointerCache;

/// Why the server ends a session. The client shows it to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The user may not use the desktop, or there is none of that name.
    Denied,
    /// Wrong user or password.
    BadCredentials,
    /// Another connection took over.
    Replaced,
    /// Nothing was typed for too long.
    IdleTimeout,
    /// An administrator closed the session.
    Disconnected,
    /// An administrator ended the session for good.
    LoggedOff,
    /// The desktop is not there any more.
    DesktopRemoved,
    /// An administrator stops the server.
    ServerShutdown,
    /// A limit was reached: too many sessions, too little memory.
    Limit,
}

/// Why a session ends by an error.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The client broke the protocol.
    #[error("malformed {message} from the client")]
    Peer {
        /// Which message.
        message: &'static str,
        /// What the decoder said, if it was one of IronRDP's.
        #[source]
        source: Option<Box<dyn core::error::Error + Send + Sync>>,
    },
    /// The client announced more than is taken.
    #[error("{message} of {announced} bytes where at most {limit} are taken")]
    Oversized {
        /// Which message.
        message: &'static str,
        /// Announced bytes.
        announced: usize,
        /// Limit in bytes.
        limit: usize,
    },
}

/// Name of the static channel that carries the dynamic ones.
pub(crate) const DYNAMIC_CHANNELS: &str = "drdynvc";

/// What the connection sequence found out.
pub(crate) struct Link {
    /// MCS channel of the share.
    pub(crate) io: u16,
    /// The static channels that the client has.
    pub(crate) statics: Vec<StaticChannel>,
    /// MCS message channel, if the client has it and takes auto-detection.
    pub(crate) auto_detect: Option<u16>,
    /// The same, if it takes heartbeats.
    pub(crate) heartbeat: Option<u16>,
    /// Client takes Monitor Layout PDUs.
    pub(crate) monitor_layout: bool,
    /// Colour depth to demand.
    pub(crate) bits_per_pixel: u8,
    /// The client's monitors when it connected, if they can be.
    pub(crate) monitors: Option<MonitorLayout>,
}

/// A static virtual channel as the client announced it ([MS-RDPBCGR] 2.2.1.3.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticChannel {
    /// In lower case.
    pub(crate) name: String,
    /// MCS channel.
    pub(crate) id: u16,
}

impl Link {
    /// The MCS channel of the static channel `name`, in lower case, if the client has it.
    pub(crate) fn channel(&self, name: &str) -> Option<u16> {
        self.statics.iter().find(|channel| channel.name == name).map(|c| c.id)
    }
}

/// What the server has for this session.
pub(crate) struct Offer {
    pub(crate) coders: CodersFactory,
    pub(crate) video: bool,
    pub(crate) surface_codecs: SurfaceCodecs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitConfirm,
    AwaitFontList,
    Live,
}

/// How frames go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Graphics {
    /// Not started.
    Idle,
    /// The client may still open the graphics pipeline.
    Waiting,
    Egfx,
    Legacy,
    /// The embedder makes them.
    Elsewhere,
}

/// One client.
pub struct Session {
    info: SessionInfo,
    link: Link,
    size: Size,
    /// The desktop's monitors; they count while they make up its size.
    monitors: Vec<Monitor>,
    caps: ClientCaps,
    phase: Phase,
    channels: Option<DynamicChannels>,
    auto_detect: Option<AutoDetect>,
    clipboard: Option<Clipboard>,
    graphics: Graphics,
    coders: CodersFactory,
    surface_codecs: SurfaceCodecs,
    numbers: FrameNumbers,
    input: InputDecoder,
    pointers: PointerCache,
    sound: sound::Sound,
    streams: streams::Streams,
    extras: Vec<extra::Extra>,
}

impl Session {
    /// Starts with a Demand Active for a desktop of this size.
    pub(crate) fn demand(info: SessionInfo, link: Link, shape: DesktopShape, offer: Offer, out: &mut Vec<u8>) -> Self {
        let graphics = || info.egfx.then(|| GraphicsProcessor::new(offer.video));
        let channels = link
            .channel(DYNAMIC_CHANNELS)
            .map(|carrier| DynamicChannels::new(carrier, graphics(), shape.may_ask));
        let auto_detect = link.auto_detect.map(AutoDetect::new);
        let clipboard = link.channel(cliprdr::CHANNEL).map(Clipboard::new);
        let mut session = Self {
            info,
            link,
            size: shape.size,
            monitors: shape.monitors,
            caps: ClientCaps::default(),
            phase: Phase::AwaitConfirm,
            channels,
            auto_detect,
            clipboard,
            graphics: Graphics::Idle,
            coders: offer.coders,
            surface_codecs: offer.surface_codecs,
            numbers: FrameNumbers::new(),
            input: InputDecoder::default(),
            pointers: PointerCache::default(),
            sound: sound::Sound::new(),
            streams: streams::Streams::new(),
            extras: Vec::new(),
        };
        session.send_demand(out);
        session
    }

    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Who the client is and what it can do.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Halves of unicode surrogate pairs that the client sent without their other one; they were left out.
    pub fn cut_surrogates(&self) -> u64 {
        self.input.cut_surrogates()
    }

    /// Takes bytes, appends events and answers, and returns how many bytes were used. The rest is fed again with more behind it.
    ///
    /// # Errors
    /// [`SessionError`]; write `out`, then close.
    pub fn feed(
        &mut self,
        buf: &[u8],
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> Result<usize, SessionError> {
        let mut used = 0;
        while let Some(pdu) = wire::next_pdu(&buf[used..]).map_err(peer)? {
            used += pdu.len();
            self.pdu(pdu, events, out)?;
        }
        Ok(used)
    }

    /// As [`Session::feed`], for one PDU, which the handshake has framed.
    pub(crate) fn pdu(
        &mut self,
        pdu: &[u8],
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        if pdu.first() != Some(&wire::TPKT_VERSION) {
            // Input that was under way while the desktop changes has no meaning for the new one.
            let live = self.is_live();
            let sink = |event| {
                if live {
                    events.push(SessionEvent::from(event));
                }
            };
            return self.input.fast_path(pdu, sink).ok_or(peer("fast-path input"));
        }
        match wire::mcs(pdu).map_err(peer)? {
            wire::Mcs::Data { channel, data } if channel == self.link.io => self.share(data, events, out),
            wire::Mcs::Data { channel, data } => self.channel(channel, data, events, out),
            wire::Mcs::Disconnect => {
                events.push(SessionEvent::Shutdown);
                Ok(())
            }
            wire::Mcs::Other(code) => {
                tracing::debug!(code, "unexpected MCS message");
                Ok(())
            }
        }
    }

    fn channel(
        &mut self,
        channel: u16,
        data: &[u8],
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        if let Some(auto_detect) = self.auto_detect.as_mut().filter(|a| a.channel() == channel) {
            events.extend(auto_detect.take(data)?);
            return Ok(());
        }
        let taken = self.sound_chunk(channel, data, events, out)
            || self.streams_chunk(channel, data, events)
            || self.extra_chunk(channel, data, events);
        if taken {
            return Ok(());
        }
        if let Some(clipboard) = self.clipboard.as_mut().filter(|c| c.channel() == channel) {
            clipboard.chunk(data, events);
            return Ok(());
        }
        let Some(channels) = self.channels.as_mut().filter(|c| c.carrier() == channel) else {
            tracing::trace!(channel, bytes = data.len(), "data on a channel without a use");
            return Ok(());
        };
        let mut news = Vec::new();
        channels.chunk(data, out, |channel, event| news.push((channel, event)))?;
        events.extend(channels.take_echoes().into_iter().map(SessionEvent::from));
        let touches = channels.take_touches();
        let display = channels.take_display();
        if self.is_live() {
            let touch = |touch| SessionEvent::Input(InputEvent::Touch(touch));
            events.extend(touches.into_iter().map(touch));
        }
        for (channel, event) in news {
            self.graphics_event(channel, event, events);
        }
        self.channel_news(events, out);
        events.extend(display.and_then(|event| self.display_event(event)));
        Ok(())
    }

    fn graphics_event(&mut self, channel: DynamicChannel, event: GraphicsEvent, events: &mut Vec<SessionEvent>) {
        match event {
            GraphicsEvent::Confirmed(caps) => {
                // A client that opens the pipeline after the fall-back stays with what it was given.
                if self.graphics != Graphics::Legacy {
                    let again = self.graphics == Graphics::Egfx;
                    self.graphics = Graphics::Egfx;
                    let egfx = Egfx::new(caps, self.coders.clone(), self.numbers.clone(), again);
                    events.push(SessionEvent::GraphicsReady(FrameWriter::egfx(channel, egfx)));
                }
            }
            GraphicsEvent::Ack { id, queue_depth } => events.push(SessionEvent::FrameAck { id, queue_depth }),
            GraphicsEvent::CacheOffer(entries) => events.push(SessionEvent::CacheOffer(entries)),
        }
    }

    /// Draws frame and surface numbers from those of the desktop. Call before [`Self::start`], and when the client goes to
    /// another desktop; writers that exist are told by [`FrameWriter::move_to`].
    pub fn share_numbers(&mut self, numbers: FrameNumbers) {
        self.numbers = numbers;
    }

    /// Starts the channels. Call once, and write `out`. Legacy clients get their [`SessionEvent::GraphicsReady`] here.
    pub fn start(&mut self, events: &mut Vec<SessionEvent>, out: &mut Vec<u8>) {
        self.start_sound(out);
        self.start_streams(events);
        self.start_extras(events);
        if let Some(channels) = &mut self.channels {
            channels.start(out);
        }
        self.graphics = Graphics::Waiting;
        if !(self.info.egfx && self.channels.is_some()) {
            self.graphics_timeout(events);
        }
        events.extend(self.first_layout());
    }

    /// Whether the client may still open the graphics pipeline. While it may, no writer has been handed out.
    pub fn awaits_graphics(&self) -> bool {
        self.graphics == Graphics::Waiting
    }

    /// The client did not open the graphics pipeline in time: hands out a legacy writer. Nothing if there is one already.
    pub fn graphics_timeout(&mut self, events: &mut Vec<SessionEvent>) {
        if self.graphics == Graphics::Waiting {
            self.graphics = Graphics::Legacy;
            events.push(SessionEvent::GraphicsReady(self.legacy_writer()));
        }
    }

    /// Whether the client gets its pictures from the embedder: see [`Self::give_graphics_away`].
    pub fn graphics_are_elsewhere(&self) -> bool {
        self.graphics == Graphics::Elsewhere
    }

    fn legacy_writer(&self) -> FrameWriter {
        FrameWriter::legacy(&self.caps, self.surface_codecs, self.link.io, self.numbers.clone())
    }

    /// Shows a pointer.
    pub fn pointer(&mut self, shape: &PointerShape, out: &mut Vec<u8>) {
        if self.is_live() {
            self.pointers.show(shape, &self.caps, self.link.io, out);
        }
    }

    /// Marks where the client begins to count bytes and time; send at least some packets before
    /// [`Self::bandwidth_stop`]. `false` if the client does not count, or does already ([MS-RDPBCGR] 2.2.14.1.2).
    pub fn bandwidth_start(&mut self, out: &mut Vec<u8>) -> bool {
        self.live_auto_detect().is_some_and(|a| a.start(out))
    }

    /// Ends what [`Self::bandwidth_start`] began; the client answers by [`SessionEvent::Bandwidth`] with this number.
    /// `None` if it was not begun ([MS-RDPBCGR] 2.2.14.1.4).
    pub fn bandwidth_stop(&mut self, out: &mut Vec<u8>) -> Option<u16> {
        self.live_auto_detect()?.stop(out)
    }

    /// Sends a payload of the embedder's that the client sends back: see [`SessionEvent::Echo`]. `false` if it has not opened
    /// the channel `ECHO` ([MS-RDPEECO]), or owes 16 answers.
    pub fn echo(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let live = self.is_live();
        let channels = self.channels.as_mut().filter(|_| live);
        channels.is_some_and(|channels| channels.echo_payload(payload, out))
    }

    fn live_auto_detect(&mut self) -> Option<&mut AutoDetect> {
        let live = self.is_live();
        self.auto_detect.as_mut().filter(|_| live)
    }

    /// Sets the client's keyboard LEDs ([MS-RDPBCGR] 2.2.8.2.1.1).
    pub fn indicators(&mut self, locks: LockKeys, out: &mut Vec<u8>) {
        if self.is_live() {
            share::keyboard_indicators(self.link.io, locks, out);
        }
    }

    /// Changes the desktop's size in clients without EGFX ([MS-RDPBCGR] 1.3.1.3). Send no frame and no pointer until
    /// [`SessionEvent::Reactivated`].
    pub fn resize_legacy(&mut self, size: Size, out: &mut Vec<u8>) {
        self.size = size;
        wire::deactivate_all(out, self.link.io);
        self.send_demand(out);
    }

    fn send_demand(&mut self, out: &mut Vec<u8>) {
        self.phase = Phase::AwaitConfirm;
        wire::send_data(out, self.link.io, |out| {
            caps::demand_active(out, self.size, self.link.bits_per_pixel, self.surface_codecs);
        });
        if self.link.monitor_layout {
            share::monitor_layout(self.link.io, &Monitor::of_desktop(&self.monitors, self.size), out);
        }
    }

    /// Tells why and ends the MCS domain. Write `out`, then close.
    pub fn error_info(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        goodbye(&self.link, reason, out);
    }
}

/// Set Error Info and the end of the domain. FreeRDP 3 shows the reason though it does not announce
/// `RNS_UD_CS_SUPPORT_ERRINFO_PDU`; to a client that does not know the message the connection ends here anyway.
pub(crate) fn goodbye(link: &Link, reason: CloseReason, out: &mut Vec<u8>) {
    share::error_info(link.io, reason, out);
    wire::disconnect(out);
}

fn peer(message: &'static str) -> SessionError {
    SessionError::Peer { message, source: None }
}
