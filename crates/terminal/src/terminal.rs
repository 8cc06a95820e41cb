//! The emulated terminal: a grid of cells with scrollback, the answers that a guest may ask for, and what a viewer has
//! selected. Emulation is the `vt100` crate's; it is fed through [`Filter`].

use std::num::NonZeroU16;

use vt100::{Callbacks, Parser, Screen};

use crate::filter::Filter;

/// How many cells a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// 20 to 500.
    columns: u16,
    /// 5 to 200.
    rows: u16,
}

/// A cell, counted from the upper left one of what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The row first, so that places are ordered as text is read.
    pub row: u16,
    /// The column.
    pub column: u16,
}

/// A terminal. See the module.
pub struct Terminal {
    parser: Parser<Answers>,
    filter: Filter,
    filtered: Vec<u8>,
    selection: Option<(Place, Place)>,
}

/// Lines of scrollback.
const SCROLLBACK: usize = 2000;
/// Bytes that are taken at once.
const CHUNK: usize = 16 * 1024;
/// Bytes of answers that wait at most; a guest that asks on is not answered.
const ANSWERS: usize = 256;

impl Grid {
    /// What serial consoles assume: 80 columns and 25 rows.
    pub const USUAL: Self = Self { columns: 80, rows: 25 };

    /// A grid of so many cells, brought into 20 to 500 columns and 5 to 200 rows.
    pub fn new(columns: u16, rows: u16) -> Self {
        Self {
            columns: columns.clamp(20, 500),
            rows: rows.clamp(5, 200),
        }
    }

    /// How many columns.
    pub fn columns(self) -> u16 {
        self.columns
    }

    /// How many rows.
    pub fn rows(self) -> u16 {
        self.rows
    }

    fn sides(self) -> (NonZeroU16, NonZeroU16) {
        let side = |cells| NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN);
        (side(self.rows), side(self.columns))
    }
}

impl Terminal {
    /// An empty one.
    pub fn new(grid: Grid) -> Self {
        Self::with(grid, SCROLLBACK)
    }

    /// An empty one that forgets what has scrolled away, for who shows it to nobody.
    pub fn without_scrollback(grid: Grid) -> Self {
        Self::with(grid, 0)
    }

    fn with(grid: Grid, scrollback: usize) -> Self {
        let (rows, columns) = grid.sides();
        Self {
            parser: Parser::new_with_callbacks(rows, columns, scrollback, Answers::default()),
            filter: Filter::default(),
            filtered: Vec::new(),
            selection: None,
        }
    }

    /// How many cells it has.
    pub fn grid(&self) -> Grid {
        let (rows, columns) = self.screen().size();
        Grid::new(columns.get(), rows.get())
    }

    /// Shows what a guest printed. What was selected is no longer: the text under it may have moved.
    pub fn feed(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK) {
            self.filtered.clear();
            self.filter.run(chunk, &mut self.filtered);
            self.parser.process(&self.filtered);
        }
        if !bytes.is_empty() {
            self.selection = None;
        }
    }

    /// What the guest asked for since the last time: its cursor's position (DSR 6), whether the terminal works (DSR 5) and
    /// what it is (DA). To be sent only by who answers for this stream.
    pub fn take_answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.parser.callbacks_mut().0)
    }

    /// Scrolls by so many lines, back if positive. Gives whether anything moved.
    pub fn scroll(&mut self, lines: i32) -> bool {
        let before = self.screen().scrollback();
        let after = before.saturating_add_signed(lines as isize);
        self.parser.screen_mut().set_scrollback(after);
        let moved = self.screen().scrollback() != before;
        if moved {
            self.selection = None;
        }
        moved
    }

    /// Shows the newest lines again.
    pub fn scroll_to_end(&mut self) {
        self.parser.screen_mut().set_scrollback(0);
    }

    /// How many lines back the view is.
    pub fn scrolled(&self) -> usize {
        self.screen().scrollback()
    }

    /// Selects from one place to another, both included, whichever is first. What is beyond the grid is at its edge.
    pub fn select(&mut self, from: Place, to: Place) {
        let grid = self.grid();
        let [from, to] = [from, to].map(|place| Place {
            row: place.row.min(grid.rows() - 1),
            column: place.column.min(grid.columns() - 1),
        });
        self.selection = Some((from.min(to), from.max(to)));
    }

    /// Nothing is selected any more.
    pub fn unselect(&mut self) {
        self.selection = None;
    }

    /// Whether a place is selected.
    pub fn is_selected(&self, place: Place) -> bool {
        self.selection.is_some_and(|(from, to)| (from..=to).contains(&place))
    }

    /// The text that is selected: without the blanks at the ends of lines, lines that were wrapped in one.
    pub fn selected_text(&self) -> Option<String> {
        let (from, to) = self.selection?;
        Some(
            self.screen()
                .contents_between(from.row, from.column, to.row, to.column.saturating_add(1)),
        )
    }

    /// What a viewer's paste is as bytes to the guest: lines end with a carriage return, other control characters but the
    /// tabulator are left out, and the whole is bracketed where the guest's program asked for that.
    pub fn pasted(&self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len());
        let is_bracketed = self.screen().bracketed_paste();
        if is_bracketed {
            bytes.extend_from_slice(b"\x1b[200~");
        }
        let text = text.replace("\r\n", "\r").replace('\n', "\r");
        for c in text.chars().filter(|c| !c.is_control() || matches!(c, '\r' | '\t')) {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if is_bracketed {
            bytes.extend_from_slice(b"\x1b[201~");
        }
        bytes
    }

    pub(crate) fn screen(&self) -> &Screen {
        self.parser.screen()
    }
}

