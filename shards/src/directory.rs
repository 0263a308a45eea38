//! The directory: this shard's replica of the list of visible channels.
//!
//! Every owner publishes what changed in its part in numbered batches, to every shard, itself included. So the
//! replicas agree as soon as the batches have arrived, and cost follows the changes.

use crate::{ChannelInfo, ChannelName, ShardId, UserId};
use ahash::RandomState;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

/// How long the end of a channel is remembered, for followers that were between two shards meanwhile.
const GONE_KEPT_US: u64 = 30_000_000;

#[derive(Debug)]
struct Listed {
    info: Arc<ChannelInfo>,
    from: ShardId,
    sequence: u64,
    listed: bool,
    since_us: u64,
}

#[derive(Debug)]
pub(crate) struct Directory {
    channels: BTreeMap<ChannelName, Listed>,
    /// The listed ones, most people first, then by name.
    ranked: BTreeSet<(Reverse<u32>, ChannelName)>,
    /// The last batch of each shard.
    seen: Vec<u64>,
    gone: VecDeque<(u64, ChannelName)>,
    /// The last batch of each shard with an end that is no longer remembered.
    forgotten: Vec<u64>,
    /// How many listed channels ban a user.
    banned: HashMap<UserId, u32, RandomState>,
    /// Counts changes.
    pub(crate) version: u64,
}

impl Directory {
    pub(crate) fn new(shards: u16, hasher: RandomState) -> Self {
        Directory {
            channels: BTreeMap::new(),
            ranked: BTreeSet::new(),
            seen: vec![0; usize::from(shards)],
            gone: VecDeque::new(),
            forgotten: vec![0; usize::from(shards)],
            banned: HashMap::with_hasher(hasher),
            version: 0,
        }
    }

    /// Knows a permanent channel from the start, before its owner says anything.
    pub(crate) fn seed(&mut self, from: ShardId, info: ChannelInfo) {
        assert!(Self::belongs(&info), "only permanent channels are there from the start");
        let name = info.name.clone();
        self.ranked.insert((Reverse(info.count), name.clone()));
        let entry = Listed { info: Arc::new(info), from, sequence: 0, since_us: 0, listed: true };
        let before = self.channels.insert(name, entry);
        assert!(before.is_none(), "each of them once");
    }

    /// Whether a channel belongs into the list.
    fn belongs(info: &ChannelInfo) -> bool {
        info.settings.visible && (info.count > 0 || info.name.is_permanent())
    }

    /// Takes a batch over.
    pub(crate) fn apply(
        &mut self,
        from: ShardId,
        sequence: u64,
        entries: &[Arc<ChannelInfo>],
        now_us: u64,
    ) {
        assert!(self.seen[from.index()] < sequence, "batches of one shard arrive in order");
        self.seen[from.index()] = sequence;
        self.version += 1;
        for info in entries {
            let listed = Self::belongs(info);
            let entry = Listed { info: info.clone(), from, sequence, listed, since_us: now_us };
            let before = self.channels.insert(info.name.clone(), entry);
            let before = before.filter(|before| before.listed);
            // Most changes leave a channel where it is among the others.
            let stays = listed && before.as_ref().is_some_and(|old| old.info.count == info.count);
            if let Some(before) = before {
                if !stays {
                    self.ranked.remove(&(Reverse(before.info.count), before.info.name.clone()));
                }
                self.count_bans(&before.info.banned, false);
            }
            if listed {
                if !stays {
                    self.ranked.insert((Reverse(info.count), info.name.clone()));
                }
                self.count_bans(&info.banned, true);
            } else {
                self.gone.push_back((now_us, info.name.clone()));
            }
        }
        while let Some((since, name)) =
            self.gone.pop_front_if(|(since, _)| *since + GONE_KEPT_US < now_us)
        {
            // One that came back and ended again is remembered from its last end on.
            let is_old = |entry: &Listed| !entry.listed && entry.since_us == since;
            if let Some(entry) = self.channels.get(&name).filter(|entry| is_old(entry)) {
                self.forgotten[entry.from.index()] = entry.sequence;
                self.channels.remove(&name);
            }
        }
    }

