//! Sessions of TLS that clients may resume.
//!
//! The cache that rustls has takes all of its memory at once and keeps each name twice. This one grows with what is in
//! it.

use ahash::AHashMap;
use rustls::server::StoresServerSessions;
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Sessions of one generation, each of some 200 bytes. As many as a table of 8,192 places takes.
const GENERATION: usize = 7_168;

/// Two generations of sessions. When the younger one is full the older one is forgotten, and its clients shake hands
/// in full.
#[derive(Default)]
pub(super) struct Resumption(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: AHashMap<Box<[u8]>, Box<[u8]>>,
    old: AHashMap<Box<[u8]>, Box<[u8]>>,
}

impl fmt::Debug for Resumption {
    /// Without the sessions, which are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumption").finish_non_exhaustive()
    }
}

impl Resumption {
    fn generations(&self) -> MutexGuard<'_, Generations> {
        // Whoever panicked while it held the lock has left whole tables.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoresServerSessions for Resumption {
    fn put(&self, name: Vec<u8>, session: Vec<u8>) -> bool {
        let mut generations = self.generations();
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(name.into(), session.into());
        true
    }

    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        let Generations { young, old } = &*self.generations();
        young.get(name).or_else(|| old.get(name)).map(|session| session.to_vec())
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        let Generations { young, old } = &mut *self.generations();
        young.remove(name).or_else(|| old.remove(name)).map(Vec::from)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Vec<u8> {
        n.to_be_bytes().to_vec()
    }

    #[test]
    fn a_session_is_taken_once() {
        let sessions = Resumption::default();
        assert!(sessions.can_cache() && sessions.put(name(1), vec![7, 8]));
        assert_eq!(sessions.get(&name(1)), Some(vec![7, 8]));
        assert_eq!(sessions.get(&name(2)), None);
        assert_eq!(sessions.take(&name(1)), Some(vec![7, 8]));
        assert_eq!((sessions.take(&name(1)), sessions.get(&name(1))), (None, None));
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_youngest_never() {
        let sessions = Resumption::default();
        for n in 0..5 * GENERATION {
            assert!(sessions.put(name(n), vec![n as u8]));
            let oldest = n.saturating_sub(GENERATION - 1);
            assert!([oldest, n].iter().all(|&n| sessions.get(&name(n)) == Some(vec![n as u8])));
            assert!(n < 2 * GENERATION || sessions.get(&name(n - 2 * GENERATION)).is_none());
        }
        let Generations { young, old } = &*sessions.generations();
        assert_eq!((young.len(), old.len()), (GENERATION, GENERATION));
        assert!(old.capacity() == GENERATION, "the table is full");
    }
}
