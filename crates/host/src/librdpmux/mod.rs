//! What RDPMux was to hypervisors that are built with librdpmux: its names, objects and methods on D-Bus, a port per
//! machine, credential files. The protocols that follow a registration are `guest::librdpmux`'s.
//!
//! `keeper` owns the machines, `registrar` and `listener` are the objects, `bus` and `line` the connection, `port` finds
//! ports, `gate` says who comes in there. docs/librdpmux.md describes the interfaces.

mod bus;
mod gate;
mod keeper;
mod line;
mod listener;
mod port;
mod registrar;

use std::io;
use std::sync::Arc;

use rdpmux_guest::librdpmux::Switchboard;
use rdpmux_server::typing::Layout;
use rdpmux_server::{
    House, Limits, Logins, Reconnect, Routing, ServerConfig, Sessions, Stopper, SurfaceCodecs, TlsIdentity, stop_pair,
};
use tokio::sync::mpsc;
use tracing::{error, info};

pub use bus::BusError;

use crate::auth::Users;
use crate::config::Librdpmux;
use crate::registry::Board;
use crate::task::TaskGuard;
use gate::Gate;
use keeper::Keeper;
use line::Line;

/// Questions from the bus that may wait; callers wait for room.
const COMMANDS: usize = 64;

/// Why hypervisors cannot register.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A socket for them cannot be made.
    #[error("`librdpmux.socket` {socket}, `librdpmux.socket6` {socket6}: {source}")]
    Sockets {
        /// That of protocol 5.
        socket: String,
        /// That of protocol 6.
        socket6: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no place on the bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What the ports of the machines share with the daemon's own.
pub(crate) struct Premises {
    pub(crate) tls: TlsIdentity,
    pub(crate) users: Arc<Users>,
    pub(crate) board: Arc<Board>,
    pub(crate) house: House,
    pub(crate) sessions: Sessions,
    pub(crate) logins: Logins,
    pub(crate) limits: Limits,
    pub(crate) reconnect: Reconnect,
    pub(crate) layout: Option<Layout>,
}

impl Premises {
    /// The server at one machine's port.
    fn door(&self, gate: &Arc<Gate>) -> ServerConfig {
        ServerConfig {
            tls: self.tls.clone(),
            accounts: gate.clone(),
            directory: gate.clone(),
            logins: self.logins,
            // A machine's own port is for clients of old; the shared one has it.
            rdp2tcp: false,
            codecs: SurfaceCodecs::ALL,
            routing: Routing {
                all_domains_real: true,
                ..Routing::default()
            },
            limits: self.limits.clone(),
            reconnect: self.reconnect,
            sessions: self.sessions.clone(),
        }
    }
}

/// Registrations are taken while this lives. Dropping it ends all registered machines; [`Face::drain`] tells viewers.
pub(crate) struct Face {
    stopper: Stopper,
    task: TaskGuard,
}

impl Face {
    /// Opens the sockets, then takes our names on the bus.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn open(settings: &Librdpmux, premises: Premises) -> Result<Self, OpenError> {
        let switchboard = Switchboard::listen(settings.sockets.clone()).await;
        let switchboard = switchboard.map_err(|source| OpenError::Sockets {
            socket: settings.sockets.socket.endpoint(),
            socket6: settings.sockets.socket6.display().to_string(),
            source,
        })?;
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let line = Line::open(settings.bus.clone(), commands).await?;
        info!(bus = ?settings.bus, name = bus::NAME, socket = settings.sockets.socket.endpoint(),
            listen = %settings.listen, first_port = settings.first_port, "hypervisors may register");
        let keeper = Keeper::new(switchboard, settings.clone(), premises, line, inbox);
        let (stopper, stop) = stop_pair();
        Ok(Self {
            stopper,
            task: TaskGuard::spawn(keeper.run(stop)),
        })
    }

    /// Tells the viewers at the machines' ports and lets go of the machines, which run on.
    pub(crate) async fn drain(mut self) {
        self.stopper.stop();
        if let Err(error) = self.task.finished().await {
            error!(%error, "the task of registered machines broke off");
        }
    }
}

#[cfg(test)]
mod tests;
