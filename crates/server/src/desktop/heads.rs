//! The heads of one machine: which there are, who decides their sizes, whose hands are on them, and the desktop that spans
//! them. Desktops register here; sessions reach it through their desktop. The one clock is that of [`apply`].

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_engine::SurfaceReader;
use rdpmux_model::{DesktopName, Generation, HeadShape, HeadState, InputEvent, MonitorLayout, SessionId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use super::arbiter::InputArbiter;
use super::onlookers::Onlookers;
use super::sizes::{Shown, Sizes};
use super::{DesktopHandle, Peripherals, Shared, WeakDesktop, span};

/// The heads of one machine. Clones are the same ones; every head's desktop is given one ([`HeadSource`]).
#[derive(Clone)]
pub struct Heads(Arc<Machine>);

/// Which head of a machine a desktop shows.
pub struct HeadSource {
    /// The machine's heads.
    pub heads: Heads,
    /// The number of this one.
    pub index: u32,
    /// What the head should be like; `None`: as the guest pleases. The guest may not be able to.
    pub shape: watch::Sender<Option<HeadShape>>,
}

struct Machine {
    name: DesktopName,
    may_resize: bool,
    /// One for all heads: they have one keyboard.
    arbiter: Arc<Mutex<InputArbiter>>,
    state: Mutex<State>,
    /// Told after heads came or went, or were told something.
    changed: watch::Sender<u64>,
    /// Told when wishes changed.
    wished: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u32, Member>,
    sizes: Sizes,
    span: WeakDesktop,
    /// Heads that the span shows.
    spanned: usize,
}

/// A head as the span follows it.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) surface: SurfaceReader,
    pub(super) frames: watch::Receiver<Generation>,
    pub(super) state: watch::Receiver<HeadState>,
    pub(super) input: mpsc::Sender<InputEvent>,
    pub(super) onlookers: Onlookers,
    pub(super) peripherals: Peripherals,
    shape: watch::Sender<Option<HeadShape>>,
    desktop: WeakDesktop,
}

impl Heads {
    /// The heads of the machine `name`, none yet. If not `may_resize`, no viewer changes their sizes. Call it on a tokio
    /// runtime.
    pub fn new(name: DesktopName, may_resize: bool) -> Self {
        let machine = Arc::new(Machine {
            name,
            may_resize,
            arbiter: Arc::default(),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            wished: watch::Sender::new(0),
        });
        // It ends with the machine, whose drop closes the watch.
        tokio::spawn(apply(Arc::downgrade(&machine), machine.wished.subscribe()));
        Self(machine)
    }

    pub(super) fn arbiter(&self) -> Arc<Mutex<InputArbiter>> {
        self.0.arbiter.clone()
    }

    /// Adds a head's desktop.
    pub(super) fn add(
        &self,
        index: u32,
        desktop: &Arc<Shared>,
        input: mpsc::Sender<InputEvent>,
        shape: watch::Sender<Option<HeadShape>>,
    ) {
        let member = Member {
            surface: desktop.surface.clone(),
            frames: desktop.frames.clone(),
            state: desktop.state.clone(),
            input,
            onlookers: desktop.onlookers.clone(),
            peripherals: desktop.peripherals.clone(),
            shape,
            desktop: Arc::downgrade(desktop),
        };
        self.0.state.lock().members.insert(index, member);
        self.0.changed();
    }

    /// Takes a head's desktop away; a later one of the same number stays.
    pub(super) fn remove(&self, index: u32, desktop: &Arc<Shared>) {
        {
            let mut state = self.0.state.lock();
            let is_it = |member: &Member| std::ptr::eq(member.desktop.as_ptr(), Arc::as_ptr(desktop));
            if state.members.get(&index).is_none_or(|member| !is_it(member)) {
                return;
            }
            state.members.remove(&index);
        }
        self.0.changed();
    }

    /// The desktop that spans the first heads, one for each of `monitors`; `None` if there are not two of both. It lives
    /// as long as somebody has its handle.
    pub(super) fn span(&self, monitors: usize) -> Option<DesktopHandle> {
        let (handle, is_new) = {
            let mut state = self.0.state.lock();
            if monitors < 2 || state.members.len() < 2 {
                return None;
            }
            match state.span.upgrade() {
                Some(shared) => {
                    state.spanned = state.spanned.max(monitors);
                    (DesktopHandle(shared), false)
                }
                None => {
                    state.spanned = monitors;
                    let parts = state.parts();
                    let handle = span::start(self, &self.0.name, parts, self.0.changed.subscribe());
                    state.span = Arc::downgrade(&handle.0);
                    (handle, true)
                }
            }
        };
        self.0.changed();
        debug!(machine = %self.0.name, monitors, is_new, "desktop over all heads");
        Some(handle)
    }

    /// Sessions that show the span.
    pub(super) fn span_viewers(&self) -> usize {
        let span = self.0.state.lock().span.upgrade();
        span.map_or(0, |shared| shared.viewers.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// How many monitors a viewer may ask for.
    pub(super) fn may_ask(&self, shown: Shown) -> u32 {
        match shown {
            _ if !self.0.may_resize => 0,
            Shown::Head(_) => 1,
            Shown::Span => self.0.state.lock().members.len() as u32,
        }
    }

    /// Takes the monitors of a viewer who may decide on sizes.
    pub(super) fn wish(&self, session: SessionId, shown: Shown, layout: &MonitorLayout) {
        if self.0.may_resize {
            self.0.state.lock().sizes.wish(session, shown, layout);
            self.0.wished.send_modify(|count| *count += 1);
        }
    }

    /// A viewer left.
    pub(super) fn leave(&self, session: SessionId) {
        if self.0.state.lock().sizes.leave(session) {
            self.0.wished.send_modify(|count| *count += 1);
        }
    }

    /// The heads that the span shows now, each with what it was told to be.
    pub(super) fn parts(&self) -> Vec<(u32, Member, Option<HeadShape>)> {
        self.0.state.lock().parts()
    }
}

impl State {
    fn parts(&self) -> Vec<(u32, Member, Option<HeadShape>)> {
        let first = self.members.iter().take(self.spanned);
        first
            .map(|(index, member)| (*index, member.clone(), self.sizes.told(*index)))
            .collect()
    }
}

impl Machine {
    fn changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells each head what it should be like.
    fn tell(&self) {
        {
            let mut state = self.state.lock();
            let State { members, sizes, .. } = &mut *state;
            for (index, member) in members {
                let viewers = member.desktop.upgrade().map_or(0, |shared| shared.own_viewers());
                let shape = sizes.decide(*index, viewers > 0);
                let is_news = member
                    .shape
                    .send_if_modified(|told| std::mem::replace(told, shape) != shape);
                if let Some(shape) = shape.filter(|_| is_news) {
                    info!(machine = %self.name, head = index, %shape, "head resized for a viewer");
                }
            }
        }
        self.changed();
    }
}

/// Waits until wishes rest, as a window that is dragged asks for a new size with every step, and then tells the heads.
async fn apply(machine: Weak<Machine>, mut wished: watch::Receiver<u64>) {
    while wished.changed().await.is_ok() {
        let latest = Instant::now() + PATIENCE;
        loop {
            let due = latest.min(Instant::now() + REST);
            match timeout_at(due, wished.changed()).await {
                Ok(Ok(())) if Instant::now() < latest => {}
                Ok(Err(_)) => return,
                _ => break,
            }
        }
        let Some(machine) = machine.upgrade() else { return };
        machine.tell();
    }
}

/// A wish that stays the last for so long is applied.
const REST: Duration = Duration::from_millis(250);
/// Wishes that keep changing are applied this often.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
