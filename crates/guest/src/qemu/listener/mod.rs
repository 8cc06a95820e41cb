//! The listener of one console: a thread that always reads. QEMU queues what we do not take without bound and stands
//! still until we answer, so this thread waits for nothing but the socket, answers from memory, and is watched.
//!
//! ```text
//! start ── authenticate ── { receive ── answer ── show } ── end of stream, error or shutdown ── the screen comes back
//! ```

pub(super) mod auth;
mod call;
pub(super) mod receive;
mod screen;
mod watchdog;
pub mod wire;

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

pub use call::{Call, Pixels};
pub use screen::{PeerError, Screen, SharedFrames};
pub(crate) use watchdog::{Beat, WatchList, Watchdog};

use receive::Receiver;

/// Longest time that an answer may wait for room in the socket.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// How long a picture in shared memory waits for the change that usually follows it.
const SETTLE: Duration = Duration::from_millis(5);
/// Nothing more is on its way after so long without a message.
const SILENCE: Duration = Duration::from_millis(10);

/// A running listener. Dropping it closes the socket, and the thread ends.
#[derive(Debug)]
pub(crate) struct Listener {
    beat: Arc<Beat>,
}

/// What is left of a listener.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Number of the head, as given at the start.
    pub head: usize,
    /// The head, to be shown elsewhere or told why.
    pub screen: Screen,
    /// `Ok` if the socket was closed, by the peer or by us.
    pub reason: Result<(), PeerError>,
}

impl Listener {
    /// Starts the thread on our end of a socket pair. Only then may QEMU get the other end.
    ///
    /// `ended` gets the screen back in any case and has room for one message of each listener.
    pub(crate) fn start(
        socket: UnixStream,
        screen: Screen,
        head: usize,
        watchdog: &Watchdog,
        ended: mpsc::Sender<Ended>,
    ) -> std::io::Result<Self> {
        let give_back = |screen, reason| {
            // No receiver: the backend was dropped, and the head with it.
            let _ = ended.try_send(Ended { head, screen, reason });
        };
        let beat = match socket.try_clone() {
            Ok(handle) => Arc::new(Beat::new(handle)),
            Err(error) => {
                give_back(screen, Ok(()));
                return Err(error);
            }
        };
        watchdog.watch(&beat);
        // Shared, so that the screen is not lost if the thread cannot start.
        let screen = Arc::new(Mutex::new(Some(screen)));
        let (taken, thread_beat, report) = (screen.clone(), beat.clone(), ended.clone());
        let builder = std::thread::Builder::new().name(format!("qemu-head-{head}"));
        let started = builder.spawn(move || {
            let screen = taken.lock().take();
            if let Some(screen) = screen {
                let _ = report.try_send(run(socket, screen, head, &thread_beat));
            }
        });
        if let Err(error) = started {
            if let Some(screen) = screen.lock().take() {
                give_back(screen, Ok(()));
            }
            return Err(error);
        }
        Ok(Self { beat })
    }

    /// Closes the socket; QEMU frees everything that it kept for us.
    pub(crate) fn close(&self) {
        self.beat.shut_down();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(mut socket: UnixStream, mut screen: Screen, head: usize, beat: &Beat) -> Ended {
    let served = catch_unwind(AssertUnwindSafe(|| serve(&mut socket, &mut screen, beat)));
    let reason = match served {
        _ if beat.has_tripped() => Err(PeerError::Stalled),
        Ok(reason) => reason,
        Err(panic) => Err(PeerError::Bug(panic_text(&*panic))),
    };
    // Whatever else holds a duplicate of the socket, the peer learns now.
    let _ = socket.shutdown(Shutdown::Both);
    Ended { head, screen, reason }
}

fn serve(socket: &mut UnixStream, screen: &mut Screen, beat: &Beat) -> Result<(), PeerError> {
    auth::authenticate(socket)?;
    socket.set_write_timeout(Some(ANSWER_TIME))?;
    let mut receiver = Receiver::default();
    let mut serial = 0_u32;
    loop {
        if screen.is_unsettled() && !is_readable(socket, SETTLE)? {
            beat.during(|| screen.settle())?;
        }
        while screen.reports_silence() && !is_readable(socket, SILENCE)? {
            screen.report_silence();
        }
        let Some(length) = receiver.next(socket)? else {
            return Ok(());
        };
        serial = serial.wrapping_add(1).max(1);
        beat.during(|| {
            let (message, descriptors) = receiver.message(length);
            screen.handle(message, descriptors, serial, |answer| {
                Ok(std::io::Write::write_all(&mut &*socket, answer)?)
            })
        })?;
    }
}

fn is_readable(socket: &UnixStream, wait: Duration) -> Result<bool, PeerError> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: wait.subsec_nanos().into(),
    };
    let mut descriptors = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut descriptors, Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}
