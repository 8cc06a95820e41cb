//! The pointer that the guest defines and the client draws.

use std::sync::Arc;

use crate::Size;

/// What the client's pointer looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PointerShape {
    /// The client's own arrow: the guest has not defined a pointer.
    #[default]
    Default,
    /// No pointer.
    Hidden,
    /// A picture.
    Image(Arc<PointerImage>),
}

/// A pointer picture.
///
/// INVARIANT: both edges are within `1..=MAX_EDGE`, the hot spot is inside, `bgra` holds exactly 4 bytes per pixel.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PointerImage {
    size: Size,
    hot_x: u32,
    hot_y: u32,
    bgra: Box<[u8]>,
}

impl PointerImage {
    /// Largest edge: [MS-RDPBCGR] 2.2.9.1.1.4.6 Large Pointer goes to 384 × 384.
    pub const MAX_EDGE: u32 = 384;

    /// Takes rows of B, G, R, A bytes, top row first, not premultiplied. `None` if the invariant does not hold.
    pub fn new(size: Size, hot_x: u32, hot_y: u32, bgra: Box<[u8]>) -> Option<Self> {
        let edges = (1..=Self::MAX_EDGE).contains(&size.width) && (1..=Self::MAX_EDGE).contains(&size.height);
        let bytes = size.area().checked_mul(4)? == bgra.len() as u64;
        (edges && bytes && hot_x < size.width && hot_y < size.height).then_some(Self {
            size,
            hot_x,
            hot_y,
            bgra,
        })
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Column and row of the pixel that points.
    pub fn hot_spot(&self) -> (u32, u32) {
        (self.hot_x, self.hot_y)
    }

    /// B, G, R, A bytes, top row first.
    pub fn bgra(&self) -> &[u8] {
        &self.bgra
    }
}
