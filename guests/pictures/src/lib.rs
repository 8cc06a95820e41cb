//! Moving pictures for the end-to-end bench: typing, a scrolling terminal, a dragged window, a video. Each is a pure
//! function of the frame number, so that who measures can draw what a viewer should see. Every picture carries its frame
//! number twice, as strips of black and white blocks. Draws into memory only; used by the test guest and by xtask.
#![forbid(unsafe_code)]

mod font;
mod photo;
mod reel;
mod strip;

pub use strip::{SIDE as STRIP_SIDE, WIDTH as STRIP_WIDTH, read as read_strip};

use font::Font;

/// Every picture is so many pixels wide.
pub const WIDTH: usize = 1920;
/// And so many high.
pub const HEIGHT: usize = 1080;
/// Bytes from row to row: B, G, R and a byte without meaning per pixel.
pub const STRIDE: usize = WIDTH * 4;

/// A rectangle of the picture, in pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// What moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workload {
    /// A character in a terminal, ten times a second.
    Type,
    /// A character in a terminal for each key press.
    Echo,
    /// A line comes into a terminal from below, twenty times a second.
    Scroll,
    /// A window moves over a photo, thirty times a second.
    Drag,
    /// A film of 1280x720 pixels, thirty frames a second.
    Video,
    /// The film, and the frame number of a strip below it for each key press.
    Busy,
    /// The film behind crawling lines of text in saturated colours, which 4:2:0 smears. No bench shows it.
    Colors,
}

impl Workload {
    /// All that benches show.
    pub const ALL: [Self; 6] = [
        Self::Type,
        Self::Echo,
        Self::Scroll,
        Self::Drag,
        Self::Video,
        Self::Busy,
    ];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Echo => "echo",
            Self::Scroll => "scroll",
            Self::Drag => "drag",
            Self::Video => "video",
            Self::Busy => "busy",
            Self::Colors => "colors",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter().chain([Self::Colors]);
        all.find(|workload| workload.name() == name)
    }

    /// Frames that the source paints in a second; 0 if only by key presses.
    pub fn frames_per_second(self) -> u32 {
        match self {
            Self::Echo => 0,
            Self::Type => 10,
            Self::Scroll => 20,
            Self::Drag | Self::Video | Self::Busy | Self::Colors => 30,
        }
    }

    /// Where the frame number stands: near the first and near the last pixel that changes.
    pub fn strips(self) -> [(usize, usize); 2] {
        match self {
            Self::Type | Self::Echo | Self::Busy => [(1440, 1004), (1440, 1004)],
            Self::Scroll => [(160, 60), (1440, 1004)],
            Self::Drag => [(800, 370), (800, 690)],
            Self::Video | Self::Colors => [(320, 180), (1280, 884)],
        }
    }

    /// What may change.
    pub fn region(self) -> Area {
        match self {
            Self::Type | Self::Echo | Self::Scroll => TERMINAL,
            Self::Drag => Area {
                x: 360,
                y: 120,
                width: 1200,
                height: 840,
            },
            Self::Video | Self::Busy | Self::Colors => Area {
                x: 320,
                y: 180,
                width: reel::WIDTH,
                height: reel::HEIGHT,
            },
        }
    }
}

/// Draws one workload. What is costly is drawn when it is made.
pub struct Painter {
    workload: Workload,
    wallpaper: Vec<u8>,
    font: Font,
    window: Vec<u8>,
    reel: Vec<Vec<u8>>,
}

const TERMINAL: Area = Area {
    x: 160,
    y: 60,
    width: 1600,
    height: 960,
};
const WINDOW: (usize, usize) = (800, 600);
const TITLE: usize = 24;
const PAPER: u32 = 0x1e_1e_1e;
const TITLE_COLOR: u32 = 0x3a_6e_a5;
const CRAWL_ROWS: usize = 11;
const CRAWL_COLUMNS: usize = 100;
const CRAWL_COLORS: [u32; 5] = [0xff_00_00, 0x00_00_c0, 0x00_e0_00, 0xc0_00_c0, 0x00_60_00];
/// Characters until typing starts its line again.
const TYPED: u32 = 150;

impl Painter {
    /// Prepares `workload`.
    pub fn new(workload: Workload) -> Self {
        let mut painter = Self {
            workload,
            wallpaper: photo::draw(WIDTH, HEIGHT, 1),
            font: Font::new(),
            window: Vec::new(),
            reel: Vec::new(),
        };
        match workload {
            Workload::Drag => painter.window = painter.window_picture(),
            Workload::Video | Workload::Busy | Workload::Colors => painter.reel = reel::draw(),
            _ => {}
        }
        painter
    }

