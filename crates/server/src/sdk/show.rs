//! The thread that asks the program's display for updates and feeds them to the desktop, while somebody looks. Pictures that
//! no client can take yet wait on a [`Shelf`].
//!
//! ```text
//!   nobody looks ──first client──▶ size, updates ──▶ next update ──▶ feed ──┐
//!        ▲                              ▲                 ▲                 │
//!        └───────────last client leaves─┼─────────────────┴─────────────────┘
//!                                       └── back-off ◀── error or panic
//! ```

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdpmux_model::{Audience, HeadShape};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::display::{DesktopSize, DisplayUpdate, RdpServerDisplay, RdpServerDisplayUpdates};
use super::feed::Feed;
use super::oversight::Calls;
use super::shelf::Shelf;
use crate::listen::Stop;

/// The program's display: one thread calls it at a time.
pub(super) type Screen = Arc<Mutex<Box<dyn RdpServerDisplay>>>;

/// What the thread works with.
pub(super) struct Show {
    pub(super) feed: Feed,
    pub(super) calls: Calls,
    pub(super) audience: watch::Receiver<Audience>,
    /// What a client wants the desktop to be like.
    pub(super) wishes: watch::Receiver<Option<HeadShape>>,
    /// The screen of the first client, for a display that is to know.
    pub(super) arrival: watch::Receiver<Option<DesktopSize>>,
    /// How many clients wait for the next picture.
    pub(super) waiting: watch::Receiver<usize>,
    pub(super) shelf: Shelf,
    pub(super) stop: Stop,
    pub(super) refused: u64,
}

/// Why the updates were left.
enum Left {
    Stopped,
    Unseen,
    Failed,
}

/// What is to be shown next.
enum Next {
    Shelved(DisplayUpdate),
    /// The program's answer; `None` if it panicked.
    Said(Option<anyhow::Result<Option<DisplayUpdate>>>),
}

/// Starts the thread; it ends with the server, when the display has returned.
pub(super) fn start(screen: &Screen, mut show: Show) -> std::io::Result<()> {
    let (screen, runtime) = (Arc::clone(screen), Handle::current());
    let run = move || {
        runtime.block_on(async {
            let mut display = screen.lock().await;
            show.run(display.as_mut()).await;
        });
    };
    thread::Builder::new().name("rdp-display".into()).spawn(run).map(drop)
}

impl Show {
    async fn run(&mut self, display: &mut dyn RdpServerDisplay) {
        let mut pause = PAUSE;
        loop {
            tokio::select! {
                biased;
                () = self.stop.stopped() => return,
                seen = self.audience.wait_for(|audience| audience.is_there()) => if seen.is_err() { return },
            }
            let left = self.serve(display, &mut pause).await;
            if let Some(update) = self.shelf.take() {
                self.feed(&update);
            }
            match left {
                Left::Stopped => return,
                Left::Unseen => {}
                Left::Failed => {
                    tokio::select! {
                        biased;
                        () = self.stop.stopped() => return,
                        () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    }
                }
            }
        }
    }

    /// Feeds updates as long as somebody looks.
    async fn serve(&mut self, display: &mut dyn RdpServerDisplay, pause: &mut Duration) -> Left {
        let Some(mut updates) = self.begin(display).await else {
            return Left::Failed;
        };
        let mut has_ended = false;
        loop {
            let Self {
                calls,
                audience,
                wishes,
                waiting,
                shelf,
                stop,
                ..
            } = self;
            let next = async {
                match has_ended {
                    false => calls.call_async("display", updates.next_update()).await,
                    true => std::future::pending().await,
                }
            };
            let update = tokio::select! {
                biased;
                () = stop.stopped() => return Left::Stopped,
                _ = audience.wait_for(|audience| !audience.is_there()) => return Left::Unseen,
                shape = wish(wishes) => {
                    self.calls.call("display", || display.request_layout(shape.into()));
                    continue;
                }
                update = shelf.next(waiting) => Next::Shelved(update),
                update = next => Next::Said(update),
            };
            match update {
                Next::Shelved(update) => self.feed(&update),
                Next::Said(Some(Ok(Some(update)))) => {
                    *pause = PAUSE;
                    self.take(update);
                }
                Next::Said(Some(Ok(None))) => {
                    debug!("the display has no more updates");
                    has_ended = true;
                }
                Next::Said(Some(Err(error))) => {
                    error!(
                        error = format!("{error:#}"),
                        "the display failed; it is asked again soon"
                    );
                    return Left::Failed;
                }
                Next::Said(None) => return Left::Failed,
            }
        }
    }

    /// Shows an update, or shelves it.
    fn take(&mut self, update: DisplayUpdate) {
        let somebody_waits = *self.waiting.borrow() > 0;
        let desktop = self.feed.size();
        for update in self.shelf.put(update, desktop, somebody_waits).into_iter().flatten() {
            self.feed(&update);
        }
    }

    async fn begin(&mut self, display: &mut dyn RdpServerDisplay) -> Option<Box<dyn RdpServerDisplayUpdates>> {
        let arrival = *self.arrival.borrow_and_update();
        let size = match arrival {
            Some(screen) => {
                self.calls
                    .call_async("display", display.request_initial_size(screen))
                    .await?
            }
            None => self.calls.call_async("display", display.size()).await?,
        };
        self.feed(&DisplayUpdate::Resize(size));
        match self.calls.call_async("display", display.updates()).await? {
            Ok(updates) => Some(updates),
            Err(error) => {
                error!(
                    error = format!("{error:#}"),
                    "the display has no updates; it is asked again soon"
                );
                None
            }
        }
    }

    fn feed(&mut self, update: &DisplayUpdate) {
        let Some(Err(refused)) = self.calls.call("update", || self.feed.apply(update)) else {
            return;
        };
        self.refused += 1;
        // As often as the program pleases, so ever more rarely.
        if self.refused.is_power_of_two() {
            warn!(%refused, so_far = self.refused, "an update of the display is left out");
        }
    }
}

/// The next wish. Cancel-safe.
async fn wish(wishes: &mut watch::Receiver<Option<HeadShape>>) -> HeadShape {
    while wishes.changed().await.is_ok() {
        if let Some(shape) = *wishes.borrow_and_update() {
            return shape;
        }
    }
    std::future::pending().await
}

/// Before a display that failed is asked again; longer each time.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
