//! What the daemon has to be told of one picture, and when: the decisions of switch, update and refresh, without IO and
//! without a clock. The machine asks it and does what it says.
//!
//! ```text
//!            due(), start()            done(), with a daemon            answered()
//!   resting ───────────────▶ copying ────────────────────▶ handed over ────────────▶ resting
//!                               │ done() without one, failed()   │ no answer for LONGEST_WAIT, lost()
//!                               └────────────▶ resting           └────────────▶ resting
//! ```
//!
//! Memory is filled whether a daemon is there or not; one that comes is introduced to what is in it.

use std::time::{Duration, Instant};

use rdpmux_model::{Guest, PixelFormat, Rect, Size};
use rdpmux_wire::format;

/// Frames per second before a daemon has said anything, as the old library had it.
pub(crate) const FIRST_RATE: u32 = 30;

/// Frames per second while no daemon is there.
pub(crate) const IDLE_RATE: u32 = 1;

/// After this the answer to an update does not come any more.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// After this an answer that may have been none counts as one: a daemon copies no picture for longer.
const DOUBT: Duration = Duration::from_millis(50);

/// Longest side of a picture in pixels.
pub(crate) const LONGEST_SIDE: u32 = 8192;

/// Size and format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Pixman's code.
    pub(crate) code: u32,
    pub(crate) format: PixelFormat,
    pub(crate) size: Size,
}

/// Why a picture cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Pixman knows many more formats than displays have.
    #[error("pixel format {0:#010x} is not one that rdpmux shows")]
    Format(u32),
    /// No pixels, or too many of them.
    #[error("a picture of {width} x {height} cannot be shown: each side has 1 to {limit} pixels", limit = LONGEST_SIDE)]
    Size {
        /// Pixels per row.
        width: i64,
        /// Rows.
        height: i64,
    },
    /// The memory of protocol 5 ends there.
    #[error("a picture of {width} x {height} is larger than protocol 5 can show, which is 4096 x 2048")]
    TooLarge {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
}

impl Shape {
    /// A shape from what pixman says.
    ///
    /// # Errors
    /// [`ShapeError`] if no daemon can show it.
    pub(crate) fn new(code: u32, width: i64, height: i64) -> Result<Self, ShapeError> {
        let format = format::of_pixman(code).ok_or(ShapeError::Format(code))?;
        let fits = |side: i64| {
            u32::try_from(side)
                .ok()
                .filter(|side| (1..=LONGEST_SIDE).contains(side))
        };
        match (fits(width), fits(height)) {
            (Some(width), Some(height)) => Ok(Self {
                code,
                format,
                size: Size::new(width, height),
            }),
            _ => Err(ShapeError::Size { width, height }),
        }
    }

    /// Bytes of one row where rows follow each other without padding.
    pub(crate) fn row_bytes(self) -> usize {
        self.size.width as usize * self.format.bytes()
    }

    /// All of it.
    pub(crate) fn whole(self) -> Rect<Guest> {
        self.size.rect()
    }
}

/// What is to be handed over now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The daemon does not know this shape yet.
    pub(crate) is_new: bool,
    pub(crate) shape: Shape,
    /// Never empty.
    pub(crate) area: Rect<Guest>,
}

/// What the daemon is to be told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The daemon does not know what the memory holds: it is to be told the shape before the area.
    pub(crate) is_new: bool,
    pub(crate) shape: Shape,
    pub(crate) area: Rect<Guest>,
}

/// One picture's state.
#[derive(Debug)]
pub(crate) struct Feed {
    shape: Option<Shape>,
    /// The picture that is whole in memory, if one is.
    stored: Option<Shape>,
    /// The present daemon knows what is stored.
    is_known: bool,
    is_copying: bool,
    dirty: Rect<Guest>,
    /// Nothing is copied before this time, or before the answer.
    waiting: Option<(Instant, Wait)>,
    /// Whether this daemon answers at all: versions after 0.4 of the old one did not.
    answers: Answers,
    rate: u32,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Answer,
    /// There was an answer, or the daemon told a new rate unasked: protocol 5 has one message for both.
    Doubt,
    /// The daemon could not read; it is asked again, but not at once.
    Pause,
}

/// What a daemon said of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The pixels were copied.
    Copied,
    /// The same, or only the rate is new.
    CopiedOrRate,
    /// They cannot be read.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Unknown,
    Yes,
    Never,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            shape: None,
            stored: None,
            is_known: false,
            is_copying: false,
            dirty: Rect::new(0, 0, 0, 0),
            waiting: None,
            answers: Answers::Unknown,
            rate: FIRST_RATE,
        }
    }
}

impl Feed {
    /// The program's picture has this shape from now on; all of it is to be shown, even if the shape is the old one: the
    /// pixels may be another screen's.
    pub(crate) fn switch(&mut self, shape: Shape) {
        self.shape = Some(shape);
        self.dirty = shape.whole();
        self.stored = None;
    }

    /// A part changed. What is outside of the picture is left out; before the first picture nothing is kept.
    pub(crate) fn damage(&mut self, x: i32, y: i32, width: i32, height: i32) {
        if let Some(shape) = self.shape {
            self.soil(clip(shape.size, [x, y, width, height]));
        }
    }

