//! The guest's desktop: which heads are on it, and where. An ordinary tablet belongs to no head: the guest spreads it over
//! its whole desktop, so a position on one head has to be told as a place on all of them. A tablet that was given to a head
//! (QEMU's `display` property) covers that head only, and positions need nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rdpmux_engine::SurfaceReader;
use rdpmux_model::HeadShape;

/// The heads of one machine that are on. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Floor(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    heads: BTreeMap<u32, Place>,
    is_tablet_per_head: bool,
}

#[derive(Debug)]
struct Place {
    origin: (u32, u32),
    surface: SurfaceReader,
}

impl Floor {
    /// A machine begins: nothing but head 0 is known to be on.
    pub(super) fn begin(&self, is_tablet_per_head: bool) {
        let mut state = self.0.lock();
        state.heads.retain(|index, _| *index == 0);
        state.is_tablet_per_head = is_tablet_per_head;
        if let Some(first) = state.heads.get_mut(&0) {
            first.origin = (0, 0);
        }
    }

    /// A head has taken a shape.
    pub(super) fn set(&self, index: u32, shape: HeadShape, surface: &SurfaceReader) {
        let mut state = self.0.lock();
        if shape.is_off() {
            state.heads.remove(&index);
        } else {
            let place = Place {
                origin: (shape.x, shape.y),
                surface: surface.clone(),
            };
            state.heads.insert(index, place);
        }
    }

    /// What to tell a head's mouse object so that the pointer is at (x, y) of that head.
    pub(super) fn position(&self, index: u32, x: u32, y: u32) -> (u32, u32) {
        let state = self.0.lock();
        let Some(head) = state.heads.get(&index) else {
            return (x, y);
        };
        if state.is_tablet_per_head || state.heads.len() < 2 {
            return (x, y);
        }
        let ends = state.heads.values().map(|place| {
            let size = place.surface.size();
            (place.origin.0 + size.width, place.origin.1 + size.height)
        });
        let whole = ends.fold((1, 1), |a: (u32, u32), b| (a.0.max(b.0), a.1.max(b.1)));
        let own = head.surface.size();
        // QEMU takes positions within the head only and stretches them over the tablet.
        let share = |at: u32, own: u32, whole: u32| {
            let (at, own, whole) = (u64::from(at), u64::from(own), u64::from(whole));
            ((at * own + whole / 2) / whole).min(own - 1) as u32
        };
        (
            share(head.origin.0 + x, own.width, whole.0),
            share(head.origin.1 + y, own.height, whole.1),
        )
    }
}

#[cfg(test)]
mod tests {
    use rdpmux_engine::surface;
    use rdpmux_model::Size;

    use super::*;

    #[test]
    fn a_place_on_one_of_two_heads_is_a_place_on_the_whole_desktop() {
        let floor = Floor::default();
        let head = |index, x, y, width, height| {
            let size = Size::new(width, height);
            let shape = HeadShape {
                x,
                y,
                size,
                ..HeadShape::OFF
            };
            floor.set(index, shape, &surface(size).1);
        };
        assert_eq!(floor.position(0, 7, 9), (7, 9));
        head(0, 1000, 0, 1000, 600);
        assert_eq!(floor.position(0, 7, 9), (7, 9), "one head is the whole desktop");
        head(1, 0, 200, 1000, 400);
        assert_eq!(floor.position(0, 0, 300), (500, 300));
        assert_eq!(floor.position(0, 999, 599), (999, 599));
        assert_eq!(floor.position(1, 500, 100), (250, 200));
        assert_eq!(floor.position(2, 5, 5), (5, 5), "a head that is off");
        floor.set(1, HeadShape::OFF, &surface(Size::new(1, 1)).1);
        assert_eq!(floor.position(0, 7, 9), (7, 9));
        head(1, 0, 0, 1000, 600);
        floor.begin(true);
        head(1, 0, 0, 1000, 600);
        assert_eq!(floor.position(0, 7, 9), (7, 9), "each head has its own tablet");
    }
}
