//! Any bytes, in any split into messages, come back through a foreign ZGFX decoder.

use ironrdp_graphics::zgfx::Decompressor;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_model::BulkCompressor;

/// One input.
pub fn fuzz(data: &[u8]) {
    let (mut ours, mut theirs) = (Zgfx::new(), Decompressor::new());
    let mut rest = data;
    // Two bytes say how long a message is, in steps of 97 bytes of the data repeated as far as needed.
    while let Some((head, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*head)) * if head[0] & 1 == 0 { 1 } else { 97 };
        let message: Vec<u8> = after.iter().copied().cycle().take(len.min(1 << 20)).collect();
        let (mut wire, mut back) = (Vec::new(), Vec::new());
        ours.compress(&message, &mut wire);
        theirs.decompress(&wire, &mut back).expect("a valid stream");
        assert!(back == message);
        rest = &after[after.len().min(32 + usize::from(head[1]))..];
    }
}
