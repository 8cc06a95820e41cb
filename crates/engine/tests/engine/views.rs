//! What a view takes and when: exact rectangles, missed generations, budgets, sharing, refinement.

use rdpmux_engine::{ClientView, Pipeline, Profile, SliceRows, SurfaceReader, SurfaceWriter, surface};
use rdpmux_model::{EncodedFrame, FrameCommand, PixelFormat, Point, Rect, Size};

use crate::painter::Painter;
use crate::pictures;

const EGFX: Pipeline = Pipeline::Egfx { progressive: true };
const SIZE: Size = Size::new(256, 128);

fn commit(writer: &mut SurfaceWriter, picture: &[u8], rect: Rect<rdpmux_model::Guest>) {
    let size = writer.size();
    let rows = SliceRows::new(picture, size, size.width as usize * 4, PixelFormat::Bgrx32).expect("a whole picture");
    writer.commit(&[rect], &rows, Point::new(0, 0));
}

fn shown(picture: &[u8]) -> (SurfaceWriter, SurfaceReader) {
    let (mut writer, reader) = surface(SIZE);
    commit(&mut writer, picture, SIZE.rect());
    (writer, reader)
}

fn invert(picture: &mut [u8], x: usize, y: usize) {
    for byte in &mut picture[(y * SIZE.width as usize + x) * 4..][..3] {
        *byte = !*byte;
    }
}

fn next(view: &mut ClientView, reader: &SurfaceReader, profile: &Profile) -> Option<EncodedFrame> {
    view.take_job(reader, profile).map(|job| job.encode())
}

#[test]
fn a_small_change_is_sent_as_its_exact_rectangle() {
    let mut picture = pictures::text(SIZE, 0);
    let (mut writer, reader) = shown(&picture);
    let (mut view, profile) = (ClientView::new(), Profile::new(EGFX));
    assert!(next(&mut view, &reader, &profile).is_some());
    invert(&mut picture, 70, 5);
    invert(&mut picture, 80, 9);
    commit(&mut writer, &picture, SIZE.rect());
    let frame = next(&mut view, &reader, &profile).expect("a change");
    let [FrameCommand::Tile { rect, .. }] = frame.commands.as_slice() else {
        panic!("{:?}", frame.commands);
    };
    assert_eq!(*rect, Rect::new(70, 5, 11, 5));
    assert_eq!(frame.generation, reader.generation());
    assert!(next(&mut view, &reader, &profile).is_none() && view.is_current(&reader));
}

#[test]
fn a_slow_view_gets_the_exact_union_of_what_it_missed() {
    let mut picture = pictures::text(SIZE, 0);
    let (mut writer, reader) = shown(&picture);
    let profile = Profile::new(EGFX);
    let (mut slow, mut slowest) = (ClientView::new(), ClientView::new());
    for view in [&mut slow, &mut slowest] {
        assert!(next(view, &reader, &profile).is_some());
    }
    for step in 0..6 {
        invert(&mut picture, 10 + step * 3, 20);
        commit(&mut writer, &picture, SIZE.rect());
        if step == 3 {
            assert!(next(&mut slow, &reader, &profile).is_some());
        }
    }
    let rect = |view: &mut ClientView| match next(view, &reader, &profile).expect("a change").commands.as_slice() {
        [FrameCommand::Tile { rect, .. }] => *rect,
        other => panic!("{other:?}"),
    };
    assert_eq!(rect(&mut slow), Rect::new(22, 20, 4, 1));
    assert_eq!(rect(&mut slowest), Rect::new(10, 20, 16, 1));
}

#[test]
fn a_budget_cuts_frames_and_reaches_every_tile() {
    let (mut writer, reader) = shown(&pictures::text(SIZE, 0));
    let profile = Profile {
        byte_budget: 3 * 64 * 64 * 4,
        ..Profile::new(EGFX)
    };
    let (mut view, mut painter) = (ClientView::new(), Painter::new(SIZE));
    // The upper tiles change all the time; the lower ones must come to their turn.
    for round in 0..4 {
        let mut picture = pictures::text(SIZE, 0);
        picture[..SIZE.width as usize * 4].fill(round);
        commit(&mut writer, &picture, Rect::new(0, 0, SIZE.width, 1));
        let frame = next(&mut view, &reader, &profile).expect("a part");
        assert!(frame.raw_bytes() <= profile.byte_budget);
        painter.paint(&frame);
    }
    let half = SIZE.area() as usize * 2;
    assert!(painter.pixels[half..] == reader.snapshot().1[half..]);
    while let Some(frame) = next(&mut view, &reader, &profile) {
        painter.paint(&frame);
    }
    assert!(painter.pixels == reader.snapshot().1);
    let tiny = Profile {
        byte_budget: 0,
        ..profile
    };
    view.invalidate();
    let frame = next(&mut view, &reader, &tiny).expect("a tile");
    assert!((1..=64 * 64 * 4).contains(&frame.raw_bytes()));
}

