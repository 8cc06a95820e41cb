//! The builder, whose type says what is still missing: address, security, input, display; then everything optional.

use std::net::SocketAddr;
use std::sync::Arc;

use rdpmux_model::Rights;
use tokio_rustls::TlsAcceptor;

use super::clipboard::CliprdrServerFactory;
use super::codecs::BitmapCodecs;
use super::connection::{ConnectionHandler, Hooks};
use super::credentials::CredentialValidator;
use super::display::{DesktopSize, RdpServerDisplay, RdpServerDisplayUpdates};
use super::input::{KeyboardEvent, MouseEvent, RdpServerInputHandler};
use super::options::{RdpServerOptions, RdpServerSecurity};
use super::server::{Parts, RdpServer};
use super::sound::SoundServerFactory;
use crate::access::Accounts;
use crate::channels::ChannelFactory;

/// The address is missing.
pub struct WantsAddr(());

/// The security is missing.
pub struct WantsSecurity {
    addr: SocketAddr,
}

/// The input handler is missing.
pub struct WantsHandler {
    options: RdpServerOptions,
}

/// The display is missing.
pub struct WantsDisplay {
    options: RdpServerOptions,
    input: Box<dyn RdpServerInputHandler>,
}

/// Nothing is missing.
pub struct BuilderDone {
    parts: Parts,
}

/// Builds an [`RdpServer`], from [`RdpServer::builder`].
pub struct RdpServerBuilder<State> {
    state: State,
}

impl RdpServerBuilder<WantsAddr> {
    /// As [`RdpServer::builder`].
    pub fn new() -> Self {
        Self { state: WantsAddr(()) }
    }

    /// Where to listen.
    pub fn with_addr(self, addr: impl Into<SocketAddr>) -> RdpServerBuilder<WantsSecurity> {
        let state = WantsSecurity { addr: addr.into() };
        RdpServerBuilder { state }
    }
}

impl Default for RdpServerBuilder<WantsAddr> {
    fn default() -> Self {
        Self::new()
    }
}

impl RdpServerBuilder<WantsSecurity> {
    /// Everything in the clear, the password too: for trusted networks and old clients only. FreeRDP wants `/sec:rdp`.
    pub fn with_no_security(self) -> RdpServerBuilder<WantsHandler> {
        self.with_security(RdpServerSecurity::None)
    }

    /// TLS; the password comes inside of it.
    pub fn with_tls(self, acceptor: impl Into<TlsAcceptor>) -> RdpServerBuilder<WantsHandler> {
        self.with_security(RdpServerSecurity::Tls(acceptor.into()))
    }

    /// TLS and, inside of it, CredSSP (NLA), bound to the certificate's `subjectPublicKey`. Somebody must be able to log in:
    /// see [`RdpServer::set_credentials`] and [`RdpServerBuilder::with_accounts`].
    pub fn with_hybrid(self, acceptor: impl Into<TlsAcceptor>, pub_key: Vec<u8>) -> RdpServerBuilder<WantsHandler> {
        self.with_security(RdpServerSecurity::Hybrid((acceptor.into(), pub_key)))
    }

    fn with_security(self, security: RdpServerSecurity) -> RdpServerBuilder<WantsHandler> {
        let options = RdpServerOptions {
            addr: self.state.addr,
            security,
            codecs: BitmapCodecs::ALL,
            max_request_size: RdpServerOptions::DEFAULT_MAX_REQUEST_SIZE,
        };
        RdpServerBuilder {
            state: WantsHandler { options },
        }
    }
}

impl RdpServerBuilder<WantsHandler> {
    /// Who takes the clients' input.
    pub fn with_input_handler<H>(self, handler: H) -> RdpServerBuilder<WantsDisplay>
    where
        H: RdpServerInputHandler + 'static,
    {
        let state = WantsDisplay {
            options: self.state.options,
            input: Box::new(handler),
        };
        RdpServerBuilder { state }
    }

    /// Input goes nowhere.
    pub fn with_no_input(self) -> RdpServerBuilder<WantsDisplay> {
        self.with_input_handler(NoInput)
    }
}

impl RdpServerBuilder<WantsDisplay> {
    /// What the clients see.
    pub fn with_display_handler<D>(self, display: D) -> RdpServerBuilder<BuilderDone>
    where
        D: RdpServerDisplay + 'static,
    {
        let WantsDisplay { options, input } = self.state;
        let parts = Parts::new(options, input, Box::new(display));
        RdpServerBuilder {
            state: BuilderDone { parts },
        }
    }

    /// The clients see a black desktop of 1024 × 768.
    pub fn with_no_display(self) -> RdpServerBuilder<BuilderDone> {
        self.with_display_handler(NoDisplay)
    }
}

