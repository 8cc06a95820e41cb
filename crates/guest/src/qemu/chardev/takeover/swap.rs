//! The steps on QMP by which a character device changes hands. Each is one command or two; what has to be on disk first
//! is the caller's business, `journal` has it.
//!
//! A serial port whose backend cannot take more waits for it, and waits for ever if the next one cannot be waited for. So
//! the machine is stopped and all output is taken before anything but a connected socket is put in.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use serde_json::{Value, json};

use super::plan::{Seen, descriptor_name};
use super::spec::Spec;
use crate::qemu::chardev::front::{Front, fronts, list};
use crate::qemu::qmp::{QmpError, Turn};

/// Whether the machine runs.
pub(super) async fn runs(turn: &Turn) -> Result<bool, QmpError> {
    let status = turn.command("query-status", json!({})).await?;
    Ok(status["running"] == true)
}

/// Whether it is stopped as somebody stopped it, and not because it ended, sleeps, moves or failed.
pub(super) async fn is_paused(turn: &Turn) -> Result<bool, QmpError> {
    let status = turn.command("query-status", json!({})).await?;
    Ok(status["status"] == "paused")
}

pub(super) async fn stop(turn: &Turn) -> Result<(), QmpError> {
    turn.command("stop", json!({})).await.map(|_| ())
}

pub(super) async fn resume(turn: &Turn) -> Result<(), QmpError> {
    turn.command("cont", json!({})).await.map(|_| ())
}

/// Makes `socket` the backend.
pub(super) async fn give(turn: &Turn, label: &str, socket: OwnedFd) -> Result<(), QmpError> {
    let name = descriptor_name(label);
    let given = turn
        .command_with("getfd", json!({ "fdname": name }), Some(socket))
        .await;
    given?;
    let address = json!({ "type": "fd", "data": { "str": name } });
    let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
    let changed = change(turn, label, &backend).await;
    if changed.is_err() {
        // Not there any more if QEMU refused late.
        let _ = turn.command("closefd", json!({ "fdname": name })).await;
    }
    changed.map(|_| ())
}

/// Makes the backend what it was. Where QEMU made a terminal, its path comes back.
pub(super) async fn put_back(turn: &Turn, label: &str, spec: &Spec) -> Result<Option<String>, QmpError> {
    let answer = change(turn, label, &spec.to_qmp()).await?;
    Ok(answer["pty"].as_str().map(str::to_owned))
}

async fn change(turn: &Turn, label: &str, backend: &Value) -> Result<Value, QmpError> {
    let arguments = json!({ "id": label, "backend": backend });
    turn.command("chardev-change", arguments).await
}

/// QEMU's own break.
pub(super) async fn send_break(turn: &Turn, label: &str) -> Result<(), QmpError> {
    let arguments = json!({ "id": label });
    turn.command("chardev-send-break", arguments).await.map(|_| ())
}

/// All character devices.
pub(super) async fn look(turn: &Turn) -> Result<Vec<Seen>, QmpError> {
    let kinds: HashMap<String, String> = list(turn, "/chardevs").await?.iter().filter_map(kind).collect();
    let chardevs = turn.command("query-chardev", json!({})).await?;
    let mut fronts: HashMap<String, Front> = fronts(turn).await?;
    let mut seen = Vec::new();
    for chardev in chardevs.as_array().into_iter().flatten() {
        let (Some(label), Some(filename)) = (chardev["label"].as_str(), chardev["filename"].as_str()) else {
            continue;
        };
        let backend = kinds.get(label).cloned().unwrap_or_default();
        seen.push(Seen {
            label: label.to_owned(),
            descriptor: match backend == "chardev-socket" {
                true => descriptor(turn, label).await?,
                false => None,
            },
            backend,
            filename: filename.to_owned(),
            is_open: chardev["frontend-open"] != false,
            front: fronts.remove(label),
        });
    }
    Ok(seen)
}

fn kind(object: &Value) -> Option<(String, String)> {
    let kind = object["type"].as_str()?.strip_prefix("child<")?.strip_suffix('>')?;
    Some((object["name"].as_str()?.to_owned(), kind.to_owned()))
}

/// The name of the descriptor that a socket was made of.
async fn descriptor(turn: &Turn, label: &str) -> Result<Option<String>, QmpError> {
    let asked = json!({ "path": format!("/chardevs/{label}"), "property": "addr" });
    match turn.command("qom-get", asked).await {
        Ok(address) if address["type"] == "fd" => Ok(address["str"].as_str().map(str::to_owned)),
        Ok(_) | Err(QmpError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
