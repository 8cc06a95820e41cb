//! The monitors of a desktop as its clients are told of them.

use rdpmux_model::{Client, Rect, Size};

use super::MOST_MONITORS;

/// One monitor of a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitor {
    /// Where it is on the desktop, whose top left pixel is (0, 0).
    pub rect: Rect<Client>,
    /// Whether it is the primary one.
    pub primary: bool,
}

impl Monitor {
    pub(super) fn whole(size: Size) -> Self {
        Self {
            rect: size.rect(),
            primary: true,
        }
    }

    pub(super) fn size(&self) -> Size {
        Size::new(self.rect.width, self.rect.height)
    }

    /// These monitors if they make up a desktop of `size`. Else one that is the whole desktop, for example because the
    /// desktop has just changed its size.
    pub(crate) fn of_desktop(monitors: &[Self], size: Size) -> Vec<Self> {
        if Self::make_up(monitors, size) {
            monitors.to_vec()
        } else {
            vec![Self::whole(size)]
        }
    }

    /// Whether these are the monitors of a desktop of `size`: they fill it from edge to edge, and one is the primary one.
    pub fn make_up(monitors: &[Self], size: Size) -> bool {
        let all = monitors
            .iter()
            .map(|monitor| monitor.rect)
            .fold(Rect::new(0, 0, 0, 0), Rect::union);
        let primaries = monitors.iter().filter(|monitor| monitor.primary).count();
        all == size.rect() && primaries == 1 && monitors.len() <= MOST_MONITORS
    }

    /// Left, top, right and bottom (inclusive) with the primary monitor's corner at (0, 0), as RDP has it everywhere.
    pub(crate) fn edges_from_primary(monitors: &[Self]) -> impl Iterator<Item = ([i32; 4], bool)> {
        let primary = monitors.iter().find(|m| m.primary).or(monitors.first());
        let (x, y) = primary.map_or((0, 0), |m| (m.rect.x as i32, m.rect.y as i32));
        monitors.iter().map(move |m| {
            let edges = [
                m.rect.x as i32 - x,
                m.rect.y as i32 - y,
                m.rect.right() as i32 - 1 - x,
                m.rect.bottom() as i32 - 1 - y,
            ];
            (edges, primary == Some(m))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monitors_of_another_size_are_not_told() {
        let monitor = |x, primary| Monitor {
            rect: Rect::new(x, 0, 64, 48),
            primary,
        };
        let two = [monitor(0, false), monitor(64, true)];
        assert_eq!(Monitor::of_desktop(&two, Size::new(128, 48)), two);
        let whole = |size| vec![Monitor::whole(size)];
        for (monitors, size) in [
            (&two[..], Size::new(128, 64)),
            (&two[..1], Size::new(64, 48)),
            (&[][..], Size::new(1, 1)),
        ] {
            assert_eq!(Monitor::of_desktop(monitors, size), whole(size));
        }
        let edges: Vec<_> = Monitor::edges_from_primary(&two).collect();
        assert_eq!(edges, [([-64, 0, -1, 47], false), ([0, 0, 63, 47], true)]);
    }
}
