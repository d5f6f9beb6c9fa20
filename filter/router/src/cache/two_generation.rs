//! A bounded map that approximates LRU eviction at constant cost: when the young generation is full,
//! it becomes the old generation, and the previous old generation is dropped.

use std::collections::BTreeMap;
use std::mem;

/// A two-generation cache.
///
/// The maps are ordered because a client could choose keys that collide in a hash map: wasm has no
/// entropy to seed one.
#[derive(Debug)]
pub(crate) struct TwoGenerationCache<V> {
    young: BTreeMap<Box<str>, V>,
    old: BTreeMap<Box<str>, V>,
    generation_size: usize,
}

impl<V> TwoGenerationCache<V> {
    /// Creates a cache of at most `capacity` entries, but at least two.
    pub(crate) fn new(capacity: usize) -> Self {
        let generation_size = (capacity / 2).max(1);
        Self { young: BTreeMap::new(), old: BTreeMap::new(), generation_size }
    }

    /// Returns the value and moves it to the young generation.
    pub(crate) fn get(&mut self, key: &str) -> Option<&mut V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn put(&mut self, key: &str, value: V) {
        self.old.remove(key);
        self.insert(key.into(), value);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.young.remove(key);
        self.old.remove(key);
    }

    fn insert(&mut self, key: Box<str>, value: V) {
        if self.young.len() >= self.generation_size && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_in_use_survives_a_flood_of_others() {
        let mut cache = TwoGenerationCache::new(10);
        cache.put("hot", 1);
        for n in 0..1000 {
            cache.put(&n.to_string(), 0);
            assert_eq!(cache.get("hot"), Some(&mut 1));
        }
        assert_eq!(cache.get("0"), None);
    }

    proptest! {
        #[test]
        fn the_capacity_is_never_exceeded(keys in prop::collection::vec("[a-f]{1,2}", 0..200)) {
            let mut cache = TwoGenerationCache::new(8);
            for key in keys {
                cache.put(&key, ());
                prop_assert!(cache.get(&key).is_some());
                prop_assert!(cache.len() <= 8);
            }
        }
    }
}
