//! Viewers without a screen, many in one process, on IronRDP's client: they log in, take the graphics pipeline and
//! acknowledge every frame. Most look at nothing; one that is asked for its picture decodes everything with IronRDP's
//! decoders and keeps the picture in a file. Benches start it as a program of its own; it runs until it is ended.

mod legacy;
mod talk;

use super::ear::Ear;
use super::hostile::{Tls, tls};
use super::process::Process;
use super::wait;
use anyhow::{Context, Result, bail};
use clap::Args;
use ironrdp_connector::{
    ClientConnector, ClientConnectorState, Config, ConnectionOutcome, ConnectionResult, DesktopSize, Sequence,
    state_downcast,
};
use ironrdp_core::{WriteBuf, decode, impl_as_any};
use ironrdp_dvc::{DrdynvcClient, DvcClientProcessor, DvcMessage, DvcProcessor};
use ironrdp_egfx::client::{GraphicsPipelineClient, GraphicsPipelineHandler};
use ironrdp_egfx::pdu as egfx;
use ironrdp_pdu::rdp::capability_sets::client_codecs_capabilities;
use ironrdp_pdu::x224::X224;
use ironrdp_pdu::{Action, PduResult, decode_err, mcs};
use ironrdp_svc::client_encode_svc_messages;
use legacy::Legacy;
use rdpmux_client::plain_config;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use talk::Talk;

#[derive(Args, Clone)]
pub struct Options {
    /// `host:port`
    address: String,
    /// The user name; `{}` in it becomes the viewer's number, from 0
    user: String,
    /// The password
    password: String,
    /// How many viewers
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Milliseconds between their starts
    #[arg(long, default_value_t = 20)]
    gap: u64,
    /// Decode everything and keep the picture in this file, as B, G, R, X of the bench's size
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Play sound too; prints `LOUD unix-milliseconds` whenever one begins
    #[arg(long)]
    hear: bool,
    /// Keep what is played in this file
    #[arg(long)]
    recording: Option<PathBuf>,
    /// Take RemoteFX in surface commands instead of the graphics pipeline
    #[arg(long)]
    rfx: bool,
    /// Have the channels of the example `custom_channel` too; prints `HEARD channel text`
    #[arg(long)]
    talk: bool,
    /// Print `SEEN frames bytes` of all viewers together ten times a second
    #[arg(long)]
    count_frames: bool,
}

static UP: AtomicU32 = AtomicU32::new(0);
static FRAMES: AtomicU32 = AtomicU32::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Runs the subcommand: prints `UP n` when one more viewer has got its first frame.
///
/// # Errors
/// When a thread cannot be started.
pub fn run(options: &Options) -> Result<()> {
    let mut threads = Vec::new();
    for index in 0..options.count {
        let own = options.clone();
        let body = move || {
            if let Err(error) = view(&own, index) {
                println!("ENDED {index} {error:#}");
            }
        };
        threads.push(std::thread::Builder::new().stack_size(512 << 10).spawn(body)?);
        std::thread::sleep(Duration::from_millis(options.gap));
    }
    while options.count_frames && threads.iter().any(|thread| !thread.is_finished()) {
        println!(
            "SEEN {} {}",
            FRAMES.load(Ordering::Relaxed),
            BYTES.load(Ordering::Relaxed)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    for thread in threads {
        let _ = thread.join();
    }
    bail!("all viewers have ended")
}

/// Starts `count` viewers that look at nothing as a program of their own.
///
/// # Errors
/// When it cannot be started.
pub fn start(
    folder: &Path,
    address: &str,
    (user, password): (&str, &str),
    count: u32,
    wrap: impl FnOnce(&Command) -> Command,
) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["light", address, user, password, "--count", &count.to_string()]);
    Process::start(&wrap(&command), &folder.join("light.log"), "")
}

/// Waits until `count` of them have a picture.
///
/// # Errors
/// When they do not within `limit`.
pub fn wait_until_up(process: &mut Process, count: u32, limit: Duration) -> Result<()> {
    let word = format!("UP {count}");
    wait::for_true(limit, "all light viewers have a picture", || {
        process.check()?;
        Ok(process.output().lines().any(|line| line == word))
    })
}

