//! What is looked at: a QEMU whose guest paints the bench's pictures. The guest is told what to paint, and tells when it
//! has painted, through its second serial port; those moments are the start of every latency. One clock: ours.

use crate::e2e::picture::Picture;
use crate::e2e::process::Process;
use crate::e2e::report::Case;
use crate::e2e::vm::{self, Guest, Qemu};
use crate::e2e::wait;
use anyhow::{Context, Result, bail};
use bench_pictures::{HEIGHT, Painter, STRIDE, Workload};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A running source.
pub struct Source {
    /// Their threads count as the server's, but for the guest's processors.
    pub process: Process,
    commands: UnixStream,
    told: Arc<Mutex<Told>>,
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
            process,
            commands,
            told,
        })
    }

    /// Shows frame 0 of `workload`.
    ///
    /// # Errors
    /// When the guest is gone, or does not within a minute.
    pub fn show(&mut self, workload: Workload) -> Result<()> {
        *self.told() = Told::default();
        writeln!(self.commands, "show {}", workload.name())?;
        wait::for_true(wait::seconds(60), "the guest shows a workload", || {
            self.process.check()?;
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
        writeln!(self.commands, "go {}", time.as_millis()).context("cannot command the guest")
    }

    /// Waits until it has played.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn played(&mut self, limit: Duration) -> Result<Played> {
        wait::until(limit, "the guest has played", || {
            self.process.check()?;
            let told = self.told();
            Ok(told.ended.map(|(last, late_ms)| Played {
                last,
                painted: told.painted.clone(),
                late_ms,
            }))
        })
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the source shows at frame `n`.
pub fn picture(workload: Workload, n: u16) -> Picture {
    let mut bytes = vec![0; STRIDE * HEIGHT];
    Painter::new(workload).full(&mut bytes, n);
    super::screen::picture(&bytes)
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
