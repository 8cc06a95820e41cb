//! Monitors of a client and shapes of a guest's heads. What a client says of its monitors is a [`MonitorLayout`] only if
//! it can be true; whoever parses a message calls [`MonitorLayout::new`], and nothing behind it checks again.

use core::fmt;

use crate::Size;

/// One monitor by a client's word ([MS-RDPBCGR] 2.2.1.3.6, 2.2.1.3.9; [MS-RDPEDISP] 2.2.2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientMonitor {
    /// Left edge in pixels; the primary monitor's may be taken for 0.
    pub left: i32,
    /// Top edge in pixels.
    pub top: i32,
    /// Pixels.
    pub size: Size,
    /// Width and height in millimetres, if the client said something that can be.
    pub physical_mm: Option<(u32, u32)>,
    /// `desktopScaleFactor` in percent, if the client said something that can be.
    pub scale_percent: Option<u32>,
    /// Whether it is the primary one.
    pub primary: bool,
}

/// The only monitor, of which nothing else is known.
impl From<Size> for ClientMonitor {
    fn from(size: Size) -> Self {
        Self {
            left: 0,
            top: 0,
            size,
            physical_mm: None,
            scale_percent: None,
            primary: true,
        }
    }
}

impl ClientMonitor {
    /// Takes physical sizes of 10 to 10,000 mm; others count as not said.
    pub fn with_physical(self, width_mm: u32, height_mm: u32) -> Self {
        let can_be = |mm| (10..=10_000).contains(&mm);
        Self {
            physical_mm: (can_be(width_mm) && can_be(height_mm)).then_some((width_mm, height_mm)),
            ..self
        }
    }

    /// Takes scales of 100 to 500 percent; others count as not said.
    pub fn with_scale(self, percent: u32) -> Self {
        Self {
            scale_percent: (100..=500).contains(&percent).then_some(percent),
            ..self
        }
    }

    fn right(&self) -> i64 {
        i64::from(self.left) + i64::from(self.size.width)
    }

    fn bottom(&self) -> i64 {
        i64::from(self.top) + i64::from(self.size.height)
    }

    fn overlaps(&self, other: &Self) -> bool {
        i64::from(self.left) < other.right()
            && i64::from(other.left) < self.right()
            && i64::from(self.top) < other.bottom()
            && i64::from(other.top) < self.bottom()
    }

    /// What the guest is told of its physical size: its resolution follows the client's scale (100 % are 96 dots per
    /// inch), or the client's own millimetres if it named no scale.
    fn millimetres(&self) -> (u16, u16) {
        let narrow = |mm: u32| u16::try_from(mm).unwrap_or(u16::MAX);
        if let (None, Some((width, height))) = (self.scale_percent, self.physical_mm) {
            return (narrow(width), narrow(height));
        }
        let scale = self.scale_percent.unwrap_or(100);
        let mm = |pixels: u32| narrow((pixels * 2540 / (96 * scale)).max(1));
        (mm(self.size.width), mm(self.size.height))
    }
}

/// All monitors of a client.
///
/// INVARIANT: 1 to [`Self::MOST`] monitors, the primary one first and the others from left to right; none overlaps
/// another; edges are within [`Self::LEAST_EDGE`]`..=`[`Size::MAX_EDGE`] and widths even; all together are within
/// [`Size::MAX_EDGE`] in both directions and [`Self::MOST_PIXELS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorLayout {
    monitors: Vec<ClientMonitor>,
}

/// Why a layout is refused. The client is to blame; its session goes on with what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// The message is cut short or contradicts itself.
    Malformed,
    /// There is no monitor.
    NoMonitor,
    /// There are more than [`MonitorLayout::MOST`].
    TooMany {
        /// Monitors announced.
        count: u32,
    },
    /// Not exactly one is the primary one.
    Primaries {
        /// Primary monitors.
        count: usize,
    },
    /// A width or height is negative, too small or too large.
    Edge {
        /// Pixels per row, as far as they can be told.
        width: i64,
        /// Rows.
        height: i64,
    },
    /// A monitor is beyond all places where one can be.
    Place {
        /// Left edge.
        left: i32,
        /// Top edge.
        top: i32,
    },
    /// Two monitors share pixels.
    Overlap,
    /// All monitors together are too large.
    Together {
        /// Columns from the leftmost to the rightmost pixel.
        width: i64,
        /// Rows from the topmost to the lowest pixel.
        height: i64,
    },
}

impl MonitorLayout {
    /// The most monitors that RDP knows ([MS-RDPBCGR] 2.2.1.3.6).
    pub const MOST: usize = 16;
    /// The shortest edge in pixels ([MS-RDPEDISP] 2.2.2.2.1).
    pub const LEAST_EDGE: u32 = 200;
    /// Pixels of all monitors together: those of one 8K monitor. A viewer costs four bytes of memory for each.
    pub const MOST_PIXELS: u64 = 7680 * 4320;
    /// Farthest place of a monitor's corner from the primary one's.
    const FAR: i32 = 32_768;

