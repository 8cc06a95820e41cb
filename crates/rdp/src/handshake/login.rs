//! Who is at the door: the client's name and what it says about its user, taken from the GCC client core data and the
//! client info. Nothing here is verified yet; with NLA the verified name is CredSSP's.

use core::fmt;

use ironrdp_pdu::gcc::{ClientColorDepth, ClientEarlyCapabilityFlags};
use ironrdp_pdu::mcs::ConnectInitial;
use ironrdp_pdu::rdp::client_info::{ClientInfo, ClientInfoFlags};
use rdpmux_model::{ClientMonitor, LayoutError, MonitorLayout, Size};

use crate::session::{DYNAMIC_CHANNELS, Link, ReconnectProof, SessionInfo, StaticChannel};

/// The acceptor's fixed number of the I/O channel; static channels follow it in the client's order.
const IO_CHANNEL: u16 = 1003;

/// A clear-text password: overwritten when dropped, never printed.
pub struct Password(String);

impl Password {
    /// Takes the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text. Do not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        // Without `unsafe` a volatile write is out of reach; `black_box` keeps the compiler from dropping the stores.
        let mut bytes = core::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        core::hint::black_box(&mut bytes);
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What the client says about itself and its user ([MS-RDPBCGR] 2.2.1.3.2, 2.2.1.11.1.1).
#[derive(Debug)]
pub struct ClientLogin {
    /// User name; empty if the client sent none. With NLA: unverified, use CredSSP's name.
    pub user: String,
    /// Domain, if not empty.
    pub domain: Option<String>,
    /// Password, if the client sent one that is not empty. Always `None` after NLA.
    pub password: Option<Password>,
    /// The client computer's name, cleaned of control characters.
    pub client_name: String,
    /// `clientBuild`: 2600 for XP, 22621 for a Windows 11 and so on; rdesktop says 2600, FreeRDP 18363.
    pub client_build: u32,
    /// Desktop size that the client asked for, in pixels; unchecked, may be 0.
    pub requested: Size,
    /// Its monitors, or one of the size that it asked for.
    pub monitors: Result<MonitorLayout, LayoutError>,
    /// Whether the client asks to be logged on with what it sent (`INFO_AUTOLOGON`).
    pub auto_logon: bool,
    /// What it answers to the cookie of a session that it lost, if it comes back.
    pub reconnect: Option<ReconnectProof>,
}

/// What the handshake has learned of the client so far.
#[derive(Debug, Default)]
pub(super) struct Client {
    name: String,
    build: u32,
    requested: Size,
    keyboard_layout: u32,
    scale_percent: u32,
    /// `None` before the GCC request.
    monitors: Option<Result<MonitorLayout, LayoutError>>,
    bits_per_pixel: u8,
    early: Option<ClientEarlyCapabilityFlags>,
    statics: Vec<StaticChannel>,
    message: Option<u16>,
    nla: bool,
    flags: Option<ClientInfoFlags>,
}

impl Client {
    /// CredSSP is done: a password in the client info has no use.
    pub(super) fn after_nla(&mut self) {
        self.nla = true;
    }

