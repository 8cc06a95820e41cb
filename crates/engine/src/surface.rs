//! One guest head's pixels as B, G, R, 255, written by one writer by type and read by every viewer.
//!
//! The writer compares what the guest says it drew with what is there, chunk by chunk, each under its own short write
//! lock: the guest's memory is read before, never inside. Each chunk that changed something is one generation.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};
use rdpmux_model::{Generation, Guest, PixelFormat, Point, Rect, Size, TILE};
use rdpmux_pixel::{Level, Rows, RowsMut, convert, diff};

use crate::Canvas;
use crate::cache::EncodeCache;
use crate::damage::DamageLog;

/// Makes a black surface of generation 1. Edges outside of `1..=Size::MAX_EDGE` are clamped.
pub fn surface(size: Size) -> (SurfaceWriter, SurfaceReader) {
    let size = Size::new(
        size.width.clamp(1, Size::MAX_EDGE),
        size.height.clamp(1, Size::MAX_EDGE),
    );
    let shared = Arc::new(Shared {
        frame: RwLock::new(Frame::black(size, Generation(1))),
        cache: EncodeCache::new(CACHE_BYTES),
    });
    let reader = SurfaceReader { shared: shared.clone() };
    let writer = SurfaceWriter {
        shared,
        size,
        scratch: Vec::new(),
        drawing: Vec::new(),
        drawing_is_current: false,
    };
    (writer, reader)
}

/// Pixels to be committed.
pub trait PixelRows {
    /// Writes B, G, R, X of `out.len() / 4` pixels from column `x` of row `y` of the source on; X may be anything.
    ///
    /// Only pixels inside [`Self::extent`] are asked for. What is not written there is some older pixel of this guest.
    fn read_row(&self, x: u32, y: u32, out: &mut [u8]);

    /// The bytes from the first pixel of a rectangle on, and the bytes from row to row, if the source has them as B, G, R,
    /// X in memory that nobody writes to: they are then not copied to be compared.
    fn direct(&self, _rect: Rect<Guest>) -> Option<Rows<'_>> {
        None
    }

    /// The size of the source: a commit is clipped to it.
    fn extent(&self) -> Size {
        Size::new(u32::MAX, u32::MAX)
    }
}

/// Pixels in a slice. The length was checked once, here.
#[derive(Debug, Clone, Copy)]
pub struct SliceRows<'a> {
    bytes: &'a [u8],
    size: Size,
    stride: usize,
    format: PixelFormat,
}

/// Numbers of a picture that cannot be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SurfaceError {
    /// An edge is 0 or over the limit.
    #[error("size {0} is not within 1x1 and {max}x{max}", max = Size::MAX_EDGE)]
    Size(Size),
    /// A row does not fit its stride.
    #[error("stride {stride} is less than the {row} bytes of a row")]
    Stride {
        /// Bytes from one row to the next, as given.
        stride: usize,
        /// Bytes that a row needs.
        row: usize,
    },
    /// The bytes end before the last row does.
    #[error("{bytes} bytes are given, but size and stride need {needed}")]
    Length {
        /// Bytes given.
        bytes: usize,
        /// Bytes needed; `usize::MAX` if that number is beyond the machine's range.
        needed: usize,
    },
}

impl<'a> SliceRows<'a> {
    /// Takes `size` pixels of `format`, rows `stride` bytes apart; the last row may end without its padding.
    ///
    /// # Errors
    /// [`SurfaceError`] names the number that is wrong.
    pub fn new(bytes: &'a [u8], size: Size, stride: usize, format: PixelFormat) -> Result<Self, SurfaceError> {
        if !size.is_valid() {
            return Err(SurfaceError::Size(size));
        }
        let row = size.width as usize * format.bytes();
        if stride < row {
            return Err(SurfaceError::Stride { stride, row });
        }
        let needed = stride
            .checked_mul(size.height as usize - 1)
            .and_then(|all| all.checked_add(row));
        if needed.is_none_or(|needed| needed > bytes.len()) {
            return Err(SurfaceError::Length {
                bytes: bytes.len(),
                needed: needed.unwrap_or(usize::MAX),
            });
        }
        Ok(Self {
            bytes,
            size,
            stride,
            format,
        })
    }
}

impl PixelRows for SliceRows<'_> {
    fn read_row(&self, x: u32, y: u32, out: &mut [u8]) {
        if x >= self.size.width || y >= self.size.height {
            return;
        }
        let start = y as usize * self.stride + x as usize * self.format.bytes();
        let row = (self.size.width - x) as usize * self.format.bytes();
        let row = &self.bytes[start..start + row];
        if self.format == PixelFormat::Bgrx32 {
            let len = row.len().min(out.len());
            out[..len].copy_from_slice(&row[..len]);
        } else {
            convert::to_bgrx(self.format, row, out);
        }
    }

    fn direct(&self, rect: Rect<Guest>) -> Option<Rows<'_>> {
        let is_inside = rect.right() <= self.size.width && rect.bottom() <= self.size.height;
        (self.format == PixelFormat::Bgrx32 && is_inside).then(|| Rows {
            bytes: &self.bytes[rect.y as usize * self.stride + rect.x as usize * 4..],
            stride: self.stride,
        })
    }

    fn extent(&self) -> Size {
        self.size
    }
}

