//! One head's pixels: from a hypervisor's memory file to the surface. What the file cannot give is an error, whatever
//! the hypervisor has said of it. Blocks for the time of a copy, so big ones are made on a thread for that.

use std::os::fd::OwnedFd;

use rdpmux_model::{Guest, Point, Rect, Size};
use rdpmux_shm::{FileCache, ShmError};
use rdpmux_wire::format::of_pixman;

use super::memory::NamedError;
use crate::mapped::{MapRows, Mapped};
use crate::sink::{GuestSink, Layout, SinkError};

/// Why a picture or an update was not shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum PictureError {
    #[error("pixel format 0x{0:08x} is unknown")]
    Format(u32),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Memory(#[from] ShmError),
    #[error(transparent)]
    Named(#[from] NamedError),
    #[error("an update came before any picture")]
    NoPicture,
}

/// How a picture lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    /// Pixman's code.
    pub(super) format: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bytes from row to row; `None`: no gap.
    pub(super) stride: Option<u32>,
    pub(super) offset: u64,
    /// Bytes that belong to it.
    pub(super) size: u64,
}

/// Pixels that are copied without a thread of their own.
const SMALL: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Screen {
    sink: GuestSink,
    files: FileCache,
    map: Option<Mapped>,
    has_shown: bool,
}

impl Screen {
    pub(super) fn new(sink: GuestSink) -> Self {
        Self {
            sink,
            files: FileCache::default(),
            map: None,
            has_shown: false,
        }
    }

    /// Whether a picture of the guest is seen, and no card.
    pub(super) fn has_shown(&self) -> bool {
        self.has_shown
    }

    /// Forgets the memory and shows a card.
    pub(super) fn card(&mut self, title: &str, lines: &[&str]) {
        self.map = None;
        self.has_shown = false;
        self.sink.card(title, lines);
    }

    /// Shows all of a picture in `fd`. If it cannot be, the picture before stays, and updates are refused.
    pub(super) fn show(&mut self, fd: OwnedFd, picture: &Picture) -> Result<Mapped, PictureError> {
        self.map = None;
        let format = of_pixman(picture.format).ok_or(PictureError::Format(picture.format))?;
        let packed = picture.width.saturating_mul(format.bytes() as u32);
        let stride = picture.stride.unwrap_or(packed);
        let file = self.files.open(fd, 0)?;
        let available = file.size().saturating_sub(picture.offset).min(picture.size);
        let layout = Layout::new(picture.width, picture.height, stride, format, available)?;
        self.sink.resize_quietly(layout.size())?;
        let map = Mapped {
            file,
            offset: picture.offset,
            layout,
        };
        self.map = Some(map.clone());
        self.has_shown = true;
        self.commit(&[layout.size().rect()])?;
        Ok(map)
    }

    /// Shows what changed; what is outside is left out.
    pub(super) fn update(&mut self, rectangles: &[[u32; 4]]) -> Result<(), PictureError> {
        let parts = parts(rectangles, self.sink.size());
        self.commit(&parts)
    }

    /// Whether an update of `rectangles` is soon done.
    pub(super) fn is_small(&self, rectangles: &[[u32; 4]]) -> bool {
        let area: u64 = parts(rectangles, self.sink.size())
            .iter()
            .map(|rect| rect.size().area())
            .sum();
        area <= SMALL
    }

    fn commit(&mut self, parts: &[Rect<Guest>]) -> Result<(), PictureError> {
        let map = self.map.as_ref().ok_or(PictureError::NoPicture)?;
        let rows = MapRows::new(map);
        for part in parts {
            self.sink.commit(*part, &rows, Point::new(0, 0));
        }
        match rows.into_failure() {
            None => Ok(()),
            Some(error) => {
                self.map = None;
                Err(error.into())
            }
        }
    }
}

/// The parts of rectangles that are on the screen. Together they are not more than the screen: rectangles that overlap
/// so much become one.
fn parts(rectangles: &[[u32; 4]], screen: Size) -> Vec<Rect<Guest>> {
    let inside = rectangles
        .iter()
        .map(|[x, y, width, height]| Rect::new(*x, *y, *width, *height).intersect(screen.rect()));
    let parts: Vec<Rect<Guest>> = inside.filter(|part| !part.is_empty()).collect();
    let area: u64 = parts.iter().map(|part| part.size().area()).sum();
    if area <= screen.area() {
        return parts;
    }
    parts.into_iter().reduce(Rect::union).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Size = Size::new(100, 50);

    #[test]
    fn updates_are_cut_to_the_screen_whatever_they_say() {
        let cases: [([u32; 4], Option<Rect<Guest>>); 6] = [
            ([0, 0, 100, 50], Some(Rect::new(0, 0, 100, 50))),
            ([90, 40, 16, 16], Some(Rect::new(90, 40, 10, 10))),
            ([100, 0, 10, 10], None),
            ([u32::MAX, u32::MAX, u32::MAX, u32::MAX], None),
            ([1, 1, u32::MAX, u32::MAX], Some(Rect::new(1, 1, 99, 49))),
            ([5, 5, 0, 7], None),
        ];
        for (rectangle, part) in cases {
            assert_eq!(parts(&[rectangle], SCREEN), Vec::from_iter(part), "{rectangle:?}");
        }
    }

    #[test]
    fn a_flood_of_rectangles_costs_no_more_than_one_screen() {
        assert_eq!(parts(&[[0, 0, 100, 50]; 4096], SCREEN), [SCREEN.rect()]);
        assert_eq!(parts(&[[0, 0, 10, 10], [50, 0, 10, 10]], SCREEN).len(), 2);
    }
}
