//! From what a viewer does to what QEMU's keyboard and mouse objects take. Pure: no connection and no task.

use rdpmux_model::{Button, InputEvent, LockKeys, MouseMode, Scancode, Size, Touch, TouchPhase, WheelAxis};

/// One call of QEMU's `Keyboard` or `Mouse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gesture {
    /// `Keyboard.Press` or `Release` of a qnum.
    Key { qnum: u32, down: bool },
    /// `Mouse.Press` or `Release` of a button: 0 left, 1 middle, 2 right, 3 wheel up, 4 wheel down, 5 side, 6 extra, 7 wheel left,
    /// 8 wheel right.
    Button { number: u32, down: bool },
    /// `Mouse.SetAbsPosition`.
    Position { x: u32, y: u32 },
    /// `Mouse.RelMotion`.
    Motion { dx: i32, dy: i32 },
    /// `MultiTouch.SendEvent`: 0 down, 1 moved, 2 up. 3 would be taken back, but QEMU then keeps the finger.
    Touch { kind: u32, slot: u64, x: u32, y: u32 },
}

impl Gesture {
    /// Places that it takes in the small queue of QEMU's keyboard or mouse. Positions take none: the next replaces them.
    /// A whole step of a mouse is more than one packet of its small queue, and what does not fit waits for the next.
    pub(super) fn places(self) -> u32 {
        match self {
            Self::Motion { dx, dy } if dx.abs() == STEP || dy.abs() == STEP => 4,
            Self::Key { .. } | Self::Button { .. } | Self::Motion { .. } => 1,
            Self::Position { .. } | Self::Touch { .. } => 0,
        }
    }
}

/// What the guest is like at the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Size of its frame.
    pub(super) size: Size,
    pub(super) mouse: MouseMode,
    pub(super) locks: LockKeys,
    /// It takes fingers.
    pub(super) has_fingers: bool,
}

/// 1/120 notches that make one click of a wheel.
const NOTCH: i32 = 120;
/// Clicks that one wheel event makes at most: more than that is nobody's hand.
const MAX_CLICKS: i32 = 32;

/// Pixels of one relative motion: a PS/2 mouse tells 127 at once and keeps the rest for later.
const STEP: i32 = 120;
/// A pointer that comes to an edge pushes on by this part of the frame.
const PUSH: u32 = 4;

/// Remembers what one head's input depends on.
#[derive(Debug, Default)]
pub(super) struct Gestures {
    /// Where the viewer's pointer was last; in a guest that takes deltas, where we believe the guest's to be.
    last: Option<(u32, u32)>,
    /// Wheel motion short of a notch, vertical and horizontal.
    wheel: [i32; 2],
    locks: LockWatch,
    /// The finger that is the pointer of a guest without a touch screen.
    finger: Option<u8>,
}

impl Gestures {
    /// Appends what `event` means for the guest.
    pub(super) fn translate(&mut self, event: InputEvent, now: &Now, out: &mut Vec<Gesture>) {
        self.locks.hear(now.locks);
        match event {
            InputEvent::Key { scancode, down } => {
                self.locks.see(scancode, down);
                out.push(key(scancode, down));
            }
            InputEvent::MoveTo { x, y } => self.move_to(x, y, now, out),
            InputEvent::MoveBy { dx, dy } => self.move_by(dx, dy, now, out),
            InputEvent::Button { button, down } => out.push(Gesture::Button {
                number: button_number(button),
                down,
            }),
            InputEvent::Wheel { axis, delta } => self.turn(axis, delta, out),
            InputEvent::Locks(wanted) => self.locks.bring(wanted, out),
            InputEvent::Touch(touch) => self.touch(touch, now, out),
            // QEMU has keys only.
            InputEvent::Character(_) => {}
        }
    }

    fn move_to(&mut self, x: u32, y: u32, now: &Now, out: &mut Vec<Gesture>) {
        let (x, y) = clamped(x, y, now.size);
        match now.mouse {
            MouseMode::Absolute => out.push(Gesture::Position { x, y }),
            MouseMode::Relative => {
                let (from_x, from_y) = self.last.unwrap_or_else(|| {
                    // Where the guest's pointer is, nobody knows: the upper left corner is as far as it goes.
                    motion(-(now.size.width as i32), -(now.size.height as i32), out);
                    (0, 0)
                });
                let push = |to, from, edge| delta(to, from) + pushed(to, from, edge);
                motion(push(x, from_x, now.size.width), push(y, from_y, now.size.height), out);
            }
        }
        self.last = Some((x, y));
    }

    fn move_by(&mut self, dx: i32, dy: i32, now: &Now, out: &mut Vec<Gesture>) {
        let middle = (now.size.width / 2, now.size.height / 2);
        let (x, y) = self.last.unwrap_or(middle);
        let (x, y) = (x.saturating_add_signed(dx), y.saturating_add_signed(dy));
        match now.mouse {
            MouseMode::Relative => {
                motion(dx, dy, out);
                self.last = self.last.map(|_| clamped(x, y, now.size));
            }
            MouseMode::Absolute => self.move_to(x, y, now, out),
        }
    }