    /// Checks what a client said. A single monitor that is only a little wrong is made right: windows are dragged to any
    /// size, and the protocol allows even widths and edges of 200 pixels only.
    ///
    /// # Errors
    /// [`LayoutError`] names what cannot be.
    pub fn new(mut monitors: Vec<ClientMonitor>) -> Result<Self, LayoutError> {
        if monitors.len() > Self::MOST {
            let count = u32::try_from(monitors.len()).unwrap_or(u32::MAX);
            return Err(LayoutError::TooMany { count });
        }
        if let [single] = &mut monitors[..] {
            (single.left, single.top, single.primary) = (0, 0, true);
            if !single.size.is_valid() {
                return Err(edge(single.size));
            }
            single.size.width = single.size.width.max(Self::LEAST_EDGE);
            single.size.height = single.size.height.max(Self::LEAST_EDGE);
        }
        Self::check_each(&mut monitors)?;
        let primary = primary(&monitors)?;
        for monitor in &mut monitors {
            monitor.left -= primary.left;
            monitor.top -= primary.top;
        }
        for (index, monitor) in monitors.iter().enumerate() {
            if monitors[..index].iter().any(|other| other.overlaps(monitor)) {
                return Err(LayoutError::Overlap);
            }
        }
        monitors.sort_by_key(|monitor| (!monitor.primary, monitor.left, monitor.top));
        let layout = Self { monitors };
        layout.check_together()?;
        Ok(layout)
    }

    /// The monitors, the primary one first.
    pub fn monitors(&self) -> &[ClientMonitor] {
        &self.monitors
    }

    /// What a guest's heads should be like so that each is one of these monitors: head 0 is the primary one. The
    /// leftmost and the topmost pixel have the coordinate 0.
    pub fn heads(&self) -> Vec<HeadShape> {
        let least = |of: fn(&ClientMonitor) -> i32| self.monitors.iter().map(of).min().unwrap_or(0);
        let (left, top) = (least(|m| m.left), least(|m| m.top));
        let shape = |monitor: &ClientMonitor| {
            let (width_mm, height_mm) = monitor.millimetres();
            HeadShape {
                x: monitor.left.abs_diff(left),
                y: monitor.top.abs_diff(top),
                size: monitor.size,
                width_mm,
                height_mm,
            }
        };
        self.monitors.iter().map(shape).collect()
    }

    fn check_each(monitors: &mut [ClientMonitor]) -> Result<(), LayoutError> {
        for monitor in monitors {
            let ClientMonitor { left, top, size, .. } = *monitor;
            if !(size.is_valid() && size.width.min(size.height) >= Self::LEAST_EDGE) {
                return Err(edge(size));
            }
            if left.unsigned_abs().max(top.unsigned_abs()) > Self::FAR.unsigned_abs() {
                return Err(LayoutError::Place { left, top });
            }
            monitor.size.width &= !1;
        }
        Ok(())
    }

    fn check_together(&self) -> Result<(), LayoutError> {
        let span = |from: fn(&ClientMonitor) -> i64, to: fn(&ClientMonitor) -> i64| {
            let first = self.monitors.iter().map(from).min().unwrap_or(0);
            self.monitors.iter().map(to).max().unwrap_or(0) - first
        };
        let width = span(|m| i64::from(m.left), ClientMonitor::right);
        let height = span(|m| i64::from(m.top), ClientMonitor::bottom);
        let pixels: u64 = self.monitors.iter().map(|monitor| monitor.size.area()).sum();
        if width.max(height) > i64::from(Size::MAX_EDGE) || pixels > Self::MOST_PIXELS {
            return Err(LayoutError::Together { width, height });
        }
        Ok(())
    }
}

fn edge(size: Size) -> LayoutError {
    LayoutError::Edge {
        width: size.width.into(),
        height: size.height.into(),
    }
}

fn primary(monitors: &[ClientMonitor]) -> Result<ClientMonitor, LayoutError> {
    let mut primaries = monitors.iter().filter(|monitor| monitor.primary);
    match (primaries.next(), primaries.count()) {
        (Some(primary), 0) => Ok(*primary),
        (None, _) if monitors.is_empty() => Err(LayoutError::NoMonitor),
        (None, _) => Err(LayoutError::Primaries { count: 0 }),
        (Some(_), further) => Err(LayoutError::Primaries { count: further + 1 }),
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the list of monitors is malformed"),
            Self::NoMonitor => f.write_str("there is no monitor"),
            Self::TooMany { count } => write!(f, "{count} monitors where at most {} are taken", MonitorLayout::MOST),
            Self::Primaries { count } => write!(f, "{count} primary monitors where there must be one"),
            Self::Edge { width, height } => write!(f, "a monitor of {width}x{height} pixels"),
            Self::Place { left, top } => write!(f, "a monitor at {left},{top}"),
            Self::Overlap => f.write_str("monitors overlap"),
            Self::Together { width, height } => write!(f, "monitors of {width}x{height} pixels together"),
        }
    }
}
impl core::error::Error for LayoutError {}

