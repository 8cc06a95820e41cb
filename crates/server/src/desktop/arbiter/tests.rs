//! Several hands on one guest: keys, buttons, characters, fingers.

use rdpmux_model::{Touch, TouchPhase};

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
    arbiter.seat(A, Rights::CONTROL, None);
    arbiter.seat(B, Rights::CONTROL, None);
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
    arbiter.seat(A, Rights::VIEW, None);
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

/// `-` for up, and the number of the key, with E0 as a further digit in front.
fn keys(events: &[InputEvent]) -> String {
    let words: Vec<String> = events
        .iter()
        .map(|event| match event {
            InputEvent::Key { scancode, down } => {
                let up = if *down { "" } else { "-" };
                let extended = if scancode.is_extended() { "e0" } else { "" };
                format!("{up}{extended}{:02x}", scancode.code())
            }
            other => format!("{other:?}"),
        })
        .collect();
    words.join(" ")
}

fn typed(arbiter: &mut InputArbiter, session: SessionId, c: char, caps: bool) -> String {
    let mut out = Vec::new();
    arbiter.character(session, c, caps, &mut out);
    keys(&out)
}

fn german() -> InputArbiter {
    let mut arbiter = InputArbiter::default();
    arbiter.set_layout(Layout::by_name("de"));
    arbiter.seat(A, Rights::CONTROL, None);
    arbiter.seat(B, Rights::CONTROL, Layout::by_name("us"));
    arbiter
}

#[test]
fn characters_are_typed_on_the_guests_keyboard() {
    let mut arbiter = german();
    assert_eq!(typed(&mut arbiter, A, 'z', false), "15 -15");
    assert_eq!(typed(&mut arbiter, B, 'Z', false), "2a 15 -15 -2a");
    assert_eq!(typed(&mut arbiter, A, '@', false), "e038 10 -10 -e038");
    assert_eq!(typed(&mut arbiter, A, 'è', false), "2a 0d -0d -2a 12 -12");
    assert_eq!(typed(&mut arbiter, A, '漢', false), "");
}

#[test]
fn without_a_known_keyboard_the_viewers_own_is_the_guess() {
    let mut arbiter = InputArbiter::default();
    arbiter.seat(A, Rights::CONTROL, Layout::by_name("de"));
    arbiter.seat(B, Rights::CONTROL, None);
    assert_eq!(typed(&mut arbiter, A, 'z', false), "15 -15");
    assert_eq!(typed(&mut arbiter, B, 'z', false), "2c -2c");
}

#[test]
fn characters_come_out_right_whatever_modifiers_are_held() {
    let mut arbiter = german();
    let modifier = |scancode, down| InputEvent::Key { scancode, down };
    offer(&mut arbiter, A, modifier(Scancode::new(0x36, false).unwrap(), true));
    assert_eq!(typed(&mut arbiter, A, 'Q', false), "10 -10");
    assert_eq!(typed(&mut arbiter, B, 'q', false), "-36 10 -10 36");
    offer(&mut arbiter, B, modifier(Scancode::new(0x38, true).unwrap(), true));
    assert_eq!(typed(&mut arbiter, A, '@', false), "-36 10 -10 36");
    assert_eq!(typed(&mut arbiter, A, 'q', false), "-36 -e038 10 -10 e038 36");
}

#[test]
fn caps_lock_turns_letters_and_nothing_else() {
    let mut arbiter = german();
    assert_eq!(typed(&mut arbiter, A, 'q', true), "2a 10 -10 -2a");
    assert_eq!(typed(&mut arbiter, A, 'Ü', true), "1a -1a");
    assert_eq!(typed(&mut arbiter, A, '1', true), "02 -02");
    assert_eq!(typed(&mut arbiter, A, '@', true), "e038 10 -10 -e038");
}

#[test]
fn a_viewer_without_control_types_no_characters_and_touches_nothing() {
    let mut arbiter = InputArbiter::default();
    arbiter.seat(A, Rights::VIEW, None);
    assert_eq!(typed(&mut arbiter, A, 'a', false), "");
    assert_eq!(typed(&mut arbiter, B, 'a', false), "");
    assert_eq!(offer(&mut arbiter, A, touch(0, TouchPhase::Begin)), []);
}

fn touch(contact: u8, phase: TouchPhase) -> InputEvent {
    InputEvent::Touch(Touch {
        contact,
        phase,
        x: 7,
        y: 9,
    })
}

#[test]
fn fingers_of_several_viewers_get_slots_of_their_own() {
    use TouchPhase::{Begin, Cancel, End, Update};
    let mut arbiter = arbiter();
    assert_eq!(offer(&mut arbiter, A, touch(200, Begin)), [touch(0, Begin)]);
    assert_eq!(offer(&mut arbiter, B, touch(200, Begin)), [touch(1, Begin)]);
    assert_eq!(offer(&mut arbiter, B, touch(200, Begin)), [touch(1, Update)]);
    assert_eq!(offer(&mut arbiter, A, touch(200, End)), [touch(0, End)]);
    assert_eq!(offer(&mut arbiter, A, touch(200, Update)), []);
    assert_eq!(offer(&mut arbiter, A, touch(3, Begin)), [touch(0, Begin)]);
    let mut out = Vec::new();
    arbiter.release(B, &mut out);
    assert_eq!(out, [touch(1, Cancel)]);
}

#[test]
fn fingers_that_find_no_slot_are_left_out() {
    use TouchPhase::{Begin, End};
    let mut arbiter = arbiter();
    for contact in 0..Touch::SLOTS {
        assert_eq!(offer(&mut arbiter, A, touch(contact, Begin)).len(), 1);
    }
    assert_eq!(offer(&mut arbiter, A, touch(99, Begin)), []);
    assert_eq!(offer(&mut arbiter, A, touch(99, End)), []);
}
