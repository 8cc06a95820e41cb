//! RemoteFX tiles: colour conversion, wavelet transform, quantisation, RLGR1 ([MS-RDPRFX] 3.1.8.1).
//! The kernels are in `pixel`; here they meet the scratch memory of a thread.

use std::cell::RefCell;
use std::sync::Arc;

use rdpmux_model::RfxQuant;
use rdpmux_pixel::color::Planes;
use rdpmux_pixel::dwt::Coefficients;
pub use rdpmux_pixel::dwt::Rounding;
use rdpmux_pixel::{Level, Rows, color, dwt, rlgr};

#[derive(Default)]
struct Scratch {
    planes: Planes,
    coefficients: Coefficients,
    stream: Vec<u8>,
}

/// Encodes Y, Cb and Cr of a tile of 1 to 64 columns and rows; beyond them the last ones are repeated. Values are rounded
/// to the nearest step, as text wants it.
///
/// # Panics
/// If an edge is not within `1..=64` or `rows` is shorter than it says.
pub fn encode(rows: Rows<'_>, width: usize, height: usize, quant: &RfxQuant) -> [Arc<[u8]>; 3] {
    encode_rounded(rows, width, height, quant, Rounding::Nearest)
}

/// As [`encode`]; [`Rounding::TowardsZero`] is for photographs.
///
/// # Panics
/// If an edge is not within `1..=64` or `rows` is shorter than it says.
pub fn encode_rounded(
    rows: Rows<'_>,
    width: usize,
    height: usize,
    quant: &RfxQuant,
    rounding: Rounding,
) -> [Arc<[u8]>; 3] {
    thread_local! {
        static SCRATCH: RefCell<Box<Scratch>> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| encode_with(scratch, rows, width, height, (quant, rounding)))
}

fn encode_with(
    scratch: &mut Scratch,
    rows: Rows<'_>,
    width: usize,
    height: usize,
    (quant, rounding): (&RfxQuant, Rounding),
) -> [Arc<[u8]>; 3] {
    let level = Level::best();
    color::convert(level, rows, width, height, &mut scratch.planes);
    scratch.planes.0.each_ref().map(|plane| {
        dwt::transform(level, plane, quant, rounding, &mut scratch.coefficients);
        scratch.stream.clear();
        rlgr::encode(level, &scratch.coefficients, &mut scratch.stream);
        scratch.stream.as_slice().into()
    })
}
