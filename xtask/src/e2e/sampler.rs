//! Looks at a client's framebuffer a thousand times a second and writes down when each frame was whole there. From that
//! and the source's own moments come frame rate and latency; a few pictures taken on the way give the quality of motion.

use super::picture::{Area, Picture};
use super::screen::Screen;
use super::source::Played;
use bench_pictures::Workload;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// When each frame was whole for the first time.
    pub whole: HashMap<u16, Instant>,
    /// Some pictures and the frame that they claim to be.
    pub pictures: Vec<(u16, Picture)>,
    looks: u32,
    torn: u32,
}

/// How a run went, from source to client.
#[derive(Clone, Debug, Default)]
pub struct Motion {
    pub source_fps: f64,
    pub fps: f64,
    /// Milliseconds from painted to seen.
    pub p50: f64,
    pub p95: f64,
    pub worst: f64,
    /// Share of the looks at which two frames were seen at once.
    pub torn: f64,
    pub frames: usize,
    /// Milliseconds until the last frame was whole; `None`: it never was.
    pub last: Option<f64>,
    /// By how much the source itself was late at worst, ms.
    pub source_late: u32,
}

/// The sampler and those who wait for it share this.
#[derive(Default)]
pub struct Control {
    pub stop: AtomicBool,
    /// The frame that is whole now, plus one; 0 for none.
    pub now: AtomicU32,
}

impl Control {
    /// The frame that is whole at the client.
    pub fn shown(&self) -> Option<u16> {
        let now = self.now.load(Ordering::Acquire);
        now.checked_sub(1).and_then(|n| u16::try_from(n).ok())
    }
}

const STEP: Duration = Duration::from_millis(1);

/// Looks until it is told to stop; takes up to `pictures` pictures, evenly over `time`.
pub fn watch(screen: &Screen, workload: Workload, control: &Control, pictures: usize, time: Duration) -> Seen {
    let mut seen = Seen::default();
    let strips = workload.strips();
    let mut next = Instant::now();
    let started = next;
    let mut last = None;
    while !control.stop.load(Ordering::Relaxed) {
        next = (next + STEP).max(Instant::now().checked_sub(STEP).unwrap_or(next));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let (first, second) = (screen.strip(strips[0]), screen.strip(strips[1]));
        let now = Instant::now();
        seen.looks += 1;
        let Some(n) = first.filter(|_| first == second) else {
            seen.torn += 1;
            continue;
        };
        if last == Some(n) {
            continue;
        }
        last = Some(n);
        seen.whole.entry(n).or_insert(now);
        control.now.store(u32::from(n) + 1, Ordering::Release);
        let due = time.mul_f64((seen.pictures.len() as f64 + 0.5) / pictures.max(1) as f64);
        if n > 0 && seen.pictures.len() < pictures && started.elapsed() > due {
            // Only a picture that did not change while it was read is one frame.
            if let Ok(picture) = screen.picture()
                && screen.whole(strips) == Some(n)
            {
                seen.pictures.push((n, picture));
            }
        }
    }
    seen
}

impl Seen {
    /// Beside what the source played.
    pub fn beside(&self, played: &Played) -> Motion {
        let mut latencies: Vec<f64> = Vec::new();
        for (n, painted) in &played.painted {
            if let Some(whole) = self.whole.get(n) {
                latencies.push(whole.saturating_duration_since(*painted).as_secs_f64() * 1e3);
            }
        }
        latencies.sort_by(f64::total_cmp);
        let first = played.painted.values().min().copied();
        let last = played.painted.values().max().copied();
        let seconds = first
            .zip(last)
            .map_or(0.0, |(first, last)| (last - first).as_secs_f64())
            .max(1e-3);
        let frames = latencies.len();
        let rest = played.painted.get(&played.last).zip(self.whole.get(&played.last));
        Motion {
            source_fps: (played.painted.len().max(1) - 1) as f64 / seconds,
            fps: frames.saturating_sub(1) as f64 / seconds,
            p50: quantile(&latencies, 0.5),
            p95: quantile(&latencies, 0.95),
            worst: quantile(&latencies, 1.0),
            torn: f64::from(self.torn) / f64::from(self.looks.max(1)),
            frames,
            source_late: played.late_ms,
            last: rest.map(|(painted, whole)| whole.saturating_duration_since(*painted).as_secs_f64() * 1e3),
        }
    }

    /// PSNR of the moving part against what the source painted, dB, the middle of the pictures; `None` without any.
    pub fn moving_psnr(&self, workload: Workload) -> Option<f64> {
        let painter = bench_pictures::Painter::new(workload);
        let region = workload.region();
        let area = Area {
            x: region.x,
            y: region.y,
            width: region.width,
            height: region.height,
        };
        let mut bytes = vec![0; bench_pictures::STRIDE * bench_pictures::HEIGHT];
        let mut values: Vec<f64> = Vec::new();
        for (n, picture) in &self.pictures {
            painter.full(&mut bytes, *n);
            let expected = super::screen::picture(&bytes);
            if let (Ok(one), Ok(two)) = (picture.crop(area), expected.crop(area)) {
                values.push(one.psnr(&two));
            }
        }
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then(|| quantile(&values, 0.5))
    }
}

/// The value below which `share` of the sorted values lie; NaN for none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
