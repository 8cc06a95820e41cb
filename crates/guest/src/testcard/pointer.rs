//! Pointer pictures of the test card: one of each kind that a client must be able to show.

use std::sync::Arc;

use rdpmux_model::{PointerImage, PointerShape, Size};

/// Which pointer the test card defines; F4 goes through them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pointer {
    /// 32 × 32 with a soft edge.
    #[default]
    Custom,
    /// 96 × 96, beyond what a classic pointer update carries.
    Large,
    /// None.
    Hidden,
    /// The client's arrow.
    Default,
}

impl Pointer {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Custom => Self::Large,
            Self::Large => Self::Hidden,
            Self::Hidden => Self::Default,
            Self::Default => Self::Custom,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Custom => "custom 32x32",
            Self::Large => "large 96x96",
            Self::Hidden => "hidden",
            Self::Default => "default",
        }
    }
}

/// The shape as it is told to clients.
pub(super) fn shape(pointer: Pointer) -> PointerShape {
    match pointer {
        Pointer::Custom => image(32, [0xF0, 0x7A, 0x1E]),
        Pointer::Large => image(96, [0x1E, 0x5A, 0xE8]),
        Pointer::Hidden => PointerShape::Hidden,
        Pointer::Default => PointerShape::Default,
    }
}

/// An arrow of `edge` pixels, its tip at (0, 0), filled with a B, G, R colour inside a white rim and a soft shadow.
fn image(edge: u32, fill: [u8; 3]) -> PointerShape {
    let mut bgra = Vec::with_capacity((edge * edge * 4) as usize);
    let rim = f64::from(edge) / 16.0;
    for y in 0..edge {
        for x in 0..edge {
            let inside = arrow_distance(f64::from(x) + 0.5, f64::from(y) + 0.5, f64::from(edge));
            let [b, g, r] = if inside > rim { fill } else { [0xFF; 3] };
            let dark = ((inside + rim / 2.0) / (rim / 2.0)).clamp(0.0, 1.0);
            let alpha = if inside >= 0.0 { 255.0 } else { dark * 150.0 };
            let shade = |c: u8| if inside >= 0.0 { c } else { 0x20 };
            bgra.extend([shade(b), shade(g), shade(r), alpha as u8]);
        }
    }
    let image = PointerImage::new(Size::new(edge, edge), 0, 0, bgra.into());
    PointerShape::Image(Arc::new(
        image.expect("edge is 32 or 96 and the buffer has 4 bytes per pixel"),
    ))
}

/// How far (x, y) is inside the arrow's edges, in pixels; negative outside.
fn arrow_distance(x: f64, y: f64, edge: f64) -> f64 {
    // A kite with its tip at the origin: above the line to the left wing, below the line to the right one, and cut
    // off by the two lines that meet in its tail.
    let (cos, sin) = (0.951, 0.309);
    let upper = y * cos - x * sin;
    let lower = x * cos - y * sin;
    let tail = (0.92 * edge - (x + y)) * std::f64::consts::FRAC_1_SQRT_2;
    upper.min(lower).min(tail) - 0.3
}