impl RdpServerBuilder<BuilderDone> {
    /// Which codecs clients without the graphics pipeline may be sent; all of them if this is not called.
    pub fn with_bitmap_codecs(mut self, codecs: BitmapCodecs) -> Self {
        self.state.parts.options.codecs = codecs;
        self
    }

    /// The largest update in bytes that a client may send us in fragments ([MS-RDPBCGR] 2.2.7.2.6), 8 MB if this is not
    /// called. Windows' client refuses connections where it is very large.
    pub fn with_max_request_size(mut self, max_request_size: u32) -> Self {
        self.state.parts.options.max_request_size = max_request_size;
        self
    }

    /// Who judges passwords that come inside TLS; see [`CredentialValidator`].
    pub fn with_credential_validator(mut self, validator: Option<Arc<dyn CredentialValidator>>) -> Self {
        *self.state.parts.people.validator.get_mut() = validator;
        self
    }

    /// Many users, with NLA and without: they stand for [`RdpServer::set_credentials`].
    pub fn with_accounts(mut self, accounts: Arc<dyn Accounts>) -> Self {
        self.state.parts.people.accounts = Some(accounts);
        self
    }

    /// Who is asked of each connection, and told of its end.
    pub fn with_connection_handler(mut self, handler: Option<Box<dyn ConnectionHandler>>) -> Self {
        self.state.parts.hooks = Hooks::new(handler);
        self
    }

    /// How many clients may be there at once, all with the same picture; 512 if this is not called. Whoever comes when all
    /// places are taken is told so.
    pub fn with_max_clients(mut self, clients: usize) -> Self {
        self.state.parts.max_clients = clients;
        self
    }

    /// One client at a time: whoever logs in takes the place of the one that is there, which is told so.
    pub fn with_exclusive_client(mut self) -> Self {
        self.state.parts.max_clients = 1;
        self.state.parts.exclusive = true;
        self
    }

    /// Whether the display is asked for the size of the first client's screen, by
    /// [`RdpServerDisplay::request_initial_size`]; not if this is not called.
    pub fn with_honor_client_desktop_size(mut self, honor: bool) -> Self {
        self.state.parts.honor_client_size = honor;
        self
    }

    /// What each user may do; everybody may see, hear, type, click and resize if this is not called. [`Rights::VIEW`] makes a
    /// viewer. Asked at each login, from several tasks at once.
    pub fn with_rights(mut self, rights: impl Fn(&str) -> Rights + Send + Sync + 'static) -> Self {
        self.state.parts.rights = Arc::new(rights);
        self
    }

    /// The program's part in the clients' common clipboard. Clients have none if this is not called.
    pub fn with_cliprdr_factory(mut self, clipboard: Option<Box<dyn CliprdrServerFactory>>) -> Self {
        self.state.parts.devices.clipboard = clipboard;
        self
    }

    /// Pictures that the program makes itself, for one client at a time; see [`GfxServerFactory`](crate::GfxServerFactory).
    pub fn with_gfx_factory(mut self, gfx: Option<Box<dyn super::gfx::GfxServerFactory>>) -> Self {
        self.state.parts.devices.gfx = gfx.map(super::gfx::Gfx::new);
        self
    }

    /// Sound for the clients, from one handler for all of them.
    pub fn with_sound_factory(mut self, sound: Option<Box<dyn SoundServerFactory>>) -> Self {
        self.state.parts.devices.sound = sound;
        self
    }

    /// Channels of the program's own, static and dynamic, built for each client.
    pub fn with_channel_factory(mut self, channels: Option<Arc<dyn ChannelFactory>>) -> Self {
        self.state.parts.devices.channels = channels;
        self
    }

    /// The server. It listens from [`RdpServer::run`] on.
    pub fn build(self) -> RdpServer {
        RdpServer::from_parts(self.state.parts)
    }
}

struct NoInput;

impl RdpServerInputHandler for NoInput {
    fn keyboard(&mut self, _event: KeyboardEvent) {}
    fn mouse(&mut self, _event: MouseEvent) {}
}

struct NoDisplay;

#[async_trait::async_trait]
impl RdpServerDisplay for NoDisplay {
    async fn size(&mut self) -> DesktopSize {
        DesktopSize {
            width: 1024,
            height: 768,
        }
    }

    async fn updates(&mut self) -> anyhow::Result<Box<dyn RdpServerDisplayUpdates>> {
        Ok(Box::new(NoUpdates))
    }
}

struct NoUpdates;

#[async_trait::async_trait]
impl RdpServerDisplayUpdates for NoUpdates {
    async fn next_update(&mut self) -> anyhow::Result<Option<super::display::DisplayUpdate>> {
        Ok(None)
    }
}
