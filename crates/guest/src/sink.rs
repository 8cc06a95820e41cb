//! The one door from a backend to a head's pixels, pointer and state. Whatever a guest says about sizes, strides,
//! formats and lengths is checked here, once; what is wrong is an error and changes nothing. Never waits for a viewer.

use std::sync::Arc;

use rdpmux_engine::{Canvas, PixelRows, SliceRows, SurfaceError, SurfaceWriter, draw_card, surface};
use rdpmux_model::{
    Generation, Guest, HeadState, InputEvent, PixelFormat, Point, PointerImage, PointerShape, Rect, Size,
};
use tokio::sync::{mpsc, watch};

use crate::port::HeadPort;

/// Why a picture or a pointer of a guest was refused. Always the guest's or the hypervisor's fault.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// An edge is 0 or beyond [`Size::MAX_EDGE`].
    #[error(
        "picture of {width}x{height} pixels is refused: edges go from 1 to {}",
        Size::MAX_EDGE
    )]
    Size {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A row does not fit into its stride.
    #[error("stride of {stride} bytes is too short for rows of {needed} bytes")]
    Stride {
        /// Bytes from one row to the next.
        stride: u32,
        /// Bytes that a row takes.
        needed: u64,
    },
    /// There are fewer bytes than rows.
    #[error("{given} bytes of pixels were given where {needed} are needed")]
    Length {
        /// Bytes in the message or the map.
        given: u64,
        /// Bytes that the picture takes.
        needed: u64,
    },
    /// A changed rectangle is in no frame.
    #[error("rectangle {width}x{height}{x:+}{y:+} is not in any frame (this one has {frame})")]
    Outside {
        /// Left edge.
        x: i32,
        /// Top edge.
        y: i32,
        /// Pixels per row.
        width: i32,
        /// Rows.
        height: i32,
        /// The frame.
        frame: Size,
    },
    /// A pointer picture has an impossible size or too few bytes.
    #[error("pointer of {width}x{height} pixels in {bytes} bytes is refused")]
    Pointer {
        /// Pixels per row.
        width: i32,
        /// Rows.
        height: i32,
        /// Bytes given.
        bytes: usize,
    },
    /// The surface refused it.
    #[error(transparent)]
    Surface(#[from] SurfaceError),
}

/// Layout of pixels in memory, checked against the number of bytes that are there.
///
/// INVARIANT: the size is valid, a row fits into the stride, all rows fit into the bytes counted in `new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    size: Size,
    stride: usize,
    format: PixelFormat,
}

impl Layout {
    /// Checks a picture of `width` × `height` pixels whose rows start every `stride` bytes in `available` bytes.
    ///
    /// # Errors
    /// [`SinkError::Size`], [`SinkError::Stride`] or [`SinkError::Length`].
    pub fn new(width: u32, height: u32, stride: u32, format: PixelFormat, available: u64) -> Result<Self, SinkError> {
        let size = Size::new(width, height);
        if !size.is_valid() {
            return Err(SinkError::Size { width, height });
        }
        let row = u64::from(width) * format.bytes() as u64;
        if u64::from(stride) < row {
            return Err(SinkError::Stride { stride, needed: row });
        }
        // The last row may end without its padding.
        let needed = u64::from(height - 1) * u64::from(stride) + row;
        if available < needed {
            return Err(SinkError::Length {
                given: available,
                needed,
            });
        }
        Ok(Self {
            size,
            stride: stride as usize,
            format,
        })
    }

    /// Pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Memory order of a pixel.
    pub fn format(&self) -> PixelFormat {
        self.format
    }
}

/// One head's surface and state, writing side.
pub struct GuestSink {
    surface: SurfaceWriter,
    frames: watch::Sender<Generation>,
    state: watch::Sender<HeadState>,
}

impl GuestSink {
    /// A new head with a black surface: its sink, where its input arrives, and the port for viewers.
    pub fn open(index: u32, label: String, size: Size) -> (Self, mpsc::Receiver<InputEvent>, HeadPort) {
        let (writer, reader) = surface(size);
        let (frames, frames_seen) = watch::channel(reader.generation());
        let (state, state_seen) = watch::channel(HeadState::default());
        let (input, input_taken) = mpsc::channel(HeadPort::INPUT_QUEUE);
        let port = HeadPort {
            index,
            label,
            surface: reader,
            frames: frames_seen,
            state: state_seen,
            input,
            audience: watch::Sender::default(),
            shape: watch::Sender::new(None),
        };
        let sink = Self {
            surface: writer,
            frames,
            state,
        };
        (sink, input_taken, port)
    }

    /// Size of the surface in pixels.
    pub fn size(&self) -> Size {
        self.surface.size()
    }

    /// Whether anybody beyond the port itself follows the frames.
    pub fn is_watched(&self) -> bool {
        self.frames.receiver_count() > 1
    }

    /// A handle that changes the head's state from another task.
    pub fn state(&self) -> watch::Sender<HeadState> {
        self.state.clone()
    }

    /// Changes the head's state; nobody is woken if nothing changed.
    pub fn set_state(&self, change: impl FnOnce(&mut HeadState)) {
        change_state(&self.state, change);
    }

    /// Gives the surface another size; it is black then. The same size changes nothing.
    ///
    /// # Errors
    /// [`SinkError::Size`] for an impossible size, [`SinkError::Surface`] if the surface refuses it.
    pub fn resize(&mut self, size: Size) -> Result<(), SinkError> {
        if !size.is_valid() {
            return Err(SinkError::Size {
                width: size.width,
                height: size.height,
            });
        }
        if size != self.surface.size() {
            let generation = self.surface.resize(size)?;
            self.publish(Some(generation));
        }
        Ok(())
    }

