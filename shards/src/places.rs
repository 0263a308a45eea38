//! A table with stable places, for what there is one of for each connection.
//!
//! It grows by a chunk at a time. A table that doubles leaves up to half of itself unused, copies all of itself in the
//! one turn in which it grows, and leaves a hole of its old size in the heap.

use std::ops::{Index, IndexMut};

/// Entries of a chunk. Small enough that a started chunk is no waste, large enough that the list of chunks is short.
const CHUNK: usize = 128;
/// The end of the chain of free places.
const END: u32 = u32::MAX;

/// Values that keep their place until they are removed. Places are used again, the last freed first.
#[derive(Debug)]
pub struct Places<T> {
    /// All but the last are full to their capacity, which is [`CHUNK`].
    chunks: Vec<Vec<Place<T>>>,
    len: usize,
    /// The first free place before the end; each names the next.
    free: u32,
}

#[derive(Debug)]
enum Place<T> {
    Free { next: u32 },
    Taken(T),
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places { chunks: Vec::new(), len: 0, free: END }
    }
}

impl<T> Places<T> {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place that the next value gets.
    #[must_use]
    pub fn next_place(&self) -> u32 {
        if self.free != END {
            return self.free;
        }
        match self.chunks.last() {
            None => 0,
            Some(last) => ((self.chunks.len() - 1) * CHUNK + last.len()) as u32,
        }
    }

    /// Puts a value in and returns its place.
    ///
    /// # Panics
    /// When there are 2^32 - 1 of them.
    pub fn insert(&mut self, value: T) -> u32 {
        let idx = self.next_place();
        assert!(idx != END, "there are fewer places than indices");
        if self.free != END {
            let place = self.place_mut(idx).expect("a free place exists");
            let Place::Free { next } = *place else { unreachable!("a free place is free") };
            *place = Place::Taken(value);
            self.free = next;
        } else {
            if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
                self.chunks.push(Vec::with_capacity(CHUNK));
            }
            self.chunks.last_mut().expect("it was just made").push(Place::Taken(value));
        }
        self.len += 1;
        idx
    }

    /// Takes a value out.
    ///
    /// # Panics
    /// When nothing is there.
    pub fn remove(&mut self, idx: u32) -> T {
        let free = self.free;
        let place = self.place_mut(idx).expect("what is removed is there");
        let Place::Taken(value) = std::mem::replace(place, Place::Free { next: free }) else {
            panic!("what is removed is there");
        };
        self.free = idx;
        self.len -= 1;
        if self.len == 0 {
            // A time without any is the one moment at which memory can be given back.
            *self = Places::default();
        }
        value
    }

    /// The value at a place, if there is one.
    #[must_use]
    pub fn get(&self, idx: u32) -> Option<&T> {
        match self.chunks.get(idx as usize / CHUNK)?.get(idx as usize % CHUNK)? {
            Place::Taken(value) => Some(value),
            Place::Free { .. } => None,
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, idx: u32) -> Option<&mut T> {
        match self.place_mut(idx)? {
            Place::Taken(value) => Some(value),
            Place::Free { .. } => None,
        }
    }

    /// All values with their places, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().flatten().zip(0..).filter_map(|(place, idx)| match place {
            Place::Taken(value) => Some((idx, value)),
            Place::Free { .. } => None,
        })
    }

    fn place_mut(&mut self, idx: u32) -> Option<&mut Place<T>> {
        self.chunks.get_mut(idx as usize / CHUNK)?.get_mut(idx as usize % CHUNK)
    }
}

impl<T> Index<u32> for Places<T> {
    type Output = T;
    fn index(&self, idx: u32) -> &T {
        self.get(idx).expect("something is at this place")
    }
}

impl<T> IndexMut<u32> for Places<T> {
    fn index_mut(&mut self, idx: u32) -> &mut T {
        self.get_mut(idx).expect("something is at this place")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_map_that_chooses_its_keys(
            steps in proptest::collection::vec(any::<u16>(), 1..900)
        ) {
            let mut places = Places::default();
            let mut model = std::collections::BTreeMap::new();
            for step in steps {
                let taken = model.keys().nth(usize::from(step) % (model.len() + 1)).copied();
                if let Some(idx) = taken.filter(|_| step % 3 == 0) {
                    prop_assert_eq!(places.remove(idx), model.remove(&idx).unwrap());
                } else {
                    let next = places.next_place();
                    let idx = places.insert(step);
                    prop_assert_eq!(idx, next);
                    prop_assert!(model.insert(idx, step).is_none(), "no place is given twice");
                }
                prop_assert_eq!(places.len(), model.len());
                prop_assert!(places.get(places.next_place()).is_none());
            }
            let all: Vec<(u32, u16)> = places.iter().map(|(idx, &value)| (idx, value)).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_entry_costs_no_more_than_its_value() {
        assert_eq!(size_of::<Place<Box<u64>>>(), size_of::<(u32, u64)>());
        assert_eq!(size_of::<Place<(bool, u64)>>(), size_of::<(bool, u64)>());
    }
}