    /// Draws the whole picture of frame `n`.
    pub fn full(&self, out: &mut [u8], n: u16) {
        out[..WIDTH * HEIGHT * 4].copy_from_slice(&self.wallpaper);
        match self.workload {
            Workload::Type | Workload::Echo => {
                self.terminal(out, 0, TERMINAL.height / font::HEIGHT - 1);
                fill(out, typing_row(), PAPER);
                let count = u32::from(n);
                for k in count / TYPED * TYPED..=count {
                    self.typed(out, k);
                }
            }
            Workload::Scroll => self.terminal(out, u32::from(n), TERMINAL.height / font::HEIGHT),
            Workload::Drag => self.show_window(out, n),
            Workload::Video | Workload::Colors => self.show_film(out, n),
            Workload::Busy => self.show_film(out, 0),
        }
        self.strips(out, n);
    }

    /// Draws frame `n` over frame `n - 1` and returns what changed.
    pub fn step(&self, out: &mut [u8], n: u16) -> Area {
        let changed = match self.workload {
            Workload::Type | Workload::Echo => {
                self.typed(out, u32::from(n));
                typing_row()
            }
            Workload::Scroll => self.scroll(out, n),
            Workload::Drag => self.drag(out, n),
            Workload::Video | Workload::Colors => self.film(out, n),
            Workload::Busy => Area {
                x: self.workload.strips()[0].0,
                y: self.workload.strips()[0].1,
                width: STRIP_WIDTH,
                height: STRIP_SIDE,
            },
        };
        self.strips(out, n);
        changed
    }

    /// Draws frame `n` of the film alone and returns where it is.
    pub fn film(&self, out: &mut [u8], n: u16) -> Area {
        self.show_film(out, n);
        self.workload.region()
    }

    fn strips(&self, out: &mut [u8], n: u16) {
        for at in self.workload.strips() {
            strip::draw(out, at, n);
        }
    }

    fn terminal(&self, out: &mut [u8], first: u32, rows: usize) {
        for row in 0..rows {
            self.line(out, row, first + row as u32);
        }
    }

    /// Draws line number `line` of the endless text into row `row` of the terminal.
    fn line(&self, out: &mut [u8], row: usize, line: u32) {
        let at = (TERMINAL.x, TERMINAL.y + row * font::HEIGHT);
        let area = Area {
            x: at.0,
            y: at.1,
            width: TERMINAL.width,
            height: font::HEIGHT,
        };
        fill(out, area, PAPER);
        self.font
            .write(out, WIDTH, at, font::line(line, TERMINAL.width / font::WIDTH), PAPER);
    }

    fn scroll(&self, out: &mut [u8], n: u16) -> Area {
        let (rows, last) = (TERMINAL.height, TERMINAL.height / font::HEIGHT - 1);
        for y in TERMINAL.y..TERMINAL.y + rows - font::HEIGHT {
            let from = (y + font::HEIGHT) * STRIDE + TERMINAL.x * 4;
            out.copy_within(from..from + TERMINAL.width * 4, y * STRIDE + TERMINAL.x * 4);
        }
        // The strips of the last frame moved with the text: the two rows that hold them now, and the new line.
        for row in [0, last - 1, last] {
            self.line(out, row, u32::from(n) + row as u32);
        }
        TERMINAL
    }

    fn typed(&self, out: &mut [u8], n: u32) {
        let column = (n % TYPED) as usize;
        if column == 0 {
            fill(
                out,
                Area {
                    width: 1280,
                    ..typing_row()
                },
                PAPER,
            );
        }
        let text = font::line(n / TYPED, TYPED as usize);
        let character = text.get(column).copied().unwrap_or((b'x', 0xd0_d0_d0));
        let at = (TERMINAL.x + column * font::WIDTH, typing_row().y);
        self.font.write(out, WIDTH, at, [character], PAPER);
    }

    fn drag(&self, out: &mut [u8], n: u16) -> Area {
        let (old, new) = (window_at(n.wrapping_sub(1)), window_at(n));
        for y in old.1..old.1 + WINDOW.1 {
            let row = y * STRIDE + old.0 * 4;
            out[row..row + WINDOW.0 * 4].copy_from_slice(&self.wallpaper[row..row + WINDOW.0 * 4]);
        }
        self.show_window(out, n);
        let (x, y) = (old.0.min(new.0), old.1.min(new.1));
        Area {
            x,
            y,
            width: old.0.max(new.0) + WINDOW.0 - x,
            height: old.1.max(new.1) + WINDOW.1 - y,
        }
    }

    fn show_window(&self, out: &mut [u8], n: u16) {
        let (x, y) = window_at(n);
        for (row, pixels) in self.window.chunks_exact(WINDOW.0 * 4).enumerate() {
            out[(y + row) * STRIDE + x * 4..][..pixels.len()].copy_from_slice(pixels);
        }
    }

