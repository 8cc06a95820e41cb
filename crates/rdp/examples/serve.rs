//! A server around this crate in as little as it takes: one test picture, any number of viewers, no pacing, no audit.
//! It shows how the machines fit together and is what real clients are tried against; the product is `rdpmux`.
//!
//! `serve [--listen ADDRESS] [--tls-only|--nla-only] [--resize SECONDS]`, users alice/secret and bob/secret2.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rdpmux_engine::{ClientView, Pipeline, Profile, SurfaceReader, codec::zgfx::Zgfx, draw_card, surface};
use rdpmux_model::{Color, EncodedFrame, FrameCommand, Point, PointerImage, PointerShape, Rect, Size};
use rdpmux_rdp::front::{self, Opening};
use rdpmux_rdp::{
    AccountLookup, CloseReason, Credssp, CredsspProtocol, CredsspStep, FramePipe, FrameWriter, Handshake,
    HandshakeConfig, Session, SessionEvent, Step,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, rustls};

const SIZE: Size = Size::new(1000, 700);

struct Accounts;

impl Accounts {
    fn password(user: &str) -> Option<&'static str> {
        match user {
            "alice" => Some("secret"),
            "bob" => Some("secret2"),
            _ => None,
        }
    }
}

impl AccountLookup for Accounts {
    fn nt_hash(&mut self, user: &str, domain: Option<&str>) -> Option<[u8; 16]> {
        use md4::Digest as _;
        eprintln!("  lookup {user:?} in {domain:?}");
        let utf16: Vec<u8> = Self::password(user)?
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        Some(md4::Md4::digest(utf16).into())
    }
}

struct Options {
    listen: String,
    nla: bool,
    tls: bool,
    resize: Option<Duration>,
}

struct Server {
    options: Options,
    tls: TlsAcceptor,
    public_key: Vec<u8>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut options = Options {
        listen: "127.0.0.1:0".into(),
        nla: true,
        tls: true,
        resize: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--listen" => options.listen = args.next().context("address")?,
            "--tls-only" => options.nla = false,
            "--nla-only" => options.tls = false,
            "--resize" => options.resize = Some(Duration::from_secs(args.next().context("seconds")?.parse()?)),
            other => bail!("unknown option {other}"),
        }
    }
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])?.self_signed(&key)?;
    let public_key = rcgen::PublicKeyData::der_bytes(&key).to_vec();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    let listener = TcpListener::bind(&options.listen).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    let server = Arc::new(Server {
        options,
        tls: TlsAcceptor::from(Arc::new(config)),
        public_key,
    });
    loop {
        let (stream, from) = listener.accept().await?;
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            eprintln!("{from}: connected");
            match serve(stream, &server).await {
                Ok(()) => eprintln!("{from}: done"),
                Err(error) => eprintln!("{from}: {error:#}"),
            }
        });
    }
}

async fn serve(mut stream: TcpStream, server: &Server) -> Result<()> {
    let mut buf = Vec::new();
    let config = HandshakeConfig {
        nla: server.options.nla,
        tls: server.options.tls,
        bulk: Arc::new(|| Box::new(Zgfx::new())),
    };
    loop {
        match front::opening(&buf)? {
            None => read(&mut stream, &mut buf).await?,
            Some(Opening::Preconnection) => match front::preconnection(&buf)? {
                None => read(&mut stream, &mut buf).await?,
                Some((blob, used)) => {
                    eprintln!("  {blob:?}");
                    buf.drain(..used);
                }
            },
            Some(Opening::ConnectionRequest) => {
                if let Some((request, _)) = front::connection_request(&buf)? {
                    eprintln!("  {request:?}");
                    break;
                }
                read(&mut stream, &mut buf).await?;
            }
            Some(Opening::TlsClientHello) => bail!("Hyper-V's order is not in this example"),
        }
    }
    let mut handshake = Handshake::new(config);
    if !run(&mut handshake, &mut stream, &mut buf, server).await? {
        return Ok(());
    }
    let mut tls = server.tls.accept(stream).await.context("TLS")?;
    handshake.tls_done();
    buf.clear();
    if run(&mut handshake, &mut tls, &mut buf, server).await? {
        let session = handshake.into_session().context("no session")?;
        live(session, tls, buf, server.options.resize).await?;
    }
    Ok(())
}

