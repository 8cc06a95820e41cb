//! Pictures: read from an X window dump, a PPM or a PNG, compared pixel by pixel or by PSNR, written as PNG.
//! Called by the drivers and the suites; takes no screenshot itself.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::BufWriter;
use std::path::Path;

/// Pixels as 0x00RRGGBB, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u32>,
}

/// A rectangle of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Picture {
    /// Reads an X window dump (xwd version 7, ZPixmap, little-endian, 24 or 32 bits per pixel).
    ///
    /// # Errors
    /// When it is cut off or of another form.
    pub fn from_xwd(bytes: &[u8]) -> Result<Self> {
        let word = |index: usize| -> Result<usize> {
            let raw: [u8; 4] = bytes
                .get(index * 4..index * 4 + 4)
                .context("the window dump is cut off")?
                .try_into()?;
            Ok(u32::from_be_bytes(raw) as usize)
        };
        // Windows of several visuals are written with three bytes per pixel, others with four.
        let (width, height, stride, depth) = (word(4)?, word(5)?, word(12)?, word(11)? / 8);
        let is_known = word(1)? == 7 && word(2)? == 2 && word(7)? == 0 && (3..=4).contains(&depth);
        ensure!(is_known, "window dump of an unknown form");
        let start = word(0)? + word(19)? * 12;
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = start + y * stride;
            let row = bytes
                .get(row..row + width * depth)
                .context("the window dump is cut off")?;
            pixels.extend(
                row.chunks_exact(depth)
                    .map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], 0])),
            );
        }
        Ok(Self { width, height, pixels })
    }

    /// Reads a binary PPM with 8 bits per channel, QEMU's screendump.
    ///
    /// # Errors
    /// When it is cut off or of another form.
    pub fn from_ppm(bytes: &[u8]) -> Result<Self> {
        let mut words = Vec::new();
        let mut at = 0;
        while words.len() < 4 {
            let end = bytes[at..]
                .iter()
                .position(u8::is_ascii_whitespace)
                .context("the picture is cut off")?
                + at;
            if end > at {
                words.push(std::str::from_utf8(&bytes[at..end])?);
            }
            at = end + 1;
        }
        ensure!(words[0] == "P6" && words[3] == "255", "PPM of an unknown form");
        let (width, height): (usize, usize) = (words[1].parse()?, words[2].parse()?);
        let data = bytes
            .get(at..at + width * height * 3)
            .context("the picture is cut off")?;
        let pixels = data
            .chunks_exact(3)
            .map(|rgb| u32::from_be_bytes([0, rgb[0], rgb[1], rgb[2]]))
            .collect();
        Ok(Self { width, height, pixels })
    }

    /// Reads a PNG of 24 bits per pixel.
    ///
    /// # Errors
    /// When it is of another form.
    pub fn from_png(bytes: &[u8]) -> Result<Self> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info()?;
        let mut rows = vec![0; reader.output_buffer_size().context("a picture beyond all memory")?];
        let info = reader.next_frame(&mut rows)?;
        ensure!(
            info.color_type == png::ColorType::Rgb,
            "colours of type {:?}",
            info.color_type
        );
        let pixels = rows[..info.buffer_size()].chunks_exact(3);
        Ok(Self {
            width: usize::try_from(info.width)?,
            height: usize::try_from(info.height)?,
            pixels: pixels
                .map(|rgb| u32::from_be_bytes([0, rgb[0], rgb[1], rgb[2]]))
                .collect(),
        })
    }

    /// Writes a PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let file = fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut encoder = png::Encoder::new(
            BufWriter::new(file),
            u32::try_from(self.width)?,
            u32::try_from(self.height)?,
        );
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Fast);
        let bytes: Vec<u8> = self
            .pixels
            .iter()
            .flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(1))
            .collect();
        encoder.write_header()?.write_image_data(&bytes)?;
        Ok(())
    }

    /// The part inside `area`.
    ///
    /// # Errors
    /// When it does not lie inside.
    pub fn crop(&self, area: Area) -> Result<Self> {
        if area.x + area.width > self.width || area.y + area.height > self.height {
            bail!("{area:?} is not inside a picture of {}x{}", self.width, self.height);
        }
        let rows = (area.y..area.y + area.height).map(|y| &self.pixels[y * self.width + area.x..][..area.width]);
        Ok(Self {
            width: area.width,
            height: area.height,
            pixels: rows.flatten().copied().collect(),
        })
    }

    /// The upper left `width` x `height` pixels.
    ///
    /// # Errors
    /// When the picture is smaller.
    pub fn corner(&self, width: usize, height: usize) -> Result<Self> {
        self.crop(Area {
            x: 0,
            y: 0,
            width,
            height,
        })
    }

    /// Number of pixels that differ; all of them if the sizes differ.
    pub fn differing(&self, other: &Self) -> usize {
        if (self.width, self.height) != (other.width, other.height) {
            return self.pixels.len().max(other.pixels.len());
        }
        self.pixels
            .iter()
            .zip(&other.pixels)
            .filter(|(one, two)| one != two)
            .count()
    }

    /// The smallest area that holds all differing pixels, `None` if none differs or the sizes do.
    pub fn changed_area(&self, other: &Self) -> Option<Area> {
        if (self.width, self.height) != (other.width, other.height) {
            return None;
        }
        let mut found: Option<(usize, usize, usize, usize)> = None;
        for (index, (one, two)) in self.pixels.iter().zip(&other.pixels).enumerate() {
            if one != two {
                let (x, y) = (index % self.width, index / self.width);
                let (left, top, right, bottom) = found.unwrap_or((x, y, x, y));
                found = Some((left.min(x), top.min(y), right.max(x), bottom.max(y)));
            }
        }
        found.map(|(left, top, right, bottom)| Area {
            x: left,
            y: top,
            width: right - left + 1,
            height: bottom - top + 1,
        })
    }

    /// Peak signal-to-noise ratio in dB over the three channels; 99 for equal pictures, 0 for other sizes.
    pub fn psnr(&self, other: &Self) -> f64 {
        if (self.width, self.height) != (other.width, other.height) {
            return 0.0;
        }
        let squares: u64 = self
            .pixels
            .iter()
            .zip(&other.pixels)
            .filter(|(one, two)| one != two)
            .map(|(one, two)| square(*one, *two))
            .sum();
        if squares == 0 {
            return 99.0;
        }
        let mean = squares as f64 / (self.pixels.len() * 3) as f64;
        10.0 * (255.0 * 255.0 / mean).log10()
    }

    /// Number of colours, at most `limit`.
    pub fn colors(&self, limit: usize) -> usize {
        let mut seen = std::collections::HashSet::new();
        for pixel in &self.pixels {
            seen.insert(*pixel);
            if seen.len() >= limit {
                break;
            }
        }
        seen.len()
    }
}

