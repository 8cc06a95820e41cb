//! What nothing can be faster than: copying a frame, and looking whether it changed.

use std::hint::black_box;

use rdpmux_engine::{SliceRows, surface};
use rdpmux_model::{PixelFormat, Point, Size};
use rdpmux_pixel::{Level, RowsMut, diff};

use crate::figure::{Row, best, speed};
use crate::pictures;
use crate::screens::tiles;

/// At both sizes; the larger one does not fit any cache.
pub fn measure() {
    for (name, size) in [("1080p", Size::new(1920, 1080)), ("4K", Size::new(3840, 2160))] {
        let frame = pictures::text(size, 0);
        let mut shadow = frame.clone();
        let (copy, ()) = best(|| shadow.copy_from_slice(black_box(&frame)));
        Row::new(format!("{name}: memcpy"), speed(size.area(), copy), "Mpixel/s").print();
        let (compare, changed) = best(|| changed_tiles(&mut shadow, &frame, size));
        assert_eq!(changed, 0);
        let row = Row::new(
            format!("{name}: compare tiles, unchanged"),
            speed(size.area(), compare),
            "Mpixel/s",
        );
        row.beside("memcpy", copy / compare).print();
        let stride = size.width as usize * 4;
        let (mut writer, reader) = surface(size);
        let rows = SliceRows::new(&frame, size, stride, PixelFormat::Bgrx32).expect("a whole frame");
        writer.commit(&[size.rect()], &rows, Point::new(0, 0));
        let (commit, newest) = best(|| writer.commit(&[size.rect()], &rows, Point::new(0, 0)));
        assert!(newest.is_none() && reader.generation().0 > 1);
        let row = Row::new(
            format!("{name}: commit, unchanged"),
            speed(size.area(), commit),
            "Mpixel/s",
        );
        let row = row.beside("memcpy", copy / commit);
        row.goal("≤ 1.3 × one memcpy, 0 bytes", commit <= 1.3 * copy).print();
    }
}

fn changed_tiles(shadow: &mut [u8], frame: &[u8], size: Size) -> usize {
    let stride = size.width as usize * 4;
    tiles(size)
        .filter(|tile| {
            let at = tile.y * stride + tile.x * 4;
            let mut target = RowsMut {
                bytes: &mut shadow[at..],
                stride,
            };
            let source = rdpmux_pixel::Rows {
                bytes: &frame[at..],
                stride,
            };
            diff::update(Level::best(), &mut target, source, 64, tile.height).is_some()
        })
        .count()
}
