//! Input, control, pointer, resize and the end of a session.

use std::sync::Arc;

use ironrdp_core::encode_vec;
use ironrdp_pdu::input::fast_path::{FastPathInput, FastPathInputEvent, KeyboardFlags, SynchronizeFlags};
use ironrdp_pdu::input::mouse::{MousePdu, PointerFlags};
use ironrdp_pdu::rdp::headers::ShareDataPdu;
use rdpmux_model::{Button, InputEvent, LockKeys, PointerImage, PointerShape, Rect, Scancode, Size, WheelAxis};
use rdpmux_rdp::{CloseReason, SessionError, SessionEvent};

use crate::client::{self, Options, Pair};
use crate::hostile::send_data_request;

fn pair() -> Pair {
    let mut pair = client::connect(&Options {
        egfx: false,
        ..Options::default()
    });
    pair.start();
    pair.events.clear();
    pair
}

fn inputs(pair: &mut Pair) -> Vec<InputEvent> {
    std::mem::take(&mut pair.events)
        .into_iter()
        .filter_map(|e| {
            if let SessionEvent::Input(input) = e {
                Some(input)
            } else {
                None
            }
        })
        .collect()
}

fn key(code: u8, extended: bool, down: bool) -> InputEvent {
    InputEvent::Key {
        scancode: Scancode::new(code, extended).unwrap(),
        down,
    }
}

fn fast(events: Vec<FastPathInputEvent>) -> Vec<u8> {
    encode_vec(&FastPathInput::new(events).unwrap()).unwrap()
}

#[test]
fn keys_come_with_their_prefix_and_edge() {
    let mut pair = pair();
    pair.say(&fast(vec![
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::empty(), 0x1E),
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::RELEASE, 0x1E),
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::EXTENDED, 0x4D),
        FastPathInputEvent::UnicodeKeyboardEvent(KeyboardFlags::empty(), 0x20AC),
        FastPathInputEvent::SyncEvent(SynchronizeFlags::NUM_LOCK),
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::empty(), 0),
    ]));
    let locks = LockKeys {
        num: true,
        ..LockKeys::default()
    };
    assert_eq!(
        inputs(&mut pair),
        [
            key(0x1E, false, true),
            key(0x1E, false, false),
            key(0x4D, true, true),
            InputEvent::Locks(locks)
        ]
    );
}

/// A unicode key of a pair of fast and slow messages: what one types, the other types too.
fn unicode(io: u16, units: &[(u16, bool)]) -> [Vec<u8>; 2] {
    let fast_event = |(unit, down): &(u16, bool)| {
        let [low, high] = unit.to_le_bytes();
        [4 << 5 | u8::from(!down), low, high]
    };
    let mut quick = vec![(units.len() as u8) << 2, (2 + 3 * units.len()) as u8];
    quick.extend(units.iter().flat_map(fast_event));
    let slow_event = |(unit, down): &(u16, bool)| {
        let flags = if *down { 0 } else { 0x8000_u16 };
        let words = [0, 0, 5, flags, *unit, 0];
        words.map(u16::to_le_bytes).concat()
    };
    let mut body = [units.len() as u16, 0].map(u16::to_le_bytes).concat();
    body.extend(units.iter().flat_map(slow_event));
    [quick, share_data(io, 28, &body)]
}

fn characters(pair: &mut Pair) -> String {
    let events = std::mem::take(&mut pair.events);
    let character = |event| match event {
        SessionEvent::Character(c) => c,
        other => panic!("{other:?}"),
    };
    events.into_iter().map(character).collect()
}

#[test]
fn unicode_keys_type_when_they_go_down() {
    let io = pair().result.io_channel_id;
    for bytes in unicode(io, &[(0x20AC, true), (0x20AC, false), (0x61, true), (0x61, false)]) {
        let mut pair = pair();
        pair.say(&bytes);
        assert_eq!(characters(&mut pair), "€a");
    }
}

#[test]
fn surrogate_pairs_come_in_two_keys_and_halves_are_refused() {
    let (high, low) = (0xD83E, 0xDD80);
    let releases_between = [(high, true), (high, false), (low, true), (low, false)];
    for (units, expected, cut) in [
        (&releases_between[..], "🦀", 0),
        (&[(high, true), (low, true)], "🦀", 0),
        (&[(low, true), (0x61, true)], "a", 1),
        (&[(high, true), (0x61, true)], "a", 1),
        (&[(high, true), (high, true), (low, true)], "🦀", 1),
        (&[(0, true), (0x62, true)], "b", 0),
    ] {
        for bytes in unicode(pair().result.io_channel_id, units) {
            let mut pair = pair();
            pair.say(&bytes);
            assert_eq!(characters(&mut pair), expected);
            assert_eq!(pair.session.cut_surrogates(), cut);
        }
    }
    // The halves may come in two messages.
    let mut pair = pair();
    for (unit, expected) in [(high, ""), (low, "🦀")] {
        pair.say(&unicode(0, &[(unit, true)])[0]);
        assert_eq!(characters(&mut pair), expected);
    }
}