fn square(one: u32, two: u32) -> u64 {
    let channel = |shift: u32| {
        let difference = u64::from((one >> shift & 0xff).abs_diff(two >> shift & 0xff));
        difference * difference
    };
    channel(0) + channel(8) + channel(16)
}

#[cfg(test)]
mod tests {
    use super::Picture;

    #[test]
    fn equal_pictures_differ_nowhere_and_a_changed_pixel_is_found() {
        let one = Picture {
            width: 4,
            height: 3,
            pixels: (0..12).collect(),
        };
        let mut two = one.clone();
        assert_eq!((one.differing(&two), one.psnr(&two)), (0, 99.0));
        two.pixels[6] = 0xff_ff_ff;
        assert_eq!(one.differing(&two), 1);
        let area = one.changed_area(&two).expect("one pixel changed");
        assert_eq!((area.x, area.y, area.width, area.height), (2, 1, 1, 1));
        assert!(one.psnr(&two) < 40.0);
    }

    #[test]
    fn a_ppm_is_read_as_it_was_written() {
        let picture = Picture::from_ppm(b"P6\n2 1\n255\n\x01\x02\x03\xff\x00\x10").expect("a good picture");
        assert_eq!(picture.pixels, [0x01_02_03, 0xff_00_10]);
        assert!(Picture::from_ppm(b"P6\n2 2\n255\n\x01").is_err());
    }
}
