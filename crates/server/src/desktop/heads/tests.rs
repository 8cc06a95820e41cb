//! A machine with two heads, without a guest and without clients: the span's picture, its input, and who decides sizes.

use rdpmux_engine::{PixelRows, SurfaceWriter, surface};
use rdpmux_model::{Button, ClientMonitor, Guest, LockKeys, Point, Rect, Rights, Scancode, Size};

use super::*;
use crate::desktop::{Desktop, DesktopSource, Peripherals, Seat};

/// One head of a made-up guest.
struct Head {
    desktop: Desktop,
    writer: SurfaceWriter,
    frames: watch::Sender<Generation>,
    state: watch::Sender<HeadState>,
    input: mpsc::Receiver<InputEvent>,
    shape: watch::Receiver<Option<HeadShape>>,
}

/// A source of one colour.
struct Blue(u8);

impl PixelRows for Blue {
    fn read_row(&self, _x: u32, _y: u32, out: &mut [u8]) {
        out.fill(self.0);
    }
}

impl Head {
    fn new(heads: &Heads, index: u32, size: Size) -> Self {
        let (writer, reader) = surface(size);
        let (frames, frames_seen) = watch::channel(reader.generation());
        let (state, state_seen) = watch::channel(HeadState::default());
        let (events, input) = mpsc::channel(64);
        let shape = watch::Sender::new(None);
        let name = if index == 0 { "web1" } else { "web1/1" };
        let source = DesktopSource {
            surface: reader,
            frames: frames_seen,
            state: state_seen,
            input: events,
            peripherals: Peripherals::default(),
            audience: watch::Sender::default(),
            head: Some(HeadSource {
                heads: heads.clone(),
                index,
                shape: shape.clone(),
            }),
        };
        Self {
            desktop: Desktop::spawn(DesktopName::new(name).expect("a name"), source),
            writer,
            frames,
            state,
            input,
            shape: shape.subscribe(),
        }
    }

    fn paint(&mut self, rect: Rect<Guest>, blue: u8) {
        let generation = self.writer.commit(&[rect], &Blue(blue), Point::new(0, 0));
        self.frames.send_replace(generation.expect("news"));
    }

    fn resize(&mut self, size: Size) {
        let generation = self.writer.resize(size).expect("a size");
        self.frames.send_replace(generation);
    }

    async fn typed(&mut self) -> InputEvent {
        self.input.recv().await.expect("the head is there")
    }
}

const SMALL: Size = Size::new(300, 200);
const LARGE: Size = Size::new(400, 300);

fn machine() -> (Heads, Head, Head) {
    let heads = Heads::new(DesktopName::new("web1").expect("a name"), true);
    let first = Head::new(&heads, 0, LARGE);
    let second = Head::new(&heads, 1, SMALL);
    (heads, first, second)
}

/// Waits until a pixel of a desktop has this blue, and the desktop this size.
async fn shows(desktop: &DesktopHandle, size: Size, at: (u32, u32), blue: u8) {
    let mut frames = desktop.frames();
    loop {
        let (now, pixels) = desktop.surface().snapshot();
        if now == size && pixels[((at.1 * size.width + at.0) * 4) as usize] == blue {
            return;
        }
        frames.changed().await.expect("the span lives");
    }
}

fn monitors(sizes: &[(i32, Size)]) -> MonitorLayout {
    let monitor = |(left, size): &(i32, Size)| ClientMonitor {
        left: *left,
        top: 0,
        size: *size,
        physical_mm: None,
        scale_percent: None,
        primary: *left == 0,
    };
    MonitorLayout::new(sizes.iter().map(monitor).collect()).expect("a good layout")
}

async fn seat(desktop: &DesktopHandle, session: u64) -> Seat {
    let seat = desktop.join(SessionId(session), Rights::CONTROL, None).await;
    seat.unwrap_or_else(|refused| panic!("{refused:?}"))
}

