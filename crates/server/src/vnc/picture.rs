//! What a VNC viewer has of its desktop, and the next update made of it: whatever is newer than what it was sent, read
//! from the surface while it is encoded, a band at a time.

use rdpmux_engine::{PixelRows, SurfaceReader};
use rdpmux_model::{Generation, Guest, PointerShape, Rect, Size, TILE};
use rdpmux_rfb::{Encoder, Shown, SizeNews, Strip, Update};

/// What the next update has to hold besides what changed.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// What the viewer lost.
    pub(super) lost: Option<Rect<Guest>>,
    /// What is to be said of the size.
    pub(super) size: Option<SizeNews>,
    /// A pointer that it does not show yet.
    pub(super) pointer: Option<PointerShape>,
    /// It asked to name keys.
    pub(super) confirm_keys: bool,
}

impl Wanted {
    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_none() && self.size.is_none() && self.pointer.is_none() && !self.confirm_keys
    }
}

/// One viewer's picture. It moves to where updates are made and back.
pub(super) struct Picture {
    surface: SurfaceReader,
    encoder: Encoder,
    /// Everything up to here was sent.
    sent: Generation,
    /// The size that the viewer knows.
    told: Size,
    /// The guest's size when the last update was made.
    guest: Size,
}

/// An update and what made it.
pub(super) struct Made {
    pub(super) picture: Picture,
    /// Empty if there was nothing to send.
    pub(super) bytes: Vec<u8>,
}

impl Picture {
    /// For a viewer that was told `size` and has no pixels yet.
    pub(super) fn new(surface: SurfaceReader, size: Size) -> Self {
        Self {
            surface,
            encoder: Encoder::default(),
            sent: Generation(0),
            told: size,
            guest: size,
        }
    }

    /// Whether the guest drew something that was not sent.
    pub(super) fn is_behind(&self) -> bool {
        self.surface.generation() > self.sent
    }

    /// Makes an update; takes milliseconds for a whole screen.
    pub(super) fn update(mut self, shown: Shown, wanted: Wanted) -> Made {
        let changes = self.surface.changes_since(self.sent);
        let mut size_news = wanted.size;
        let mut lost = wanted.lost;
        if changes.size != self.guest {
            // A viewer that cannot follow sees what fits, with black where the guest has nothing.
            lost = Some(Rect::new(0, 0, u32::MAX, u32::MAX));
            self.guest = changes.size;
        }
        if changes.size != self.told && (shown.size || shown.extended_size) {
            size_news = Some(size_news.unwrap_or(SizeNews::Now));
            self.told = changes.size;
        }
        self.sent = changes.generation;
        let bounds = self.told.rect();
        let lost = lost.map(|lost| lost.intersect(bounds)).filter(|lost| !lost.is_empty());
        let is_all = lost == Some(bounds);
        let rects = changes.rects.into_iter().filter(|_| !is_all);
        let rects = rects.map(|rect| rect.intersect(bounds));
        let strips = lost
            .into_iter()
            .flat_map(bands)
            .chain(rects.filter(|rect| !rect.is_empty()));
        let surface = self.surface.clone();
        let update = Update {
            shown,
            size: self.told,
            size_news,
            pointer: wanted.pointer,
            confirm_keys: wanted.confirm_keys,
        };
        let mut bytes = Vec::new();
        let strips = strips.map(|rect| strip(&surface, rect));
        if self.encoder.encode(&update, strips, &mut bytes) == 0 {
            bytes.clear();
        }
        Made { picture: self, bytes }
    }
}

/// A rectangle in bands of a tile's height.
fn bands(rect: Rect<Guest>) -> impl Iterator<Item = Rect<Guest>> {
    (rect.y..rect.bottom()).step_by(TILE as usize).map(move |y| {
        let height = TILE.min(rect.bottom() - y);
        Rect::new(rect.x, y, rect.width, height)
    })
}

/// Pixels of a rectangle; black where the surface has none.
fn strip(surface: &SurfaceReader, rect: Rect<Guest>) -> Strip {
    let row = rect.width as usize * 4;
    let mut bgrx = vec![0; row * rect.height as usize];
    for (pixels, y) in bgrx.chunks_exact_mut(row).zip(rect.y..) {
        surface.read_row(rect.x, y, pixels);
    }
    Strip { rect, bgrx }
}

#[cfg(test)]
mod tests {
    use rdpmux_engine::surface;
    use rdpmux_rfb::Viewer;

    use super::*;

    /// The rectangles of a raw update: left, top, width, height, encoding.
    fn rects(update: &[u8]) -> Vec<[i32; 5]> {
        let word = |at: usize| i32::from(u16::from_be_bytes([update[at], update[at + 1]]));
        let mut at = 4;
        let mut found = Vec::new();
        while at < update.len() {
            let encoding = i32::from_be_bytes(update[at + 8..at + 12].try_into().expect("4 bytes"));
            let [x, y, width, height] = [0, 2, 4, 6].map(|offset| word(at + offset));
            found.push([x, y, width, height, encoding]);
            at += 12
                + if encoding == 0 {
                    (width * height * 4) as usize
                } else {
                    0
                };
        }
        assert_eq!(word(2) as usize, found.len());
        found
    }

    #[test]
    fn a_viewer_gets_everything_once_then_changes_then_nothing() {
        let (mut writer, reader) = surface(Size::new(100, 70));
        let shown = Viewer::new(None).shown();
        let made = Picture::new(reader, Size::new(100, 70)).update(shown, Wanted::default());
        assert_eq!(rects(&made.bytes), [[0, 0, 100, 64, 0], [0, 64, 100, 6, 0]]);
        assert!(!made.picture.is_behind());
        writer.draw(|canvas| rdpmux_engine::draw_card(canvas, "x", &[]));
        assert!(made.picture.is_behind());
        let made = made.picture.update(shown, Wanted::default());
        assert!(!rects(&made.bytes).is_empty());
        let made = made.picture.update(shown, Wanted::default());
        assert!(made.bytes.is_empty());
        let lost = Some(Rect::new(90, 60, 4000, 7));
        let made = made.picture.update(
            shown,
            Wanted {
                lost,
                ..Wanted::default()
            },
        );
        assert_eq!(rects(&made.bytes), [[90, 60, 10, 7, 0]]);
    }

    #[test]
    fn a_new_size_is_told_or_the_old_one_is_filled() {
        let (mut writer, reader) = surface(Size::new(100, 70));
        let plain = Viewer::new(None).shown();
        let follows = Shown { size: true, ..plain };
        let [plain_viewer, follower] = [plain, follows].map(|shown| {
            let picture = Picture::new(reader.clone(), Size::new(100, 70));
            picture.update(shown, Wanted::default()).picture
        });
        writer.resize(Size::new(64, 80)).expect("a size");
        let made = plain_viewer.update(plain, Wanted::default());
        assert_eq!(rects(&made.bytes), [[0, 0, 100, 64, 0], [0, 64, 100, 6, 0]]);
        let made = follower.update(follows, Wanted::default());
        assert_eq!(
            rects(&made.bytes),
            [[0, 0, 64, 80, -223], [0, 0, 64, 64, 0], [0, 64, 64, 16, 0]]
        );
    }
}
