//! Updates for one viewer (RFB 7.6.1): what changed of the size, the pointer and the pixels. The compressor lives as long
//! as the connection, as ZRLE wants it.

use rdpmux_model::{Guest, PointerShape, Rect, Size};

use crate::cursor;
use crate::format::Translator;
use crate::viewer::Shown;
use crate::zrle::Zrle;

pub(crate) const RAW: i32 = 0;
pub(crate) const ZRLE: i32 = 16;
pub(crate) const CURSOR: i32 = -239;
pub(crate) const DESKTOP_SIZE: i32 = -223;
pub(crate) const EXTENDED_DESKTOP_SIZE: i32 = -308;
pub(crate) const QEMU_KEYS: i32 = -258;

/// Pixels of a part of the desktop.
#[derive(Debug, Clone)]
pub struct Strip {
    /// Where: edges of 1 to 65,535 pixels.
    pub rect: Rect<Guest>,
    /// Rows of B, G, R, X without padding.
    pub bgrx: Vec<u8>,
}

/// What is said of the desktop's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeNews {
    /// This is its size.
    Now,
    /// The viewer's wish goes to the guest, which may follow it later (rfbproto's status 4).
    Forwarded,
    /// The viewer may not decide (status 1).
    Prohibited,
}

/// What a viewer is sent at once.
#[derive(Debug, Clone)]
pub struct Update {
    /// What the viewer can show.
    pub shown: Shown,
    /// The desktop's size.
    pub size: Size,
    /// What is said of it; left out for viewers that know nothing of sizes.
    pub size_news: Option<SizeNews>,
    /// The pointer's picture, for viewers that draw it.
    pub pointer: Option<PointerShape>,
    /// Confirms that the viewer may name keys.
    pub confirm_keys: bool,
}

/// Makes updates.
#[derive(Debug, Default)]
pub struct Encoder {
    zrle: Zrle,
}

impl Encoder {
    /// Appends an update and returns how many rectangles it has. Strips whose pixels are not as many as their rectangle has
    /// are left out, and those beyond 65,535.
    pub fn encode(&mut self, update: &Update, strips: impl IntoIterator<Item = Strip>, out: &mut Vec<u8>) -> u16 {
        let shown = update.shown;
        let translator = Translator::new(shown.format);
        out.extend_from_slice(&[0, 0]);
        let count_at = out.len();
        out.extend_from_slice(&[0, 0]);
        let mut count: u16 = 0;
        if let Some(news) = update.size_news
            && size(shown, update.size, news, out)
        {
            count += 1;
        }
        if update.confirm_keys {
            rectangle([0; 4], QEMU_KEYS, out);
            count += 1;
        }
        if let Some(pointer) = update.pointer.as_ref().filter(|_| shown.cursor) {
            cursor::encode(pointer, &translator, out);
            count += 1;
        }
        for strip in strips.into_iter().take(usize::from(u16::MAX - count)) {
            let Rect {
                x, y, width, height, ..
            } = strip.rect;
            if strip.rect.is_empty() || strip.rect.size().area() * 4 != strip.bgrx.len() as u64 {
                continue;
            }
            rectangle([x, y, width, height], if shown.zrle { ZRLE } else { RAW }, out);
            match shown.zrle {
                true => self.zrle.encode(&strip.bgrx, width as usize, &translator, out),
                false => translator.put_all(&strip.bgrx, out),
            }
            count += 1;
        }
        out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
        count
    }
}

/// Appends the rectangle that tells the size, in the way that the viewer knows; `false` if it knows none.
fn size(shown: Shown, Size { width, height }: Size, news: SizeNews, out: &mut Vec<u8>) -> bool {
    if !shown.extended_size {
        if shown.size && news == SizeNews::Now {
            rectangle([0, 0, width, height], DESKTOP_SIZE, out);
        }
        return shown.size && news == SizeNews::Now;
    }
    let (reason, status) = match news {
        SizeNews::Now => (0, 0),
        SizeNews::Forwarded => (1, 4),
        SizeNews::Prohibited => (1, 1),
    };
    rectangle([reason, status, width, height], EXTENDED_DESKTOP_SIZE, out);
    out.extend_from_slice(&[1, 0, 0, 0]);
    // One screen: number 0, all of the desktop, no flags.
    out.extend_from_slice(&[0; 8]);
    edges([width, height], out);
    out.extend_from_slice(&[0; 4]);
    true
}

