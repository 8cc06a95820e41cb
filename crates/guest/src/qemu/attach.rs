//! Finds a QEMU and opens the main connection to its display: through QMP and a socket pair of our own, or on a bus.
//! What comes out is an [`Attachment`]; consoles and frames are somebody else's.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::OwnedUniqueName;

use super::control;
use super::display::Display;
use super::listener::SharedFrames;
use super::qmp::{Qmp, QmpError, Version};
use super::{Address, Config};
use crate::port::Notice;

/// Longest wait for one step on the D-Bus connection.
pub(super) const STEP_TIME: Duration = Duration::from_secs(20);
/// The name that every QEMU on a bus queues for.
const BUS_NAME: &str = "org.qemu";

/// Why a QEMU could not be reached. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    /// QMP failed.
    #[error("qmp: {0}")]
    Qmp(#[from] QmpError),
    /// Its display is something else.
    #[error("this qemu has no peer-to-peer d-bus display: start it with -display dbus,p2p=yes")]
    NoDisplay,
    /// The D-Bus connection failed.
    #[error("d-bus: {0}")]
    Bus(#[from] zbus::Error),
    /// The bus has no QEMU, or not the one asked for.
    #[error("no such machine on the bus ({found} there)")]
    NoMachine {
        /// How many machines are there.
        found: usize,
    },
    /// It has nothing that could be shown.
    #[error("this machine has neither a graphic console nor a character device of `-chardev dbus`")]
    NoConsole,
    /// The bus has several and none was named.
    #[error("{found} machines are on the bus: name one in the configuration")]
    Ambiguous {
        /// How many machines are there.
        found: usize,
    },
    /// The head's last listener hangs.
    #[error("the head is still with its last listener")]
    HeadBusy,
    /// A step took too long.
    #[error("{0}: no answer within {limit:?}", limit = STEP_TIME)]
    Silent(&'static str),
    /// A socket pair or thread could not be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl AttachError {
    /// Whether QEMU is simply not there.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Qmp(QmpError::Connect(_)) | Self::NoMachine { .. })
    }
}

/// A QEMU whose display is ours.
pub(super) struct Attachment {
    pub(super) display: Display,
    /// Only if it may stay.
    pub(super) qmp: Option<Qmp>,
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) version: Option<Version>,
    pub(super) shared_frames: SharedFrames,
    /// Whether listeners may come and go.
    pub(super) may_rest: bool,
    pub(super) notice: Option<Notice>,
    /// Whether its sound and clipboard may be asked for. On a connection of two peers QEMU 7.2 crashes if its sound is, and
    /// does not close a connection on which its clipboard was when another program takes the display.
    pub(super) has_safe_peripherals: bool,
    /// Each tablet was given to a head.
    pub(super) tablet_per_head: bool,
}

/// Attaches to the QEMU of `config`.
pub(super) async fn attach(config: &Config) -> Result<Attachment, AttachError> {
    match &config.address {
        Address::Qmp(path) => through_qmp(path, config.qmp_stay).await,
        Address::Bus { address, vm } => on_bus(address, vm.as_deref()).await,
    }
}

async fn through_qmp(path: &Path, stay: bool) -> Result<Attachment, AttachError> {
    let mut qmp = Qmp::connect(path).await?;
    let version = qmp.version();
    let options = qmp.command("query-display-options", json!({})).await?;
    if options["type"] != "dbus" || options["p2p"] != true {
        return Err(AttachError::NoDisplay);
    }
    let name = qmp.command("query-name", json!({})).await?;
    let uuid = qmp.command("query-uuid", json!({})).await?;
    let status = qmp.command("query-status", json!({})).await?;
    let tablet_per_head = tablet_per_head(&mut qmp).await?;
    let has_fingers = has_touch_screen(&mut qmp).await;
    let socket = add_client(&mut qmp).await?;
    // Read on a thread of its own: QEMU waits for some of our answers.
    let connecting = control::runtime()?.spawn(Builder::unix_stream(socket).p2p().build());
    let connection = within("authentication", connecting)
        .await?
        .map_err(std::io::Error::other)??;
    Ok(Attachment {
        display: Display::new(connection, None).with_fingers(has_fingers),
        qmp: stay.then_some(qmp),
        name: text(&name["name"]),
        uuid: text(&uuid["UUID"]).filter(|uuid| !is_nil(uuid)),
        version: Some(version),
        shared_frames: shared_frames(version),
        may_rest: may_rest(version),
        notice: (status["running"] == false).then_some(Notice::Paused),
        has_safe_peripherals: version.major >= 8,
        tablet_per_head,
    })
}

