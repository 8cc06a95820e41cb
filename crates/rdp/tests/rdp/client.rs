//! IronRDP's client against our server, in memory: no socket, no TLS, and every byte passes through two buffers.

use std::sync::{Arc, Mutex};

use ironrdp_connector::credssp::CredsspSequence;
use ironrdp_connector::sspi::generator::GeneratorState;
use ironrdp_connector::{
    ClientConnector, ClientConnectorState, Config, ConnectionOutcome, ConnectionResult, Credentials, DesktopSize,
    Sequence as _, ServerName, encode_send_data_request, state_downcast,
};
use ironrdp_core::{WriteBuf, decode};
use ironrdp_displaycontrol::client::DisplayControlClient;
use ironrdp_dvc::DrdynvcClient;
use ironrdp_egfx::client::{BitmapUpdate, GraphicsPipelineClient, GraphicsPipelineHandler};
use ironrdp_egfx::decode::{DecodedFrame, DecoderResult, H264Decoder, Yuv420Frame};
use ironrdp_egfx::pdu as egfx;
use ironrdp_pdu::rdp::capability_sets::{self as sets, BitmapCodecs};
use ironrdp_pdu::rdp::headers::{ShareControlHeader, ShareControlPdu, ShareDataHeader, ShareDataPdu};
use ironrdp_pdu::x224::X224;
use ironrdp_pdu::{gcc, mcs, nego};
use ironrdp_svc::{StaticChannelSet, client_encode_svc_messages};
use rdpmux_client::plain_config;
use rdpmux_engine::codec::clear::Clear;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::Size;
use rdpmux_rdp::{
    AccountLookup, ClientLogin, Coders, Credssp, CredsspStep, Handshake, HandshakeConfig, Session, SessionEvent, Step,
};

/// NT hash of the password `password` (a well-known vector).
pub const HASH_OF_PASSWORD: [u8; 16] = [
    0x88, 0x46, 0xF7, 0xEA, 0xEE, 0x8F, 0xB1, 0x17, 0xAD, 0x06, 0xBD, 0xD8, 0x30, 0xB7, 0x58, 0x6C,
];
pub const DESKTOP: Size = Size::new(800, 600);
pub const PUBLIC_KEY: &[u8] = b"any bytes that both ends take for the certificate's key";

pub struct OneUser;

impl AccountLookup for OneUser {
    fn nt_hash(&mut self, user: &str, _domain: Option<&str>) -> Option<[u8; 16]> {
        (user == "alice").then_some(HASH_OF_PASSWORD)
    }
}

pub fn server_config() -> HandshakeConfig {
    HandshakeConfig {
        nla: true,
        tls: true,
        plain: false,
        coders: Arc::new(|| Coders {
            bulk: Box::new(Zgfx::new()),
            raster: Some(Box::new(Clear::new())),
        }),
        video: true,
        surface_codecs: rdpmux_rdp::SurfaceCodecs::ALL,
    }
}

#[derive(Clone)]
pub struct Options {
    pub nla: bool,
    pub user: &'static str,
    pub password: &'static str,
    pub egfx: bool,
    pub remotefx: bool,
    pub depth: u32,
    /// The list of monitors in the connection request.
    pub monitors: Option<gcc::ClientMonitorData>,
    /// Whether it has display control.
    pub display: bool,
    pub sound: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nla: false,
            user: "alice",
            password: "password",
            egfx: true,
            remotefx: false,
            depth: 32,
            monitors: None,
            display: false,
            sound: false,
        }
    }
}

pub fn connector_config(options: &Options) -> Config {
    let mut config = plain_config("tester", options.user.to_owned(), options.password.to_owned());
    if let Some(bitmap) = &mut config.bitmap {
        bitmap.color_depth = options.depth;
        if options.remotefx {
            bitmap.codecs = remotefx_with_rlgr1();
        }
    }
    Config {
        desktop_size: DesktopSize {
            width: 1024,
            height: 768,
        },
        monitor_layout: options.monitors.clone(),
        desktop_scale_factor: 150,
        enable_tls: !options.nla,
        enable_credssp: options.nla,
        client_build: 4711,
        keyboard_layout: 0x407,
        enable_audio_playback: options.sound,
        enable_audio_capture: options.sound,
        support_dyn_vc_gfx_protocol: options.egfx,
        ..config
    }
}

