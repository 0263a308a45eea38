//! Open-loop pacing: who sends when is decided before a run starts, and every thread knows it.
//!
//! All senders of a stream send at one interval, each with a phase of its own, so the schedule is a
//! formula. The intended time travels in the message, and a receiver on any thread computes the number of
//! the message back from it. What was sent late, or never, cannot hide.

use std::sync::Arc;

/// When each sender of a stream sends.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    start_us: u64,
    interval_ns: u64,
    /// By sender: its place in the order of phases.
    place: Arc<[u32]>,
}

/// One send that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The sender's number in its stream.
    pub(crate) sender: u32,
    /// How many it sent before.
    pub(crate) number: u64,
    /// When.
    pub(crate) intended_us: u64,
}

impl Schedule {
    /// `n` senders with `rate` sends a second each, the first at `start_us`.
    pub(crate) fn new(n: usize, rate: f64, start_us: u64) -> Self {
        let mut order: Vec<u32> = (0..n as u32).collect();
        // A fixed shuffle, so that neighbours in time are not neighbours in a channel.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for i in (1..n).rev() {
            random = xorshift(random);
            order.swap(i, (random % (i as u64 + 1)) as usize);
        }
        let mut place = vec![0; n];
        for (at, &sender) in order.iter().enumerate() {
            place[sender as usize] = at as u32;
        }
        let interval_ns = ((1e9 / rate).round() as u64).max(1000);
        Self { start_us, interval_ns, place: place.into() }
    }

    /// Senders in all.
    pub(crate) fn n_senders(&self) -> usize {
        self.place.len()
    }

    /// When `sender` sends its message number `number`.
    #[inline]
    pub(crate) fn time_us(&self, sender: u32, number: u64) -> u64 {
        let n = self.place.len() as u64;
        let phase_ns = u64::from(self.place[sender as usize]) * self.interval_ns / n;
        self.start_us + (number * self.interval_ns + phase_ns) / 1000
    }

    /// Which message `sender` meant to send at `intended_us`; `None` when there is none.
    #[inline]
    pub(crate) fn number(&self, sender: u32, intended_us: u64) -> Option<u64> {
        let since_ns = intended_us.checked_sub(self.time_us(sender, 0))? * 1000;
        // Times were rounded down, so the quotient may be one too small.
        let near = since_ns / self.interval_ns;
        (near..=near + 1).find(|&number| self.time_us(sender, number) == intended_us)
    }

    /// How many messages `sender` means to send in `from_us..to_us`.
    pub(crate) fn planned(&self, sender: u32, from_us: u64, to_us: u64) -> u64 {
        let before = |time_us: u64| match time_us.checked_sub(self.time_us(sender, 0)) {
            None | Some(0) => 0,
            Some(since_us) => {
                let near = since_us * 1000 / self.interval_ns;
                (near..).find(|&number| self.time_us(sender, number) >= time_us).unwrap_or(near)
            }
        };
        before(to_us) - before(from_us)
    }
}

/// A thread's own senders, in the order in which they are due.
#[derive(Debug)]
pub(crate) struct Pace {
    schedule: Schedule,
    /// By place.
    order: Vec<u32>,
    next: usize,
    cycle: u64,
}

impl Pace {
    /// The pace of those senders of `schedule` that `senders` names.
    pub(crate) fn new(schedule: Schedule, senders: impl Iterator<Item = u32>) -> Self {
        let mut order: Vec<u32> = senders.collect();
        order.sort_by_key(|&sender| schedule.place[sender as usize]);
        Self { schedule, order, next: 0, cycle: 0 }
    }

    /// When the next send is due.
    #[inline]
    pub(crate) fn next_us(&self) -> Option<u64> {
        self.order.get(self.next).map(|&sender| self.schedule.time_us(sender, self.cycle))
    }

    /// The next send, if it is due by `now_us`.
    #[inline]
    pub(crate) fn take(&mut self, now_us: u64) -> Option<Due> {
        let intended_us = self.next_us()?;
        if intended_us > now_us {
            return None;
        }
        let due = Due { sender: self.order[self.next], number: self.cycle, intended_us };
        self.next += 1;
        if self.next == self.order.len() {
            (self.next, self.cycle) = (0, self.cycle + 1);
        }
        Some(due)
    }
}

/// A step of a generator that is good enough for phases, masks and choices.
pub(crate) fn xorshift(mut random: u64) -> u64 {
    random ^= random << 13;
    random ^= random >> 7;
    random ^ random << 17
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_from_times_and_times_rise() {
        for (n, rate) in [(7, 333.0), (1, 20_000.0), (1000, 0.05), (3, 100_000.0)] {
            let schedule = Schedule::new(n, rate, 1_761_000_000_000_000);
            let mut pace = Pace::new(schedule.clone(), 0..n as u32);
            let mut sent = vec![0; n];
            let mut last_us = 0;
            for _ in 0..5000 {
                let due = pace.take(u64::MAX).expect("always due");
                assert!(due.intended_us >= last_us);
                last_us = due.intended_us;
                let number = &mut sent[due.sender as usize];
                assert_eq!(due.number, *number);
                assert_eq!(schedule.number(due.sender, due.intended_us), Some(*number));
                *number += 1;
            }
            let until_us = pace.next_us().expect("a next one");
            assert!(pace.take(until_us - 1).is_none());
            for (sender, &sent) in sent.iter().enumerate() {
                assert_eq!(schedule.planned(sender as u32, 0, until_us), sent, "{n} at {rate}");
                assert_eq!(schedule.planned(sender as u32, until_us, until_us), 0);
            }
        }
    }

    #[test]
    fn threads_share_one_schedule() {
        let schedule = Schedule::new(10, 100.0, 1_000_000);
        let mut all = Pace::new(schedule.clone(), 0..10);
        let mut halves = [0, 1].map(|half| {
            Pace::new(schedule.clone(), (0..10).filter(move |sender| sender % 2 == half))
        });
        for _ in 0..100 {
            let due = all.take(u64::MAX).expect("due");
            assert_eq!(halves[due.sender as usize % 2].take(u64::MAX), Some(due));
        }
        assert_eq!(schedule.number(3, 999_999), None);
        assert_eq!(schedule.number(3, schedule.time_us(3, 5) + 1), None);
        assert!(Pace::new(schedule, std::iter::empty()).next_us().is_none());
    }
}
