//! From what viewers do to what a hypervisor is told. Nothing is dropped: if a hypervisor takes nothing, the head's
//! queue fills, and its owner decides.

use rdpmux_engine::SurfaceReader;
use rdpmux_model::{Button, HeadState, InputEvent, LockKeys, MouseMode, Scancode, Size, Touch, TouchPhase, WheelAxis};
use rdpmux_wire::v5::{keyboard, mouse};
use rdpmux_wire::{v5, v6};
use tokio::sync::{mpsc, watch};

use crate::motion::merge_motion;

/// Events that are taken at once.
const BATCH: usize = 64;

/// Where a hypervisor takes input.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) words: mpsc::Sender<Vec<u8>>,
    pub(super) version: i32,
    /// It takes characters besides keys.
    pub(super) takes_characters: bool,
}

/// One head's input.
pub(super) struct InputPort {
    pub(super) events: mpsc::Receiver<InputEvent>,
    /// `None` while no hypervisor is there: what comes is dropped.
    pub(super) target: watch::Receiver<Option<Target>>,
    pub(super) surface: SurfaceReader,
    pub(super) state: watch::Receiver<HeadState>,
    pub(super) head: u32,
}

/// Runs until the last sender of the head's input is gone.
pub(super) async fn run(mut port: InputPort) {
    let mut hand = Hand::new(port.head);
    let mut batch = Vec::with_capacity(BATCH);
    let mut words = Vec::new();
    while port.events.recv_many(&mut batch, BATCH).await > 0 {
        if port.target.has_changed().unwrap_or(false) {
            hand = Hand::new(port.head);
        }
        let Some(target) = port.target.borrow_and_update().clone() else {
            batch.clear();
            continue;
        };
        merge_motion(&mut batch);
        let (size, mode) = (port.surface.size(), port.state.borrow().mouse);
        for event in batch.drain(..) {
            match target.version {
                v5::VERSION => hand.tell_v5(event, size, &mut words),
                _ => hand.tell_v6(event, size, mode, &mut words),
            }
        }
        for word in words.drain(..) {
            if target.words.send(word).await.is_err() {
                break;
            }
        }
    }
}

/// What a head's input depends on.
#[derive(Debug)]
struct Hand {
    head: u32,
    at: (u32, u32),
    /// Buttons that are down, as protocol 6 has them.
    buttons: u32,
    /// The finger that is the pointer.
    finger: Option<u8>,
}

impl Hand {
    fn new(head: u32) -> Self {
        Self {
            head,
            at: (0, 0),
            buttons: 0,
            finger: None,
        }
    }

    /// Appends the messages of protocol 5 for an event, encoded. It has positions only, three buttons, and no lights:
    /// the lock keys of a viewer cannot be compared with the guest's.
    fn tell_v5(&mut self, event: InputEvent, size: Size, out: &mut Vec<Vec<u8>>) {
        let mut tell = |message: v5::ToGuest| {
            let mut word = Vec::new();
            message.encode(&mut word);
            out.push(word);
        };
        match event {
            InputEvent::Key { scancode, down } => tell(key_v5(scancode, down)),
            InputEvent::MoveTo { .. } | InputEvent::MoveBy { .. } => {
                self.move_by_event(event, size);
                tell(self.mouse_v5(mouse::MOVE));
            }
            InputEvent::Button { button, down } => {
                if let Some(flag) = button_v5(button) {
                    tell(self.mouse_v5(flag | if down { mouse::DOWN } else { 0 }));
                }
            }
            InputEvent::Wheel { axis, delta } => {
                let flag = match axis {
                    WheelAxis::Vertical => mouse::WHEEL,
                    WheelAxis::Horizontal => mouse::HORIZONTAL_WHEEL,
                };
                let turn = delta.clamp(-256, 255) as u16 & mouse::ROTATION;
                tell(self.mouse_v5(flag | turn));
            }
            InputEvent::Touch(touch) => {
                if let Some(edge) = self.touch(touch, size) {
                    tell(self.mouse_v5(mouse::MOVE));
                    if let Some(down) = edge {
                        tell(self.mouse_v5(mouse::LEFT | if down { mouse::DOWN } else { 0 }));
                    }
                }
            }
            InputEvent::Locks(_) | InputEvent::Character(_) => {}
        }
    }

