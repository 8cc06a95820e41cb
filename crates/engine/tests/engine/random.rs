//! Any sequence of commits, resizes, jobs and refreshes, seen by views of every exact pipeline, ends at the surface.

use rdpmux_engine::{ClientView, Pipeline, Profile, SliceRows, SurfaceWriter, surface};
use rdpmux_model::{PixelFormat, Point, Rect, Size};

use crate::painter::Painter;
use crate::pictures::{self, Noise};

struct Viewer {
    view: ClientView,
    profile: Profile,
    painter: Painter,
}

impl Viewer {
    fn new(pipeline: Pipeline, byte_budget: usize) -> Self {
        Self {
            view: ClientView::with_cache(if byte_budget == usize::MAX { 9 } else { 0 }),
            profile: Profile {
                byte_budget,
                ..Profile::new(pipeline)
            },
            painter: Painter::new(Size::new(1, 1)),
        }
    }

    fn step(&mut self, reader: &rdpmux_engine::SurfaceReader) -> bool {
        let job = self.view.take_job(reader, &self.profile);
        let job = job.or_else(|| self.view.take_refinement(reader, &self.profile));
        job.map(|job| self.painter.paint(&job.encode())).is_some()
    }
}

#[test]
fn every_exact_pipeline_ends_at_the_surface() {
    for seed in 1..=12 {
        eprintln!("seed {seed}");
        let mut noise = Noise(seed * 0x9E37_79B9);
        run(&mut noise);
    }
}

fn run(noise: &mut Noise) {
    let (mut writer, reader) = surface(Size::new(1 + noise.below(200), 1 + noise.below(200)));
    let mut viewers = [
        Viewer::new(Pipeline::Egfx { progressive: true }, usize::MAX),
        Viewer::new(Pipeline::Egfx { progressive: false }, 40_000),
        Viewer::new(Pipeline::Bitmap { bits_per_pixel: 32 }, 20_000),
        Viewer::new(Pipeline::Bitmap { bits_per_pixel: 24 }, 1),
        Viewer::new(Pipeline::Qoi { zstd: false }, usize::MAX),
        Viewer::new(Pipeline::Qoi { zstd: true }, 100_000),
    ];
    for _ in 0..60 {
        match noise.below(12) {
            0 => {
                let size = Size::new(noise.below(300), noise.below(300));
                assert_eq!(writer.resize(size).is_ok(), size.is_valid());
            }
            1..=4 => commit(&mut writer, noise),
            5..=6 => scroll(&mut writer, &reader, noise),
            7 => viewers[noise.below(6) as usize].view.invalidate_rect(rect(noise)),
            8 => viewers[noise.below(6) as usize].view.invalidate(),
            9 => viewers[noise.below(6) as usize].view.tick_rest(&reader),
            _ => {
                viewers[noise.below(6) as usize].step(&reader);
            }
        }
    }
    let (size, pixels) = reader.snapshot();
    for viewer in &mut viewers {
        viewer.view.tick_rest(&reader);
        viewer.view.tick_rest(&reader);
        while viewer.step(&reader) {}
        assert_eq!(viewer.painter.size, size);
        assert!(
            viewer.painter.pixels == pixels,
            "{:?} on {size}",
            viewer.profile.pipeline
        );
        assert!(viewer.view.is_current(&reader));
    }
}

/// A part of the picture goes elsewhere, as a scroll or a drag does.
fn scroll(writer: &mut SurfaceWriter, reader: &rdpmux_engine::SurfaceReader, noise: &mut Noise) {
    let (size, pixels) = reader.snapshot();
    let part = rect::<rdpmux_model::Guest>(noise).intersect(size.rect());
    let to = Point::new(noise.below(size.width), noise.below(size.height));
    if part.is_empty() {
        return;
    }
    let start = (part.y * size.width + part.x) as usize * 4;
    let stride = size.width as usize * 4;
    let rows = SliceRows::new(&pixels[start..], part.size(), stride, PixelFormat::Bgrx32).expect("a part of it");
    writer.commit(&[size.rect()], &rows, to);
}

fn rect<S>(noise: &mut Noise) -> Rect<S> {
    let edge = [4, 70, 300][noise.below(3) as usize];
    Rect::new(noise.below(320), noise.below(320), noise.below(edge), noise.below(edge))
}

fn commit(writer: &mut SurfaceWriter, noise: &mut Noise) {
    let size = Size::new(1 + noise.below(300), 1 + noise.below(300));
    let picture = match noise.below(4) {
        0 => pictures::noise(size, u64::from(noise.next()) + 1),
        1 => pictures::photo(size),
        2 => vec![noise.next() as u8; size.area() as usize * 4],
        _ => pictures::text(size, noise.below(9)),
    };
    let format = [
        PixelFormat::Bgrx32,
        PixelFormat::Xrgb32,
        PixelFormat::Rgb24,
        PixelFormat::Rgb15,
    ][noise.below(4) as usize];
    let rows = SliceRows::new(&picture, size, size.width as usize * 4, format).expect("at least enough bytes");
    let rects: Vec<_> = (0..1 + noise.below(3)).map(|_| rect(noise)).collect();
    writer.commit(&rects, &rows, Point::new(noise.below(40), noise.below(40)));
}