fn view(options: &Options, index: u32) -> Result<()> {
    let stream = TcpStream::connect(&options.address)?;
    stream.set_nodelay(true)?;
    let user = options.user.replace("{}", &index.to_string());
    let mut config = config(user, options.password.clone());
    config.enable_audio_playback = options.hear;
    if let (true, Some(bitmap)) = (options.rfx, &mut config.bitmap) {
        bitmap.codecs = client_codecs_capabilities(&["remotefx"]).map_err(anyhow::Error::msg)?;
        config.support_dyn_vc_gfx_protocol = false;
    }
    let mut connector = ClientConnector::new(config, stream.local_addr()?);
    let mut channels = match &options.picture {
        Some(_) => DrdynvcClient::new().with_dynamic_channel(GraphicsPipelineClient::new(Box::new(Offer), None)),
        None if options.rfx => DrdynvcClient::new(),
        None => DrdynvcClient::new().with_dynamic_channel(Blind::default()),
    };
    if options.hear {
        channels = channels.with_dynamic_channel(Ear::new(options.recording.as_deref())?);
    }
    if options.talk {
        channels = channels.with_dynamic_channel(Talk::on_dynamic());
        connector.attach_static_channel(Talk::on_static());
    }
    connector.attach_static_channel(channels);
    let mut plain = Wire::new(stream);
    plain.connect(&mut connector)?;
    let mut tls = tls(plain.stream)?;
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    connector.mark_security_upgrade_as_done();
    let mut wire = Wire::new(tls);
    wire.connect(&mut connector)?;
    let Some(ConnectionOutcome::Connected(result)) = connector.state.take_outcome() else {
        bail!("not connected");
    };
    wire.look(result, options.picture.as_deref())
}

/// A connection with what was read too much.
pub(super) struct Wire<S> {
    pub(super) stream: S,
    pub(super) ahead: Vec<u8>,
}

/// Changes the client's info, which has its login.
pub(super) type Edit<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>>;

