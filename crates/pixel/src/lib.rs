//! Pixel kernels: compare-and-copy, format conversion, classification, and the stages of a RemoteFX tile.
//!
//! Each kernel takes a [`Level`], the proof of what this processor can do. The scalar form is the specification; a SIMD
//! form gives the same bytes, which `tests/levels.rs` holds over sizes and strides. `unsafe` is limited to SIMD loads and
//! stores and to the calls into functions that need a CPU feature.

pub mod bits;
pub mod classify;
pub mod color;
pub mod columns;
pub mod convert;
mod cpu;
pub mod diff;
pub mod dwt;
pub mod hash;
pub mod rlgr;
#[cfg(target_arch = "x86_64")]
mod vector;
pub mod ycocg;
pub mod yuv;

pub use cpu::Level;

/// Pixels of one tile: 64 × 64.
pub const TILE_PIXELS: usize = 64 * 64;

/// Rows of bytes at a fixed distance, read only.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// From the first byte of the first row to at least the last byte of the last one.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// The first `len` bytes of row `y`.
    ///
    /// # Panics
    /// If they are not all inside `bytes`.
    #[inline]
    pub fn row(self, y: usize, len: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..len]
    }
}

/// Rows of bytes at a fixed distance, writable.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// From the first byte of the first row to at least the last byte of the last one.
    pub bytes: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl RowsMut<'_> {
    /// The first `len` bytes of row `y`.
    ///
    /// # Panics
    /// If they are not all inside `bytes`.
    #[inline]
    pub fn row(&mut self, y: usize, len: usize) -> &mut [u8] {
        &mut self.bytes[y * self.stride..][..len]
    }
}
