//! Protocol 6: memory by descriptors, several heads, pointer, lights, sizes, sound and clipboard.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rdpmux_model::{Button, HeadShape, MouseMode, PointerShape, WheelAxis};
use rdpmux_wire::v6::{Features, Splitter, ToDaemon, ToGuest};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::*;

/// A hypervisor of protocol 6.
struct Six {
    socket: UnixStream,
    splitter: Splitter,
}

impl Six {
    /// Connects, and is welcome.
    async fn connect(rig: &Rig, features: Features) -> Self {
        let mut six = Self::open(rig).await;
        six.say(&ToDaemon::Hello { uuid: uuid(), features }).await;
        assert!(matches!(six.hear().await, Some(ToGuest::Welcome { .. })));
        six
    }

    async fn open(rig: &Rig) -> Self {
        let socket = UnixStream::connect(rig.folder.path().join("six"))
            .await
            .expect("it listens");
        Self {
            socket,
            splitter: Splitter::default(),
        }
    }

    async fn say(&mut self, message: &ToDaemon) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.socket.write_all(&bytes).await.expect("it reads");
    }

    fn say_with(&mut self, message: &ToDaemon, file: BorrowedFd<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let files = [file];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
        let sent = sendmsg(
            &self.socket,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::empty(),
        );
        assert_eq!(sent, Ok(bytes.len()));
    }

    /// The next message; `None` if the daemon closed the connection.
    async fn hear(&mut self) -> Option<ToGuest> {
        loop {
            if let Some(body) = self.splitter.next_message().expect("a length") {
                return Some(ToGuest::decode(body).expect("a message"));
            }
            let mut buffer = [0; 4096];
            let length = timeout(LIMIT, self.socket.read(&mut buffer)).await.expect("it speaks");
            match length {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.splitter.feed(&buffer[..length]),
            }
        }
    }

    /// The next message that is no word of progress.
    async fn hear_else(&mut self) -> ToGuest {
        loop {
            match self.hear().await.expect("it speaks") {
                ToGuest::Complete { .. } => {}
                other => return other,
            }
        }
    }

    /// Waits until an update is answered: whether it was shown.
    async fn completed(&mut self, wanted: u32) -> bool {
        loop {
            if let Some(ToGuest::Complete { serial, success, .. }) = self.hear().await
                && serial == wanted
            {
                return success;
            }
        }
    }
}

fn surface(head: u32, width: u32, height: u32, offset: u64) -> ToDaemon {
    ToDaemon::Surface {
        head,
        format: format::X8R8G8B8,
        width,
        height,
        stride: width * 4 + 64,
        offset,
        size: u64::from(width * 4 + 64) * u64::from(height),
    }
}

fn memfd(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).expect("a memfd"));
    file.write_all(bytes).expect("room");
    file
}

fn update(head: u32, serial: u32) -> ToDaemon {
    ToDaemon::Update {
        head,
        serial,
        rectangles: vec![[0, 0, 10, 10]],
    }
}

#[tokio::test]
async fn pictures_larger_than_protocol_5_has_them_come_by_descriptor_on_several_heads() {
    let rig = rig().await;
    let mut guest = rig.start(registration(6)).await;
    let mut six = Six::connect(&rig, Features::default()).await;
    let big = memfd(&vec![33; 100 + (5000 * 4 + 64) * 2200]);
    six.say_with(&surface(0, 5000, 2200, 100), big.as_fd());
    guest
        .pixels(|size, pixels| size == Size::new(5000, 2200) && pixels[..3] == [33; 3])
        .await;
    six.say_with(&surface(1, 64, 64, 0), memfd(&[44; 320 * 64]).as_fd());
    let second = loop {
        match timeout(LIMIT, guest.events.recv()).await.expect("it comes") {
            Some(GuestEvent::HeadAdded(port)) => break port,
            Some(_) => {}
            None => panic!("the machine ended"),
        }
    };
    assert_eq!(second.index, 1);
    let mut frames = second.frames.clone();
    while second.surface.snapshot().1[0] != 44 {
        timeout(LIMIT, frames.changed())
            .await
            .expect("it comes")
            .expect("it runs");
    }
    big.write_all_at(&[55; 4], 100).expect("room");
    six.say(&update(0, 9)).await;
    assert!(six.completed(9).await);
    assert_eq!(guest.port.surface.snapshot().1[0], 55);
    six.say(&ToDaemon::HeadGone { head: 1 }).await;
    let gone = timeout(LIMIT, guest.events.recv()).await.expect("it goes");
    assert!(matches!(gone, Some(GuestEvent::HeadRemoved { index: 1 })));
}

#[tokio::test]
async fn pointer_lights_and_mouse_mode_reach_viewers() {
    let rig = rig().await;
    let guest = rig.start(registration(6)).await;
    let mut six = Six::connect(&rig, Features::default()).await;
    let cursor = |edge: u32| ToDaemon::Cursor {
        head: 0,
        width: edge,
        height: edge,
        hot_x: 1,
        hot_y: 1,
        bgra: vec![7; (edge * edge * 4) as usize],
    };
    six.say(&cursor(8)).await;
    six.say(&ToDaemon::Leds { lit: 4 }).await;
    six.say(&ToDaemon::MouseMode { absolute: false }).await;
    let mut state = guest.port.state.clone();
    let wait = state.wait_for(|state| {
        matches!(&state.pointer, PointerShape::Image(image) if image.size() == Size::new(8, 8))
            && state.locks.caps
            && state.mouse == MouseMode::Relative
    });
    timeout(LIMIT, wait).await.expect("it comes").expect("it runs");
    six.say(&cursor(0)).await;
    let wait = state.wait_for(|state| state.pointer == PointerShape::Hidden);
    timeout(LIMIT, wait).await.expect("it comes").expect("it runs");
}