/// Appends the head of a rectangle: left, top, width, height.
pub(crate) fn rectangle(place: [u32; 4], encoding: i32, out: &mut Vec<u8>) {
    edges(place, out);
    out.extend_from_slice(&encoding.to_be_bytes());
}

fn edges<const N: usize>(numbers: [u32; N], out: &mut Vec<u8>) {
    for number in numbers {
        out.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::PixelFormat;

    fn update(shown: Shown) -> Update {
        Update {
            shown,
            size: Size::new(300, 2),
            size_news: None,
            pointer: None,
            confirm_keys: false,
        }
    }

    fn shown() -> Shown {
        crate::Viewer::new(None).shown()
    }

    #[test]
    fn raw_pixels_follow_their_rectangle_and_wrong_strips_are_left_out() {
        let strip = |width, bytes: usize| Strip {
            rect: Rect::new(1, 2, width, 1),
            bgrx: vec![7; bytes],
        };
        let mut out = Vec::new();
        let strips = vec![strip(2, 8), strip(2, 4), strip(0, 0)];
        assert_eq!(Encoder::default().encode(&update(shown()), strips, &mut out), 1);
        assert_eq!(out[..4], [0, 0, 0, 1]);
        assert_eq!(out[4..16], [0, 1, 0, 2, 0, 2, 0, 1, 0, 0, 0, 0]);
        assert_eq!(out[16..], [7; 8]);
    }

    #[test]
    fn a_size_is_told_in_the_way_that_the_viewer_knows() {
        let told = |shown: Shown, news| {
            let mut out = Vec::new();
            let update = Update {
                size_news: Some(news),
                ..update(shown)
            };
            Encoder::default().encode(&update, [], &mut out);
            out
        };
        assert_eq!(told(shown(), SizeNews::Now), [0; 4]);
        let plain = Shown { size: true, ..shown() };
        assert_eq!(
            told(plain, SizeNews::Now),
            [0, 0, 0, 1, 0, 0, 0, 0, 1, 44, 0, 2, 255, 255, 255, 0x21]
        );
        assert_eq!(told(plain, SizeNews::Prohibited), [0; 4]);
        let extended = Shown {
            extended_size: true,
            ..plain
        };
        let answer = told(extended, SizeNews::Forwarded);
        assert_eq!(
            answer[4..],
            [
                0, 1, 0, 4, 1, 44, 0, 2, 255, 255, 254, 0xCC, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 44, 0, 2, 0, 0, 0,
                0
            ]
        );
    }

    #[test]
    fn a_pointer_has_its_pixels_and_a_mask() {
        let image = rdpmux_model::PointerImage::new(
            Size::new(9, 1),
            8,
            0,
            [[1, 2, 3, 255], [9, 9, 9, 0]].concat().repeat(5)[..36].into(),
        );
        let pointer = PointerShape::Image(std::sync::Arc::new(image.expect("a picture")));
        let mut out = Vec::new();
        let shown = Shown {
            cursor: true,
            format: PixelFormat::BGRX,
            ..shown()
        };
        let update = Update {
            pointer: Some(pointer),
            ..update(shown)
        };
        Encoder::default().encode(&update, [], &mut out);
        assert_eq!(out[4..16], [0, 8, 0, 0, 0, 9, 0, 1, 255, 255, 255, 0x11]);
        assert_eq!(out[16..20], [1, 2, 3, 0]);
        assert_eq!(out[16 + 36..], [0b1010_1010, 0b1000_0000]);
    }
}
