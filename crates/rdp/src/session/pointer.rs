//! Pointer updates ([MS-RDPBCGR] 2.2.9.1.2.1.5 ff.) with a cache by picture. Pictures come from the guest and are valid
//! by type; what the client cannot draw is scaled down or reduced to two colours and a hole.

use std::sync::Arc;

use rdpmux_model::{PointerImage, PointerShape, Size};

use super::Session;
use super::caps::ClientCaps;
use crate::wire;

const CODE_NULL: u8 = 5;
const CODE_DEFAULT: u8 = 6;
const CODE_POSITION: u8 = 8;
const CODE_COLOR: u8 = 9;
const CODE_CACHED: u8 = 10;
const CODE_NEW: u8 = 11;
const CODE_LARGE: u8 = 12;

/// Slow-path message types of the same ([MS-RDPBCGR] 2.2.9.1.1.4).
const MESSAGE_SYSTEM: u16 = 1;
const MESSAGE_POSITION: u16 = 3;
const MESSAGE_COLOR: u16 = 6;
const MESSAGE_CACHED: u16 = 7;
const MESSAGE_NEW: u16 = 8;
const MESSAGE_LARGE: u16 = 9;
const SYSTEM_NULL: u32 = 0;
const SYSTEM_DEFAULT: u32 = 0x7F00;
const PDU_POINTER: u8 = 27;

/// Pixels below this alpha are holes where the client has no alpha.
const OPAQUE: u8 = 128;

impl Session {
    /// Has the client's pointer jump to a place of the desktop ([MS-RDPBCGR] 2.2.9.1.1.4.2).
    pub fn pointer_position(&self, x: u16, y: u16, out: &mut Vec<u8>) {
        if self.is_live() {
            let [[x0, x1], [y0, y1]] = [x, y].map(u16::to_le_bytes);
            let sender = Sender {
                caps: &self.caps,
                io: self.link.io,
            };
            sender.send(CODE_POSITION, &[x0, x1, y0, y1], out);
        }
    }
}

/// What a client holds.
#[derive(Debug, Default)]
pub(crate) struct PointerCache {
    entries: Vec<Entry>,
    clock: u64,
    shown: Option<PointerShape>,
}

#[derive(Debug)]
struct Entry {
    image: Arc<PointerImage>,
    used: u64,
}

impl PointerCache {
    /// Forgets everything: the client did too.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Appends what makes the client show `shape`; nothing if it does already.
    pub(crate) fn show(&mut self, shape: &PointerShape, caps: &ClientCaps, io: u16, out: &mut Vec<u8>) {
        if self.shown.as_ref() == Some(shape) {
            return;
        }
        self.shown = Some(shape.clone());
        let sender = Sender { caps, io };
        match shape {
            PointerShape::Default => sender.send(CODE_DEFAULT, &[], out),
            PointerShape::Hidden => sender.send(CODE_NULL, &[], out),
            PointerShape::Image(image) => self.image(image, &sender, out),
        }
    }

    fn image(&mut self, image: &Arc<PointerImage>, sender: &Sender<'_>, out: &mut Vec<u8>) {
        let alpha = sender.caps.pointer_cache > 0;
        let capacity = if alpha {
            sender.caps.pointer_cache
        } else {
            sender.caps.color_pointer_cache
        };
        if capacity == 0 {
            sender.send(CODE_DEFAULT, &[], out);
            return;
        }
        self.clock += 1;
        let known = self
            .entries
            .iter_mut()
            .position(|e| Arc::ptr_eq(&e.image, image) || e.image == *image);
        if let Some(index) = known {
            self.entries[index].used = self.clock;
            sender.send(CODE_CACHED, &(index as u16).to_le_bytes(), out);
            return;
        }
        let entry = Entry {
            image: Arc::clone(image),
            used: self.clock,
        };
        let index = if self.entries.len() < usize::from(capacity) {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let oldest = (0..self.entries.len())
                .min_by_key(|&i| self.entries[i].used)
                .unwrap_or(0);
            self.entries[oldest] = entry;
            oldest
        };
        sender.picture(index as u16, image, out);
    }
}

struct Sender<'a> {
    caps: &'a ClientCaps,
    io: u16,
}

