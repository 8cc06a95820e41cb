//! One row of the table, and how times are taken.
#![expect(clippy::print_stdout, reason = "the rows are the product")]

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// What is measured of one encoder on one screen: speed, size, and truth if it is lossy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Seconds of one core for the whole screen.
    pub seconds: f64,
    /// Bytes of the whole screen.
    pub bytes: usize,
    /// Peak signal to noise ratio; `None` if exact, or not looked at.
    pub decibels: Option<f64>,
}

/// A figure to be printed.
pub struct Row<'a> {
    name: String,
    figure: f64,
    unit: &'a str,
    peer: Option<(&'a str, f64)>,
    goal: Option<(String, bool)>,
}

impl<'a> Row<'a> {
    /// A figure alone.
    pub fn new(name: impl Into<String>, figure: f64, unit: &'a str) -> Self {
        Self {
            name: name.into(),
            figure,
            unit,
            peer: None,
            goal: None,
        }
    }

    /// Beside a peer; above 1 is better than it.
    pub fn beside(mut self, peer: &'a str, ratio: f64) -> Self {
        self.peer = Some((peer, ratio));
        self
    }

    /// Held against a goal.
    pub fn goal(mut self, goal: impl Into<String>, holds: bool) -> Self {
        self.goal = Some((goal.into(), holds));
        self
    }

    /// Prints it as a line of JSON.
    pub fn print(self) {
        let peer = self.peer.map_or("null".to_owned(), |(peer, _)| format!("{peer:?}"));
        let ratio = self.peer.map_or("null".to_owned(), |(_, ratio)| ratio.to_string());
        let (goal, holds) = self
            .goal
            .map_or(("null".to_owned(), "null".to_owned()), |(goal, holds)| {
                (format!("{goal:?}"), holds.to_string())
            });
        println!(
            "{{\"row\":{:?},\"figure\":{},\"unit\":{:?},\"peer\":{peer},\"ratio\":{ratio},\"goal\":{goal},\"holds\":{holds}}}",
            self.name, self.figure, self.unit
        );
    }
}

/// Million pixels per second.
pub fn speed(pixels: u64, seconds: f64) -> f64 {
    pixels as f64 / seconds / 1e6
}

/// Bits per pixel.
pub fn size(pixels: u64, bytes: usize) -> f64 {
    bytes as f64 * 8.0 / pixels as f64
}

/// Rows for speed and size, and for truth if it is known, each beside a peer that may be missing.
pub fn print(name: &str, pixels: u64, ours: &Figures, peer: Option<(&str, &Figures)>) {
    let rows = [
        Row::new(format!("{name}, speed"), speed(pixels, ours.seconds), "Mpixel/s"),
        Row::new(format!("{name}, size"), size(pixels, ours.bytes), "bit/pixel"),
    ];
    let ratios = |peer: &Figures| [peer.seconds / ours.seconds, peer.bytes as f64 / ours.bytes as f64];
    for (index, row) in rows.into_iter().enumerate() {
        match peer {
            Some((who, figures)) if figures.bytes > 0 || index == 0 => row.beside(who, ratios(figures)[index]).print(),
            _ => row.print(),
        }
    }
    if let Some(decibels) = ours.decibels {
        let row = Row::new(format!("{name}, truth"), decibels, "dB");
        match peer.and_then(|(who, figures)| Some((who, figures.decibels?))) {
            Some((who, theirs)) => row.beside(who, decibels / theirs).print(),
            None => row.print(),
        }
    }
}

/// Seconds of processor time of the fastest of several runs, at least 3 and a quarter of a second of them, and the last
/// result. Time in which others had the core does not count, as it does not for FreeRDP.
pub fn best<T>(mut run: impl FnMut() -> T) -> (f64, T) {
    let started = processor_time();
    let (mut fastest, mut runs) = (f64::INFINITY, 0);
    loop {
        let start = processor_time();
        let result = black_box(run());
        fastest = fastest.min(processor_time() - start);
        runs += 1;
        if runs >= 3 && processor_time() - started > 0.25 {
            return (fastest, result);
        }
    }
}

/// Seconds that this thread has run.
pub fn processor_time() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
