//! What the guest shows: a still desktop with an echo of what is typed, and three animations. Every picture is a pure
//! function of the mode, the frame number and the typed text. Draws only on a canvas; called by `main`.

use crate::agent::Agent;
use crate::canvas::Canvas;
use crate::keymap;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_10X20;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{Drawable, OriginDimensions, Point, Size};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};

/// The picture that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scene {
    /// The desktop; changes only by input.
    Idle,
    /// Every pixel changes with every frame.
    Video,
    /// A line of text comes in from below, everything moves up.
    Scroll,
    /// A window moves over the desktop.
    Drag,
}

impl Scene {
    /// In the order of the keys F1 to F4.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Video, Self::Scroll, Self::Drag];

    /// By its name on the kernel command line.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "idle" => Self::Idle,
            "video" => Self::Video,
            "scroll" => Self::Scroll,
            "drag" => Self::Drag,
            _ => return None,
        })
    }
}

/// Everything the pictures depend on.
pub struct State {
    pub scene: Scene,
    pub frame: u32,
    pub pointer: (i32, i32),
    pub is_ready: bool,
    pub agent: Agent,
    text: String,
    blocks: u32,
    shift: bool,
    window: Rectangle,
}

const BOX: Rectangle = Rectangle::new(
    Point::new(20, 100),
    Size::new(COLUMNS as u32 * 10 + 20, ROWS as u32 * 20 + 20),
);
const COLUMNS: usize = 60;
const ROWS: usize = 8;
const WINDOW: Size = Size::new(480, 320);

impl State {
    pub fn new(scene: Scene, agent: Agent) -> Self {
        Self {
            scene,
            agent,
            frame: 0,
            pointer: (0, 0),
            is_ready: false,
            text: String::new(),
            blocks: 0,
            shift: false,
            window: Rectangle::new(Point::new(100, 100), WINDOW),
        }
    }

    /// Paints the scene from nothing.
    pub fn paint(&mut self, canvas: &mut Canvas<'_>) {
        let all = Rectangle::new(Point::zero(), canvas.size());
        desktop(canvas, all);
        let title = format!(
            "rdpmux test guest {}x{} {:?}",
            canvas.width(),
            canvas.height(),
            self.scene
        );
        write(canvas, Point::new(20, 20), &title, Rgb888::WHITE);
        write(
            canvas,
            Point::new(20, 50),
            "the quick brown fox jumps over the lazy dog 0123456789",
            Rgb888::new(160, 220, 160),
        );
        photo(canvas);
        self.paint_text(canvas);
        if self.scene == Scene::Drag {
            self.paint_window(canvas);
        }
    }

    /// Paints the desktop of one of several heads, which has a name.
    pub fn paint_head(&mut self, canvas: &mut Canvas<'_>, name: &str) {
        self.paint(canvas);
        write(canvas, Point::new(20, 76), name, Rgb888::new(255, 200, 80));
    }

    /// Draws the next frame of an animation and returns what changed.
    pub fn animate(&mut self, canvas: &mut Canvas<'_>) -> Rectangle {
        self.frame = self.frame.wrapping_add(1);
        let all = Rectangle::new(Point::zero(), canvas.size());
        match self.scene {
            Scene::Idle => Rectangle::zero(),
            Scene::Video => {
                plasma(canvas, self.frame);
                all
            }
            Scene::Scroll => {
                canvas.scroll_up(20);
                let bottom = canvas.height() as i32 - 20;
                canvas.fill(Rectangle::new(Point::new(0, bottom), Size::new(canvas.width(), 20)), 0);
                let line = format!(
                    "{:6}  {}",
                    self.frame,
                    "scrolling text line ".repeat(1 + self.frame as usize % 4)
                );
                write(canvas, Point::new(4, bottom), &line, Rgb888::new(210, 210, 210));
                all
            }
            Scene::Drag => self.drag(canvas),
        }
    }

    /// Shows what `code` types and returns the areas that changed.
    pub fn echo(&mut self, canvas: &mut Canvas<'_>, code: u16) -> Vec<Rectangle> {
        match (code, keymap::character(code, self.shift)) {
            (14, _) => drop(self.text.pop()),
            (28, _) => self.text.push('\n'),
            (_, Some(character)) => self.text.push(character),
            _ => {}
        }
        self.blocks += 1;
        let slot = (self.blocks % 32) as i32;
        let block = Rectangle::new(
            Point::new(20 + slot * 30, BOX.top_left.y + BOX.size.height as i32 + 20),
            Size::new(28, 28),
        );
        canvas.fill(block, 0x40_40_40 + ((u32::from(code) * 0x3_07_0b) & 0x7f_7f_7f));
        if self.scene != Scene::Video {
            self.paint_text(canvas);
        }
        vec![BOX, block]
    }

    /// Leaves a mark at the pointer and returns its area.
    pub fn mark_click(&mut self, canvas: &mut Canvas<'_>, code: u16) -> Rectangle {
        let (x, y) = self.pointer;
        let area = Rectangle::new(Point::new(x - 4, y - 4), Size::new(9, 9));
        canvas.fill(area, if code == 0x110 { 0x00_ff_40 } else { 0xff_40_00 });
        area
    }

    /// Remembers whether a shift key is down.
    pub fn hold_shift(&mut self, code: u16, value: i32) {
        if code == 42 || code == 54 {
            self.shift = value != 0;
        }
    }

