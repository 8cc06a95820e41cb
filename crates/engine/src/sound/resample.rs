//! From one clock to another: a windowed sinc in phases, exact for the usual pairs of rates. Two channels, as it comes,
//! with a delay of 16 frames at most of the slower side.

/// Two channels from one rate to another.
#[derive(Debug)]
pub struct Resampler {
    from: u32,
    to: u32,
    /// `phases` rows of `taps` weights.
    weights: Vec<f32>,
    taps: usize,
    phases: u64,
    /// Input that is still needed, left and right by turns.
    waiting: Vec<i16>,
    /// Where the next frame starts in `waiting`, in parts of a frame: `to` parts make one.
    position: u64,
}

impl Resampler {
    /// Both rates are in frames per second and not 0.
    pub fn new(from: u32, to: u32) -> Self {
        let (from, to) = (from.max(1), to.max(1));
        let phases = (to / gcd(from, to)).min(MOST_PHASES);
        // Below the slower side's limit, with room for the slope.
        let cutoff = 0.92 * f64::min(1.0, f64::from(to) / f64::from(from));
        let taps = ((2.0 * HALF_WIDTH / cutoff).ceil() as usize).next_multiple_of(4);
        let mut weights = Vec::with_capacity(phases as usize * taps);
        for phase in 0..phases {
            weights.extend(row(f64::from(phase) / f64::from(phases), taps, cutoff));
        }
        Self {
            from,
            to,
            weights,
            taps,
            phases: phases.into(),
            waiting: vec![0; taps / 2 * 2],
            position: 0,
        }
    }

    /// Frames per second of the input.
    pub fn from(&self) -> u32 {
        self.from
    }

    /// Frames per second of the output.
    pub fn to(&self) -> u32 {
        self.to
    }

    /// Appends what `samples` become.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.waiting.extend_from_slice(samples);
        let (step, parts) = (u64::from(self.from), u64::from(self.to));
        let frames = self.waiting.len() / 2;
        loop {
            let start = (self.position / parts) as usize;
            if start + self.taps > frames {
                break;
            }
            let phase = (self.position % parts) * self.phases / parts;
            let row = &self.weights[phase as usize * self.taps..][..self.taps];
            let input = &self.waiting[start * 2..][..self.taps * 2];
            let (mut left, mut right) = (0.0, 0.0);
            for (weight, frame) in row.iter().zip(input.as_chunks::<2>().0) {
                left += weight * f32::from(frame[0]);
                right += weight * f32::from(frame[1]);
            }
            // A float that is too large becomes the limit.
            out.extend([left.round() as i16, right.round() as i16]);
            self.position += step;
        }
        let used = ((self.position / parts) as usize).min(frames);
        self.waiting.drain(..used * 2);
        self.position -= used as u64 * parts;
    }
}

/// Weights of the frames around a place that lies `fraction` behind the middle one; they sum to 1.
fn row(fraction: f64, taps: usize, cutoff: f64) -> impl Iterator<Item = f32> {
    let middle = (taps / 2) as f64;
    let weight = move |tap: usize| {
        let distance = tap as f64 - middle - fraction;
        let angle = std::f64::consts::PI * distance * cutoff;
        let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
        // Blackman's window.
        let place = std::f64::consts::PI * (distance / (middle + 1.0)).clamp(-1.0, 1.0);
        sinc * (0.42 + 0.5 * place.cos() + 0.08 * (2.0 * place).cos())
    };
    let sum: f64 = (0..taps).map(weight).sum();
    (0..taps).map(move |tap| (weight(tap) / sum) as f32)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Zero crossings on each side.
const HALF_WIDTH: f64 = 14.0;
/// Odd pairs of rates are rounded to so many places between two frames.
const MOST_PHASES: u32 = 512;
