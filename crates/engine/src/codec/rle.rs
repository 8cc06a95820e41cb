//! Interleaved run-length coding of bitmap updates at 24, 16 and 15 bits per pixel ([MS-RDPBCGR] 2.2.9.1.1.3.1.2.4).
//!
//! Of the many orders three are enough: background run (as the row before), colour run and colour image. What decoders
//! may understand differently is avoided: no background run in the first row, and none right after another.

/// Appends the orders for rows of `width` pixels, `N` bytes each, in the order in which the client wants them.
pub fn encode<const N: usize>(pixels: &[[u8; N]], width: usize, out: &mut Vec<u8>) {
    let mut at = 0;
    let mut image_from = 0;
    while at < pixels.len() {
        let background = background_run(pixels, width, at);
        let color = color_run(pixels, at);
        if background.max(color) < SHORTEST_RUN {
            at += 1;
            continue;
        }
        image(&pixels[image_from..at], out);
        if background >= color {
            length(Order::BACKGROUND, background, out);
            at += background;
            // A background run right after another would insert a foreground pixel: one pixel of an image is between.
            image_from = at;
            at = (at + 1).min(pixels.len());
        } else {
            let run = color.min(usize::from(u16::MAX));
            length(Order::COLOR, run, out);
            out.extend_from_slice(&pixels[at]);
            at += run;
            image_from = at;
        }
    }
    image(&pixels[image_from..], out);
}

const SHORTEST_RUN: usize = 3;

/// How many pixels from `at` on equal the row before. Tiles are at most 64 × 64, so one order holds any run.
fn background_run<const N: usize>(pixels: &[[u8; N]], width: usize, at: usize) -> usize {
    if at < width {
        return 0;
    }
    let above = pixels[at - width..].iter();
    let run = pixels[at..]
        .iter()
        .zip(above)
        .take_while(|(now, above)| now == above)
        .count();
    run.min(usize::from(u16::MAX))
}

fn color_run<const N: usize>(pixels: &[[u8; N]], at: usize) -> usize {
    let color = pixels[at];
    pixels[at..].iter().take_while(|pixel| **pixel == color).count()
}

fn image<const N: usize>(pixels: &[[u8; N]], out: &mut Vec<u8>) {
    for part in pixels.chunks(usize::from(u16::MAX)) {
        length(Order::IMAGE, part.len(), out);
        out.extend_from_slice(part.as_flattened());
    }
}

/// Code in the top three bits of a regular order, and the byte of its "mega mega" form.
struct Order {
    regular: u8,
    mega: u8,
}

impl Order {
    const BACKGROUND: Self = Self {
        regular: 0x00,
        mega: 0xF0,
    };
    const COLOR: Self = Self {
        regular: 0x60,
        mega: 0xF3,
    };
    const IMAGE: Self = Self {
        regular: 0x80,
        mega: 0xF4,
    };
}

/// Writes an order's header for `run` pixels, 1 to 65535.
fn length(order: Order, run: usize, out: &mut Vec<u8>) {
    match run {
        ..32 => out.push(order.regular | run as u8),
        32..288 => out.extend_from_slice(&[order.regular, (run - 32) as u8]),
        _ => {
            out.push(order.mega);
            out.extend_from_slice(&(run as u16).to_le_bytes());
        }
    }
}
