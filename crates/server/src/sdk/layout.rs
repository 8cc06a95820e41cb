//! The monitors that a client asks for, as displays are told of them. They were checked before: see `MonitorLayout`.

use rdpmux_model::HeadShape;

/// A client's wish for the desktop ([MS-RDPEDISP] 2.2.2.2): one monitor, as the desktop is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayControlMonitorLayout {
    /// The primary monitor first.
    pub monitors: Vec<MonitorLayoutEntry>,
}

/// One monitor of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonitorLayoutEntry {
    /// Left edge in pixels.
    pub left: i32,
    /// Top edge in pixels.
    pub top: i32,
    /// Pixels per row, 200 to 8192 and even.
    pub width: u32,
    /// Rows, 200 to 8192.
    pub height: u32,
    /// Width in millimetres; with the pixels it gives the client's scale (100 % are 96 dots per inch).
    pub physical_width: u32,
    /// Height in millimetres.
    pub physical_height: u32,
}

impl DisplayControlMonitorLayout {
    /// The monitors, the primary one first.
    pub fn monitors(&self) -> &[MonitorLayoutEntry] {
        &self.monitors
    }
}

impl MonitorLayoutEntry {
    /// Width and height in pixels.
    pub fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

impl From<HeadShape> for DisplayControlMonitorLayout {
    fn from(shape: HeadShape) -> Self {
        let signed = |edge: u32| i32::try_from(edge).unwrap_or(i32::MAX);
        let monitor = MonitorLayoutEntry {
            left: signed(shape.x),
            top: signed(shape.y),
            width: shape.size.width,
            height: shape.size.height,
            physical_width: shape.width_mm.into(),
            physical_height: shape.height_mm.into(),
        };
        Self {
            monitors: vec![monitor],
        }
    }
}
