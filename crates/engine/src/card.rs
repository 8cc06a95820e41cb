//! The calm picture that a viewer sees when there is no guest to show: a title and some lines, on any size of surface.

use core::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, OriginDimensions, Point, Size as Extent};
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::Baseline;
use embedded_graphics::text::renderer::TextRenderer;

use crate::Canvas;

const GROUND: Rgb888 = Rgb888::new(0x1E, 0x24, 0x2C);
const PANEL: Rgb888 = Rgb888::new(0x28, 0x30, 0x3A);
const ACCENT: Rgb888 = Rgb888::new(0x4F, 0x9D, 0xDE);
const TITLE: Rgb888 = Rgb888::new(0xF2, 0xF4, 0xF7);
const BODY: Rgb888 = Rgb888::new(0xB8, 0xC2, 0xCE);

/// Fills the canvas with a card: `title` large, `lines` below, wrapped to the width and cut at the lower edge.
///
/// Text is Latin-1; other characters show as `?`.
pub fn draw_card(canvas: &mut Canvas<'_>, title: &str, lines: &[&str]) {
    let layout = Layout::of(canvas.size());
    let mut rows: Vec<_> = wrap(title, layout.columns(2))
        .map(|text| Row::title(&layout, text))
        .collect();
    rows.push(Row::gap(&layout));
    for line in lines {
        rows.extend(wrap(line, layout.columns(1)).map(|text| Row::body(&layout, text)));
    }
    let Ok(()) = paint(canvas, &layout, &rows);
}

fn paint(canvas: &mut Canvas<'_>, layout: &Layout, rows: &[Row]) -> Result<(), Infallible> {
    let everything = canvas.bounding_box();
    canvas.fill_solid(&everything, GROUND)?;
    let room = everything.size.height.saturating_sub(4 * layout.margin);
    let text_height = rows.iter().map(|row| row.height).sum::<u32>().min(room);
    let panel_height = text_height + 2 * layout.margin;
    let left = ((everything.size.width - layout.panel) / 2) as i32;
    // A third of the free space above reads calmer than half.
    let top = ((everything.size.height.saturating_sub(panel_height)) * 2 / 5) as i32;
    let at = Point::new(left, top);
    canvas.fill_solid(&Rectangle::new(at, Extent::new(layout.panel, panel_height)), PANEL)?;
    canvas.fill_solid(&Rectangle::new(at, Extent::new(layout.zoom * 3, panel_height)), ACCENT)?;
    let mut at = at + Point::new(layout.margin as i32, layout.margin as i32);
    let mut left_over = text_height;
    for row in rows {
        if row.height > left_over {
            break;
        }
        row.paint(canvas, at)?;
        at.y += row.height as i32;
        left_over -= row.height;
    }
    Ok(())
}

/// Measures that follow from the canvas's size. All in pixels.
struct Layout {
    font: &'static MonoFont<'static>,
    /// Each pixel of the font is a square of this edge.
    zoom: u32,
    margin: u32,
    panel: u32,
}

impl Layout {
    fn of(canvas: Extent) -> Self {
        let edge = canvas.width.min(canvas.height);
        let (font, zoom) = match edge {
            ..400 => (&FONT_6X10, 1),
            _ => (&FONT_10X20, (edge / 720).max(1)),
        };
        let margin = font.character_size.width * zoom * if edge < 400 { 1 } else { 2 };
        let widest = font.character_size.width * zoom * 64 + 2 * margin;
        Self {
            font,
            zoom,
            margin,
            panel: widest.min(canvas.width.saturating_sub(margin)).max(canvas.width.min(1)),
        }
    }

    /// Characters per row at so many times the zoom.
    fn columns(&self, times: u32) -> usize {
        let room = self.panel.saturating_sub(2 * self.margin);
        (room / (self.font.character_size.width * self.zoom * times)).max(1) as usize
    }
}