#[tokio::test]
async fn wheels_buttons_and_sizes_reach_the_hypervisor() {
    let rig = rig().await;
    let guest = rig.start(registration(6)).await;
    let mut six = Six::connect(&rig, Features::SIZE.with(Features::UNICODE)).await;
    guest.presence(|presence| *presence == Presence::Running).await;
    let input = &guest.port.input;
    let wheel = InputEvent::Wheel {
        axis: WheelAxis::Horizontal,
        delta: -30,
    };
    input.send(wheel).await.expect("room");
    let expected = ToGuest::Wheel {
        head: 0,
        vertical: 0,
        horizontal: -30,
    };
    assert_eq!(six.hear_else().await, expected);
    let button = InputEvent::Button {
        button: Button::Extra,
        down: true,
    };
    input.send(button).await.expect("room");
    assert!(matches!(six.hear_else().await, ToGuest::Pointer { buttons: 16, .. }));
    let shape = HeadShape {
        size: Size::new(1600, 900),
        ..HeadShape::OFF
    };
    guest.port.shape.send_replace(Some(shape));
    let told = six.hear_else().await;
    assert!(matches!(
        told,
        ToGuest::Size {
            head: 0,
            width: 1600,
            height: 900,
            ..
        }
    ));
    let character = InputEvent::Character('ß');
    assert!(guest.port.state.borrow().characters);
    input.send(character).await.expect("room");
    assert_eq!(six.hear_else().await, ToGuest::Unicode { character: 'ß' });
    assert!(guest.peripherals.sound.is_some() && guest.peripherals.clipboard.is_some());
}

#[tokio::test]
async fn bad_pictures_are_refused_and_the_connection_goes_on() {
    let rig = rig().await;
    let guest = rig.start(registration(6)).await;
    let mut six = Six::connect(&rig, Features::default()).await;
    let small = memfd(&[1; 100]);
    let short_stride = ToDaemon::Surface {
        head: 0,
        format: format::X8R8G8B8,
        width: 10,
        height: 1,
        stride: 39,
        offset: 0,
        size: 100,
    };
    let beyond = surface(0, 1, 1, u64::MAX >> 1);
    for message in [surface(0, 64, 64, 0), short_stride, beyond] {
        six.say_with(&message, small.as_fd());
    }
    // A pipe is no memory.
    let (pipe, _end) = std::io::pipe().expect("a pipe");
    six.say_with(&surface(0, 64, 64, 0), pipe.as_fd());
    six.say(&update(0, 1)).await;
    assert!(!six.completed(1).await);
    six.say(&update(5, 2)).await;
    let good = memfd(&[9; 320 * 64]);
    six.say_with(&surface(0, 64, 64, 0), good.as_fd());
    six.say(&update(0, 3)).await;
    assert!(six.completed(3).await);
    // It shrinks.
    good.set_len(10).expect("a file");
    six.say(&update(0, 4)).await;
    assert!(!six.completed(4).await);
    guest.pixels(|_, pixels| pixels[..3] != [9; 3]).await;
}

#[tokio::test]
async fn messages_that_break_the_rules_end_their_connection_only() {
    let rig = rig().await;
    let guest = rig.start(registration(6)).await;
    let hello = ToDaemon::Hello {
        uuid: "00000000-0000-0000-0000-000000000001".parse().expect("a uuid"),
        features: Features::default(),
    };
    let mut hello_of_nobody = Vec::new();
    hello.encode(&mut hello_of_nobody);
    let mut not_hello = Vec::new();
    ToDaemon::Shutdown.encode(&mut not_hello);
    let first: [&[u8]; 4] = [&hello_of_nobody, &not_hello, &[255; 8], &[1, 0, 0, 0, 0xC0]];
    for bytes in first {
        let mut six = Six::open(&rig).await;
        six.socket.write_all(bytes).await.expect("it reads");
        assert_eq!(six.hear().await, None, "{bytes:?}");
    }
    // Later: a surface without its descriptor, and a broken message.
    let mut without = Vec::new();
    surface(0, 64, 64, 0).encode(&mut without);
    for bytes in [&without[..], &[2, 0, 0, 0, 0x91, 17]] {
        let mut six = Six::connect(&rig, Features::default()).await;
        six.socket.write_all(bytes).await.expect("it reads");
        while six.hear().await.is_some() {}
        guest
            .presence(|presence| matches!(presence, Presence::Gone { .. }))
            .await;
    }
    // The machine is still there for a good one, and unknown messages are stepped over.
    let mut six = Six::connect(&rig, Features::default()).await;
    six.socket.write_all(&[2, 0, 0, 0, 0x91, 100]).await.expect("it reads");
    six.say_with(&surface(0, 64, 64, 0), memfd(&[9; 320 * 64]).as_fd());
    guest.pixels(|size, _| size == Size::new(64, 64)).await;
}

#[tokio::test]
async fn a_hypervisor_of_the_other_protocol_is_refused() {
    let rig = rig().await;
    let _guest = rig.start(registration(5)).await;
    let mut six = Six::open(&rig).await;
    six.say(&ToDaemon::Hello {
        uuid: uuid(),
        features: Features::default(),
    })
    .await;
    assert_eq!(six.hear().await, None);
}
