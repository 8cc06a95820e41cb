//! Who decides how large a machine's heads are. Viewers that may, and whose clients follow their window, stand in one line
//! for all heads: the first whose wish covers a head decides, the next takes over when it leaves. Pure: it knows no guest
//! and no clock; [`heads`](super::heads) applies what is decided here.

use std::collections::{BTreeMap, BTreeSet};

use rdpmux_model::{HeadShape, MonitorLayout, SessionId};

/// What a viewer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// All heads together: each is one of its monitors.
    Span,
    /// One head, which is its primary monitor.
    Head(u32),
}

/// The line, and what came of it so far.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    line: Vec<Wish>,
    /// What each head was told last.
    told: BTreeMap<u32, HeadShape>,
    /// Further heads that a viewer of all heads has switched on.
    switched_on: BTreeSet<u32>,
}

#[derive(Debug)]
struct Wish {
    session: SessionId,
    shown: Shown,
    monitors: Vec<HeadShape>,
}

impl Wish {
    /// What it wants of a head.
    fn of(&self, head: u32) -> Option<HeadShape> {
        match self.shown {
            Shown::Span => self.monitors.get(head as usize).copied(),
            Shown::Head(own) => (own == head).then(|| self.monitors.first().copied()).flatten(),
        }
    }
}

impl Sizes {
    /// Takes a viewer's wish in place of its last one. A new viewer stands at the end of the line.
    pub(super) fn wish(&mut self, session: SessionId, shown: Shown, layout: &MonitorLayout) {
        let monitors = layout.heads();
        match self.line.iter_mut().find(|wish| wish.session == session) {
            Some(wish) => wish.monitors = monitors,
            None => self.line.push(Wish {
                session,
                shown,
                monitors,
            }),
        }
    }

    /// A viewer left. Whether it had a wish.
    pub(super) fn leave(&mut self, session: SessionId) -> bool {
        let before = self.line.len();
        self.line.retain(|wish| wish.session != session);
        self.line.len() < before
    }

    /// What a head was told last; `None` if nothing yet, or if it is off.
    pub(super) fn told(&self, head: u32) -> Option<HeadShape> {
        self.told.get(&head).copied().filter(|shape| !shape.is_off())
    }

    /// What a head is to be told; `None`: it stays as it is. Heads are asked for in the order of their numbers.
    ///
    /// A head that only a viewer of all heads had switched on is switched off when others decide now and nobody looks at
    /// it: what is on it would be out of everybody's sight. It is not switched off at once, as that viewer may come back.
    pub(super) fn decide(&mut self, head: u32, is_viewed: bool) -> Option<HeadShape> {
        let wish = self.line.iter().find_map(|wish| Some((wish.shown, wish.of(head)?)));
        let decided = match wish {
            Some((Shown::Span, shape)) => {
                if head > 0 {
                    self.switched_on.insert(head);
                }
                Some(shape)
            }
            Some((Shown::Head(_), shape)) => {
                let (x, y) = self.place(head);
                Some(HeadShape { x, y, ..shape })
            }
            None if !self.line.is_empty() && !is_viewed && self.switched_on.remove(&head) => Some(HeadShape::OFF),
            None => None,
        };
        if let Some(shape) = decided {
            self.told.insert(head, shape);
        }
        decided
    }

    /// Where a head that one viewer looks at alone is: where it was, or right of the one before.
    fn place(&self, head: u32) -> (u32, u32) {
        let is_arranged = self.line.iter().any(|wish| wish.shown == Shown::Span);
        match (head, self.told(head)) {
            (_, Some(shape)) if is_arranged => (shape.x, shape.y),
            (0, _) => (0, 0),
            _ => {
                let before = self.told(head - 1);
                before.map_or((0, 0), |before| (before.x + before.size.width, before.y))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rdpmux_model::{ClientMonitor, Size};

    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);

    /// Monitors side by side, all 600 rows high.
    fn layout(widths: &[u32]) -> MonitorLayout {
        let mut left = 0;
        let monitor = |width: &u32| {
            let at = left;
            left += width.cast_signed();
            ClientMonitor {
                left: at,
                top: 0,
                size: Size::new(*width, 600),
                physical_mm: None,
                scale_percent: None,
                primary: at == 0,
            }
        };
        MonitorLayout::new(widths.iter().map(monitor).collect()).expect("a good layout")
    }

    /// Left edge and width of what a head is told; `None`: nothing.
    fn told(sizes: &mut Sizes, head: u32) -> Option<(u32, u32)> {
        sizes.decide(head, false).map(|shape| (shape.x, shape.size.width))
    }

    #[test]
    fn the_first_in_the_line_decides_and_the_next_when_it_leaves() {
        let mut sizes = Sizes::default();
        assert_eq!(told(&mut sizes, 0), None);
        sizes.wish(A, Shown::Head(0), &layout(&[800]));
        sizes.wish(B, Shown::Head(0), &layout(&[1000]));
        assert_eq!(told(&mut sizes, 0), Some((0, 800)));
        sizes.wish(A, Shown::Head(0), &layout(&[802]));
        assert_eq!(told(&mut sizes, 0), Some((0, 802)));
        assert!(sizes.leave(A) && !sizes.leave(A));
        assert_eq!(told(&mut sizes, 0), Some((0, 1000)));
        sizes.leave(B);
        assert_eq!(told(&mut sizes, 0), None, "the head stays as it is");
    }

    #[test]
    fn each_head_belongs_to_the_first_who_shows_it() {
        let mut sizes = Sizes::default();
        sizes.wish(A, Shown::Head(1), &layout(&[640, 320]));
        sizes.wish(B, Shown::Span, &layout(&[800, 1000]));
        assert_eq!(told(&mut sizes, 0), Some((0, 800)));
        assert_eq!(told(&mut sizes, 1), Some((800, 640)), "right of the one before");
        assert_eq!(told(&mut sizes, 2), None, "nobody has a third monitor");
        sizes.leave(A);
        assert_eq!(told(&mut sizes, 1), Some((800, 1000)));
    }

    #[test]
    fn a_head_that_nobody_sees_any_more_is_switched_off_by_the_next_who_decides() {
        let mut sizes = Sizes::default();
        sizes.wish(A, Shown::Span, &layout(&[800, 1000]));
        assert_eq!(
            [told(&mut sizes, 0), told(&mut sizes, 1)],
            [Some((0, 800)), Some((800, 1000))]
        );
        sizes.leave(A);
        assert_eq!(
            [told(&mut sizes, 0), told(&mut sizes, 1)],
            [None, None],
            "it may come back"
        );
        sizes.wish(B, Shown::Head(0), &layout(&[640]));
        assert_eq!(told(&mut sizes, 0), Some((0, 640)));
        assert_eq!(sizes.decide(1, true), None, "somebody looks at it");
        assert_eq!(sizes.decide(1, false), Some(HeadShape::OFF));
        assert_eq!((sizes.told(1), told(&mut sizes, 1)), (None, None));
    }
}
