//! Fingers of all viewers on the few slots that a guest has. A finger that finds none is left out until it goes up.

use rdpmux_model::{InputEvent, SessionId, Touch, TouchPhase};

/// The slots of one guest.
#[derive(Default)]
pub(super) struct Touches {
    slots: [Option<Finger>; Touch::SLOTS as usize],
}

struct Finger {
    session: SessionId,
    contact: u8,
    last: (u32, u32),
}

impl Touches {
    /// Appends what the guest must see of a finger.
    pub(super) fn offer(&mut self, session: SessionId, touch: Touch, out: &mut Vec<InputEvent>) {
        let known = self.find(|slot| {
            slot.as_ref()
                .is_some_and(|finger| finger.session == session && finger.contact == touch.contact)
        });
        let (slot, phase) = match (touch.phase, known) {
            // A client that says "down" twice means the same finger.
            (TouchPhase::Begin | TouchPhase::Update, Some(slot)) => (slot, TouchPhase::Update),
            (TouchPhase::Begin, None) => match self.find(Option::is_none) {
                Some(slot) => (slot, TouchPhase::Begin),
                None => return,
            },
            (phase, Some(slot)) => (slot, phase),
            (_, None) => return,
        };
        self.slots[slot] = match phase {
            TouchPhase::Begin | TouchPhase::Update => Some(Finger {
                session,
                contact: touch.contact,
                last: (touch.x, touch.y),
            }),
            TouchPhase::End | TouchPhase::Cancel => None,
        };
        out.push(event(slot, phase, (touch.x, touch.y)));
    }

    /// Takes back the touches of a viewer that leaves.
    pub(super) fn release(&mut self, session: SessionId, out: &mut Vec<InputEvent>) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(finger) = slot.take_if(|finger| finger.session == session) {
                out.push(event(index, TouchPhase::Cancel, finger.last));
            }
        }
    }

    fn find(&self, wanted: impl Fn(&Option<Finger>) -> bool) -> Option<usize> {
        self.slots.iter().position(wanted)
    }
}

fn event(slot: usize, phase: TouchPhase, (x, y): (u32, u32)) -> InputEvent {
    InputEvent::Touch(Touch {
        contact: slot as u8,
        phase,
        x,
        y,
    })
}