/// IronRDP's own client offers RLGR3 alone; Windows and FreeRDP offer both.
fn remotefx_with_rlgr1() -> BitmapCodecs {
    let caps = [sets::EntropyBits::Rlgr1, sets::EntropyBits::Rlgr3].map(|entropy_bits| sets::RfxICap {
        flags: sets::RfxICapFlags::empty(),
        entropy_bits,
    });
    BitmapCodecs(vec![sets::Codec {
        id: 3,
        property: sets::CodecProperty::RemoteFx(sets::RemoteFxContainer::ClientContainer(
            sets::RfxClientCapsContainer {
                capture_flags: sets::CaptureFlags::empty(),
                caps_data: sets::RfxCaps(sets::RfxCapset(caps.to_vec())),
            },
        )),
    }])
}

/// What the client's screen shows, as its graphics pipeline reports it.
#[derive(Default)]
pub struct Screen {
    pub resets: Vec<(u32, u32)>,
    pub surfaces: Vec<u16>,
    pub deleted: Vec<u16>,
    pub fills: Vec<egfx::SolidFillPdu>,
    pub copies: Vec<egfx::SurfaceToSurfacePdu>,
    pub bitmaps: Vec<Bitmap>,
    pub streams: Vec<egfx::WireToSurface2Pdu>,
    pub frames: Vec<u32>,
    pub confirmed: Vec<u32>,
}

/// A tile that the client has decoded.
pub struct Bitmap {
    pub left: u16,
    pub top: u16,
    pub width: u16,
    pub height: u16,
    pub rgba: Vec<u8>,
}

/// Decodes whatever it is given to a grey picture of the desktop's size.
struct Grey;

impl H264Decoder for Grey {
    fn decode(&mut self, _data: &[u8]) -> DecoderResult<DecodedFrame> {
        panic!("it gives planes")
    }
    fn decode_yuv420(&mut self, _data: &[u8]) -> DecoderResult<Yuv420Frame> {
        let (width, height) = (DESKTOP.width as usize, DESKTOP.height as usize);
        let chroma = || vec![128; width * height / 4];
        let luma = vec![128; width * height];
        Yuv420Frame::new(width as u16, height as u16, luma, width, chroma(), chroma(), width / 2)
    }
    fn supports_yuv420(&self) -> bool {
        true
    }
}

struct Handler {
    screen: Arc<Mutex<Screen>>,
    offer: Option<egfx::CapabilitySet>,
}

impl GraphicsPipelineHandler for Handler {
    fn capabilities(&self) -> Vec<egfx::CapabilitySet> {
        let best = egfx::CapabilitySet::V10_7 {
            flags: egfx::CapabilitiesV107Flags::SMALL_CACHE | egfx::CapabilitiesV107Flags::AVC_DISABLED,
        };
        vec![self.offer.clone().unwrap_or(best)]
    }
    fn on_capabilities_confirmed(&mut self, caps: &egfx::CapabilitySet) {
        self.screen.lock().unwrap().confirmed.push(caps.version().0);
    }
    fn on_reset_graphics(&mut self, width: u32, height: u32) {
        self.screen.lock().unwrap().resets.push((width, height));
    }
    fn on_surface_created(&mut self, surface: &ironrdp_egfx::client::Surface) {
        self.screen.lock().unwrap().surfaces.push(surface.id);
    }
    fn on_surface_deleted(&mut self, id: u16) {
        self.screen.lock().unwrap().deleted.push(id);
    }
    fn on_solid_fill(&mut self, pdu: &egfx::SolidFillPdu) {
        self.screen.lock().unwrap().fills.push(pdu.clone());
    }
    fn on_surface_to_surface(&mut self, pdu: &egfx::SurfaceToSurfacePdu) {
        self.screen.lock().unwrap().copies.push(pdu.clone());
    }
    fn on_bitmap_updated(&mut self, update: &BitmapUpdate) {
        self.screen.lock().unwrap().bitmaps.push(Bitmap {
            left: update.destination_rectangle.left,
            top: update.destination_rectangle.top,
            width: update.width,
            height: update.height,
            rgba: update.data.clone(),
        });
    }
    fn on_wire_to_surface2(&mut self, pdu: &egfx::WireToSurface2Pdu) {
        self.screen.lock().unwrap().streams.push(pdu.clone());
    }
    fn on_frame_complete(&mut self, id: u32) {
        self.screen.lock().unwrap().frames.push(id);
    }
}

/// Both ends after the connection sequence.
pub struct Pair {
    pub session: Session,
    pub result: ConnectionResult,
    pub screen: Arc<Mutex<Screen>>,
    pub events: Vec<SessionEvent>,
    pub login: Option<ClientLogin>,
    /// Fast-path updates and I/O channel PDUs that the client got.
    pub updates: Vec<Vec<u8>>,
    pub share: Vec<ShareDataPdu>,
    /// What came on the message channel.
    pub messages: Vec<Vec<u8>>,
}

