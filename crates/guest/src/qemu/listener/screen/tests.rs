use std::os::fd::OwnedFd;

use rdpmux_engine::SurfaceReader;
use rdpmux_model::{HeadState, InputEvent, Size};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::qemu::listener::call::PATH;

/// A screen with everything that keeps its port alive.
struct Bench {
    screen: Screen,
    surface: SurfaceReader,
    state: watch::Receiver<HeadState>,
    _input: mpsc::Receiver<InputEvent>,
}

fn bench(shared_frames: SharedFrames) -> Bench {
    let (sink, input, port) = GuestSink::open(0, String::new(), Size::new(64, 64));
    Bench {
        screen: Screen::new(sink, "web1".to_owned(), shared_frames),
        surface: port.surface,
        state: port.state,
        _input: input,
    }
}

impl Bench {
    fn send(&mut self, message: &[u8], descriptors: Vec<OwnedFd>) -> Result<Vec<u8>, PeerError> {
        let mut answer = Vec::new();
        self.screen.handle(message, descriptors, 7, |bytes| {
            answer.extend(bytes);
            Ok(())
        })?;
        Ok(answer)
    }
}

/// A method call as QEMU makes it; `words` come first in the body, then `bytes` as an array if the signature has one.
fn call(interface: &str, member: &str, signature: &str, words: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    if signature.ends_with("ay") {
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
    }
    message(interface, member, signature, &body)
}

fn message(interface: &str, member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut out = vec![b'l', 1, 0, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(5_u32.to_le_bytes());
    out.extend([0; 4]);
    for (code, kind, text) in [(1, b'o', PATH), (2, b's', interface), (3, b's', member)] {
        wire::pad(&mut out, 8);
        out.extend([code, 1, kind, 0]);
        wire::put_text(&mut out, text);
    }
    wire::pad(&mut out, 8);
    out.extend([8, 1, b'g', 0]);
    wire::put_signature(&mut out, signature);
    let handles = signature.matches('h').count() as u32;
    if handles > 0 {
        wire::pad(&mut out, 8);
        out.extend([9, 1, b'u', 0]);
        out.extend(handles.to_le_bytes());
    }
    let fields = (out.len() - 16) as u32;
    out[12..16].copy_from_slice(&fields.to_le_bytes());
    wire::pad(&mut out, 8);
    out.extend(body);
    out
}

const XRGB: u32 = 0x2002_0888;

fn scanout(words: [u32; 4], bytes: &[u8]) -> Vec<u8> {
    call(LISTENER, "Scanout", "uuuuay", &words, bytes)
}

fn update(words: [u32; 6], bytes: &[u8]) -> Vec<u8> {
    call(LISTENER, "Update", "iiiiuuay", &words, bytes)
}

#[test]
fn pictures_and_changes_reach_the_surface() {
    let mut bench = bench(SharedFrames::Never);
    let answer = bench.send(&scanout([2, 2, 12, XRGB], &[9; 20]), vec![]).expect("good");
    assert_eq!(wire::parse(&answer).map(|m| m.kind), Ok(wire::Kind::Return));
    assert_eq!(bench.surface.snapshot(), (Size::new(2, 2), [9, 9, 9, 255].repeat(4)));
    bench
        .send(&update([1, 0, 1, 1, 4, XRGB], &[1, 2, 3, 0]), vec![])
        .expect("good");
    assert_eq!(bench.surface.snapshot().1[4..8], [1, 2, 3, 255]);
    let generation = bench.surface.generation();
    bench
        .send(&update([1, 0, 1, 1, 4, XRGB], &[1, 2, 3, 77]), vec![])
        .expect("good");
    assert_eq!(bench.surface.generation(), generation);
}

#[test]
fn absurd_pictures_are_refused_and_change_nothing() {
    let mut bench = bench(SharedFrames::Never);
    let before = bench.surface.snapshot();
    let max = u32::MAX;
    let messages = [
        scanout([0, 0, 0, XRGB], &[]),
        scanout([8193, 1, 32772, XRGB], &[0; 40000]),
        scanout([max, max, max, XRGB], &[0; 16]),
        scanout([2, 2, 7, XRGB], &[0; 16]),
        scanout([2, 2, 8, XRGB], &[0; 15]),
        scanout([2, 2, max, XRGB], &[0; 16]),
        scanout([2, 2, 8, 0], &[0; 16]),
        scanout([2, 2, 8, max], &[0; 16]),
        update([0, 8190, 1, 3, 4, XRGB], &[0; 12]),
        update([8192, 0, 1, 1, 4, XRGB], &[0; 4]),
        update([max, 0, 1, 1, 4, XRGB], &[0; 4]),
        update([0, 0, max, 1, 4, XRGB], &[0; 4]),
        update([0x7FFF_FFFF, 0, 1, 1, 4, XRGB], &[0; 4]),
        update([0, 0, 0, 1, 4, XRGB], &[0; 4]),
        update([0, 0, 1, 1, 4, XRGB], &[0; 3]),
        call(LISTENER, "CursorDefine", "iiiiay", &[0, 1, 0, 0], &[]),
        call(LISTENER, "CursorDefine", "iiiiay", &[max, max, 0, 0], &[0; 4]),
        call(LISTENER, "CursorDefine", "iiiiay", &[0x10000, 0x10000, 0, 0], &[]),
        call(LISTENER, "CursorDefine", "iiiiay", &[2, 2, 0, 0], &[0; 15]),
        call(LISTENER, "Scanout", "uuuay", &[1, 1, 4], &[0; 4]),
        call(LISTENER, "Disable", "u", &[1], &[]),
        call(LISTENER, "Update", "iiiiuuay", &[0, 0, 1], &[0; 4]),
        call(LISTENER, "MouseSet", "iii", &[1, 2, 3, 4], &[]),
    ];
    for (index, message) in messages.iter().enumerate() {
        assert!(bench.send(message, vec![]).is_err(), "message {index}");
        assert!(bench.surface.snapshot() == before, "message {index}");
        assert_eq!(bench.state.borrow().pointer, PointerShape::Default, "message {index}");
    }
}

#[test]
fn every_truncation_and_every_flipped_byte_is_survived() {
    let good = scanout([2, 2, 8, XRGB], &[9; 16]);
    let mut bench = bench(SharedFrames::Offered);
    for length in 0..good.len() {
        assert!(bench.send(&good[..length], vec![]).is_err(), "{length} bytes");
    }
    for at in 0..good.len() {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut bad = good.clone();
            bad[at] = value;
            // Some are still good; none may panic.
            let _ = bench.send(&bad, vec![]);
        }
    }
}

