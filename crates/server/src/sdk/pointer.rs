//! Pointers of a display, from the protocol's masks to pictures, and the places from which they are shown again.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdpmux_model::{PointerImage, PointerShape, Size};

use super::display::{ColorPointer, RGBAPointer};
use super::feed::Refused;

/// Pointers that were sent, by their `cache_index`.
#[derive(Default)]
pub(super) struct Pointers(BTreeMap<u16, PointerShape>);

impl Pointers {
    pub(super) fn rgba(&mut self, pointer: &RGBAPointer) -> Result<PointerShape, Refused> {
        let image = || {
            let size = Size::new(pointer.width.into(), pointer.height.into());
            let stride = usize::from(pointer.width) * 4;
            if stride == 0 || pointer.data.len() != stride * usize::from(pointer.height) {
                return None;
            }
            let bgra: Vec<u8> = pointer.data.rchunks_exact(stride).flatten().copied().collect();
            PointerImage::new(size, pointer.hot_x.into(), pointer.hot_y.into(), bgra.into())
        };
        self.keep(pointer.cache_index, image().ok_or(Refused::Pointer)?)
    }

    pub(super) fn color(&mut self, pointer: &ColorPointer) -> Result<PointerShape, Refused> {
        self.keep(pointer.cache_index, masked(pointer).ok_or(Refused::Pointer)?)
    }

    pub(super) fn cached(&self, index: u16) -> Result<PointerShape, Refused> {
        self.0.get(&index).cloned().ok_or(Refused::NoSuchPointer(index))
    }

    fn keep(&mut self, index: u16, image: PointerImage) -> Result<PointerShape, Refused> {
        if index >= PLACES {
            return Err(Refused::PointerPlace(index));
        }
        let shape = PointerShape::Image(Arc::new(image));
        self.0.insert(index, shape.clone());
        Ok(shape)
    }
}

/// Brings picture and mask together. Pixels that would invert the screen are black: a picture cannot say that.
fn masked(pointer: &ColorPointer) -> Option<PointerImage> {
    let (width, height) = (usize::from(pointer.width), usize::from(pointer.height));
    let (xor_stride, and_stride) = ((width * 3).next_multiple_of(2), width.div_ceil(16) * 2);
    if width == 0 || pointer.xor_mask.len() != xor_stride * height || pointer.and_mask.len() != and_stride * height {
        return None;
    }
    let rows = pointer.xor_mask.rchunks_exact(xor_stride);
    let masks = pointer.and_mask.rchunks_exact(and_stride);
    let mut bgra = Vec::with_capacity(width * height * 4);
    for (row, mask) in rows.zip(masks) {
        for (x, pixel) in row.as_chunks::<3>().0.iter().take(width).enumerate() {
            let is_masked = mask[x / 8] & (0x80 >> (x % 8)) != 0;
            match (is_masked, *pixel) {
                (false, [b, g, r]) => bgra.extend([b, g, r, 255]),
                (true, [0, 0, 0]) => bgra.extend([0; 4]),
                (true, _) => bgra.extend([0, 0, 0, 255]),
            }
        }
    }
    let size = Size::new(pointer.width.into(), pointer.height.into());
    PointerImage::new(size, pointer.hot_x.into(), pointer.hot_y.into(), bgra.into())
}

/// Pointers that are kept: 75 MB of the largest ones.
const PLACES: u16 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn image(shape: PointerShape) -> Arc<PointerImage> {
        match shape {
            PointerShape::Image(image) => image,
            other => panic!("{other:?} is no picture"),
        }
    }

    #[test]
    fn a_pointer_with_alpha_is_turned_upright_and_shown_again_from_its_place() {
        let mut pointers = Pointers::default();
        let pointer = RGBAPointer {
            cache_index: 3,
            width: 1,
            height: 2,
            hot_x: 0,
            hot_y: 1,
            data: vec![1, 2, 3, 4, 5, 6, 7, 8],
        };
        let shape = pointers.rgba(&pointer).unwrap();
        assert_eq!(image(shape.clone()).bgra(), [5, 6, 7, 8, 1, 2, 3, 4]);
        assert_eq!(pointers.cached(3).unwrap(), shape);
        assert!(matches!(pointers.cached(4), Err(Refused::NoSuchPointer(4))));
    }

    #[test]
    fn a_pointer_of_masks_has_colours_holes_and_black_for_what_inverts() {
        let pointer = ColorPointer {
            cache_index: 0,
            width: 3,
            height: 1,
            hot_x: 2,
            hot_y: 0,
            and_mask: vec![0b0110_0000, 0],
            xor_mask: vec![9, 8, 7, 0, 0, 0, 255, 255, 255, 0],
        };
        let shape = Pointers::default().color(&pointer).unwrap();
        assert_eq!(image(shape).bgra(), [9, 8, 7, 255, 0, 0, 0, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn pointers_whose_numbers_cannot_be_true_are_refused() {
        let mut pointers = Pointers::default();
        let good = RGBAPointer {
            cache_index: 0,
            width: 2,
            height: 2,
            hot_x: 0,
            hot_y: 0,
            data: vec![0; 16],
        };
        let bad = [
            RGBAPointer {
                width: 0,
                ..good.clone()
            },
            RGBAPointer {
                hot_x: 2,
                ..good.clone()
            },
            RGBAPointer {
                width: 385,
                height: 1,
                data: vec![0; 385 * 4],
                ..good.clone()
            },
            RGBAPointer {
                data: vec![0; 15],
                ..good.clone()
            },
            RGBAPointer {
                cache_index: 128,
                ..good.clone()
            },
        ];
        bad.iter()
            .for_each(|pointer| assert!(pointers.rgba(pointer).is_err(), "{pointer:?}"));
        let masks = ColorPointer {
            cache_index: 0,
            width: 2,
            height: 2,
            hot_x: 0,
            hot_y: 0,
            and_mask: vec![0; 3],
            xor_mask: vec![0; 12],
        };
        assert!(pointers.color(&masks).is_err());
        assert!(pointers.rgba(&good).is_ok());
    }
}
