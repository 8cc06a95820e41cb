//! Recordings of the guest's tone, a square wave: which frequency it has and whether any of it is missing. Every wave has
//! to have the same length; a gap or a cut makes one longer or shorter.

use anyhow::{Context, Result, ensure};
use std::path::Path;

/// What was found in a recording.
#[derive(Debug)]
pub struct Tone {
    pub hertz: f64,
    pub seconds: f64,
    /// Waves that are too long or too short.
    pub breaks: usize,
}

impl Tone {
    /// Reads a file of samples of 16 bits, left and right by turns, `rate` times a second. Of several sounds with a tenth
    /// of a second of silence between, the longest counts.
    ///
    /// # Errors
    /// When there is no sound in it.
    pub fn of_file(path: &Path, rate: u32) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("no recording {}", path.display()))?;
        let left = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|frame| i16::from_le_bytes([frame[0], frame[1]]));
        Self::of(longest(&left.collect::<Vec<_>>(), rate as usize / 10), rate)
            .with_context(|| format!("in {}", path.display()))
    }

    fn of(samples: &[i16], rate: u32) -> Result<Self> {
        let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        ensure!(peak > 1_000, "{} samples and none louder than {peak}", samples.len());
        let loud = |sample: &i16| sample.unsigned_abs() > peak / 2;
        let first = samples.iter().position(loud).unwrap_or(0);
        let last = samples.iter().rposition(loud).unwrap_or(0);
        let starts = crossings(&samples[first..=last], i32::from(peak) / 4);
        // The first waves rise from silence, and the last one may be cut.
        let starts = starts.get(10..starts.len().saturating_sub(10)).unwrap_or_default();
        ensure!(starts.len() > 100, "only {} waves", starts.len());
        let lengths = starts.windows(2).map(|pair| pair[1] - pair[0]);
        let mut sorted: Vec<f64> = lengths.clone().collect();
        sorted.sort_by(f64::total_cmp);
        let usual = sorted[sorted.len() / 2];
        let breaks = lengths
            .filter(|length| (length - usual).abs() > usual / 20.0 + 1.0)
            .count();
        let seconds = (starts[starts.len() - 1] - starts[0]) / f64::from(rate);
        Ok(Self {
            hertz: f64::from(rate) / usual,
            seconds,
            breaks,
        })
    }

    /// Whether it is the whole tone and nothing but it.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self, hertz: f64, seconds: f64) -> Result<()> {
        ensure!(
            (self.hertz - hertz).abs() < hertz / 50.0,
            "{self:?} where {hertz} Hz were due"
        );
        ensure!(self.seconds >= seconds, "{self:?} where {seconds} s were due");
        ensure!(self.breaks == 0, "the tone is broken: {self:?}");
        Ok(())
    }
}

/// The longest part without `pause` quiet samples in a row.
fn longest(samples: &[i16], pause: usize) -> &[i16] {
    let is_loud = |sample: &i16| sample.unsigned_abs() > 500;
    let (mut best, mut start, mut last): (&[i16], usize, Option<usize>) = (&[], 0, None);
    for (at, _) in samples.iter().enumerate().filter(|(_, sample)| is_loud(sample)) {
        if last.is_none_or(|last| at - last > pause) {
            start = at;
        }
        last = Some(at);
        if at - start >= best.len() {
            best = &samples[start..=at];
        }
    }
    best
}

/// Where the wave crosses its middle upwards, in samples; it must have been below `-least` and get above `least`.
fn crossings(samples: &[i16], least: i32) -> Vec<f64> {
    let mut found = Vec::new();
    let (mut is_low, mut crossed) = (false, None);
    for (at, pair) in samples.windows(2).enumerate() {
        let (before, after) = (f64::from(pair[0]), f64::from(pair[1]));
        if before < 0.0 && after >= 0.0 {
            crossed = Some(at as f64 + before / (before - after));
        }
        if i32::from(pair[1]) < -least {
            is_low = true;
        } else if i32::from(pair[1]) > least && is_low {
            is_low = false;
            found.extend(crossed);
        }
    }
    found
}
