//! The client's monitors: what they are worth is the desktop's to decide.

use rdpmux_model::{LayoutError, MonitorLayout};
use tracing::{debug, info};

use super::Drive;

impl Drive {
    pub(super) fn on_layout(&mut self, layout: Result<MonitorLayout, LayoutError>) {
        match layout {
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
