//! Characters that a client sends instead of keys (unicode key events), typed on the guest's keyboard. What viewers hold
//! meanwhile is respected: Shift and AltGr are brought to where the character needs them and then back.

use rdpmux_model::{InputEvent, Scancode, SessionId};
use tracing::info;

use super::{Held, InputArbiter, Seat};
use crate::typing::{Layout, Stroke, Strokes};

/// Keys that do the same: those that may be held, and the first of which is pressed if none is.
const SHIFTS: [Scancode; 2] = [Stroke::SHIFT, Stroke::RIGHT_SHIFT];
const ALTGR: [Scancode; 1] = [Stroke::ALTGR];

impl InputArbiter {
    /// Appends the keys that type `c` in the guest, whose Caps Lock is lit if `caps`. A character that the layout lacks is
    /// counted and left out.
    pub(in crate::desktop) fn character(&mut self, session: SessionId, c: char, caps: bool, out: &mut Vec<InputEvent>) {
        let Some(seat) = self.seats.get_mut(&session) else {
            return;
        };
        if !seat.may_type() {
            return;
        }
        let layout = self.layout.or(seat.layout).or_else(|| Layout::by_name("us"));
        let Some(strokes) = layout.and_then(|layout| layout.strokes(c)) else {
            seat.untyped += 1;
            if seat.untyped == 1 {
                let layout = layout.map(Layout::name);
                info!(%session, layout, "a typed character is not on the guest's keyboard; such are left out");
            }
            return;
        };
        self.type_strokes(strokes, caps, out);
    }

    /// Appends the keys of strokes that were chosen for a layout already.
    pub(in crate::desktop) fn strokes(
        &self,
        session: SessionId,
        strokes: Strokes,
        caps: bool,
        out: &mut Vec<InputEvent>,
    ) {
        if self.seats.get(&session).is_some_and(Seat::may_type) {
            self.type_strokes(strokes, caps, out);
        }
    }

    fn type_strokes(&self, strokes: Strokes, caps: bool, out: &mut Vec<InputEvent>) {
        for stroke in strokes {
            self.stroke(stroke.under_caps(caps), out);
        }
    }

    fn stroke(&self, stroke: Stroke, out: &mut Vec<InputEvent>) {
        let start = out.len();
        self.bring(&SHIFTS, stroke.shift, out);
        self.bring(&ALTGR, stroke.altgr, out);
        let end = out.len();
        out.extend([true, false].map(|down| key(stroke.scancode, down)));
        // Back in the opposite order.
        for index in (start..end).rev() {
            if let InputEvent::Key { scancode, down } = out[index] {
                out.push(key(scancode, !down));
            }
        }
    }

    fn bring(&self, keys: &[Scancode], wanted: bool, out: &mut Vec<InputEvent>) {
        let held = || keys.iter().filter(|scancode| self.is_held(Held::Key(**scancode)));
        if wanted && held().next().is_none() {
            out.push(key(keys[0], true));
        }
        if !wanted {
            out.extend(held().map(|scancode| key(*scancode, false)));
        }
    }
}

fn key(scancode: Scancode, down: bool) -> InputEvent {
    InputEvent::Key { scancode, down }
}