struct Row {
    text: String,
    color: Rgb888,
    font: &'static MonoFont<'static>,
    zoom: u32,
    height: u32,
}

impl Row {
    fn new(layout: &Layout, text: String, color: Rgb888, zoom: u32) -> Self {
        Self {
            text,
            color,
            font: layout.font,
            zoom,
            height: layout.font.character_size.height * zoom * 5 / 4,
        }
    }

    fn title(layout: &Layout, text: String) -> Self {
        Self::new(layout, text, TITLE, layout.zoom * 2)
    }

    fn body(layout: &Layout, text: String) -> Self {
        Self::new(layout, text, BODY, layout.zoom)
    }

    fn gap(layout: &Layout) -> Self {
        Self {
            height: layout.margin,
            ..Self::new(layout, String::new(), BODY, 1)
        }
    }

    fn paint(&self, canvas: &mut Canvas<'_>, at: Point) -> Result<(), Infallible> {
        let mut zoomed = Zoomed {
            canvas,
            origin: at,
            zoom: self.zoom,
        };
        let style = MonoTextStyle::new(self.font, self.color);
        style.draw_string(&self.text, Point::zero(), Baseline::Top, &mut zoomed)?;
        Ok(())
    }
}

/// Draws every pixel as a square.
struct Zoomed<'a, 'b> {
    canvas: &'a mut Canvas<'b>,
    origin: Point,
    zoom: u32,
}

impl Dimensions for Zoomed<'_, '_> {
    fn bounding_box(&self) -> Rectangle {
        self.canvas.bounding_box()
    }
}

impl DrawTarget for Zoomed<'_, '_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<Self::Color>>,
    {
        for Pixel(at, color) in pixels {
            let corner = self.origin + at * self.zoom as i32;
            self.canvas
                .fill_solid(&Rectangle::new(corner, Extent::new_equal(self.zoom)), color)?;
        }
        Ok(())
    }
}

/// Cuts a text into rows of at most `columns` characters, between words where that is possible.
fn wrap(text: &str, columns: usize) -> impl Iterator<Item = String> {
    let printable = |c: char| {
        if c == ' ' || ('!'..='ÿ').contains(&c) && !c.is_control() {
            c
        } else {
            '?'
        }
    };
    let mut rows = vec![String::new()];
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().map(printable).collect();
        for (i, piece) in word.chunks(columns).enumerate() {
            let row = rows.last_mut().expect("there is always a row");
            let used = row.chars().count();
            let space = usize::from(used > 0 && i == 0);
            if used + space + piece.len() > columns {
                rows.push(piece.iter().collect());
            } else {
                row.extend([' '].iter().take(space).chain(piece));
            }
        }
    }
    rows.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdpmux_model::Size;

    #[test]
    fn text_is_wrapped_between_words_and_long_words_are_cut() {
        let rows: Vec<_> = wrap("QEMU ended: it will be back, 再见", 9).collect();
        assert_eq!(rows, ["QEMU", "ended: it", "will be", "back, ??"]);
        assert_eq!(wrap("abcdefgh ij", 3).collect::<Vec<_>>(), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 3).collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_card_fills_any_canvas_and_shows_its_text() {
        for (width, height) in [
            (200, 200),
            (640, 480),
            (1920, 1080),
            (8192, 64),
            (1, 1),
            (3, 700),
            (1, 8192),
        ] {
            let mut pixels = vec![0; width as usize * height as usize * 4];
            let mut canvas = Canvas::new(&mut pixels, Size::new(width, height));
            draw_card(
                &mut canvas,
                "web1 is waiting",
                &["QEMU ended.", "The desktop will be back when it starts again."],
            );
            assert!(pixels.iter().skip(3).step_by(4).all(|x| *x == 255), "{width}x{height}");
            let bright = pixels.as_chunks::<4>().0.iter().filter(|p| p[2] == 0xF2).count();
            assert!(bright > 100 || width < 200 || height < 200, "{width}x{height} {bright}");
        }
    }
}
