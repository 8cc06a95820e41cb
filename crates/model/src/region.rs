//! A set of pixels as a list of rectangles.

use crate::Rect;

/// Rectangles that may overlap; empty ones are never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region<S> {
    rects: Vec<Rect<S>>,
}

impl<S> Region<S> {
    /// No pixel.
    pub const fn new() -> Self {
        Self { rects: Vec::new() }
    }

    /// Adds a rectangle; an empty one changes nothing.
    pub fn add(&mut self, rect: Rect<S>) {
        if !rect.is_empty() {
            self.rects.push(rect);
        }
    }

    /// The rectangles, in the order in which they were added.
    pub fn rects(&self) -> &[Rect<S>] {
        &self.rects
    }

    /// Whether there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }
}

impl<S> Default for Region<S> {
    fn default() -> Self {
        Self::new()
    }
}
