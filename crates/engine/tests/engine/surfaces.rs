//! The surface's writer: clipping, comparing, drawing, and numbers that cannot be true.

use rdpmux_engine::{Canvas, ClientView, Pipeline, PixelRows, Profile, SliceRows, SurfaceError, draw_card, surface};
use rdpmux_model::{FrameCommand, Generation, Guest, PixelFormat, Point, Rect, Size};

/// Every pixel is the same.
struct Plain([u8; 4]);

impl PixelRows for Plain {
    fn read_row(&self, _: u32, _: u32, out: &mut [u8]) {
        out.as_chunks_mut().0.fill(self.0);
    }
}

#[test]
fn a_new_surface_is_black_and_its_size_is_clamped() {
    let (writer, reader) = surface(Size::new(0, 9000));
    assert_eq!(writer.size(), Size::new(1, 8192));
    assert_eq!(reader.generation(), Generation(1));
    assert_eq!(reader.snapshot().1[..4], [0, 0, 0, 255]);
}

#[test]
fn only_real_changes_make_a_generation() {
    let (mut writer, reader) = surface(Size::new(200, 100));
    let everything = Rect::new(0, 0, u32::MAX, u32::MAX);
    assert_eq!(
        writer.commit(&[everything], &Plain([0, 0, 0, 9]), Point::new(0, 0)),
        None
    );
    let newest = writer.commit(&[Rect::new(64, 0, 64, 64)], &Plain([1, 1, 1, 0]), Point::new(0, 0));
    assert_eq!(newest, Some(reader.generation()));
    assert_eq!(
        writer.commit(&[everything], &Plain([1, 1, 1, 0]), Point::new(0, 0)),
        Some(reader.generation())
    );
    assert_eq!(
        writer.commit(&[everything], &Plain([1, 1, 1, 7]), Point::new(0, 0)),
        None
    );
    assert!(reader.snapshot().1 == [1, 1, 1, 255].repeat(200 * 100));
}

#[test]
fn rectangles_are_clipped_to_frame_source_and_origin() {
    let (mut writer, reader) = surface(Size::new(100, 80));
    let source = [255; 10 * 10 * 3];
    let rows = SliceRows::new(&source, Size::new(10, 10), 30, PixelFormat::Rgb24).expect("exactly enough");
    let hostile: [Rect<Guest>; 4] = [
        Rect::new(95, 75, u32::MAX, u32::MAX),
        Rect::new(u32::MAX, u32::MAX, u32::MAX, u32::MAX),
        Rect::new(5, 5, 0, 7),
        Rect::new(0, 0, 100, 80),
    ];
    assert!(writer.commit(&hostile, &rows, Point::new(96, 2)).is_some());
    let (_, pixels) = reader.snapshot();
    let white = |x: usize, y: usize| pixels[(y * 100 + x) * 4] == 255;
    for y in 0..80 {
        for x in 0..100 {
            assert_eq!(white(x, y), x >= 96 && (2..12).contains(&y), "{x} {y}");
        }
    }
    assert_eq!(writer.commit(&hostile, &rows, Point::new(u32::MAX, 0)), None);
}

#[test]
fn false_numbers_are_named() {
    let new = |len: usize, width, height, stride| {
        SliceRows::new(&vec![0; len], Size::new(width, height), stride, PixelFormat::Bgrx32).err()
    };
    assert_eq!(new(64, 4, 4, 16), None);
    assert_eq!(new(60 + 16, 4, 4, 20), None);
    assert_eq!(new(63, 4, 4, 16), Some(SurfaceError::Length { bytes: 63, needed: 64 }));
    assert_eq!(new(64, 4, 4, 15), Some(SurfaceError::Stride { stride: 15, row: 16 }));
    assert_eq!(new(64, 0, 4, 16), Some(SurfaceError::Size(Size::new(0, 4))));
    assert_eq!(new(64, 4, 8193, 16), Some(SurfaceError::Size(Size::new(4, 8193))));
    let absurd = new(64, 4, 4, usize::MAX / 2);
    assert_eq!(
        absurd,
        Some(SurfaceError::Length {
            bytes: 64,
            needed: usize::MAX
        })
    );
    let text = absurd.map(|e| e.to_string()).unwrap_or_default();
    assert!(text.starts_with("64 bytes are given"), "{text}");
}

#[test]
fn a_resize_blackens_and_damages_everything() {
    let (mut writer, reader) = surface(Size::new(100, 80));
    let profile = Profile::new(Pipeline::Egfx { progressive: true });
    let mut view = ClientView::new();
    assert!(view.take_job(&reader, &profile).is_some() && view.is_current(&reader));
    let before = reader.generation();
    assert_eq!(writer.resize(Size::new(0, 1)), Err(SurfaceError::Size(Size::new(0, 1))));
    assert!(view.is_current(&reader));
    assert!(writer.resize(Size::new(100, 80)).is_ok_and(|now| now > before));
    assert!(!view.is_current(&reader));
    assert!(view.take_job(&reader, &profile).is_some_and(|job| job.tiles() == 4));
}

#[test]
fn a_drawing_is_committed_where_it_touched_and_differed() {
    let (mut writer, reader) = surface(Size::new(640, 480));
    let card = |canvas: &mut Canvas<'_>| draw_card(canvas, "web1 is waiting", &["No guest is connected yet."]);
    let first = writer.draw(card);
    assert_eq!(first, Some(reader.generation()));
    assert_eq!(writer.draw(card), None);
    // The private copy follows what was committed in between.
    assert!(
        writer
            .commit(&[Rect::new(0, 0, 640, 480)], &Plain([3, 3, 3, 0]), Point::new(0, 0))
            .is_some()
    );
    assert!(writer.draw(card).is_some());
    let mut expected = vec![0; 640 * 480 * 4];
    card(&mut Canvas::new(&mut expected, Size::new(640, 480)));
    assert!(reader.snapshot().1 == expected);
}

#[test]
fn the_largest_surface_works() {
    let size = Size::new(8192, 8192);
    let (mut writer, reader) = surface(size);
    assert!(
        writer
            .commit(&[Rect::new(8191, 8191, 1, 1)], &Plain([5; 4]), Point::new(0, 0))
            .is_some()
    );
    let mut view = ClientView::new();
    let profile = Profile::new(Pipeline::Egfx { progressive: false });
    let mut tiles = 0;
    while let Some(job) = view.take_job(&reader, &profile) {
        tiles += job.tiles();
        let frame = job.encode();
        assert!(
            frame
                .commands
                .iter()
                .all(|c| matches!(c, FrameCommand::SolidFill { .. } | FrameCommand::Tile { .. }))
        );
    }
    assert_eq!(tiles, 128 * 128);
}
