//! QEMU's switches, by QMP: over the connection that the backend keeps, else over one for this command only.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::Address;
use super::qmp::{Control, Qmp, QmpError};
use crate::power::{PowerAction, PowerError, PowerRequest};

/// QEMU does these at once; the backend follows nothing else meanwhile.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Carries a request out. A kept connection that breaks is left for its owner to notice.
pub(super) async fn carry_out(request: PowerRequest, kept: Option<&Control>, address: &Address) {
    let command = command(request.action);
    let result = match (kept, address) {
        (Some(control), _) => kept_run(control, command).await,
        (None, Address::Qmp(path)) => once(path, command).await,
        (None, Address::Bus { .. }) => Err(PowerError::NoSwitches),
    };
    // Whoever asked may have given up.
    let _ = request.answer.send(result);
}

/// Waits so long; whoever asks meanwhile hears that the machine is not there.
pub(super) async fn away(delay: Duration, requests: &mut mpsc::Receiver<PowerRequest>) {
    let refuse = async {
        while let Some(request) = requests.recv().await {
            let _ = request.answer.send(Err(PowerError::NotThere));
        }
        std::future::pending().await
    };
    tokio::select! {
        () = refuse => {}
        () = sleep(delay) => {}
    }
}

fn command(action: PowerAction) -> &'static str {
    match action {
        PowerAction::Button => "system_powerdown",
        PowerAction::Reset => "system_reset",
        PowerAction::Pause => "stop",
        PowerAction::Resume => "cont",
    }
}

async fn once(path: &Path, command: &'static str) -> Result<(), PowerError> {
    let mut qmp = match timeout(ANSWER_TIME, Qmp::connect(path)).await {
        Ok(Ok(qmp)) => qmp,
        Ok(Err(QmpError::Busy)) => return Err(PowerError::Busy),
        Ok(Err(QmpError::Connect(_))) => return Err(PowerError::NotThere),
        Ok(Err(error)) => return Err(PowerError::Refused(error.to_string())),
        Err(_) => return Err(PowerError::Silent),
    };
    run(qmp.command(command, json!({}))).await
}

/// A character device that is just being taken over goes first.
async fn kept_run(control: &Control, command: &'static str) -> Result<(), PowerError> {
    run(async { control.turn().await.command(command, json!({})).await }).await
}

async fn run(command: impl Future<Output = Result<Value, QmpError>>) -> Result<(), PowerError> {
    match timeout(ANSWER_TIME, command).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(PowerError::Refused(error.to_string())),
        Err(_) => Err(PowerError::Silent),
    }
}
