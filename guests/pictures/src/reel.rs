//! The film: a camera moves over one photo while something soft moves before it, with the grain of a sensor. Some frames
//! are drawn in advance and shown to and fro; with each turn the view moves by a pixel, so that no frame ever comes again
//! as it was within two minutes.

use super::{hash, photo};

/// What is shown of a frame.
pub const WIDTH: usize = 1280;
pub const HEIGHT: usize = 720;
/// What is stored of it.
pub const STORED_WIDTH: usize = WIDTH + TURNS;
const STORED_HEIGHT: usize = HEIGHT;

const FRAMES: usize = 24;
const TURNS: usize = 64;
/// Pixels from frame to frame.
const CAMERA: (usize, usize) = (3, 1);
const SUBJECT: usize = 7;
const GRAIN: i32 = 2;

/// Draws all frames.
pub fn draw() -> Vec<Vec<u8>> {
    let far = (STORED_WIDTH + CAMERA.0 * FRAMES, STORED_HEIGHT + CAMERA.1 * FRAMES);
    let scene = photo::draw(far.0, far.1, 77);
    let subject = photo::draw(SIZE, SIZE, 1234);
    let mut seed = 1;
    let grain: Vec<i8> = (0..65_536)
        .map(|_| {
            seed = hash(seed);
            (seed as i32 % (GRAIN + 1)) as i8
        })
        .collect();
    (0..FRAMES).map(|k| frame(&scene, far.0, &subject, &grain, k)).collect()
}

/// The stored frame of number `n`, and from which pixel on it is shown.
pub fn pick(reel: &[Vec<u8>], n: u16) -> (&[u8], (usize, usize)) {
    let (period, n) = (2 * FRAMES - 2, usize::from(n));
    let k = n % period;
    let index = if k < FRAMES { k } else { period - k };
    (&reel[index], (n / period % TURNS, 0))
}

const SIZE: usize = 420;

fn frame(scene: &[u8], scene_width: usize, subject: &[u8], grain: &[i8], k: usize) -> Vec<u8> {
    let mut out = vec![0; STORED_WIDTH * STORED_HEIGHT * 4];
    let mut noise = hash(k as u32) as usize;
    for (y, row) in out.chunks_exact_mut(STORED_WIDTH * 4).enumerate() {
        let from = ((y + CAMERA.1 * k) * scene_width + CAMERA.0 * k) * 4;
        row.copy_from_slice(&scene[from..from + STORED_WIDTH * 4]);
    }
    cover(&mut out, subject, (700 - SUBJECT * k, 150 + 3 * k));
    for row in out.chunks_exact_mut(STORED_WIDTH * 4) {
        noise = noise.wrapping_mul(0x5851_f42d).wrapping_add(0x14_05_7b);
        let start = noise >> 7 & 0xffff;
        for (index, pixel) in row.chunks_exact_mut(4).enumerate() {
            let step = i16::from(grain[(start + index) & 0xffff]);
            for value in &mut pixel[..3] {
                *value = (i16::from(*value) + step).clamp(0, 255) as u8;
            }
        }
    }
    out
}

/// Lays a round subject with a soft edge over the frame.
fn cover(out: &mut [u8], subject: &[u8], at: (usize, usize)) {
    let middle = SIZE as i32 / 2;
    for y in 0..SIZE {
        for x in 0..SIZE {
            let (right, down) = (x as i32 - middle, y as i32 - middle);
            let inside = middle * middle - right * right - down * down;
            let share = (inside / 64).clamp(0, 256);
            if share == 0 {
                continue;
            }
            let pixel = ((at.1 + y) * STORED_WIDTH + at.0 + x) * 4;
            let from = (y * SIZE + x) * 4;
            for (value, new) in out[pixel..pixel + 3].iter_mut().zip(&subject[from..from + 3]) {
                *value = ((i32::from(*value) * (256 - share) + i32::from(*new) * share) >> 8) as u8;
            }
        }
    }
}
