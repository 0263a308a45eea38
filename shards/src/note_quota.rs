//! How many notes a participant may play: the classic quota of this protocol, brought up to date when used.

use crate::{QuotaPreset, Quotas};
use serde::{Deserialize, Serialize};

/// Ticks that the quota remembers (`maxHistLen` on the wire).
const HISTORY: usize = 3;

/// What a user has played lately.
///
/// Kept as what is *used* rather than what is left: so the same state fits every preset, and neither passing the
/// crown nor leaving and coming back refills anything. What is left is `max + allowance - used`; the allowance on
/// top is slack, because clients count the same ticks at other moments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NoteQuota {
    used: u32,
    /// What was used at the last ticks, newest first.
    history: [u32; HISTORY],
    /// The tick up to which this is true.
    tick: u32,
}

impl NoteQuota {
    /// Spends `notes` if that many are left. Otherwise spends nothing and returns `false`.
    pub fn spend(&mut self, quotas: &Quotas, preset: QuotaPreset, now_us: u64, notes: u32) -> bool {
        if !quotas.enforced {
            return true;
        }
        self.catch_up(quotas, preset, now_us);
        let ceiling = ceiling(preset);
        let exhausted =
            self.history.iter().map(|&used| ceiling - i64::from(used)).sum::<i64>() <= 0;
        let price = if exhausted {
            u64::from(notes) * u64::from(preset.allowance)
        } else {
            u64::from(notes)
        };
        let left = ceiling - i64::from(self.used);
        if i64::try_from(price).is_ok_and(|price| price <= left) {
            self.used += price as u32;
            true
        } else {
            false
        }
    }

    /// Whether it is as if nothing had ever been played, under whichever preset.
    #[must_use]
    pub fn is_rested(&self, quotas: &Quotas, now_us: u64) -> bool {
        let presets = [quotas.lobby, quotas.normal, quotas.crown];
        let allowance = presets.iter().map(|preset| preset.allowance).min().unwrap_or(0);
        let passed = tick(quotas, now_us).wrapping_sub(self.tick);
        *self == NoteQuota::default() || passed >= self.ticks_to_rest(allowance)
    }

    /// After so many ticks nothing is used any more and the history says so.
    fn ticks_to_rest(&self, allowance: u32) -> u32 {
        self.used / allowance.max(1) + 1 + HISTORY as u32
    }

    /// Applies the ticks that have passed since the last use.
    fn catch_up(&mut self, quotas: &Quotas, preset: QuotaPreset, now_us: u64) {
        let tick = tick(quotas, now_us);
        let passed = tick.wrapping_sub(self.tick).min(self.ticks_to_rest(preset.allowance));
        self.tick = tick;
        for _ in 0..passed {
            self.history = [self.used, self.history[0], self.history[1]];
            self.used = self.used.saturating_sub(preset.allowance);
        }
    }
}

fn tick(quotas: &Quotas, now_us: u64) -> u32 {
    (now_us / (quotas.tick.as_micros() as u64).max(1)) as u32
}

fn ceiling(preset: QuotaPreset) -> i64 {
    i64::from(preset.max) + i64::from(preset.allowance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use proptest::prelude::*;

    const S: u64 = 1_000_000;

    fn quotas() -> Quotas {
        Config::default().quotas
    }

    #[test]
    fn a_full_quota_and_one_allowance_then_the_refill() {
        let (quotas, lobby) = (quotas(), quotas().lobby);
        let mut quota = NoteQuota::default();
        assert!(quota.spend(&quotas, lobby, 100 * S, 600));
        assert!(!quota.spend(&quotas, lobby, 100 * S, 300));
        assert!(quota.spend(&quotas, lobby, 100 * S, 200));
        assert!(!quota.spend(&quotas, lobby, 101 * S, 1));
        assert!(quota.spend(&quotas, lobby, 102 * S, 200));
        assert!(!quota.spend(&quotas, lobby, 102 * S, 1));
        assert!(quota.spend(&quotas, lobby, 1_000_000 * S, 800));
    }

    #[test]
    fn a_batch_beyond_any_quota_is_refused() {
        let mut quota = NoteQuota::default();
        assert!(!quota.spend(&quotas(), quotas().crown, S, u32::MAX));
        assert!(!quota.spend(&quotas(), quotas().crown, S, 2_401));
        assert!(quota.spend(&quotas(), quotas().crown, S, 2_400));
    }

    #[test]
    fn a_smaller_preset_counts_what_the_larger_one_used() {
        let quotas = quotas();
        let mut quota = NoteQuota::default();
        assert!(quota.spend(&quotas, quotas.crown, S, 2_000));
        assert!(!quota.spend(&quotas, quotas.normal, S, 1));
        assert!(quota.spend(&quotas, quotas.crown, S, 400));
    }

    #[test]
    fn what_is_rested_is_as_good_as_new() {
        let (quotas, crown) = (quotas(), quotas().crown);
        let mut quota = NoteQuota::default();
        assert!(quota.spend(&quotas, crown, 100 * S, 2_400));
        assert!(!quota.is_rested(&quotas, 100 * S));
        let rested = (100..10_000).find(|&s| quota.is_rested(&quotas, s * S)).unwrap();
        for preset in [quotas.lobby, quotas.normal, quotas.crown] {
            let (mut used, mut new) = (quota, NoteQuota::default());
            used.catch_up(&quotas, preset, rested * S);
            new.catch_up(&quotas, preset, rested * S);
            assert_eq!(used, new);
        }
    }

    proptest! {
        /// The reference ticks once for each tick; ours jumps.
        #[test]
        fn jumping_equals_ticking(uses in proptest::collection::vec((0u64..20, 0u32..900), 1..60)) {
            let (quotas, preset) = (quotas(), quotas().normal);
            let ceiling = ceiling(preset);
            let (mut points, mut history) = (ceiling, [ceiling; HISTORY]);
            let mut quota = NoteQuota::default();
            let mut tick = 0;
            for (gap, notes) in uses {
                for _ in 0..gap {
                    history = [points, history[0], history[1]];
                    points = ceiling.min(points + i64::from(preset.allowance));
                }
                tick += gap;
                let exhausted = history.iter().sum::<i64>() <= 0;
                let factor = if exhausted { i64::from(preset.allowance) } else { 1 };
                let price = i64::from(notes) * factor;
                let granted = price <= points;
                if granted {
                    points -= price;
                }
                prop_assert_eq!(quota.spend(&quotas, preset, tick * 2 * S, notes), granted);
            }
        }
    }
}