/// Whether the machine has a touch screen: QEMU's interface for touches is there without one, too. A QEMU that does not
/// say has none.
async fn has_touch_screen(qmp: &mut Qmp) -> bool {
    for place in ["/machine/peripheral", "/machine/peripheral-anon"] {
        let devices = qmp.command("qom-list", json!({ "path": place })).await;
        let devices = devices.ok().and_then(|devices| devices.as_array().cloned());
        let is_one = |device: &Value| {
            let kind = device["type"].as_str().unwrap_or_default();
            kind.starts_with("child<virtio-multitouch")
        };
        if devices.is_some_and(|devices| devices.iter().any(is_one)) {
            return true;
        }
    }
    false
}

/// Frames in shared memory came with 9.2; they are known to work from 10.0 on.
fn shared_frames(version: Version) -> SharedFrames {
    if version.major >= 10 {
        SharedFrames::Offered
    } else {
        SharedFrames::Never
    }
}

/// QEMU 10.0 keeps the socket of every listener that left, so that viewers who come and go would use up its descriptors.
/// 7.2 closes it; what is between was not tried.
fn may_rest(version: Version) -> bool {
    version.major == 7
}

/// Whether the machine's tablets have a head each: their `display` property is set.
async fn tablet_per_head(qmp: &mut Qmp) -> Result<bool, QmpError> {
    // A QEMU that refuses to tell has none.
    let asked = |answer| match answer {
        Err(QmpError::Refused { .. }) => Ok(Value::Null),
        answer => answer,
    };
    for place in ["/machine/peripheral", "/machine/peripheral-anon"] {
        let devices = asked(qmp.command("qom-list", json!({ "path": place })).await)?;
        for device in devices.as_array().into_iter().flatten() {
            let (Some(name), Some(kind)) = (device["name"].as_str(), device["type"].as_str()) else {
                continue;
            };
            if kind.contains("tablet") {
                let property = json!({ "path": format!("{place}/{name}"), "property": "display" });
                if text(&asked(qmp.command("qom-get", property).await)?).is_some() {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Gives QEMU one end of a socket pair as its D-Bus client. Whoever was its client before is thrown off.
async fn add_client(qmp: &mut Qmp) -> Result<UnixStream, AttachError> {
    let (ours, theirs) = UnixStream::pair()?;
    let fdname = "rdpmux-display";
    let descriptor = Some(theirs.as_fd());
    qmp.command_with("getfd", json!({ "fdname": fdname }), descriptor)
        .await?;
    let client = json!({ "protocol": "@dbus-display", "fdname": fdname });
    qmp.command("add_client", client).await?;
    Ok(ours)
}

async fn on_bus(address: &str, vm: Option<&str>) -> Result<Attachment, AttachError> {
    let address = address.to_owned();
    let connecting = control::runtime()?.spawn(async move { Builder::address(address.as_str()).build().await });
    let connection = within("connection to the bus", connecting)
        .await?
        .map_err(std::io::Error::other)??;
    let bus = DBusProxy::new(&connection).await?;
    let name = BUS_NAME.try_into()?;
    let owners = within("ListQueuedOwners", bus.list_queued_owners(name)).await?;
    // The bus says so if nobody has ever owned the name.
    let owners: Vec<OwnedUniqueName> = owners.unwrap_or_default();
    let found = owners.len();
    let mut machines = Vec::new();
    for owner in owners {
        let display = Display::new(connection.clone(), Some(owner.to_string()));
        // One that ends just now is not there.
        if let Ok(Ok(machine)) = within("properties of the machine", display.machine()).await {
            machines.push((display, machine));
        }
    }
    machines.retain(|(_, machine)| vm.is_none_or(|vm| machine.is_called(vm)));
    if machines.len() > 1 {
        return Err(AttachError::Ambiguous { found });
    }
    let (display, machine) = machines.pop().ok_or(AttachError::NoMachine { found })?;
    Ok(Attachment {
        display,
        qmp: None,
        name: machine.name,
        uuid: machine.uuid.filter(|uuid| !is_nil(uuid)),
        version: None,
        // Nothing on the bus tells the version.
        shared_frames: SharedFrames::Never,
        may_rest: false,
        notice: None,
        has_safe_peripherals: true,
        tablet_per_head: false,
    })
}

/// Bounds one step.
pub(super) async fn within<T>(what: &'static str, step: impl Future<Output = T>) -> Result<T, AttachError> {
    timeout(STEP_TIME, step).await.map_err(|_| AttachError::Silent(what))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// QEMU's word for a machine without a UUID.
fn is_nil(uuid: &str) -> bool {
    uuid.bytes().all(|byte| matches!(byte, b'0' | b'-'))
}
