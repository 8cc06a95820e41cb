//! What a program shows: its display, the updates of it, bitmaps and pointers. [`feed`](super::feed) takes them to the
//! desktop that all clients share.

use core::fmt;
use core::num::{NonZeroU16, NonZeroUsize};

use bytes::Bytes;
use ironrdp_pdu::pointer::PointerPositionAttribute;
use tracing::debug;

use super::layout::DisplayControlMonitorLayout;
use super::pixel_format::PixelFormat;

/// Width and height of a desktop in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DesktopSize {
    /// Pixels per row, 1 to 8192.
    pub width: u16,
    /// Rows, 1 to 8192.
    pub height: u16,
}

/// One change of what is shown.
#[derive(Debug, Clone)]
pub enum DisplayUpdate {
    /// The desktop has another size now and is black. Clients with the graphics pipeline are told by ResetGraphics
    /// ([MS-RDPEGFX] 2.2.2.14), others by a deactivation-reactivation sequence ([MS-RDPBCGR] 1.3.1.3).
    Resize(DesktopSize),
    /// Pixels.
    Bitmap(BitmapUpdate),
    /// The clients' pointers jump to this place ([MS-RDPBCGR] 2.2.9.1.1.4.2).
    PointerPosition(PointerPositionAttribute),
    /// A pointer of a picture and a mask.
    ColorPointer(ColorPointer),
    /// A pointer with alpha.
    RGBAPointer(RGBAPointer),
    /// No pointer.
    HidePointer,
    /// The client's own arrow.
    DefaultPointer,
    /// A pointer that was sent before, by its `cache_index`.
    CachedPointer(u16),
}

/// A pointer with alpha, of 1 × 1 to 384 × 384 pixels. Clients get it as large and as colourful as they can show it.
#[derive(Clone, PartialEq, Eq)]
pub struct RGBAPointer {
    /// The place from which [`DisplayUpdate::CachedPointer`] shows it again, below 128.
    pub cache_index: u16,
    /// Pixels per row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// Column of the pixel that points.
    pub hot_x: u16,
    /// Row of it.
    pub hot_y: u16,
    /// B, G, R, A bytes, the lowest row first, not premultiplied: the XOR mask of [MS-RDPBCGR] 2.2.9.1.1.4.4 at 32 bits.
    pub data: Vec<u8>,
}

impl fmt::Debug for RGBAPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RGBAPointer")
            .field("cache_index", &self.cache_index)
            .field("width", &self.width)
            .field("height", &self.height)
            .field("hot_x", &self.hot_x)
            .field("hot_y", &self.hot_y)
            .field("data_len", &self.data.len())
            .finish()
    }
}

/// A pointer without alpha: where a bit of the AND mask is set, a black pixel is a hole and a white one inverts the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColorPointer {
    /// The place from which [`DisplayUpdate::CachedPointer`] shows it again, below 128.
    pub cache_index: u16,
    /// Pixels per row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// Column of the pixel that points.
    pub hot_x: u16,
    /// Row of it.
    pub hot_y: u16,
    /// A bit per pixel, the lowest row first, rows padded to 2 bytes.
    pub and_mask: Vec<u8>,
    /// B, G, R bytes, the lowest row first, rows padded to 2 bytes.
    pub xor_mask: Vec<u8>,
}

/// Pixels of a rectangle of the desktop. What is beyond the desktop's edges is cut off.
#[derive(Clone)]
pub struct BitmapUpdate {
    /// Left edge.
    pub x: u16,
    /// Top edge.
    pub y: u16,
    /// Pixels per row.
    pub width: NonZeroU16,
    /// Rows.
    pub height: NonZeroU16,
    /// How the pixels lie in memory.
    pub format: PixelFormat,
    /// The top row first.
    pub data: Bytes,
    /// Bytes from a row to the next. The last row may end without its padding.
    pub stride: NonZeroUsize,
}

