//! A machine's switches: the power button, reset, pause. The port is what the daemon asks through; the backend that owns
//! the machine answers, whether it is there or not.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// What can be done to a machine besides typing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PowerAction {
    /// Press the power button; what that does is the guest's choice.
    Button,
    /// Press reset.
    Reset,
    /// Stop the processors.
    Pause,
    /// Let them run on.
    Resume,
}

/// Why a machine was not switched. Each says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// The machine is not running.
    #[error("the machine is not there: start it first")]
    NotThere,
    /// There is no way to its switches.
    #[error("rdpmux reaches this machine over d-bus, which has no switches: give it a [[vm]] with `qmp`")]
    NoSwitches,
    /// Another program holds the QMP socket.
    #[error("another program uses the machine's qmp socket: give rdpmux one of its own with a further -qmp option")]
    Busy,
    /// The hypervisor refused or broke off.
    #[error("the machine refused: {0}")]
    Refused(String),
    /// No answer in time, or too many requests wait.
    #[error("the machine does not answer; try again")]
    Silent,
}

/// Where a machine is switched. Clones are the same machine's.
#[derive(Debug, Clone)]
pub struct PowerPort(mpsc::Sender<PowerRequest>);

/// One request, at the backend.
#[derive(Debug)]
pub(crate) struct PowerRequest {
    pub(crate) action: PowerAction,
    pub(crate) answer: oneshot::Sender<Result<(), PowerError>>,
}

/// Requests that may wait.
const QUEUE: usize = 4;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port and the backend's end of it.
pub(crate) fn port() -> (PowerPort, mpsc::Receiver<PowerRequest>) {
    let (sender, requests) = mpsc::channel(QUEUE);
    (PowerPort(sender), requests)
}

impl PowerPort {
    /// Switches the machine and waits until it is done, 10 s at most.
    ///
    /// # Errors
    /// [`PowerError`].
    pub async fn act(&self, action: PowerAction) -> Result<(), PowerError> {
        let (answer, answered) = oneshot::channel();
        let request = PowerRequest { action, answer };
        self.0.try_send(request).map_err(|_| PowerError::Silent)?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(PowerError::Silent),
        }
    }
}
