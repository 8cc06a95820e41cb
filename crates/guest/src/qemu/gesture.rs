//! From what a viewer does to what QEMU's keyboard and mouse objects take. Pure: no connection and no task.

use rdpmux_model::{Button, InputEvent, LockKeys, MouseMode, Scancode, Size, WheelAxis};

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
}

/// 1/120 notches that make one click of a wheel.
const NOTCH: i32 = 120;
/// Clicks that one wheel event makes at most: more than that is nobody's hand.
const MAX_CLICKS: i32 = 32;

/// Remembers what one head's input depends on.
#[derive(Debug, Default)]
pub(super) struct Gestures {
    /// Where the viewer's pointer was last, for a guest that takes deltas.
    last: Option<(u32, u32)>,
    /// Wheel motion short of a notch, vertical and horizontal.
    wheel: [i32; 2],
    /// The locks that we pressed a key for and the guest has not answered since.
    tried: LockKeys,
    /// The guest's locks when that was.
    tried_at: LockKeys,
}

impl Gestures {
    /// Appends what `event` means for a guest of frame `size` in mode `mouse` whose locks are `locks`.
    pub(super) fn translate(
        &mut self,
        event: InputEvent,
        size: Size,
        mouse: MouseMode,
        locks: LockKeys,
        out: &mut Vec<Gesture>,
    ) {
        match event {
            InputEvent::Key { scancode, down } => out.push(key(scancode, down)),
            InputEvent::MoveTo { x, y } => self.move_to(x, y, size, mouse, out),
            InputEvent::MoveBy { dx, dy } => self.move_by(dx, dy, size, mouse, out),
            InputEvent::Button { button, down } => out.push(Gesture::Button {
                number: button_number(button),
                down,
            }),
            InputEvent::Wheel { axis, delta } => self.turn(axis, delta, out),
            InputEvent::Locks(wanted) => self.match_locks(wanted, locks, out),
            InputEvent::Touch(_) => {}
        }
    }

    fn move_to(&mut self, x: u32, y: u32, size: Size, mouse: MouseMode, out: &mut Vec<Gesture>) {
        let (x, y) = (
            x.min(size.width.saturating_sub(1)),
            y.min(size.height.saturating_sub(1)),
        );
        match (mouse, self.last) {
            (MouseMode::Absolute, _) => out.push(Gesture::Position { x, y }),
            (MouseMode::Relative, Some((from_x, from_y))) => {
                let delta = |to: u32, from: u32| to as i32 - from as i32;
                let (dx, dy) = (delta(x, from_x), delta(y, from_y));
                if (dx, dy) != (0, 0) {
                    out.push(Gesture::Motion { dx, dy });
                }
            }
            (MouseMode::Relative, None) => {}
        }
        self.last = Some((x, y));
    }