/// Runs a whole connection sequence.
pub fn connect(options: &Options) -> Pair {
    connect_offering(options, None)
}

pub fn connect_offering(options: &Options, offer: Option<egfx::CapabilitySet>) -> Pair {
    connect_with(options, offer, |_, channels| channels)
}

/// With further channels of the client's, static and dynamic.
pub fn connect_with(
    options: &Options,
    offer: Option<egfx::CapabilitySet>,
    add: impl FnOnce(&mut ClientConnector, DrdynvcClient) -> DrdynvcClient,
) -> Pair {
    let screen = Arc::new(Mutex::new(Screen::default()));
    let handler = Handler {
        screen: Arc::clone(&screen),
        offer,
    };
    let mut connector = ClientConnector::new(connector_config(options), ([127, 0, 0, 1], 3389).into());
    if options.egfx {
        let graphics = GraphicsPipelineClient::new(Box::new(handler), Some(Box::new(Grey)));
        let mut channels = DrdynvcClient::new().with_dynamic_channel(graphics);
        if options.display {
            channels = channels.with_dynamic_channel(DisplayControlClient::new(|_| Ok(Vec::new())));
        }
        let channels = add(&mut connector, channels);
        connector.attach_static_channel(channels);
    }
    let mut handshake = Handshake::new(server_config());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut login = None;
    let session = loop {
        step_client(&mut connector, &mut up, &mut down);
        let mut out = Vec::new();
        let (used, step) = handshake.feed(&up, &mut out).expect("a friendly client");
        up.drain(..used);
        down.extend_from_slice(&out);
        match step {
            Step::NeedInput => {}
            Step::UpgradeTls => {
                step_client(&mut connector, &mut up, &mut down);
                connector.mark_security_upgrade_as_done();
                handshake.tls_done();
            }
            Step::Credssp(protocol) => {
                let mut server = Credssp::new(PUBLIC_KEY.to_vec(), Box::new(OneUser), protocol).unwrap();
                let step = credssp(options, protocol == rdpmux_rdp::CredsspProtocol::HybridEx, &mut server);
                assert!(
                    matches!(step, CredsspStep::Accepted(ref name) if name.user == options.user),
                    "{step:?}"
                );
                connector.mark_credssp_as_done();
                handshake.credssp_done();
            }
            Step::ChooseDesktop(asked) => {
                login = Some(asked);
                handshake.set_desktop(DESKTOP);
            }
            Step::Established => break handshake.into_session().expect("established"),
            Step::Refused(refusal) => panic!("{refusal}"),
        }
    };
    let result = loop {
        step_client(&mut connector, &mut up, &mut down);
        if let Some(ConnectionOutcome::Connected(result)) = connector.state.take_outcome() {
            break result;
        }
    };
    Pair {
        session,
        result,
        screen,
        events: Vec::new(),
        login,
        updates: Vec::new(),
        share: Vec::new(),
        messages: Vec::new(),
    }
}

/// Lets the client go on as far as it can.
fn step_client(connector: &mut ClientConnector, up: &mut Vec<u8>, down: &mut Vec<u8>) {
    loop {
        let waits = connector.should_perform_security_upgrade() || connector.should_perform_credssp();
        let done = matches!(
            state_downcast::<ClientConnectorState>(connector.state()),
            Some(ClientConnectorState::Connected { .. })
        );
        if waits || done {
            return;
        }
        let mut out = WriteBuf::new();
        match connector.next_pdu_hint() {
            None => drop(connector.step_no_input(&mut out).expect("client step")),
            Some(hint) => {
                let Some((_, size)) = hint.find_size(down).expect("client hint").filter(|s| s.1 <= down.len()) else {
                    return;
                };
                let pdu: Vec<u8> = down.drain(..size).collect();
                connector.step(&pdu, None, &mut out).expect("client step");
            }
        }
        up.extend_from_slice(out.filled());
    }
}

