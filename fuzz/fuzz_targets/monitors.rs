//! Any list of monitors, in a connection request and on the display control channel: it is refused, or it can be true.

use rdpmux_model::{MonitorLayout, Rect, Size};
use rdpmux_rdp::monitors;

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else {
        return;
    };
    let layout = match kind % 4 {
        0 => monitors::in_request(body),
        1 => monitors::in_request(&request(body)),
        2 => monitors::in_display_control(body),
        _ => monitors::in_display_control(&[&2_u32.to_le_bytes()[..], &[0; 4], &40_u32.to_le_bytes(), body].concat()),
    };
    if let Some(Ok(layout)) = layout {
        check(&layout);
    }
}

/// A connection request that ends with both lists.
fn request(body: &[u8]) -> Vec<u8> {
    let (first, second) = body.split_at(body.len() / 2);
    let block = |kind: u16, body: &[u8]| {
        let length = (body.len() + 4) as u16;
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), body].concat()
    };
    [&b"Duca\x81\x00"[..], &block(0xC005, first), &block(0xC008, second)].concat()
}

fn check(layout: &MonitorLayout) {
    let heads = layout.heads();
    assert!((1..=MonitorLayout::MOST).contains(&heads.len()));
    assert!(layout.monitors()[0].primary);
    let rects: Vec<Rect<rdpmux_model::Guest>> = heads
        .iter()
        .map(|head| Rect::new(head.x, head.y, head.size.width, head.size.height))
        .collect();
    for (index, rect) in rects.iter().enumerate() {
        assert!(rect.width >= MonitorLayout::LEAST_EDGE && rect.height >= MonitorLayout::LEAST_EDGE);
        assert!(rect.width % 2 == 0 && heads[index].width_mm > 0 && heads[index].height_mm > 0);
        assert!(rect.right() <= Size::MAX_EDGE && rect.bottom() <= Size::MAX_EDGE);
        assert!(rects[..index].iter().all(|other| other.intersect(*rect).is_empty()));
    }
}