/// Runs the handshake up to TLS or to its end. `false`: refused.
async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    handshake: &mut Handshake,
    stream: &mut S,
    buf: &mut Vec<u8>,
    server: &Server,
) -> Result<bool> {
    let mut user = None;
    loop {
        let mut out = Vec::new();
        let result = handshake.feed(buf, &mut out);
        stream.write_all(&out).await?;
        stream.flush().await?;
        let (used, step) = result?;
        buf.drain(..used);
        match step {
            Step::NeedInput => read(stream, buf).await?,
            Step::UpgradeTls | Step::Established => return Ok(true),
            Step::Credssp(protocol) => match credssp(protocol, stream, buf, server).await? {
                Some(name) => {
                    user = Some(name);
                    handshake.credssp_done();
                }
                None => return Ok(false),
            },
            Step::ChooseDesktop(login) => {
                eprintln!("  {login:?}");
                let typed = login.password.as_ref().map(|p| p.reveal());
                let reason = match &user {
                    Some(_) if login.user.contains("denied") => Some(CloseReason::Denied),
                    Some(_) => None,
                    None if typed.is_some() && typed == Accounts::password(&login.user) => None,
                    None => Some(CloseReason::BadCredentials),
                };
                match reason {
                    None => handshake.set_desktop(SIZE),
                    Some(reason) => {
                        let mut out = Vec::new();
                        handshake.refuse(reason, &mut out);
                        stream.write_all(&out).await?;
                        stream.shutdown().await?;
                        eprintln!("  refused: {reason:?}");
                        return Ok(false);
                    }
                }
            }
            Step::Refused(refusal) => {
                eprintln!("  {refusal}");
                return Ok(false);
            }
        }
    }
}

async fn credssp<S: AsyncRead + AsyncWrite + Unpin>(
    protocol: CredsspProtocol,
    stream: &mut S,
    buf: &mut Vec<u8>,
    server: &Server,
) -> Result<Option<String>> {
    let mut credssp = Credssp::new(server.public_key.clone(), Box::new(Accounts), protocol)?;
    loop {
        let mut out = Vec::new();
        let result = credssp.feed(buf, &mut out);
        stream.write_all(&out).await?;
        stream.flush().await?;
        let (used, step) = result?;
        buf.drain(..used);
        match step {
            CredsspStep::NeedInput => read(stream, buf).await?,
            CredsspStep::Accepted(name) => {
                eprintln!("  {protocol:?}: {name:?}");
                return Ok(Some(name.user));
            }
            CredsspStep::Denied { name } => {
                eprintln!("  {protocol:?}: denied {name:?}");
                stream.shutdown().await?;
                return Ok(None);
            }
        }
    }
}

async fn live<S: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session,
    mut stream: S,
    mut buf: Vec<u8>,
    resize: Option<Duration>,
) -> Result<()> {
    let (mut events, mut out) = (Vec::new(), Vec::new());
    session.start(&mut events, &mut out);
    eprintln!("  session: {}", session.info());
    let (mut writer_end, reader) = surface(SIZE);
    let mut lines: Vec<String> = vec!["no input yet".into()];
    let started = Instant::now();
    let (mut frames, mut acks, mut inputs) = (0_u32, 0, 0);
    let mut painter: Option<Painter> = None;
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut resized = false;
    let mut locks = rdpmux_model::LockKeys::default();
    loop {
        for event in std::mem::take(&mut events) {
            match event {
                SessionEvent::GraphicsReady(writer) | SessionEvent::Reactivated(writer) => {
                    eprintln!("  graphics: {} acknowledges={}", writer.kind(), writer.acknowledges());
                    painter = Some(Painter::new(writer));
                    session.pointer(&cross(if resized { 200 } else { 48 }), &mut out);
                }
                SessionEvent::FrameAck { .. } => acks += 1,
                SessionEvent::Input(input) => {
                    inputs += 1;
                    if lines.len() > 8 {
                        lines.remove(0);
                    }
                    lines.push(format!("{input:?}"));
                    eprintln!("  {input:?}");
                    if let rdpmux_model::InputEvent::Locks(now) = input {
                        locks = rdpmux_model::LockKeys { num: !now.num, ..now };
                        session.indicators(locks, &mut out);
                    }
                }
                SessionEvent::Shutdown => {
                    eprintln!("  bye: {frames} frames, {acks} acks, {inputs} inputs, {locks:?}");
                    return Ok(());
                }
                other => eprintln!("  {other:?}"),
            }
        }
        if let Some(after) = resize
            && started.elapsed() > after
            && !resized
            && let Some(painter) = &mut painter
        {
            resized = true;
            let size = Size::new(640, 512);
            writer_end.resize(size)?;
            if !matches!(painter.writer.kind(), FramePipe::Egfx { .. }) {
                session.resize_legacy(size, &mut out);
                painter.paused = true;
            }
        }
        let status = format!(
            "{frames} frames, {acks} acknowledged, {:.0} s",
            started.elapsed().as_secs_f32()
        );
        let text: Vec<&str> = lines.iter().map(String::as_str).chain([status.as_str()]).collect();
        writer_end.draw(|canvas| {
            draw_card(canvas, "rdp example", &text);
            draw_photo(canvas, frames);
        });
        if let Some(painter) = &mut painter
            && painter.paint(&reader, started, &mut out)?
        {
            frames += 1;
        }
        stream.write_all(&out).await?;
        stream.flush().await?;
        out.clear();
        tokio::select! {
            read = read(&mut stream, &mut buf) => {
                read?;
                let used = session.feed(&buf, &mut events, &mut out);
                if used.is_err() {
                    stream.write_all(&out).await?;
                }
                buf.drain(..used?);
            }
            _ = tick.tick() => {
                if session.awaits_graphics() && started.elapsed() > Duration::from_secs(2) {
                    session.graphics_timeout(&mut events);
                }
            }
        }
    }
}

