//! What a client says of its monitors while it is connected: the display control channel ([MS-RDPEDISP]), and which of
//! its words about monitors count at all.
//!
//! A client that opens the channel or has several monitors wants a desktop that follows them: what it asked for when it
//! connected counts from then on, and each later layout. The others get the desktop as it is, whatever size they named:
//! FreeRDP names 1024 × 768 without being asked.

use ironrdp_core::impl_as_any;
use ironrdp_displaycontrol::CHANNEL_NAME;
use ironrdp_displaycontrol::pdu::{DisplayControlCapabilities, DisplayControlPdu};
use ironrdp_dvc::{DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::{PduResult, encode_err};
use rdpmux_model::{ClientMonitor, LayoutError, MonitorLayout, Size};

use super::{Session, SessionEvent};
use crate::pipe::Monitor;
use crate::wire::Reader;

/// What a client is told of its desktop when the session starts.
#[derive(Debug, Clone, Default)]
pub struct DesktopShape {
    /// Pixels.
    pub size: Size,
    /// Its monitors, if they make up this size; else it has one.
    pub monitors: Vec<Monitor>,
    /// How many monitors the client may ask for; 0: it is not offered to ask for any.
    pub may_ask: u32,
}

impl From<Size> for DesktopShape {
    /// One monitor that the client may change.
    fn from(size: Size) -> Self {
        Self {
            size,
            monitors: Vec::new(),
            may_ask: 1,
        }
    }
}

impl Session {
    /// Sets the desktop's monitors for clients without EGFX; they are told with the next [`Self::resize_legacy`].
    pub fn set_monitors(&mut self, monitors: &[Monitor]) {
        self.monitors = monitors.to_vec();
    }

    /// The layout of a client that has several monitors, once it is connected.
    pub(super) fn first_layout(&self) -> Option<SessionEvent> {
        let layout = self.link.monitors.as_ref()?;
        (layout.monitors().len() > 1).then(|| SessionEvent::Layout(Ok(layout.clone())))
    }

    pub(super) fn display_event(&self, event: DisplayEvent) -> Option<SessionEvent> {
        match event {
            DisplayEvent::Layout(layout) => Some(SessionEvent::Layout(layout)),
            // Another one was told of already.
            DisplayEvent::Opened if self.first_layout().is_some() => None,
            DisplayEvent::Opened => self
                .link
                .monitors
                .clone()
                .map(|layout| SessionEvent::Layout(Ok(layout))),
        }
    }
}

/// What came on the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DisplayEvent {
    /// The client has it.
    Opened,
    /// A layout, or why it is none.
    Layout(Result<MonitorLayout, LayoutError>),
}

/// Processor of the channel. It keeps the last event only: a layout replaces the one before.
#[derive(Debug)]
pub(crate) struct DisplayControl {
    monitors: u32,
    event: Option<DisplayEvent>,
}

impl_as_any!(DisplayControl);

impl DisplayControl {
    /// For a client that may ask for so many monitors.
    pub(crate) fn new(monitors: u32) -> Self {
        Self {
            monitors: monitors.clamp(1, MonitorLayout::MOST as u32),
            event: None,
        }
    }

    pub(crate) fn take_event(&mut self) -> Option<DisplayEvent> {
        self.event.take()
    }
}

impl DvcProcessor for DisplayControl {
    fn channel_name(&self) -> &str {
        CHANNEL_NAME
    }

    fn start(&mut self, _channel: u32) -> PduResult<Vec<DvcMessage>> {
        self.event = Some(DisplayEvent::Opened);
        // The product of the three numbers is the area that all monitors may have together.
        let caps = DisplayControlCapabilities::new(self.monitors, 7680, 4320 / self.monitors);
        let caps: DisplayControlPdu = caps.map_err(|e| encode_err!(e))?.into();
        Ok(vec![Box::new(caps)])
    }

    fn process(&mut self, _channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        if let Some(layout) = layout_in_message(payload) {
            self.event = Some(DisplayEvent::Layout(layout));
        }
        Ok(Vec::new())
    }
}

impl DvcServerProcessor for DisplayControl {}

