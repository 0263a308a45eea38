//! What is due when.

use crate::{CloseReason, Key};
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// Something to do at a certain time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// Send a channel's gathered cursor moves.
    Cursors { channel: u32, serial: u64 },
    /// End a channel that is still empty.
    Empty { channel: u32, serial: u64, empties: u32 },
    /// A ban ends, so the list changes for someone.
    BanEnds { channel: u32, serial: u64 },
    /// Serve a join that was over its rate.
    Deferred { slot: u32, generation: u32 },
    /// Close a connection that was refused.
    Refused { slot: u32, generation: u32, reason: CloseReason },
    /// See whether a connection at a terminal takes anything of what waits for it.
    Stalled { slot: u32, generation: u32 },
    /// Publish what changed in the list.
    Publish,
    /// Look which channels are hot.
    Heat,
    /// Go on without the storage's answer.
    Unanswered,
    /// Forget where connections went.
    Forwarding,
    /// Look which rooms are busy.
    Beat,
    /// Tell the piano again what was said, because something of it is gone.
    Retell { channel: u32, serial: u64 },
    /// Tell those who wrote to somebody who does not come into the room of the two.
    Letters { channel: u32, serial: u64 },
    /// Tell a room's receipts that were gathered.
    Receipts { channel: u32, serial: u64 },
}

/// Timers in order of time; those of one moment in order of arming.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    armed: u64,
}

impl Timers {
    pub(crate) fn arm(&mut self, at_us: u64, timer: Timer) {
        self.armed += 1;
        self.heap.push(Reverse((at_us, self.armed, timer)));
    }

    pub(crate) fn next_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop_due(&mut self, now_us: u64) -> Option<Timer> {
        if self.next_us()? > now_us {
            return None;
        }
        self.heap.pop().map(|Reverse((.., timer))| timer)
    }
}

/// Slots of the wheel.
const SLOTS: usize = 128;

/// Coarse timers of all connections: each has exactly one, to see whether it is still alive.
///
/// Ten thousand idle connections are looked at a few hundred at a time, once a grain, so that their pings share the
/// cost of waking up.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<Key>>,
    grain_us: u64,
    /// The grain that was last looked at.
    at: u64,
    len: usize,
}

impl Wheel {
    /// For deadlines of about `typical`.
    pub(crate) fn new(typical: Duration) -> Self {
        let grain_us = (typical.as_micros() as u64 / 16).clamp(5_000, 1_000_000);
        Wheel { slots: vec![Vec::new(); SLOTS], grain_us, at: 0, len: 0 }
    }

    /// Brings `key` up at the first grain after `at_us`, or earlier when that is beyond the wheel's reach.
    pub(crate) fn arm(&mut self, at_us: u64, now_us: u64, key: Key) {
        if self.len == 0 {
            self.at = now_us / self.grain_us;
        }
        let grain = (at_us / self.grain_us + 1).clamp(self.at + 1, self.at + SLOTS as u64 - 1);
        self.slots[grain as usize % SLOTS].push(key);
        self.len += 1;
    }

    pub(crate) fn next_us(&self) -> Option<u64> {
        (self.len > 0).then(|| (self.at + 1) * self.grain_us)
    }

    /// The keys of the next grain that is due.
    pub(crate) fn pop_due(&mut self, now_us: u64) -> Option<Vec<Key>> {
        while self.len > 0 && self.at < now_us / self.grain_us {
            self.at += 1;
            let keys = std::mem::take(&mut self.slots[self.at as usize % SLOTS]);
            if !keys.is_empty() {
                self.len -= keys.len();
                return Some(keys);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_brings_each_key_up_once_and_not_early() {
        let mut wheel = Wheel::new(Duration::from_secs(16));
        let mut due: Vec<(u64, Key)> = (0..1_000u32)
            .map(|n| (7_000_000 + u64::from(n) * 77_777, Key { slot: n, generation: 1 }))
            .collect();
        for &(at, key) in &due {
            wheel.arm(at, 7_000_000, key);
        }
        let mut now = 7_000_000;
        while let Some(next) = wheel.next_us() {
            assert!(next > now - 1_000_000);
            now = next;
            while let Some(keys) = wheel.pop_due(now) {
                for key in keys {
                    let idx =
                        due.iter().position(|&(_, k)| k == key).expect("each key comes up once");
                    let (at, _) = due.swap_remove(idx);
                    assert!(at <= now && now <= at + 2_000_000, "{at} {now}");
                }
            }
        }
        assert!(due.is_empty());
    }
}