#[test]
fn pause_is_one_key_although_it_comes_in_two() {
    let mut pair = pair();
    pair.say(&fast(vec![
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::EXTENDED1, 0x1D),
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::empty(), 0x45),
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::EXTENDED1 | KeyboardFlags::RELEASE, 0x1D),
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::RELEASE, 0x45),
        // And Num Lock alone is Num Lock.
        FastPathInputEvent::KeyboardEvent(KeyboardFlags::empty(), 0x45),
    ]));
    let pause = |down| InputEvent::Key {
        scancode: Scancode::PAUSE,
        down,
    };
    assert_eq!(inputs(&mut pair), [pause(true), pause(false), key(0x45, false, true)]);
}

fn mouse(flags: PointerFlags, units: i16, x: u16, y: u16) -> FastPathInputEvent {
    FastPathInputEvent::MouseEvent(MousePdu {
        flags,
        number_of_wheel_rotation_units: units,
        x_position: x,
        y_position: y,
    })
}

#[test]
fn clicks_move_first_and_wheels_keep_their_sign() {
    let mut pair = pair();
    pair.say(&fast(vec![
        mouse(PointerFlags::DOWN | PointerFlags::LEFT_BUTTON, 0, 5, 6),
        mouse(PointerFlags::VERTICAL_WHEEL, 120, 0, 0),
        mouse(PointerFlags::VERTICAL_WHEEL, -120, 0, 0),
        mouse(PointerFlags::HORIZONTAL_WHEEL, -1, 0, 0),
    ]));
    let wheel = |axis, delta| InputEvent::Wheel { axis, delta };
    assert_eq!(
        inputs(&mut pair),
        [
            InputEvent::MoveTo { x: 5, y: 6 },
            InputEvent::Button {
                button: Button::Left,
                down: true
            },
            wheel(WheelAxis::Vertical, 120),
            wheel(WheelAxis::Vertical, -120),
            wheel(WheelAxis::Horizontal, -1),
        ]
    );
}

#[test]
fn relative_and_extended_pointers_are_read() {
    let mut pair = pair();
    // Header with two events; relative: flags, -3, 4; extended: button 2 down at 7, 8.
    pair.say(&[
        2 << 2,
        16,
        5 << 5,
        0,
        0x08,
        0xFD,
        0xFF,
        4,
        0,
        2 << 5,
        2,
        0x80,
        7,
        0,
        8,
        0,
    ]);
    assert_eq!(
        inputs(&mut pair),
        [
            InputEvent::MoveBy { dx: -3, dy: 4 },
            InputEvent::MoveTo { x: 7, y: 8 },
            InputEvent::Button {
                button: Button::Extra,
                down: true
            },
        ]
    );
}

#[test]
fn slow_path_input_says_the_same() {
    let mut pair = pair();
    let mut events = Vec::new();
    for (kind, data) in [
        (4_u16, [0, 0xC0, 0x1C, 0, 0, 0]),
        (4, [0, 1, 0x1D, 0, 0, 0]),
        (0x8001, [0, 8, 9, 0, 10, 0]),
        (99, [0; 6]),
    ] {
        events.extend_from_slice(&[0; 4]);
        events.extend_from_slice(&kind.to_le_bytes());
        events.extend_from_slice(&data);
    }
    let body = [&[4, 0, 0, 0][..], &events].concat();
    pair.say(&share_data(pair.result.io_channel_id, 28, &body));
    assert_eq!(
        inputs(&mut pair),
        [
            key(0x1C, false, false),
            key(0x1D, true, true),
            InputEvent::MoveTo { x: 9, y: 10 }
        ]
    );
}

pub fn share_data(io: u16, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut data = vec![
        18 + body.len() as u8,
        0,
        0x17,
        0,
        0xEA,
        3,
        0xEA,
        3,
        1,
        0,
        0,
        1,
        0,
        0,
        kind,
        0,
        0,
        0,
    ];
    data.extend_from_slice(body);
    send_data_request(io, &data)
}