    /// What is to be copied now, if anything may be: not while the daemon copies.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.is_copying || self.is_waiting(now) {
            return None;
        }
        let shape = self.shape?;
        (!self.dirty.is_empty()).then_some(Due {
            is_new: self.stored != Some(shape),
            shape,
            area: self.dirty,
        })
    }

    /// The copy begins. [`Feed::done`] or [`Feed::failed`] follows.
    pub(crate) fn start(&mut self, due: Due) {
        self.is_copying = true;
        self.dirty = Rect::new(0, 0, 0, 0);
        if due.is_new {
            self.stored = None;
            self.is_known = false;
        }
    }

    /// The copy is there. What a daemon, if one `is_there`, is to be told of it.
    pub(crate) fn done(&mut self, due: Due, is_there: bool, now: Instant) -> Option<Announcement> {
        self.is_copying = false;
        if self.shape != Some(due.shape) {
            // Another shape was set meanwhile, and that is dirty as a whole.
            return None;
        }
        self.stored = Some(due.shape);
        if !is_there {
            return None;
        }
        if self.is_known {
            self.expect_answer(now);
            return Some(Announcement {
                is_new: false,
                shape: due.shape,
                area: due.area,
            });
        }
        self.introduce(now)
    }

    /// The pixels could not be copied: they remain to be.
    pub(crate) fn failed(&mut self, due: Due) {
        self.is_copying = false;
        if let Some(shape) = self.shape {
            self.soil(due.area.intersect(shape.whole()));
        }
    }

    /// A daemon is there that knows nothing: what it is to be told, if the memory holds a picture.
    pub(crate) fn introduce(&mut self, now: Instant) -> Option<Announcement> {
        if self.is_copying || self.is_known {
            return None;
        }
        let shape = self.stored?;
        self.is_known = true;
        self.expect_answer(now);
        Some(Announcement {
            is_new: true,
            shape,
            area: shape.whole(),
        })
    }

    /// The daemon has the pixels, or says that it cannot have them.
    pub(crate) fn answered(&mut self, answer: Answer, rate: u32, now: Instant) {
        let is_new_rate = self.rate != rate.max(IDLE_RATE);
        self.set_rate(rate);
        self.answers = Answers::Yes;
        let Some((_, wait)) = self.waiting.take() else { return };
        match (answer, wait) {
            (Answer::Failed, _) => {
                self.is_known = false;
                self.waiting = Some((now + LONGEST_WAIT, Wait::Pause));
                if let Some(shape) = self.shape {
                    self.soil(shape.whole());
                }
            }
            (_, Wait::Pause) => self.waiting = Some((now + LONGEST_WAIT, Wait::Pause)),
            (Answer::CopiedOrRate, Wait::Answer) if is_new_rate => {
                self.waiting = Some((now + DOUBT, Wait::Doubt));
            }
            _ => {}
        }
    }

    /// The daemon says how many frames per second are of use.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.rate = rate.max(IDLE_RATE);
    }

    /// The daemon is gone.
    pub(crate) fn lost(&mut self) {
        self.waiting = None;
        self.is_known = false;
        self.answers = Answers::Unknown;
        self.rate = IDLE_RATE;
    }

    /// The memory is another from now on.
    pub(crate) fn forget(&mut self) {
        self.stored = None;
        self.is_known = false;
        if let Some(shape) = self.shape {
            self.soil(shape.whole());
        }
    }

    /// Frames per second that are of use.
    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    fn is_waiting(&mut self, now: Instant) -> bool {
        let Some((until, wait)) = self.waiting else {
            return false;
        };
        if now < until {
            return true;
        }
        if (wait, self.answers) == (Wait::Answer, Answers::Unknown) {
            self.answers = Answers::Never;
        }
        self.waiting = None;
        false
    }

    fn expect_answer(&mut self, now: Instant) {
        self.waiting = (self.answers != Answers::Never).then_some((now + LONGEST_WAIT, Wait::Answer));
    }

    fn soil(&mut self, area: Rect<Guest>) {
        if self.dirty.is_empty() {
            self.dirty = area;
        } else if !area.is_empty() {
            self.dirty = self.dirty.union(area);
        }
    }
}

/// The part of `[x, y, width, height]` that a picture has.
fn clip(size: Size, [x, y, width, height]: [i32; 4]) -> Rect<Guest> {
    let cut = |from: i32, length: i32, side: u32| -> (u32, u32) {
        let inside = |at: i64| u32::try_from(at.clamp(0, i64::from(side))).unwrap_or(0);
        let (low, high) = (inside(from.into()), inside(i64::from(from) + i64::from(length)));
        (low, high.saturating_sub(low))
    };
    let ((x, width), (y, height)) = (cut(x, width, size.width), cut(y, height, size.height));
    if width == 0 || height == 0 {
        return Rect::new(0, 0, 0, 0);
    }
    Rect::new(x, y, width, height)
}

#[cfg(test)]
mod tests;
