//! A terminal's cells as pixels. Only what changed is drawn, and told.

use rdpmux_model::{Guest, Rect, Size};
use vt100::Cell;

use crate::colors::{self, Bgr};
use crate::font::{Font, Form};
use crate::terminal::{Grid, Place, Terminal};

/// What the line below the terminal says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// From the left.
    pub left: String,
    /// To the right end; it wins where both do not fit.
    pub right: String,
}

/// Draws one terminal. See the module.
pub struct Painter {
    font: Font,
    grid: Grid,
    pixels: Vec<u8>,
    /// What each cell shows now, the status line's after the terminal's.
    shown: Vec<Option<Look>>,
}

/// What a cell looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    character: char,
    /// A combining one over it.
    mark: Option<char>,
    form: Form,
    underline: bool,
    text: Bgr,
    ground: Bgr,
}

impl Painter {
    /// For a terminal of `grid`, with the largest cells at which it and the status line fit into `area`.
    pub fn new(area: Size, grid: Grid) -> Self {
        let font = Font::fitting(area, grid);
        let cells = usize::from(grid.columns()) * (usize::from(grid.rows()) + 1);
        let mut pixels = vec![0; cells * font.width * font.height * 4];
        let [blue, green, red] = colors::GROUND;
        pixels.as_chunks_mut::<4>().0.fill([blue, green, red, 0]);
        Self {
            font,
            grid,
            pixels,
            shown: vec![None; cells],
        }
    }

    /// Of the whole picture: all cells and the status line.
    pub fn size(&self) -> Size {
        let width = self.font.width * usize::from(self.grid.columns());
        let height = self.font.height * (usize::from(self.grid.rows()) + 1);
        Size::new(width as u32, height as u32)
    }

    /// B, G, R, X, by rows without padding.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The terminal's cell at a pixel; the nearest one for pixels outside of it.
    pub fn place_at(&self, x: u32, y: u32) -> Place {
        let at = |v: u32, size: usize, count: u16| (v as usize / size).min(usize::from(count) - 1) as u16;
        Place {
            row: at(y, self.font.height, self.grid.rows()),
            column: at(x, self.font.width, self.grid.columns()),
        }
    }

    /// Draws what has changed since the last time. Gives the rectangles that have new pixels, one per row at most.
    pub fn paint(&mut self, terminal: &Terminal, status: &Status) -> Vec<Rect<Guest>> {
        let columns = self.grid.columns();
        let mut changed = Vec::new();
        for row in 0..self.grid.rows() {
            let looks: Vec<_> = (0..columns)
                .map(|column| look(terminal, Place { row, column }))
                .collect();
            changed.extend(self.row(row, &looks));
        }
        changed.extend(self.row(self.grid.rows(), &status_looks(status, columns)));
        changed
    }

    /// Draws a row's cells where they differ from what is shown.
    fn row(&mut self, row: u16, looks: &[Option<Look>]) -> Option<Rect<Guest>> {
        let start = usize::from(row) * usize::from(self.grid.columns());
        let mut bounds: Option<(usize, usize)> = None;
        for (column, look) in looks.iter().enumerate() {
            let shown = &mut self.shown[start + column];
            if shown == look {
                continue;
            }
            *shown = *look;
            let width = match look {
                Some(look) => {
                    self.cell(column, usize::from(row), look);
                    if look.form.wide { 2 } else { 1 }
                }
                // The right half of a wide character, which is drawn with its left one.
                None => 1,
            };
            let (from, to) = bounds.unwrap_or((column, column));
            bounds = Some((from, to.max(column + width)));
        }
        let (from, to) = bounds?;
        let to = to.min(looks.len());
        let (width, height) = (self.font.width, self.font.height);
        Some(Rect::new(
            (from * width) as u32,
            (usize::from(row) * height) as u32,
            ((to - from) * width) as u32,
            height as u32,
        ))
    }

    fn cell(&mut self, column: usize, row: usize, look: &Look) {
        let room = usize::from(self.grid.columns()) - column;
        let cells = if look.form.wide { 2 } else { 1 };
        let (width, height) = (self.font.width, self.font.height);
        let stride = width * usize::from(self.grid.columns()) * 4;
        let shown = cells.min(room) * width;
        let pixels = &mut self.pixels[row * height * stride + column * width * 4..];
        let coverage = self.font.coverage(look.character, look.form);
        let marks = coverage.chunks(cells * width).enumerate();
        for (y, covered) in marks {
            let line = &mut pixels[y * stride..][..shown * 4];
            for (pixel, covered) in line.as_chunks_mut::<4>().0.iter_mut().zip(covered) {
                *pixel = blend(look, *covered);
            }
        }
        if let Some(mark) = look.mark {
            let coverage = self.font.coverage(mark, look.form);
            for (y, covered) in coverage.chunks(cells * width).enumerate() {
                let line = &mut pixels[y * stride..][..shown * 4];
                for (pixel, covered) in line.as_chunks_mut::<4>().0.iter_mut().zip(covered) {
                    if *covered > 127 {
                        *pixel = blend(look, *covered);
                    }
                }
            }
        }
        if look.underline {
            let line = &mut pixels[(height - 1 - height / 12) * stride..][..shown * 4];
            line.as_chunks_mut::<4>().0.fill(blend(look, 255));
        }
    }
}

fn blend(look: &Look, covered: u8) -> [u8; 4] {
    let mix = |i: usize| {
        let (text, ground) = (u32::from(look.text[i]), u32::from(look.ground[i]));
        ((text * u32::from(covered) + ground * (255 - u32::from(covered)) + 127) / 255) as u8
    };
    [mix(0), mix(1), mix(2), 0]
}