/// What a head of a guest should be like. Latest wins: it travels through a watch, never a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadShape {
    /// Left edge on the guest's desktop, in pixels.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Pixels; 0 × 0 switches the head off.
    pub size: Size,
    /// Physical width in millimetres, from which the guest takes its resolution; 0 if nothing is known.
    pub width_mm: u16,
    /// Physical height.
    pub height_mm: u16,
}

impl HeadShape {
    /// No monitor is plugged in.
    pub const OFF: Self = Self {
        x: 0,
        y: 0,
        size: Size::new(0, 0),
        width_mm: 0,
        height_mm: 0,
    };

    /// Whether the head is to be off.
    pub fn is_off(self) -> bool {
        self.size == Size::new(0, 0)
    }
}

impl fmt::Display for HeadShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}+{} {}x{} mm",
            self.size, self.x, self.y, self.width_mm, self.height_mm
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor(left: i32, top: i32, width: u32, height: u32) -> ClientMonitor {
        ClientMonitor {
            left,
            top,
            size: Size::new(width, height),
            physical_mm: None,
            scale_percent: None,
            primary: (left, top) == (0, 0),
        }
    }

    fn refused(monitors: &[ClientMonitor]) -> LayoutError {
        MonitorLayout::new(monitors.to_vec()).expect_err("this cannot be")
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let one = monitor(0, 0, 1024, 768);
        let second = monitor(1024, 0, 1024, 768);
        assert_eq!(refused(&[]), LayoutError::NoMonitor);
        assert_eq!(refused(&[one; 65]), LayoutError::TooMany { count: 65 });
        assert_eq!(refused(&[second, second]), LayoutError::Primaries { count: 0 });
        assert_eq!(refused(&[one, one]), LayoutError::Primaries { count: 2 });
        let wide = |width| LayoutError::Edge { width, height: 768 };
        assert_eq!(refused(&[monitor(0, 0, 100_000, 768)]), wide(100_000));
        assert_eq!(refused(&[one, monitor(1024, 0, 100_000, 768)]), wide(100_000));
        assert_eq!(refused(&[one, monitor(1024, 0, 199, 768)]), wide(199));
        assert_eq!(refused(&[one, monitor(1000, 700, 1024, 768)]), LayoutError::Overlap);
        let place = |left| LayoutError::Place { left, top: 0 };
        assert_eq!(refused(&[one, monitor(i32::MIN, 0, 1024, 768)]), place(i32::MIN));
        assert_eq!(refused(&[one, monitor(100_000, 0, 1024, 768)]), place(100_000));
        let together = LayoutError::Together {
            width: 9024,
            height: 768,
        };
        assert_eq!(refused(&[one, monitor(8000, 0, 1024, 768)]), together);
        assert_eq!(together.to_string(), "monitors of 9024x768 pixels together");
        assert!(matches!(
            refused(&[monitor(0, 0, 8192, 8192)]),
            LayoutError::Together { .. }
        ));
    }

    #[test]
    fn a_single_window_may_have_any_size() {
        let odd = MonitorLayout::new(vec![ClientMonitor {
            primary: false,
            ..monitor(7, -9, 1021, 63)
        }]);
        let shape = odd.expect("it is made right").heads()[0];
        assert_eq!((shape.x, shape.y, shape.size), (0, 0, Size::new(1020, 200)));
    }

    #[test]
    fn the_primary_monitor_is_head_0_and_no_head_is_at_a_negative_place() {
        let layout = MonitorLayout::new(vec![
            monitor(-1280, 100, 1280, 800),
            monitor(1920, 0, 1024, 768),
            monitor(0, 0, 1920, 1080),
        ]);
        let heads = layout.expect("a good layout").heads();
        let places: Vec<_> = heads.iter().map(|head| (head.x, head.y, head.size.width)).collect();
        assert_eq!(places, [(1280, 0, 1920), (0, 100, 1280), (3200, 0, 1024)]);
    }

    #[test]
    fn a_larger_scale_makes_a_physically_smaller_head() {
        let head = |monitor| MonitorLayout::new(vec![monitor]).expect("a good layout").heads()[0];
        let millimetres = |monitor| (head(monitor).width_mm, head(monitor).height_mm);
        let plain = monitor(0, 0, 1920, 1080);
        assert_eq!(millimetres(plain), (508, 285));
        assert_eq!(millimetres(plain.with_scale(200).with_physical(600, 340)), (254, 142));
        assert_eq!(millimetres(plain.with_physical(600, 340)), (600, 340));
        assert_eq!(millimetres(plain.with_scale(99).with_physical(9, 340)), (508, 285));
    }
}