#[test]
fn a_message_in_single_bytes_is_one_message() {
    let mut pair = pair();
    let bytes = fast(vec![FastPathInputEvent::KeyboardEvent(KeyboardFlags::empty(), 0x1E)]);
    let mut out = Vec::new();
    for length in 0..bytes.len() {
        assert_eq!(
            pair.session.feed(&bytes[..length], &mut pair.events, &mut out).unwrap(),
            0
        );
    }
    pair.say(&bytes);
    assert_eq!(inputs(&mut pair), [key(0x1E, false, true)]);
}

#[test]
fn hidden_windows_and_repaints_are_told() {
    let mut pair = pair();
    let io = pair.result.io_channel_id;
    pair.say(&share_data(io, 35, &[0, 0, 0, 0]));
    pair.say(&share_data(io, 35, &[1, 0, 0, 0, 0, 0, 0, 0, 31, 3, 87, 2]));
    pair.say(&share_data(io, 33, &[1, 0, 0, 0, 10, 0, 20, 0, 19, 0, 20, 0]));
    let events = std::mem::take(&mut pair.events);
    assert!(matches!(
        &events[..],
        [SessionEvent::Suppress(true), SessionEvent::Suppress(false), SessionEvent::Refresh(rects)]
            if rects[..] == [Rect::new(10, 20, 10, 1)]
    ));
}

#[test]
fn a_shutdown_request_is_denied_and_an_ultimatum_is_the_end() {
    let mut pair = pair();
    pair.say_share(ShareDataPdu::ShutdownRequest);
    assert!(matches!(pair.share.last(), Some(ShareDataPdu::ShutdownDenied)));
    assert!(pair.events.is_empty());
    pair.say(&[3, 0, 0, 9, 2, 0xF0, 0x80, 0x21, 0x80]);
    assert!(matches!(pair.events[..], [SessionEvent::Shutdown]));
}

#[test]
fn unknown_messages_are_stepped_over_and_broken_ones_are_not() {
    let mut pair = pair();
    let io = pair.result.io_channel_id;
    pair.say(&share_data(io, 200, &[1, 2, 3]));
    pair.say(&send_data_request(io + 20, b"a channel that nobody has"));
    pair.say(&send_data_request(io, &[0, 0x80, 1, 0, 0, 0, 0, 0]));
    assert!(pair.events.is_empty());
    let mut out = Vec::new();
    for broken in [
        share_data(io, 33, &[9, 0, 0, 0, 1]),
        share_data(io, 28, &[1, 0, 0, 0]),
        send_data_request(io, &[200, 0, 0x17, 0, 0, 0]),
        send_data_request(io, &[3, 0, 0x17]),
        vec![0x04, 0x03, 0xE0],
        vec![0x01, 0x02],
        vec![3, 0, 0, 7, 2, 0xF0, 0x80],
    ] {
        let result = pair.session.feed(&broken, &mut pair.events, &mut out);
        assert!(
            matches!(result, Err(SessionError::Peer { .. })),
            "{broken:02x?} {result:?}"
        );
    }
}

#[test]
fn channel_messages_are_bounded_before_they_are_collected() {
    let mut pair = client::connect(&Options::default());
    pair.start();
    let drdynvc = pair.result.static_channels.channel_ids().next().unwrap();
    let mut out = Vec::new();
    let first = |total: u32, data: &[u8]| {
        let chunk = [&total.to_le_bytes()[..], &1_u32.to_le_bytes(), data].concat();
        send_data_request(drdynvc, &chunk)
    };
    let result = pair.session.feed(&first(u32::MAX, &[0; 8]), &mut pair.events, &mut out);
    assert!(matches!(result, Err(SessionError::Oversized { .. })), "{result:?}");
    // A whole message that announces a huge fragmented one.
    let data_first = [0x28, 0, 0xFF, 0xFF, 0xFF, 0x7F, 1, 2];
    let chunk = [&8_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), &data_first].concat();
    let result = pair
        .session
        .feed(&send_data_request(drdynvc, &chunk), &mut pair.events, &mut out);
    assert!(matches!(result, Err(SessionError::Oversized { .. })), "{result:?}");
}

#[test]
fn words_on_a_channel_of_a_former_connection_are_stepped_over() {
    let mut pair = client::connect(&Options::default());
    pair.start();
    let drdynvc = pair.result.static_channels.channel_ids().next().unwrap();
    let mut out = Vec::new();
    // Whole data and the first part of some, on channel 99.
    for data in [&[0x30, 99, 1, 2, 3][..], &[0x20, 99, 9, 1, 2]] {
        let chunk = [&(data.len() as u32).to_le_bytes()[..], &3_u32.to_le_bytes(), data].concat();
        let message = send_data_request(drdynvc, &chunk);
        let used = pair.session.feed(&message, &mut pair.events, &mut out);
        assert_eq!(used.expect("no end of the session"), message.len());
    }
}

