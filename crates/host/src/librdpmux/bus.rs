//! Our place on the message bus: the names by which hypervisors look for us, and who they are when they call.

use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::{DBusProxy, RequestNameFlags};
use zbus::message::Header;

use super::registrar::Registrar;
use crate::config::Bus;

/// Why there is no place for us on the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// It cannot be reached.
    #[error("cannot reach the D-Bus {bus}: {source}; is dbus-daemon running, and `librdpmux.bus` right?")]
    Connect {
        /// Which bus.
        bus: String,
        /// What it said.
        source: zbus::Error,
    },
    /// The name is another program's, or not allowed.
    #[error(
        "cannot be {name} on the D-Bus {bus}: {source}; is another rdpmux running, or the D-Bus policy file missing?"
    )]
    Name {
        /// The name.
        name: &'static str,
        /// Which bus.
        bus: String,
        /// What it said.
        source: zbus::Error,
    },
    /// It takes too long.
    #[error("the D-Bus {bus} does not answer")]
    Silent {
        /// Which bus.
        bus: String,
    },
}

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Its unique name on the bus.
    pub(super) name: String,
    /// Its user, if the bus knows.
    pub(super) uid: Option<u32>,
}

impl Caller {
    /// Who sent this message.
    pub(super) async fn of(header: &Header<'_>, connection: &Connection) -> Self {
        let Some(sender) = header.sender() else {
            return Self {
                name: String::new(),
                uid: None,
            };
        };
        let uid = async {
            let bus = DBusProxy::new(connection).await?;
            bus.get_connection_unix_user(sender.to_owned().into()).await
        };
        Self {
            name: sender.to_string(),
            uid: uid.await.ok(),
        }
    }

    /// Whether it may change what `owner` registered: the same user, root, or the daemon's own user.
    pub(super) fn may_change(&self, owner: Option<u32>) -> bool {
        let own = rustix::process::geteuid().as_raw();
        self.uid.is_some_and(|uid| uid == 0 || uid == own || Some(uid) == owner)
    }
}

/// Connects and serves the registrar, without a name yet.
///
/// # Errors
/// [`BusError::Connect`], [`BusError::Silent`].
pub(super) async fn connect(bus: &Bus, registrar: &Registrar) -> Result<Connection, BusError> {
    let builder = match bus {
        Bus::System => Builder::system(),
        Bus::Address(address) => Builder::address(address.as_str()),
    };
    let connecting = PATHS
        .iter()
        .fold(builder, |builder, path| builder.serve_at(*path, registrar.clone()))
        .build();
    match timeout(STEP, connecting).await {
        Ok(result) => result.map_err(|source| BusError::Connect {
            bus: shown(bus),
            source,
        }),
        Err(_) => Err(BusError::Silent { bus: shown(bus) }),
    }
}

/// Takes our names. The one of old documents is taken too if the bus allows it.
///
/// # Errors
/// [`BusError::Name`], [`BusError::Silent`].
pub(super) async fn appear(bus: &Bus, connection: &Connection) -> Result<(), BusError> {
    let take = |name| {
        timeout(
            STEP,
            connection.request_name_with_flags(name, RequestNameFlags::DO_NOT_QUEUE),
        )
    };
    match take(NAME).await {
        Ok(Ok(_)) => {}
        Ok(Err(source)) => {
            return Err(BusError::Name {
                name: NAME,
                bus: shown(bus),
                source,
            });
        }
        Err(_) => return Err(BusError::Silent { bus: shown(bus) }),
    }
    if let Ok(Err(error)) = take(ALIAS).await {
        warn!(name = ALIAS, %error, "the name of old documents is not ours; hypervisors must use {NAME}");
    }
    Ok(())
}

fn shown(bus: &Bus) -> String {
    match bus {
        Bus::System => "system bus".to_owned(),
        Bus::Address(address) => format!("bus {address}"),
    }
}

/// RDPMux's name on the bus.
pub(super) const NAME: &str = "org.RDPMux.RDPMux";
/// The one in the documentation of its library.
const ALIAS: &str = "org.RDP.RDPMux";
/// Its object, and the one in the documentation of its library.
const PATHS: [&str; 2] = ["/org/RDPMux/RDPMux", "/org/RDPMux/Server"];
/// Longest wait for the bus.
const STEP: Duration = Duration::from_secs(10);
