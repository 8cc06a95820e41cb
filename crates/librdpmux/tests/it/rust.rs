//! The Rust face over both protocols.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rdpmux::{Action, Button, Cursor, Display, Event, Features, Key, LockKeys, Mouse, Picture, PixelFormat};
use rdpmux_wire::{format, v5, v6};

use crate::bus::Bus;
use crate::daemon::{Five, Listener, Six, UUID, has_memory_5, memory_5, number};

const FORMATS: [PixelFormat; 8] = [
    PixelFormat::Bgrx32,
    PixelFormat::Rgbx32,
    PixelFormat::Xrgb32,
    PixelFormat::Xbgr32,
    PixelFormat::Bgr24,
    PixelFormat::Rgb24,
    PixelFormat::Rgb16,
    PixelFormat::Rgb15,
];

fn open_5(listener: &Listener, id: i32) -> Display {
    Display::builder(UUID)
        .id(id)
        .path(&listener.path_5())
        .open()
        .expect("a display")
}

fn open_6(listener: &Listener, features: Features) -> Display {
    let builder = Display::builder(UUID).path(&listener.path_6()).features(features);
    builder.open().expect("a display")
}

fn events(display: &mut Display) -> Receiver<Event> {
    let (sender, receiver) = channel();
    display.on_event(move |event| {
        let _ = sender.send(event);
    });
    receiver
}

