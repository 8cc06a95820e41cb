//! What hypervisors and strangers do wrong: each is refused, and the machine goes on.

use super::*;
use crate::librdpmux::RegisterError;

const GOOD: [u8; 64 * 64 * 4] = [90; 64 * 64 * 4];

/// A machine whose good picture is shown.
async fn shown(rig: &Rig) -> (Guest, Five, File) {
    let guest = rig.start(registration(5)).await;
    let memory = rig.memory(&GOOD);
    let mut five = rig.five().await;
    five.switch(format::X8R8G8B8, 64, 64).await;
    guest.pixels(is_good).await;
    (guest, five, memory)
}

fn is_good(size: Size, pixels: &[u8]) -> bool {
    size == Size::new(64, 64) && pixels[..3] == [90; 3]
}

/// The connection and the machine still work.
async fn works(guest: &Guest, five: &mut Five, memory: &File) {
    five.switch(format::X8R8G8B8, 64, 64).await;
    memory.write_all_at(&GOOD, 0).expect("room");
    five.update(0, 0, 64, 64).await;
    while !five.answer().await.0 {}
    guest.pixels(is_good).await;
}

#[tokio::test]
async fn registrations_that_cannot_be_are_refused_by_reason() {
    let rig = rig().await;
    let who = registration(5);
    let _guest = rig.start(who).await;
    let register = |who| rig.board.register(who).map(drop);
    let other: Uuid36 = "00000000-0000-0000-0000-000000000001".parse().expect("a uuid");
    assert_eq!(register(Registration { id: -1, ..who }), Err(RegisterError::Id(-1)));
    for version in [i32::MIN, 0, 4, 7] {
        let refused = register(Registration { version, ..who });
        assert_eq!(refused, Err(RegisterError::Version(version)));
        assert_eq!(rig.board.path_for(version), None);
    }
    let duplicate = RegisterError::DuplicateId { id: ID, uuid: uuid() };
    assert_eq!(register(Registration { uuid: other, ..who }), Err(duplicate));
    let stranger = Registration {
        uid: Some(own_uid() + 1),
        ..who
    };
    assert_eq!(register(stranger), Err(RegisterError::OtherUser(uuid())));
    // Once a hypervisor is there, nobody else may.
    let mut five = rig.five().await;
    five.update(0, 0, 1, 1).await;
    five.answer().await;
    assert_eq!(register(who), Err(RegisterError::DuplicateUuid(uuid())));
}

#[tokio::test]
async fn a_switch_waits_for_its_memory() {
    let rig = rig().await;
    let guest = rig.start(registration(5)).await;
    let mut five = rig.five().await;
    five.update(0, 0, 64, 64).await;
    assert!(!five.answer().await.0, "before any switch");
    five.switch(format::X8R8G8B8, 64, 64).await;
    five.update(0, 0, 64, 64).await;
    assert!(!five.answer().await.0, "before memory exists");
    rig.memory(&GOOD);
    five.update(0, 0, 64, 64).await;
    assert!(five.answer().await.0);
    guest.pixels(is_good).await;
}

#[tokio::test]
async fn sizes_beyond_the_memory_and_unknown_formats_leave_the_picture_before() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    let cases = [
        (format::X8R8G8B8, 64, 65),
        (format::X8R8G8B8, 8192, 8192),
        (format::X8R8G8B8, u32::MAX, u32::MAX),
        (format::X8R8G8B8, 0, 64),
        (0, 64, 64),
        (u32::MAX, 64, 64),
    ];
    for (code, width, height) in cases {
        five.switch(code, width, height).await;
        five.update(0, 0, 8, 8).await;
        assert!(!five.answer().await.0, "{code:#x} {width}x{height}");
        let (size, pixels) = guest.port.surface.snapshot();
        assert!(is_good(size, &pixels));
    }
    works(&guest, &mut five, &memory).await;
}

#[tokio::test]
async fn updates_outside_of_the_screen_are_answered_and_show_nothing() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    memory.write_all_at(&[3; 64 * 64 * 4], 0).expect("room");
    for [x, y, width, height] in [[64, 0, 16, 16], [u32::MAX; 4], [0, 8192, 1, 1], [0, 0, 0, u32::MAX]] {
        five.update(x, y, width, height).await;
        assert!(five.answer().await.0);
    }
    let (size, pixels) = guest.port.surface.snapshot();
    assert!(is_good(size, &pixels));
    works(&guest, &mut five, &memory).await;
}

#[tokio::test]
async fn memory_that_shrinks_shows_a_card() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    memory.set_len(100).expect("a file");
    five.update(0, 0, 64, 64).await;
    assert!(!five.answer().await.0);
    guest.pixels(|size, pixels| !is_good(size, pixels)).await;
    memory.set_len(GOOD.len() as u64).expect("a file");
    works(&guest, &mut five, &memory).await;
}