/// The one writer of a surface.
#[derive(Debug)]
pub struct SurfaceWriter {
    shared: Arc<Shared>,
    size: Size,
    /// One chunk of source pixels, so that no lock is held while the guest's memory is read.
    scratch: Vec<u8>,
    /// The private copy that `draw` draws on, and whether it equals the frame.
    drawing: Vec<u8>,
    drawing_is_current: bool,
}

impl SurfaceWriter {
    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Changes the size. The surface is black then and everything counts as changed, also if the size is the same.
    ///
    /// # Errors
    /// [`SurfaceError::Size`] if an edge is 0 or over the limit; the surface stays as it is.
    pub fn resize(&mut self, size: Size) -> Result<Generation, SurfaceError> {
        if !size.is_valid() {
            return Err(SurfaceError::Size(size));
        }
        let generation = {
            let mut frame = self.shared.frame.write();
            let generation = Generation(frame.generation.0 + 1);
            *frame = Frame::black(size, generation);
            generation
        };
        self.size = size;
        self.drawing_is_current = false;
        self.shared.cache.clear();
        Ok(generation)
    }

    /// Brings rectangles of the frame up to date: the frame's pixel p is the source's pixel p − `origin`.
    ///
    /// Rectangles are clipped to the frame and to the source. Tiles in which no pixel differs keep their generation.
    /// Returns the newest generation, or `None` if nothing differed.
    pub fn commit(
        &mut self,
        rects: &[Rect<Guest>],
        source: &dyn PixelRows,
        origin: Point<Guest>,
    ) -> Option<Generation> {
        let newest = self.compare_and_copy(rects, source, origin);
        if newest.is_some() {
            self.rest();
        }
        newest
    }

    /// Gives back the memory of the copy on which [`Self::draw`] draws, until it is called again.
    pub fn rest(&mut self) {
        self.drawing = Vec::new();
        self.drawing_is_current = false;
    }

    /// Draws on a private copy of the frame, then commits what the drawing touched.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Canvas<'_>)) -> Option<Generation> {
        let mut drawing = std::mem::take(&mut self.drawing);
        if !self.drawing_is_current {
            drawing.clear();
            drawing.extend_from_slice(&self.shared.frame.read().pixels);
        }
        let mut canvas = Canvas::new(&mut drawing, self.size);
        draw(&mut canvas);
        let touched = canvas.touched();
        let rows = SliceRows {
            bytes: &drawing,
            size: self.size,
            stride: self.size.width as usize * 4,
            format: PixelFormat::Bgrx32,
        };
        let newest = self.compare_and_copy(&[touched], &rows, Point::new(0, 0));
        self.drawing = drawing;
        self.drawing_is_current = true;
        newest
    }

    fn compare_and_copy(
        &mut self,
        rects: &[Rect<Guest>],
        source: &dyn PixelRows,
        origin: Point<Guest>,
    ) -> Option<Generation> {
        let extent = source.extent();
        let source_rect = Rect::new(origin.x, origin.y, extent.width, extent.height);
        let mut newest = None;
        for rect in rects {
            let rect = rect.intersect(self.size.rect()).intersect(source_rect);
            if rect.is_empty() {
                continue;
            }
            let place = Rect::new(rect.x - origin.x, rect.y - origin.y, rect.width, rect.height);
            let is_direct = source.direct(place).is_some();
            for chunk in chunks(rect, if is_direct { Size::MAX_EDGE } else { CHUNK_WIDTH }) {
                newest = self.commit_chunk(chunk, source, origin).or(newest);
            }
        }
        newest
    }

    /// One chunk: at most one row of tiles high.
    fn commit_chunk(&mut self, chunk: Rect<Guest>, source: &dyn PixelRows, origin: Point<Guest>) -> Option<Generation> {
        let place = Rect::new(chunk.x - origin.x, chunk.y - origin.y, chunk.width, chunk.height);
        let rows = match source.direct(place) {
            Some(rows) => rows,
            None => read(place, source, &mut self.scratch),
        };
        // Only this writer changes the frame, so what is found here still holds below.
        if self.shared.frame.read().shows(chunk, rows) {
            return None;
        }
        self.shared.frame.write().update(chunk, rows)
    }
}

/// Copies a rectangle out of the source.
fn read<'a>(place: Rect<Guest>, source: &dyn PixelRows, scratch: &'a mut Vec<u8>) -> Rows<'a> {
    let stride = place.width as usize * 4;
    let len = stride * place.height as usize;
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
    for (row, y) in scratch[..len].chunks_exact_mut(stride).zip(place.y..) {
        source.read_row(place.x, y, row);
    }
    Rows {
        bytes: &scratch[..len],
        stride,
    }
}

/// Widest chunk of a source that must be copied out first: 64 rows of it fit a second-level cache.
const CHUNK_WIDTH: u32 = 16 * TILE;

