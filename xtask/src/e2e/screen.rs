//! A client's framebuffer, read while it is shown: Xvfb keeps it in a file. Reading the two rows of a strip costs
//! microseconds, so it can be asked a thousand times a second. Reads only.

use super::picture::Picture;
use anyhow::{Context, Result, ensure};
use bench_pictures::{HEIGHT, STRIP_WIDTH, WIDTH};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open framebuffer whose upper left corner is the picture.
pub struct Screen {
    file: File,
    start: usize,
    stride: usize,
}

impl Screen {
    /// Opens the file that Xvfb's `-fbdir` made.
    ///
    /// # Errors
    /// When it is of another form.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut header = [0; 100];
        file.read_exact_at(&mut header, 0)?;
        let word = |index: usize| {
            let raw: [u8; 4] = header[index * 4..index * 4 + 4].try_into().unwrap_or_default();
            u32::from_be_bytes(raw) as usize
        };
        ensure!(
            word(1) == 7 && word(11) == 32 && word(4) >= WIDTH && word(5) >= HEIGHT,
            "a framebuffer of an unknown form"
        );
        Ok(Self {
            file,
            start: word(0) + word(19) * 12,
            stride: word(12),
        })
    }

    /// The frame number of the strip at `at`, if there is one.
    pub fn strip(&self, at: (usize, usize)) -> Option<u16> {
        let mut rows = [[0; STRIP_WIDTH * 4]; 2];
        for (row, below) in rows.iter_mut().zip([6, 8]) {
            let start = self.start + (at.1 + below) * self.stride + at.0 * 4;
            self.file.read_exact_at(row, start as u64).ok()?;
        }
        bench_pictures::read_strip(&rows[0], &rows[1])
    }

    /// The frame number if both strips of a workload show the same.
    pub fn whole(&self, strips: [(usize, usize); 2]) -> Option<u16> {
        let first = self.strip(strips[0])?;
        (self.strip(strips[1]) == Some(first)).then_some(first)
    }

    /// The whole picture.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn picture(&self) -> Result<Picture> {
        let mut bytes = vec![0; self.stride * HEIGHT];
        self.file.read_exact_at(&mut bytes, self.start as u64)?;
        let rows = bytes.chunks_exact(self.stride).map(|row| &row[..WIDTH * 4]);
        Ok(picture(&rows.flatten().copied().collect::<Vec<u8>>()))
    }
}

/// Bytes of a picture of the bench's size as pixels.
pub fn picture(bytes: &[u8]) -> Picture {
    Picture {
        width: WIDTH,
        height: HEIGHT,
        pixels: bytes
            .chunks_exact(4)
            .map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], 0]))
            .collect(),
    }
}