/// `None` for the right half of a wide character.
fn look(terminal: &Terminal, place: Place) -> Option<Look> {
    let screen = terminal.screen();
    let Some(cell) = screen.cell(place.row, place.column) else {
        return Some(plain(' ', colors::TEXT, colors::GROUND));
    };
    if cell.is_wide_continuation() {
        return None;
    }
    let has_cursor = !screen.hide_cursor() && screen.scrollback() == 0;
    let is_cursor = has_cursor && screen.cursor_position() == (place.row, place.column);
    Some(of_cell(cell, is_cursor != terminal.is_selected(place)))
}

fn of_cell(cell: &Cell, is_inverted: bool) -> Look {
    let mut characters = cell.contents().chars();
    let character = characters.next().unwrap_or(' ');
    let mut text = colors::of(cell.fgcolor(), colors::TEXT, cell.bold());
    let mut ground = colors::of(cell.bgcolor(), colors::GROUND, false);
    if cell.inverse() != is_inverted {
        (text, ground) = (ground, text);
    }
    if cell.dim() {
        text = colors::dim(text, ground);
    }
    Look {
        character,
        mark: characters.next(),
        form: Form {
            bold: cell.bold(),
            wide: cell.is_wide(),
        },
        underline: cell.underline(),
        text,
        ground,
    }
}

fn plain(character: char, text: Bgr, ground: Bgr) -> Look {
    let form = Form {
        bold: false,
        wide: false,
    };
    Look {
        character,
        mark: None,
        form,
        underline: false,
        text,
        ground,
    }
}

fn status_looks(status: &Status, columns: u16) -> Vec<Option<Look>> {
    let columns = usize::from(columns);
    let look = |c: char| {
        let c = if c.is_control() { ' ' } else { c };
        Some(plain(c, colors::STATUS_TEXT, colors::STATUS_GROUND))
    };
    let mut looks = vec![look(' '); columns];
    for (shown, c) in looks.iter_mut().skip(1).zip(status.left.chars()) {
        *shown = look(c);
    }
    let length = status.right.chars().count().min(columns.saturating_sub(2));
    let start = columns - 1 - length;
    if length > 0 {
        looks[start - 1] = look(' ');
    }
    for (shown, c) in looks[start..].iter_mut().zip(status.right.chars().take(length)) {
        *shown = look(c);
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Terminal, Painter) {
        let grid = Grid::new(20, 5);
        (Terminal::new(grid), Painter::new(Size::new(300, 200), grid))
    }

    fn status(left: &str, right: &str) -> Status {
        Status {
            left: left.to_owned(),
            right: right.to_owned(),
        }
    }

    #[test]
    fn only_what_changed_is_told() {
        let (mut terminal, mut painter) = pair();
        let (width, height) = (painter.font.width as u32, painter.font.height as u32);
        assert_eq!(painter.size(), Size::new(20 * width, 6 * height));
        let all = painter.paint(&terminal, &status("web1/serial0", "read-only"));
        assert_eq!(all.len(), 6);
        assert!(
            painter
                .paint(&terminal, &status("web1/serial0", "read-only"))
                .is_empty()
        );
        terminal.feed(b"\r\n\x1b[?25lab");
        // The cursor left the first cell; two letters came in the next row.
        let changed = painter.paint(&terminal, &status("web1/serial0", "read-only"));
        assert_eq!(
            changed,
            [Rect::new(0, 0, width, height), Rect::new(0, height, 2 * width, height)]
        );
        let status_only = painter.paint(&terminal, &status("web1/serial0", "writer: bob"));
        assert!(status_only.len() == 1 && status_only[0].y == 5 * height);
    }

    #[test]
    fn text_colours_and_selection_are_in_the_pixels() {
        let (mut terminal, mut painter) = pair();
        terminal.feed("\x1b[?25l\x1b[41m \x1b[0m█\x1b[7m \x1b[0m".as_bytes());
        painter.paint(&terminal, &Status::default());
        let pixel = |painter: &Painter, column: usize| {
            let at = (painter.font.height / 2 * painter.size().width as usize + column * painter.font.width + 2) * 4;
            [painter.pixels[at], painter.pixels[at + 1], painter.pixels[at + 2]]
        };
        let seen = [0, 1, 2, 3].map(|column| pixel(&painter, column));
        assert_eq!(seen, [[0x31, 0x31, 0xCD], colors::TEXT, colors::TEXT, colors::GROUND]);
        let place = painter.place_at(3 * painter.font.width as u32, 1);
        assert_eq!(place, Place { row: 0, column: 3 });
        terminal.select(place, place);
        painter.paint(&terminal, &Status::default());
        assert_eq!(pixel(&painter, 3), colors::TEXT);
    }

    #[test]
    fn wide_characters_marks_and_anything_else_are_drawn_within_the_picture() {
        let (mut terminal, mut painter) = pair();
        terminal.feed("界界界界界界界界界界a\u{301}e\u{308}\u{323}\x1b[4munder".as_bytes());
        painter.paint(
            &terminal,
            &status(
                "a very long title that does not fit",
                "nor does this one, at all, never",
            ),
        );
        let mut noise = 7_u32;
        for _ in 0..200 {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .take(500)
            .collect();
            terminal.feed(&bytes);
            let size = painter.size();
            for rect in painter.paint(&terminal, &Status::default()) {
                assert!(rect.x + rect.width <= size.width && rect.y + rect.height <= size.height);
            }
        }
        assert_eq!(painter.place_at(u32::MAX, u32::MAX), Place { row: 4, column: 19 });
    }
}
