//! H.264 pictures ([MS-RDPEGFX] 2.2.4.4 to 2.2.4.6).
//!
//! Clients take a picture's pixel (x, y) for the surface's pixel (x, y), whatever the destination rectangle says
//! (FreeRDP and IronRDP both). So a stream that does not cover its whole surface gets a surface of its own that nobody
//! sees, and its regions are copied from there. It also has the client keep one decoder per stream.

use ironrdp_egfx::pdu as gfx;
use rdpmux_model::{Client, Point, Rect, Size, VideoRegion, VideoStream};

use super::Surface;
use super::message::{SURFACE_TO_SURFACE, control, message, wire_to_surface};
use crate::pipe::{FrameError, FrameNumbers, edges, words};

const CODEC_AVC420: u16 = 0xB;
const CODEC_AVC444V2: u16 = 0xF;
/// `LC`, in the upper two bits of `avc420EncodedBitstreamInfo`: both views, luma, chroma.
const BOTH: u32 = 0;
const LUMA: u32 = 1 << 30;
const CHROMA: u32 = 2 << 30;

/// Streams with a surface of their own at once. The one that was not used for longest gives way.
pub(super) const LIMIT: usize = 4;

/// The surfaces that streams are decoded on, in the order of use.
#[derive(Clone, Default)]
pub(super) struct Videos(Vec<Video>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Video {
    id: u16,
    /// What it is copied to, and where.
    surface: u16,
    rect: Rect<Client>,
}

/// One picture.
#[derive(Clone, Copy)]
pub(super) struct Picture<'a> {
    pub(super) rect: Rect<Client>,
    pub(super) regions: &'a [VideoRegion],
    pub(super) stream: &'a VideoStream,
}

impl Videos {
    /// Makes sure that a stream has a surface of its own, if it needs one.
    pub(super) fn prepare(&mut self, out: &mut Vec<u8>, surface: &Surface, rect: Rect<Client>, numbers: &FrameNumbers) {
        if rect == surface.size.rect() {
            return;
        }
        if let Some(known) = self.0.iter().position(|v| v.surface == surface.id && v.rect == rect) {
            let video = self.0.remove(known);
            self.0.push(video);
            return;
        }
        if self.0.len() >= LIMIT {
            delete(out, self.0.remove(0).id);
        }
        let id = numbers.next_video_surface();
        create(out, id, Size::new(rect.width, rect.height));
        self.0.push(Video {
            id,
            surface: surface.id,
            rect,
        });
    }

    /// Drops all surfaces.
    pub(super) fn clear(&mut self, out: &mut Vec<u8>) {
        self.0.drain(..).for_each(|video| delete(out, video.id));
    }

    /// Appends a picture. [`Self::prepare`] was called for it.
    pub(super) fn show(&self, out: &mut Vec<u8>, surface: &Surface, picture: Picture<'_>) -> Result<(), FrameError> {
        let Picture { rect, regions, stream } = picture;
        let own = self.0.iter().find(|v| v.surface == surface.id && v.rect == rect);
        let (target, size, origin): (u16, Size, Point<Client>) = match own {
            Some(own) => (own.id, Size::new(rect.width, rect.height), Point::new(rect.x, rect.y)),
            None => (surface.id, surface.size, Point::new(0, 0)),
        };
        let local = |region: &VideoRegion| VideoRegion {
            rect: Rect::new(
                region.rect.x - origin.x,
                region.rect.y - origin.y,
                region.rect.width,
                region.rect.height,
            ),
            ..*region
        };
        let regions: Vec<_> = regions.iter().map(local).collect();
        write_stream(out, target, size, &regions, stream)?;
        if own.is_none() {
            return Ok(());
        }
        for region in &regions {
            message(out, SURFACE_TO_SURFACE, |out| {
                words(out, [target, surface.id]);
                edges(region.rect, size)?.write(out);
                words(
                    out,
                    [1, (region.rect.x + origin.x) as u16, (region.rect.y + origin.y) as u16],
                );
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn write_stream(
    out: &mut Vec<u8>,
    surface: u16,
    size: Size,
    regions: &[VideoRegion],
    stream: &VideoStream,
) -> Result<(), FrameError> {
    let whole = edges(size.rect(), size)?;
    match stream {
        VideoStream::Avc420(data) => wire_to_surface(out, surface, CODEC_AVC420, whole, |out| {
            bitmap_stream(out, size, regions, data)
        }),
        VideoStream::Avc444 { main, auxiliary } => wire_to_surface(out, surface, CODEC_AVC444V2, whole, |out| {
            let info = out.len();
            out.extend_from_slice(&[0; 4]);
            // The length is that of the first stream with its regions, and 0 where chroma comes alone (2.2.4.6).
            let mut word = match (main, auxiliary) {
                (Some(_), Some(_)) => BOTH,
                (_, None) => LUMA,
                (None, _) => CHROMA,
            };
            if let Some(data) = main {
                bitmap_stream(out, size, regions, data)?;
                word |= (out.len() - info - 4) as u32;
            }
            if let Some(data) = auxiliary {
                bitmap_stream(out, size, regions, data)?;
            }
            out[info..info + 4].copy_from_slice(&word.to_le_bytes());
            Ok(())
        }),
    }
}

/// `RFX_AVC420_BITMAP_STREAM` with its `RFX_AVC420_METABLOCK`.
fn bitmap_stream(out: &mut Vec<u8>, size: Size, regions: &[VideoRegion], data: &[u8]) -> Result<(), FrameError> {
    out.extend_from_slice(&(regions.len() as u32).to_le_bytes());
    for region in regions {
        edges(region.rect, size)?.write(out);
    }
    out.extend(regions.iter().flat_map(|region| [region.quantizer, region.quality]));
    out.extend_from_slice(data);
    Ok(())
}

/// Appends the making of a surface that shows nothing yet.
pub(super) fn create(out: &mut Vec<u8>, surface_id: u16, size: Size) {
    let pdu = gfx::GfxPdu::CreateSurface(gfx::CreateSurfacePdu {
        surface_id,
        width: size.width as u16,
        height: size.height as u16,
        pixel_format: gfx::PixelFormat::XRgb,
    });
    control(out, &pdu);
}

/// Appends the end of a surface.
pub(super) fn delete(out: &mut Vec<u8>, surface_id: u16) {
    control(out, &gfx::GfxPdu::DeleteSurface(gfx::DeleteSurfacePdu { surface_id }));
}
