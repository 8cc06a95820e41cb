//! Sizes, points and rectangles in pixels. A rectangle names the space it lives in, so that a guest rectangle cannot be
//! used where a client rectangle is meant.

use core::fmt;
use core::marker::PhantomData;

/// Edge of a tile in pixels. Damage, caches and RemoteFX all count in tiles of `TILE` × `TILE`, aligned to the origin.
pub const TILE: u32 = 64;

/// The guest's frame: origin at the top left pixel of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guest {}

/// One client's desktop as announced to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// The largest edge that any part of rdpmux accepts, in pixels ([MS-RDPBCGR] 2.2.7.1.2 caps a desktop at 8192).
    pub const MAX_EDGE: u32 = 8192;

    /// A size in pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Whether both edges are within `1..=MAX_EDGE`.
    pub const fn is_valid(self) -> bool {
        self.width >= 1 && self.height >= 1 && self.width <= Self::MAX_EDGE && self.height <= Self::MAX_EDGE
    }

    /// Pixels in total.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Tiles per row and per column, the last ones possibly partial.
    pub const fn tiles(self) -> (u32, u32) {
        (self.width.div_ceil(TILE), self.height.div_ceil(TILE))
    }

    /// The rectangle that covers the whole size.
    pub const fn rect<S>(self) -> Rect<S> {
        Rect::new(0, 0, self.width, self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A pixel position in the space `S`.
#[derive(Debug)]
pub struct Point<S> {
    /// Pixels from the left edge.
    pub x: u32,
    /// Pixels from the top edge.
    pub y: u32,
    space: PhantomData<S>,
}

impl<S> Point<S> {
    /// A position in pixels.
    pub const fn new(x: u32, y: u32) -> Self {
        Self {
            x,
            y,
            space: PhantomData,
        }
    }
}

/// A rectangle in the space `S`: left, top, width, height in pixels. It may be empty.
#[derive(Debug)]
pub struct Rect<S> {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    space: PhantomData<S>,
}

impl<S> Rect<S> {
    /// A rectangle from its left, top, width and height in pixels.
    pub const fn new(x: u32, y: u32, width: u32, height: u32) -> Self {
        Self {
            x,
            y,
            width,
            height,
            space: PhantomData,
        }
    }

    /// Whether no pixel is inside.
    pub const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// First column right of the rectangle. Saturates.
    pub const fn right(self) -> u32 {
        self.x.saturating_add(self.width)
    }

    /// First row below the rectangle. Saturates.
    pub const fn bottom(self) -> u32 {
        self.y.saturating_add(self.height)
    }

    /// Size of the rectangle.
    pub const fn size(self) -> Size {
        Size::new(self.width, self.height)
    }

    /// The part inside of `other`; empty at this rectangle's origin if they do not meet.
    pub fn intersect(self, other: Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let (right, bottom) = (self.right().min(other.right()), self.bottom().min(other.bottom()));
        if right <= x || bottom <= y {
            return Self::new(self.x, self.y, 0, 0);
        }
        Self::new(x, y, right - x, bottom - y)
    }

    /// The smallest rectangle that holds both. An empty one does not count.
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        Self::new(
            x,
            y,
            self.right().max(other.right()) - x,
            self.bottom().max(other.bottom()) - y,
        )
    }

    /// The same numbers in another space. Only the place that maps one space to the other calls this.
    pub const fn cast<T>(self) -> Rect<T> {
        Rect::new(self.x, self.y, self.width, self.height)
    }
}

impl<S> fmt::Display for Rect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}+{}+{}", self.width, self.height, self.x, self.y)
    }
}

// Derives would ask for `S: Clone` and so on; the marker has no value.
macro_rules! plain_value {
    ($type:ident, $($field:ident),+) => {
        impl<S> Clone for $type<S> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<S> Copy for $type<S> {}
        impl<S> PartialEq for $type<S> {
            fn eq(&self, other: &Self) -> bool {
                $(self.$field == other.$field)&&+
            }
        }
        impl<S> Eq for $type<S> {}
        impl<S> core::hash::Hash for $type<S> {
            fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
                $(self.$field.hash(state);)+
            }
        }
    };
}
plain_value!(Point, x, y);
plain_value!(Rect, x, y, width, height);

#[cfg(test)]
mod tests {
    use super::*;

    type R = Rect<Guest>;

    #[test]
    fn rectangles_that_do_not_meet_have_an_empty_intersection() {
        assert!(R::new(0, 0, 10, 10).intersect(R::new(10, 0, 5, 5)).is_empty());
        assert_eq!(R::new(0, 0, 10, 10).intersect(R::new(5, 5, 10, 10)), R::new(5, 5, 5, 5));
    }

    #[test]
    fn a_union_ignores_empty_rectangles() {
        assert_eq!(R::new(3, 3, 0, 9).union(R::new(5, 6, 7, 8)), R::new(5, 6, 7, 8));
        assert_eq!(R::new(0, 0, 1, 1).union(R::new(9, 9, 1, 1)), R::new(0, 0, 10, 10));
    }

    #[test]
    fn edges_saturate_and_sizes_are_bounded() {
        assert_eq!(R::new(u32::MAX, 0, 10, 1).right(), u32::MAX);
        assert!(!Size::new(0, 5).is_valid() && !Size::new(8193, 5).is_valid() && Size::new(8192, 1).is_valid());
        assert_eq!(Size::new(65, 64).tiles(), (2, 1));
    }
}
