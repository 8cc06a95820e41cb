//! Guest bytes through filter, emulator and painter, between keys, pastes, selections and scrolls of viewers: nothing
//! panics, what is drawn stays within the picture, what is owed and kept stays small, and cuts change nothing.

use rdpmux_model::Size;
use rdpmux_terminal::{Grid, Key, Modifiers, Painter, Place, Status, Terminal};

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some(([columns, rows, piece], data)) = data.split_first_chunk() else {
        return;
    };
    let grid = Grid::new(u16::from(*columns), u16::from(*rows) / 4);
    let (mut cut, mut whole) = (Terminal::new(grid), Terminal::new(grid));
    let mut painter = Painter::new(Size::new(160, 100), grid);
    let mut answers = Vec::new();
    for (index, part) in data.chunks(usize::from(*piece) + 1).enumerate() {
        cut.feed(part);
        answers.extend(cut.take_answers());
        assert!(answers.len() <= 16 * data.len());
        view(&mut cut, part);
        // Which costs a hundred times what the rest does.
        if index % 16 == 0 {
            paint(&mut painter, &cut, part);
        }
    }
    cut.scroll_to_end();
    whole.feed(data);
    let last = Place {
        row: grid.rows() - 1,
        column: grid.columns() - 1,
    };
    let text = |terminal: &mut Terminal| {
        terminal.select(Place { row: 0, column: 0 }, last);
        terminal.selected_text()
    };
    assert_eq!(text(&mut cut), text(&mut whole));
    assert_eq!(cut.grid(), grid);
}

/// What viewers do, by what the guest said.
fn view(terminal: &mut Terminal, part: &[u8]) {
    let at = |index: usize| part.get(index).copied().unwrap_or_default();
    match at(0) % 8 {
        0 => {
            let (row, column) = (u16::from(at(1)), u16::from(at(2)));
            terminal.select(
                Place { row, column },
                Place {
                    row: u16::from(at(3)),
                    column: u16::from(at(4)),
                },
            );
            terminal.selected_text();
        }
        1 => {
            terminal.scroll(i32::from(at(1)) - 100);
        }
        2 => terminal.scroll_to_end(),
        3 => {
            let pasted = terminal.pasted(&String::from_utf8_lossy(part));
            assert!(pasted.len() <= 3 * part.len() + 12);
        }
        4 => {
            let modifiers = Modifiers {
                shift: at(1) & 1 != 0,
                alt: at(1) & 2 != 0,
                control: at(1) & 4 != 0,
            };
            for key in [Key::Char(char::from(at(2))), Key::Up, Key::PageUp, Key::Function(at(2))] {
                assert!(key.bytes(modifiers, terminal).len() <= 8);
            }
        }
        _ => {}
    }
}

fn paint(painter: &mut Painter, terminal: &Terminal, part: &[u8]) {
    let status = Status {
        left: "web1/serial0".to_owned(),
        right: String::from_utf8_lossy(part).into_owned(),
    };
    let size = painter.size();
    for rect in painter.paint(terminal, &status) {
        assert!(rect.width > 0 && rect.x + rect.width <= size.width && rect.y + rect.height <= size.height);
    }
    assert!(painter.paint(terminal, &status).is_empty());
    assert_eq!(painter.pixels().len(), size.width as usize * size.height as usize * 4);
}
