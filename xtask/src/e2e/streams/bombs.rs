//! A machine whose serial port says escape sequences that never end, as fast as they are taken: its port stays a desktop, the
//! port beside it answers, and the daemon does not grow.

use super::heads::{picture, size, status};
use super::{GRANTS, Shop, said};
use crate::e2e::client::Kind;
use crate::e2e::picture::Picture;
use crate::e2e::process::Process;
use crate::e2e::qemu::{configure, serve, viewer};
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

/// Adds the case of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("escape sequences without end, as fast as they are taken", flooded);
}

/// Bytes of the flood.
const FLOOD: usize = 512 << 20;
/// By which the daemon may grow: histories, the screens of a viewer, and what the allocator keeps.
const GROWTH: u64 = 64 << 20;
/// Answers of the port beside it while it is flooded.
const ANSWERS: usize = 5;
/// Ends whatever sequence is open, and clears the screen.
const END: &str = "\x18\x1b\\\x1bcit is over\r\n";

fn flooded(case: &Case) -> Result<String> {
    let shop = Shop::new(case);
    let places = [case.sockets.path().join("wild"), case.sockets.path().join("calm")];
    let more = format!(
        "admin_socket = {:?}\n{GRANTS}\n[[vm]]\nname = \"web1\"\nstreams = [\"serial0=listen:{}\", \"serial1=listen:{}\"]\n",
        shop.socket,
        places[0].display(),
        places[1].display()
    );
    let config = configure(case, &more)?;
    let daemon = serve(case, &config, &[])?;
    let [mut wild, mut calm] = [dial(&places[0])?, dial(&places[1])?];
    daemon.wait_for_desktop("web1/serial0")?;
    wild.write_all(END.as_bytes())?;
    let mut alice = viewer(case, "alice", &daemon, "alice#web1/serial0", Kind::FreeRdp3, &["/gfx"])?;
    let wanted = picture(END, &status("web1/serial0", ""));
    let shows_the_end = |seen: &Picture| above_the_status(seen) == above_the_status(&wanted);
    let mut shows = |limit| alice.wait_for(&case.folder, limit, "shows the last line", size(), shows_the_end);
    shows(wait::seconds(30))?;
    let watcher = shop.console("calm", &["--follow"])?;
    answers(&mut calm, &watcher, 0)?;
    let before = daemon.process.memory()?;
    let rate = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&mut wild));
        for turn in 1..=ANSWERS {
            answers(&mut calm, &watcher, turn)?;
        }
        flood.join().map_err(|_| anyhow::anyhow!("the flood panicked"))?
    })?;
    answers(&mut calm, &watcher, ANSWERS + 1)?;
    shows(wait::seconds(60))?.save(&case.folder.join("after.png"))?;
    let grown = daemon.process.memory()?.saturating_sub(before);
    ensure!(grown <= GROWTH, "the daemon grew by {} MiB", grown >> 20);
    let history = shop.run(&["console", "web1", "--history"], "")?.stdout;
    ensure!(
        history.ends_with(END.as_bytes()),
        "the history ends with something else"
    );
    Ok(format!(
        "{} MiB of escapes at {rate:.0} MB/s, daemon +{} MiB; the port beside it answered, and the viewer is there",
        FLOOD >> 20,
        grown >> 20
    ))
}

/// The machine's end of a port; what it is told is read and forgotten.
fn dial(place: &Path) -> Result<UnixStream> {
    let line = wait::until(wait::seconds(30), "the daemon listens for the port", || {
        Ok(UnixStream::connect(place).ok())
    })?;
    let mut told = line.try_clone()?;
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(1..) = told.read(&mut bytes) {}
    });
    Ok(line)
}

fn answers(line: &mut UnixStream, watcher: &Process, turn: usize) -> Result<()> {
    let text = format!("answer {turn} of the calm one\r\n");
    line.write_all(text.as_bytes())?;
    said(watcher, &text)
}

/// In MB/s.
fn flood(line: &mut UnixStream) -> Result<f64> {
    let bombs = bombs();
    let started = Instant::now();
    let mut written = 0;
    while written < FLOOD {
        line.write_all(&bombs).context("the daemon takes no more")?;
        written += bombs.len();
    }
    line.write_all(END.as_bytes())?;
    Ok(written as f64 / 1e6 / started.elapsed().as_secs_f64())
}

/// A little of everything that an emulator could keep, multiply or answer.
fn bombs() -> Vec<u8> {
    let digits = "9".repeat(100_000);
    let parameters = "1;".repeat(50_000);
    let accents = "e\u{301}\u{302}\u{303}".repeat(2_000);
    let questions = "\x1b[6n\x1b[c\x1b[5n".repeat(2_000);
    let screens = "\x1b[?1049h\x1b[2J\x1b[?1049l\x1b[3J".repeat(500);
    let far = "\x1b[2147483647;2147483647H\x1b[2147483647b\x1b[999999999L\x1b[999999999@\x1b[999999999S".repeat(100);
    let open = "A".repeat(1 << 20);
    [
        format!("\x1b[{digits}m\x1b[{parameters}m"),
        accents,
        questions,
        screens,
        far,
        "line after line\r\n".repeat(5_000),
        "\x1b7\x1b[5;10r\x1bM\x1b8\t\x08".repeat(2_000),
        format!("\x1bP{digits}q{open}"),
        format!("\x18\x1b]52;c;{open}"),
        format!("\x18\x1b]0;{open}"),
    ]
    .concat()
    .into_bytes()
}

/// The terminal without its last line, which tells what was lost on the way.
fn above_the_status(picture: &Picture) -> &[u32] {
    let rows = usize::from(rdpmux_terminal::Grid::USUAL.rows());
    let height = picture.height / (rows + 1) * rows;
    &picture.pixels[..(picture.width * height).min(picture.pixels.len())]
}
