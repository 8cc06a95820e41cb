//! What is behind a text head: while somebody looks, a terminal that follows the stream; keys, wheel and pointer of the
//! viewers; what is selected and pasted.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rdpmux_engine::{SliceRows, SurfaceWriter};
use rdpmux_model::{
    Audience, Button, Generation, GuestClipboardState, HeadShape, HeadState, InputEvent, PixelFormat, Point, Size,
    WheelAxis,
};
use rdpmux_streams::{Replay, Rights, Text};
use rdpmux_terminal::{Grid, Key, Painter, Place, Status, Terminal};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::keyboard::{Keyboard, Press};
use super::typist::Typist;
use crate::clipboard::GuestClipboard;
use crate::streams::line::{Line, Said};
use crate::streams::{Streams, Visitor, visit};
use crate::typing::Layout;

/// See the module.
pub(super) struct Head {
    pub(super) surface: SurfaceWriter,
    pub(super) frames: watch::Sender<Generation>,
    pub(super) state: watch::Sender<HeadState>,
    pub(super) typed: mpsc::Receiver<InputEvent>,
    pub(super) audience: watch::Receiver<Audience>,
    pub(super) shape: watch::Receiver<Option<HeadShape>>,
    pub(super) selected: Selected,
    pub(super) streams: Streams,
    pub(super) stream: Text<'static>,
    pub(super) title: String,
    pub(super) layout: Option<Layout>,
}

/// A picture at most so often.
const FRAME: Duration = Duration::from_millis(16);
/// A stream that ended is asked for again after so long.
const AGAIN: Duration = Duration::from_secs(2);
/// Bytes under way between a console and its machine's streams.
const CARRIER: usize = 64 << 10;
/// Old output that a console begins with: some screens.
const OLD: u64 = 64 << 10;
/// Lines that one notch of the wheel scrolls.
const NOTCH: i32 = 3;

/// Why a terminal is put away.
enum Put {
    /// Nobody looks.
    Unwatched,
    /// The stream ended, or cannot be had.
    Ended,
    /// The desktop is gone.
    Gone,
}