/// Runs IronRDP's CredSSP client against ours to the verdict.
pub fn credssp(options: &Options, ex: bool, server: &mut Credssp) -> CredsspStep {
    let protocol = if ex {
        nego::SecurityProtocol::HYBRID_EX
    } else {
        nego::SecurityProtocol::HYBRID
    };
    let credentials = Credentials::UsernamePassword {
        username: options.user.to_owned(),
        password: options.password.to_owned(),
    };
    let name = ServerName::new("localhost");
    let (mut client, mut request) =
        CredsspSequence::init(credentials, None, protocol, name, PUBLIC_KEY.to_vec(), None).expect("client");
    loop {
        let mut up = WriteBuf::new();
        let state = match client.process_ts_request(request).start() {
            GeneratorState::Completed(state) => state.expect("client state"),
            GeneratorState::Suspended(_) => panic!("network"),
        };
        client.handle_process_result(state, &mut up).expect("client message");
        let mut out = Vec::new();
        let (used, step) = server.feed(up.filled(), &mut out).expect("friendly bytes");
        assert_eq!(used, up.filled().len());
        if step != CredsspStep::NeedInput {
            let early: &[u8] = match (&step, ex) {
                (CredsspStep::Accepted(_), true) => &[0; 4],
                (CredsspStep::Accepted(_), false) => &[],
                _ => return step,
            };
            assert_eq!(out, early);
            return step;
        }
        request = client
            .decode_server_message(&out)
            .expect("server message")
            .expect("a request");
    }
}

impl Pair {
    /// Starts the session and lets both ends talk until they are silent.
    pub fn start(&mut self) {
        let mut out = Vec::new();
        self.session.start(&mut self.events, &mut out);
        self.deliver(&out);
    }

    /// Bytes of a client to the session, and all answers back and forth.
    pub fn say(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        let used = self
            .session
            .feed(bytes, &mut self.events, &mut out)
            .expect("friendly bytes");
        assert_eq!(used, bytes.len());
        if !out.is_empty() {
            self.deliver(&out);
        }
    }

    /// Bytes of the server to the client.
    pub fn deliver(&mut self, mut bytes: &[u8]) {
        let mut up = Vec::new();
        while let Some(info) = ironrdp_pdu::find_size(bytes).expect("our framing") {
            let (pdu, rest) = bytes.split_at(info.length);
            match info.action {
                ironrdp_pdu::Action::FastPath => self.updates.push(pdu.to_vec()),
                ironrdp_pdu::Action::X224 => self.indication(pdu, &mut up),
            }
            bytes = rest;
        }
        assert!(bytes.is_empty(), "a PDU was cut");
        if !up.is_empty() {
            self.say(&up);
        }
    }

    fn indication(&mut self, pdu: &[u8], up: &mut Vec<u8>) {
        let message = decode::<X224<mcs::McsMessage<'_>>>(pdu).expect("our MCS").0;
        let mcs::McsMessage::SendDataIndication(data) = message else {
            return;
        };
        if data.channel_id == self.result.io_channel_id {
            let header = decode::<ShareControlHeader>(&data.user_data).expect("our share control");
            if let ShareControlPdu::Data(ShareDataHeader { share_data_pdu, .. }) = header.share_control_pdu {
                self.share.push(share_data_pdu);
            }
            return;
        }
        if Some(data.channel_id) == self.result.message_channel_id {
            self.messages.push(data.user_data.to_vec());
            return;
        }
        let user = self.result.user_channel_id;
        let channels: &mut StaticChannelSet = &mut self.result.static_channels;
        let channel = channels
            .get_by_channel_id_mut(data.channel_id)
            .expect("a joined channel");
        let answers = channel.process(&data.user_data).expect("our channel data");
        up.extend(client_encode_svc_messages(answers, data.channel_id, user).expect("answers"));
    }

    /// A share data PDU from the client.
    pub fn say_share(&mut self, pdu: ShareDataPdu) {
        let header = ShareControlHeader {
            share_control_pdu: ShareControlPdu::Data(ShareDataHeader {
                share_data_pdu: pdu,
                stream_priority: ironrdp_pdu::rdp::headers::StreamPriority::Medium,
                compression_flags: ironrdp_pdu::rdp::headers::CompressionFlags::empty(),
                compression_type: ironrdp_pdu::rdp::client_info::CompressionType::K8,
            }),
            pdu_source: self.result.user_channel_id,
            share_id: self.result.share_id,
        };
        let mut out = WriteBuf::new();
        encode_send_data_request(
            self.result.user_channel_id,
            self.result.io_channel_id,
            &header,
            &mut out,
        )
        .unwrap();
        self.say(out.filled());
    }

    pub fn take_writer(&mut self) -> Option<rdpmux_rdp::FrameWriter> {
        let at = self
            .events
            .iter()
            .position(|e| matches!(e, SessionEvent::GraphicsReady(_) | SessionEvent::Reactivated(_)))?;
        match self.events.remove(at) {
            SessionEvent::GraphicsReady(writer) | SessionEvent::Reactivated(writer) => Some(writer),
            _ => None,
        }
    }
}
