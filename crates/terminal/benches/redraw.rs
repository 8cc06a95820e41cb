//! What a text head costs when its picture changes, beside a copy of the same pixels, as one JSON row per line;
//! `cargo xtask bench terminal` makes the table of them.
#![expect(clippy::print_stdout, reason = "the rows are the product")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use rdpmux_model::Size;
use rdpmux_terminal::{Grid, Painter, Status, Terminal};

/// A window that is large enough for letters of 25 pixels.
const AREA: Size = Size {
    width: 1280,
    height: 800,
};

fn main() {
    let grid = Grid::USUAL;
    let (first, second) = (filled(grid, 'a'), filled(grid, 'A'));
    measure("all cells change", [&first, &second]);
    let mut line = filled(grid, 'a');
    line.feed(format!("\x1b[12;1H\x1b[0m{}\x1b[25;80H", "x".repeat(grid.columns().into())).as_bytes());
    measure("one line changes", [&first, &line]);
    measure("nothing changes", [&first, &first]);
    emulate();
}

/// Paints the two in turn.
fn measure(name: &str, terminals: [&Terminal; 2]) {
    let mut painter = Painter::new(AREA, Grid::USUAL);
    let status = Status::default();
    // Its letters are drawn once, before; it ends with the first, so that each turn is a change.
    for terminal in terminals.into_iter().rev() {
        painter.paint(terminal, &status);
    }
    let mut turn = 0;
    let mut pixels = 0;
    let paint = best(|| {
        turn ^= 1;
        let rects = painter.paint(terminals[turn], &status);
        pixels = rects.iter().map(|rect| (rect.width * rect.height) as usize).sum();
    });
    let source = painter.pixels()[..pixels * 4].to_vec();
    let mut target = vec![0; source.len()];
    let copy = best(|| target.copy_from_slice(black_box(&source)));
    let ratio = (pixels > 0).then(|| copy.as_secs_f64() / paint.as_secs_f64());
    print(
        &format!("text head 80x25, {name}"),
        paint.as_secs_f64() * 1e3,
        "ms",
        ratio,
    );
}

/// How fast a guest's text is taken.
fn emulate() {
    let text: String = (0..20_000)
        .map(|line| format!("[{line:5}.000] \x1b[32mok\x1b[0m a line of a boot log, {line}\r\n"))
        .collect();
    let mut terminal = Terminal::new(Grid::USUAL);
    let took = best(|| terminal.feed(text.as_bytes()));
    print(
        "text head: a boot log",
        text.len() as f64 / took.as_secs_f64() / 1e6,
        "MB/s",
        None,
    );
}

/// Every cell of the grid has a letter and a colour.
fn filled(grid: Grid, from: char) -> Terminal {
    let mut terminal = Terminal::new(grid);
    for row in 0..grid.rows() {
        for column in 0..grid.columns() {
            let letter = char::from(from as u8 + ((row + column) % 26) as u8);
            let color = 31 + (row + column) % 7;
            terminal.feed(format!("\x1b[{};{}H\x1b[{color}m{letter}", row + 1, column + 1).as_bytes());
        }
    }
    terminal
}

/// The fastest run in half a second.
fn best(mut run: impl FnMut()) -> Duration {
    let started = Instant::now();
    let mut fastest = Duration::MAX;
    while started.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        run();
        fastest = fastest.min(start.elapsed());
    }
    fastest
}

fn print(name: &str, figure: f64, unit: &str, ratio: Option<f64>) {
    let peer = ratio.map_or("null", |_| "\"memcpy of the pixels\"");
    let ratio = ratio.map_or("null".to_owned(), |ratio| ratio.to_string());
    println!(
        "{{\"row\":{name:?},\"figure\":{figure},\"unit\":{unit:?},\"peer\":{peer},\"ratio\":{ratio},\"goal\":null,\"holds\":null}}"
    );
}