#[test]
fn equal_work_of_two_views_is_done_once() {
    for pipeline in [EGFX, Pipeline::SurfaceCommands, Pipeline::Bitmap { bits_per_pixel: 16 }] {
        let (_writer, reader) = shown(&pictures::photo(SIZE));
        let profile = Profile::new(pipeline);
        let first = next(&mut ClientView::new(), &reader, &profile);
        let after_first = reader.cache().stats();
        let second = next(&mut ClientView::new(), &reader, &profile);
        let after_second = reader.cache().stats();
        assert_eq!(first, second);
        assert_eq!(after_second.encodes, after_first.encodes, "{pipeline:?}");
        assert_eq!(after_second.hits - after_first.hits, after_first.encodes);
    }
}

#[test]
fn pipelines_share_remotefx_tiles_and_qualities_do_not() {
    let (_writer, reader) = shown(&pictures::photo(SIZE));
    let encodes = |profile: Profile| {
        next(&mut ClientView::new(), &reader, &profile);
        reader.cache().stats().encodes
    };
    let first = encodes(Profile::new(Pipeline::SurfaceCommands));
    assert_eq!(first, 2 * 8, "a look at each tile, and its encoding");
    assert_eq!(encodes(Profile::new(EGFX)), first);
    let coarse = rdpmux_model::RfxQuant([9; 10]);
    assert_eq!(
        encodes(Profile {
            quant: coarse,
            ..Profile::new(EGFX)
        }),
        first + 8
    );
}

#[test]
fn views_on_many_threads_encode_once() {
    let (_writer, reader) = shown(&pictures::photo(SIZE));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                next(
                    &mut ClientView::new(),
                    &reader,
                    &Profile::new(Pipeline::SurfaceCommands),
                )
            });
        }
    });
    assert_eq!((reader.cache().stats().encodes, reader.cache().stats().hits), (16, 48));
}

#[test]
fn the_cache_is_bounded() {
    let size = Size::new(2048, 2048);
    let (mut writer, reader) = surface(size);
    for seed in 1..5 {
        commit(&mut writer, &pictures::noise(size, seed), size.rect());
        next(
            &mut ClientView::new(),
            &reader,
            &Profile::new(Pipeline::SurfaceCommands),
        );
    }
    let stats = reader.cache().stats();
    assert!(stats.bytes <= 24 << 20 && stats.bytes > 20 << 20, "{stats:?}");
    assert!(writer.resize(size).is_ok());
    assert_eq!((reader.cache().stats().bytes, reader.cache().stats().entries), (0, 0));
}

#[test]
fn a_resting_picture_becomes_exact() {
    let picture = pictures::photo(SIZE);
    let (_writer, reader) = shown(&picture);
    let (mut view, profile) = (ClientView::new(), Profile::new(EGFX));
    let mut painter = Painter::new(SIZE);
    painter.paint(&next(&mut view, &reader, &profile).expect("a picture"));
    assert!(painter.pixels != picture && view.is_current(&reader) && view.needs_refinement());
    while let Some(job) = view.take_refinement(&reader, &profile) {
        painter.paint(&job.encode());
    }
    assert!(painter.pixels == picture && !view.needs_refinement());
}

#[test]
fn only_tiles_at_rest_are_refined() {
    let mut picture = pictures::photo(SIZE);
    let (mut writer, reader) = shown(&picture);
    let (mut view, profile) = (ClientView::new(), Profile::new(EGFX));
    let mut painter = Painter::new(SIZE);
    for frame in 0..4 {
        view.tick_rest(&reader);
        if frame == 1 {
            let refined = view.take_refinement(&reader, &profile).expect("seven tiles rest");
            assert_eq!(refined.tiles(), 7);
            painter.paint(&refined.encode());
        } else {
            assert!(view.take_refinement(&reader, &profile).is_none());
        }
        invert(&mut picture, 3, 3);
        commit(&mut writer, &picture, SIZE.rect());
        painter.paint(&next(&mut view, &reader, &profile).expect("the moving tile"));
    }
    view.tick_rest(&reader);
    view.tick_rest(&reader);
    painter.paint(
        &view
            .take_refinement(&reader, &profile)
            .expect("the tile that moved")
            .encode(),
    );
    assert!(painter.pixels == picture && !view.needs_refinement());
}

#[test]
fn pipelines_without_an_exact_form_are_not_refined() {
    let (_writer, reader) = shown(&pictures::photo(SIZE));
    let (mut view, profile) = (ClientView::new(), Profile::new(Pipeline::SurfaceCommands));
    assert!(next(&mut view, &reader, &profile).is_some());
    assert!(view.take_refinement(&reader, &profile).is_none());
}

