//! The bench's source: shows the pictures of `bench-pictures` as the second serial port commands. `show WORKLOAD` paints
//! the first frame, `go MILLISECONDS` plays; each key press steps on while `echo` is shown. It answers `SHOWN WORKLOAD`,
//! `P n` when frame n is painted (before the card is told) and `END n`. Called by `main` for the scene `bench`.

use crate::boot;
use crate::card::{Card, Frame};
use crate::input::{Devices, Event};
use bench_pictures::{Area, HEIGHT, Painter, STRIDE, WIDTH, Workload};
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::Rectangle;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Commands are looked for so often; input is seen at once.
const LOOK: Duration = Duration::from_millis(40);

struct Stage<'a> {
    card: &'a Card,
    frame: Frame<'a>,
    devices: Devices,
    painter: Option<(Workload, Painter)>,
    n: u16,
    answers: File,
}

/// Serves the bench for ever.
pub fn serve(card: &Card) -> Result<Infallible, String> {
    let (commands, answers) = listen()?;
    let mut screen = card.screen(Some((WIDTH as u16, HEIGHT as u16)))?;
    let frame = screen.map(card)?;
    if frame.canvas.stride() != STRIDE || frame.canvas.height() != HEIGHT as u32 {
        return Err(format!("the screen is not {WIDTH}x{HEIGHT}"));
    }
    let mut stage = Stage {
        card,
        frame,
        devices: Devices::open(),
        painter: None,
        n: 0,
        answers,
    };
    boot::say(&format!("READY {WIDTH}x{HEIGHT}"));
    loop {
        stage.rest();
        while let Ok(line) = commands.try_recv() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["show", name] => match Workload::named(name) {
                    Some(workload) => stage.show(workload),
                    None => stage.say("UNKNOWN workload"),
                },
                ["go", time] => stage.play(Duration::from_millis(time.parse().unwrap_or(1000))),
                _ => stage.say("UNKNOWN command"),
            }
        }
    }
}

impl Stage<'_> {
    fn say(&mut self, line: &str) {
        // Nobody listens: there is nobody to tell that either.
        let _ = self.answers.write_all(format!("{line}\n").as_bytes());
    }

    fn show(&mut self, workload: Workload) {
        if self.painter.as_ref().is_none_or(|(shown, _)| *shown != workload) {
            // The old pictures are freed before the new ones are drawn.
            self.painter = None;
            self.painter = Some((workload, Painter::new(workload)));
        }
        self.n = 0;
        if let Some((_, painter)) = &self.painter {
            painter.full(self.frame.canvas.bytes(), 0);
        }
        self.frame.flush_all(self.card);
        self.say(&format!("SHOWN {}", workload.name()));
    }

    /// Waits for a while; key presses step on if they are what moves the picture.
    fn rest(&mut self) {
        self.listen(LOOK);
    }

    fn listen(&mut self, wait: Duration) {
        for event in self.devices.wait(wait) {
            let is_echo = matches!(self.painter, Some((Workload::Echo | Workload::Busy, _)));
            if is_echo && matches!(event, Event::Key { value: 1, code } if code < crate::FIRST_BUTTON) {
                self.step();
            }
        }
    }

    fn play(&mut self, time: Duration) {
        let Some((workload, _)) = self.painter else { return };
        let period = Duration::from_secs(1) / workload.frames_per_second().max(1);
        let started = Instant::now();
        let mut next = started;
        let mut late = Duration::ZERO;
        let mut film = 0_u16;
        while next.duration_since(started) < time {
            next += period;
            if workload == Workload::Busy {
                while Instant::now() < next {
                    self.listen(next.saturating_duration_since(Instant::now()));
                }
                film = film.wrapping_add(1);
                self.film(film);
                continue;
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            late = late.max(next.elapsed());
            self.step();
        }
        self.say(&format!("END {} {}", self.n, late.as_millis()));
    }

    fn film(&mut self, n: u16) {
        let Some((_, painter)) = &self.painter else { return };
        let area = painter.film(self.frame.canvas.bytes(), n);
        self.flush(area);
    }

    fn flush(&mut self, Area { x, y, width, height }: Area) {
        let area = Rectangle::new(Point::new(x as i32, y as i32), Size::new(width as u32, height as u32));
        self.frame.flush(self.card, area);
    }

    fn step(&mut self) {
        self.n = self.n.wrapping_add(1);
        let Some((_, painter)) = &self.painter else { return };
        let area = painter.step(self.frame.canvas.bytes(), self.n);
        self.say(&format!("P {}", self.n));
        self.flush(area);
    }
}

/// The commands, read by a thread of their own; the port must not echo them.
fn listen() -> Result<(Receiver<String>, File), String> {
    let open = File::options().read(true).write(true).open("/dev/ttyS1");
    let port = open.map_err(|error| format!("no second serial port: {error}"))?;
    let mut modes = tcgetattr(&port).map_err(|error| format!("serial port: {error}"))?;
    modes.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&port, OptionalActions::Now, &modes).map_err(|error| format!("serial port: {error}"))?;
    let answers = port.try_clone().map_err(|error| format!("serial port: {error}"))?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || read(port, &sender));
    Ok((receiver, answers))
}

fn read(port: File, sender: &Sender<String>) {
    for line in BufReader::new(port).lines().map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
        }
    }
}
