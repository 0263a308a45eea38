//! What users have sent in the last 24 hours.

use std::collections::{HashMap, VecDeque};
use tutti_shards::UserId;

/// What the smallest file costs, bytes: a block of the disk. It bounds how many there are.
pub(super) const COST_MIN: u64 = 4 << 10;
const DAY_MS: u64 = 24 * 3_600_000;
/// Files that were sent within this time are counted as one.
const GRAIN_MS: u64 = 3_600_000;

/// What a file of so many bytes costs.
pub(super) fn cost(size: u64) -> u64 {
    size.max(COST_MIN)
}

/// What each user has sent, by the hour: at most 25 entries a user.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    users: HashMap<UserId, VecDeque<(u64, u64)>>,
}

impl Ledger {
    /// A user has sent something that cost so much.
    pub(super) fn charge(&mut self, user: UserId, cost: u64, at_ms: u64) {
        let spent = self.users.entry(user).or_default();
        match spent.back_mut() {
            Some((since, sum)) if at_ms < *since + GRAIN_MS => *sum += cost,
            _ => spent.push_back((at_ms, cost)),
        }
    }

    /// What a user has sent lately.
    pub(super) fn spent(&self, user: UserId, now_ms: u64) -> u64 {
        let spent = self.users.get(&user).into_iter().flatten();
        spent.filter(|(at, _)| *at + DAY_MS > now_ms).map(|(_, sum)| sum).sum()
    }

    /// Forgets what is a day ago.
    pub(super) fn forget(&mut self, now_ms: u64) {
        self.users.retain(|_, spent| {
            while spent.front().is_some_and(|(at, _)| at + DAY_MS <= now_ms) {
                spent.pop_front();
            }
            !spent.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_counts_for_a_day() {
        let (ann, ben) = (UserId([1; 12]), UserId([2; 12]));
        let mut ledger = Ledger::default();
        ledger.charge(ann, 10, 1_000);
        ledger.charge(ann, 5, 2_000);
        ledger.charge(ann, 7, 2 * GRAIN_MS);
        ledger.charge(ben, 1, 1_000);
        assert_eq!(ledger.users[&ann].len(), 2, "one entry an hour");
        assert_eq!((ledger.spent(ann, 3_000), ledger.spent(ben, 3_000)), (22, 1));
        assert_eq!(ledger.spent(ann, 1_000 + DAY_MS - 1), 22);
        assert_eq!(ledger.spent(ann, 1_000 + DAY_MS), 7);
        ledger.forget(1_000 + DAY_MS);
        assert_eq!((ledger.users.len(), ledger.spent(ann, 1_000 + DAY_MS)), (1, 7));
    }
}
