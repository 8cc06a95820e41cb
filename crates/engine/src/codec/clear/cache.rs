//! What the client keeps: a ring of v-bars that is written at a cursor and wraps around ([MS-RDPEGFX] 3.3.1.8). Here are
//! only hashes of 64 bits, with a table that finds the place of a hash. An entry that the table loses is sent again.

/// Hashes of one of the client's rings.
#[derive(Debug)]
pub(super) struct Ring {
    hashes: Vec<u64>,
    cursor: usize,
    /// Places in `hashes` by the lowest bits of the hash; those whose hash is another one by now are free.
    buckets: Vec<[u16; WAYS]>,
}

/// Places per bucket. With as many buckets as half the ring, few are ever full.
const WAYS: usize = 4;

impl Ring {
    /// An empty ring; `len` is a power of two, at most 32,768.
    pub(super) fn new(len: usize) -> Self {
        Self {
            hashes: vec![0; len],
            cursor: 0,
            buckets: vec![[0; WAYS]; len / 2],
        }
    }

    /// Where this is kept. No hash is 0.
    #[inline]
    pub(super) fn find(&self, hash: u64) -> Option<u16> {
        let bucket = self.buckets[self.bucket(hash)];
        bucket.into_iter().find(|&at| self.hashes[usize::from(at)] == hash)
    }

    /// Keeps this at the cursor, which moves on, and returns where that is.
    #[inline]
    pub(super) fn add(&mut self, hash: u64) -> u16 {
        let at = self.cursor;
        self.cursor = (at + 1) % self.hashes.len();
        self.hashes[at] = hash;
        let index = self.bucket(hash);
        // Of places in use the oldest is given up: the one that the cursor reaches first.
        let age = |&place: &u16| {
            let place = usize::from(place);
            let is_free = self.bucket(self.hashes[place]) != index || place == at;
            let distance = (at + self.hashes.len() - place) % self.hashes.len();
            if is_free { usize::MAX } else { distance }
        };
        let bucket = &self.buckets[index];
        let oldest = (0..WAYS).max_by_key(|&way| age(&bucket[way])).unwrap_or(0);
        self.buckets[index][oldest] = at as u16;
        at as u16
    }

    #[inline]
    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overwritten_is_not_found() {
        let mut ring = Ring::new(64);
        let hash = |i: u64| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 << 63;
        for i in 0..1000 {
            assert_eq!(ring.find(hash(i)), None);
            assert_eq!(u64::from(ring.add(hash(i))), i % 64);
            assert_eq!(ring.find(hash(i)).map(u64::from), Some(i % 64));
            for old in i.saturating_sub(200)..i {
                let found = ring.find(hash(old)).map(u64::from);
                assert!(
                    found.is_none() || (found == Some(old % 64) && i - old < 64),
                    "{i} {old}"
                );
            }
        }
        let kept = (936..1000).filter(|&i| ring.find(hash(i)).is_some()).count();
        assert!(kept >= 56, "{kept} of 64");
    }
}
