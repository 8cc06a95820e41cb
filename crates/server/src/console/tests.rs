//! Consoles of devices that are channels, looked at and typed at through their desktops.

use std::time::Duration;

use rdpmux_model::{Button, InputEvent, Rights, Scancode, SessionId};
use rdpmux_streams::Kind;
use rdpmux_streams::hub::{Input, Label, Output};
use rdpmux_terminal::{Grid, Painter, Status, Terminal};
use tokio::time::timeout;

use super::*;
use crate::desktop::{DesktopHandle, Seat};
use crate::streams::StreamSource;

/// On a paused clock, so it costs nothing.
const LIMIT: Duration = Duration::from_secs(60);

struct Stage {
    output: mpsc::Sender<Output>,
    input: mpsc::Receiver<Input>,
    streams: Streams,
    desktop: Desktop,
}

fn stage(layout: &str) -> Stage {
    let streams = Streams::new("web1".to_owned());
    let (output, said) = mpsc::channel(16);
    let (given, input) = mpsc::channel(1);
    streams.attach(StreamSource {
        label: Label {
            name: Text::cleaned("serial0"),
            title: Text::default(),
            kind: Kind::Serial,
        },
        output: said,
        input: given,
    });
    let console = Console {
        name: DesktopName::new("web1/serial0").unwrap(),
        streams: streams.clone(),
        stream: Text::cleaned("serial0"),
        layout: Layout::by_name(layout),
    };
    Stage {
        output,
        input,
        streams,
        desktop: console.spawn(),
    }
}

impl Stage {
    async fn says(&self, text: &str) {
        let bytes = text.as_bytes().to_vec();
        self.output.send(Output::Bytes(bytes)).await.unwrap();
    }

    async fn given(&mut self) -> Input {
        timeout(LIMIT, self.input.recv()).await.unwrap().unwrap()
    }

    async fn viewer(&self) -> Seat {
        let handle = self.desktop.handle();
        handle.join(SessionId(1), Rights::CONTROL, None).await.unwrap()
    }

