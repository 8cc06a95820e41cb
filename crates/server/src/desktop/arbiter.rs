//! Decides whose input reaches the guest. Rights are checked here and nowhere else.
//!
//! Everyone with `control` types and clicks at once. A key or button that several viewers hold goes up when the last of
//! them lets go, and what a viewer holds goes up when it leaves, so that no key sticks in the guest. The desktops of a
//! machine share one arbiter, as its heads have one keyboard.

mod characters;
mod touches;

use std::collections::HashMap;

use rdpmux_model::{Button, InputEvent, Rights, Scancode, SessionId};
use tracing::debug;

use crate::typing::Layout;
use touches::Touches;

/// State of all hands on one guest.
#[derive(Default)]
pub(super) struct InputArbiter {
    seats: HashMap<SessionId, Seat>,
    touches: Touches,
    /// The guest's keyboard, if it is known.
    layout: Option<Layout>,
}

struct Seat {
    rights: Rights,
    held: Vec<Held>,
    /// The viewer's own keyboard: the best guess where the guest's is not known.
    layout: Option<Layout>,
    /// Characters that could not be typed.
    untyped: u64,
}

impl Seat {
    fn may_type(&self) -> bool {
        self.rights.view && self.rights.control
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Key(Scancode),
    Button(Button),
}

impl InputArbiter {
    /// Sets the guest's keyboard.
    pub(super) fn set_layout(&mut self, layout: Option<Layout>) {
        self.layout = layout;
    }

    pub(super) fn seat(&mut self, session: SessionId, rights: Rights, layout: Option<Layout>) {
        self.seats.insert(
            session,
            Seat {
                rights,
                held: Vec::new(),
                layout,
                untyped: 0,
            },
        );
    }

    /// Appends to `out` what the guest must see of `event`.
    pub(super) fn offer(&mut self, session: SessionId, event: InputEvent, out: &mut Vec<InputEvent>) {
        let Some(seat) = self.seats.get_mut(&session) else {
            return;
        };
        if !seat.may_type() {
            return;
        }
        match event {
            InputEvent::Key { scancode, down } => self.edge(session, Held::Key(scancode), down, out),
            InputEvent::Button { button, down } => self.edge(session, Held::Button(button), down, out),
            InputEvent::MoveTo { .. } => {
                // Only the last of a run of positions matters; buttons and keys in between keep their place.
                if matches!(out.last(), Some(InputEvent::MoveTo { .. })) {
                    out.pop();
                }
                out.push(event);
            }
            InputEvent::Touch(touch) => self.touches.offer(session, touch, out),
            InputEvent::MoveBy { .. } | InputEvent::Wheel { .. } | InputEvent::Locks(_) | InputEvent::Character(_) => {
                out.push(event);
            }
        }
    }

    /// Forgets the session and appends the releases of what only it held.
    pub(super) fn release(&mut self, session: SessionId, out: &mut Vec<InputEvent>) {
        let Some(seat) = self.seats.remove(&session) else {
            return;
        };
        if seat.untyped > 0 {
            debug!(%session, characters = seat.untyped, "characters that are not on the guest's keyboard were left out");
        }
        self.touches.release(session, out);
        for held in seat.held {
            if !self.is_held(held) {
                out.push(held.event(false));
            }
        }
    }

    fn edge(&mut self, session: SessionId, held: Held, down: bool, out: &mut Vec<InputEvent>) {
        let Some(seat) = self.seats.get_mut(&session) else {
            return;
        };
        let index = seat.held.iter().position(|h| *h == held);
        match (down, index) {
            (true, None) if seat.held.len() < HELD => {
                seat.held.push(held);
                out.push(held.event(true));
            }
            // Auto-repeat.
            (true, Some(_)) => out.push(held.event(true)),
            (true, None) => {}
            (false, Some(index)) => {
                seat.held.swap_remove(index);
                if !self.is_held(held) {
                    out.push(held.event(false));
                }
            }
            // A key that was down before this viewer came, or an extra "up" that clients send on focus: harmless.
            (false, None) => {
                if !self.is_held(held) {
                    out.push(held.event(false));
                }
            }
        }
    }

    fn is_held(&self, held: Held) -> bool {
        self.seats.values().any(|seat| seat.held.contains(&held))
    }
}

impl Held {
    fn event(self, down: bool) -> InputEvent {
        match self {
            Self::Key(scancode) => InputEvent::Key { scancode, down },
            Self::Button(button) => InputEvent::Button { button, down },
        }
    }
}

/// Keys and buttons that one viewer can hold at once: no keyboard has more.
const HELD: usize = 256;

#[cfg(test)]
mod tests;