    /// Shows a whole picture; the surface takes its size.
    ///
    /// # Errors
    /// [`SinkError`] if the layout does not fit into `bytes`.
    pub fn scanout(&mut self, layout: Layout, bytes: &[u8]) -> Result<(), SinkError> {
        let rows = SliceRows::new(bytes, layout.size, layout.stride, layout.format)?;
        self.resize_quietly(layout.size)?;
        self.commit(layout.size.rect(), &rows, Point::new(0, 0));
        Ok(())
    }

    /// Shows a picture at (x, y) of the frame.
    ///
    /// # Errors
    /// [`SinkError::Outside`] if it does not fit there, or what [`Self::scanout`] may say.
    pub fn update(&mut self, x: i32, y: i32, layout: Layout, bytes: &[u8]) -> Result<(), SinkError> {
        let edge = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        let rect = self.clip(x, y, edge(layout.size.width), edge(layout.size.height))?;
        let rows = SliceRows::new(bytes, layout.size, layout.stride, layout.format)?;
        self.commit(rect, &rows, Point::new(rect.x, rect.y));
        Ok(())
    }

    /// The part of a rectangle that is inside the frame; it may be empty. QEMU announces rectangles of the mode before
    /// while the guest changes modes, so what sticks out is cut. What no mode can have is an error.
    ///
    /// # Errors
    /// [`SinkError::Outside`] if an edge is negative, empty or beyond [`Size::MAX_EDGE`].
    pub fn clip(&self, x: i32, y: i32, width: i32, height: i32) -> Result<Rect<Guest>, SinkError> {
        let frame = self.size();
        let span = |from: i32, length: i32| {
            let (from, length) = (u32::try_from(from).ok()?, u32::try_from(length).ok()?);
            (length > 0 && from.checked_add(length)? <= Size::MAX_EDGE).then_some((from, length))
        };
        match (span(x, width), span(y, height)) {
            (Some((x, width)), Some((y, height))) => Ok(Rect::new(x, y, width, height).intersect(frame.rect())),
            _ => Err(SinkError::Outside {
                x,
                y,
                width,
                height,
                frame,
            }),
        }
    }

    /// Copies what changed inside `rect` from `rows`; the source's pixel is the frame's minus `origin`.
    pub fn commit(&mut self, rect: Rect<Guest>, rows: &dyn PixelRows, origin: Point<Guest>) {
        let generation = self.surface.commit(&[rect], rows, origin);
        self.publish(generation);
    }

    /// Draws on the frame, for backends that draw themselves.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Canvas<'_>)) {
        let generation = self.surface.draw(draw);
        self.publish(generation);
    }

    /// Nothing will be drawn for a while: gives back memory that only drawing needs.
    pub fn rest(&mut self) {
        self.surface.rest();
    }

    /// Shows a card that fills the frame: `title` large, `lines` below.
    pub fn card(&mut self, title: &str, lines: &[&str]) {
        self.draw(|canvas| draw_card(canvas, title, lines));
        self.rest();
    }

    /// Takes a pointer picture of B, G, R, A bytes. One beyond [`PointerImage::MAX_EDGE`] is cut at the right and the
    /// bottom, and a hot spot outside is brought inside: guests do both without malice.
    ///
    /// # Errors
    /// [`SinkError::Pointer`] if an edge is not within 1 to 1024 or the bytes are not exactly 4 per pixel.
    pub fn pointer_image(size: (i32, i32), hot_spot: (i32, i32), bgra: &[u8]) -> Result<PointerShape, SinkError> {
        let (width, height) = size;
        let bytes = bgra.len();
        let refused = SinkError::Pointer { width, height, bytes };
        if !(1..=1024).contains(&width) || !(1..=1024).contains(&height) {
            return Err(refused);
        }
        let row = width as usize * 4;
        if bytes != row * height as usize {
            return Err(refused);
        }
        let shown = Size::new(
            (width as u32).min(PointerImage::MAX_EDGE),
            (height as u32).min(PointerImage::MAX_EDGE),
        );
        let taken = bgra.chunks_exact(row).take(shown.height as usize);
        let pixels: Vec<u8> = taken
            .flat_map(|pixels| &pixels[..shown.width as usize * 4])
            .copied()
            .collect();
        let hot = |at: i32, edge: u32| (at.max(0) as u32).min(edge - 1);
        let (hot_x, hot_y) = (hot(hot_spot.0, shown.width), hot(hot_spot.1, shown.height));
        let image = PointerImage::new(shown, hot_x, hot_y, pixels.into()).ok_or(refused)?;
        Ok(PointerShape::Image(Arc::new(image)))
    }

    /// As [`Self::resize`] for a picture that follows at once: followers wake for the picture only.
    pub(crate) fn resize_quietly(&mut self, size: Size) -> Result<(), SinkError> {
        if size != self.surface.size() {
            self.surface.resize(size)?;
        }
        Ok(())
    }

    fn publish(&self, generation: Option<Generation>) {
        if let Some(generation) = generation {
            self.frames.send_replace(generation);
        }
    }
}

impl std::fmt::Debug for GuestSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestSink")
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

/// Changes a head's state; nobody is woken if nothing changed.
pub(crate) fn change_state(state: &watch::Sender<HeadState>, change: impl FnOnce(&mut HeadState)) {
    state.send_if_modified(|current| {
        let before = current.clone();
        change(current);
        *current != before
    });
}