/// Cuts a rectangle that is inside a frame and not empty at the rows of tiles, and at every `width` columns.
fn chunks(rect: Rect<Guest>, width: u32) -> impl Iterator<Item = Rect<Guest>> {
    let cut = |from: u32, end: u32, step: u32| {
        let first = from / step * step;
        (first..end)
            .step_by(step as usize)
            .map(move |at| (at.max(from), end.min(at + step)))
    };
    cut(rect.y, rect.bottom(), TILE).flat_map(move |(top, bottom)| {
        cut(rect.x, rect.right(), width).map(move |(left, right)| Rect::new(left, top, right - left, bottom - top))
    })
}

/// A reader of a surface. Clones are cheap.
#[derive(Debug, Clone)]
pub struct SurfaceReader {
    pub(crate) shared: Arc<Shared>,
}

impl SurfaceReader {
    /// Size in pixels now.
    pub fn size(&self) -> Size {
        self.shared.frame.read().size
    }

    /// Generation of the last change.
    pub fn generation(&self) -> Generation {
        self.shared.frame.read().generation
    }

    /// A copy of all pixels as B, G, R, 255, top row first.
    pub fn snapshot(&self) -> (Size, Vec<u8>) {
        let frame = self.shared.frame.read();
        (frame.size, frame.pixels.clone())
    }

    /// The encoded tiles that the viewers of this surface share.
    pub fn cache(&self) -> &EncodeCache {
        &self.shared.cache
    }

    pub(crate) fn frame(&self) -> RwLockReadGuard<'_, Frame> {
        self.shared.frame.read()
    }
}

/// What writer, readers and jobs share.
#[derive(Debug)]
pub(crate) struct Shared {
    frame: RwLock<Frame>,
    pub(crate) cache: EncodeCache,
}

/// Bytes of encoded tiles kept per surface.
const CACHE_BYTES: usize = 24 << 20;
/// The pixels and when they changed.
///
/// INVARIANT: `pixels` holds 4 bytes per pixel of `size`, the fourth always 255.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) size: Size,
    pub(crate) generation: Generation,
    pub(crate) damage: DamageLog,
    pixels: Vec<u8>,
}

impl Frame {
    fn black(size: Size, generation: Generation) -> Self {
        let mut pixels = vec![0; size.area() as usize * 4];
        for pixel in pixels.as_chunks_mut::<4>().0 {
            pixel[3] = 255;
        }
        Self {
            size,
            generation,
            damage: DamageLog::new(size, generation),
            pixels,
        }
    }

    fn stride(&self) -> usize {
        self.size.width as usize * 4
    }

    /// Whether a chunk looks so already.
    fn shows(&self, chunk: Rect<Guest>, source: Rows<'_>) -> bool {
        let here = Rows {
            bytes: &self.pixels[chunk.y as usize * self.stride() + chunk.x as usize * 4..],
            stride: self.stride(),
        };
        diff::is_same(Level::best(), here, source, chunk.width as usize, chunk.height as usize)
    }

    /// Compares and copies a chunk inside one row of tiles.
    fn update(&mut self, chunk: Rect<Guest>, source: Rows<'_>) -> Option<Generation> {
        let next = Generation(self.generation.0 + 1);
        let tile_row = chunk.y / TILE;
        for column in chunk.x / TILE..chunk.right().div_ceil(TILE) {
            let tile = Rect::new(column * TILE, tile_row * TILE, TILE, TILE);
            let part = chunk.intersect(tile);
            let rows = Rows {
                bytes: &source.bytes[(part.x - chunk.x) as usize * 4..],
                stride: source.stride,
            };
            if self.update_part(part, rows) {
                self.damage.record(self.damage.grid.index(column, tile_row), next);
                self.generation = next;
            }
        }
        (self.generation == next).then_some(next)
    }

    fn update_part(&mut self, part: Rect<Guest>, source: Rows<'_>) -> bool {
        let stride = self.stride();
        let start = part.y as usize * stride + part.x as usize * 4;
        let mut target = RowsMut {
            bytes: &mut self.pixels[start..],
            stride,
        };
        diff::update(
            Level::best(),
            &mut target,
            source,
            part.width as usize,
            part.height as usize,
        )
        .is_some()
    }

    /// Copies pixels of a row from column `x` on, as many as there are.
    pub(crate) fn copy_row(&self, x: u32, y: u32, out: &mut [u8]) {
        if x < self.size.width && y < self.size.height {
            let start = y as usize * self.stride() + x as usize * 4;
            let len = out.len().min((self.size.width - x) as usize * 4);
            out[..len].copy_from_slice(&self.pixels[start..start + len]);
        }
    }

    /// Appends the pixels of a tile, row by row without padding.
    pub(crate) fn copy_tile(&self, index: usize, out: &mut Vec<u8>) {
        let (x, y, whole) = self.damage.grid.tile(index);
        let start = y as usize * TILE as usize * self.stride() + x as usize * TILE as usize * 4;
        for row in self.pixels[start..].chunks(self.stride()).take(whole.height()) {
            out.extend_from_slice(&row[..whole.width() * 4]);
        }
    }
}
