//! What the test card shows, and how input and time change it. No pixels and no clock: `paint` draws a scene, the task
//! tells it how much time has passed.

use std::collections::VecDeque;

use embedded_graphics::geometry::{Point, Size as Extent};
use embedded_graphics::primitives::Rectangle;
use rdpmux_model::{Button, InputEvent, LockKeys, Scancode, Size, Touch, TouchPhase, WheelAxis};

use super::keys;
use super::paint::Layout;
use super::pointer::Pointer;

/// Sizes that F3 goes through.
const SIZES: [Size; 4] = [
    Size::new(1024, 768),
    Size::new(1280, 800),
    Size::new(800, 600),
    Size::new(1920, 1080),
];
/// Key names and lines of typed text that are kept.
const KEPT_KEYS: usize = 12;
const KEPT_LINES: usize = 3;
const KEPT_CHARACTERS: usize = 200;
/// Half of the marker's edge at the pointer's position.
pub(super) const MARKER: i32 = 10;

/// The state of the test card.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) title: String,
    size: Size,
    pub(super) moving: bool,
    /// Tenths of a second while motion was on.
    pub(super) tenths: u32,
    /// Steps drawn so far.
    pub(super) frame: u32,
    /// Names of the last keys that went down, newest last.
    pub(super) recent: VecDeque<String>,
    pub(super) held: Vec<Scancode>,
    /// Edges seen: keys down and up, buttons down and up.
    pub(super) edges: [u32; 4],
    /// Lines of typed characters, newest last.
    pub(super) typed: VecDeque<String>,
    pub(super) position: Option<(u32, u32)>,
    pub(super) buttons: [bool; 5],
    /// Vertical and horizontal wheel in units of 1/120 notch.
    pub(super) wheel: [i32; 2],
    locks: LockKeys,
    pointer: Pointer,
}

/// What has to be drawn or told anew.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    all: bool,
    areas: Vec<Rectangle>,
    pointer: bool,
    locks: bool,
}

impl Dirty {
    pub(super) fn everything() -> Self {
        Self {
            all: true,
            pointer: true,
            locks: true,
            areas: Vec::new(),
        }
    }

