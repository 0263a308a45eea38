//! Connections in chunks of several.
//!
//! A connection is a bit more than 6 KiB, and the allocator's next size is 7 KiB. A chunk is about one of its sizes, so
//! that little of it is left over.

/// Bytes of a chunk: a size that the allocator has.
const CHUNK_BYTES: usize = 56 << 10;

/// Values in slots that somebody else chooses, low ones first. A chunk without any is given back.
pub(super) struct Slots<T> {
    chunks: Vec<Chunk<T>>,
}

/// `taken` of `slots` have a value; there are no slots when none is taken.
struct Chunk<T> {
    slots: Box<[Option<T>]>,
    taken: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { chunks: Vec::new() }
    }
}

impl<T> Slots<T> {
    const PER_CHUNK: usize = {
        let fit = CHUNK_BYTES / size_of::<Option<T>>();
        if fit == 0 { 1 } else { fit }
    };

    /// No slot from this one on has a value.
    pub(super) fn end(&self) -> u32 {
        (self.chunks.len() * Self::PER_CHUNK) as u32
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut(slot as usize / Self::PER_CHUNK)?;
        chunk.slots.get_mut(slot as usize % Self::PER_CHUNK)?.as_mut()
    }

    /// Puts a value into a slot, in place of what is there.
    pub(super) fn insert(&mut self, slot: u32, value: T) {
        let (n, at) = (slot as usize / Self::PER_CHUNK, slot as usize % Self::PER_CHUNK);
        if self.chunks.len() <= n {
            self.chunks.resize_with(n + 1, || Chunk { slots: Box::default(), taken: 0 });
        }
        let chunk = &mut self.chunks[n];
        if chunk.slots.is_empty() {
            chunk.slots = std::iter::repeat_with(|| None).take(Self::PER_CHUNK).collect();
        }
        chunk.taken += usize::from(chunk.slots[at].is_none());
        chunk.slots[at] = Some(value);
    }

    /// Drops the value of a slot, if there is one.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(chunk) = self.chunks.get_mut(slot as usize / Self::PER_CHUNK) else { return };
        let Some(place) = chunk.slots.get_mut(slot as usize % Self::PER_CHUNK) else { return };
        if place.is_some() {
            *place = None;
            chunk.taken -= 1;
            if chunk.taken == 0 {
                chunk.slots = Box::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    /// So large that two fit into a chunk, and three do not.
    struct Large {
        _alive: Rc<()>,
        bytes: [u8; CHUNK_BYTES / 2 - 64],
    }

    fn large(alive: &Rc<()>, byte: u8) -> Large {
        Large { _alive: alive.clone(), bytes: [byte; _] }
    }

    fn kept(slots: &Slots<Large>) -> Vec<usize> {
        slots.chunks.iter().map(|chunk| chunk.slots.len()).collect()
    }

    #[test]
    fn values_are_where_they_were_put() {
        let (mut slots, alive) = (Slots::default(), Rc::new(()));
        for slot in [0, 1, 3] {
            slots.insert(slot, large(&alive, slot as u8));
        }
        let mut seen = |slot| slots.get_mut(slot).map(|large| large.bytes[9]);
        assert_eq!(
            [0, 1, 2, 3, 4, 99].map(&mut seen),
            [Some(0), Some(1), None, Some(3), None, None]
        );
        assert!(slots.end() > 3);
        slots.insert(1, large(&alive, 7));
        assert_eq!(slots.get_mut(1).map(|large| large.bytes[9]), Some(7));
        assert_eq!(Rc::strong_count(&alive), 1 + 3, "what was there before is dropped");
    }

    #[test]
    fn a_chunk_without_values_is_given_back() {
        let (mut slots, alive) = (Slots::default(), Rc::new(()));
        for slot in 0..4 {
            slots.insert(slot, large(&alive, 0));
        }
        assert_eq!(kept(&slots), [2, 2]);
        for slot in [1, 1, 2, 9] {
            slots.remove(slot);
        }
        assert_eq!((kept(&slots), Rc::strong_count(&alive)), (vec![2, 2], 1 + 2));
        slots.remove(0);
        assert_eq!((kept(&slots), Rc::strong_count(&alive)), (vec![0, 2], 1 + 1));
        assert!(slots.get_mut(0).is_none());
        slots.insert(1, large(&alive, 1));
        assert_eq!(
            (kept(&slots), slots.get_mut(1).map(|large| large.bytes[0])),
            (vec![2, 2], Some(1))
        );
    }
}