impl<S: Read + Write> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Goes on with the connection sequence until it is done or wants TLS.
    fn connect(&mut self, connector: &mut ClientConnector) -> Result<()> {
        self.connect_edited(connector, &|bytes| Ok(bytes.to_vec()))
    }

    /// The same with changes to the client's info.
    pub(super) fn connect_edited(&mut self, connector: &mut ClientConnector, edit: Edit<'_>) -> Result<()> {
        loop {
            let is_connected = matches!(
                state_downcast::<ClientConnectorState>(connector.state()),
                Some(ClientConnectorState::Connected { .. })
            );
            let is_info = matches!(
                state_downcast::<ClientConnectorState>(connector.state()),
                Some(ClientConnectorState::SecureSettingsExchange { .. })
            );
            if is_connected || connector.should_perform_security_upgrade() {
                return Ok(());
            }
            let mut out = WriteBuf::new();
            match connector.next_pdu_hint() {
                None => {
                    connector.step_no_input(&mut out)?;
                }
                Some(hint) => {
                    let size = loop {
                        match hint.find_size(&self.ahead)? {
                            Some((_, size)) if size <= self.ahead.len() => break size,
                            _ => self.more()?,
                        }
                    };
                    let pdu: Vec<u8> = self.ahead.drain(..size).collect();
                    connector.step(&pdu, None, &mut out)?;
                }
            }
            if is_info {
                self.stream.write_all(&edit(out.filled())?)?;
            } else {
                self.stream.write_all(out.filled())?;
            }
            self.stream.flush()?;
        }
    }

    pub(super) fn more(&mut self) -> Result<()> {
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(count) => {
                BYTES.fetch_add(count as u64, Ordering::Relaxed);
                self.ahead.extend_from_slice(&buffer[..count]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Wire<Tls> {
    /// Answers what comes, for ever.
    fn look(&mut self, mut session: ConnectionResult, picture: Option<&Path>) -> Result<()> {
        let mut canvas = Canvas::default();
        let mut legacy = Legacy::default();
        let mut is_up = false;
        loop {
            let mut used = 0;
            while let Some(info) = ironrdp_pdu::find_size(&self.ahead[used..])? {
                let Some(pdu) = self.ahead.get(used..used + info.length) else {
                    break;
                };
                let answer = match info.action {
                    Action::X224 => indication(&mut session, pdu)?,
                    Action::FastPath => {
                        let heard = legacy.take(pdu)?;
                        FRAMES.fetch_add(heard.frames, Ordering::Relaxed);
                        let answers = heard.ended.iter().map(|id| legacy::acknowledgement(&session, *id));
                        answers.collect::<Result<Vec<_>>>()?.concat()
                    }
                };
                if !answer.is_empty() {
                    self.stream.write_all(&answer)?;
                    self.stream.flush()?;
                }
                used += info.length;
            }
            self.ahead.drain(..used);
            if let Some(path) = picture {
                canvas.take(&mut session, path)?;
            }
            if !is_up && FRAMES.load(Ordering::Relaxed) > UP.load(Ordering::Relaxed) {
                is_up = true;
                println!("UP {}", UP.fetch_add(1, Ordering::Relaxed) + 1);
            }
            self.more()?;
        }
    }
}

pub(super) fn indication(session: &mut ConnectionResult, pdu: &[u8]) -> Result<Vec<u8>> {
    let mcs::McsMessage::SendDataIndication(data) = decode::<X224<mcs::McsMessage<'_>>>(pdu)?.0 else {
        bail!("the server has ended the session");
    };
    let user = session.user_channel_id;
    match session.static_channels.get_by_channel_id_mut(data.channel_id) {
        Some(channel) => {
            let answers = channel.process(&data.user_data)?;
            Ok(client_encode_svc_messages(answers, data.channel_id, user)?)
        }
        None => Ok(Vec::new()),
    }
}

/// The graphics channel of a viewer that does not look: it finds the ends of frames and acknowledges them.
#[derive(Default)]
pub(super) struct Blind {
    history: Option<Box<ironrdp_graphics::zgfx::Decompressor>>,
    pub(super) frames: u32,
}

impl_as_any!(Blind);
impl DvcClientProcessor for Blind {}

impl DvcProcessor for Blind {
    fn channel_name(&self) -> &str {
        "Microsoft::Windows::RDS::Graphics"
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        // H.264 and the small cache, as FreeRDP 3's `/gfx`, so that it follows the same stream; what it shows is not
        // looked at.
        let offer = egfx::CapabilitiesAdvertisePdu::from_typed(&[egfx::CapabilitySet::V10_7 {
            flags: egfx::CapabilitiesV107Flags::SMALL_CACHE,
        }]);
        Ok(vec![Box::new(egfx::GfxPdu::CapabilitiesAdvertise(offer))])
    }

    fn process(&mut self, _: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        let history = self
            .history
            .get_or_insert_with(|| Box::new(ironrdp_graphics::zgfx::Decompressor::new()));
        let mut plain = Vec::new();
        history
            .decompress(payload, &mut plain)
            .map_err(|error| decode_err!(error))?;
        let mut answers: Vec<DvcMessage> = Vec::new();
        let mut rest = plain.as_slice();
        // RDPGFX_HEADER: command, flags, length; then the body ([MS-RDPEGFX] 2.2.1.5, 2.2.2.12).
        while let Some(([command, _, _, _, length @ ..], _)) = rest.split_first_chunk::<8>() {
            let length = (u32::from_le_bytes(*length) as usize).clamp(8, rest.len());
            if let (0x0c, Some(id)) = (command, rest.get(8..12)) {
                self.frames += 1;
                FRAMES.fetch_add(1, Ordering::Relaxed);
                answers.push(Box::new(egfx::GfxPdu::FrameAcknowledge(egfx::FrameAcknowledgePdu {
                    queue_depth: egfx::QueueDepth::Unavailable,
                    frame_id: u32::from_le_bytes([id[0], id[1], id[2], id[3]]),
                    total_frames_decoded: self.frames,
                })));
            }
            rest = &rest[length..];
        }
        Ok(answers)
    }
}

/// What those that look offer: everything but H.264, which IronRDP does not decode.
struct Offer;

impl GraphicsPipelineHandler for Offer {
    fn capabilities(&self) -> Vec<egfx::CapabilitySet> {
        vec![egfx::CapabilitySet::V10_7 {
            flags: egfx::CapabilitiesV107Flags::AVC_DISABLED,
        }]
    }

    fn on_frame_complete(&mut self, _: u32) {
        FRAMES.fetch_add(1, Ordering::Relaxed);
    }
}

/// The picture of a viewer that looks.
#[derive(Default)]
struct Canvas {
    bytes: Vec<u8>,
}

impl Canvas {
    /// Takes what IronRDP has composed since the last call, and writes the file if that was anything.
    fn take(&mut self, session: &mut ConnectionResult, path: &Path) -> Result<()> {
        let channel = session.static_channels.get_by_type_mut::<DrdynvcClient>();
        let channels = channel.and_then(|channel| channel.channel_processor_downcast_mut::<DrdynvcClient>());
        let channels = channels.context("no dynamic channels")?;
        let Some(mut graphics) = channels.get_dvc_mut::<GraphicsPipelineClient>() else {
            return Ok(());
        };
        let updates = graphics.processor_mut().drain_output();
        if updates.is_empty() {
            return Ok(());
        }
        self.bytes.resize(bench_pictures::STRIDE * bench_pictures::HEIGHT, 0);
        for update in &updates {
            let region = &update.region;
            let width = usize::from(region.right - region.left) * 4;
            for (y, row) in update.data.chunks_exact(width.max(4)).enumerate() {
                let start = (usize::from(region.top) + y) * bench_pictures::STRIDE + usize::from(region.left) * 4;
                let Some(into) = self.bytes.get_mut(start..start + width) else {
                    continue;
                };
                for (new, old) in row.chunks_exact(4).zip(into.chunks_exact_mut(4)) {
                    old.copy_from_slice(&[new[2], new[1], new[0], 0]);
                }
            }
        }
        // Renamed when it is whole: a reader never sees half of it.
        let whole = path.with_extension("new");
        fs::write(&whole, &self.bytes)?;
        Ok(fs::rename(whole, path)?)
    }
}

pub(super) fn config(username: String, password: String) -> Config {
    Config {
        desktop_size: DesktopSize {
            width: bench_pictures::WIDTH as u16,
            height: bench_pictures::HEIGHT as u16,
        },
        support_dyn_vc_gfx_protocol: true,
        ..plain_config("light", username, password)
    }
}