    fn count_bans(&mut self, users: &[UserId], add: bool) {
        for &user in users {
            if add {
                *self.banned.entry(user).or_default() += 1;
            } else if let Some(count) = self.banned.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.banned.remove(&user);
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ranked.len()
    }

    pub(crate) fn get(&self, name: &ChannelName) -> Option<&ChannelInfo> {
        self.channels.get(name).filter(|entry| entry.listed).map(|entry| &*entry.info)
    }

    /// Whether `user` is banned in a listed channel.
    pub(crate) fn is_banned_somewhere(&self, user: UserId) -> bool {
        self.banned.contains_key(&user)
    }

    /// The listed channels after `after`, by name.
    pub(crate) fn listed_after(
        &self,
        after: Option<&ChannelName>,
    ) -> impl Iterator<Item = &ChannelInfo> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.channels
            .range::<ChannelName, _>((start, Bound::Unbounded))
            .filter(|(_, entry)| entry.listed)
            .map(|(_, entry)| &*entry.info)
    }

    /// How many people are in the listed channels behind a count and name: most people first, then by name.
    pub(crate) fn ranked_after(
        &self,
        after: Option<(u32, &str)>,
    ) -> impl Iterator<Item = (u32, &ChannelName)> {
        let after = after.map(|(count, name)| (Reverse(count), ChannelName::unchecked(name)));
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.ranked.range((start, Bound::Unbounded)).map(|(Reverse(count), name)| (*count, name))
    }

    /// Which batch of each shard is the last here.
    pub(crate) fn seen(&self) -> &[u64] {
        &self.seen
    }

    /// Whether something changed after these batches.
    pub(crate) fn has_news(&self, since: &[u64]) -> bool {
        is_ahead(&self.seen, since)
    }

    /// Whether a channel ended after these batches that is not remembered any more.
    pub(crate) fn has_forgotten(&self, since: &[u64]) -> bool {
        is_ahead(&self.forgotten, since)
    }

    /// The channels after `after`, by name, that changed after these batches; ended ones among them, as long as they
    /// are remembered.
    pub(crate) fn changed_after(
        &self,
        since: &[u64],
        after: Option<&ChannelName>,
    ) -> impl Iterator<Item = &ChannelInfo> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.channels
            .range::<ChannelName, _>((start, Bound::Unbounded))
            .filter(|(_, entry)| entry.sequence > batch_of(since, entry.from.index()))
            .map(|(_, entry)| &*entry.info)
    }
}

fn batch_of(batches: &[u64], shard: usize) -> u64 {
    batches.get(shard).copied().unwrap_or(0)
}

fn is_ahead(batches: &[u64], of: &[u64]) -> bool {
    batches.iter().enumerate().any(|(shard, &batch)| batch > batch_of(of, shard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelKind, Settings};

    fn info(name: &str, count: u32, visible: bool) -> Arc<ChannelInfo> {
        let settings = Settings { visible, ..Settings::new(ChannelKind::Normal) };
        let name = ChannelName::parse(name).unwrap();
        Arc::new(ChannelInfo { name, settings, count, crown: None, banned: [].into(), topic: None })
    }

    #[test]
    fn channels_are_ranked_by_people_and_by_name() {
        let mut directory = Directory::new(2, RandomState::with_seeds(1, 2, 3, 4));
        let first =
            [info("b", 2, true), info("c", 2, true), info("a", 1, true), info("x", 9, false)];
        directory.apply(ShardId(0), 1, &first, 0);
        directory.apply(ShardId(1), 1, &[info("d", 3, true), info("e", 0, true)], 0);
        let ranked = |directory: &Directory, after: Option<(u32, &str)>| -> Vec<String> {
            directory.ranked_after(after).map(|(_, name)| name.to_string()).collect()
        };
        assert_eq!(ranked(&directory, None), ["d", "b", "c", "a"]);
        assert_eq!(ranked(&directory, Some((2, "b"))), ["c", "a"]);
        assert_eq!(ranked(&directory, Some((2, "bb"))), ["c", "a"], "also one that is gone");
        assert_eq!(ranked(&directory, Some((0, ""))), [""; 0]);
        // What changes has a new place, and what ends has none.
        let next = [info("b", 5, true), info("c", 0, true), info("x", 9, true)];
        directory.apply(ShardId(0), 2, &next, 0);
        assert_eq!(ranked(&directory, None), ["x", "b", "d", "a"]);
        assert_eq!(directory.len(), 4);
        let by_name: Vec<_> = directory.listed_after(None).map(|info| info.name.as_str()).collect();
        assert_eq!(by_name, ["a", "b", "d", "x"], "both lists hold the same");
    }
}