    fn touch(&mut self, touch: Touch, now: &Now, out: &mut Vec<Gesture>) {
        if now.has_fingers {
            let (x, y) = clamped(touch.x, touch.y, now.size);
            let kind = match touch.phase {
                TouchPhase::Begin => 0,
                TouchPhase::Update => 1,
                TouchPhase::End | TouchPhase::Cancel => 2,
            };
            let slot = touch.contact.into();
            return out.push(Gesture::Touch { kind, slot, x, y });
        }
        let is_first = *self.finger.get_or_insert(touch.contact) == touch.contact;
        if !is_first {
            return;
        }
        self.move_to(touch.x, touch.y, now, out);
        let down = touch.phase == TouchPhase::Begin;
        if touch.phase != TouchPhase::Update {
            out.push(Gesture::Button { number: 0, down });
        }
        if matches!(touch.phase, TouchPhase::End | TouchPhase::Cancel) {
            self.finger = None;
        }
    }

    fn turn(&mut self, axis: WheelAxis, delta: i16, out: &mut Vec<Gesture>) {
        let (wheel, forward, backward) = match axis {
            WheelAxis::Vertical => (&mut self.wheel[0], 3, 4),
            WheelAxis::Horizontal => (&mut self.wheel[1], 8, 7),
        };
        let delta = i32::from(delta);
        // Turning back does not have to undo a part of a notch first.
        let kept = if wheel.signum() == -delta.signum() { 0 } else { *wheel };
        let turned = kept + delta;
        *wheel = turned % NOTCH;
        let clicks = (turned / NOTCH).clamp(-MAX_CLICKS, MAX_CLICKS);
        let number = if clicks > 0 { forward } else { backward };
        for _ in 0..clicks.abs() {
            out.extend([true, false].map(|down| Gesture::Button { number, down }));
        }
    }
}

fn clamped(x: u32, y: u32, size: Size) -> (u32, u32) {
    let last = |edge: u32| edge.saturating_sub(1);
    (x.min(last(size.width)), y.min(last(size.height)))
}

fn delta(to: u32, from: u32) -> i32 {
    to as i32 - from as i32
}

/// How much further a pointer goes that has come to an edge: guests that accelerate have theirs elsewhere, and at the
/// edge both meet again.
fn pushed(to: u32, from: u32, edge: u32) -> i32 {
    let push = (edge / PUSH) as i32;
    match to {
        _ if to == from => 0,
        0 => -push,
        _ if to + 1 == edge => push,
        _ => 0,
    }
}

/// Appends a motion in steps of a mouse.
fn motion(mut dx: i32, mut dy: i32, out: &mut Vec<Gesture>) {
    // Ten screens: more than that is nobody's hand.
    const MOST: usize = 320;
    for _ in 0..MOST {
        let (x, y) = (dx.clamp(-STEP, STEP), dy.clamp(-STEP, STEP));
        if (x, y) == (0, 0) {
            return;
        }
        out.push(Gesture::Motion { dx: x, dy: y });
        (dx, dy) = (dx - x, dy - y);
    }
}

/// What the guest's lock keys are, and will be when it has answered the keys that are on their way. Firmware and some
/// text consoles have lock keys but no lights: for them only the keys count.
#[derive(Debug, Default)]
struct LockWatch {
    /// By the guest's lights, when they changed last.
    reported: LockKeys,
    expected: LockKeys,
    /// Which keys are down: repeats change nothing.
    down: LockKeys,
}

impl LockWatch {
    /// The guest's lights are these.
    fn hear(&mut self, lights: LockKeys) {
        if lights != self.reported {
            (self.reported, self.expected) = (lights, lights);
        }
    }

    /// A key is on its way to the guest.
    fn see(&mut self, scancode: Scancode, down: bool) {
        for (qnum, lock) in LOCKS {
            if u32::from(scancode.qnum()) == qnum {
                let was_down = core::mem::replace(lock(&mut self.down), down);
                *lock(&mut self.expected) ^= down && !was_down;
            }
        }
    }

    /// Presses the keys of those locks that will differ from what a viewer has.
    fn bring(&mut self, mut wanted: LockKeys, out: &mut Vec<Gesture>) {
        for (qnum, lock) in LOCKS {
            if *lock(&mut wanted) != *lock(&mut self.expected) {
                *lock(&mut self.expected) = *lock(&mut wanted);
                out.extend([true, false].map(|down| Gesture::Key { qnum, down }));
            }
        }
    }
}

type Lock = fn(&mut LockKeys) -> &mut bool;

/// The lock keys and their state.
const LOCKS: [(u32, Lock); 3] = [
    (CAPS_LOCK, |locks| &mut locks.caps),
    (NUM_LOCK, |locks| &mut locks.num),
    (SCROLL_LOCK, |locks| &mut locks.scroll),
];
const CAPS_LOCK: u32 = 0x3A;
const NUM_LOCK: u32 = 0x45;
const SCROLL_LOCK: u32 = 0x46;

fn key(scancode: Scancode, down: bool) -> Gesture {
    Gesture::Key {
        qnum: scancode.qnum().into(),
        down,
    }
}

fn button_number(button: Button) -> u32 {
    match button {
        Button::Left => 0,
        Button::Middle => 1,
        Button::Right => 2,
        Button::Side => 5,
        Button::Extra => 6,
    }
}

#[cfg(test)]
mod tests;
