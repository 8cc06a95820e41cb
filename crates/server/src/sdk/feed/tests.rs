use core::num::{NonZeroU16, NonZeroUsize};

use ironrdp_pdu::pointer::PointerPositionAttribute;

use super::*;
use crate::sdk::PixelFormat;

const DESKTOP: DesktopSize = DesktopSize { width: 8, height: 4 };

fn bitmap(x: u16, y: u16, (width, height): (u16, u16), format: PixelFormat, data: Vec<u8>) -> BitmapUpdate {
    BitmapUpdate {
        x,
        y,
        width: NonZeroU16::new(width).unwrap(),
        height: NonZeroU16::new(height).unwrap(),
        format,
        stride: NonZeroUsize::new(usize::from(width) * usize::from(format.bytes_per_pixel())).unwrap(),
        data: data.into(),
    }
}

/// B, G, R, X of a pixel of the surface.
fn pixel(fed: &Fed, x: usize, y: usize) -> [u8; 4] {
    let (size, pixels) = fed.surface.snapshot();
    pixels.as_chunks::<4>().0[y * size.width as usize + x]
}

#[test]
fn every_pixel_format_shows_the_same_colour() {
    // Red 255, green 130, blue 8, and an alpha that must not matter.
    let bytes = |format| -> Vec<u8> {
        match format {
            PixelFormat::ARgb32 | PixelFormat::XRgb32 => vec![7, 255, 130, 8],
            PixelFormat::ABgr32 | PixelFormat::XBgr32 => vec![7, 8, 130, 255],
            PixelFormat::BgrA32 | PixelFormat::BgrX32 => vec![8, 130, 255, 7],
            PixelFormat::RgbA32 | PixelFormat::RgbX32 => vec![255, 130, 8, 7],
            PixelFormat::Bgr24 => vec![8, 130, 255],
            PixelFormat::Rgb24 => vec![255, 130, 8],
            PixelFormat::Bgr16 => (1_u16 << 11 | 32 << 5 | 31).to_le_bytes().to_vec(),
            PixelFormat::Rgb16 => (31_u16 << 11 | 32 << 5 | 1).to_le_bytes().to_vec(),
        }
    };
    for format in PixelFormat::ALL {
        let (mut feed, fed) = Feed::new(DESKTOP);
        let update = bitmap(3, 1, (1, 1), format, bytes(format));
        feed.apply(&DisplayUpdate::Bitmap(update)).unwrap();
        assert_eq!(pixel(&fed, 3, 1), [8, 130, 255, 255], "{format:?}");
        assert_eq!(pixel(&fed, 2, 1), [0, 0, 0, 255], "{format:?}");
        assert_eq!(*fed.frames.borrow(), fed.surface.generation());
    }
}

#[test]
fn updates_that_cannot_be_true_are_refused_by_name_and_change_nothing() {
    let (mut feed, fed) = Feed::new(DESKTOP);
    let before = fed.surface.snapshot();
    let good = bitmap(0, 0, (2, 2), PixelFormat::BgrA32, vec![200; 16]);
    let short_stride = BitmapUpdate {
        stride: NonZeroUsize::new(7).unwrap(),
        ..good.clone()
    };
    let huge_stride = BitmapUpdate {
        stride: NonZeroUsize::MAX,
        ..good.clone()
    };
    let short_data = BitmapUpdate {
        data: vec![200; 15].into(),
        ..good.clone()
    };
    let outside = BitmapUpdate { x: 8, ..good.clone() };
    let sizes = [(0, 4), (8, 0), (8193, 4), (65535, 65535)];
    let mut refused = Vec::new();
    for update in [short_stride, huge_stride, short_data, outside] {
        refused.push(feed.apply(&DisplayUpdate::Bitmap(update)).unwrap_err().to_string());
    }
    for (width, height) in sizes {
        let resize = DisplayUpdate::Resize(DesktopSize { width, height });
        refused.push(feed.apply(&resize).unwrap_err().to_string());
    }
    assert!(refused[0].contains("stride 7"), "{refused:?}");
    assert!(refused[3].contains("outside of the desktop of 8x4"), "{refused:?}");
    assert!(refused[5].contains("8x0"), "{refused:?}");
    assert_eq!(fed.surface.snapshot(), before);
    feed.apply(&DisplayUpdate::Bitmap(good)).unwrap();
    assert_eq!(pixel(&fed, 1, 1), [200, 200, 200, 255]);
}

#[test]
fn what_hangs_over_an_edge_is_cut_off_and_a_resize_in_every_frame_is_followed() {
    let (mut feed, fed) = Feed::new(DESKTOP);
    let over = bitmap(6, 3, (4, 4), PixelFormat::BgrX32, vec![9; 64]);
    feed.apply(&DisplayUpdate::Bitmap(over.clone())).unwrap();
    assert_eq!([pixel(&fed, 7, 3), pixel(&fed, 5, 3)], [[9, 9, 9, 255], [0, 0, 0, 255]]);
    for edge in 1..=200 {
        let size = DesktopSize {
            width: edge,
            height: 201 - edge,
        };
        feed.apply(&DisplayUpdate::Resize(size)).unwrap();
        assert_eq!(fed.surface.size(), Size::from(size));
        // Meant for the size before; it may or may not fit.
        let _ = feed.apply(&DisplayUpdate::Bitmap(over.clone()));
    }
    let largest = DesktopSize {
        width: 8192,
        height: 8192,
    };
    feed.apply(&DisplayUpdate::Resize(largest)).unwrap();
    feed.apply(&DisplayUpdate::Resize(DESKTOP)).unwrap();
    assert_eq!(pixel(&fed, 7, 3), [0, 0, 0, 255], "black after a resize");
}

#[test]
fn pointers_are_state_and_jumps_are_counted() {
    let (mut feed, fed) = Feed::new(DESKTOP);
    let jump = DisplayUpdate::PointerPosition(PointerPositionAttribute { x: 3, y: 2 });
    for update in [DisplayUpdate::HidePointer, jump.clone(), jump] {
        feed.apply(&update).unwrap();
    }
    let state = fed.state.borrow().clone();
    assert_eq!(state.pointer, PointerShape::Hidden);
    assert_eq!(state.jump, Some(PointerJump { x: 3, y: 2, count: 2 }));
    assert_eq!(
        feed.apply(&DisplayUpdate::CachedPointer(5)),
        Err(Refused::NoSuchPointer(5))
    );
    feed.apply(&DisplayUpdate::DefaultPointer).unwrap();
    assert_eq!(fed.state.borrow().pointer, PointerShape::Default);
}
