//! 10 000 messages that nobody would send, over each protocol: the library lives on and hears what is right.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rdpmux::{Display, Features, Picture, PixelFormat};
use rdpmux_wire::{v5, v6};

use crate::daemon::{Five, Listener, Six, UUID, number};

const MESSAGES: u32 = 10_000;

/// xorshift64*, so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A message with some of its bytes changed, or cut.
    fn spoil(&mut self, mut message: Vec<u8>, from: usize) -> Vec<u8> {
        for _ in 0..self.below(4) {
            let at = from + self.below(message.len() - from);
            message[at] = self.next() as u8;
        }
        message
    }
}

/// Where the pointer goes at last, and by chance never.
const LAST: (u16, u16) = (54_321, 12_345);

/// Tells when the pointer is there.
fn with_last_motion(display: &mut Display) -> Receiver<()> {
    let (sender, receiver) = channel();
    display.on_mouse(move |mouse| {
        if (mouse.x, mouse.y) == (LAST.0.into(), LAST.1.into()) {
            let _ = sender.send(());
        }
    });
    receiver
}

fn draw(display: &mut Display) {
    let pixels = [0; 16 * 16 * 4];
    let picture = Picture::new(&pixels, 16, 16, PixelFormat::Bgrx32);
    display.update(0, 0, 4, 4).expect("a picture");
    display.refresh(&picture).expect("refreshed");
}

#[test]
fn random_messages_of_protocol_5_leave_the_library_alive() {
    let (listener, mut random) = (Listener::new(), Random(0x5EED_0005));
    let mut display = Display::builder(UUID)
        .id(number())
        .path(&listener.path_5())
        .open()
        .expect("a display");
    let last = with_last_motion(&mut display);
    let mut daemon = Five::accept(&listener);
    let pixels = [0; 16 * 16 * 4];
    display
        .switch(&Picture::new(&pixels, 16, 16, PixelFormat::Bgrx32))
        .expect("shown");
    for turn in 0..MESSAGES {
        let mut message = Vec::new();
        let number = |random: &mut Random| random.next() as u16;
        match random.below(4) {
            0 => v5::ToGuest::UpdateComplete {
                success: random.below(2) == 0,
                rate: number(&mut random),
            }
            .encode(&mut message),
            1 => v5::ToGuest::Mouse {
                x: number(&mut random),
                y: number(&mut random),
                flags: number(&mut random),
            }
            .encode(&mut message),
            2 => v5::ToGuest::Keyboard {
                code: number(&mut random),
                flags: number(&mut random),
            }
            .encode(&mut message),
            _ => message = random.bytes(200),
        }
        if !message.is_empty() {
            message = random.spoil(message, 0);
        }
        let extra = random.bytes(40);
        match random.below(10) {
            0 => daemon.tell_frames(&[&message]),
            1 => daemon.tell_frames(&[UUID.as_bytes(), &message, &extra]),
            2 => daemon.tell_frames(&[&extra, &message]),
            _ => daemon.tell_frames(&[UUID.as_bytes(), &message]),
        }
        if turn % 100 == 0 {
            draw(&mut display);
        }
    }
    daemon.tell(v5::ToGuest::Mouse {
        x: LAST.0,
        y: LAST.1,
        flags: v5::mouse::MOVE,
    });
    last.recv_timeout(Duration::from_secs(60)).expect("the library lives");
    draw(&mut display);
}

#[test]
fn random_messages_of_protocol_6_leave_the_library_alive() {
    let (listener, mut random) = (Listener::new(), Random(0x5EED_0006));
    let mut display = Display::builder(UUID)
        .path(&listener.path_6())
        .open()
        .expect("a display");
    let last = with_last_motion(&mut display);
    let (mut daemon, _) = Six::accept(&listener, Features::default());
    let pixels = [0; 16 * 16 * 4];
    display
        .switch(&Picture::new(&pixels, 16, 16, PixelFormat::Bgrx32))
        .expect("shown");
    for turn in 0..MESSAGES {
        let number = random.next() as u32;
        let small = random.below(20) as u32;
        let message = match random.below(8) {
            0 => v6::ToGuest::Complete {
                head: small.min(15),
                serial: small,
                success: number.is_multiple_of(2),
                rate: number,
            },
            1 => v6::ToGuest::Pointer {
                head: 0,
                x: number,
                y: small,
                buttons: number,
            },
            2 => v6::ToGuest::Wheel {
                head: 0,
                vertical: number as i32,
                horizontal: i32::MIN,
            },
            3 => v6::ToGuest::Relative {
                head: 1,
                dx: number as i32,
                dy: -5,
                buttons: small,
            },
            4 => v6::ToGuest::MicrophoneData {
                rate: number,
                samples: vec![0; small as usize * 4],
            },
            5 => v6::ToGuest::Welcome {
                features: Features(number),
            },
            6 => v6::ToGuest::Key {
                qnum: number as u8,
                down: true,
            },
            _ => v6::ToGuest::Locks { on: number },
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        // The length stays right: a wrong one rightly ends the connection.
        let bytes = random.spoil(bytes, 4);
        daemon.tell_bytes(&bytes);
        if turn % 100 == 0 {
            draw(&mut display);
        }
    }
    daemon.tell(&v6::ToGuest::Pointer {
        head: 0,
        x: LAST.0.into(),
        y: LAST.1.into(),
        buttons: 0,
    });
    last.recv_timeout(Duration::from_secs(60)).expect("the library lives");
    draw(&mut display);
}