#[tokio::test]
async fn broken_messages_are_dropped_and_the_connection_goes_on() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    let bombs: [&[u8]; 7] = [
        &[],
        &[0xDD, 255, 255, 255, 255, 1],
        &[0x91; 4096],
        &[0xC6, 255, 255, 255, 255],
        &[0x92, 1, 0xDF, 255, 255, 255, 255],
        &[0x91, 99],
        &[0xFF; 60_000],
    ];
    for bomb in bombs {
        five.say_bytes(bomb).await;
    }
    // Frames of the wrong number, and a name that is none.
    five.zmtp.send(&[b"x"]);
    five.zmtp.send(&[b"x", b"y", b"z"]);
    five.zmtp.send(&[b"not a uuid", &[0x91, 6]]);
    five.flush().await;
    works(&guest, &mut five, &memory).await;
}

#[tokio::test]
async fn ten_thousand_random_messages_leave_the_machine_alive() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    let seed = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64 | 1;
    eprintln!("seed {seed}");
    let mut state = seed;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..10_000 {
        let length = next() % 24;
        let mut bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        // Most start as a message does; none says goodbye.
        if let [first, kind, ..] = bytes.as_mut_slice()
            && next() % 4 > 0
        {
            (*first, *kind) = (0x95, 1 + *kind % 5);
        }
        if v5::ToDaemon::decode(&bytes) != Ok(v5::ToDaemon::Shutdown) {
            let uuid = five.uuid;
            five.zmtp.send(&[uuid.as_str().as_bytes(), &bytes]);
        }
    }
    five.flush().await;
    works(&guest, &mut five, &memory).await;
}

#[tokio::test]
async fn a_flood_of_updates_is_answered_and_disturbs_nobody() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    let other = Registration {
        id: 8,
        uuid: "00000000-0000-0000-0000-000000000008".parse().expect("a uuid"),
        ..registration(5)
    };
    let _other = rig.start(other).await;
    let mut calm = Five::connect(&rig, other.uuid).await;
    const FLOOD: usize = 5_000;
    for _ in 0..FLOOD {
        let mut bytes = Vec::new();
        let all = v5::ToDaemon::Update {
            x: 0,
            y: 0,
            width: 64,
            height: 64,
        };
        all.encode(&mut bytes);
        five.zmtp.send(&[uuid().as_str().as_bytes(), &bytes]);
    }
    five.flush().await;
    calm.update(0, 0, 1, 1).await;
    assert!(!calm.answer().await.0, "it has no picture, but an answer");
    for _ in 0..FLOOD {
        assert!(five.answer().await.0);
    }
    works(&guest, &mut five, &memory).await;
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    // A second connection for the same machine, and one for a machine that nobody registered.
    let unknown: Uuid36 = "00000000-0000-0000-0000-000000000009".parse().expect("a uuid");
    for name in [uuid(), unknown] {
        let mut stranger = Five::connect(&rig, name).await;
        stranger.say(v5::ToDaemon::Shutdown).await;
    }
    // One that has a machine of its own says goodbye for this one.
    let other = Registration {
        id: 8,
        uuid: "00000000-0000-0000-0000-000000000008".parse().expect("a uuid"),
        ..registration(5)
    };
    let _other = rig.start(other).await;
    let mut stranger = Five::connect(&rig, other.uuid).await;
    stranger.update(0, 0, 1, 1).await;
    stranger.answer().await;
    stranger.uuid = uuid();
    stranger.say(v5::ToDaemon::Shutdown).await;
    stranger.uuid = other.uuid;
    stranger.update(0, 0, 1, 1).await;
    stranger.answer().await;
    works(&guest, &mut five, &memory).await;
}

#[tokio::test]
async fn a_machine_of_another_user_is_heard_of_root_only() {
    let rig = rig().await;
    let stranger = Registration {
        uid: Some(own_uid() + 1),
        ..registration(5)
    };
    let guest = rig.start(stranger).await;
    let mut five = rig.five().await;
    five.say(v5::ToDaemon::Shutdown).await;
    if own_uid() == 0 {
        return guest.ended().await;
    }
    // Refused, and the connection stays; what is right is still heard.
    five.update(0, 0, 1, 1).await;
    assert!(!guest.task.is_finished());
}

#[tokio::test]
async fn other_protocols_at_the_socket_are_closed() {
    let rig = rig().await;
    let (guest, mut five, memory) = shown(&rig).await;
    let greetings: [&[u8]; 3] = [
        b"GET / HTTP/1.0\r\n\r\n",
        &[0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 1],
        &[0; 64],
    ];
    for greeting in greetings {
        for name in ["five", "six"] {
            let mut socket = UnixStream::connect(rig.folder.path().join(name))
                .await
                .expect("it listens");
            socket.write_all(greeting).await.expect("it reads");
            let mut answer = Vec::new();
            if name == "six" && greeting[0] == 0xFF {
                // Protocol 6 waits for more of what it takes for a length.
                continue;
            }
            // Closed, with or without what was not read.
            let _ = timeout(LIMIT, socket.read_to_end(&mut answer)).await.expect("closed");
        }
    }
    works(&guest, &mut five, &memory).await;
}