    fn area(area: Rectangle) -> Self {
        Self {
            areas: vec![area],
            ..Self::default()
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.all |= other.all;
        self.pointer |= other.pointer;
        self.locks |= other.locks;
        for area in other.areas {
            if !self.areas.contains(&area) {
                self.areas.push(area);
            }
        }
    }

    /// The areas to draw on a frame of `size`.
    pub(super) fn areas(&self, size: Size) -> Vec<Rectangle> {
        if self.all {
            vec![Rectangle::new(Point::zero(), Extent::new(size.width, size.height))]
        } else {
            self.areas.clone()
        }
    }

    pub(super) fn pointer(&self) -> bool {
        self.pointer
    }

    pub(super) fn locks(&self) -> bool {
        self.locks
    }
}

impl Scene {
    pub(super) fn new(title: String, size: Size, moving: bool) -> Self {
        Self {
            title,
            size: Size::new(size.width.clamp(640, 4096), size.height.clamp(480, 4096)),
            moving,
            tenths: 0,
            frame: 0,
            recent: VecDeque::new(),
            held: Vec::new(),
            edges: [0; 4],
            typed: VecDeque::from([String::new()]),
            position: None,
            buttons: [false; 5],
            wheel: [0; 2],
            locks: LockKeys::default(),
            pointer: Pointer::default(),
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn set_size(&mut self, size: Size) {
        self.size = size;
    }

    pub(super) fn pointer(&self) -> Pointer {
        self.pointer
    }

    pub(super) fn locks(&self) -> LockKeys {
        self.locks
    }

    /// Time passes: `steps` tenths of a second.
    pub(super) fn advance(&mut self, steps: u32) -> Dirty {
        if !self.moving {
            return Dirty::default();
        }
        self.tenths = self.tenths.wrapping_add(steps);
        self.frame = self.frame.wrapping_add(1);
        Dirty::area(Layout::of(self.size).motion)
    }

    /// A viewer does something.
    pub(super) fn apply(&mut self, event: InputEvent) -> Dirty {
        match event {
            InputEvent::Key { scancode, down: true } => return self.key_down(scancode),
            InputEvent::Key { scancode, down: false } => {
                self.edges[1] = self.edges[1].wrapping_add(1);
                self.held.retain(|held| *held != scancode);
            }
            InputEvent::MoveTo { x, y } => return self.move_to(x, y),
            InputEvent::MoveBy { dx, dy } => {
                let (x, y) = self.position.unwrap_or((self.size.width / 2, self.size.height / 2));
                return self.move_to(x.saturating_add_signed(dx), y.saturating_add_signed(dy));
            }
            InputEvent::Button { button, down } => {
                let edge = if down { 2 } else { 3 };
                self.edges[edge] = self.edges[edge].wrapping_add(1);
                self.buttons[button_index(button)] = down;
            }
            InputEvent::Wheel { axis, delta } => {
                let axis = usize::from(axis == WheelAxis::Horizontal);
                self.wheel[axis] = self.wheel[axis].saturating_add(i32::from(delta));
            }
            InputEvent::Locks(locks) => return self.set_locks(locks),
            InputEvent::Touch(touch) => return self.touch(touch),
            InputEvent::Character(_) => return Dirty::default(),
        }
        self.echo()
    }

    /// The first finger is the pointer with its first button.
    fn touch(&mut self, touch: Touch) -> Dirty {
        if touch.contact != 0 {
            return Dirty::default();
        }
        let mut dirty = self.move_to(touch.x, touch.y);
        if touch.phase != TouchPhase::Update {
            dirty.merge(self.apply(InputEvent::Button {
                button: Button::Left,
                down: touch.phase == TouchPhase::Begin,
            }));
        }
        dirty
    }

    fn echo(&self) -> Dirty {
        Dirty::area(Layout::of(self.size).echo)
    }

    fn key_down(&mut self, key: Scancode) -> Dirty {
        self.edges[0] = self.edges[0].wrapping_add(1);
        if !self.held.contains(&key) {
            self.held.push(key);
        }
        push_bounded(&mut self.recent, keys::name(key), KEPT_KEYS);
        match (key.is_extended(), key.code()) {
            (false, 0x3A) => self.toggle(|locks| &mut locks.caps),
            (false, 0x45) => self.toggle(|locks| &mut locks.num),
            (false, 0x46) => self.toggle(|locks| &mut locks.scroll),
            (false, 0x3C) => {
                self.moving = !self.moving;
                Dirty::everything()
            }
            (false, 0x3D) => self.next_size(),
            (false, 0x3E) => {
                self.pointer = self.pointer.next();
                let mut dirty = self.echo();
                dirty.pointer = true;
                dirty
            }
            _ => {
                self.type_key(key);
                self.echo()
            }
        }
    }

    fn type_key(&mut self, key: Scancode) {
        let line = self.typed.back_mut().expect("there is always one line");
        match key.code() {
            0x1C => push_bounded(&mut self.typed, String::new(), KEPT_LINES),
            0x0E if !key.is_extended() => {
                line.pop();
            }
            _ if line.len() >= KEPT_CHARACTERS => {}
            _ => {
                let shift = self
                    .held
                    .iter()
                    .any(|k| matches!(k.code(), 0x2A | 0x36) && !k.is_extended());
                let command = self.held.iter().any(|k| matches!(k.code(), 0x1D | 0x38));
                if let Some(c) = keys::character(key, shift, self.locks.caps, self.locks.num).filter(|_| !command) {
                    line.push(c);
                }
            }
        }
    }

    fn next_size(&mut self) -> Dirty {
        let next = SIZES.iter().position(|s| *s == self.size).map_or(0, |i| i + 1);
        self.size = SIZES[next % SIZES.len()];
        self.position = None;
        Dirty::everything()
    }

    fn move_to(&mut self, x: u32, y: u32) -> Dirty {
        let mut dirty = self.echo();
        dirty.areas.extend(self.marker());
        self.position = Some((x.min(self.size.width - 1), y.min(self.size.height - 1)));
        dirty.areas.extend(self.marker());
        dirty
    }

    /// What the marker at the pointer's position covers.
    fn marker(&self) -> Option<Rectangle> {
        let (x, y) = self.position?;
        let edge = (2 * MARKER + 1) as u32;
        Some(Rectangle::new(
            Point::new(x as i32 - MARKER, y as i32 - MARKER),
            Extent::new(edge, edge),
        ))
    }

    fn set_locks(&mut self, locks: LockKeys) -> Dirty {
        self.locks = locks;
        let mut dirty = self.echo();
        dirty.locks = true;
        dirty
    }

    fn toggle(&mut self, which: impl Fn(&mut LockKeys) -> &mut bool) -> Dirty {
        let mut locks = self.locks;
        let lock = which(&mut locks);
        *lock = !*lock;
        self.set_locks(locks)
    }
}

fn button_index(button: Button) -> usize {
    match button {
        Button::Left => 0,
        Button::Middle => 1,
        Button::Right => 2,
        Button::Side => 3,
        Button::Extra => 4,
    }
}

fn push_bounded(list: &mut VecDeque<String>, text: String, limit: usize) {
    if list.len() == limit {
        list.pop_front();
    }
    list.push_back(text);
}