    fn show_film(&self, out: &mut [u8], n: u16) {
        let region = self.workload.region();
        let (picture, offset) = reel::pick(&self.reel, n);
        for y in 0..region.height {
            let from = ((y + offset.1) * reel::STORED_WIDTH + offset.0) * 4;
            out[(region.y + y) * STRIDE + region.x * 4..][..region.width * 4]
                .copy_from_slice(&picture[from..from + region.width * 4]);
        }
        if self.workload == Workload::Colors {
            self.show_crawl(out, n);
        }
    }

    /// Each line in a saturated colour on the next one.
    fn show_crawl(&self, out: &mut [u8], n: u16) {
        let (region, n) = (self.workload.region(), usize::from(n));
        for row in 0..CRAWL_ROWS {
            let [ink, paper] = [row, row + 1].map(|at| CRAWL_COLORS[at % CRAWL_COLORS.len()]);
            let x = region.x + 40 + (n * 2 + row * 37) % 300;
            let y = region.y + 64 + row * 56 + n % 24;
            let text = font::line(row as u32, CRAWL_COLUMNS)
                .into_iter()
                .map(|(letter, _)| (letter, ink));
            self.font.write(out, WIDTH, (x, y), text, paper);
        }
    }

    fn window_picture(&self) -> Vec<u8> {
        let mut out = vec![0; WINDOW.0 * WINDOW.1 * 4];
        for (index, pixel) in out.chunks_exact_mut(4).enumerate() {
            let color: u32 = if index < TITLE * WINDOW.0 { TITLE_COLOR } else { PAPER };
            pixel.copy_from_slice(&color.to_le_bytes());
        }
        let title = b"Terminal - dragged window".iter().map(|byte| (*byte, 0xff_ff_ff));
        self.font.write(&mut out, WINDOW.0, (8, 4), title, TITLE_COLOR);
        for row in 0..(WINDOW.1 - TITLE) / font::HEIGHT {
            let text = font::line(500 + row as u32, WINDOW.0 / font::WIDTH);
            self.font
                .write(&mut out, WINDOW.0, (0, TITLE + row * font::HEIGHT), text, PAPER);
        }
        out
    }
}

fn typing_row() -> Area {
    Area {
        y: TERMINAL.y + TERMINAL.height - font::HEIGHT,
        height: font::HEIGHT,
        ..TERMINAL
    }
}

/// Where the window is at frame `n`: up to 16 pixels a frame in both directions.
fn window_at(n: u16) -> (usize, usize) {
    let seconds = f64::from(n) / 30.0;
    (
        (560.0 + 200.0 * (seconds * 2.1).sin()).round() as usize,
        (240.0 + 120.0 * (seconds * 1.3).sin()).round() as usize,
    )
}

fn fill(out: &mut [u8], area: Area, color: u32) {
    for y in area.y..area.y + area.height {
        for pixel in out[y * STRIDE + area.x * 4..][..area.width * 4].chunks_exact_mut(4) {
            pixel.copy_from_slice(&color.to_le_bytes());
        }
    }
}

/// A number that looks random and is always the same for `x`.
fn hash(mut x: u32) -> u32 {
    x = x.wrapping_add(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_painted_in_steps_is_the_picture_painted_at_once() {
        for workload in Workload::ALL.into_iter().chain([Workload::Colors]) {
            let painter = Painter::new(workload);
            let mut stepped = vec![0; STRIDE * HEIGHT];
            let mut whole = stepped.clone();
            painter.full(&mut stepped, 0);
            for n in 1..=3 {
                let before = stepped.clone();
                let area = painter.step(&mut stepped, n);
                painter.full(&mut whole, n);
                assert!(stepped == whole, "{workload:?} frame {n}");
                let is_inside =
                    |x, y| (area.x..area.x + area.width).contains(&x) && (area.y..area.y + area.height).contains(&y);
                let pixels = before.chunks_exact(4).zip(stepped.chunks_exact(4)).enumerate();
                for (index, (old, new)) in pixels {
                    assert!(
                        old == new || is_inside(index % WIDTH, index / WIDTH),
                        "{workload:?} frame {n} changes outside of {area:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_frame_number_is_read_from_both_strips() {
        let painter = Painter::new(Workload::Scroll);
        let mut out = vec![0; STRIDE * HEIGHT];
        for n in [0, 1, 777, 65535] {
            painter.full(&mut out, n);
            for at in Workload::Scroll.strips() {
                let row = |y: usize| out[y * STRIDE + at.0 * 4..][..STRIP_WIDTH * 4].to_vec();
                assert_eq!(read_strip(&row(at.1 + 6), &row(at.1 + 8)), Some(n));
            }
        }
        assert_eq!(read_strip(&[0; STRIP_WIDTH * 4], &[0; STRIP_WIDTH * 4]), None);
    }
}