    /// Takes one absolute axis, 0..=32767.
    pub fn point_absolute(&mut self, axis: u16, value: i32, size: (u32, u32)) {
        let scaled = |extent: u32| (i64::from(value) * i64::from(extent) / 32768) as i32;
        if axis == 0 {
            self.pointer.0 = scaled(size.0)
        } else {
            self.pointer.1 = scaled(size.1)
        }
    }

    /// Takes one relative axis, in counts.
    pub fn point_relative(&mut self, axis: u16, value: i32) {
        if axis == 0 {
            self.pointer.0 += value
        } else {
            self.pointer.1 += value
        }
    }

    /// Keeps the pointer on the screen.
    pub fn clamp(&mut self, size: (u32, u32)) {
        self.pointer.0 = self.pointer.0.clamp(0, size.0 as i32 - 1);
        self.pointer.1 = self.pointer.1.clamp(0, size.1 as i32 - 1);
    }

    fn paint_text(&self, canvas: &mut Canvas<'_>) {
        canvas.fill(BOX, 0xff_ff_ff);
        let mut lines: Vec<String> = vec![String::new()];
        for character in self.text.chars() {
            if character == '\n' || lines.last().is_some_and(|line| line.len() >= COLUMNS) {
                lines.push(String::new());
            }
            if character != '\n'
                && let Some(line) = lines.last_mut()
            {
                line.push(character);
            }
        }
        let first = lines.len().saturating_sub(ROWS);
        for (row, line) in lines[first..].iter().enumerate() {
            write(
                canvas,
                BOX.top_left + Point::new(10, 10 + row as i32 * 20),
                line,
                Rgb888::BLACK,
            );
        }
    }

    fn drag(&mut self, canvas: &mut Canvas<'_>) -> Rectangle {
        let room = Size::new(
            canvas.width().saturating_sub(WINDOW.width),
            canvas.height().saturating_sub(WINDOW.height),
        );
        let swing = |step: u32, extent: u32| {
            let at = self.frame.wrapping_mul(step) % (2 * extent.max(1));
            (if at < extent { at } else { 2 * extent.max(1) - at - 1 }) as i32
        };
        let old = self.window;
        self.window = Rectangle::new(Point::new(swing(11, room.width), swing(7, room.height)), WINDOW);
        desktop(canvas, old);
        self.paint_window(canvas);
        let corner = old.top_left.component_min(self.window.top_left);
        let far = (old.top_left + old.size).component_max(self.window.top_left + WINDOW);
        Rectangle::new(corner, Size::new((far.x - corner.x) as u32, (far.y - corner.y) as u32))
    }

    fn paint_window(&self, canvas: &mut Canvas<'_>) {
        let at = self.window.top_left;
        canvas.fill(self.window, 0xf0_f0_f0);
        canvas.fill(Rectangle::new(at, Size::new(WINDOW.width, 24)), 0x40_60_c0);
        write(canvas, at + Point::new(8, 2), "window", Rgb888::WHITE);
        for line in 0..12 {
            write(
                canvas,
                at + Point::new(16, 40 + line * 22),
                "text in a window that moves",
                Rgb888::new(40, 40, 40),
            );
        }
    }
}

fn write(canvas: &mut Canvas<'_>, at: Point, text: &str, color: Rgb888) {
    let style = MonoTextStyle::new(&FONT_10X20, color);
    let Ok(_) = Text::with_baseline(text, at, style, Baseline::Top).draw(canvas);
}

fn desktop(canvas: &mut Canvas<'_>, area: Rectangle) {
    let (width, height) = (canvas.width(), canvas.height());
    let area = area.intersection(&Rectangle::new(Point::zero(), canvas.size()));
    for y in area.rows() {
        let green = 0x30 + (y as u32 * 0x60 / height);
        let row = canvas.row(y as u32);
        for x in area.columns() {
            let color = 0x20_00_40 + (green << 8) + (x as u32 * 0x40 / width);
            row[x as usize * 4..][..4].copy_from_slice(&color.to_le_bytes());
        }
    }
}

/// A patch that no codec finds easy: noise over a gradient, always the same.
fn photo(canvas: &mut Canvas<'_>) {
    let (left, top) = (canvas.width() as i32 - 300, 40);
    let mut seed = 0x1234_5678_u32;
    for y in 0..240 {
        for x in 0..260 {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            let shade = |base: i32, shift: u32| (base + (seed >> shift & 0x1f) as i32).clamp(0, 255) as u32;
            let color = shade(x * 200 / 260, 0) << 16 | shade(y * 200 / 240, 8) << 8 | shade((x + y) * 100 / 250, 16);
            canvas.set(left + x, top + y, color);
        }
    }
}

fn plasma(canvas: &mut Canvas<'_>, frame: u32) {
    let triangle = |value: u32| {
        let value = value & 511;
        if value > 255 { 511 - value } else { value }
    };
    let base: Vec<u32> = (0..canvas.width())
        .map(|x| (triangle(x * 2 + frame * 6) * 0x01_00_10) & 0xff_0f_f0)
        .collect();
    for y in 0..canvas.height() {
        let add = triangle(y + frame * 3) >> 1;
        for (pixel, color) in canvas.row(y).chunks_exact_mut(4).zip(&base) {
            pixel.copy_from_slice(&(color + add).to_le_bytes());
        }
    }
    for bit in 0..16 {
        let color = if frame >> bit & 1 == 1 { 0xff_ff_ff } else { 0 };
        canvas.fill(Rectangle::new(Point::new(bit * 16, 0), Size::new(16, 16)), color);
    }
}