#[test]
fn a_refresh_sends_the_tiles_it_names() {
    let picture = pictures::text(SIZE, 0);
    let (_writer, reader) = shown(&picture);
    let (mut view, profile) = (ClientView::new(), Profile::new(EGFX));
    view.invalidate_rect(Rect::new(0, 0, 10, 10));
    assert!(next(&mut view, &reader, &profile).is_some());
    let area = |frame: Option<EncodedFrame>| frame.map_or(0, |frame| Painter::area(&frame));
    view.invalidate_rect(Rect::new(60, 0, 10, 10));
    assert_eq!(area(next(&mut view, &reader, &profile)), 2 * 64 * 64);
    view.invalidate_rect(Rect::new(5000, 5000, u32::MAX, u32::MAX));
    assert!(view.take_job(&reader, &profile).is_none());
    view.invalidate();
    assert_eq!(area(next(&mut view, &reader, &profile)), SIZE.area() as usize);
}

#[test]
fn a_view_joins_another_while_what_they_show_differently_moves() {
    let mut picture = pictures::photo(SIZE);
    let (mut writer, reader) = shown(&picture);
    let profile = Profile::new(EGFX);
    let (mut group, mut joiner) = (ClientView::new(), ClientView::new());
    let mut painters = [Painter::new(SIZE), Painter::new(SIZE)];
    painters[0].paint(&next(&mut group, &reader, &profile).expect("a picture"));
    painters[1].paint(&next(&mut joiner, &reader, &profile).expect("a picture"));
    let mut both = |group: &mut ClientView, joiner: &mut ClientView| {
        let (dx, dy) = (70, 5);
        invert(&mut picture, dx, dy);
        commit(&mut writer, &picture, SIZE.rect());
        painters[0].paint(&next(group, &reader, &profile).expect("a change"));
        invert(&mut picture, dx, dy);
        invert(&mut picture, 170, 50);
        commit(&mut writer, &picture, SIZE.rect());
        painters[1].paint(&next(joiner, &reader, &profile).expect("a change"));
    };
    both(&mut group, &mut joiner);
    assert!(!group.can_absorb(&mut joiner), "nothing is known to move");
    group.tick_rest(&reader);
    group.tick_rest(&reader);
    assert!(!group.can_absorb(&mut joiner), "it has come to rest");
    both(&mut group, &mut joiner);
    assert!(group.can_absorb(&mut joiner));
    group.absorb(&joiner);
    let frame = next(&mut group, &reader, &profile).expect("what they show differently");
    painters.iter_mut().for_each(|painter| painter.paint(&frame));
    for _ in 0..2 {
        group.tick_rest(&reader);
    }
    while let Some(job) = group.take_refinement(&reader, &profile) {
        let frame = job.encode();
        painters.iter_mut().for_each(|painter| painter.paint(&frame));
    }
    assert!(painters.iter().all(|painter| painter.pixels == picture));
}

#[test]
fn views_in_step_are_one_and_a_fork_goes_on_alone() {
    let mut picture = pictures::photo(SIZE);
    let (mut writer, reader) = shown(&picture);
    let profile = Profile::new(EGFX);
    let (mut group, mut joiner) = (ClientView::new(), ClientView::new());
    let mut painters = [Painter::new(SIZE), Painter::new(SIZE), Painter::new(SIZE)];
    assert!(!group.can_absorb(&mut joiner), "neither shows anything");
    painters[0].paint(&next(&mut group, &reader, &profile).expect("a picture"));
    group.tick_rest(&reader);
    group.tick_rest(&reader);
    while let Some(job) = group.take_refinement(&reader, &profile) {
        painters[0].paint(&job.encode());
    }
    assert!(!group.can_absorb(&mut joiner));
    painters[1].paint(&next(&mut joiner, &reader, &profile).expect("a picture"));
    assert!(group.can_absorb(&mut joiner));
    group.absorb(&joiner);
    assert!(group.needs_refinement(), "the joiner has it only roughly");
    painters[2] = painters[1].clone();
    let mut alone = group.fork().expect("no job under way");
    invert(&mut picture, 70, 5);
    commit(&mut writer, &picture, SIZE.rect());
    let change = next(&mut group, &reader, &profile).expect("a change");
    painters[..2].iter_mut().for_each(|painter| painter.paint(&change));
    invert(&mut picture, 170, 50);
    commit(&mut writer, &picture, SIZE.rect());
    for _ in 0..2 {
        group.tick_rest(&reader);
        alone.tick_rest(&reader);
    }
    while let Some(job) = group
        .take_job(&reader, &profile)
        .or_else(|| group.take_refinement(&reader, &profile))
    {
        let frame = job.encode();
        painters[..2].iter_mut().for_each(|painter| painter.paint(&frame));
    }
    while let Some(job) = alone
        .take_job(&reader, &profile)
        .or_else(|| alone.take_refinement(&reader, &profile))
    {
        painters[2].paint(&job.encode());
    }
    assert!(painters.iter().all(|painter| painter.pixels == picture));
}