#[tokio::test]
async fn a_client_with_two_monitors_is_shown_both_heads_as_they_change() {
    let (_heads, mut first, mut second) = machine();
    let head = first.desktop.handle();
    assert!(Arc::ptr_eq(&head.for_monitors(1).0, &head.0));
    assert_eq!(second.desktop.handle().for_monitors(2).name().as_str(), "web1/1");
    second.paint(Rect::new(0, 0, 300, 200), 9);
    let span = head.for_monitors(2);
    assert_eq!(span.name().as_str(), "web1");
    let together = Size::new(700, 300);
    assert_eq!(
        (span.shape(Rights::CONTROL).size, span.shape(Rights::CONTROL).may_ask),
        (together, 2)
    );
    assert_eq!(span.shape(Rights::VIEW).may_ask, 0);
    shows(&span, together, (400, 0), 9).await;
    first.paint(Rect::new(10, 10, 50, 50), 7);
    shows(&span, together, (59, 59), 7).await;
    second.resize(LARGE);
    second.paint(Rect::new(399, 299, 1, 1), 5);
    shows(&span, Size::new(800, 300), (799, 299), 5).await;
    shows(&span, Size::new(800, 300), (59, 59), 7).await;
    let rects: Vec<_> = span.monitors().iter().map(|m| (m.rect, m.primary)).collect();
    let at = |x| Rect::new(x, 0, 400, 300);
    assert_eq!(rects, [(at(0), true), (at(400), false)]);
    assert!(head.monitors().is_empty());
}

#[tokio::test]
async fn the_span_ends_with_its_last_viewer_and_with_the_machine() {
    let (heads, first, second) = machine();
    let head = first.desktop.handle();
    let span = head.for_monitors(2);
    let seat = seat(&span, 1).await;
    assert_eq!((head.viewers(), second.desktop.viewers()), (1, 0));
    let weak = heads.0.state.lock().span.clone();
    drop(span);
    assert!(weak.upgrade().is_some());
    drop(seat);
    assert!(weak.upgrade().is_none());
    assert_eq!(head.viewers(), 0);
    let span = head.for_monitors(3);
    let mut frames = span.frames();
    drop(first);
    while frames.changed().await.is_ok() {}
}

#[tokio::test]
async fn one_head_left_is_still_shown() {
    let (_heads, mut first, second) = machine();
    let span = first.desktop.handle().for_monitors(2);
    drop(second);
    first.paint(Rect::new(0, 0, 1, 1), 3);
    shows(&span, LARGE, (0, 0), 3).await;
    let head = first.desktop.handle();
    assert!(Arc::ptr_eq(&head.for_monitors(2).0, &head.0));
}

fn key(down: bool) -> InputEvent {
    let scancode = Scancode::new(30, false).expect("a key");
    InputEvent::Key { scancode, down }
}

#[tokio::test]
async fn a_key_held_on_the_span_and_on_a_head_goes_up_with_the_last_and_never_sticks() {
    let (_heads, mut first, mut second) = machine();
    let span = first.desktop.handle().for_monitors(2);
    let spanning = seat(&span, 1).await;
    let further = seat(&second.desktop.handle(), 2).await;
    spanning.input(key(true)).expect("room");
    assert_eq!(first.typed().await, key(true));
    further.input(key(true)).expect("room");
    assert_eq!(second.typed().await, key(true));
    // The span's viewer leaves while the other holds the key: it stays down, and goes up where it is still held.
    drop((spanning, span));
    further.input(key(false)).expect("room");
    assert_eq!(second.typed().await, key(false));
    assert!(first.input.try_recv().is_err());
    // What only the span's last viewer held goes up, though nobody has the span any more.
    let spanning = seat(&first.desktop.handle().for_monitors(2), 3).await;
    spanning.input(key(true)).expect("room");
    drop(spanning);
    assert_eq!([first.typed().await, first.typed().await], [key(true), key(false)]);
}

