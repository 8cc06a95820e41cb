//! Pixels and state of a span. What changed on a head is copied into its place; however much it was, once, as it is now.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rdpmux_engine::{SurfaceReader, SurfaceWriter, surface};
use rdpmux_model::{Audience, Generation, Guest, HeadShape, HeadState, Point, Rect, Size};
use rdpmux_rdp::Monitor;
use tokio::sync::watch;

use super::super::heads::{Heads, Member};
use super::super::onlookers::Look;
use super::{Monitors, Place, monitors, place};

/// One head of the span.
struct Head {
    index: u32,
    member: Member,
    told: Option<HeadShape>,
    rect: Rect<Guest>,
    /// What of it was copied.
    copied: Generation,
    /// Its desktop ended.
    is_gone: bool,
    /// While somebody looks at the span.
    look: Option<Look>,
}

/// The span's writing side.
pub(super) struct Pixels {
    heads: Heads,
    parts: Vec<Head>,
    changed: watch::Receiver<u64>,
    under: watch::Receiver<usize>,
    audience: watch::Receiver<Audience>,
    writer: SurfaceWriter,
    frames: watch::Sender<Generation>,
    state: watch::Sender<HeadState>,
    monitors: watch::Sender<Arc<[Monitor]>>,
    places: watch::Sender<Vec<Place>>,
}

/// Its reading side.
pub(super) struct Ends {
    pub(super) surface: SurfaceReader,
    pub(super) frames: watch::Receiver<Generation>,
    pub(super) state: watch::Receiver<HeadState>,
    pub(super) monitors: Monitors,
    pub(super) places: watch::Receiver<Vec<Place>>,
}

enum Wake {
    /// Nobody looks.
    Over,
    /// Heads came or went, or were told to change.
    Changed,
    /// The pointer went to another head, or viewers came or went.
    Viewers,
    /// Pixels or state of this one.
    Head(usize, Result<(), watch::error::RecvError>),
}

impl Pixels {
    pub(super) fn new(
        heads: Heads,
        parts: Vec<(u32, Member, Option<HeadShape>)>,
        changed: watch::Receiver<u64>,
        (under, audience): (watch::Receiver<usize>, watch::Receiver<Audience>),
    ) -> (Self, Ends) {
        let (writer, reader) = surface(Size::new(1, 1));
        let (frames, frames_seen) = watch::channel(Generation(0));
        let (state, state_seen) = watch::channel(HeadState::default());
        let (monitors, monitors_seen) = watch::channel(Arc::from([]));
        let (places, places_seen) = watch::channel(Vec::new());
        let mut pixels = Self {
            heads,
            parts: Vec::new(),
            changed,
            under,
            audience,
            writer,
            frames,
            state,
            monitors,
            places,
        };
        pixels.take(parts);
        pixels.arrange();
        pixels.show_state();
        let ends = Ends {
            surface: reader,
            frames: frames_seen,
            state: state_seen,
            monitors: monitors_seen,
            places: places_seen,
        };
        (pixels, ends)
    }

    pub(super) async fn run(mut self) {
        for index in 0..self.parts.len() {
            self.copy(index).await;
        }
        loop {
            match self.next().await {
                Wake::Over => return,
                Wake::Head(0, Err(_)) => return,
                Wake::Head(index, Err(_)) => self.parts[index].is_gone = true,
                Wake::Changed => {
                    let parts = self.heads.parts();
                    if parts.first().is_none_or(|(index, ..)| *index != 0) {
                        return;
                    }
                    self.take(parts);
                    self.rearrange().await;
                }
                Wake::Viewers => self.look(),
                Wake::Head(index, Ok(())) => {
                    if self.parts[index].rect.size() == self.parts[index].member.surface.size() {
                        self.copy(index).await;
                    } else {
                        self.rearrange().await;
                    }
                }
            }
            self.show_state();
        }
    }

    /// Waits for the next thing to do. Cancel-safe.
    async fn next(&mut self) -> Wake {
        let Self {
            parts,
            changed,
            under,
            audience,
            frames,
            ..
        } = self;
        tokio::select! {
            biased;
            () = frames.closed() => Wake::Over,
            // The heads are held here, so the sender lives.
            _ = changed.changed() => Wake::Changed,
            Ok(()) = under.changed() => Wake::Viewers,
            Ok(()) = audience.changed() => Wake::Viewers,
            (index, result) = any(parts) => Wake::Head(index, result),
        }
    }

