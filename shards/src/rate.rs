//! Token buckets in eight bytes.

use crate::Rate;
use serde::{Deserialize, Serialize};

/// How much of a [`Rate`] has been used, brought up to date only when asked.
///
/// Kept as the moment at which the bucket will be full again (the generic cell rate algorithm), so that an idle
/// bucket costs nothing and a default one is full.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Bucket {
    full_at_us: u64,
}

impl Bucket {
    /// Takes `cost` from the bucket, or takes nothing and returns `false`.
    pub fn take(&mut self, rate: Rate, now_us: u64, cost: u64) -> bool {
        let per = rate.per.as_micros() as u64;
        if per == 0 {
            return true;
        }
        let debt = self.full_at_us.saturating_sub(now_us);
        let price = cost.saturating_mul(per) / u64::from(rate.count.max(1));
        if debt.saturating_add(price) > per {
            return false;
        }
        self.full_at_us = now_us + debt + price;
        true
    }

    /// Whether it is as if nothing had ever been taken.
    #[must_use]
    pub fn is_full(&self, now_us: u64) -> bool {
        self.full_at_us <= now_us
    }

    /// The first moment at which one unit can be taken, if nothing else is taken before.
    #[must_use]
    pub fn ready_at_us(&self, rate: Rate) -> u64 {
        let per = rate.per.as_micros() as u64;
        let price = per / u64::from(rate.count.max(1));
        self.full_at_us.saturating_sub(per - price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate::new(4, 4_000);
        let mut bucket = Bucket::default();
        let now = 50_000_000;
        assert!((0..4).all(|_| bucket.take(rate, now, 1)));
        assert!(!bucket.take(rate, now, 1));
        assert!(!bucket.take(rate, now + 999_000, 1));
        assert_eq!(bucket.ready_at_us(rate), now + 1_000_000);
        assert!(bucket.take(rate, now + 1_000_000, 1));
        assert!(!bucket.take(rate, now + 1_000_000, 1));
        assert!(!bucket.is_full(now + 4_999_999) && bucket.is_full(now + 5_000_000));
    }

    #[test]
    fn more_than_the_burst_never_passes() {
        let rate = Rate::new(16_384, 10_000);
        assert!(!Bucket::default().take(rate, 1 << 40, 20_000));
        assert!(Bucket::default().take(Rate::UNLIMITED, 0, u64::MAX));
    }

    proptest! {
        #[test]
        fn no_window_passes_more_than_twice_the_burst(
            count in 1u32..50, gaps in proptest::collection::vec(0u64..300_000, 1..200)
        ) {
            let rate = Rate::new(count, 1_000);
            let mut bucket = Bucket::default();
            let (mut now, mut passed) = (1 << 40, Vec::new());
            for gap in gaps {
                now += gap;
                if bucket.take(rate, now, 1) {
                    passed.push(now);
                }
            }
            for (i, &start) in passed.iter().enumerate() {
                let within = passed.iter().skip(i).take_while(|&&t| t < start + 1_000_000).count();
                prop_assert!(within <= 2 * count as usize);
            }
        }
    }
}
