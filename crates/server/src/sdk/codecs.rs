//! Which bitmap codecs clients without the graphics pipeline may be served with. Those with it are served as they can.

use core::fmt;

/// A codec of surface commands ([MS-RDPBCGR] 2.2.7.2.10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodecId {
    /// NSCodec ([MS-RDPNSC]).
    NsCodec,
    /// RemoteFX ([MS-RDPRFX]).
    RemoteFx,
    /// QOI, of IronRDP's clients.
    Qoi,
    /// QOI in a zstd frame, likewise.
    QoiZ,
}

/// A set of codecs. Each client is sent what it takes of them; interleaved RLE and planar bitmaps always remain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BitmapCodecs {
    nscodec: bool,
    remotefx: bool,
    qoi: bool,
    qoiz: bool,
}

impl BitmapCodecs {
    /// All of them.
    pub const ALL: Self = Self {
        nscodec: true,
        remotefx: true,
        qoi: true,
        qoiz: true,
    };
    /// None of them.
    pub const NONE: Self = Self {
        nscodec: false,
        remotefx: false,
        qoi: false,
        qoiz: false,
    };

    /// Whether a codec is in the set.
    pub fn contains(self, codec: CodecId) -> bool {
        match codec {
            CodecId::NsCodec => self.nscodec,
            CodecId::RemoteFx => self.remotefx,
            CodecId::Qoi => self.qoi,
            CodecId::QoiZ => self.qoiz,
        }
    }
}

impl Default for BitmapCodecs {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Debug for BitmapCodecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [CodecId::NsCodec, CodecId::RemoteFx, CodecId::Qoi, CodecId::QoiZ];
        f.debug_set()
            .entries(all.into_iter().filter(|codec| self.contains(*codec)))
            .finish()
    }
}

/// A set of exactly these codecs; all of them if none is named.
///
/// # Errors
/// None: every [`CodecId`] is there in every build. The document's form has a `Result`.
pub fn server_codecs_capabilities(codecs: &[CodecId]) -> Result<BitmapCodecs, core::convert::Infallible> {
    if codecs.is_empty() {
        return Ok(BitmapCodecs::ALL);
    }
    let has = |codec| codecs.contains(&codec);
    Ok(BitmapCodecs {
        nscodec: has(CodecId::NsCodec),
        remotefx: has(CodecId::RemoteFx),
        qoi: has(CodecId::Qoi),
        qoiz: has(CodecId::QoiZ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_codecs_are_the_set_and_none_named_means_all() {
        let set = server_codecs_capabilities(&[CodecId::RemoteFx, CodecId::QoiZ]).unwrap();
        assert_eq!(format!("{set:?}"), "{RemoteFx, QoiZ}");
        assert_eq!(server_codecs_capabilities(&[]), Ok(BitmapCodecs::ALL));
    }
}
