//! evdev: all input devices of the machine, polled together. Called by `main`; interprets nothing.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant};

/// One event that matters to the scenes.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// `value` is 0 for up, 1 for down, 2 for repeat.
    Key { code: u16, value: i32 },
    /// Axis 0 is x, 1 is y; `value` is 0..=32767.
    Absolute { axis: u16, value: i32 },
    /// Axis 0 is x, 1 is y, in counts.
    Relative { axis: u16, value: i32 },
    /// A finger on a touch screen: axis 0 is x, 1 is y, 0..=32767; axis 2 is whether it is down.
    Touch { slot: i32, axis: u16, value: i32 },
    /// Relative code 8 is the wheel, 6 the horizontal one.
    Wheel { code: u16, value: i32 },
}

/// All event devices.
pub struct Devices {
    open: Vec<(String, File)>,
    looked: Instant,
    /// The finger that touch screens speak of.
    slot: i32,
}

/// Devices may come late: the USB tablet takes a second to be found.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const ABS_MT_SLOT: u16 = 0x2f;
const ABS_MT_POSITION_X: u16 = 0x35;
const ABS_MT_POSITION_Y: u16 = 0x36;
const ABS_MT_TRACKING_ID: u16 = 0x39;
/// struct input_event on 64-bit Linux.
const EVENT_BYTES: usize = 24;

impl Devices {
    /// Opens what there is.
    pub fn open() -> Self {
        let mut devices = Self {
            open: Vec::new(),
            looked: Instant::now(),
            slot: 0,
        };
        devices.look();
        devices
    }

    /// Waits up to `limit` for events and returns them.
    pub fn wait(&mut self, limit: Duration) -> Vec<Event> {
        if self.looked.elapsed() > LOOK_AGAIN {
            self.look();
        }
        let mut polled: Vec<PollFd<'_>> = self
            .open
            .iter()
            .map(|(_, file)| PollFd::new(file, PollFlags::IN))
            .collect();
        let limit = Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        if poll(&mut polled, Some(&limit)).unwrap_or(0) == 0 {
            return Vec::new();
        }
        let ready: Vec<usize> = polled
            .iter()
            .enumerate()
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(index, _)| index)
            .collect();
        let mut events = Vec::new();
        let slot = &mut self.slot;
        for index in ready.into_iter().rev() {
            let mut bytes = [0; EVENT_BYTES * 64];
            match self.open[index].1.read(&mut bytes) {
                Ok(count) if count > 0 => events.extend(
                    bytes[..count]
                        .chunks_exact(EVENT_BYTES)
                        .filter_map(|bytes| parse(bytes, slot)),
                ),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => drop(self.open.remove(index)),
            }
        }
        events
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        for entry in fs::read_dir("/dev/input").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("event") || self.open.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if let Ok(file) = open(entry.path(), OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
                self.open.push((name, File::from(file)));
            }
        }
    }
}

fn parse(bytes: &[u8], slot: &mut i32) -> Option<Event> {
    let kind = u16::from_ne_bytes([bytes[16], bytes[17]]);
    let code = u16::from_ne_bytes([bytes[18], bytes[19]]);
    let value = i32::from_ne_bytes([bytes[20], bytes[21], bytes[22], bytes[23]]);
    match (kind, code) {
        (1, _) => Some(Event::Key { code, value }),
        (2, 0 | 1) => Some(Event::Relative { axis: code, value }),
        (2, 6 | 8) => Some(Event::Wheel { code, value }),
        (3, ABS_MT_SLOT) => {
            *slot = value;
            None
        }
        (3, ABS_MT_POSITION_X | ABS_MT_POSITION_Y) => Some(Event::Touch {
            slot: *slot,
            axis: code - ABS_MT_POSITION_X,
            value,
        }),
        (3, ABS_MT_TRACKING_ID) => Some(Event::Touch {
            slot: *slot,
            axis: 2,
            value: i32::from(value >= 0),
        }),
        (3, 0 | 1) => Some(Event::Absolute { axis: code, value }),
        _ => None,
    }
}
