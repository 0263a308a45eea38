//! Finds places by their keys.

use ahash::RandomState;
use hashbrown::HashTable;
use std::hash::Hash;

/// Places of a table in the order of a hash. The keys themselves are only in the table, so an entry is five bytes.
#[derive(Debug)]
pub(crate) struct PlaceIndex {
    places: HashTable<u32>,
    hasher: RandomState,
}

impl PlaceIndex {
    pub(crate) fn new(hasher: RandomState) -> Self {
        PlaceIndex { places: HashTable::new(), hasher }
    }

    /// The place of `key`. `key_at` tells what key is at a place, here and below.
    pub(crate) fn find<K: Hash + Eq>(&self, key: K, key_at: impl Fn(u32) -> K) -> Option<u32> {
        self.places.find(self.hasher.hash_one(&key), |&idx| key_at(idx) == key).copied()
    }

    /// Adds a place whose key is not here yet.
    pub(crate) fn insert<K: Hash + Eq>(&mut self, idx: u32, key_at: impl Fn(u32) -> K) {
        let hasher = &self.hasher;
        let hash_at = |&idx: &u32| hasher.hash_one(key_at(idx));
        self.places.insert_unique(hash_at(&idx), idx, hash_at);
    }

    /// Removes `idx`, which `key` led to.
    pub(crate) fn remove<K: Hash>(&mut self, key: K, idx: u32) {
        let entry = self.places.find_entry(self.hasher.hash_one(key), |&other| other == idx);
        entry.expect("a table and its index change together").remove();
    }
}
