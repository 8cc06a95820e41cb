//! Any pixels at any size, scrolled, dragged and back, through every pipeline: nothing panics, foreign decoders read it,
//! exact pipelines are exact.

use painter::{Painter, widen};
use rdpmux_engine::{ClientView, Pipeline, Profile, SliceRows, surface};
use rdpmux_model::{PixelFormat, Point, Rect, Size};

#[expect(dead_code, reason = "some is for the engine's own tests")]
#[path = "../../crates/engine/tests/engine/painter.rs"]
mod painter;

const PIPELINES: [Pipeline; 8] = [
    Pipeline::Egfx { progressive: true },
    Pipeline::SurfaceCommands,
    Pipeline::Qoi { zstd: false },
    Pipeline::Qoi { zstd: true },
    Pipeline::Bitmap { bits_per_pixel: 32 },
    Pipeline::Bitmap { bits_per_pixel: 24 },
    Pipeline::Bitmap { bits_per_pixel: 16 },
    Pipeline::Bitmap { bits_per_pixel: 15 },
];

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((&[width, height, x, y, shape], bytes)) = data.split_first_chunk::<5>() else {
        return;
    };
    if bytes.is_empty() {
        return;
    }
    let size = Size::new(u32::from(width) + 1, u32::from(height) % 140 + 1);
    // A step that differs from the row's length shifts the pattern from row to row.
    let step = usize::from(shape >> 4) + 1;
    let picture: Vec<u8> = (0..size.area() as usize * 4)
        .map(|i| bytes[i / step % bytes.len()])
        .collect();
    let stride = size.width as usize * 4;
    let rows = SliceRows::new(&picture, size, stride, PixelFormat::Bgrx32).expect("a whole picture");
    let (mut writer, reader) = surface(size);
    let part = Rect::new(u32::from(x), u32::from(y), u32::from(shape), u32::from(height));
    for pipeline in PIPELINES {
        let (mut view, mut painter) = (ClientView::with_cache(5), Painter::new(size));
        let profile = Profile {
            byte_budget: usize::from(shape) << 8,
            ..Profile::new(pipeline)
        };
        let moved = Point::new(u32::from(x) % 97, u32::from(y));
        let home = Point::new(0, 0);
        for (rect, origin) in [
            (part, home),
            (size.rect(), home),
            (size.rect(), moved),
            (size.rect(), home),
        ] {
            writer.commit(&[rect], &rows, origin);
            view.tick_rest(&reader);
            view.tick_rest(&reader);
            while let Some(job) = view
                .take_job(&reader, &profile)
                .or_else(|| view.take_refinement(&reader, &profile))
            {
                painter.paint(&job.encode());
            }
        }
        if pipeline != Pipeline::SurfaceCommands {
            assert!(
                painter.pixels == expected(&reader.snapshot().1, pipeline),
                "{pipeline:?} {size}"
            );
        }
        writer.resize(size).expect("a valid size");
    }
}

fn expected(pixels: &[u8], pipeline: Pipeline) -> Vec<u8> {
    let at_depth = |pixel: &[u8; 4]| {
        let [b, g, r, _] = pixel.map(u16::from);
        let [b, g, r] = match pipeline {
            Pipeline::Bitmap { bits_per_pixel: 16 } => {
                widen(level(r, 31) << 11 | level(g, 63) << 5 | level(b, 31), [5, 6, 5])
            }
            Pipeline::Bitmap { bits_per_pixel: 15 } => {
                widen(level(r, 31) << 10 | level(g, 31) << 5 | level(b, 31), [5, 5, 5])
            }
            _ => [pixel[0], pixel[1], pixel[2]],
        };
        [b, g, r, 255]
    };
    pixels.as_chunks::<4>().0.iter().flat_map(at_depth).collect()
}

/// The level of `0..=levels` that is nearest to an 8-bit value.
fn level(value: u16, levels: u16) -> u16 {
    (f64::from(value) * f64::from(levels) / 255.0).round() as u16
}