    /// Appends the messages of protocol 6 for an event, encoded.
    fn tell_v6(&mut self, event: InputEvent, size: Size, mode: MouseMode, out: &mut Vec<Vec<u8>>) {
        let head = self.head;
        let message = match event {
            InputEvent::Key { scancode, down } => v6::ToGuest::Key {
                qnum: scancode.qnum(),
                down,
            },
            InputEvent::MoveBy { dx, dy } if mode == MouseMode::Relative => v6::ToGuest::Relative {
                head,
                dx,
                dy,
                buttons: self.buttons,
            },
            InputEvent::MoveTo { .. } | InputEvent::MoveBy { .. } => {
                let (from_x, from_y) = self.at;
                self.move_by_event(event, size);
                match mode {
                    MouseMode::Absolute => self.pointer_v6(),
                    MouseMode::Relative => v6::ToGuest::Relative {
                        head,
                        dx: self.at.0 as i32 - from_x as i32,
                        dy: self.at.1 as i32 - from_y as i32,
                        buttons: self.buttons,
                    },
                }
            }
            InputEvent::Button { button, down } => {
                self.press(button_v6(button), down);
                self.edge_v6(mode)
            }
            InputEvent::Wheel { axis, delta } => {
                let (vertical, horizontal) = match axis {
                    WheelAxis::Vertical => (delta, 0),
                    WheelAxis::Horizontal => (0, delta),
                };
                v6::ToGuest::Wheel {
                    head,
                    vertical: vertical.into(),
                    horizontal: horizontal.into(),
                }
            }
            InputEvent::Touch(touch) => {
                let Some(edge) = self.touch(touch, size) else {
                    return;
                };
                if let Some(down) = edge {
                    // First there, then down.
                    out.push(encoded(&self.pointer_v6()));
                    self.press(v6::button::LEFT, down);
                }
                self.pointer_v6()
            }
            InputEvent::Locks(locks) => v6::ToGuest::Locks { on: lock_bits(locks) },
            InputEvent::Character(character) => v6::ToGuest::Unicode { character },
        };
        out.push(encoded(&message));
    }

    /// Follows a motion; the pointer stays on the screen.
    fn move_by_event(&mut self, event: InputEvent, size: Size) {
        let (x, y) = match event {
            InputEvent::MoveTo { x, y } => (x, y),
            InputEvent::MoveBy { dx, dy } => (self.at.0.saturating_add_signed(dx), self.at.1.saturating_add_signed(dy)),
            _ => self.at,
        };
        self.at = (
            x.min(size.width.saturating_sub(1)),
            y.min(size.height.saturating_sub(1)),
        );
    }

    /// The first finger is the pointer. `None` for another one; otherwise whether the left button goes down or up.
    fn touch(&mut self, touch: Touch, size: Size) -> Option<Option<bool>> {
        if *self.finger.get_or_insert(touch.contact) != touch.contact {
            return None;
        }
        self.move_by_event(InputEvent::MoveTo { x: touch.x, y: touch.y }, size);
        Some(match touch.phase {
            TouchPhase::Begin => Some(true),
            TouchPhase::Update => None,
            TouchPhase::End | TouchPhase::Cancel => {
                self.finger = None;
                Some(false)
            }
        })
    }

    fn press(&mut self, button: u32, down: bool) {
        match down {
            true => self.buttons |= button,
            false => self.buttons &= !button,
        }
    }

    fn mouse_v5(&self, flags: u16) -> v5::ToGuest {
        // No edge of a screen is beyond 8192.
        let (x, y) = self.at;
        v5::ToGuest::Mouse {
            x: x as u16,
            y: y as u16,
            flags,
        }
    }

    fn pointer_v6(&self) -> v6::ToGuest {
        let (x, y) = self.at;
        v6::ToGuest::Pointer {
            head: self.head,
            x,
            y,
            buttons: self.buttons,
        }
    }

    fn edge_v6(&self, mode: MouseMode) -> v6::ToGuest {
        match mode {
            MouseMode::Absolute => self.pointer_v6(),
            MouseMode::Relative => v6::ToGuest::Relative {
                head: self.head,
                dx: 0,
                dy: 0,
                buttons: self.buttons,
            },
        }
    }
}

fn encoded(message: &v6::ToGuest) -> Vec<u8> {
    let mut word = Vec::new();
    message.encode(&mut word);
    word
}

fn key_v5(scancode: Scancode, down: bool) -> v5::ToGuest {
    let edge = if down { keyboard::DOWN } else { keyboard::RELEASE };
    let prefix = if scancode.is_extended() { keyboard::EXTENDED } else { 0 };
    v5::ToGuest::Keyboard {
        code: scancode.code().into(),
        flags: edge | prefix,
    }
}

fn button_v5(button: Button) -> Option<u16> {
    match button {
        Button::Left => Some(mouse::LEFT),
        Button::Right => Some(mouse::RIGHT),
        Button::Middle => Some(mouse::MIDDLE),
        Button::Side | Button::Extra => None,
    }
}

fn button_v6(button: Button) -> u32 {
    match button {
        Button::Left => v6::button::LEFT,
        Button::Right => v6::button::RIGHT,
        Button::Middle => v6::button::MIDDLE,
        Button::Side => v6::button::SIDE,
        Button::Extra => v6::button::EXTRA,
    }
}

