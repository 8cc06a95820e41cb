//! A channel's message whose bytes were made elsewhere, for IronRDP, which takes messages that encode themselves.

use ironrdp_core::{Encode, EncodeResult, WriteCursor};
use ironrdp_dvc::DvcEncode;
use ironrdp_svc::SvcEncode;

/// A message as it is, for a static or a dynamic channel.
pub struct Plain(pub Vec<u8>);

impl Encode for Plain {
    fn encode(&self, dst: &mut WriteCursor<'_>) -> EncodeResult<()> {
        ironrdp_core::ensure_size!(in: dst, size: self.0.len());
        dst.write_slice(&self.0);
        Ok(())
    }

    fn name(&self) -> &'static str {
        "plain"
    }

    fn size(&self) -> usize {
        self.0.len()
    }
}

impl DvcEncode for Plain {}
impl SvcEncode for Plain {}
