//! `rdpmux.scene=heads`: all heads of the card, each in the mode that its monitor prefers, whenever that changes. The
//! desktop goes from head 0 to the right; the tablet covers all of it. A click leaves a mark.
//!
//! Serial lines besides those of `main`: `HEAD n WxH`, `HEAD n off`, and `READY WxH` when head 0 shows something.
//! `PTR x y` is a place on the whole desktop.

use crate::agent::Agent;
use crate::boot;
use crate::canvas::Canvas;
use crate::card::{Card, Frame};
use crate::input::{Devices, Event};
use crate::scene::{Scene, State};
use std::time::{Duration, Instant};

/// How often monitors are looked at.
const LOOK: Duration = Duration::from_millis(200);
const FIRST_BUTTON: u16 = 0x100;

/// What one head shows.
struct Head {
    size: (u16, u16),
    frame: Frame<'static>,
}

struct Desk<'a> {
    card: &'a Card,
    heads: Vec<Option<Head>>,
    state: State,
}

/// Runs for ever.
pub fn serve(card: &Card) -> Result<std::convert::Infallible, String> {
    let mut devices = Devices::open();
    let mut desk = Desk {
        card,
        heads: Vec::new(),
        state: State::new(Scene::Idle, Agent::start()),
    };
    let mut looked = None::<Instant>;
    loop {
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            desk.look()?;
            looked = Some(Instant::now());
        }
        let mut moved = false;
        for event in devices.wait(LOOK) {
            moved |= matches!(event, Event::Absolute { .. } | Event::Relative { .. });
            desk.take(event);
        }
        if moved {
            desk.state.clamp(desk.size());
            let (x, y) = desk.state.pointer;
            boot::say(&format!("PTR {x} {y}"));
        }
    }
}

impl Desk<'_> {
    /// Brings each head to what is plugged into it.
    fn look(&mut self) -> Result<(), String> {
        let modes = self.card.heads()?;
        self.heads.resize_with(modes.len(), || None);
        for (index, mode) in modes.into_iter().enumerate() {
            let wanted = mode.map(|mode| mode.size());
            if wanted == self.heads[index].as_ref().map(|head| head.size) {
                continue;
            }
            self.heads[index] = match self.card.set_head(index, mode) {
                Ok(screen) => screen
                    .map(|screen| self.show(index, Box::leak(Box::new(screen))))
                    .transpose()?,
                // The monitor may have gone again: the next look tells.
                Err(error) => {
                    boot::say(&format!("HEAD {index} {error}"));
                    continue;
                }
            };
            match wanted {
                Some((width, height)) => boot::say(&format!("HEAD {index} {width}x{height}")),
                None => boot::say(&format!("HEAD {index} off")),
            }
            if let (0, Some((width, height)), false) = (index, wanted, self.state.is_ready) {
                self.state.is_ready = true;
                boot::say(&format!("READY {width}x{height}"));
            }
        }
        Ok(())
    }

    fn show(&mut self, index: usize, screen: &'static mut crate::card::Screen) -> Result<Head, String> {
        let mut frame = screen.map(self.card)?;
        self.state.paint_head(&mut frame.canvas, &format!("head {index}"));
        frame.flush_all(self.card);
        let size = |canvas: &Canvas<'_>| (canvas.width() as u16, canvas.height() as u16);
        Ok(Head {
            size: size(&frame.canvas),
            frame,
        })
    }

    /// Size of the whole desktop.
    fn size(&self) -> (u32, u32) {
        let sizes = self.heads.iter().flatten().map(|head| head.size);
        sizes.fold((1, 1), |(width, height), size| {
            let width = if width == 1 { 0 } else { width };
            (width + u32::from(size.0), u32::from(size.1).max(height))
        })
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Key { code, value } if code >= FIRST_BUTTON => {
                boot::say(&format!("BTN {code} {value}"));
                if value == 1 {
                    self.mark(code);
                }
            }
            Event::Key { code, value } => boot::say(&format!("KEY {code} {value}")),
            Event::Wheel { code, value } => boot::say(&format!("WHEEL {code} {value}")),
            Event::Absolute { axis, value } => {
                let size = self.size();
                self.state.point_absolute(axis, value, size);
            }
            Event::Relative { axis, value } => self.state.point_relative(axis, value),
            Event::Touch { .. } => {}
        }
    }

    /// Leaves a mark on the head under the pointer.
    fn mark(&mut self, code: u16) {
        let whole = self.state.pointer;
        let mut left = 0;
        for head in self.heads.iter_mut().flatten() {
            let width = i32::from(head.size.0);
            if (left..left + width).contains(&whole.0) {
                self.state.pointer.0 = whole.0 - left;
                let area = self.state.mark_click(&mut head.frame.canvas, code);
                head.frame.flush(self.card, area);
            }
            left += width;
        }
        self.state.pointer = whole;
    }
}
