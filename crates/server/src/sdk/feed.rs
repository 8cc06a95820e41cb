//! From a display's updates to the desktop that all clients share: pixels to the surface, pointers to the head's state. An
//! update that cannot be true is refused by name and changes nothing.

use rdpmux_engine::{PixelRows, SurfaceError, SurfaceReader, SurfaceWriter, surface};
use rdpmux_model::{Generation, Guest, HeadState, Point, PointerJump, PointerShape, Presence, Rect, Size};
use tokio::sync::watch;

use super::display::{BitmapUpdate, DesktopSize, DisplayUpdate};
use super::pixel_format::with_rows;
use super::pointer::Pointers;

/// The one writer of a display's desktop.
pub(super) struct Feed {
    writer: SurfaceWriter,
    frames: watch::Sender<Generation>,
    state: watch::Sender<HeadState>,
    pointers: Pointers,
}

/// What the desktop reads of a feed.
pub(super) struct Fed {
    pub(super) surface: SurfaceReader,
    pub(super) frames: watch::Receiver<Generation>,
    pub(super) state: watch::Receiver<HeadState>,
}

/// Why an update was not shown. The program that sent it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("a bitmap's {0}")]
    Bitmap(SurfaceError),
    #[error("a bitmap at {x}, {y} is outside of the desktop of {desktop}")]
    Outside { x: u16, y: u16, desktop: Size },
    #[error("a desktop's {0}")]
    Size(SurfaceError),
    #[error("a pointer is not within 1x1 and 384x384 with its hot spot inside, or its data has another length")]
    Pointer,
    #[error("a pointer's cache index {0} is not below 128")]
    PointerPlace(u16),
    #[error("no pointer was sent with cache index {0}")]
    NoSuchPointer(u16),
}

impl Feed {
    /// A black desktop of this size.
    pub(super) fn new(size: DesktopSize) -> (Self, Fed) {
        let (writer, reader) = surface(size.into());
        let state = HeadState {
            presence: Presence::Running,
            characters: true,
            ..HeadState::default()
        };
        let feed = Self {
            writer,
            frames: watch::Sender::new(reader.generation()),
            state: watch::Sender::new(state),
            pointers: Pointers::default(),
        };
        let fed = Fed {
            surface: reader,
            frames: feed.frames.subscribe(),
            state: feed.state.subscribe(),
        };
        (feed, fed)
    }

    /// The desktop's, in pixels.
    pub(super) fn size(&self) -> Size {
        self.writer.size()
    }

    /// Changes the desktop's size, if it is another one.
    pub(super) fn set_size(&mut self, size: DesktopSize) -> Result<(), Refused> {
        if self.writer.size() == size.into() {
            return Ok(());
        }
        let generation = self.writer.resize(size.into()).map_err(Refused::Size)?;
        self.frames.send_replace(generation);
        Ok(())
    }

    /// Shows an update.
    pub(super) fn apply(&mut self, update: &DisplayUpdate) -> Result<(), Refused> {
        let shape = match update {
            DisplayUpdate::Resize(size) => return self.set_size(*size),
            DisplayUpdate::Bitmap(bitmap) => return self.bitmap(bitmap),
            DisplayUpdate::PointerPosition(place) => {
                self.jump(place.x, place.y);
                return Ok(());
            }
            DisplayUpdate::RGBAPointer(pointer) => self.pointers.rgba(pointer)?,
            DisplayUpdate::ColorPointer(pointer) => self.pointers.color(pointer)?,
            DisplayUpdate::CachedPointer(index) => self.pointers.cached(*index)?,
            DisplayUpdate::HidePointer => PointerShape::Hidden,
            DisplayUpdate::DefaultPointer => PointerShape::Default,
        };
        self.point(shape);
        Ok(())
    }

    fn bitmap(&mut self, bitmap: &BitmapUpdate) -> Result<(), Refused> {
        let desktop = self.writer.size();
        let (x, y) = (u32::from(bitmap.x), u32::from(bitmap.y));
        if x >= desktop.width || y >= desktop.height {
            let BitmapUpdate { x, y, .. } = *bitmap;
            return Err(Refused::Outside { x, y, desktop });
        }
        let size = Size::new(bitmap.width.get().into(), bitmap.height.get().into());
        let rect: Rect<Guest> = Rect::new(x, y, size.width, size.height);
        let commit = |rows: &dyn PixelRows| self.writer.commit(&[rect], rows, Point::new(x, y));
        let newest = with_rows(&bitmap.data, size, bitmap.stride.get(), bitmap.format, commit);
        if let Some(generation) = newest.map_err(Refused::Bitmap)? {
            self.frames.send_replace(generation);
        }
        Ok(())
    }

    fn point(&self, shape: PointerShape) {
        self.state.send_if_modified(|state| {
            let is_other = state.pointer != shape;
            state.pointer = shape;
            is_other
        });
    }

    fn jump(&self, x: u16, y: u16) {
        self.state.send_modify(|state| {
            let count = state.jump.map_or(1, |last| last.count + 1);
            state.jump = Some(PointerJump { x, y, count });
        });
    }
}

impl From<DesktopSize> for Size {
    fn from(size: DesktopSize) -> Self {
        Self::new(size.width.into(), size.height.into())
    }
}

#[cfg(test)]
mod tests;
