//! Which device uses a character device: QEMU does not list that, but the devices that can have one say it.

use std::collections::HashMap;

use rdpmux_streams::Kind;
use serde_json::{Value, json};

use crate::qemu::qmp::{QmpError, Turn};

/// Where QEMU keeps its devices.
const PLACES: [&str; 3] = ["/machine/unattached", "/machine/peripheral", "/machine/peripheral-anon"];

/// Devices with a character device, by QEMU's type: their properties that name it, and what they are. Most refuse to have
/// it changed.
const TYPES: &[(&str, &[&str], Kind)] = &[
    ("isa-serial", &["chardev"], Kind::Serial),
    ("pci-serial", &["chardev"], Kind::Serial),
    ("pci-serial-2x", &["chardev1", "chardev2"], Kind::Serial),
    (
        "pci-serial-4x",
        &["chardev1", "chardev2", "chardev3", "chardev4"],
        Kind::Serial,
    ),
    ("serial-mm", &["chardev"], Kind::Serial),
    ("usb-serial", &["chardev"], Kind::Serial),
    ("pl011", &["chardev"], Kind::Serial),
    ("spapr-vty", &["chardev"], Kind::Serial),
    ("sclpconsole", &["chardev"], Kind::Serial),
    ("riscv.sifive.uart", &["chardev"], Kind::Serial),
    ("virtconsole", &["chardev"], Kind::Console),
    ("virtserialport", &["chardev"], Kind::Port),
    ("isa-debugcon", &["chardev"], Kind::Other),
    ("isa-parallel", &["chardev"], Kind::Other),
];

/// Ports between programs of the host and the guest, by how their names begin.
const PRIVATE: [&str; 3] = ["org.qemu.guest_agent.", "com.redhat.", "org.spice-space."];

/// A device that uses a character device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) kind: Kind,
    /// What the guest calls a virtio port.
    pub(super) port: Option<String>,
}

impl Front {
    /// Whether nobody but a program may talk there.
    pub(super) fn is_private(&self) -> bool {
        let port = self.port.as_deref().unwrap_or_default();
        PRIVATE.iter().any(|private| port.starts_with(private))
    }
}

/// The devices by the labels of their character devices.
pub(super) async fn fronts(turn: &Turn) -> Result<HashMap<String, Front>, QmpError> {
    let mut fronts = HashMap::new();
    for place in PLACES {
        for device in list(turn, place).await? {
            let (Some(name), Some(kind)) = (device["name"].as_str(), device["type"].as_str()) else {
                continue;
            };
            let Some((_, properties, kind)) = TYPES.iter().find(|(known, ..)| is_child(kind, known)) else {
                continue;
            };
            let path = format!("{place}/{name}");
            for property in *properties {
                let Some(label) = property_of(turn, &path, property).await? else {
                    continue;
                };
                let port = match kind {
                    Kind::Port => property_of(turn, &path, "name").await?,
                    _ => None,
                };
                fronts.insert(label, Front { kind: *kind, port });
            }
        }
    }
    Ok(fronts)
}

fn is_child(kind: &str, of: &str) -> bool {
    kind.strip_prefix("child<").and_then(|kind| kind.strip_suffix('>')) == Some(of)
}

/// What QEMU refuses to tell is not there: devices come and go.
fn told(answer: Result<Value, QmpError>) -> Result<Value, QmpError> {
    match answer {
        Err(QmpError::Refused { .. }) => Ok(Value::Null),
        answer => answer,
    }
}

/// The objects below a path.
pub(super) async fn list(turn: &Turn, path: &str) -> Result<Vec<Value>, QmpError> {
    let found = told(turn.command("qom-list", json!({ "path": path })).await)?;
    Ok(found.as_array().cloned().unwrap_or_default())
}

async fn property_of(turn: &Turn, path: &str, property: &str) -> Result<Option<String>, QmpError> {
    let asked = json!({ "path": path, "property": property });
    let value = told(turn.command("qom-get", asked).await)?;
    Ok(value.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
}