#[test]
fn a_pointer_shows_hides_and_is_cut_to_what_clients_can_show() {
    let mut bench = bench(SharedFrames::Never);
    let mouse_set = |on| call(LISTENER, "MouseSet", "iii", &[5, 6, on], &[]);
    bench.send(&mouse_set(0), vec![]).expect("good");
    assert_eq!(bench.state.borrow().pointer, PointerShape::Default);
    let cursor = call(LISTENER, "CursorDefine", "iiiiay", &[1, 2, u32::MAX, 99], &[8; 8]);
    bench.send(&mouse_set(1), vec![]).expect("good");
    bench.send(&cursor, vec![]).expect("good");
    let PointerShape::Image(image) = bench.state.borrow().pointer.clone() else {
        panic!("a picture")
    };
    assert_eq!((image.size(), image.hot_spot()), (Size::new(1, 2), (0, 1)));
    bench.send(&mouse_set(0), vec![]).expect("good");
    assert_eq!(bench.state.borrow().pointer, PointerShape::Hidden);
    let large = call(LISTENER, "CursorDefine", "iiiiay", &[512, 2, 0, 0], &[8; 4096]);
    bench.send(&mouse_set(1), vec![]).expect("good");
    bench.send(&large, vec![]).expect("good");
    assert!(matches!(&bench.state.borrow().pointer, PointerShape::Image(i) if i.size() == Size::new(384, 2)));
}

#[test]
fn properties_name_shared_memory_only_where_it_is_offered() {
    for (shared_frames, named) in [(SharedFrames::Offered, true), (SharedFrames::Never, false)] {
        let mut bench = bench(shared_frames);
        let mut body = Vec::new();
        wire::put_text(&mut body, LISTENER);
        let get_all = message("org.freedesktop.DBus.Properties", "GetAll", "s", &body);
        let answer = bench.send(&get_all, vec![]).expect("good");
        let parsed = wire::parse(&answer).expect("an answer");
        assert_eq!(parsed.signature, "a{sv}");
        let has = answer
            .windows(UNIX_MAP.len())
            .any(|window| window == UNIX_MAP.as_bytes());
        assert_eq!(has, named);
    }
}

