//! The lowest layer of a ClearCodec picture: runs of one colour over all rows ([MS-RDPEGFX] 2.2.4.1.1.1). It paints the
//! rows of one colour and the backgrounds of bands; below what other layers paint it takes whatever runs on.

use super::STRIPE;

/// Colours per row and stripe, and the layer made of them.
#[derive(Debug, Default)]
pub(super) struct Residual {
    /// By row, then by stripe.
    colors: Vec<u32>,
    stripes: usize,
    stripe: usize,
    bytes: Vec<u8>,
}

/// Something else paints here.
const ANY: u32 = u32::MAX;

impl Residual {
    /// Starts a picture on which other layers paint everything.
    pub(super) fn begin(&mut self, stripes: usize, height: usize) {
        self.colors.clear();
        self.colors.resize(stripes * height, ANY);
        self.stripes = stripes;
    }

    /// What is [set](Self::set) from now on belongs to this stripe.
    pub(super) fn stripe(&mut self, index: usize) {
        self.stripe = index;
    }

    /// Colours one row of the stripe.
    pub(super) fn set(&mut self, row: usize, color: u32) {
        self.colors[row * self.stripes + self.stripe] = color;
    }

    /// The layer; nothing if the other layers paint everything.
    pub(super) fn finish(&mut self, width: usize) -> &[u8] {
        self.bytes.clear();
        let Some(&first) = self.colors.iter().find(|color| **color != ANY) else {
            return &self.bytes;
        };
        let (mut color, mut run) = (first, 0);
        for row in self.colors.chunks_exact(self.stripes) {
            for (stripe, &next) in row.iter().enumerate() {
                if next != color && next != ANY {
                    put(&mut self.bytes, color, run);
                    (color, run) = (next, 0);
                }
                run += STRIPE.min(width - stripe * STRIPE) as u32;
            }
        }
        put(&mut self.bytes, color, run);
        &self.bytes
    }
}

/// `CLEARCODEC_RGB_RUN_SEGMENT`.
fn put(out: &mut Vec<u8>, color: u32, run: u32) {
    if run == 0 {
        return;
    }
    out.extend_from_slice(&color.to_le_bytes()[..3]);
    match run {
        0..=0xFE => out.push(run as u8),
        0xFF..=0xFFFE => {
            out.push(0xFF);
            out.extend_from_slice(&(run as u16).to_le_bytes());
        }
        _ => {
            out.extend_from_slice(&[0xFF; 3]);
            out.extend_from_slice(&run.to_le_bytes());
        }
    }
}
