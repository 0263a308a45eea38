//! A map of few entries: a list costs less than a tree, whose smallest node has room for eleven, or a table.

/// Values by their keys, in the order of these.
#[derive(Debug)]
pub(super) struct Few<K, V>(Vec<(K, Box<V>)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few(Vec::new())
    }
}

impl<K: Copy + Ord, V> Few<K, V> {
    fn find(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |&(key, _)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let at = self.find(key).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| &mut **value)
    }

    /// The value of a key, which is made if it is not there.
    pub(super) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let at = self.find(key).unwrap_or_else(|at| {
            self.0.insert(at, (key, Box::default()));
            at
        });
        &mut self.0[at].1
    }

    pub(super) fn remove(&mut self, key: K) -> Option<Box<V>> {
        let at = self.find(key).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, value)| (*key, &**value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_holds_what_a_map_would(steps in proptest::collection::vec((0u8..8, 0u8..3), 0..60)) {
            let (mut few, mut map) = (Few::<u8, u32>::default(), BTreeMap::<u8, u32>::new());
            for (key, step) in steps {
                match step {
                    0 => prop_assert_eq!(few.remove(key).map(|value| *value), map.remove(&key)),
                    1 => {
                        *few.get_or_default(key) += 1;
                        *map.entry(key).or_default() += 1;
                    }
                    _ => prop_assert_eq!(few.get_mut(key), map.get_mut(&key)),
                }
                prop_assert_eq!(few.get(key), map.get(&key));
                let entries: Vec<_> = map.iter().map(|(key, value)| (*key, value)).collect();
                prop_assert_eq!(few.iter().collect::<Vec<_>>(), entries);
                prop_assert_eq!(few.len(), map.len());
            }
            few.clear();
            prop_assert_eq!(few.values().count(), 0);
        }
    }
}
