//! ClearCodec through the decoder of `ironrdp-graphics`; `cargo xtask e2e codecs` shows the same to FreeRDP's.

use ironrdp_graphics::clearcodec::ClearCodecDecoder;
use rdpmux_engine::codec::clear::Clear;
use rdpmux_model::{RasterCompressor, Size};
use rdpmux_pixel::Level;

use crate::pictures::{self, Noise};

/// Both ends of one connection.
struct Pair {
    ours: Clear,
    theirs: ClearCodecDecoder,
    sent: usize,
}

impl Pair {
    fn new() -> Self {
        Self {
            ours: Clear::new(),
            theirs: ClearCodecDecoder::new(),
            sent: 0,
        }
    }

    /// Sends a picture, whose fourth bytes must be 255, and returns how long the message is.
    fn send(&mut self, size: Size, picture: &[u8]) -> usize {
        let mut wire = vec![1, 2, 3];
        self.ours.compress(size, picture, &mut wire);
        assert_eq!(wire[..3], [1, 2, 3], "what was there stays");
        assert_eq!(usize::from(wire[4]), self.sent % 256, "the sequence number");
        let (width, height) = (size.width as u16, size.height as u16);
        let back = self
            .theirs
            .decode(&wire[3..], width, height)
            .expect("a ClearCodec stream");
        assert!(back == picture, "{size}, message {}", self.sent);
        self.sent += 1;
        wire.len() - 3
    }
}

#[test]
fn clearcodec_is_exact_at_every_size() {
    let mut noise = Noise(0xC1EA);
    let mut pair = Pair::new();
    let sizes = [
        (1, 1),
        (65, 3),
        (127, 53),
        (128, 52),
        (129, 64),
        (300, 1),
        (2, 400),
        (640, 300),
        (3, 8191),
    ];
    for (width, height) in sizes {
        let size = Size::new(width, height);
        for picture in [
            pictures::text(size, 7),
            pictures::noise(size, 5),
            pictures::gradient(size),
            pictures::mixed(size),
            [9, 8, 7, 255].repeat(size.area() as usize),
            few_colors(size, &mut noise),
        ] {
            pair.send(size, &picture);
        }
    }
}

fn few_colors(size: Size, noise: &mut Noise) -> Vec<u8> {
    let mut color = [0, 0, 0, 255];
    (0..size.area())
        .flat_map(|_| {
            if noise.below(7) == 0 {
                color = [noise.below(2) as u8, 0, 200, 255];
            }
            color
        })
        .collect()
}

#[test]
fn clearcodec_caches_wrap_and_stay_in_step() {
    // Lines of few changes per row, so that they go as bands; every round brings some 40,000 new columns.
    let size = Size::new(1024, 2080);
    let (mut noise, mut pair) = (Noise(77), Pair::new());
    let mut old = Vec::new();
    for round in 0..4 {
        let mut picture = pictures::text(size, round * 100);
        for spot in picture.as_chunks_mut::<4>().0.iter_mut() {
            if noise.below(24) == 0 {
                *spot = [noise.next() as u8, noise.next() as u8, 3, 255];
            }
        }
        let new = pair.send(size, &picture);
        assert!(pair.send(size, &picture) > new / 3, "too much for the caches");
        old = picture;
    }
    // A part that fits is remembered, also beyond the sequence number's wrap.
    let small = Size::new(1024, 100);
    let part = &old[..small.area() as usize * 4];
    pair.send(small, part);
    for _ in 0..270 {
        assert!(pair.send(small, part) < 1024 * 12);
    }
}

#[test]
fn a_reset_makes_both_ends_forget() {
    let size = Size::new(256, 128);
    let text = pictures::text(size, 1);
    let mut pair = Pair::new();
    let first = pair.send(size, &text);
    let second = pair.send(size, &text);
    assert!(second < first, "{second} of {first}");
    pair.ours.reset();
    assert_eq!(pair.send(size, &text), first);
    assert_eq!(pair.send(size, &text), second);
}

#[test]
fn clearcodec_says_the_same_at_every_level() {
    let size = Size::new(333, 222);
    for picture in [
        pictures::text(size, 0),
        pictures::desktop(size),
        pictures::noise(size, 1),
    ] {
        let message = |level| {
            let mut out = Vec::new();
            Clear::with_level(level).compress(size, &picture, &mut out);
            out
        };
        for level in Level::all() {
            assert!(message(level) == message(Level::SCALAR), "{}", level.name());
        }
    }
}

#[test]
fn what_clearcodec_ignores_changes_nothing() {
    let size = Size::new(140, 60);
    let text = pictures::text(size, 2);
    let mut noisy = text.clone();
    let mut noise = Noise(4);
    noisy
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .for_each(|pixel| pixel[3] = noise.next() as u8);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    Clear::new().compress(size, &text, &mut a);
    Clear::new().compress(size, &noisy, &mut b);
    assert_eq!(a, b);
    // Nothing to code is a message too.
    Clear::new().compress(Size::new(0, 5), &[], &mut b);
}
