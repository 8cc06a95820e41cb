//! Scrolls, drags and what comes back: found from the pixels alone, and cheaper than sending them.

use rdpmux_engine::{ClientView, Pipeline, Profile, SliceRows, SurfaceReader, SurfaceWriter, surface};
use rdpmux_model::{Client, EncodedFrame, FrameCommand, PixelFormat, Point, Rect, Size};

use crate::painter::Painter;
use crate::pictures;

const SIZE: Size = Size::new(1280, 720);
const EGFX: Pipeline = Pipeline::Egfx { progressive: true };

struct Pair {
    writer: SurfaceWriter,
    reader: SurfaceReader,
    view: ClientView,
    painter: Painter,
}

impl Pair {
    fn showing(picture: &[u8], cache: u16) -> Self {
        let (writer, reader) = surface(SIZE);
        let mut pair = Self {
            writer,
            reader,
            view: ClientView::with_cache(cache),
            painter: Painter::new(SIZE),
        };
        pair.show(picture);
        pair
    }

    /// Draws a picture and returns the frame that brings the client there.
    fn show(&mut self, picture: &[u8]) -> Option<EncodedFrame> {
        let rows = SliceRows::new(picture, SIZE, SIZE.width as usize * 4, PixelFormat::Bgrx32).expect("a picture");
        self.writer.commit(&[SIZE.rect()], &rows, Point::new(0, 0));
        let frame = self.view.take_job(&self.reader, &Profile::new(EGFX))?.encode();
        self.painter.paint(&frame);
        Some(frame)
    }

    fn rest(&mut self) {
        self.view.tick_rest(&self.reader);
        self.view.tick_rest(&self.reader);
        while let Some(job) = self.view.take_refinement(&self.reader, &Profile::new(EGFX)) {
            self.painter.paint(&job.encode());
        }
    }
}

/// `picture` with a rectangle of another one at a place.
fn with(picture: &[u8], part: &[u8], from: Rect<Client>, to: Point<Client>) -> Vec<u8> {
    let mut picture = picture.to_vec();
    let at = |x: u32, y: u32| (y * SIZE.width + x) as usize * 4;
    let len = from.width as usize * 4;
    for row in 0..from.height {
        let (source, target) = (at(from.x, from.y + row), at(to.x, to.y + row));
        picture[target..target + len].copy_from_slice(&part[source..source + len]);
    }
    picture
}

fn copies(frame: &EncodedFrame) -> Vec<(Rect<Client>, Point<Client>)> {
    let copy = |command: &FrameCommand| match command {
        FrameCommand::Copy { source, destination } => Some((*source, *destination)),
        _ => None,
    };
    frame.commands.iter().filter_map(copy).collect()
}

/// Pixels that are sent, not copied.
fn sent(frame: &EncodedFrame) -> usize {
    let copied: usize = copies(frame)
        .iter()
        .map(|(source, _)| source.size().area() as usize)
        .sum();
    Painter::area(frame) - copied
}

#[test]
fn a_scroll_of_a_part_of_the_screen_is_a_copy_and_the_new_lines() {
    let (wallpaper, text) = (pictures::photo(SIZE), pictures::text(SIZE, 0));
    let window = Rect::new(100, 50, 900, 600);
    let top = Point::new(100, 50);
    let scrolled = Rect::new(100, 107, 900, 600);
    let mut pair = Pair::showing(&with(&wallpaper, &text, window, top), 0);
    let picture = with(&wallpaper, &text, scrolled, top);
    let frame = pair.show(&picture).expect("a change");
    let [(source, to)] = copies(&frame)[..] else {
        panic!("{:?}", copies(&frame))
    };
    assert_eq!((source.y - to.y, source.x), (57, to.x));
    assert!(source.width >= 880 && source.height >= 520, "{source}");
    assert!(sent(&frame) < 900 * 57 * 2, "{} pixels sent", sent(&frame));
    pair.rest();
    assert!(pair.painter.pixels == picture);
}

#[test]
fn a_dragged_window_is_a_copy_and_what_it_uncovers() {
    let (wallpaper, text) = (pictures::photo(SIZE), pictures::text(SIZE, 0));
    let window = Rect::new(0, 0, 500, 400);
    let mut pair = Pair::showing(&with(&wallpaper, &text, window, Point::new(200, 100)), 0);
    for (x, y) in [(224, 117), (260, 90), (259, 300), (500, 299)] {
        let picture = with(&wallpaper, &text, window, Point::new(x, y));
        let frame = pair.show(&picture).expect("a change");
        let [(source, _)] = copies(&frame)[..] else {
            panic!("to {x},{y}: {:?}", copies(&frame))
        };
        assert!(source.size().area() > 500 * 400 * 8 / 10, "{source}");
        pair.rest();
        assert!(pair.painter.pixels == picture, "to {x},{y}");
    }
}