fn lock_bits(locks: LockKeys) -> u32 {
    let bit = |is_on: bool, bit: u32| if is_on { bit } else { 0 };
    bit(locks.scroll, v6::lock::SCROLL) | bit(locks.num, v6::lock::NUM) | bit(locks.caps, v6::lock::CAPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(800, 600);

    fn v5_of(events: &[InputEvent]) -> Vec<v5::ToGuest> {
        let (mut hand, mut words) = (Hand::new(0), Vec::new());
        events.iter().for_each(|event| hand.tell_v5(*event, SIZE, &mut words));
        words
            .iter()
            .map(|word| v5::ToGuest::decode(word).expect("ours"))
            .collect()
    }

    fn v6_of(mode: MouseMode, events: &[InputEvent]) -> Vec<v6::ToGuest> {
        let (mut hand, mut words) = (Hand::new(2), Vec::new());
        events
            .iter()
            .for_each(|event| hand.tell_v6(*event, SIZE, mode, &mut words));
        words
            .iter()
            .map(|word| v6::ToGuest::decode(&word[4..]).expect("ours"))
            .collect()
    }

    fn mouse_at(x: u16, y: u16, flags: u16) -> v5::ToGuest {
        v5::ToGuest::Mouse { x, y, flags }
    }

    #[test]
    fn protocol_5_has_the_flags_that_its_qemu_compares() {
        let key = |code, extended, down| InputEvent::Key {
            scancode: Scancode::new(code, extended).expect("a key"),
            down,
        };
        let button = |button, down| InputEvent::Button { button, down };
        let told = v5_of(&[
            key(0x1E, false, true),
            key(0x48, true, false),
            InputEvent::MoveTo { x: 7, y: 9999 },
            button(Button::Left, true),
            button(Button::Right, false),
            button(Button::Middle, true),
            button(Button::Extra, true),
            InputEvent::MoveBy { dx: -100, dy: -9 },
        ]);
        let keyboard = |code, flags| v5::ToGuest::Keyboard { code, flags };
        let expected = [
            keyboard(0x1E, 0x4000),
            keyboard(0x48, 0x8100),
            mouse_at(7, 599, 0x0800),
            mouse_at(7, 599, 0x9000),
            mouse_at(7, 599, 0x2000),
            mouse_at(7, 599, 0xC000),
            mouse_at(0, 590, 0x0800),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn wheels_turn_in_nine_bits() {
        let wheel = |axis, delta| InputEvent::Wheel { axis, delta };
        let told = v5_of(&[
            wheel(WheelAxis::Vertical, 120),
            wheel(WheelAxis::Vertical, -120),
            wheel(WheelAxis::Horizontal, -9999),
        ]);
        assert_eq!(
            told,
            [mouse_at(0, 0, 0x0278), mouse_at(0, 0, 0x0388), mouse_at(0, 0, 0x0500)]
        );
    }

    #[test]
    fn the_first_finger_is_the_pointer() {
        let touch = |contact, phase| {
            InputEvent::Touch(Touch {
                contact,
                phase,
                x: 10,
                y: 20,
            })
        };
        let touches = [
            touch(3, TouchPhase::Begin),
            touch(4, TouchPhase::Begin),
            touch(3, TouchPhase::End),
        ];
        let expected = [
            mouse_at(10, 20, 0x0800),
            mouse_at(10, 20, 0x9000),
            mouse_at(10, 20, 0x0800),
            mouse_at(10, 20, 0x1000),
        ];
        assert_eq!(v5_of(&touches), expected);
        let pointer = |buttons| v6::ToGuest::Pointer {
            head: 2,
            x: 10,
            y: 20,
            buttons,
        };
        assert_eq!(
            v6_of(MouseMode::Absolute, &touches),
            [pointer(0), pointer(1), pointer(1), pointer(0)]
        );
    }

    #[test]
    fn protocol_6_tells_buttons_with_each_motion_and_deltas_if_the_guest_wants_them() {
        let events = [
            InputEvent::Button {
                button: Button::Side,
                down: true,
            },
            InputEvent::MoveTo { x: 5, y: 6 },
            InputEvent::MoveBy { dx: 1, dy: -1 },
        ];
        let pointer = |x, y| v6::ToGuest::Pointer {
            head: 2,
            x,
            y,
            buttons: 8,
        };
        assert_eq!(
            v6_of(MouseMode::Absolute, &events),
            [pointer(0, 0), pointer(5, 6), pointer(6, 5)]
        );
        let relative = |dx, dy| v6::ToGuest::Relative {
            head: 2,
            dx,
            dy,
            buttons: 8,
        };
        assert_eq!(
            v6_of(MouseMode::Relative, &events),
            [relative(0, 0), relative(5, 6), relative(1, -1)]
        );
    }
}