#[test]
fn unknown_methods_get_an_error_and_the_connection_goes_on() {
    let mut bench = bench(SharedFrames::Never);
    for unknown in [
        message(LISTENER, "Explode", "", &[]),
        message("org.example.Other", "Scanout", "u", &[0; 4]),
        call(UNIX_MAP, "UpdateMap", "iiii", &[0; 4], &[]),
    ] {
        assert!(bench.send(&unknown, vec![]).is_ok());
    }
    let answer = bench
        .send(&message(LISTENER, "Explode", "", &[]), vec![])
        .expect("goes on");
    assert_eq!(wire::parse(&answer).map(|m| m.kind), Ok(wire::Kind::Error));
}

fn memory(length: u64) -> OwnedFd {
    let fd = memfd_create("frame", MemfdFlags::CLOEXEC).expect("memfd");
    ftruncate(&fd, length).expect("length");
    fd
}

fn scanout_map(handle: u32, offset: u32, layout: [u32; 4]) -> Vec<u8> {
    let [width, height, stride, format] = layout;
    call(
        UNIX_MAP,
        "ScanoutMap",
        "huuuuu",
        &[handle, offset, width, height, stride, format],
        &[],
    )
}

fn update_map(rect: [u32; 4]) -> Vec<u8> {
    call(UNIX_MAP, "UpdateMap", "iiii", &rect, &[])
}

#[test]
fn shared_memory_is_shown_and_its_changes_follow() {
    let mut bench = bench(SharedFrames::Offered);
    let fd = memory(1000);
    let write = |at, bytes: &[u8]| rustix::io::pwrite(&fd, bytes, at).expect("written");
    write(100, &[5; 16]);
    let answer = bench.send(
        &scanout_map(0, 100, [2, 2, 8, XRGB]),
        vec![fd.try_clone().expect("dup")],
    );
    assert!(!answer.expect("good").is_empty() && bench.screen.is_unsettled());
    bench.screen.settle().expect("good");
    assert_eq!(bench.surface.snapshot(), (Size::new(2, 2), [5, 5, 5, 255].repeat(4)));
    write(108, &[1, 2, 3, 4]);
    bench.send(&update_map([0, 1, 1, 1]), vec![]).expect("good");
    assert_eq!(bench.surface.snapshot().1[8..12], [1, 2, 3, 255]);
    // Truncated under us: an error, not a signal.
    ftruncate(&fd, 50).expect("truncated");
    let error = bench.send(&update_map([0, 0, 2, 2]), vec![]);
    assert!(matches!(error, Err(PeerError::Memory { .. })), "{error:?}");
}

#[test]
fn absurd_shared_memory_is_refused() {
    let (pipe, _writer) = std::io::pipe().expect("pipe");
    let layout = [2, 2, 8, XRGB];
    let cases: Vec<(Vec<u8>, Vec<OwnedFd>)> = vec![
        (scanout_map(0, 0, layout), vec![]),
        (scanout_map(1, 0, layout), vec![memory(1000)]),
        (scanout_map(u32::MAX, 0, layout), vec![memory(1000)]),
        (scanout_map(0, 0, layout), vec![memory(15)]),
        (scanout_map(0, 990, layout), vec![memory(1000)]),
        (scanout_map(0, u32::MAX, layout), vec![memory(1000)]),
        (scanout_map(0, 0, [2, 2, u32::MAX, XRGB]), vec![memory(1000)]),
        (scanout_map(0, 0, [0, 2, 8, XRGB]), vec![memory(1000)]),
        (scanout_map(0, 0, [2, 2, 8, 1]), vec![memory(1000)]),
        (scanout_map(0, 0, layout), vec![pipe.into()]),
        (scanout_map(0, 0, layout), vec![memory(1000), memory(1000)]),
        (scanout([2, 2, 8, XRGB], &[0; 16]), vec![memory(1000)]),
    ];
    for (index, (message, descriptors)) in cases.into_iter().enumerate() {
        let mut bench = bench(SharedFrames::Offered);
        assert!(bench.send(&message, descriptors).is_err(), "case {index}");
        assert_eq!(bench.surface.size(), Size::new(64, 64), "case {index}");
    }
}

#[test]
fn pictures_on_the_graphics_card_become_a_card_with_words() {
    let mut bench = bench(SharedFrames::Never);
    let generation = bench.surface.generation();
    let mut body: Vec<u8> = [0_u32, 64, 64, 256, 0x3432_5258, 0]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    body.extend([0; 12]);
    let dmabuf = message(LISTENER, "ScanoutDMABUF", "huuuutb", &body);
    bench.send(&dmabuf, vec![memory(10)]).expect("answered");
    assert!(bench.surface.generation() > generation);
}
