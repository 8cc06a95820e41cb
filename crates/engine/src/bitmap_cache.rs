//! What a client keeps in its bitmap cache ([MS-RDPEGFX] 3.3.1.4): whole tiles by the hash of their pixels. A tile that
//! rested is kept just before it is overwritten, so a window that comes back costs a few bytes per tile.

use std::collections::{HashMap, VecDeque};

/// The directory of one client's cache. Empty, and of no use, until it is given room.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitmapCache {
    /// Tiles that the client has room for.
    room: u16,
    slots: HashMap<u64, u16>,
    /// Slots that were used so far are those up to this one.
    used: u16,
    /// What is kept, longest unused first.
    order: VecDeque<u64>,
}

/// Where to keep a tile, and what leaves for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u16,
    /// The slot holds something that must be evicted first.
    pub(crate) is_taken: bool,
}

impl BitmapCache {
    /// The client has room for so many tiles.
    pub(crate) fn set_room(&mut self, tiles: u16) {
        self.room = tiles;
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// The slot that holds these pixels.
    pub(crate) fn find(&mut self, key: u64) -> Option<u16> {
        self.slots.get(&key).copied()
    }

    /// Makes a place for pixels that are not there yet.
    pub(crate) fn keep(&mut self, key: u64) -> Option<Place> {
        if self.room == 0 || self.slots.contains_key(&key) {
            return None;
        }
        let place = if self.used < self.room {
            self.used += 1;
            Place {
                slot: self.used,
                is_taken: false,
            }
        } else {
            let oldest = self.order.pop_front()?;
            Place {
                slot: self.slots.remove(&oldest)?,
                is_taken: true,
            }
        };
        self.slots.insert(key, place.slot);
        self.order.push_back(key);
        Some(place)
    }

    /// The client keeps nothing any more.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            room: self.room,
            ..Self::default()
        };
    }

    /// Takes over what the client kept from an earlier session, as far as there is room: the slot of each key in order.
    /// Something of another size has no key, but takes a slot. Only into an empty cache.
    pub(crate) fn import(&mut self, keys: impl Iterator<Item = Option<u64>>) -> Vec<u16> {
        if self.used > 0 {
            return Vec::new();
        }
        let fitting = keys.take(usize::from(self.room)).zip(0..);
        let fitting = fitting.map(|(key, i): (_, u64)| key.unwrap_or(!i));
        // A key that is offered twice would leave a slot that the client fills and we do not know.
        fitting
            .map_while(|key| self.keep(key))
            .map(|place| place.slot)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_once_and_the_oldest_leaves() {
        let mut cache = BitmapCache::default();
        assert_eq!(cache.keep(5), None, "no room yet");
        cache.set_room(2);
        let place = |slot, is_taken| Some(Place { slot, is_taken });
        assert_eq!((cache.keep(5), cache.keep(6)), (place(1, false), place(2, false)));
        assert_eq!((cache.keep(5), cache.find(5)), (None, Some(1)));
        assert_eq!(cache.keep(7), place(1, true));
        assert_eq!((cache.find(5), cache.find(6), cache.find(7)), (None, Some(2), Some(1)));
    }

    #[test]
    fn a_cleared_cache_has_its_room_and_no_slot_to_evict() {
        let mut cache = BitmapCache::default();
        cache.set_room(2);
        (1..4).for_each(|key| assert!(cache.keep(key).is_some()));
        cache.clear();
        assert_eq!((cache.find(2), cache.find(3)), (None, None));
        let places: Vec<_> = (10..13).filter_map(|key| cache.keep(key)).collect();
        let places: Vec<_> = places.iter().map(|place| (place.slot, place.is_taken)).collect();
        assert_eq!(places, [(1, false), (2, false), (1, true)]);
    }

    #[test]
    fn an_offer_is_taken_once_and_as_far_as_there_is_room() {
        let mut cache = BitmapCache::default();
        cache.set_room(3);
        assert_eq!(cache.import([Some(9), Some(8), Some(8), Some(7)].into_iter()), [1, 2]);
        assert_eq!(cache.find(8), Some(2));
        assert_eq!(cache.import([Some(1)].into_iter()), []);
        assert_eq!(cache.keep(7).map(|place| place.slot), Some(3));
        let mut cache = BitmapCache::default();
        cache.set_room(3);
        assert_eq!(cache.import([None, Some(5), None].into_iter()), [1, 2, 3]);
        assert_eq!(cache.find(5), Some(2));
    }
}