    fn move_by(&mut self, dx: i32, dy: i32, size: Size, mouse: MouseMode, out: &mut Vec<Gesture>) {
        match mouse {
            MouseMode::Relative => out.push(Gesture::Motion { dx, dy }),
            MouseMode::Absolute => {
                let (x, y) = self.last.unwrap_or((size.width / 2, size.height / 2));
                self.move_to(
                    x.saturating_add_signed(dx),
                    y.saturating_add_signed(dy),
                    size,
                    mouse,
                    out,
                );
            }
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

    /// Presses the lock keys whose light differs; each once, as long as the guest's lights do not move: firmware and
    /// text consoles have keys but no lights.
    fn match_locks(&mut self, wanted: LockKeys, guest: LockKeys, out: &mut Vec<Gesture>) {
        if guest != self.tried_at {
            self.tried = LockKeys::default();
            self.tried_at = guest;
        }
        let locks = [
            (CAPS_LOCK, wanted.caps != guest.caps, &mut self.tried.caps),
            (NUM_LOCK, wanted.num != guest.num, &mut self.tried.num),
            (SCROLL_LOCK, wanted.scroll != guest.scroll, &mut self.tried.scroll),
        ];
        for (qnum, differs, tried) in locks {
            if differs && !*tried {
                *tried = true;
                out.extend([true, false].map(|down| Gesture::Key { qnum, down }));
            }
        }
    }
}

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

/// Merges motion that nothing stands between: the last position wins, deltas add up. Edges keep their order.
pub(super) fn merge_motion(events: &mut Vec<InputEvent>) {
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
        _ => false,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(100, 50);
    const DARK: LockKeys = LockKeys {
        scroll: false,
        num: false,
        caps: false,
    };

    fn translate(gestures: &mut Gestures, event: InputEvent, mouse: MouseMode) -> Vec<Gesture> {
        let mut out = Vec::new();
        gestures.translate(event, SIZE, mouse, DARK, &mut out);
        out
    }

    #[test]
    fn positions_are_clamped_to_the_frame() {
        let mut gestures = Gestures::default();
        let event = InputEvent::MoveTo { x: 1000, y: u32::MAX };
        let expected = [Gesture::Position { x: 99, y: 49 }];
        assert_eq!(translate(&mut gestures, event, MouseMode::Absolute), expected);
        let back = InputEvent::MoveBy { dx: -9, dy: i32::MIN };
        let expected = [Gesture::Position { x: 90, y: 0 }];
        assert_eq!(translate(&mut gestures, back, MouseMode::Absolute), expected);
    }

    #[test]
    fn a_guest_with_a_plain_mouse_gets_deltas() {
        let mut gestures = Gestures::default();
        let to = |x, y| InputEvent::MoveTo { x, y };
        assert_eq!(translate(&mut gestures, to(10, 10), MouseMode::Relative), []);
        let expected = [Gesture::Motion { dx: 20, dy: -5 }];
        assert_eq!(translate(&mut gestures, to(30, 5), MouseMode::Relative), expected);
        assert_eq!(translate(&mut gestures, to(30, 5), MouseMode::Relative), []);
    }

    #[test]
    fn a_wheel_clicks_at_every_whole_notch() {
        let mut gestures = Gestures::default();
        let turn = |delta| InputEvent::Wheel {
            axis: WheelAxis::Vertical,
            delta,
        };
        assert_eq!(translate(&mut gestures, turn(60), MouseMode::Absolute), []);
        let click = |number| [true, false].map(|down| Gesture::Button { number, down });
        assert_eq!(translate(&mut gestures, turn(60), MouseMode::Absolute), click(3));
        assert_eq!(translate(&mut gestures, turn(-120), MouseMode::Absolute), click(4));
        let flood = translate(&mut gestures, turn(i16::MIN), MouseMode::Absolute);
        assert!(flood.len() <= 2 * MAX_CLICKS as usize);
    }

    #[test]
    fn locks_are_pressed_once_while_the_guest_shows_no_light() {
        let mut gestures = Gestures::default();
        let wanted = LockKeys { num: true, ..DARK };
        let press = [true, false].map(|down| Gesture::Key { qnum: NUM_LOCK, down });
        assert_eq!(
            translate(&mut gestures, InputEvent::Locks(wanted), MouseMode::Absolute),
            press
        );
        assert_eq!(
            translate(&mut gestures, InputEvent::Locks(wanted), MouseMode::Absolute),
            []
        );
        let mut out = Vec::new();
        gestures.translate(InputEvent::Locks(DARK), SIZE, MouseMode::Absolute, wanted, &mut out);
        assert_eq!(out, press);
    }

    #[test]
    fn motion_merges_but_never_across_an_edge() {
        let to = |x| InputEvent::MoveTo { x, y: 0 };
        let click = InputEvent::Button {
            button: Button::Left,
            down: true,
        };
        let mut events = vec![to(1), to(2), click, to(3), to(4), InputEvent::MoveBy { dx: 1, dy: 1 }];
        merge_motion(&mut events);
        assert_eq!(events, [to(2), click, to(4), InputEvent::MoveBy { dx: 1, dy: 1 }]);
        let by = |dx| InputEvent::MoveBy { dx, dy: -1 };
        let mut events = vec![by(i32::MAX), by(5)];
        merge_motion(&mut events);
        assert_eq!(events, [InputEvent::MoveBy { dx: i32::MAX, dy: -2 }]);
    }
}
