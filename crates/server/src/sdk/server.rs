//! A server of the SDK: one desktop, fed by the program's display, and one door to it. It brings the program's objects
//! together with the engine that the daemon runs on; [`stage`](super::stage) is the desktop.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use rdpmux_model::Rights;
use rdpmux_rdp::SurfaceCodecs;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::builder::{RdpServerBuilder, WantsAddr};
use super::codecs::CodecId;
use super::connection::{ConnectionHandler, Hooks};
use super::credentials::{CredentialValidator, Credentials, People};
use super::devices::{Devices, Running};
use super::display::RdpServerDisplay;
use super::door;
use super::events::ServerEvent;
use super::hands::Hands;
use super::input::RdpServerInputHandler;
use super::options::{RdpServerOptions, RdpServerSecurity};
use super::show::Screen;
use super::stage::Stage;
use crate::config::{Limits, Logins, Reconnect, Routing, ServerConfig};
use crate::echo::EchoServerHandle;
use crate::listen::{Entrance, House, Stop, Stopper, TransportTls, stop_pair};
use crate::sessions::Sessions;
use crate::tls::TlsIdentity;

/// What the builder has brought together.
pub(super) struct Parts {
    pub(super) options: RdpServerOptions,
    pub(super) input: Box<dyn RdpServerInputHandler>,
    pub(super) display: Box<dyn RdpServerDisplay>,
    pub(super) people: People,
    pub(super) rights: Arc<dyn Fn(&str) -> Rights + Send + Sync>,
    pub(super) max_clients: usize,
    pub(super) devices: Devices,
    pub(super) exclusive: bool,
    pub(super) honor_client_size: bool,
    pub(super) hooks: Hooks,
}

impl Parts {
    pub(super) fn new(
        options: RdpServerOptions,
        input: Box<dyn RdpServerInputHandler>,
        display: Box<dyn RdpServerDisplay>,
    ) -> Self {
        Self {
            options,
            input,
            display,
            people: People::default(),
            rights: Arc::new(|_| Rights::CONTROL),
            max_clients: Limits::default().sessions,
            devices: Devices::default(),
            exclusive: false,
            honor_client_size: false,
            hooks: Hooks::default(),
        }
    }
}

/// An RDP server that shows one desktop to as many clients as come.
///
/// ```no_run
/// use rdpmux_server::RdpServer;
///
/// # async fn serve(acceptor: tokio_rustls::TlsAcceptor) -> anyhow::Result<()> {
/// let mut server = RdpServer::builder()
///     .with_addr(([127, 0, 0, 1], 3389))
///     .with_tls(acceptor)
///     .with_no_input()
///     .with_no_display()
///     .build();
/// server.run().await
/// # }
/// ```
pub struct RdpServer {
    options: RdpServerOptions,
    hands: Hands,
    screen: Screen,
    people: Arc<People>,
    rights: Arc<dyn Fn(&str) -> Rights + Send + Sync>,
    max_clients: usize,
    devices: Devices,
    exclusive: bool,
    honor_client_size: bool,
    hooks: Hooks,
    sessions: Sessions,
    sender: mpsc::UnboundedSender<ServerEvent>,
    events: mpsc::UnboundedReceiver<ServerEvent>,
    open: Option<Open>,
}

/// What runs from the first client on, or from the start of `run`.
struct Open {
    entrance: Entrance,
    stopper: Stopper,
    stop: Stop,
    devices: Running,
    _stage: Stage,
}

impl RdpServer {
    /// Builds a server step by step.
    pub fn builder() -> RdpServerBuilder<WantsAddr> {
        RdpServerBuilder::new()
    }

    /// A server without anything optional.
    pub fn new(
        options: RdpServerOptions,
        handler: Box<dyn RdpServerInputHandler>,
        display: Box<dyn RdpServerDisplay>,
    ) -> Self {
        Self::from_parts(Parts::new(options, handler, display))
    }

    pub(super) fn from_parts(mut parts: Parts) -> Self {
        let (sender, events) = ServerEvent::create_channel();
        parts.devices.set_sender(&sender);
        Self {
            options: parts.options,
            hands: Arc::new(parking_lot::Mutex::new(parts.input)),
            screen: Arc::new(tokio::sync::Mutex::new(parts.display)),
            people: Arc::new(parts.people),
            rights: parts.rights,
            max_clients: parts.max_clients,
            devices: parts.devices,
            exclusive: parts.exclusive,
            honor_client_size: parts.honor_client_size,
            hooks: parts.hooks,
            sessions: Sessions::default(),
            sender,
            events,
            open: None,
        }
    }

    /// The one name and password that are let in; `None`: with NLA nobody, without NLA everybody. For many users see
    /// [`RdpServerBuilder::with_accounts`].
    pub fn set_credentials(&mut self, credentials: Option<Credentials>) {
        *self.people.credentials.write() = credentials;
    }

    /// Who judges passwords that come inside TLS, or nobody.
    pub fn set_credential_validator(&mut self, validator: Option<Arc<dyn CredentialValidator>>) {
        *self.people.validator.write() = validator;
    }

    /// Who is asked of each connection to the next [`RdpServer::run`], or nobody.
    pub fn set_connection_handler(&mut self, handler: Option<Box<dyn ConnectionHandler>>) {
        self.hooks = Hooks::new(handler);
    }

