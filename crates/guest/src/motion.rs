//! Motion that waits: only where it ends counts.

use rdpmux_model::{InputEvent, TouchPhase};

/// Merges motion that nothing stands between: the last position wins, deltas add up. Edges keep their order.
pub(crate) fn merge_motion(events: &mut Vec<InputEvent>) {
    events.dedup_by(|next, kept| match (next, kept) {
        (InputEvent::MoveTo { x, y }, InputEvent::MoveTo { x: kept_x, y: kept_y }) => {
            (*kept_x, *kept_y) = (*x, *y);
            true
        }
        (
            InputEvent::MoveBy { dx, dy },
            InputEvent::MoveBy {
                dx: kept_dx,
                dy: kept_dy,
            },
        ) => {
            *kept_dx = kept_dx.saturating_add(*dx);
            *kept_dy = kept_dy.saturating_add(*dy);
            true
        }
        (InputEvent::Touch(touch), InputEvent::Touch(kept)) => {
            let merge = touch.contact == kept.contact && [touch.phase, kept.phase] == [TouchPhase::Update; 2];
            if merge {
                *kept = *touch;
            }
            merge
        }
        _ => false,
    });
}