/// Something like a photograph, with a dot that moves: what lossless codecs are bad at.
fn draw_photo(canvas: &mut rdpmux_engine::Canvas<'_>, frame: u32) {
    use embedded_graphics::prelude::*;
    let size = canvas.bounding_box().size;
    let (left, top) = (
        size.width.saturating_sub(220) as i32,
        size.height.saturating_sub(170) as i32,
    );
    let mut noise = 0x2545_F491_u32;
    let dot = Point2::new((frame % 180) as i32 + 10, 60);
    let pixels = (0..150)
        .flat_map(|y| (0..200).map(move |x| Point2::new(x, y)))
        .map(|p| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let n = (noise & 15) as i32;
            let shade = |v: i32| (v + n).clamp(0, 255) as u8;
            let near = (p - dot).x.abs() + (p - dot).y.abs() < 12;
            let color = if near {
                [250, 240, 60]
            } else {
                [shade(p.x), shade(p.y + 40), shade(200 - p.x / 2)]
            };
            Pixel(
                p + Point2::new(left, top),
                embedded_graphics::pixelcolor::Rgb888::new(color[0], color[1], color[2]),
            )
        });
    let _ = canvas.draw_iter(pixels);
}

use embedded_graphics::prelude::Point as Point2;

/// One viewer's way from the surface to its pipe, with a first frame by hand.
struct Painter {
    writer: FrameWriter,
    view: ClientView,
    profile: Profile,
    paused: bool,
    strip: bool,
}

impl Painter {
    fn new(writer: FrameWriter) -> Self {
        let pipeline = match writer.kind() {
            FramePipe::Egfx { progressive, .. } => Pipeline::Egfx { progressive },
            FramePipe::SurfaceCommands => Pipeline::SurfaceCommands,
            FramePipe::Bitmap { bits_per_pixel } => Pipeline::Bitmap { bits_per_pixel },
        };
        Self {
            writer,
            view: ClientView::new(),
            profile: Profile {
                pipeline,
                ..Profile::new(pipeline)
            },
            paused: false,
            strip: true,
        }
    }

    fn paint(&mut self, reader: &SurfaceReader, started: Instant, out: &mut Vec<u8>) -> Result<bool> {
        if self.paused {
            return Ok(false);
        }
        let Some(job) = self.view.take_job(reader, &self.profile) else {
            return Ok(false);
        };
        let mut frame: EncodedFrame = job.encode();
        if std::mem::take(&mut self.strip) && matches!(self.writer.kind(), FramePipe::Egfx { .. }) {
            let color = Color {
                b: 0x20,
                g: 0xA0,
                r: 0xF0,
            };
            let y = frame.size.height - 40;
            frame.commands.push(FrameCommand::SolidFill {
                rect: Rect::new(20, y, 60, 30),
                color,
            });
            frame.commands.push(FrameCommand::Copy {
                source: Rect::new(20, y, 40, 20),
                destination: Point::new(frame.size.width - 60, y),
            });
        }
        self.writer.write(&frame, started.elapsed().as_millis() as u32, out)?;
        Ok(true)
    }
}

/// A cross with soft edges, so that alpha shows.
fn cross(edge: u32) -> PointerShape {
    let mut bgra = Vec::new();
    for y in 0..edge {
        for x in 0..edge {
            let (dx, dy) = (x.abs_diff(edge / 2), y.abs_diff(edge / 2));
            let near = dx.min(dy);
            let alpha = if near < edge / 16 {
                255
            } else if near < edge / 8 {
                120
            } else {
                0
            };
            bgra.extend_from_slice(&[0, 0, 255, alpha]);
        }
    }
    let image = PointerImage::new(Size::new(edge, edge), edge / 2, edge / 2, bgra.into());
    image.map_or(PointerShape::Default, |image| PointerShape::Image(Arc::new(image)))
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, buf: &mut Vec<u8>) -> Result<()> {
    if stream.read_buf(buf).await? == 0 {
        bail!("the client closed the connection");
    }
    Ok(())
}
