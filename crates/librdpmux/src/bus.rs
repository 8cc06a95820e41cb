//! Registration of a machine over D-Bus: which protocols the daemon speaks, and where its socket is. The rest of the
//! library has no runtime; here one lives as long as the call, on a thread of its own, so that a program with a runtime
//! may call from inside of it.

use std::thread;
use std::time::Duration;

use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, Proxy};

/// Longest wait for the bus and the daemon.
const PATIENCE: Duration = Duration::from_secs(10);

const INTERFACE: &str = "org.RDPMux.RDPMux";

/// Where and as what a machine is registered.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    /// Address of the bus; the system's if not given.
    pub(crate) bus: Option<String>,
    /// The daemon's name on it.
    pub(crate) name: String,
    /// The daemon's object.
    pub(crate) object: String,
    /// Number of the machine, from 0.
    pub(crate) id: i32,
    /// In 36 characters.
    pub(crate) uuid: String,
    /// TCP port of the machine's own, 0 for the first free one.
    pub(crate) port: u16,
    /// Path of a credential file, or empty.
    pub(crate) auth: String,
    /// The newest protocol that may be used.
    pub(crate) newest: i32,
}

/// A machine that the daemon knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) path: String,
    /// The daemon's unique name: another one later is another daemon.
    pub(crate) owner: String,
}

/// Why a machine could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The bus or the daemon said no.
    #[error("d-bus: {0}")]
    Bus(#[from] zbus::Error),
    /// The bus or the daemon did not answer.
    #[error("d-bus: no answer within {limit:?}", limit = PATIENCE)]
    Silent,
    /// The daemon speaks other protocols.
    #[error("the daemon speaks protocols {offered:?}, this library {own:?}")]
    Protocol {
        /// Those of the daemon.
        offered: Vec<i32>,
        /// Ours.
        own: Vec<i32>,
    },
    /// The daemon answered with an empty path; its log says why.
    #[error("the daemon refused machine {0}; its log says why")]
    Refused(i32),
    /// No thread could be had.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Registers a machine with the newest protocol that both sides speak.
///
/// # Errors
/// [`RegisterError`]; the daemon does not know the machine then.
pub(crate) fn register(registration: &Registration) -> Result<Registered, RegisterError> {
    within_patience(async {
        let connection = connect(registration.bus.as_deref()).await?;
        let proxy: Proxy<'_> = zbus::proxy::Builder::new(&connection)
            .destination(registration.name.as_str())
            .path(registration.object.as_str())
            .interface(INTERFACE)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let offered: Vec<i32> = proxy.get_property("SupportedProtocolVersions").await?;
        let own = own_versions(registration.newest);
        let Some(version) = own.iter().rev().find(|version| offered.contains(version)) else {
            return Err(RegisterError::Protocol { offered, own });
        };
        let arguments = (
            registration.id,
            *version,
            registration.uuid.as_str(),
            registration.port,
            registration.auth.as_str(),
        );
        let path: String = proxy.call("Register", &arguments).await?;
        if path.is_empty() {
            return Err(RegisterError::Refused(registration.id));
        }
        let owner = owner_on(&connection, &registration.name).await?;
        Ok(Registered { path, owner })
    })
}

/// The daemon's unique name now.
///
/// # Errors
/// [`RegisterError`] if there is no daemon.
pub(crate) fn owner(registration: &Registration) -> Result<String, RegisterError> {
    within_patience(async {
        let connection = connect(registration.bus.as_deref()).await?;
        owner_on(&connection, &registration.name).await
    })
}

async fn connect(address: Option<&str>) -> Result<Connection, zbus::Error> {
    match address {
        Some(address) => Builder::address(address).build().await,
        None => Builder::system().build().await,
    }
}

async fn owner_on(connection: &Connection, name: &str) -> Result<String, RegisterError> {
    let name = BusName::try_from(name)?;
    let bus = DBusProxy::new(connection).await?;
    let owner = bus.get_name_owner(name).await.map_err(zbus::Error::from)?;
    Ok(owner.to_string())
}

fn own_versions(newest: i32) -> Vec<i32> {
    let own = [rdpmux_wire::v5::VERSION, rdpmux_wire::v6::VERSION];
    own.into_iter().filter(|version| *version <= newest).collect()
}

fn within_patience<T: Send>(work: impl Future<Output = Result<T, RegisterError>> + Send) -> Result<T, RegisterError> {
    let run = || -> Result<T, RegisterError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { timeout(PATIENCE, work).await.unwrap_or(Err(RegisterError::Silent)) })
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("rdpmux-register".to_owned())
            .spawn_scoped(scope, run)?;
        thread
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread that registers ended").into()))
    })
}