fn heard(events: &Receiver<Event>) -> Event {
    events.recv_timeout(Duration::from_secs(20)).expect("an event")
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Answers an update, and waits until the library has heard that: what comes after it is heard after it.
fn answer(daemon: &mut Five, rate: u16, events: &Receiver<Event>) {
    daemon.complete(rate);
    daemon.tell(v5::ToGuest::Keyboard {
        code: 1,
        flags: v5::keyboard::DOWN,
    });
    assert_eq!(heard(events), Event::Key(Key { qnum: 1, is_down: true }));
}

#[test]
fn pictures_of_all_formats_are_in_memory_as_protocol_5_has_them() {
    let (listener, id) = (Listener::new(), number());
    let mut display = open_5(&listener, id);
    let events = events(&mut display);
    let mut daemon = Five::accept(&listener);
    for (turn, pixel_format) in FORMATS.into_iter().enumerate() {
        let (width, height, padding) = (33, 21, turn % 3);
        let row = width * pixel_format.bytes();
        let pixels = noise((row + padding) * height);
        let mut picture = Picture::new(&pixels, width as u32, height as u32, pixel_format);
        picture.stride = row + padding;
        display.switch(&picture).expect("shown");
        let told = daemon.switched();
        assert_eq!(told, (format::to_pixman(pixel_format), width as u32, height as u32));
        let memory = memory_5(id, row * height);
        for (there, here) in memory.chunks(row).zip(pixels.chunks(row + padding)) {
            assert_eq!(there, &here[..row], "{pixel_format:?}");
        }
        answer(&mut daemon, 30, &events);
    }
    drop(display);
    assert_eq!(daemon.next(), Some(v5::ToDaemon::Shutdown));
    assert_eq!(daemon.next(), None);
    assert!(!has_memory_5(id));
}

#[test]
fn nothing_is_written_before_the_daemon_has_answered() {
    let (listener, id) = (Listener::new(), number());
    let mut display = open_5(&listener, id);
    let events = events(&mut display);
    let mut daemon = Five::accept(&listener);
    let (black, white) = (vec![0; 64 * 64 * 4], vec![255; 64 * 64 * 4]);
    let picture = |pixels| Picture::new(pixels, 64, 64, PixelFormat::Bgrx32);
    display.switch(&picture(&black)).expect("shown");
    daemon.switched();
    display.update(3, 4, 5, 6).expect("a picture");
    display.refresh(&picture(&white)).expect("kept for later");
    assert_eq!(memory_5(id, black.len()), black);
    answer(&mut daemon, 30, &events);
    assert_eq!(display.refresh(&picture(&white)).expect("handed over"), 30);
    let update = v5::ToDaemon::Update {
        x: 3,
        y: 4,
        width: 5,
        height: 6,
    };
    assert_eq!(daemon.next(), Some(update));
    let memory = memory_5(id, black.len());
    let is_changed = |x: usize, y: usize| (3..8).contains(&x) && (4..10).contains(&y);
    for (at, byte) in memory.iter().enumerate() {
        let (x, y) = (at / 4 % 64, at / 4 / 64);
        assert_eq!(*byte == 255, is_changed(x, y), "{x} {y}");
    }
}

#[test]
fn the_rate_is_what_the_daemon_says() {
    let (listener, id) = (Listener::new(), number());
    let mut display = open_5(&listener, id);
    let events = events(&mut display);
    let mut daemon = Five::accept(&listener);
    let pixels = vec![0; 64 * 64 * 4];
    let picture = Picture::new(&pixels, 64, 64, PixelFormat::Bgrx32);
    display.switch(&picture).expect("shown");
    assert_eq!(display.rate(), 30);
    daemon.switched();
    for rate in [1, 60, 7] {
        answer(&mut daemon, rate, &events);
        assert_eq!(display.rate(), u32::from(rate));
        assert_eq!(display.refresh(&picture).expect("nothing to do"), u32::from(rate));
    }
}

#[test]
fn a_restarted_daemon_is_registered_with_and_one_that_closed_the_connection_is_not() {
    let (listener, id) = (Listener::new(), number());
    let bus = Bus::start(listener.path_5());
    let open = || {
        Display::builder(UUID)
            .id(id)
            .bus(&bus.address)
            .newest_protocol(6)
            .open()
    };
    let mut display = open().expect("a display");
    let expected = (id, 5, UUID.to_owned(), 0, String::new());
    assert_eq!(bus.registered(), expected, "the newest that both speak");
    let pixels = vec![0; 64 * 64 * 4];
    display
        .switch(&Picture::new(&pixels, 64, 64, PixelFormat::Bgrx32))
        .expect("shown");
    let mut daemon = Five::accept(&listener);
    daemon.switched();
    drop(daemon);
    assert!(
        bus.is_silent_for(Duration::from_millis(1500)),
        "it closed the connection and is still there"
    );
    bus.restart();
    assert_eq!(bus.registered(), expected);
    // Told without any further call of the program.
    let mut daemon = Five::accept(&listener);
    assert_eq!(daemon.switched(), (format::X8R8G8B8, 64, 64));
}

#[test]
fn keys_and_mice_of_protocol_5_reach_their_hooks() {
    let (listener, id) = (Listener::new(), number());
    let mut display = open_5(&listener, id);
    let (keys, key) = channel();
    display.on_key(move |key| keys.send(key).expect("heard"));
    let (mice, mouse) = channel();
    display.on_mouse(move |mouse| mice.send(mouse).expect("heard"));
    let mut daemon = Five::accept(&listener);
    daemon.tell(v5::ToGuest::Keyboard {
        code: 0x1D,
        flags: v5::keyboard::RELEASE | v5::keyboard::EXTENDED,
    });
    daemon.tell(v5::ToGuest::Mouse {
        x: 300,
        y: 200,
        flags: v5::mouse::DOWN | v5::mouse::RIGHT,
    });
    let limit = Duration::from_secs(20);
    let expected = Key {
        qnum: 0x9D,
        is_down: false,
    };
    assert_eq!(key.recv_timeout(limit), Ok(expected));
    let expected = Mouse {
        head: 0,
        x: 300,
        y: 200,
        action: Action::Press(Button::Right),
    };
    assert_eq!(mouse.recv_timeout(limit), Ok(expected));
}

#[test]
fn a_picture_beyond_protocol_5_is_refused_and_shown_over_protocol_6() {
    let pixels = vec![1; 5120 * 2880 * 4];
    let picture = Picture::new(&pixels, 5120, 2880, PixelFormat::Bgrx32);
    let (listener, id) = (Listener::new(), number());
    let mut display = open_5(&listener, id);
    let refused = display.switch(&picture).expect_err("too large").to_string();
    assert!(refused.contains("larger than protocol 5 can show"), "{refused}");

    let listener = Listener::new();
    let mut display = open_6(&listener, Features::default());
    let (mut daemon, _) = Six::accept(&listener, Features::default());
    display.switch(&picture).expect("shown");
    let Some(v6::ToDaemon::Surface {
        width, height, size, ..
    }) = daemon.next()
    else {
        panic!("no surface")
    };
    assert_eq!((width, height, size), (5120, 2880, 5120 * 2880 * 4));
    let file = daemon.descriptors.pop_front().expect("a descriptor");
    assert_eq!(rustix::fs::fstat(&file).expect("open").st_size as u64, size);
    let Some(v6::ToDaemon::Update { rectangles, .. }) = daemon.next() else {
        panic!("no update")
    };
    assert_eq!(rectangles, [[0, 0, 5120, 2880]]);
    let mut row = vec![0; 5120 * 4];
    let last = size - row.len() as u64;
    rustix::io::pread(&file, row.as_mut_slice(), last).expect("readable");
    assert_eq!(row, pixels[..row.len()]);
}

#[test]
fn protocol_6_carries_heads_pointers_lights_and_their_answers() {
    let listener = Listener::new();
    let mut display = open_6(&listener, Features::CLIPBOARD);
    let events = events(&mut display);
    let pixels = vec![0; 64 * 64 * 4];
    let picture = Picture::new(&pixels, 64, 64, PixelFormat::Bgrx32);
    display.switch(&picture).expect("kept until the daemon is there");
    display
        .head(3)
        .switch(&picture)
        .expect("kept until the daemon is there");
    let cursor = Cursor {
        bgra: &[9; 4 * 4 * 4],
        width: 4,
        height: 4,
        hot: (1, 2),
    };
    display.head(3).set_cursor(Some(&cursor)).expect("kept");
    let lit = LockKeys {
        caps: true,
        ..LockKeys::default()
    };
    display.set_leds(lit).expect("kept");
    let (mut daemon, theirs) = Six::accept(&listener, Features::default());
    assert_eq!(theirs, Features::CLIPBOARD);
    let mut serials = Vec::new();
    for expected in [0, 3] {
        assert!(matches!(daemon.next(), Some(v6::ToDaemon::Surface { head, .. }) if head == expected));
        match daemon.next() {
            Some(v6::ToDaemon::Update { head, serial, .. }) if head == expected => serials.push(serial),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(
        daemon.next(),
        Some(v6::ToDaemon::Cursor { head: 3, hot_y: 2, .. })
    ));
    assert_eq!(daemon.next(), Some(v6::ToDaemon::Leds { lit: v6::lock::CAPS }));
    assert_eq!(daemon.descriptors.len(), 2);
    let refused = display.offer_clipboard(true).expect_err("this daemon takes none");
    assert!(refused.to_string().contains("does not take this"), "{refused}");

    // An answer to something else is none; one to the last update is.
    daemon.tell(&complete(3, serials[1].wrapping_add(5), 40));
    daemon.tell(&v6::ToGuest::Unicode { character: 'ß' });
    assert_eq!(heard(&events), Event::Character('ß'));
    display.head(3).update(1, 1, 2, 2).expect("a picture");
    assert_eq!(display.head(3).refresh(&picture).expect("waits"), 40);
    daemon.tell(&complete(3, serials[1], 50));
    daemon.tell(&v6::ToGuest::Locks { on: v6::lock::NUM });
    assert!(matches!(heard(&events), Event::Locks(LockKeys { num: true, .. })));
    assert_eq!(display.head(3).refresh(&picture).expect("handed over"), 50);
    assert!(matches!(daemon.next(), Some(v6::ToDaemon::Update { head: 3, .. })));
    display.head(3).remove().expect("there");
    assert_eq!(daemon.next(), Some(v6::ToDaemon::HeadGone { head: 3 }));
    drop(display);
    assert_eq!(daemon.next(), Some(v6::ToDaemon::Shutdown));
}

fn complete(head: u32, serial: u32, rate: u32) -> v6::ToGuest {
    v6::ToGuest::Complete {
        head,
        serial,
        success: true,
        rate,
    }
}

#[test]
fn clipboard_and_sound_of_protocol_6_go_both_ways() {
    let listener = Listener::new();
    let all = Features::CLIPBOARD.with(Features::SOUND).with(Features::MICROPHONE);
    let mut display = open_6(&listener, all);
    let events = events(&mut display);
    let (mut daemon, _) = Six::accept(&listener, all);
    daemon.tell(&v6::ToGuest::Wheel {
        head: 0,
        vertical: -120,
        horizontal: 0,
    });
    assert!(matches!(
        heard(&events),
        Event::Mouse(Mouse {
            action: Action::Wheel(-120),
            ..
        })
    ));
    let serial = display.offer_clipboard(true).expect("taken");
    daemon.tell(&v6::ToGuest::ClipboardRequest { serial });
    assert_eq!(heard(&events), Event::ClipboardRequest { serial });
    display.give_clipboard(serial, Some("grüß")).expect("taken");
    display.set_sound_rate(48_000).expect("taken");
    display.play(&[1; 400]).expect("taken");
    assert!(display.play(&[1; 3]).is_err());
    assert!(matches!(daemon.next(), Some(v6::ToDaemon::ClipboardOffer(offer)) if offer.serial == serial));
    assert!(
        matches!(daemon.next(), Some(v6::ToDaemon::ClipboardData(content)) if content.text.as_deref() == Some("grüß"))
    );
    assert_eq!(daemon.next(), Some(v6::ToDaemon::SoundFormat { rate: 48_000 }));
    assert!(matches!(daemon.next(), Some(v6::ToDaemon::SoundData { samples }) if samples == [1; 400]));
    display.set_recording(44_100).expect("taken");
    assert_eq!(daemon.next(), Some(v6::ToDaemon::Recording { rate: 44_100 }));
    let samples = vec![7; 8];
    daemon.tell(&v6::ToGuest::MicrophoneData {
        rate: 44_100,
        samples: samples.clone(),
    });
    assert_eq!(heard(&events), Event::Microphone { rate: 44_100, samples });
}

#[test]
fn wrong_calls_are_errors() {
    assert!(Display::builder("no uuid").path("ipc://@/x").open().is_err());
    assert!(Display::builder(UUID).path("tcp://127.0.0.1:1").open().is_err());
    assert!(
        Display::builder(UUID)
            .path("ipc://@/tmp/nobody-listens-there")
            .open()
            .is_err()
    );
    let listener = Listener::new();
    let mut display = open_5(&listener, number());
    assert!(display.update(0, 0, 1, 1).is_err(), "before the first picture");
    let short = Picture::new(&[0; 10], 64, 64, PixelFormat::Bgrx32);
    assert!(display.switch(&short).is_err());
    let none = Picture::new(&[], 0, 0, PixelFormat::Bgrx32);
    assert!(display.switch(&none).is_err());
    let pixels = vec![0; 64 * 64 * 4];
    let picture = Picture::new(&pixels, 64, 64, PixelFormat::Bgrx32);
    assert!(display.head(1).switch(&picture).is_err(), "protocol 5 has one head");
    assert!(display.head(99).switch(&picture).is_err());
    assert!(display.head(0).remove().is_err());
}
