//! Encoded tiles of one surface, shared by its viewers: who needs a tile first encodes it, the others wait for that one
//! encode and take its bytes. Bounded by bytes; the oldest entries go first, since a newer generation replaces them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rdpmux_model::{Generation, RfxQuant};

use crate::TileRect;
use crate::codec::rfx::Rounding;
use crate::codec::{Depth, bitmap, nsc};
use crate::plan::Content;

/// What was encoded: equal keys are equal bytes, since a tile's pixels are fixed by its index and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tile: u32,
    pub(crate) generation: Generation,
    pub(crate) form: Form,
}

/// Codec, quality, and the part of the tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// What the tile shows; not bytes, but worth sharing.
    Content,
    /// A tile as RemoteFX, of which a part matters.
    Rfx(RfxQuant, Rounding, TileRect),
    /// A part of it as a bitmap.
    Bitmap(Depth, TileRect),
    /// A part of it as NSCodec.
    NsCodec(nsc::Quality, TileRect),
    /// A part of it as QOI, in a zstd frame or not.
    Qoi(bool, TileRect),
}

/// A shared result.
#[derive(Debug, Clone)]
pub(crate) enum Encoded {
    Content(Content),
    Rfx([Arc<[u8]>; 3]),
    Bitmap(bitmap::Encoded),
    Bytes(Arc<[u8]>),
}

impl Encoded {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Content(_) => 0,
                Self::Rfx(planes) => planes.iter().map(|plane| plane.len()).sum(),
                Self::Bitmap(bitmap) => bitmap.data.len(),
                Self::Bytes(bytes) => bytes.len(),
            }
    }
}

/// What an entry costs besides its payload, roughly.
const ENTRY_BYTES: usize = 160;

/// Counters of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Times that a viewer took what was there.
    pub hits: u64,
    /// Times that something had to be encoded.
    pub encodes: u64,
    /// Bytes held now.
    pub bytes: usize,
    /// Entries held now.
    pub entries: usize,
}

/// The cache of one surface.
#[derive(Debug)]
pub struct EncodeCache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Arc<OnceLock<Encoded>>>,
    /// Finished entries, oldest first, with their bytes.
    order: VecDeque<(Key, usize)>,
    bytes: usize,
    hits: u64,
    encodes: u64,
}

impl EncodeCache {
    /// A cache that holds about `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// Counters and sizes now.
    pub fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        CacheStats {
            hits: state.hits,
            encodes: state.encodes,
            bytes: state.bytes,
            entries: state.entries.len(),
        }
    }

    /// Forgets everything; the counters stay.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.entries.clear();
        state.order.clear();
        state.bytes = 0;
    }

    /// The entry of `key`, encoded now if nobody did.
    pub(crate) fn encode_once(&self, key: Key, encode: impl FnOnce() -> Encoded) -> Encoded {
        let entry = self.state.lock().entries.entry(key).or_default().clone();
        let mut encoded_here = false;
        let encoded = entry.get_or_init(|| {
            encoded_here = true;
            encode()
        });
        self.account(key, encoded, encoded_here);
        encoded.clone()
    }

    fn account(&self, key: Key, encoded: &Encoded, encoded_here: bool) {
        let mut state = self.state.lock();
        if !encoded_here {
            state.hits += 1;
            return;
        }
        state.encodes += 1;
        if !state.entries.contains_key(&key) {
            // `clear` came between.
            return;
        }
        state.bytes += encoded.bytes();
        state.order.push_back((key, encoded.bytes()));
        while state.bytes > self.limit {
            let Some((oldest, bytes)) = state.order.pop_front() else {
                break;
            };
            state.entries.remove(&oldest);
            state.bytes -= bytes;
        }
    }
}
