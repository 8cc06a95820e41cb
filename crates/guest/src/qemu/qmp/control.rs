//! One QMP connection for several users: a task owns it, so no command is cut off by whoever gave it up. Commands of one
//! [`Turn`] are not mixed with those of others; what happens to the machine goes to one receiver.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

use super::{KEPT_EVENTS, Qmp, QmpError};
use crate::port::Notice;

struct Request {
    command: &'static str,
    arguments: Value,
    descriptor: Option<OwnedFd>,
    answer: oneshot::Sender<Result<Value, QmpError>>,
}

/// A QMP connection. Clones are the same; it closes with the last of them.
#[derive(Debug, Clone)]
pub(in crate::qemu) struct Control {
    requests: Arc<Mutex<mpsc::Sender<Request>>>,
    peer: Option<i32>,
}

/// The right to give commands, until it is dropped.
pub(in crate::qemu) struct Turn(OwnedMutexGuard<mpsc::Sender<Request>>);

impl Control {
    /// What happens to the machine comes out of the receiver, which ends with the connection.
    pub(in crate::qemu) fn start(qmp: Qmp) -> (Self, mpsc::Receiver<Notice>) {
        let (requests, asked) = mpsc::channel(1);
        let (notices, told) = mpsc::channel(KEPT_EVENTS);
        let peer = qmp.peer();
        tokio::spawn(serve(qmp, asked, notices));
        let requests = Arc::new(Mutex::new(requests));
        (Self { requests, peer }, told)
    }

    /// The process that made the socket, if it can be told.
    pub(in crate::qemu) fn peer(&self) -> Option<i32> {
        self.peer
    }

    /// Waits until nobody else has a turn.
    pub(in crate::qemu) async fn turn(&self) -> Turn {
        Turn(self.requests.clone().lock_owned().await)
    }
}

impl Turn {
    /// Runs a command and returns its value.
    pub(in crate::qemu) async fn command(&self, command: &'static str, arguments: Value) -> Result<Value, QmpError> {
        self.command_with(command, arguments, None).await
    }

    /// Runs a command that comes with a descriptor.
    pub(in crate::qemu) async fn command_with(
        &self,
        command: &'static str,
        arguments: Value,
        descriptor: Option<OwnedFd>,
    ) -> Result<Value, QmpError> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            command,
            arguments,
            descriptor,
            answer,
        };
        let ended = || QmpError::Io(io::ErrorKind::UnexpectedEof.into());
        self.0.send(request).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Until the connection ends or nobody is left who could ask.
async fn serve(mut qmp: Qmp, mut asked: mpsc::Receiver<Request>, notices: mpsc::Sender<Notice>) {
    loop {
        tokio::select! {
            request = asked.recv() => {
                let Some(request) = request else { return };
                let descriptor = request.descriptor.as_ref().map(AsFd::as_fd);
                let result = qmp.command_with(request.command, request.arguments, descriptor).await;
                let is_over = matches!(&result, Err(error) if !matches!(error, QmpError::Refused { .. }));
                let _ = request.answer.send(result);
                if is_over {
                    // What comes after a late or a strange answer belongs to nothing.
                    return;
                }
            }
            notice = qmp.notice() => match notice {
                // Who does not listen to what happens misses it.
                Ok(notice) => { let _ = notices.try_send(notice); }
                Err(_) => return,
            },
        }
    }
}