/// What is owed to the guest.
#[derive(Default)]
struct Answers(Vec<u8>);

impl Answers {
    fn owe(&mut self, answer: &[u8]) {
        if self.0.len() + answer.len() <= ANSWERS {
            self.0.extend_from_slice(answer);
        }
    }
}

impl Callbacks for Answers {
    fn unhandled_csi(&mut self, screen: &mut Screen, first: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        let parameter = params.first().and_then(|values| values.first()).copied().unwrap_or(0);
        match (first, c, parameter) {
            (None, 'n', 5) => self.owe(b"\x1b[0n"),
            (None, 'n', 6) => {
                let (row, column) = screen.cursor_position();
                self.owe(format!("\x1b[{};{}R", u32::from(row) + 1, u32::from(column) + 1).as_bytes());
            }
            // A VT102, which is what the emulator can do.
            (None, 'c', 0) => self.owe(b"\x1b[?6c"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(text: &str) -> Terminal {
        let mut terminal = Terminal::new(Grid::new(20, 5));
        terminal.feed(text.as_bytes());
        terminal
    }

    fn place(row: u16, column: u16) -> Place {
        Place { row, column }
    }

    #[test]
    fn only_the_fixed_questions_are_answered_and_not_without_end() {
        let mut asked = terminal("ab\x1b[5n\x1b[6n\x1b[c\x1b[>c\x1b[21t\x1bP$q\"p\x1b\\");
        assert_eq!(asked.take_answers(), b"\x1b[0n\x1b[1;3R\x1b[?6c");
        assert!(asked.take_answers().is_empty());
        asked.feed(&b"\x1b[6n".repeat(10_000));
        assert!(asked.take_answers().len() <= ANSWERS);
    }

    #[test]
    fn a_guest_cannot_resize_it_or_make_it_keep_strings() {
        let mut hostile = terminal("\x1b[8;9999;9999t\x1b[99999999999999999999;1H\x1b[65535X\x1b[65535L");
        hostile.feed(&[b"\x1b]0;".as_slice(), &[b'x'; 1 << 20]].concat());
        hostile.feed(&[b"\x07\x1b[".as_slice(), &[b'1'; 1 << 20]].concat());
        hostile.feed(&b"1;".repeat(1 << 19));
        hostile.feed(&[b"m\x1b[He".as_slice(), &"\u{301}".repeat(1 << 18).into_bytes()].concat());
        assert!(hostile.filtered.capacity() <= 8 * CHUNK && hostile.screen().cell(0, 0).unwrap().contents().len() < 64);
        hostile.feed(b"\x1b]");
        assert_eq!(hostile.grid(), Grid::new(20, 5));
        hostile.feed(b"\x07\x1bcok");
        hostile.select(place(0, 0), place(0, 1));
        assert_eq!(hostile.selected_text().as_deref(), Some("ok"));
    }

    #[test]
    fn scrollback_is_shown_and_left_and_bounded() {
        let lines: String = (0..5000).map(|line| format!("line {line}\r\n")).collect();
        let mut long = terminal(&lines);
        assert!(long.scroll(3) && long.scrolled() == 3);
        long.select(place(0, 0), place(0, 19));
        assert_eq!(long.selected_text().as_deref(), Some("line 4993"));
        assert!(long.scroll(100_000) && long.scrolled() == SCROLLBACK);
        assert!(!long.scroll(1));
        assert!(long.scroll(-5) && !long.is_selected(place(0, 0)));
        long.scroll_to_end();
        assert!(long.scrolled() == 0 && !long.scroll(-1));
    }

    #[test]
    fn a_selection_reads_as_text_in_either_direction() {
        let mut text = terminal("first line\r\nsecond, which is wrapped\r\nthird");
        text.select(place(1, 6), place(0, 6));
        assert_eq!(text.selected_text().as_deref(), Some("line\nsecond,"));
        text.select(place(1, 0), place(3, 4));
        assert_eq!(text.selected_text().as_deref(), Some("second, which is wrapped\nthird"));
        assert!(text.is_selected(place(2, 19)) && !text.is_selected(place(3, 5)));
        text.select(place(2, 0), place(900, 900));
        assert_eq!(text.selected_text().as_deref(), Some("pped\nthird\n"));
        text.feed(b"x");
        assert_eq!(text.selected_text(), None);
    }

    #[test]
    fn a_paste_brings_no_control_characters_of_its_own() {
        let plain = terminal("");
        assert_eq!(plain.pasted("a\tb\r\nc\nd\x1b[201~\x03"), b"a\tb\rc\rd[201~");
        assert_eq!(terminal("\x1b[?2004h").pasted("x"), b"\x1b[200~x\x1b[201~");
    }
}
