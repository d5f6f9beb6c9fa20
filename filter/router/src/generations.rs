//! A bounded map that forgets what was not used for longest, roughly and at constant cost: when the
//! young half is full it becomes the old half, and the former old half is dropped.

use std::collections::BTreeMap;
use std::mem;

/// Ordered maps: a hash map's keys could be chosen to collide, since wasm has no entropy to seed it.
#[derive(Debug)]
pub(crate) struct Generations<V> {
    young: BTreeMap<Box<str>, V>,
    old: BTreeMap<Box<str>, V>,
    half: usize,
}

impl<V> Generations<V> {
    /// Holds at most `capacity` entries, at least two.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), half: (capacity / 2).max(1) }
    }

    /// The value, which counts as used.
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
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
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
    fn what_is_used_survives_a_flood() {
        let mut map = Generations::new(10);
        map.put("hot", 1);
        for n in 0..1000 {
            map.put(&n.to_string(), 0);
            assert_eq!(map.get("hot"), Some(&mut 1));
        }
        assert_eq!(map.get("0"), None);
    }

    proptest! {
        #[test]
        fn it_never_exceeds_its_capacity(keys in prop::collection::vec("[a-f]{1,2}", 0..200)) {
            let mut map = Generations::new(8);
            for key in keys {
                map.put(&key, ());
                prop_assert!(map.get(&key).is_some());
                prop_assert!(map.len() <= 8);
            }
        }
    }
}
