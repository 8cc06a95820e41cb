//! A moving picture for the example `video` and the bench: coloured waves with grain, so that every pixel is another one in
//! every frame, and the frame's number as a strip of black and white blocks near the first and the last pixel. A thread
//! called `painter` paints; who comes late gets the newest frame and nothing queues.

use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Pixels in a row.
pub const WIDTH: usize = 1920;
/// Rows.
pub const HEIGHT: usize = 1080;

/// A picture: blue, green, red and a byte without meaning for each pixel, row by row.
pub type Frame = Bytes;

/// Starts to paint, so many frames a second, until all receivers are gone.
///
/// # Errors
/// When the system has no thread left.
pub fn start(frames_per_second: u32) -> std::io::Result<watch::Receiver<Frame>> {
    let waves = Waves::new();
    let (sender, receiver) = watch::channel(waves.paint(0));
    let paint = move || {
        let start = Instant::now();
        for n in 1.. {
            let due = Duration::from_secs(u64::from(n)) / frames_per_second;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            if sender.send(waves.paint(n)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("painter".to_owned()).spawn(paint)?;
    Ok(receiver)
}

/// What does not change from frame to frame.
struct Waves {
    /// One period of a sine, 0 to 255.
    sine: [u16; PERIOD],
    /// The colour of each height of the waves.
    colors: Vec<u32>,
    /// Numbers from 0 to 7 that look random.
    grain: Vec<u16>,
}

const PERIOD: usize = 1024;
/// A prime, so that rows do not repeat.
const GRAINS: usize = 65_521;
/// Where the frame's number is shown, and the side of its blocks.
const STRIPS: [(usize, usize); 2] = [(320, 180), (1280, 884)];
const SIDE: usize = 16;

impl Waves {
    fn new() -> Self {
        let turn = |at: usize| at as f64 / PERIOD as f64 * std::f64::consts::TAU;
        let sine = std::array::from_fn(|at| (turn(at).sin() * 127.5 + 127.5) as u16);
        let channel = |at: usize, shift: f64| ((turn(at) + shift).sin() * 112.0 + 128.0) as u32;
        let color = |at| channel(at, 0.0) | channel(at, 2.1) << 8 | channel(at, 4.2) << 16;
        let mut seed = 1_u32;
        let mut number = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 29) as u16
        };
        Self {
            sine,
            colors: (0..PERIOD).map(color).collect(),
            grain: (0..GRAINS + WIDTH).map(|_| number()).collect(),
        }
    }

    /// Paints frame `n`.
    fn paint(&self, n: u32) -> Frame {
        let n = n as usize;
        let wave = |at: usize| self.sine[at % PERIOD];
        let columns: Vec<u16> = (0..WIDTH).map(|x| wave(x + n * 7)).collect();
        let diagonals: Vec<u16> = (0..WIDTH + HEIGHT).map(|at| wave(at / 2 + n * 11)).collect();
        let mut pixels = Vec::with_capacity(WIDTH * HEIGHT * 4);
        for y in 0..HEIGHT {
            let row = wave(y * 2 + n * 5);
            let grain = &self.grain[(y * 7_919 + n * 104_729) % GRAINS..];
            let heights = columns.iter().zip(&diagonals[y..]).zip(grain);
            pixels.extend(heights.flat_map(|((column, diagonal), grain)| {
                self.colors[usize::from(row + column + diagonal + grain) % PERIOD].to_le_bytes()
            }));
        }
        for at in STRIPS {
            number(&mut pixels, at, n as u16);
        }
        pixels.into()
    }
}

/// Draws a number as twenty blocks: two that are always the same, sixteen bits, two that check them.
fn number(pixels: &mut [u8], (left, top): (usize, usize), n: u16) {
    let word = 0b10 << 18 | u32::from(n) << 2 | (n.count_ones() & 3);
    for block in 0..20 {
        let value = if word >> (19 - block) & 1 == 1 { 0xff } else { 0 };
        for y in top..top + SIDE {
            let start = (y * WIDTH + left + block * SIDE) * 4;
            pixels[start..start + SIDE * 4].fill(value);
        }
    }
}