    /// Where a running server takes messages.
    pub fn event_sender(&self) -> &mpsc::UnboundedSender<ServerEvent> {
        &self.sender
    }

    /// Measures round trips: requests wait until a client has opened the channel `ECHO`, and every client that has is asked.
    pub fn echo_handle(&self) -> &EchoServerHandle {
        &self.devices.echo
    }

    /// The clients that are there, to be listed and closed. A clone follows the server while it runs.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Serves clients until [`ServerEvent::Quit`]. Dropping the future ends the server at once.
    ///
    /// # Errors
    /// When the address cannot be bound, or the display's first answer is no size. Nothing that a client or a handler does
    /// later ends it.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        let addr = self.options.addr;
        let listener = TcpListener::bind(addr)
            .await
            .with_context(|| format!("cannot listen on {addr}"))?;
        let local = listener.local_addr()?;
        if matches!(self.options.security, RdpServerSecurity::Hybrid(_)) && self.people.is_empty() {
            warn!("NLA without credentials: nobody can log in until some are set");
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.start().await?,
        };
        info!(address = %local, "the server listens");
        let hooks = self.hooks.clone();
        let serving = door::serve(listener, open.entrance.clone(), hooks, &open.stopper, open.stop.clone());
        let mut serving = std::pin::pin!(serving);
        loop {
            tokio::select! {
                biased;
                () = &mut serving => return Ok(()),
                event = self.events.recv() => self.on_event(event, &open, Some(local)),
            }
        }
    }

    /// Serves one client over any stream, to its end; TLS is run on the stream as the security says. For several at once see
    /// [`RdpServer::entrance`].
    ///
    /// # Errors
    /// What ended the connection otherwise than by the client's wish.
    pub async fn run_connection<S>(&mut self, stream: S) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.run_connection_with(stream, TransportTls::Managed).await
    }

    /// The same over a stream that is encrypted already: see [`TransportTls::AlreadyDone`].
    ///
    /// # Errors
    /// As [`RdpServer::run_connection`].
    pub async fn run_connection_with<S>(&mut self, stream: S, tls: TransportTls) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.start().await?,
        };
        let outcome = {
            let mut visit = std::pin::pin!(open.entrance.visit_stream(stream, None, tls));
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut visit => break outcome,
                    event = self.events.recv() => self.on_event(event, &open, None),
                }
            }
        };
        if !open.stop.is_stopped() {
            self.open = Some(open);
        }
        outcome.map_err(anyhow::Error::msg)
    }

    /// A door to which the program brings connections itself, as many as it likes at once. It is open as long as the server
    /// is kept. Messages to the server ([`Self::event_sender`]) are read only while it runs, or serves a connection itself.
    ///
    /// # Errors
    /// When the display's first answer is no size.
    pub async fn entrance(&mut self) -> anyhow::Result<Entrance> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.start().await?,
        };
        Ok(self.open.insert(open).entrance.clone())
    }

    fn on_event(&self, event: Option<ServerEvent>, open: &Open, local: Option<SocketAddr>) {
        match event {
            Some(ServerEvent::Quit(reason)) => {
                info!(%reason, "the server ends");
                open.stopper.stop();
            }
            Some(ServerEvent::SetCredentials(credentials)) => *self.people.credentials.write() = Some(credentials),
            // Who asked may have gone.
            Some(ServerEvent::GetLocalAddr(answer)) => drop(answer.send(local)),
            Some(event) => open.devices.take(event),
            // The sender in `self` keeps the channel open.
            None => {}
        }
    }

    async fn start(&mut self) -> anyhow::Result<Open> {
        let (devices, peripherals) = self.devices.start(&Stage::name(), &self.sessions)?;
        let stage = Stage::open(&self.screen, &self.hands, peripherals, self.honor_client_size).await?;
        let (stopper, stop) = stop_pair();
        let config = Arc::new(self.config(&stage)?);
        Ok(Open {
            entrance: House::default().entrance(config, stop.clone()),
            stopper,
            stop,
            devices,
            _stage: stage,
        })
    }

    fn config(&self, stage: &Stage) -> anyhow::Result<ServerConfig> {
        let (logins, tls) = match &self.options.security {
            RdpServerSecurity::None => (Logins::PLAIN, TlsIdentity::none()?),
            RdpServerSecurity::Tls(acceptor) => (Logins::TLS, TlsIdentity::from_acceptor(acceptor.clone(), &[])),
            RdpServerSecurity::Hybrid((acceptor, key)) => {
                (Logins::NLA, TlsIdentity::from_acceptor(acceptor.clone(), key))
            }
        };
        let codecs = self.options.codecs;
        Ok(ServerConfig {
            tls,
            accounts: self.people.clone(),
            directory: Arc::new(stage.directory(self.rights.clone())),
            logins,
            codecs: SurfaceCodecs {
                remotefx: codecs.contains(CodecId::RemoteFx),
                nscodec: codecs.contains(CodecId::NsCodec),
                qoi: codecs.contains(CodecId::Qoi),
                qoiz: codecs.contains(CodecId::QoiZ),
                max_request: self.options.max_request_size,
            },
            routing: Routing {
                all_domains_real: true,
                ..Routing::default()
            },
            rdp2tcp: false,
            limits: Limits {
                sessions: self.max_clients,
                replace_oldest: self.exclusive,
                ..Limits::default()
            },
            reconnect: Reconnect::default(),
            sessions: self.sessions.clone(),
        })
    }
}
