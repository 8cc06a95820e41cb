//! What QEMU is told of what viewers do.

use super::*;
use crate::motion::merge_motion;

const SIZE: Size = Size::new(100, 50);
const DARK: LockKeys = LockKeys {
    scroll: false,
    num: false,
    caps: false,
};

fn now(mouse: MouseMode, locks: LockKeys) -> Now {
    Now {
        size: SIZE,
        mouse,
        locks,
        has_fingers: false,
    }
}

fn translate(gestures: &mut Gestures, event: InputEvent, mouse: MouseMode) -> Vec<Gesture> {
    let mut out = Vec::new();
    gestures.translate(event, &now(mouse, DARK), &mut out);
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
fn a_guest_with_a_plain_mouse_gets_deltas_from_the_corner_on() {
    let mut gestures = Gestures::default();
    let to = |x, y| InputEvent::MoveTo { x, y };
    let motion = |dx, dy| Gesture::Motion { dx, dy };
    let mode = MouseMode::Relative;
    assert_eq!(
        translate(&mut gestures, to(10, 10), mode),
        [motion(-100, -50), motion(10, 10)]
    );
    assert_eq!(translate(&mut gestures, to(30, 5), mode), [motion(20, -5)]);
    assert_eq!(translate(&mut gestures, to(30, 5), mode), []);
    let by = InputEvent::MoveBy { dx: -5, dy: 5 };
    assert_eq!(translate(&mut gestures, by, mode), [motion(-5, 5)]);
    assert_eq!(translate(&mut gestures, to(30, 5), mode), [motion(5, -5)]);
    // At an edge it goes on for a while, once.
    assert_eq!(translate(&mut gestures, to(0, 5), mode), [motion(-55, 0)]);
    assert_eq!(translate(&mut gestures, to(0, 49), mode), [motion(0, 56)]);
    assert_eq!(
        translate(&mut gestures, to(500, 49), mode),
        [motion(120, 0), motion(4, 0)]
    );
}

#[test]
fn absurd_motion_is_bounded() {
    let mut gestures = Gestures::default();
    let by = InputEvent::MoveBy {
        dx: i32::MIN,
        dy: i32::MAX,
    };
    assert!(translate(&mut gestures, by, MouseMode::Relative).len() < 1000);
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

const NUM: LockKeys = LockKeys { num: true, ..DARK };

fn press(qnum: u32) -> [Gesture; 2] {
    [true, false].map(|down| Gesture::Key { qnum, down })
}

#[test]
fn locks_are_pressed_if_they_differ_and_not_again_while_the_answer_is_on_its_way() {
    let mut gestures = Gestures::default();
    let mut locks = |wanted, lights| {
        let mut out = Vec::new();
        gestures.translate(InputEvent::Locks(wanted), &now(MouseMode::Absolute, lights), &mut out);
        out
    };
    assert_eq!(locks(DARK, DARK), []);
    assert_eq!(locks(NUM, DARK), press(NUM_LOCK));
    // Another viewer says the same before the light is on, and once it is.
    assert_eq!(locks(NUM, DARK), []);
    assert_eq!(locks(NUM, NUM), []);
    assert_eq!(locks(DARK, NUM), press(NUM_LOCK));
    // Who wants it on again before the answer gets it.
    assert_eq!(locks(NUM, NUM), press(NUM_LOCK));
    // The guest changed it by itself.
    assert_eq!(locks(NUM, DARK), press(NUM_LOCK));
}

#[test]
fn a_lock_key_that_a_viewer_presses_counts_before_its_light_is_on() {
    let mut gestures = Gestures::default();
    let key = |down| InputEvent::Key {
        scancode: Scancode::new(NUM_LOCK as u8, false).unwrap(),
        down,
    };
    for down in [true, true, false] {
        translate(&mut gestures, key(down), MouseMode::Absolute);
    }
    assert_eq!(
        translate(&mut gestures, InputEvent::Locks(NUM), MouseMode::Absolute),
        []
    );
    assert_eq!(
        translate(&mut gestures, InputEvent::Locks(DARK), MouseMode::Absolute),
        press(NUM_LOCK)
    );
}

fn touch(contact: u8, phase: TouchPhase, x: u32, y: u32) -> InputEvent {
    InputEvent::Touch(Touch { contact, phase, x, y })
}

#[test]
fn fingers_stay_fingers_where_the_guest_takes_them() {
    let mut gestures = Gestures::default();
    let screen = Now {
        has_fingers: true,
        ..now(MouseMode::Absolute, DARK)
    };
    let mut out = Vec::new();
    for (phase, x) in [
        (TouchPhase::Begin, 3),
        (TouchPhase::Update, 4000),
        (TouchPhase::Cancel, 5),
    ] {
        gestures.translate(touch(2, phase, x, 7), &screen, &mut out);
    }
    let at = |kind, x| Gesture::Touch { kind, slot: 2, x, y: 7 };
    assert_eq!(out, [at(0, 3), at(1, 99), at(2, 5)]);
}

#[test]
fn the_first_finger_is_the_pointer_of_other_guests() {
    let mut gestures = Gestures::default();
    let mut touched = |contact, phase| translate(&mut gestures, touch(contact, phase, 3, 7), MouseMode::Absolute);
    let at = Gesture::Position { x: 3, y: 7 };
    let button = |down| Gesture::Button { number: 0, down };
    assert_eq!(touched(1, TouchPhase::Begin), [at, button(true)]);
    assert_eq!(touched(0, TouchPhase::Begin), []);
    assert_eq!(touched(1, TouchPhase::Update), [at]);
    assert_eq!(touched(0, TouchPhase::End), []);
    assert_eq!(touched(1, TouchPhase::End), [at, button(false)]);
    assert_eq!(touched(0, TouchPhase::Begin), [at, button(true)]);
    assert_eq!(touched(0, TouchPhase::Cancel), [at, button(false)]);
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