impl Head {
    /// Ends when the desktop does.
    pub(super) async fn run(mut self) {
        let mut keyboard = self.layout.map(Keyboard::new);
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                biased;
                // Nobody looks, so nobody can mean it.
                event = self.typed.recv() => match event {
                    Some(_) => continue,
                    None => return,
                },
                looked = self.audience.wait_for(|audience| audience.is_there()) => if looked.is_err() {
                    return;
                },
            }
            sleep_until(not_before).await;
            match self.show(&mut keyboard).await {
                Put::Gone => return,
                Put::Unwatched => self.rest(true),
                Put::Ended => not_before = Instant::now() + AGAIN,
            }
        }
    }

    /// Follows the stream while somebody looks.
    async fn show(&mut self, keyboard: &mut Option<Keyboard>) -> Put {
        let (carrier, served) = duplex(CARRIER);
        let visitor = Visitor {
            who: Text::cleaned(&format!("console {}", self.title)),
            rights: Box::new(|_| Rights::ALL),
        };
        // Ends when this end of the carrier is dropped.
        tokio::spawn(visit(served, self.streams.clone(), visitor));
        let (mut reader, mut writer) = split(carrier);
        let mut shown = Shown::new(self);
        let mut buffer = Vec::with_capacity(CARRIER);
        // The first picture comes with the first word of the stream.
        let mut paint_at = None;
        loop {
            buffer.clear();
            let due = paint_at;
            let paint_time = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                event = self.typed.recv() => match (event, keyboard.as_mut()) {
                    (None, _) => return Put::Gone,
                    (Some(event), Some(keyboard)) => self.act(event, keyboard, &mut shown),
                    (Some(_), None) => {}
                },
                written = writer.write(shown.line.out()), if !shown.line.out().is_empty() => match written {
                    Ok(count) if count > 0 => shown.line.sent(count),
                    _ => return Put::Ended,
                },
                asked = self.selected.fetch.recv() => if let Some(answer) = asked {
                    let _ = answer.send(self.selected.text.clone());
                },
                changed = self.audience.changed() => match changed {
                    Err(_) => return Put::Gone,
                    Ok(()) if !self.audience.borrow_and_update().is_there() => return Put::Unwatched,
                    Ok(()) => continue,
                },
                Ok(()) = self.shape.changed() => shown.fit(wanted(&self.shape.borrow_and_update())),
                read = reader.read_buf(&mut buffer) => {
                    if !matches!(read, Ok(count) if count > 0) || !shown.hear(&buffer) {
                        self.paint(&mut shown);
                        return Put::Ended;
                    }
                }
                () = paint_time => {
                    self.paint(&mut shown);
                    paint_at = None;
                    continue;
                }
            }
            paint_at = paint_at.or(Some(Instant::now() + FRAME));
        }
    }

    fn paint(&mut self, shown: &mut Shown) {
        let size = shown.painter.size();
        if size != self.surface.size() && self.surface.resize(size).is_err() {
            return;
        }
        let rects = shown.painter.paint(&shown.terminal, &shown.status(&self.title));
        let stride = size.width as usize * 4;
        let Ok(rows) = SliceRows::new(shown.painter.pixels(), size, stride, PixelFormat::Bgrx32) else {
            return;
        };
        if let Some(generation) = self.surface.commit(&rects, &rows, Point::new(0, 0)) {
            self.frames.send_replace(generation);
        }
        self.rest(false);
    }

    /// Whether the picture may be an old one.
    fn rest(&self, rests: bool) {
        self.state
            .send_if_modified(|state| std::mem::replace(&mut state.resting, rests) != rests);
    }

    fn act(&mut self, event: InputEvent, keyboard: &mut Keyboard, shown: &mut Shown) {
        match event {
            InputEvent::Key { scancode, down } => {
                let presses: Vec<_> = keyboard.take(scancode, down).collect();
                presses.into_iter().for_each(|press| self.press(press, shown));
                let locks = keyboard.locks();
                self.state
                    .send_if_modified(|state| std::mem::replace(&mut state.locks, locks) != locks);
            }
            InputEvent::Character(c) => self.press(keyboard.character(c), shown),
            InputEvent::Locks(locks) => keyboard.set_locks(locks),
            InputEvent::MoveTo { x, y } => {
                shown.pointer = shown.painter.place_at(x, y);
                if let Some(from) = shown.dragged_from {
                    shown.terminal.select(from, shown.pointer);
                }
            }
            InputEvent::Button {
                button: Button::Left,
                down: true,
            } => {
                shown.terminal.unselect();
                shown.dragged_from = Some(shown.pointer);
            }
            InputEvent::Button {
                button: Button::Left,
                down: false,
            } => {
                shown.dragged_from = None;
                if let Some(text) = shown.terminal.selected_text() {
                    self.selected.copied(text);
                }
            }
            InputEvent::Button {
                button: Button::Middle,
                down: true,
            } => self.paste(shown),
            InputEvent::Wheel {
                axis: WheelAxis::Vertical,
                delta,
            } => {
                shown.wheel += i32::from(delta) * NOTCH;
                let lines = shown.wheel / 120;
                shown.wheel -= lines * 120;
                shown.terminal.scroll(lines);
            }
            _ => {}
        }
    }

    fn press(&mut self, press: Press, shown: &mut Shown) {
        match press {
            Press::Key(Key::Insert, modifiers) if modifiers.shift => self.paste(shown),
            Press::Key(Key::Enter, modifiers) if modifiers.shift && modifiers.control => {
                shown.typist.takes_over(&mut shown.line);
            }
            Press::Key(key, modifiers) => {
                let bytes = key.bytes(modifiers, &shown.terminal);
                shown.terminal.scroll_to_end();
                shown.typist.types(&bytes, &mut shown.line);
            }
            Press::Break => shown.typist.breaks(&mut shown.line),
            Press::Scroll(pages) => {
                let page = i32::from(shown.terminal.grid().rows()) - 1;
                shown.terminal.scroll(pages * page);
            }
        }
    }

    /// Types what a viewer copied last, or what was selected here.
    fn paste(&mut self, shown: &mut Shown) {
        let offered = self.selected.offer.borrow_and_update().clone();
        if let Some(text) = offered.or_else(|| self.selected.text.clone()) {
            let bytes = shown.terminal.pasted(&text);
            shown.terminal.scroll_to_end();
            shown.typist.types(&bytes, &mut shown.line);
        }
    }
}

