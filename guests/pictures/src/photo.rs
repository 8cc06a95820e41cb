//! Pictures like photos, from noise of several sizes: soft slopes, edges and a little grain in three channels.
//! Whole numbers only, so that every machine draws the same. Used for the wallpaper and by `reel`.

use super::hash;

/// A photo of `width` by `height` pixels, four bytes each; another `seed` is another photo.
pub fn draw(width: usize, height: usize, seed: u32) -> Vec<u8> {
    let mut light = vec![0_i32; width * height];
    for (index, (cell, strength)) in [(320, 90), (96, 60), (28, 34), (9, 16), (3, 7)].into_iter().enumerate() {
        add_noise(&mut light, width, cell, strength, seed + index as u32);
    }
    let mut warm = vec![0_i32; width * height];
    add_noise(&mut warm, width, 260, 70, seed + 11);
    add_noise(&mut warm, width, 60, 26, seed + 12);
    let mut out = vec![0; width * height * 4];
    let levels = light.iter().zip(&warm);
    for (index, (pixel, (light, warm))) in out.chunks_exact_mut(4).zip(levels).enumerate() {
        // Ridges: noise folded at some heights gives the edges that hills and roofs have.
        let folded = if *light > 12 { light / 2 + 46 } else { light - 18 };
        let sky = 40 - (index / width * 90 / height) as i32;
        let level = |value: i32| (118 + folded + sky + value).clamp(0, 255) as u8;
        pixel[..3].copy_from_slice(&[level(-warm), level(warm / 4), level(warm / 2 + 8)]);
    }
    out
}

/// Adds smooth noise between `-strength` and `strength` with one value per `cell` pixels.
fn add_noise(out: &mut [i32], width: usize, cell: usize, strength: i32, seed: u32) {
    let value = |x: usize, y: usize| {
        let bits = hash(seed.wrapping_mul(0x51_7c_c1).wrapping_add((y * 8192 + x) as u32));
        (bits & 0x1ff) as i32 * strength / 256 - strength
    };
    let ease: Vec<i32> = (0..cell)
        .map(|step| {
            let share = (step * 256 / cell) as i32;
            (share * share * (768 - 2 * share)) >> 16
        })
        .collect();
    let columns = width / cell + 2;
    let mut upper: Vec<i32> = (0..columns).map(|x| value(x, 0)).collect();
    let mut lower: Vec<i32> = (0..columns).map(|x| value(x, 1)).collect();
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        if y > 0 && y % cell == 0 {
            upper = lower;
            lower = (0..columns).map(|x| value(x, y / cell + 1)).collect();
        }
        let share = ease[y % cell];
        let between: Vec<i32> = upper
            .iter()
            .zip(&lower)
            .map(|(one, two)| one * 256 + (two - one) * share)
            .collect();
        for (pixels, ends) in row.chunks_mut(cell).zip(between.windows(2)) {
            for (pixel, share) in pixels.iter_mut().zip(&ease) {
                *pixel += (ends[0] * 256 + (ends[1] - ends[0]) * share) >> 16;
            }
        }
    }
}
