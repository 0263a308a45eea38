//! Open-loop pacing: which sender sends when, decided before the run starts.
//!
//! All senders send at the same interval, each with a phase of its own, so the whole schedule is a
//! ring: send number `j` belongs to sender `order[j % n]` and is that sender's `j / n`-th. The intended
//! time travels in the note, and a receiver can compute the sequence number back from it.

pub(crate) struct Pace {
    pub(crate) start_us: u64,
    interval_us: u64,
    /// The senders in the order of their phases.
    order: Vec<usize>,
    /// By sender: its place in `order`.
    place: Vec<u64>,
    next: u64,
}

/// One send that is due.
pub(crate) struct Due {
    pub(crate) sender: usize,
    pub(crate) number: u64,
    pub(crate) intended_us: u64,
}

impl Pace {
    /// `n` senders with `rate` sends a second each, the first at `start_us`.
    pub(crate) fn new(n: usize, rate: f64, start_us: u64) -> Self {
        let mut order: Vec<usize> = (0..n).collect();
        // A fixed shuffle, so that neighbours in time are not neighbours in a channel.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for i in (1..n).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            order.swap(i, (random % (i as u64 + 1)) as usize);
        }
        let mut place = vec![0; n];
        for (at, &sender) in order.iter().enumerate() {
            place[sender] = at as u64;
        }
        let interval_us = ((1e6 / rate).round() as u64).max(1);
        Self { start_us, interval_us, order, place, next: 0 }
    }

    /// When the next send is due.
    pub(crate) fn next_us(&self) -> u64 {
        self.time_us(self.next)
    }

    /// The next send, if it is due by `now_us`.
    pub(crate) fn take(&mut self, now_us: u64) -> Option<Due> {
        let intended_us = self.next_us();
        if intended_us > now_us {
            return None;
        }
        let n = self.order.len() as u64;
        let due = Due {
            sender: self.order[(self.next % n) as usize],
            number: self.next / n,
            intended_us,
        };
        self.next += 1;
        Some(due)
    }

    /// How many sends `sender` has made so far.
    pub(crate) fn sent(&self, sender: usize) -> u64 {
        let n = self.order.len() as u64;
        self.next / n + u64::from(self.next % n > self.place[sender])
    }

    /// How many sends there were in all.
    pub(crate) fn sent_in_all(&self) -> u64 {
        self.next
    }

    /// Which of its sends `sender` intended for `intended_us`; `None` when it never did.
    pub(crate) fn number(&self, sender: usize, intended_us: u64) -> Option<u64> {
        let first = self.time_us(self.place[sender]);
        let number = intended_us.checked_sub(first)? / self.interval_us;
        (first + number * self.interval_us == intended_us).then_some(number)
    }

    fn time_us(&self, j: u64) -> u64 {
        let n = self.order.len() as u64;
        self.start_us + (j / n) * self.interval_us + (j % n) * self.interval_us / n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_from_times_and_times_rise() {
        let mut pace = Pace::new(7, 333.0, 1_000_000);
        let mut sent = [0; 7];
        let mut last_us = 0;
        for _ in 0..500 {
            let due = pace.take(u64::MAX).expect("always due");
            assert!(due.intended_us >= last_us);
            last_us = due.intended_us;
            assert_eq!(due.number, sent[due.sender]);
            assert_eq!(pace.number(due.sender, due.intended_us), Some(due.number));
            assert_eq!(pace.number(due.sender, due.intended_us + 1), None);
            sent[due.sender] += 1;
            assert_eq!(pace.sent(due.sender), sent[due.sender]);
        }
        assert_eq!(pace.sent_in_all(), 500);
        assert!(pace.take(pace.next_us() - 1).is_none());
    }
}