#[tokio::test]
async fn the_pointer_goes_to_the_head_that_is_there_and_has_its_shape() {
    let (_heads, mut first, mut second) = machine();
    let span = first.desktop.handle().for_monitors(2);
    let viewer = seat(&span, 1).await;
    let caps = LockKeys {
        caps: true,
        ..LockKeys::default()
    };
    first.state.send_modify(|state| state.locks = caps);
    second
        .state
        .send_modify(|state| state.mouse = rdpmux_model::MouseMode::Relative);
    viewer.input(InputEvent::MoveTo { x: 410, y: 20 }).expect("room");
    assert_eq!(second.typed().await, InputEvent::MoveTo { x: 10, y: 20 });
    let button = InputEvent::Button {
        button: Button::Left,
        down: true,
    };
    viewer.input(button).expect("room");
    assert_eq!(second.typed().await, button);
    let mut state = span.state();
    let both = |state: &HeadState| state.locks == caps && state.mouse == rdpmux_model::MouseMode::Relative;
    state.wait_for(both).await.expect("the span lives");
    viewer.input(InputEvent::MoveTo { x: 3, y: 4 }).expect("room");
    assert_eq!(first.typed().await, InputEvent::MoveTo { x: 3, y: 4 });
    let mode = |state: &HeadState| state.mouse == rdpmux_model::MouseMode::Absolute;
    state.wait_for(mode).await.expect("the span lives");
}

#[tokio::test(start_paused = true)]
async fn sizes_follow_the_first_viewer_once_it_rests() {
    let (_heads, mut first, mut second) = machine();
    let span = first.desktop.handle().for_monitors(2);
    let (owner, other) = (seat(&span, 1).await, seat(&first.desktop.handle(), 2).await);
    let began = Instant::now();
    // A window that is dragged for less than the patience: only the last size is told.
    for step in 0..9 {
        assert!(owner.wish(&monitors(&[(0, Size::new(500 + step * 2, 400)), (600, SMALL)])));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(other.wish(&monitors(&[(0, SMALL)])));
    let shape = *first.shape.wait_for(Option::is_some).await.expect("the machine lives");
    assert_eq!(shape.map(|shape| shape.size), Some(Size::new(516, 400)));
    assert!((Duration::from_millis(1000)..Duration::from_millis(1300)).contains(&began.elapsed()));
    let shape = *second.shape.wait_for(Option::is_some).await.expect("the machine lives");
    assert_eq!(shape.map(|shape| (shape.x, shape.size)), Some((600, SMALL)));
    // The guest takes it: the heads are where they were told to be, with the gap between them.
    first.resize(Size::new(516, 400));
    second.paint(Rect::new(0, 0, 9, 9), 6);
    shows(&span, Size::new(900, 400), (600, 0), 6).await;
    drop((owner, span));
    let next = |shape: &Option<HeadShape>| shape.is_some_and(|shape| shape.size == SMALL);
    first.shape.wait_for(next).await.expect("the machine lives");
    let off = |shape: &Option<HeadShape>| shape.is_some_and(HeadShape::is_off);
    second.shape.wait_for(off).await.expect("nobody sees it any more");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_resize_does_not() {
    let (_heads, first, _second) = machine();
    let desktop = first.desktop.handle();
    let layout = monitors(&[(0, SMALL)]);
    let rights = Rights {
        resize: false,
        ..Rights::CONTROL
    };
    for rights in [Rights::VIEW, rights] {
        let seat = desktop.join(SessionId(1), rights, None).await;
        let seat = seat.unwrap_or_else(|refused| panic!("{refused:?}"));
        assert!(!seat.wish(&layout));
        assert_eq!(desktop.shape(rights).may_ask, 0);
    }
    let heads = Heads::new(DesktopName::new("web2").expect("a name"), false);
    let fixed = Head::new(&heads, 0, LARGE);
    let seat = seat(&fixed.desktop.handle(), 2).await;
    assert_eq!(fixed.desktop.handle().shape(Rights::CONTROL).may_ask, 0);
    seat.wish(&layout);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((*first.shape.borrow(), *fixed.shape.borrow()), (None, None));
}
