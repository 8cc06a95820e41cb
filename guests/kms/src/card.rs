//! The first graphics card: modes, dumb buffers, dirty rectangles and the hardware cursor. Works with virtio-gpu and
//! bochs (which has no cursor and needs no dirty rectangles). Called by `main`; draws nothing but the cursor.

use crate::boot;
use crate::canvas::Canvas;
use drm::buffer::{Buffer, DrmFourcc};
use drm::control::dumbbuffer::{DumbBuffer, DumbMapping};
use drm::control::{ClipRect, Device as ControlDevice, Mode, ModeTypeFlags, connector, crtc, framebuffer};
use embedded_graphics::geometry::Point;
use embedded_graphics::primitives::Rectangle;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// An open card with a connected screen.
pub struct Card {
    file: File,
    cursor: std::cell::OnceCell<Option<DumbBuffer>>,
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
impl drm::Device for Card {}
impl ControlDevice for Card {}

/// A buffer of one mode, not yet mapped.
pub struct Screen {
    buffer: DumbBuffer,
    shown: framebuffer::Handle,
}

/// The mapped buffer of the shown mode.
pub struct Frame<'a> {
    pub canvas: Canvas<'a>,
    shown: framebuffer::Handle,
}

const CURSOR: u32 = 64;

impl Card {
    /// Waits up to `limit` for a card with a connected screen.
    pub fn open(limit: Duration) -> Result<Self, String> {
        let started = Instant::now();
        loop {
            let card = File::options()
                .read(true)
                .write(true)
                .open("/dev/dri/card0")
                .map(|file| Self {
                    file,
                    cursor: std::cell::OnceCell::new(),
                });
            match card {
                Ok(card) if card.connected().is_ok() => return Ok(card),
                Ok(_) | Err(_) if started.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
                Ok(_) => return Err("no screen is connected".to_owned()),
                Err(error) => return Err(format!("no graphics card: {error}")),
            }
        }
    }

    /// Sets the mode `wanted` (or the preferred one) with a black buffer.
    pub fn screen(&self, wanted: Option<(u16, u16)>) -> Result<Screen, String> {
        let (connector, crtc) = self.connected()?;
        let mode = choose(connector.modes(), wanted).ok_or("the screen has no modes")?;
        self.light(connector.handle(), crtc, mode)
    }

    /// The preferred mode of each head; `None` if nothing is plugged into it.
    pub fn heads(&self) -> Result<Vec<Option<Mode>>, String> {
        let all = self.resource_handles().map_err(|error| format!("resources: {error}"))?;
        let preferred = |handle: &connector::Handle| {
            let info = self.get_connector(*handle, true).ok()?;
            let is_on = info.state() == connector::State::Connected;
            is_on.then(|| choose(info.modes(), None)).flatten()
        };
        Ok(all.connectors().iter().map(preferred).collect())
    }

    /// Sets the mode of a head, or switches it off.
    pub fn set_head(&self, index: usize, mode: Option<Mode>) -> Result<Option<Screen>, String> {
        let all = self.resource_handles().map_err(|error| format!("resources: {error}"))?;
        let (Some(connector), Some(crtc)) = (all.connectors().get(index), all.crtcs().get(index)) else {
            return Err(format!("no head {index}"));
        };
        let Some(mode) = mode else {
            let off = self.set_crtc(*crtc, None, (0, 0), &[], None);
            return off.map(|()| None).map_err(|error| format!("off: {error}"));
        };
        self.light(*connector, *crtc, mode).map(Some)
    }

    fn light(&self, connector: connector::Handle, crtc: crtc::Handle, mode: Mode) -> Result<Screen, String> {
        let (width, height) = mode.size();
        let size = (u32::from(width), u32::from(height));
        let buffer = self
            .create_dumb_buffer(size, DrmFourcc::Xrgb8888, 32)
            .map_err(|error| format!("buffer: {error}"))?;
        let shown = self
            .add_framebuffer(&buffer, 24, 32)
            .map_err(|error| format!("framebuffer: {error}"))?;
        self.set_crtc(crtc, Some(shown), (0, 0), &[connector], Some(mode))
            .map_err(|error| format!("mode: {error}"))?;
        Ok(Screen { buffer, shown })
    }

