//! What benches and graphics cases look at: a QEMU whose guest paints the bench's pictures, or an X server with the same ones. The guest is told
//! what to paint, and tells when it has painted, through its second serial port; those moments are the start of every
//! latency. One clock: ours.

use super::display::Display;
use super::picture::Picture;
use super::process::Process;
use super::report::Case;
use super::vm::{self, Guest, Qemu};
use super::wait;
use super::x11::Canvas;
use anyhow::{Context, Result, bail};
use bench_pictures::{Area, HEIGHT, Painter, STRIDE, WIDTH, Workload};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A running source.
pub struct Source {
    /// What of it counts as the server's: QEMU, but for the guest's processors.
    pub serving: Option<Process>,
    // Dropped before the screen: the painter ends first.
    commands: Commands,
    /// Screen of an X source.
    display: Option<Display>,
    told: Arc<Mutex<Told>>,
}

enum Commands {
    /// To the guest's serial port.
    Port(UnixStream),
    /// To our own thread that paints on an X server.
    Thread(Sender<Order>),
}

#[derive(Clone, Copy)]
enum Order {
    Show(Workload),
    Play(Duration),
}

/// What the guest has said since the last command.
#[derive(Default)]
struct Told {
    painted: HashMap<u16, Instant>,
    shown: Option<String>,
    ended: Option<(u16, u32)>,
}

/// A source that has played.
pub struct Played {
    /// Number of the last frame.
    pub last: u16,
    /// When each frame was painted.
    pub painted: HashMap<u16, Instant>,
    /// By how much the source itself was late at worst, ms.
    pub late_ms: u32,
}

