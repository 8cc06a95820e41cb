//! The daemon put together: bind, machines, server; and its end. Signals, output and exit codes are the binary's.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rdpmux_model::DesktopName;
use rdpmux_server::{House, ServerConfig, Sessions, Stopper, SurfaceCodecs};
use tokio::net::{TcpListener, UnixListener};
use tracing::{error, info};

use crate::admin::{self, AdminSocket, Office};
use crate::auth::Users;
use crate::certificate::Identity;
use crate::config::Config;
use crate::librdpmux::{Face, OpenError, Premises};
use crate::registry::Registry;
use crate::task::TaskGuard;

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", advice(source))]
    Bind {
        /// The address of the configuration.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The configured admin socket cannot be made.
    #[error("`admin_socket` {}: {source}", path.display())]
    Admin {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Hypervisors cannot register.
    #[error(transparent)]
    Librdpmux(#[from] OpenError),
}

fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another port with --listen or `listen`".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose another with --listen or `listen`".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; choose a port of 1024 or above with --listen or `listen`".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A running daemon. Dropping it ends it without telling its clients; [`Daemon::drain`] tells them.
pub struct Daemon {
    address: SocketAddr,
    fingerprint: String,
    stopper: Stopper,
    server: TaskGuard,
    vnc: Option<(SocketAddr, TaskGuard)>,
    registry: Registry,
    face: Option<Face>,
    _admin: Option<(AdminSocket, TaskGuard)>,
}

impl Daemon {
    /// Binds, starts the machines and serves. Clients may connect when it returns.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: &Config, users: Arc<Users>, identity: &Identity) -> Result<Self, StartError> {
        let (listener, address) = bind(config.listen).await?;
        let vnc = match config.vnc {
            Some(vnc) => Some((bind(vnc.listen).await?, vnc.settings)),
            None => None,
        };
        let door = admin_door(config)?;
        let registry = Registry::start(config).await;
        let (sessions, house) = (Sessions::default(), House::default());
        let premises = Premises {
            tls: identity.tls(),
            users: users.clone(),
            board: registry.board(),
            house: house.clone(),
            sessions: sessions.clone(),
            logins: config.logins,
            limits: config.limits.clone(),
            reconnect: config.reconnect,
            layout: config.layout,
        };
        let face = match &config.librdpmux {
            Some(settings) => Some(Face::open(settings, premises).await?),
            None => None,
        };
        let server = ServerConfig {
            tls: identity.tls(),
            accounts: users,
            directory: registry.board(),
            logins: config.logins,
            rdp2tcp: config.rdp2tcp,
            codecs: SurfaceCodecs::ALL,
            routing: config.routing.clone(),
            limits: config.limits.clone(),
            reconnect: config.reconnect,
            sessions: sessions.clone(),
        };
        let office = Office {
            board: registry.board(),
            sessions,
        };
        let (stopper, stop) = rdpmux_server::stop_pair();
        let server = Arc::new(server);
        let vnc = vnc.map(|((listener, address), settings)| {
            let (house, server, stop) = (house.clone(), Arc::clone(&server), stop.clone());
            info!(%address, "listening for VNC viewers");
            let door = async move { house.serve_vnc(listener, server, settings, stop).await };
            (address, TaskGuard::spawn(door))
        });
        let server = TaskGuard::spawn(async move { house.serve(listener, server, stop).await });
        info!(%address, certificate_sha256 = identity.fingerprint(), "listening");
        let admin = door.map(|(socket, listener)| {
            info!(path = %socket.path().display(), "admin socket");
            (socket, TaskGuard::spawn(admin::serve(listener, Arc::new(office))))
        });
        Ok(Self {
            address,
            fingerprint: identity.fingerprint().to_owned(),
            stopper,
            server,
            vnc,
            registry,
            face,
            _admin: admin,
        })
    }

    /// Where clients connect, with the port that the kernel chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where VNC viewers connect, if they may.
    pub fn vnc_address(&self) -> Option<SocketAddr> {
        self.vnc.as_ref().map(|(address, _)| *address)
    }

    /// SHA-256 of the certificate as 64 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Desktops that can be reached now.
    pub fn desktops(&self) -> Vec<DesktopName> {
        self.registry.names()
    }

    /// Takes the grants and the default desktop of a configuration that was read again. Other changes need a restart;
    /// the users file is followed without this.
    pub fn reload(&self, config: &Config) {
        self.registry.reload(config);
        info!(grants = config.grants.len(), "grants read again");
    }

    /// Resolves only if the server ends by itself, which is a bug. Cancel-safe.
    pub async fn failed(&mut self) {
        let vnc = async {
            match &mut self.vnc {
                Some((_, door)) => door.finished().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            ended = self.server.finished() => ended,
            ended = vnc => ended,
        };
        if let Err(error) = ended {
            error!(%error, "the server's task broke off");
        }
    }

    /// Tells all clients, closes their sessions and lets go of the machines, which run on.
    pub async fn drain(mut self) {
        self.stopper.stop();
        let face = self.face.take();
        let own_ports = async {
            if let Some(face) = face {
                face.drain().await;
            }
        };
        let vnc = self.vnc.take();
        let viewers = async {
            if let Some((_, mut door)) = vnc
                && let Err(error) = door.finished().await
            {
                error!(%error, "the task of the VNC door broke off");
            }
        };
        let Self { server, registry, .. } = &mut self;
        let (ended, ..) = tokio::join!(server.finished(), viewers, own_ports, registry.hand_back());
        if let Err(error) = ended {
            error!(%error, "the server's task broke off");
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The operator's door. A configured one must open; without one the daemon also serves.
fn admin_door(config: &Config) -> Result<Option<(AdminSocket, UnixListener)>, StartError> {
    let Some(path) = &config.admin_socket else {
        return Ok(AdminSocket::bind_usual());
    };
    let door = AdminSocket::bind(path).map_err(|source| StartError::Admin {
        path: path.clone(),
        source,
    })?;
    Ok(Some(door))
}
