//! Where each head is on the surface that spans them. Pure.

use rdpmux_model::{Guest, HeadShape, Rect, Size};

/// Places heads, given as their size and what they were told to be: as they were told once all have taken it, else side
/// by side from left to right. Nothing overlaps. A head that does not fit on a surface any more gets an empty rectangle.
/// Returns the size of the whole, too.
pub(super) fn arrange(heads: &[(Size, Option<HeadShape>)]) -> (Size, Vec<Rect<Guest>>) {
    let rects = as_told(heads).unwrap_or_else(|| side_by_side(heads));
    let all = rects.iter().copied().fold(Rect::new(0, 0, 0, 0), Rect::union);
    (Size::new(all.right().max(1), all.bottom().max(1)), rects)
}

fn as_told(heads: &[(Size, Option<HeadShape>)]) -> Option<Vec<Rect<Guest>>> {
    let told = |(size, shape): &(Size, Option<HeadShape>)| shape.filter(|shape| shape.size == *size);
    let shapes: Vec<HeadShape> = heads.iter().map(told).collect::<Option<_>>()?;
    let left = shapes.iter().map(|shape| shape.x).min()?;
    let top = shapes.iter().map(|shape| shape.y).min()?;
    let rect = |shape: &HeadShape| Rect::new(shape.x - left, shape.y - top, shape.size.width, shape.size.height);
    let rects: Vec<Rect<Guest>> = shapes.iter().map(rect).collect();
    let fits = |rect: &Rect<Guest>| rect.right() <= Size::MAX_EDGE && rect.bottom() <= Size::MAX_EDGE;
    let is_free = |index: usize| {
        let before = &rects[..index];
        before.iter().all(|other| other.intersect(rects[index]).is_empty())
    };
    (rects.iter().all(fits) && (0..rects.len()).all(is_free)).then_some(rects)
}

fn side_by_side(heads: &[(Size, Option<HeadShape>)]) -> Vec<Rect<Guest>> {
    let mut order: Vec<usize> = (0..heads.len()).collect();
    // A head that was told nothing keeps its number's place behind the others.
    order.sort_by_key(|index| heads[*index].1.map_or((u32::MAX, u32::MAX), |shape| (shape.x, shape.y)));
    let mut rects = vec![Rect::new(0, 0, 0, 0); heads.len()];
    let mut x = 0;
    for index in order {
        let size = heads[index].0;
        if x + size.width <= Size::MAX_EDGE {
            rects[index] = Rect::new(x, 0, size.width, size.height);
            x += size.width;
        }
    }
    rects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(x: u32, y: u32, width: u32, height: u32) -> Option<HeadShape> {
        Some(HeadShape {
            x,
            y,
            size: Size::new(width, height),
            ..HeadShape::OFF
        })
    }

    const SMALL: Size = Size::new(640, 480);
    const LARGE: Size = Size::new(1280, 800);

    #[test]
    fn heads_are_where_they_were_told_to_be() {
        let heads = [(LARGE, told(700, 0, 1280, 800)), (SMALL, told(60, 320, 640, 480))];
        let (size, rects) = arrange(&heads);
        assert_eq!(size, Size::new(1920, 800));
        assert_eq!(rects, [Rect::new(640, 0, 1280, 800), Rect::new(0, 320, 640, 480)]);
    }

    #[test]
    fn heads_that_have_not_taken_their_shape_stand_side_by_side() {
        let side = |first: u32, second: u32| [Rect::new(first, 0, 1280, 800), Rect::new(second, 0, 640, 480)];
        let slow = [(LARGE, told(640, 0, 1024, 768)), (SMALL, told(0, 0, 640, 480))];
        assert_eq!(arrange(&slow), (Size::new(1920, 800), side(640, 0).to_vec()));
        let untold = [(LARGE, None), (SMALL, None)];
        assert_eq!(arrange(&untold).1, side(0, 1280));
        let overlapping = [(LARGE, told(0, 0, 1280, 800)), (SMALL, told(600, 0, 640, 480))];
        assert_eq!(arrange(&overlapping).1, side(0, 1280));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let wide = Size::new(5000, 480);
        let (size, rects) = arrange(&[(wide, None), (wide, None), (SMALL, None)]);
        assert_eq!(size, Size::new(5640, 480));
        assert_eq!((rects[1].is_empty(), rects[2].x), (true, 5000));
        assert_eq!(arrange(&[]), (Size::new(1, 1), Vec::new()));
    }
}