    /// Takes the GCC request, with the list of monitors that was set apart from it.
    pub(super) fn connect_initial(
        &mut self,
        initial: &ConnectInitial,
        monitors: Option<Result<Vec<ClientMonitor>, LayoutError>>,
    ) {
        let blocks = initial.conference_create_request.gcc_blocks();
        let core = &blocks.core;
        self.name = core.client_name.chars().filter(|c| !c.is_control()).collect();
        self.build = core.client_build;
        self.requested = Size::new(u32::from(core.desktop_width), u32::from(core.desktop_height));
        self.keyboard_layout = core.keyboard_layout;
        // 100 to 500 percent is what the field may hold; anything else means the client did not say.
        let scale = core.optional_data.desktop_scale_factor.unwrap_or(100);
        self.scale_percent = if (100..=500).contains(&scale) { scale } else { 100 };
        let (width_mm, height_mm) = (
            core.optional_data.desktop_physical_width.unwrap_or(0),
            core.optional_data.desktop_physical_height.unwrap_or(0),
        );
        let only = ClientMonitor::from(self.requested);
        let only = || vec![only.with_physical(width_mm, height_mm).with_scale(scale)];
        self.monitors = Some(monitors.unwrap_or_else(|| Ok(only())).and_then(MonitorLayout::new));
        self.bits_per_pixel = match core.client_color_depth() {
            ClientColorDepth::Bpp32 => 32,
            ClientColorDepth::Bpp24 => 24,
            ClientColorDepth::Rgb555Bpp16 => 15,
            // Palettes are not served: the client gets 16 and says whether it can.
            ClientColorDepth::Rgb565Bpp16 | ClientColorDepth::Bpp8 | ClientColorDepth::Bpp4 => 16,
        };
        self.early = core.optional_data.early_capability_flags;
        let channels = blocks.network.iter().flat_map(|n| &n.channels);
        self.statics = (IO_CHANNEL + 1..)
            .zip(channels)
            .filter_map(|(id, channel)| {
                let name = channel.name.as_str()?.to_ascii_lowercase();
                Some(StaticChannel { name, id })
            })
            .collect();
        // The acceptor gives the number after those of the static channels to the message channel.
        let statics = blocks.network.iter().map(|n| n.channels.len()).sum::<usize>();
        self.message = blocks
            .message_channel
            .as_ref()
            .and_then(|_| u16::try_from(statics).ok())
            .map(|count| IO_CHANNEL + 1 + count);
    }

    /// Takes user, domain and password out of the client info.
    pub(super) fn login(&mut self, info: &mut ClientInfo) -> ClientLogin {
        self.flags = Some(info.flags);
        let password = Password::new(core::mem::take(&mut info.credentials.password));
        info.password_cookie = None;
        ClientLogin {
            user: core::mem::take(&mut info.credentials.username),
            domain: info.credentials.domain.take().filter(|d| !d.is_empty()),
            password: Some(password).filter(|p| !self.nla && !p.reveal().is_empty()),
            client_name: self.name.clone(),
            client_build: self.build,
            requested: self.requested,
            monitors: self.monitors.clone().unwrap_or(Err(LayoutError::NoMonitor)),
            auto_logon: info.flags.contains(ClientInfoFlags::AUTOLOGON),
            reconnect: info
                .extra_info
                .optional_data
                .auto_reconnect()
                .cloned()
                .map(ReconnectProof::from),
        }
    }

    pub(super) fn session(&self) -> (SessionInfo, Link) {
        let early = self.early.unwrap_or(ClientEarlyCapabilityFlags::empty());
        let info = SessionInfo {
            client_name: self.name.clone(),
            client_build: self.build,
            keyboard_layout: self.keyboard_layout,
            requested: self.requested,
            scale_percent: self.scale_percent,
            bits_per_pixel: self.bits_per_pixel,
            egfx: self.statics.iter().any(|c| c.name == DYNAMIC_CHANNELS)
                && early.contains(ClientEarlyCapabilityFlags::SUPPORT_DYN_VC_GFX_PROTOCOL),
            remotefx: false,
            frame_acknowledge: false,
            pointer_edge: 32,
            sound: self.flags.is_some_and(|flags| {
                !flags.intersects(ClientInfoFlags::NO_AUDIO_PLAYBACK | ClientInfoFlags::REMOTE_CONSOLE_AUDIO)
            }),
            microphone: self
                .flags
                .is_some_and(|flags| flags.contains(ClientInfoFlags::AUDIO_CAPTURE)),
        };
        let link = Link {
            io: IO_CHANNEL,
            statics: self.statics.clone(),
            auto_detect: self
                .message
                .filter(|_| early.contains(ClientEarlyCapabilityFlags::SUPPORT_NET_CHAR_AUTODETECT)),
            heartbeat: self
                .message
                .filter(|_| early.contains(ClientEarlyCapabilityFlags::SUPPORT_HEART_BEAT_PDU)),
            monitor_layout: early.contains(ClientEarlyCapabilityFlags::SUPPORT_MONITOR_LAYOUT_PDU),
            bits_per_pixel: self.bits_per_pixel,
            monitors: self.monitors.clone().and_then(Result::ok),
        };
        (info, link)
    }
}