    /// Waits until the desktop shows what a terminal shows that was given `text`.
    async fn shows(&self, text: &str, status: &str) {
        let handle = self.desktop.handle();
        let expected = picture(text, status);
        let seen = timeout(LIMIT, async {
            while !is(&handle, &expected).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(seen.await.is_ok(), "{text:?} with {status:?} was not shown");
    }
}

async fn is(handle: &DesktopHandle, expected: &(Size, Vec<u8>)) -> bool {
    let (size, pixels) = handle.picture().await;
    let is_same = |(seen, wanted): (&[u8], &[u8])| seen[..3] == wanted[..3];
    size == expected.0 && pixels.chunks(4).zip(expected.1.chunks(4)).all(is_same)
}

fn picture(text: &str, status: &str) -> (Size, Vec<u8>) {
    let mut terminal = Terminal::new(Grid::USUAL);
    let mut painter = Painter::new(FIRST_SIZE, Grid::USUAL);
    terminal.feed(text.as_bytes());
    let status = Status {
        left: "web1/serial0".to_owned(),
        right: status.to_owned(),
    };
    painter.paint(&terminal, &status);
    (painter.size(), painter.pixels().to_vec())
}

fn press(seat: &Seat, code: u8) {
    for down in [true, false] {
        let scancode = Scancode::new(code, false).unwrap();
        seat.input(InputEvent::Key { scancode, down }).unwrap();
    }
}

fn bytes(text: &str) -> Input {
    Input::Bytes(text.as_bytes().to_vec())
}

#[tokio::test(start_paused = true)]
async fn a_viewer_sees_what_was_said_before_and_types() {
    let mut stage = stage("de");
    stage.says("Debian\r\n\x1b[31mlogin:\x1b[0m ").await;
    let seat = stage.viewer().await;
    stage.shows("Debian\r\n\x1b[31mlogin:\x1b[0m ", "").await;
    press(&seat, 0x15);
    assert_eq!(stage.given().await, bytes("z"), "the layout is German");
    stage.says("z").await;
    stage
        .shows("Debian\r\n\x1b[31mlogin:\x1b[0m z", "typed from this screen")
        .await;
    seat.character('é').unwrap();
    assert_eq!(stage.given().await, bytes("é"));
    press(&seat, 0x1C);
    assert_eq!(stage.given().await, bytes("\r"));
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_once_by_who_types_or_by_the_daemon() {
    let mut stage = stage("us");
    stage.says("\x1b[6n").await;
    assert_eq!(stage.given().await, bytes("\x1b[1;1R"));
    let seat = stage.viewer().await;
    stage.shows("", "").await;
    stage.says("a\x1b[6n").await;
    assert_eq!(stage.given().await, bytes("\x1b[1;2R"));
    stage.shows("a", "").await;
    press(&seat, 0x1E);
    assert_eq!(stage.given().await, bytes("a"), "no second answer came before it");
    stage.says("b\x1b[6n").await;
    assert_eq!(stage.given().await, bytes("\x1b[1;3R"));
}

#[tokio::test(start_paused = true)]
async fn a_selection_is_pasted_and_a_break_is_sent() {
    let mut stage = stage("us");
    stage.says("secret").await;
    let seat = stage.viewer().await;
    stage.shows("secret", "").await;
    let button = |button, down| seat.input(InputEvent::Button { button, down }).unwrap();
    seat.input(InputEvent::MoveTo { x: 0, y: 0 }).unwrap();
    button(Button::Left, true);
    seat.input(InputEvent::MoveTo { x: 10_000, y: 5 }).unwrap();
    button(Button::Left, false);
    button(Button::Middle, true);
    assert_eq!(stage.given().await, bytes("secret"));
    send_break(&seat);
    assert_eq!(stage.given().await, Input::Break(0));
}

/// Ctrl with Pause.
fn send_break(seat: &Seat) {
    let control = Scancode::new(0x1D, false).unwrap();
    for (scancode, down) in [
        (control, true),
        (Scancode::PAUSE, true),
        (Scancode::PAUSE, false),
        (control, false),
    ] {
        seat.input(InputEvent::Key { scancode, down }).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_break_may_be_the_first_thing_that_is_typed() {
    let mut stage = stage("us");
    let seat = stage.viewer().await;
    stage.shows("", "").await;
    send_break(&seat);
    assert_eq!(stage.given().await, Input::Break(0));
    stage.shows("", "typed from this screen").await;
}

#[tokio::test(start_paused = true)]
async fn the_wheel_scrolls_back_and_a_key_returns() {
    let mut stage = stage("us");
    let lines: String = (0..60).map(|line| format!("line {line}\r\n")).collect();
    stage.says(&lines).await;
    let seat = stage.viewer().await;
    stage.shows(&lines, "").await;
    let (axis, delta) = (rdpmux_model::WheelAxis::Vertical, 120);
    seat.input(InputEvent::Wheel { axis, delta }).unwrap();
    // Without the cursor, which is further down.
    let seen = lines.split("\r\nline 58").next().unwrap();
    stage.shows(&format!("{seen}\x1b[?25l"), "3 lines back").await;
    let shift = Scancode::new(0x2A, false).unwrap();
    let page_up = Scancode::new(0x49, true).unwrap();
    for (scancode, down) in [(shift, true), (page_up, true), (page_up, false), (shift, false)] {
        seat.input(InputEvent::Key { scancode, down }).unwrap();
    }
    let seen = lines.split("\r\nline 34").next().unwrap();
    stage.shows(&format!("{seen}\x1b[?25l"), "27 lines back").await;
    press(&seat, 0x1E);
    assert_eq!(stage.given().await, bytes("a"));
    stage.shows(&lines, "typed from this screen").await;
}

#[tokio::test(start_paused = true)]
async fn while_nobody_looks_nothing_is_open_and_the_end_of_the_stream_is_said() {
    let stage = stage("us");
    assert!(stage.desktop.handle().state().borrow().resting);
    let seat = stage.viewer().await;
    stage.shows("", "").await;
    drop(seat);
    stage.says("later").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stage.desktop.handle().state().borrow().resting);
    let _seat = stage.viewer().await;
    stage.shows("later", "").await;
    stage.streams.end();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (_, pixels) = stage.desktop.handle().picture().await;
    assert_ne!(pixels, picture("later", "").1, "the status line says that it ended");
}
