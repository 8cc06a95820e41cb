//! Decides whose input reaches the guest. Rights are checked here and nowhere else.
//!
//! Everyone with `control` types and clicks at once. A key or button that several viewers hold goes up when the last of
//! them lets go, and what a viewer holds goes up when it leaves, so that no key sticks in the guest.

use std::collections::HashMap;

use rdpmux_model::{Button, InputEvent, Rights, Scancode, SessionId};

/// State of all hands on one guest.
#[derive(Default)]
pub(super) struct InputArbiter {
    seats: HashMap<SessionId, Seat>,
}

struct Seat {
    rights: Rights,
    held: Vec<Held>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Key(Scancode),
    Button(Button),
}

impl InputArbiter {
    pub(super) fn seat(&mut self, session: SessionId, rights: Rights) {
        self.seats.insert(
            session,
            Seat {
                rights,
                held: Vec::new(),
            },
        );
    }

    /// Appends to `out` what the guest must see of `event`.
    pub(super) fn offer(&mut self, session: SessionId, event: InputEvent, out: &mut Vec<InputEvent>) {
        let Some(seat) = self.seats.get_mut(&session) else {
            return;
        };
        if !(seat.rights.view && seat.rights.control) {
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
            InputEvent::MoveBy { .. } | InputEvent::Wheel { .. } | InputEvent::Locks(_) => out.push(event),
        }
    }

    /// Forgets the session and appends the releases of what only it held.
    pub(super) fn release(&mut self, session: SessionId, out: &mut Vec<InputEvent>) {
        let Some(seat) = self.seats.remove(&session) else {
            return;
        };
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
mod tests {
    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);

    fn key(code: u8, down: bool) -> InputEvent {
        InputEvent::Key {
            scancode: Scancode::new(code, false).unwrap(),
            down,
        }
    }

    fn arbiter() -> InputArbiter {
        let mut arbiter = InputArbiter::default();
        arbiter.seat(A, Rights::CONTROL);
        arbiter.seat(B, Rights::CONTROL);
        arbiter
    }

    fn offer(arbiter: &mut InputArbiter, session: SessionId, event: InputEvent) -> Vec<InputEvent> {
        let mut out = Vec::new();
        arbiter.offer(session, event, &mut out);
        out
    }

    #[test]
    fn keys_of_a_dropped_session_are_released() {
        let mut arbiter = arbiter();
        offer(&mut arbiter, A, key(30, true));
        let button = InputEvent::Button {
            button: Button::Left,
            down: true,
        };
        offer(&mut arbiter, A, button);
        let mut out = Vec::new();
        arbiter.release(A, &mut out);
        assert_eq!(
            out,
            [
                key(30, false),
                InputEvent::Button {
                    button: Button::Left,
                    down: false
                }
            ]
        );
    }

    #[test]
    fn a_key_that_two_viewers_hold_goes_up_with_the_last() {
        let mut arbiter = arbiter();
        offer(&mut arbiter, A, key(30, true));
        offer(&mut arbiter, B, key(30, true));
        assert_eq!(offer(&mut arbiter, A, key(30, false)), []);
        assert_eq!(offer(&mut arbiter, B, key(30, false)), [key(30, false)]);
        offer(&mut arbiter, A, key(30, true));
        offer(&mut arbiter, B, key(30, true));
        let mut out = Vec::new();
        arbiter.release(A, &mut out);
        assert_eq!(out, []);
    }

    #[test]
    fn a_viewer_without_control_reaches_nothing() {
        let mut arbiter = InputArbiter::default();
        arbiter.seat(A, Rights::VIEW);
        assert_eq!(offer(&mut arbiter, A, key(30, true)), []);
        assert_eq!(offer(&mut arbiter, A, InputEvent::MoveTo { x: 1, y: 2 }), []);
        assert_eq!(offer(&mut arbiter, B, key(30, true)), []);
        let mut out = Vec::new();
        arbiter.release(A, &mut out);
        assert_eq!(out, []);
    }

    #[test]
    fn positions_merge_but_never_across_an_edge() {
        let mut arbiter = arbiter();
        let mut out = Vec::new();
        let at = |x| InputEvent::MoveTo { x, y: 0 };
        let click = |down| InputEvent::Button {
            button: Button::Left,
            down,
        };
        for event in [at(1), at(2), click(true), at(3), at(4), click(false)] {
            arbiter.offer(A, event, &mut out);
        }
        assert_eq!(out, [at(2), click(true), at(4), click(false)]);
    }

    #[test]
    fn auto_repeat_passes() {
        let mut arbiter = arbiter();
        assert_eq!(offer(&mut arbiter, A, key(30, true)), [key(30, true)]);
        assert_eq!(offer(&mut arbiter, A, key(30, true)), [key(30, true)]);
    }
}
