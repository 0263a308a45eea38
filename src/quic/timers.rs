//! When each connection wants to be looked at.

use std::collections::BTreeSet;

/// One time for each connection that has one, so its size is theirs.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(u64, u32)>);

impl Timers {
    /// Makes the timer of a connection ring at `wanted`, or before: one that is set earlier is left, because times
    /// mostly move back, with each packet. `armed` is what the connection knows of it.
    pub(super) fn arm(&mut self, slot: u32, armed: &mut Option<u64>, wanted: Option<u64>) {
        let Some(wanted) = wanted else { return };
        if armed.is_some_and(|armed| armed <= wanted) {
            return;
        }
        self.disarm(slot, armed);
        self.0.insert((wanted, slot));
        *armed = Some(wanted);
    }

    /// Takes the timer of a connection away.
    pub(super) fn disarm(&mut self, slot: u32, armed: &mut Option<u64>) {
        if let Some(at) = armed.take() {
            self.0.remove(&(at, slot));
        }
    }

    /// The first that rings.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes one that has rung.
    pub(super) fn pop(&mut self, now_us: u64) -> Option<u32> {
        let (at, slot) = *self.0.first()?;
        (at <= now_us).then(|| {
            self.0.pop_first();
            slot
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_one_time_and_it_only_moves_forward_when_it_rings() {
        let (mut timers, mut one, mut two) = (Timers::default(), None, None);
        timers.arm(1, &mut one, Some(50));
        timers.arm(1, &mut one, Some(90));
        timers.arm(2, &mut two, Some(60));
        timers.arm(2, &mut two, None);
        assert_eq!((timers.len(), timers.first()), (2, Some(50)));
        timers.arm(2, &mut two, Some(40));
        assert_eq!((timers.len(), timers.first()), (2, Some(40)));
        assert_eq!(timers.pop(39), None);
        assert_eq!(timers.pop(50), Some(2));
        assert_eq!(timers.pop(50), Some(1));
        assert_eq!(timers.pop(u64::MAX), None);
        timers.arm(3, &mut None, Some(1));
        timers.disarm(3, &mut Some(1));
        assert_eq!(timers.len(), 0);
    }
}
