//! The client's monitors: what they are worth is the desktop's to decide.

use rdpmux_model::{LayoutError, MonitorLayout, Size};
use tracing::{debug, info};

use super::Drive;

/// Sizes that the client was shown since its user last chose one. A client whose window follows the desktop says each of
/// them back. That is no wish: a guest that shows its firmware for a moment would stay as small as that for good.
pub(super) struct ShownSizes(Vec<Size>);

impl ShownSizes {
    /// Sizes may follow each other faster than the client speaks of them.
    const MOST: usize = 8;

    pub(super) fn new(first: Size) -> Self {
        Self(vec![first])
    }

    pub(super) fn show(&mut self, size: Size) {
        if self.0.last() != Some(&size) {
            self.0.drain(..(self.0.len() + 1).saturating_sub(Self::MOST));
            self.0.push(size);
        }
    }

    /// Takes what the client says of its monitors. Whether it only says back what it was shown, after its wish `wished`.
    fn is_echo(&mut self, said: &MonitorLayout, wished: Option<&MonitorLayout>) -> bool {
        let Some(wished) = wished else { return false };
        let echoed = match said.monitors() {
            [only] if scale(said) == scale(wished) => {
                self.0.iter().position(|shown| as_said(*shown) == Some(only.size))
            }
            _ => None,
        };
        // What was shown before is past, and so is everything if the user chose.
        self.0.drain(..echoed.unwrap_or(self.0.len()));
        echoed.is_some()
    }
}

/// In percent.
fn scale(layout: &MonitorLayout) -> u32 {
    let primary = layout.monitors().first();
    primary.and_then(|monitor| monitor.scale_percent).unwrap_or(100)
}

/// A size as a client can say it.
fn as_said(size: Size) -> Option<Size> {
    let layout = MonitorLayout::new(vec![size.into()]).ok()?;
    layout.monitors().first().map(|monitor| monitor.size)
}

impl Drive {
    pub(super) fn on_layout(&mut self, layout: Result<MonitorLayout, LayoutError>) {
        match layout {
            Ok(layout) if self.sizes.is_echo(&layout, self.layout.as_ref()) => {
                debug!(session = %self.id, "the client's window follows the desktop");
            }
            Ok(layout) => {
                let monitors = layout.monitors().len();
                let counts = self.seat.wish(&layout);
                debug!(session = %self.id, monitors, counts, "the client's monitors");
                self.layout = Some(layout);
            }
            // As often as the client pleases, so only once for all to see.
            Err(refused) if !self.layout_refused => {
                self.layout_refused = true;
                info!(session = %self.id, %refused, "the client's monitors are refused");
            }
            Err(refused) => debug!(session = %self.id, %refused, "the client's monitors are refused"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Size = Size::new(1280, 800);

    fn window(size: Size) -> MonitorLayout {
        MonitorLayout::new(vec![size.into()]).expect("a good layout")
    }

    #[test]
    fn a_window_that_follows_the_desktop_wishes_nothing() {
        let wished = window(FIRST);
        let mut sizes = ShownSizes::new(Size::new(1024, 768));
        assert!(
            !sizes.is_echo(&window(Size::new(1024, 768)), None),
            "the first is a wish"
        );
        assert!(sizes.is_echo(&window(Size::new(1024, 768)), Some(&wished)));
        // Firmware, a boot loader and a system of odd width, told of late.
        for size in [Size::new(720, 400), Size::new(640, 480), Size::new(1365, 768)] {
            sizes.show(size);
        }
        assert!(sizes.is_echo(&window(Size::new(640, 480)), Some(&wished)));
        assert!(!ShownSizes::new(FIRST).is_echo(&window(Size::new(1282, 800)), Some(&wished)));
        assert!(sizes.is_echo(&window(Size::new(1364, 768)), Some(&wished)));
        assert!(
            sizes.is_echo(&window(Size::new(1364, 768)), Some(&wished)),
            "said twice"
        );
    }

    #[test]
    fn who_drags_a_window_there_and_back_wishes_twice() {
        let mut sizes = ShownSizes::new(FIRST);
        let wished = window(Size::new(1000, 700));
        assert!(!sizes.is_echo(&wished, Some(&window(FIRST))));
        // The desktop has not followed yet.
        assert!(!sizes.is_echo(&window(FIRST), Some(&wished)));
    }

    #[test]
    fn another_scale_or_another_monitor_is_a_wish() {
        let wished = window(FIRST);
        let one = rdpmux_model::ClientMonitor::from(FIRST);
        let scaled = MonitorLayout::new(vec![one.with_scale(200)]).expect("a good layout");
        assert!(!ShownSizes::new(FIRST).is_echo(&scaled, Some(&wished)));
        let second = rdpmux_model::ClientMonitor {
            left: 1280,
            primary: false,
            ..one
        };
        let two = MonitorLayout::new(vec![one, second]).expect("a good layout");
        assert!(!ShownSizes::new(FIRST).is_echo(&two, Some(&wished)));
    }

    #[test]
    fn a_guest_that_keeps_changing_costs_nothing() {
        let mut sizes = ShownSizes::new(FIRST);
        for width in 0..10_000 {
            sizes.show(Size::new(200 + width, 600));
        }
        assert_eq!(sizes.0.len(), ShownSizes::MOST);
    }
}