#[test]
fn a_sideways_scroll_is_found() {
    let text = pictures::text(SIZE, 0);
    let mut pair = Pair::showing(&text, 0);
    let picture = with(&text, &text, Rect::new(33, 0, 1247, 720), Point::new(0, 0));
    let frame = pair.show(&picture).expect("a change");
    assert_eq!(copies(&frame).len(), 1);
    assert!(sent(&frame) < 720 * 33 * 3, "{}", sent(&frame));
    assert!(pair.painter.pixels == picture);
}

#[test]
fn pictures_without_a_move_make_none() {
    let mut pair = Pair::showing(&pictures::noise(SIZE, 1), 0);
    for seed in 2..8 {
        let frame = pair.show(&pictures::noise(SIZE, seed)).expect("a change");
        assert!(copies(&frame).is_empty());
    }
}

#[test]
fn a_window_that_comes_back_is_shown_from_the_cache() {
    let (wallpaper, text) = (pictures::photo(SIZE), pictures::text(SIZE, 0));
    let window = Rect::new(0, 0, 640, 384);
    let with_window = with(&wallpaper, &text, window, Point::new(128, 64));
    let mut pair = Pair::showing(&wallpaper, 500);
    pair.rest();
    let opened = pair.show(&with_window).expect("the window");
    let stores = |frame: &EncodedFrame| {
        let is_store = |command: &&FrameCommand| matches!(command, FrameCommand::CacheStore { .. });
        frame.commands.iter().filter(is_store).count()
    };
    assert!(stores(&opened) >= 50, "{}", stores(&opened));
    pair.rest();
    let closed = pair.show(&wallpaper).expect("the wallpaper");
    let shows = closed
        .commands
        .iter()
        .filter(|command| matches!(command, FrameCommand::CacheShow { .. }))
        .count();
    assert!(shows >= 50, "{shows}");
    assert!(pair.painter.pixels == wallpaper);
    pair.rest();
    let again = pair.show(&with_window).expect("the window again");
    assert!(
        again
            .commands
            .iter()
            .filter(|command| matches!(command, FrameCommand::CacheShow { .. }))
            .count()
            >= 50
    );
    assert_eq!(stores(&again), 0, "it is kept already");
    pair.rest();
    assert!(pair.painter.pixels == with_window);
}

#[test]
fn an_echo_overtakes_a_video() {
    let mut picture = pictures::text(SIZE, 0);
    let mut pair = Pair::showing(&picture, 0);
    let video = Rect::new(0, 128, 1280, 576);
    let profile = Profile {
        byte_budget: 4 * 64 * 64 * 4,
        ..Profile::new(EGFX)
    };
    for frame in 0..6 {
        pair.view.tick_rest(&pair.reader);
        picture = with(&picture, &pictures::noise(SIZE, frame), video, Point::new(0, 128));
        if frame == 5 {
            picture = with(
                &picture,
                &pictures::text(SIZE, 4),
                Rect::new(640, 20, 16, 16),
                Point::new(640, 20),
            );
        }
        let rows = SliceRows::new(&picture, SIZE, SIZE.width as usize * 4, PixelFormat::Bgrx32).expect("a picture");
        pair.writer.commit(&[SIZE.rect()], &rows, Point::new(0, 0));
        pair.painter
            .paint(&pair.view.take_job(&pair.reader, &profile).expect("a part").encode());
    }
    let echo = |picture: &[u8]| {
        (20..36)
            .map(|y: usize| picture[(y * 1280 + 640) * 4..][..64].to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(echo(&pair.painter.pixels), echo(&picture));
}

#[test]
fn a_scroll_of_the_whole_screen_fits_a_small_budget() {
    let long = Size::new(SIZE.width, SIZE.height * 2);
    let page = pictures::text(long, 0);
    let at = |y: u32| page[(y * SIZE.width) as usize * 4..][..SIZE.area() as usize * 4].to_vec();
    let mut pair = Pair::showing(&at(0), 0);
    let profile = Profile {
        byte_budget: 1 << 20,
        ..Profile::new(EGFX)
    };
    for step in 1..6 {
        let picture = at(step * 48);
        let rows = SliceRows::new(&picture, SIZE, SIZE.width as usize * 4, PixelFormat::Bgrx32).expect("a picture");
        pair.writer.commit(&[SIZE.rect()], &rows, Point::new(0, 0));
        let frame = pair.view.take_job(&pair.reader, &profile).expect("a scroll").encode();
        pair.painter.paint(&frame);
        assert!(pair.painter.pixels == picture, "in one frame");
    }
}
