//! The thread of one audio listener: reads, answers, hands on. It waits for nothing but the socket and is watched.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::call::{self, Device};
use crate::qemu::listener::receive::Receiver;
use crate::qemu::listener::{Beat, PeerError, WatchList, auth, panic_text};

/// Longest time that an answer may wait for room in the socket.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Longest message: five seconds of sound. QEMU's have 10 to 21 ms.
const MAX_MESSAGE: usize = 1 << 20;

/// A running listener. Dropping it closes the socket, and the thread ends.
pub(super) struct Line {
    beat: Arc<Beat>,
    ended: oneshot::Receiver<Result<(), PeerError>>,
}

impl Line {
    /// Starts the thread on our end of a socket pair. Only then may QEMU get the other end.
    pub(super) fn start(socket: UnixStream, device: Box<dyn Device>, watchdog: &WatchList) -> std::io::Result<Self> {
        let beat = Arc::new(Beat::new(socket.try_clone()?));
        watchdog.watch(&beat);
        let (sender, ended) = oneshot::channel();
        let own = beat.clone();
        let builder = std::thread::Builder::new().name(device.thread_name().to_owned());
        builder.spawn(move || {
            let reason = run(socket, device, &own);
            // Without a receiver nobody wants to know.
            let _ = sender.send(reason);
        })?;
        Ok(Self { beat, ended })
    }

    /// How it ended. Cancel-safe; not to be called again after it resolved.
    pub(super) async fn ended(&mut self) -> Result<(), PeerError> {
        let ended = (&mut self.ended).await;
        ended.unwrap_or_else(|_| Err(PeerError::Bug("the thread left without a word".to_owned())))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.beat.shut_down();
    }
}

fn run(mut socket: UnixStream, mut device: Box<dyn Device>, beat: &Beat) -> Result<(), PeerError> {
    let served = catch_unwind(AssertUnwindSafe(|| serve(&mut socket, &mut *device, beat)));
    let reason = match served {
        _ if beat.has_tripped() => Err(PeerError::Stalled),
        Ok(reason) => reason,
        Err(panic) => Err(PeerError::Bug(panic_text(&*panic))),
    };
    // Whatever else holds a duplicate of the socket, the peer learns now.
    let _ = socket.shutdown(Shutdown::Both);
    reason
}

fn serve(socket: &mut UnixStream, device: &mut dyn Device, beat: &Beat) -> Result<(), PeerError> {
    auth::authenticate(socket)?;
    socket.set_write_timeout(Some(ANSWER_TIME))?;
    let mut receiver = Receiver::default();
    let mut serial = 0_u32;
    while let Some(length) = receiver.next_within(socket, MAX_MESSAGE)? {
        serial = serial.wrapping_add(1).max(1);
        beat.during(|| {
            let (message, _descriptors) = receiver.message(length);
            call::handle(device, message, Instant::now(), serial, |answer| {
                Ok(std::io::Write::write_all(&mut &*socket, answer)?)
            })
        })?;
    }
    Ok(())
}