    /// Defines the hardware cursor, if the card has one.
    pub fn show_cursor(&self) {
        let Ok((_, crtc)) = self.connected() else { return };
        if let Some(buffer) = self.cursor.get_or_init(|| {
            self.draw_cursor()
                .map_err(|error| boot::say(&format!("CURSOR {error}")))
                .ok()
        }) && let Err(error) = self.cursor_image(crtc, buffer)
        {
            boot::say(&format!("CURSOR {error}"));
        }
    }

    /// Moves the hardware cursor.
    pub fn move_cursor(&self, to: (i32, i32)) {
        if let Ok((_, crtc)) = self.connected() {
            #[allow(deprecated, reason = "the legacy call is the one that needs no atomic state")]
            // A card without a cursor refuses; the scenes do not need one.
            let _ = ControlDevice::move_cursor(self, crtc, to);
        }
    }

    fn cursor_image(&self, crtc: crtc::Handle, buffer: &DumbBuffer) -> std::io::Result<()> {
        #[allow(deprecated, reason = "the legacy call is the one that needs no atomic state")]
        self.set_cursor2(crtc, Some(buffer), (1, 2))
    }

    fn draw_cursor(&self) -> std::io::Result<DumbBuffer> {
        let mut buffer = self.create_dumb_buffer((CURSOR, CURSOR), DrmFourcc::Argb8888, 32)?;
        let stride = buffer.pitch() as usize;
        let mut mapping = self.map_dumb_buffer(&mut buffer)?;
        let mut canvas = Canvas::new(mapping.as_mut(), CURSOR, CURSOR, stride);
        for y in 0..32 {
            for x in 0..32 - y {
                let is_edge = x == 0 || y == 0 || x + y == 31;
                canvas.set(x, y, if is_edge { 0xff00_0000 } else { 0xffff_ff00 });
            }
        }
        drop(mapping);
        Ok(buffer)
    }

    fn connected(&self) -> Result<(connector::Info, crtc::Handle), String> {
        let all = self.resource_handles().map_err(|error| format!("resources: {error}"))?;
        for (index, handle) in all.connectors().iter().enumerate() {
            let Ok(info) = self.get_connector(*handle, true) else {
                continue;
            };
            if info.state() == connector::State::Connected && !info.modes().is_empty() {
                let crtc = all.crtcs().get(index).or_else(|| all.crtcs().first());
                return Ok((info, *crtc.ok_or("the card has no crtc")?));
            }
        }
        Err("no screen is connected".to_owned())
    }
}

impl Screen {
    /// Maps the buffer for as long as the mode is shown.
    pub fn map<'a>(&'a mut self, card: &Card) -> Result<Frame<'a>, String> {
        let (width, height) = self.buffer.size();
        let stride = self.buffer.pitch() as usize;
        let shown = self.shown;
        let mapping = card
            .map_dumb_buffer(&mut self.buffer)
            .map_err(|error| format!("map: {error}"))?;
        // Buffers and mappings are leaked on purpose: one per mode change, and the guest lives for minutes.
        let mapping: &'a mut DumbMapping<'a> = Box::leak(Box::new(mapping));
        Ok(Frame {
            canvas: Canvas::new(mapping.as_mut(), width, height, stride),
            shown,
        })
    }
}

impl Frame<'_> {
    /// Tells the card that `area` was drawn.
    pub fn flush(&mut self, card: &Card, area: Rectangle) {
        let area = area.intersection(&Rectangle::new(
            Point::zero(),
            embedded_graphics::geometry::OriginDimensions::size(&self.canvas),
        ));
        let far = area.top_left + area.size;
        let clip = ClipRect::new(
            area.top_left.x as u16,
            area.top_left.y as u16,
            far.x as u16,
            far.y as u16,
        );
        // Cards that scan the buffer out by themselves refuse this call.
        let _ = card.dirty_framebuffer(self.shown, &[clip]);
    }

    /// Tells the card that everything was drawn.
    pub fn flush_all(&mut self, card: &Card) {
        let all = Rectangle::new(
            Point::zero(),
            embedded_graphics::geometry::OriginDimensions::size(&self.canvas),
        );
        self.flush(card, all);
    }
}

fn choose(modes: &[Mode], wanted: Option<(u16, u16)>) -> Option<Mode> {
    let exact = wanted.and_then(|size| modes.iter().find(|mode| mode.size() == size));
    let preferred = modes
        .iter()
        .find(|mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED));
    exact.or(preferred).or(modes.first()).copied()
}