const MONITOR_LAYOUT: u32 = 2;
/// Bytes of an entry of the list.
const ENTRY: usize = 40;
const FLAG_PRIMARY: u32 = 1;

/// The layout in a `DISPLAYCONTROL_MONITOR_LAYOUT_PDU` ([MS-RDPEDISP] 2.2.2.2), or why it is none; `None` if it is another
/// message.
pub fn layout_in_message(payload: &[u8]) -> Option<Result<MonitorLayout, LayoutError>> {
    let mut r = Reader(payload);
    match (r.u32(), r.u32()) {
        (Some(MONITOR_LAYOUT), Some(_length)) => Some(monitors(r).and_then(MonitorLayout::new)),
        (Some(kind), _) => {
            tracing::debug!(kind, "display control message without a use");
            None
        }
        (None, _) => Some(Err(LayoutError::Malformed)),
    }
}

fn monitors(mut r: Reader<'_>) -> Result<Vec<ClientMonitor>, LayoutError> {
    let (Some(size), Some(count)) = (r.u32(), r.u32()) else {
        return Err(LayoutError::Malformed);
    };
    if size as usize != ENTRY {
        return Err(LayoutError::Malformed);
    }
    if count as usize > MonitorLayout::MOST {
        return Err(LayoutError::TooMany { count });
    }
    let entry = |_| {
        let entry = r.bytes::<ENTRY>().ok_or(LayoutError::Malformed)?;
        Ok(monitor(&entry))
    };
    (0..count).map(entry).collect()
}

fn monitor(entry: &[u8; ENTRY]) -> ClientMonitor {
    let mut r = Reader(entry);
    let mut word = || r.u32().unwrap_or_default();
    let [flags, left, top, width, height] = [word(), word(), word(), word(), word()];
    let [width_mm, height_mm, _orientation, scale, _device_scale] = [word(), word(), word(), word(), word()];
    let monitor = ClientMonitor {
        left: left.cast_signed(),
        top: top.cast_signed(),
        size: Size::new(width, height),
        physical_mm: None,
        scale_percent: None,
        primary: flags & FLAG_PRIMARY != 0,
    };
    monitor.with_physical(width_mm, height_mm).with_scale(scale)
}

#[cfg(test)]
mod tests {
    use ironrdp_core::encode_vec;
    use ironrdp_displaycontrol::pdu::{DisplayControlMonitorLayout, MonitorLayoutEntry};

    use super::*;

    fn layout(payload: &[u8]) -> Option<Result<MonitorLayout, LayoutError>> {
        layout_in_message(payload)
    }

    #[test]
    fn a_layout_of_ironrdps_client_is_read_and_any_part_of_it_is_refused() {
        let entries = [
            MonitorLayoutEntry::new_primary(1280, 800).expect("a size"),
            MonitorLayoutEntry::new_secondary(1024, 768)
                .and_then(|entry| entry.with_position(1280, 0)?.with_desktop_scale_factor(150))
                .expect("a place"),
        ];
        let client = DisplayControlMonitorLayout::new(&entries).expect("a good layout");
        let bytes = encode_vec(&DisplayControlPdu::from(client)).expect("it encodes");
        let read = layout(&bytes).expect("a layout").expect("a good one");
        let heads = read.heads();
        assert_eq!((heads[0].size, heads[1].x), (Size::new(1280, 800), 1280));
        assert_eq!(read.monitors()[1].scale_percent, Some(150));
        for end in 0..bytes.len() {
            match layout(&bytes[..end]) {
                Some(cut) => assert_eq!(cut, Err(LayoutError::Malformed)),
                None => assert!((4..8).contains(&end)),
            }
        }
    }

    #[test]
    fn counts_and_sizes_that_cannot_be_are_refused_by_name() {
        let message = |size: u32, count: u32| {
            let head = [MONITOR_LAYOUT, 16, size, count];
            head.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()
        };
        assert_eq!(layout(&message(40, 65)), Some(Err(LayoutError::TooMany { count: 65 })));
        assert_eq!(layout(&message(40, 0)), Some(Err(LayoutError::NoMonitor)));
        assert_eq!(layout(&message(39, 1)), Some(Err(LayoutError::Malformed)));
        assert_eq!(layout(&[5, 0, 0, 0]), None);
    }
}
