//! Watches that listeners finish each message in time. QEMU would otherwise queue for a listener that hangs until the
//! host is out of memory. A thread of its own, so that nothing that can hold up the rest holds it up.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Longest time for one message; twice that, in the worst case, until it is noticed.
const LIMIT: Duration = Duration::from_secs(1);
/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(250);

/// What a listener shows of itself: when it began the message in hand.
#[derive(Debug)]
pub(crate) struct Beat {
    socket: UnixStream,
    origin: Instant,
    /// Milliseconds from `origin` plus 1 while a message is being handled, 0 otherwise.
    since: AtomicU64,
    tripped: AtomicBool,
}

impl Beat {
    /// `socket` is a duplicate of the one that the listener reads.
    pub(in crate::qemu) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            origin: Instant::now(),
            since: AtomicU64::new(0),
            tripped: AtomicBool::new(false),
        }
    }

    /// Does the handling of one message.
    pub(in crate::qemu) fn during<T>(&self, handle: impl FnOnce() -> T) -> T {
        let now = self.origin.elapsed().as_millis() as u64;
        self.since.store(now + 1, Ordering::Relaxed);
        let done = handle();
        self.since.store(0, Ordering::Relaxed);
        done
    }

    pub(in crate::qemu) fn has_tripped(&self) -> bool {
        self.tripped.load(Ordering::Relaxed)
    }

    /// Wakes the listener with an end of stream, and tells QEMU at the same time.
    pub(in crate::qemu) fn shut_down(&self) {
        // The peer may be gone already, which is as well.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Closes the socket if the message in hand has taken too long; whether it did so.
    fn check(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        let now = self.origin.elapsed().as_millis() as u64;
        let late = since != 0 && now.saturating_sub(since - 1) > LIMIT.as_millis() as u64;
        if late && !self.tripped.swap(true, Ordering::Relaxed) {
            self.shut_down();
            return true;
        }
        false
    }
}

/// The watching thread of one guest. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Watchdog {
    watched: Arc<Mutex<Vec<Weak<Beat>>>>,
    stop: Arc<AtomicBool>,
    thread: Thread,
}

impl Watchdog {
    /// Starts the thread; `trips` counts the sockets that it closed.
    pub(crate) fn start(trips: Arc<AtomicU64>) -> std::io::Result<Self> {
        let watched = Arc::new(Mutex::new(Vec::<Weak<Beat>>::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (list, stopped) = (watched.clone(), stop.clone());
        let builder = std::thread::Builder::new().name("qemu-watchdog".to_owned());
        let thread = builder.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(&list, &trips);
                std::thread::park_timeout(INTERVAL);
            }
        })?;
        Ok(Self {
            watched,
            stop,
            thread: thread.thread().clone(),
        })
    }

    pub(super) fn watch(&self, beat: &Arc<Beat>) {
        self.list().watch(beat);
    }

    /// For who adds to it from elsewhere.
    pub(crate) fn list(&self) -> WatchList {
        WatchList(self.watched.clone())
    }
}

/// What a watchdog looks at.
#[derive(Debug, Clone)]
pub(crate) struct WatchList(Arc<Mutex<Vec<Weak<Beat>>>>);

impl WatchList {
    pub(in crate::qemu) fn watch(&self, beat: &Arc<Beat>) {
        self.0.lock().push(Arc::downgrade(beat));
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

fn look(watched: &Mutex<Vec<Weak<Beat>>>, trips: &AtomicU64) {
    watched.lock().retain(|beat| {
        let Some(beat) = beat.upgrade() else {
            return false;
        };
        if beat.check() {
            trips.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a message of qemu was not handled within a second; its socket was closed to spare qemu");
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_listener_that_hangs_loses_its_socket_and_is_counted() {
        let trips = Arc::new(AtomicU64::new(0));
        let watchdog = Watchdog::start(trips.clone()).expect("thread");
        let (ours, mut theirs) = UnixStream::pair().expect("pair");
        let beat = Arc::new(Beat::new(ours));
        watchdog.watch(&beat);
        theirs.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        let end = beat.during(|| theirs.read(&mut [0; 1]));
        assert_eq!(end.expect("end of stream before the time limit"), 0);
        assert!(beat.has_tripped());
        // It counts after it has closed the socket.
        let deadline = Instant::now() + Duration::from_secs(20);
        while trips.load(Ordering::Relaxed) == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(trips.load(Ordering::Relaxed), 1);
    }
}
