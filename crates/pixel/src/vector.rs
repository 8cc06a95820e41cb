//! Loads and stores of 256-bit vectors through array references, so that the kernels above need no pointer.

use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_storeu_si256};

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_bytes(from: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes are readable behind the reference; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_bytes(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: 32 bytes are writable behind the exclusive reference; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_words(from: &[i16; 16]) -> __m256i {
    // SAFETY: 16 words are 32 readable bytes behind the reference; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_words(to: &mut [i16; 16], value: __m256i) {
    // SAFETY: 16 words are 32 writable bytes behind the exclusive reference; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_lanes(to: &mut [u32; 8], value: __m256i) {
    // SAFETY: 8 lanes are 32 writable bytes behind the exclusive reference; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}