impl Source {
    /// Starts QEMU with `display` words, wrapped by `wrap` (a namespace), and waits until the guest is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(case: &Case, name: &str, display: &[String], wrap: impl Fn(&Command) -> Command) -> Result<Self> {
        let mut command = vm::command(case, name, Qemu::V10, &Guest::Kms("rdpmux.scene=bench"))?;
        let port = case.sockets.path().join(format!("{name}.port"));
        command
            .arg("-serial")
            .arg(format!("unix:{},server=on,wait=off", port.display()));
        command.args(["-m", "512"]).args(display);
        let mut process = Process::start(&wrap(&command), &case.folder.join(format!("{name}.qemu.log")), "")?;
        let commands = wait::until(wait::seconds(20), "QEMU's second serial port", || {
            process.check()?;
            Ok(UnixStream::connect(&port).ok())
        })?;
        let log = vm::serial(&case.folder, name);
        wait::for_true(wait::seconds(90), "the guest is ready", || {
            process.check()?;
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            match text.lines().find(|line| line.starts_with("FAILED")) {
                Some(line) => bail!("the guest {line}"),
                None => Ok(text.contains("READY")),
            }
        })?;
        let told = Arc::new(Mutex::new(Told::default()));
        let (reader, into) = (commands.try_clone()?, Arc::clone(&told));
        std::thread::spawn(move || listen(reader, &into));
        Ok(Self {
            serving: Some(process),
            display: None,
            commands: Commands::Port(commands),
            told,
        })
    }

    /// Starts an X server that shows the same pictures, for servers that show nothing else.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_x(case: &Case) -> Result<Self> {
        let display = Display::start_sized(&case.folder, "source", (WIDTH, HEIGHT))?;
        let canvas = Canvas::on(display.name())?;
        let told = Arc::new(Mutex::new(Told::default()));
        let (sender, orders) = channel();
        let into = Arc::clone(&told);
        std::thread::spawn(move || {
            // An error is the end of the screen; who waits for a picture says so.
            let _ = paint(&canvas, &orders, &into);
        });
        Ok(Self {
            serving: None,
            display: Some(display),
            commands: Commands::Thread(sender),
            told,
        })
    }

    /// The X server's name.
    ///
    /// # Errors
    /// When the source is a guest.
    pub fn display(&self) -> Result<&str> {
        Ok(self.display.as_ref().context("a guest has no X server")?.name())
    }

    /// Shows frame 0 of `workload`.
    ///
    /// # Errors
    /// When the guest is gone, or does not within a minute.
    pub fn show(&mut self, workload: Workload) -> Result<()> {
        *self.told() = Told::default();
        self.order(Order::Show(workload))?;
        wait::for_true(wait::seconds(60), "the source shows a workload", || {
            self.check()?;
            Ok(self.told().shown.as_deref() == Some(workload.name()))
        })?;
        self.told().painted.clear();
        Ok(())
    }

    /// Plays what is shown for `time`; returns at once.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn play(&mut self, time: Duration) -> Result<()> {
        self.told().ended = None;
        self.order(Order::Play(time))
    }

    /// Waits until it has played.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn played(&mut self, limit: Duration) -> Result<Played> {
        wait::until(limit, "the source has played", || {
            self.check()?;
            let told = self.told();
            Ok(told.ended.map(|(last, late_ms)| Played {
                last,
                painted: told.painted.clone(),
                late_ms,
            }))
        })
    }

    /// When frame `n` was painted.
    pub fn painted(&self, n: u16) -> Option<Instant> {
        self.told().painted.get(&n).copied()
    }

    fn order(&mut self, order: Order) -> Result<()> {
        match &mut self.commands {
            Commands::Thread(sender) => sender.send(order).context("the painter has ended"),
            Commands::Port(port) => match order {
                Order::Show(workload) => writeln!(port, "show {}", workload.name()),
                Order::Play(time) => writeln!(port, "go {}", time.as_millis()),
            }
            .context("cannot command the guest"),
        }
    }

    fn check(&mut self) -> Result<()> {
        self.serving.as_mut().map_or(Ok(()), Process::check)
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys of an X source are looked for so often.
const KEY_LOOK: Duration = Duration::from_millis(1);

/// What the source shows at frame `n`.
pub fn picture(workload: Workload, n: u16) -> Picture {
    let mut bytes = vec![0; STRIDE * HEIGHT];
    Painter::new(workload).full(&mut bytes, n);
    super::screen::picture(&bytes)
}

/// Does on an X server what the guest's program does on its screen.
fn paint(canvas: &Canvas, orders: &Receiver<Order>, told: &Mutex<Told>) -> Result<()> {
    let told = || told.lock().unwrap_or_else(PoisonError::into_inner);
    let all = Area {
        x: 0,
        y: 0,
        width: WIDTH,
        height: HEIGHT,
    };
    let mut picture = vec![0; STRIDE * HEIGHT];
    let mut shown: Option<(Workload, Painter)> = None;
    let mut n = 0_u16;
    loop {
        let order = match orders.recv_timeout(KEY_LOOK) {
            Ok(order) => order,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                let pressed = canvas.keys()?;
                if let Some((Workload::Echo, painter)) = &shown
                    && pressed > 0
                {
                    n = n.wrapping_add(1);
                    let area = painter.step(&mut picture, n);
                    canvas.show(&picture, area)?;
                    told().painted.insert(n, Instant::now());
                }
                continue;
            }
        };
        match (order, &shown) {
            (Order::Show(workload), _) => {
                let painter = Painter::new(workload);
                painter.full(&mut picture, 0);
                canvas.show(&picture, all)?;
                canvas.keys()?;
                (shown, n) = (Some((workload, painter)), 0);
                told().shown = Some(workload.name().to_owned());
            }
            (Order::Play(time), Some((workload, painter))) => {
                let period = Duration::from_secs(1) / workload.frames_per_second().max(1);
                let started = Instant::now();
                let (mut next, mut late) = (started, Duration::ZERO);
                while next - started < time {
                    next += period;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                    late = late.max(next.elapsed());
                    n = n.wrapping_add(1);
                    let area = painter.step(&mut picture, n);
                    canvas.show(&picture, area)?;
                    told().painted.insert(n, Instant::now());
                }
                told().ended = Some((n, u32::try_from(late.as_millis()).unwrap_or(u32::MAX)));
            }
            (Order::Play(_), None) => {}
        }
    }
}

fn listen(stream: UnixStream, told: &Mutex<Told>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let now = Instant::now();
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["P", n] => {
                if let Ok(n) = n.parse() {
                    told.painted.entry(n).or_insert(now);
                }
            }
            ["SHOWN", name] => told.shown = Some(name.to_owned()),
            ["END", n, late] => told.ended = n.parse().ok().zip(late.parse().ok()),
            _ => {}
        }
    }
}
