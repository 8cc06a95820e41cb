//! Speed, size and truth of kernels and codecs, as one JSON row per line; `cargo xtask bench codec` makes the table of
//! them. Peers do the same work in the same run, so that a machine's own speed cancels out in the ratios.
//!
//! Arguments: a part of the names of the frames to measure. `RDPMUX_FREERDP_CODECS` names the program that has FreeRDP's
//! codecs; without it its rows are left out.

mod figure;
mod floors;
mod lossless;
mod lossy;
mod rendered;
mod screens;
mod whole;

#[allow(dead_code, reason = "some are for the tests only")]
#[path = "../../tests/engine/freerdp.rs"]
mod freerdp;
#[expect(dead_code, reason = "some are for the tests only")]
#[path = "../../tests/engine/painter.rs"]
mod painter;
#[expect(dead_code, reason = "some are for the tests only")]
#[path = "../../tests/engine/pictures.rs"]
mod pictures;

use std::path::PathBuf;

use freerdp::FreeRdp;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let program = std::env::var_os("RDPMUX_FREERDP_CODECS").map(PathBuf::from);
    let mut peer = program.and_then(|path| FreeRdp::start(&path).ok());
    floors::measure();
    screens::each(&wanted, |screen| {
        let remotefx = lossy::measure(screen, &mut peer);
        lossless::measure(screen, &mut peer);
        whole::measure(screen, remotefx.as_ref());
    });
}
