//! Every pixel format, converted by pixman itself on the other side, seen by a client without any loss.

use super::stage::{Machine, SIZE, Stage, shows};
use crate::e2e::report::{Case, Suite};
use anyhow::Result;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("eight pixel formats", formats);
}

const FORMATS: [&str; 8] = [
    "r8g8b8a8", "r8g8b8x8", "a8r8g8b8", "x8r8g8b8", "r8g8b8", "b8g8r8", "r5g6b5", "x1r5g5b5",
];
/// A width whose rows of three or two bytes per pixel are no multiple of four bytes.
const ODD: (usize, usize) = (637, 411);

fn formats(case: &Case) -> Result<String> {
    let stage = Stage::start(case, "")?;
    let mut machine = Machine::start(case, &stage, 1, 0, "")?;
    let first = machine.show(case, "x8r8g8b8", SIZE, 0)?;
    let mut client = stage.viewer(case, "client", &machine.uuid, &["/gfx"])?;
    shows(case, &mut client, "the first picture", &first)?;
    let mut seed = 0;
    for format in FORMATS {
        for size in [SIZE, ODD] {
            seed += 1;
            let expected = machine.show(case, format, size, seed)?;
            shows(case, &mut client, &format!("{format} of {size:?}"), &expected)?;
        }
        let expected = machine.fill(case, (33, 17, 301, 99), 0x12_34_56)?;
        shows(case, &mut client, &format!("a box of {format}"), &expected)?;
    }
    Ok("two sizes and an update each, no pixel differs".to_owned())
}