#[test]
fn a_legacy_resize_ends_in_a_fresh_writer() {
    let mut pair = pair();
    let mut out = Vec::new();
    pair.session.resize_legacy(Size::new(640, 480), &mut out);
    // What is typed meanwhile is for the old desktop.
    pair.say(&fast(vec![FastPathInputEvent::KeyboardEvent(
        KeyboardFlags::empty(),
        0x1E,
    )]));
    assert!(pair.events.is_empty());
    let mut pointer = Vec::new();
    pair.session.pointer(&PointerShape::Hidden, &mut pointer);
    assert!(pointer.is_empty());
    let io = pair.result.io_channel_id;
    // Confirm Active without a single capability set, then the finalization.
    let confirm = [16, 0, 0x13, 0, 1, 0, 0xEA, 3, 1, 0, 0xEA, 3, 0, 0, 4, 0, 0, 0, 0, 0];
    let mut confirm = confirm.to_vec();
    confirm[0] = confirm.len() as u8;
    pair.share.clear();
    pair.say(&send_data_request(io, &confirm));
    pair.say(&share_data(io, 31, &[1, 0, 0xEA, 3]));
    pair.say(&share_data(io, 20, &[4, 0, 0, 0, 0, 0, 0, 0]));
    pair.say(&share_data(io, 20, &[1, 0, 0, 0, 0, 0, 0, 0]));
    assert!(pair.take_writer().is_none());
    pair.say(&share_data(io, 39, &[0, 0, 0, 0, 3, 0, 50, 0]));
    assert!(pair.take_writer().is_some());
    let answers: Vec<&str> = pair.share.iter().map(ShareDataPdu::as_short_name).collect();
    assert_eq!(
        answers,
        ["Synchronize PDU", "Control PDU", "Control PDU", "Font Map PDU"]
    );
}

fn image(edge: u32, shade: u8) -> PointerShape {
    let bytes = [shade, shade, shade, 255].repeat((edge * edge) as usize);
    PointerShape::Image(Arc::new(
        PointerImage::new(Size::new(edge, edge), edge - 1, 0, bytes.into()).unwrap(),
    ))
}

#[test]
fn pointers_are_sent_once_and_then_by_number() {
    let mut pair = pair();
    let mut sent = |shape: &PointerShape| {
        let mut out = Vec::new();
        pair.session.pointer(shape, &mut out);
        out.get(3).map(|code| (code & 0x0F, out.len()))
    };
    let (a, b) = (image(32, 1), image(32, 2));
    assert!(matches!(sent(&a), Some((11, n)) if n > 4000));
    assert_eq!(sent(&a), None, "it is shown already");
    assert!(matches!(sent(&b), Some((11, _))));
    assert_eq!(
        sent(&image(32, 1)),
        Some((10, 8)),
        "an equal picture is the same picture"
    );
    assert_eq!(sent(&PointerShape::Hidden), Some((5, 6)));
    assert_eq!(sent(&PointerShape::Default), Some((6, 6)));
    for shade in 0..40 {
        assert!(sent(&image(16, shade)).is_some());
    }
    assert!(matches!(sent(&a), Some((11, _))), "the oldest one was dropped");
}

#[test]
fn every_reason_to_close_reaches_the_client_and_ends_the_domain() {
    for reason in [
        CloseReason::Denied,
        CloseReason::BadCredentials,
        CloseReason::Replaced,
        CloseReason::IdleTimeout,
        CloseReason::Disconnected,
        CloseReason::LoggedOff,
        CloseReason::DesktopRemoved,
        CloseReason::ServerShutdown,
        CloseReason::Limit,
    ] {
        let mut pair = pair();
        let mut out = Vec::new();
        pair.session.error_info(reason, &mut out);
        assert!(out.ends_with(&[3, 0, 0, 9, 2, 0xF0, 0x80, 0x21, 0x80]));
        out.truncate(out.len() - 9);
        pair.deliver(&out);
        assert!(
            matches!(pair.share.last(), Some(ShareDataPdu::ServerSetErrorInfo(_))),
            "{reason:?}"
        );
    }
}

#[test]
fn indicators_reach_the_client() {
    let mut pair = pair();
    let mut out = Vec::new();
    let locks = LockKeys {
        num: true,
        caps: true,
        scroll: false,
    };
    pair.session.indicators(locks, &mut out);
    pair.deliver(&out);
    assert!(matches!(pair.share.last(), Some(ShareDataPdu::SetKeyboardIndicators(data)) if data[2..4] == [6, 0]));
}
