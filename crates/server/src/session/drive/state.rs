//! What a client shows of the head besides pixels: pointer and lock lamps.

use super::{Drive, End};

impl Drive {
    /// Brings the client's pointer and lock lamps to the head's state.
    pub(super) fn show_state(&mut self) -> Result<(), End> {
        let state = self.state.borrow_and_update().clone();
        let mut out = Vec::new();
        if state.pointer != self.shown.pointer {
            self.rdp.pointer(&state.pointer, &mut out);
        }
        if let Some(jump) = state.jump.filter(|jump| self.shown.jump != Some(*jump)) {
            self.rdp.pointer_position(jump.x, jump.y, &mut out);
        }
        if state.locks != self.shown.locks {
            self.rdp.indicators(state.locks, &mut out);
        }
        self.shown = state;
        self.push(out)
    }
}