fn wanted(shape: &Option<HeadShape>) -> Size {
    let size = shape.map(|shape| shape.size).filter(|size| size.is_valid());
    size.unwrap_or(super::FIRST_SIZE)
}

/// What is kept while somebody looks.
struct Shown {
    line: Line,
    terminal: Terminal,
    painter: Painter,
    typist: Typist,
    pointer: Place,
    dragged_from: Option<Place>,
    /// Turned and not scrolled yet, in 1/120 lines.
    wheel: i32,
    lost: u64,
    ended: Option<String>,
}

impl Shown {
    fn new(head: &mut Head) -> Self {
        Self {
            line: Line::new(head.stream.clone(), Replay::Last(OLD)),
            terminal: Terminal::new(Grid::USUAL),
            painter: Painter::new(wanted(&head.shape.borrow_and_update()), Grid::USUAL),
            typist: Typist::default(),
            pointer: Place { row: 0, column: 0 },
            dragged_from: None,
            wheel: 0,
            lost: 0,
            ended: None,
        }
    }

    fn fit(&mut self, area: Size) {
        self.painter = Painter::new(area, self.terminal.grid());
    }

    /// Takes what came; `false` if nothing more will come.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let mut said = Vec::new();
        if let Err(error) = self.line.feed(bytes, &mut said) {
            self.ended = Some(error.to_string());
            return false;
        }
        for one in said {
            match one {
                Said::Output { bytes, is_old } => {
                    self.terminal.feed(&bytes);
                    let answers = self.terminal.take_answers();
                    if !is_old && self.typist.answers() {
                        self.line.write(&answers);
                    }
                }
                Said::Writer { writer, who } => self.typist.told(writer, who, &mut self.line),
                Said::Missing(bytes) => self.lost += bytes,
                Said::Taken => {}
                Said::Ended(why) => {
                    debug!(%why, "a console's stream ended");
                    self.ended = Some(why);
                    return false;
                }
            }
        }
        true
    }

    fn status(&self, title: &str) -> Status {
        let mut words = Vec::new();
        if self.terminal.scrolled() > 0 {
            words.push(format!("{} lines back", self.terminal.scrolled()));
        }
        if self.lost > 0 {
            words.push(format!("{} bytes lost", self.lost));
        }
        words.push(self.ended.clone().unwrap_or_else(|| self.typist.status()));
        words.retain(|word| !word.is_empty());
        Status {
            left: title.to_owned(),
            right: words.join(" · "),
        }
    }
}

/// The console's side of its desktop's clipboard.
pub(super) struct Selected {
    /// What was selected last.
    text: Option<Arc<str>>,
    state: watch::Sender<GuestClipboardState>,
    offer: watch::Receiver<Option<Arc<str>>>,
    fetch: mpsc::Receiver<oneshot::Sender<Option<Arc<str>>>>,
}

impl Selected {
    /// With nothing selected, and the viewers' side.
    pub(super) fn open() -> (Self, GuestClipboard) {
        let (state, state_seen) = watch::channel(GuestClipboardState {
            ready: true,
            ..GuestClipboardState::default()
        });
        let (offer, offered) = watch::channel(None);
        let (fetch, fetched) = mpsc::channel(1);
        let selected = Self {
            text: None,
            state,
            offer: offered,
            fetch: fetched,
        };
        let viewers = GuestClipboard {
            state: state_seen,
            offer,
            fetch,
        };
        (selected, viewers)
    }

    fn copied(&mut self, text: String) {
        self.text = Some(text.into());
        self.state.send_modify(|state| {
            state.copies += 1;
            state.grab = Some(state.copies);
        });
    }
}