impl BitmapUpdate {
    /// A part of it, from column `x` and row `y` of the bitmap on, without a copy; `None` if that is not inside.
    ///
    /// ```
    /// use core::num::{NonZeroU16, NonZeroUsize};
    /// use rdpmux_server::{BitmapUpdate, PixelFormat};
    ///
    /// let original = BitmapUpdate {
    ///     x: 0,
    ///     y: 0,
    ///     width: NonZeroU16::new(100).unwrap(),
    ///     height: NonZeroU16::new(100).unwrap(),
    ///     format: PixelFormat::ARgb32,
    ///     data: vec![0; 40000].into(),
    ///     stride: NonZeroUsize::new(400).unwrap(),
    /// };
    /// let fifty = NonZeroU16::new(50).unwrap();
    /// assert!(original.sub(10, 10, fifty, fifty).is_some());
    /// assert!(original.sub(60, 10, fifty, fifty).is_none());
    /// ```
    #[must_use]
    pub fn sub(&self, x: u16, y: u16, width: NonZeroU16, height: NonZeroU16) -> Option<Self> {
        let is_inside = |from: u16, length: NonZeroU16, all: NonZeroU16| {
            from.checked_add(length.get()).is_some_and(|end| end <= all.get())
        };
        if !is_inside(x, width, self.width) || !is_inside(y, height, self.height) {
            return None;
        }
        let pixel = usize::from(self.format.bytes_per_pixel());
        let stride = self.stride.get();
        let start = usize::from(y)
            .checked_mul(stride)?
            .checked_add(usize::from(x) * pixel)?;
        let rows = usize::from(height.get() - 1).checked_mul(stride)?;
        let end = start.checked_add(rows)?.checked_add(usize::from(width.get()) * pixel)?;
        (end <= self.data.len()).then(|| Self {
            x: self.x.saturating_add(x),
            y: self.y.saturating_add(y),
            width,
            height,
            data: self.data.slice(start..end),
            ..*self
        })
    }
}

impl fmt::Debug for BitmapUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BitmapUpdate")
            .field("x", &self.x)
            .field("y", &self.y)
            .field("width", &self.width)
            .field("height", &self.height)
            .field("format", &self.format)
            .field("stride", &self.stride)
            .field("data_len", &self.data.len())
            .finish()
    }
}

/// The updates of a display, one after the other.
#[async_trait::async_trait]
pub trait RdpServerDisplayUpdates: Send {
    /// The next change. `None`: there will be no more, and what is shown stays. An error is logged, and the display is asked
    /// for new updates.
    ///
    /// # Cancel safety
    /// The future is dropped whenever something else is to be done, and asked for anew: what it has taken out of a queue must
    /// not be lost then.
    async fn next_update(&mut self) -> anyhow::Result<Option<DisplayUpdate>>;
}

/// What the clients of a server see.
///
/// It is called on a thread of its own: a display that blocks or panics is logged and delays nothing but its own updates.
/// All clients share one stream of updates, which are compared with what is shown, encoded once, and sent to each client at
/// the pace that it can take; a display may send them as often as it likes.
///
/// ```
/// use rdpmux_server::{DesktopSize, DisplayUpdate, RdpServerDisplay, RdpServerDisplayUpdates};
///
/// struct DisplayUpdates {
///     receiver: tokio::sync::mpsc::Receiver<DisplayUpdate>,
/// }
///
/// #[async_trait::async_trait]
/// impl RdpServerDisplayUpdates for DisplayUpdates {
///     async fn next_update(&mut self) -> anyhow::Result<Option<DisplayUpdate>> {
///         Ok(self.receiver.recv().await)
///     }
/// }
///
/// struct DisplayHandler {
///     width: u16,
///     height: u16,
/// }
///
/// #[async_trait::async_trait]
/// impl RdpServerDisplay for DisplayHandler {
///     async fn size(&mut self) -> DesktopSize {
///         DesktopSize { width: self.width, height: self.height }
///     }
///
///     async fn updates(&mut self) -> anyhow::Result<Box<dyn RdpServerDisplayUpdates>> {
///         let (_sender, receiver) = tokio::sync::mpsc::channel(16);
///         Ok(Box::new(DisplayUpdates { receiver }))
///     }
/// }
/// ```
#[async_trait::async_trait]
pub trait RdpServerDisplay: Send {
    /// The size of the desktop now. Asked for before the first client comes, and each time before [`Self::updates`].
    async fn size(&mut self) -> DesktopSize;

    /// The first client has a screen of this size; the answer is the size of the desktop. Asked in place of [`Self::size`]
    /// when the first client comes, if the server was built
    /// [`with_honor_client_desktop_size`](crate::RdpServerBuilder::with_honor_client_desktop_size).
    async fn request_initial_size(&mut self, client_size: DesktopSize) -> DesktopSize {
        debug!(?client_size, "a client asks for an initial size");
        self.size().await
    }

    /// The updates from now on, the whole picture first. Called when the first client comes, and again when one comes after
    /// the last has left; not per client.
    async fn updates(&mut self) -> anyhow::Result<Box<dyn RdpServerDisplayUpdates>>;

    /// A client asks for another size ([MS-RDPEDISP] 2.2.2.2). Of several clients the first decides, as long as it is there.
    /// A display that can follow sends [`DisplayUpdate::Resize`].
    fn request_layout(&mut self, layout: DisplayControlMonitorLayout) {
        debug!(?layout, "a client asks for another layout");
    }
}