    /// Takes the heads to be shown; those that stay go on where they were.
    fn take(&mut self, parts: Vec<(u32, Member, Option<HeadShape>)>) {
        let mut before = std::mem::take(&mut self.parts);
        let head = |(index, member, told): (u32, Member, Option<HeadShape>)| {
            let known = before
                .iter()
                .position(|head| head.index == index && head.member.frames.same_channel(&member.frames));
            match known {
                Some(at) => Head {
                    told,
                    ..before.swap_remove(at)
                },
                None => Head {
                    index,
                    member,
                    told,
                    rect: Rect::new(0, 0, 0, 0),
                    copied: Generation(0),
                    is_gone: false,
                    look: None,
                },
            }
        };
        self.parts = parts.into_iter().map(head).collect();
        self.look();
    }

    /// Lets the heads know whether anybody looks, and how fast.
    fn look(&mut self) {
        let audience = *self.audience.borrow_and_update();
        for head in &mut self.parts {
            match &mut head.look {
                _ if !audience.is_there() => head.look = None,
                None => head.look = Some(head.member.onlookers.look(audience.rate())),
                Some(look) => look.set_rate(audience.rate()),
            }
        }
    }

    async fn rearrange(&mut self) {
        if self.arrange() {
            for index in 0..self.parts.len() {
                self.copy(index).await;
            }
        }
    }

    /// Finds the heads' places. Whether anything moved: the surface is black then.
    fn arrange(&mut self) -> bool {
        let sizes: Vec<_> = self
            .parts
            .iter()
            .map(|head| (head.member.surface.size(), head.told))
            .collect();
        let (size, rects) = place::arrange(&sizes);
        let is_same = self.parts.iter().map(|head| head.rect).eq(rects.iter().copied());
        if is_same && size == self.writer.size() {
            return false;
        }
        for (head, rect) in self.parts.iter_mut().zip(&rects) {
            (head.rect, head.copied) = (*rect, Generation(0));
        }
        // Before the size: monitors count only while they make up the size, and nobody should see one without the other.
        self.monitors.send_replace(monitors(&rects).into());
        if let Err(error) = self.writer.resize(size) {
            tracing::error!(%error, "heads were placed outside of every surface");
        }
        let places = self.parts.iter().map(|head| Place {
            rect: head.rect,
            input: head.member.input.clone(),
        });
        self.places.send_replace(places.collect());
        tracing::debug!(%size, ?rects, "heads arranged");
        true
    }

    /// Copies what changed of a head.
    async fn copy(&mut self, index: usize) {
        let head = &mut self.parts[index];
        let rect = head.rect;
        let changes = head.member.surface.changes_since(head.copied);
        if changes.size != rect.size() {
            return;
        }
        head.copied = changes.generation;
        let mut news = None;
        for runs in changes.rects.chunks(AT_ONCE) {
            let place = |run: &Rect<Guest>| Rect::new(rect.x + run.x, rect.y + run.y, run.width, run.height);
            let runs: Vec<_> = runs.iter().map(place).collect();
            let source = &self.parts[index].member.surface;
            news = self.writer.commit(&runs, source, Point::new(rect.x, rect.y)).or(news);
            // Other sessions run on this thread, too.
            tokio::task::yield_now().await;
        }
        if let Some(generation) = news {
            self.frames.send_replace(generation);
        }
    }

    /// Presence and lamps are those of head 0, the pointer that of the head under it.
    fn show_state(&mut self) {
        let under = *self.under.borrow_and_update();
        let Some(first) = self.parts.first() else { return };
        let mut state = first.member.state.borrow().clone();
        if let Some(head) = self.parts.get(under) {
            let head = head.member.state.borrow();
            state.pointer.clone_from(&head.pointer);
            state.mouse = head.mouse;
        }
        state.resting = self.parts.iter().any(|head| head.member.state.borrow().resting);
        self.state.send_if_modified(|shown| {
            let is_news = *shown != state;
            *shown = state;
            is_news
        });
    }
}

/// Resolves when pixels or state of a head changed. Cancel-safe: a watch forgets nothing that was not taken.
async fn any(parts: &mut [Head]) -> (usize, Result<(), watch::error::RecvError>) {
    type Change<'a> = Pin<Box<dyn Future<Output = Result<(), watch::error::RecvError>> + Send + 'a>>;
    let mut waits: Vec<(usize, Change<'_>)> = Vec::with_capacity(parts.len() * 2);
    for (index, head) in parts.iter_mut().enumerate().filter(|(_, head)| !head.is_gone) {
        let Member { frames, state, .. } = &mut head.member;
        waits.push((index, Box::pin(frames.changed())));
        waits.push((index, Box::pin(state.changed())));
    }
    poll_fn(|context| {
        for (index, wait) in &mut waits {
            if let Poll::Ready(result) = wait.as_mut().poll(context) {
                return Poll::Ready((*index, result));
            }
        }
        Poll::Pending
    })
    .await
}

/// Runs of tiles, each at most 64 rows high, between two looks at other tasks: at full HD about half a millisecond.
const AT_ONCE: usize = 4;
