//! A picture in a memory file that a hypervisor shares: what is copied out of it, with checked bounds, is all that is
//! ever seen of it. Used by all backends with shared memory.

use std::cell::Cell;
use std::sync::Arc;

use rdpmux_engine::{PixelRows, SliceRows};
use rdpmux_model::{PixelFormat, Size};
use rdpmux_shm::{MemoryFile, ShmError};

use crate::sink::Layout;

/// A picture in shared memory.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    pub(crate) file: Arc<MemoryFile>,
    /// Byte of the file at which the first row starts.
    pub(crate) offset: u64,
    pub(crate) layout: Layout,
}

/// Its rows. One that cannot be read is black and leaves its reason.
pub(crate) struct MapRows<'a> {
    map: &'a Mapped,
    failure: Cell<Option<ShmError>>,
}

impl<'a> MapRows<'a> {
    pub(crate) fn new(map: &'a Mapped) -> Self {
        Self {
            map,
            failure: Cell::new(None),
        }
    }

    /// Why a row was black.
    pub(crate) fn into_failure(self) -> Option<ShmError> {
        self.failure.into_inner()
    }

    fn copy(&self, x: u32, y: u32, out: &mut [u8]) -> Result<(), ShmError> {
        let Mapped { file, offset, layout } = self.map;
        let pixel = layout.format().bytes();
        let start = offset + u64::from(y) * layout.stride() as u64 + u64::from(x) * pixel as u64;
        if layout.format() == PixelFormat::Bgrx32 {
            return file.copy_to(start, out);
        }
        let columns = out.len() / 4;
        let mut row = vec![0; columns * pixel];
        file.copy_to(start, &mut row)?;
        let size = Size::new(columns as u32, 1);
        if let Ok(rows) = SliceRows::new(&row, size, row.len(), layout.format()) {
            rows.read_row(0, 0, out);
        }
        Ok(())
    }
}

impl PixelRows for MapRows<'_> {
    fn read_row(&self, x: u32, y: u32, out: &mut [u8]) {
        if let Err(error) = self.copy(x, y, out) {
            out.fill(0);
            self.failure.set(Some(error));
        }
    }
}
