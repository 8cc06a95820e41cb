//! How roughly, and how much at once, to send to one client. Pictures go a step rougher when frames are too large for the
//! link several times in a row, and a step finer after a second with room to spare; what rests becomes exact at any step.
//! The size of a frame is cut by what its pixels cost lately. Pure: time comes in.

use std::time::{Duration, Instant};

use rdpmux_model::RfxQuant;

use crate::Profile;
use crate::job::TILE_BYTES;

/// Picks the quantiser and the size of frames for one client.
#[derive(Debug)]
pub struct Quality {
    step: usize,
    /// Encoded bytes per raw byte: follows a dearer frame at once and a cheaper one slowly.
    cost: f64,
    too_large: u32,
    roomy_since: Option<Instant>,
}

/// From the customary quantiser on, each about a third smaller than the one before.
const STEPS: [RfxQuant; 4] = [
    RfxQuant([6, 6, 6, 6, 7, 7, 8, 8, 8, 9]),
    RfxQuant([6, 7, 7, 7, 8, 8, 9, 9, 9, 10]),
    RfxQuant([7, 8, 8, 8, 9, 9, 10, 10, 10, 11]),
    RfxQuant([7, 9, 9, 9, 10, 10, 11, 11, 11, 12]),
];
/// Frames in a row that are too large before a step down.
const PATIENCE: u32 = 3;
/// Room to spare for so long before a step up.
const ROOMY: Duration = Duration::from_secs(1);
/// A frame should take the link no longer.
const FRAME_TIME: Duration = Duration::from_millis(30);
/// A frame may take the link so long before it is cut into several: a cut frame is torn.
const LONGEST_FRAME: Duration = Duration::from_millis(200);
/// What pixels cost before anything was sent, and the least that is counted on.
const FIRST_COST: f64 = 0.1;
const LEAST_COST: f64 = 0.005;
/// What pixels of a photograph cost in their exact form.
const EXACT_COST: f64 = 0.8;
/// Raw bytes of a frame before the link was measured (a full HD screen), and at least.
const FIRST_BUDGET: usize = 8 << 20;
const LEAST_BUDGET: usize = 256 << 10;

impl Default for Quality {
    fn default() -> Self {
        Self {
            step: 0,
            cost: FIRST_COST,
            too_large: 0,
            roomy_since: None,
        }
    }
}

impl Quality {
    /// The quantiser now.
    pub fn quant(&self) -> RfxQuant {
        STEPS[self.step]
    }

    /// Whether pictures are rougher than they would be on a fast link.
    pub fn is_reduced(&self) -> bool {
        self.step > 0
    }

    /// Most raw bytes of the next frame, for a link of so many bytes per second.
    pub fn budget(&self, bytes_per_second: Option<u64>) -> usize {
        let Some(rate) = bytes_per_second else {
            return FIRST_BUDGET;
        };
        let raw = rate as f64 * LONGEST_FRAME.as_secs_f64() / self.cost;
        (raw as usize).clamp(LEAST_BUDGET, Profile::BYTE_BUDGET)
    }

    /// Most raw bytes of the next refinement: exact pictures are dear, and a change must not wait long behind one.
    pub fn refinement_budget(&self, bytes_per_second: Option<u64>) -> usize {
        let carried = bytes_per_second.map_or(0.0, |rate| rate as f64 * FRAME_TIME.as_secs_f64());
        (carried / EXACT_COST) as usize
    }

    /// A frame for which `raw` bytes of pixels were coded, no refinement, became `bytes` on a link of so many bytes per second, as far as that is known.
    pub fn note(&mut self, now: Instant, raw: usize, bytes: usize, bytes_per_second: Option<u64>) {
        // Of a small change most bytes are its frame's.
        let cost = (bytes as f64 / raw.max(TILE_BYTES) as f64).clamp(LEAST_COST, 1.0);
        self.cost = if cost > self.cost {
            cost
        } else {
            self.cost * 0.9 + cost * 0.1
        };
        let Some(rate) = bytes_per_second else { return };
        let carried = (rate as f64 * FRAME_TIME.as_secs_f64()) as usize;
        if bytes > carried {
            self.roomy_since = None;
            self.too_large += 1;
            if self.too_large >= PATIENCE {
                self.too_large = 0;
                self.step = (self.step + 1).min(STEPS.len() - 1);
            }
            return;
        }
        self.too_large = 0;
        if bytes * 2 > carried {
            self.roomy_since = None;
            return;
        }
        let since = *self.roomy_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= ROOMY {
            self.roomy_since = Some(now);
            self.step = self.step.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries 1000 bytes in [`FRAME_TIME`].
    const RATE: Option<u64> = Some(33_334);

    #[test]
    fn large_frames_in_a_row_make_it_rougher_and_a_calm_second_finer() {
        let (mut quality, start) = (Quality::default(), Instant::now());
        let finest = quality.quant();
        let at = |ms| start + Duration::from_millis(ms);
        for ms in [0, 10, 20] {
            assert_eq!(quality.quant(), finest);
            quality.note(at(ms), 9_000, 2_000, RATE);
        }
        assert_eq!(quality.quant(), STEPS[1]);
        for frame in 0..100 {
            quality.note(at(30), 9_000, if frame % 3 == 2 { 1_000 } else { 1_001 }, RATE);
        }
        assert_eq!(quality.quant(), STEPS[1], "two of three are not in a row");
        quality.note(at(40), 9_000, 100, RATE);
        quality.note(at(1_030), 9_000, 100, RATE);
        assert_eq!(quality.quant(), STEPS[1]);
        quality.note(at(1_041), 9_000, 100, RATE);
        assert_eq!(quality.quant(), finest);
    }

    #[test]
    fn it_stays_within_its_steps_and_waits_for_a_measure() {
        let (mut quality, now) = (Quality::default(), Instant::now());
        (0..50).for_each(|_| quality.note(now, 0, usize::MAX / 2, None));
        assert_eq!(quality.quant(), STEPS[0]);
        (0..50).for_each(|_| quality.note(now, 9, 9, Some(0)));
        assert_eq!(quality.quant(), STEPS[3]);
    }

    #[test]
    fn a_frame_is_cut_where_its_pixels_are_dear_and_the_link_is_narrow() {
        let (mut quality, now) = (Quality::default(), Instant::now());
        let narrow = Some(250_000);
        assert_eq!(quality.budget(None), FIRST_BUDGET);
        for _ in 0..60 {
            quality.note(now, 1_000_000, 2_000, narrow);
        }
        assert!(quality.budget(narrow) > 8_000_000, "text scrolls in one piece");
        quality.note(now, 1_000_000, 100_000, narrow);
        assert!(quality.budget(narrow) <= 500_000, "a video does not");
        assert_eq!(quality.budget(Some(u64::MAX)), Profile::BYTE_BUDGET);
        assert_eq!(quality.refinement_budget(narrow), 9_375);
        assert_eq!(quality.refinement_budget(None), 0, "one tile");
    }
}