impl Sender<'_> {
    fn send(&self, code: u8, payload: &[u8], out: &mut Vec<u8>) {
        if self.caps.fast_path_output {
            wire::fast_path(out, code, payload, self.caps.multifragment.is_some());
            return;
        }
        let (kind, system) = match code {
            CODE_NULL => (MESSAGE_SYSTEM, Some(SYSTEM_NULL)),
            CODE_DEFAULT => (MESSAGE_SYSTEM, Some(SYSTEM_DEFAULT)),
            CODE_CACHED => (MESSAGE_CACHED, None),
            CODE_POSITION => (MESSAGE_POSITION, None),
            CODE_COLOR => (MESSAGE_COLOR, None),
            CODE_LARGE => (MESSAGE_LARGE, None),
            _ => (MESSAGE_NEW, None),
        };
        wire::share_data(out, self.io, PDU_POINTER, |out| {
            out.extend_from_slice(&kind.to_le_bytes());
            out.extend_from_slice(&[0, 0]);
            match system {
                Some(system) => out.extend_from_slice(&system.to_le_bytes()),
                None => out.extend_from_slice(payload),
            }
        });
    }

    fn picture(&self, index: u16, image: &PointerImage, out: &mut Vec<u8>) {
        let alpha = self.caps.pointer_cache > 0;
        let picture = Picture::of(image, self.edge());
        let and = picture.and_mask(if alpha { 1 } else { OPAQUE });
        let xor = if alpha {
            picture.xor_alpha()
        } else {
            picture.xor_color()
        };
        let large = picture.size.width.max(picture.size.height) > 96;
        let mut payload = Vec::with_capacity(24 + and.len() + xor.len());
        let mut word = |value: u32| payload.extend_from_slice(&(value as u16).to_le_bytes());
        if alpha {
            word(32);
        }
        for value in [
            u32::from(index),
            picture.hot.0,
            picture.hot.1,
            picture.size.width,
            picture.size.height,
        ] {
            word(value);
        }
        let lengths = [and.len() as u32, xor.len() as u32];
        if large {
            lengths.iter().for_each(|l| payload.extend_from_slice(&l.to_le_bytes()));
        } else {
            lengths
                .iter()
                .for_each(|l| payload.extend_from_slice(&(*l as u16).to_le_bytes()));
        }
        payload.extend_from_slice(&xor);
        payload.extend_from_slice(&and);
        let code = match (alpha, large) {
            (true, true) => CODE_LARGE,
            (true, false) => {
                payload.push(0);
                CODE_NEW
            }
            (false, _) => {
                payload.push(0);
                CODE_COLOR
            }
        };
        self.send(code, &payload, out);
    }

    /// The largest edge that this client draws and that fits its updates.
    fn edge(&self) -> u32 {
        let announced = self.caps.pointer_edge;
        let alpha = self.caps.pointer_cache > 0;
        let room = match self.caps.multifragment {
            Some(bytes) if self.caps.fast_path_output => bytes as usize,
            _ if self.caps.fast_path_output => wire::FAST_PATH_SINGLE,
            _ => 0x3000,
        };
        let bytes = |edge: u32| (edge * edge * 4 + edge * edge.div_ceil(16) * 2 + 64) as usize;
        match announced {
            384 if alpha && bytes(384) <= room => 384,
            // A colour pointer of 96 x 96 is what the flag for it promises; its lengths still have 16 bits.
            384 | 96 if bytes(96) <= room => 96,
            _ => 32,
        }
    }
}

/// Pixels in B, G, R, A, top row first, small enough for the client.
struct Picture<'a> {
    size: Size,
    hot: (u32, u32),
    source: &'a PointerImage,
    /// Source pixels per pixel, both ways.
    step: u32,
}

impl<'a> Picture<'a> {
    fn of(source: &'a PointerImage, edge: u32) -> Self {
        let full = source.size();
        let step = full.width.max(full.height).div_ceil(edge).max(1);
        let (hot_x, hot_y) = source.hot_spot();
        Self {
            size: Size::new(full.width.div_ceil(step), full.height.div_ceil(step)),
            hot: (hot_x / step, hot_y / step),
            source,
            step,
        }
    }

    /// Average of a block, weighted by alpha.
    fn pixel(&self, x: u32, y: u32) -> [u8; 4] {
        let full = self.source.size();
        let bgra = self.source.bgra();
        let (mut sum, mut count) = ([0_u32; 4], 0);
        for sy in y * self.step..((y + 1) * self.step).min(full.height) {
            for sx in x * self.step..((x + 1) * self.step).min(full.width) {
                let at = (sy as usize * full.width as usize + sx as usize) * 4;
                let alpha = u32::from(bgra[at + 3]);
                for channel in 0..3 {
                    sum[channel] += u32::from(bgra[at + channel]) * alpha;
                }
                sum[3] += alpha;
                count += 1;
            }
        }
        let weight = sum[3].max(1);
        [
            (sum[0] / weight) as u8,
            (sum[1] / weight) as u8,
            (sum[2] / weight) as u8,
            (sum[3] / u32::max(count, 1)) as u8,
        ]
    }

    fn rows_bottom_up(&self) -> impl Iterator<Item = u32> {
        (0..self.size.height).rev()
    }

    /// 1 bit per pixel, set where the screen shows through; rows padded to 16 bits.
    fn and_mask(&self, hole_below: u8) -> Vec<u8> {
        let stride = self.size.width.div_ceil(16) as usize * 2;
        let mut mask = Vec::with_capacity(stride * self.size.height as usize);
        for y in self.rows_bottom_up() {
            let row = mask.len();
            mask.resize(row + stride, 0);
            for x in 0..self.size.width {
                if self.pixel(x, y)[3] < hole_below {
                    mask[row + x as usize / 8] |= 0x80 >> (x % 8);
                }
            }
        }
        mask
    }

    fn xor_alpha(&self) -> Vec<u8> {
        let mut xor = Vec::with_capacity(self.size.area() as usize * 4);
        for y in self.rows_bottom_up() {
            for x in 0..self.size.width {
                let pixel = self.pixel(x, y);
                xor.extend_from_slice(if pixel[3] == 0 { &[0; 4] } else { &pixel });
            }
        }
        xor
    }

    /// 24 bits per pixel, rows padded to 16 bits, black where there is a hole.
    fn xor_color(&self) -> Vec<u8> {
        let mut xor = Vec::new();
        for y in self.rows_bottom_up() {
            for x in 0..self.size.width {
                let [b, g, r, a] = self.pixel(x, y);
                xor.extend_from_slice(&if a < OPAQUE { [0; 3] } else { [b, g, r] });
            }
            if self.size.width % 2 == 1 {
                xor.push(0);
            }
        }
        xor
    }
}
