//! Users whose records this shard owns: who they are, and which connections are theirs.

use crate::{
    Bucket, ConnId, DoorKind, Nick, NoteQuota, Places, Profile, ShardId, UserId,
    place_index::PlaceIndex,
};
use ahash::RandomState;
use smallvec::SmallVec;
use std::{collections::BTreeMap, num::NonZeroU64, rc::Rc};

/// Where a user's connection is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presence {
    pub(crate) conn: ConnId,
    pub(crate) shard: ShardId,
    pub(crate) hops: u16,
    /// Whether an operator had it closed: one that was on its way for long is told so again where it arrives.
    pub(crate) doomed: bool,
    /// Whether it said that nobody is there. A user is away when all connections say so.
    pub(crate) away: bool,
}

impl Presence {
    pub(crate) fn new(conn: ConnId, shard: ShardId, hops: u16) -> Self {
        Presence { conn, shard, hops, doomed: false, away: false }
    }
}

#[derive(Debug)]
pub(crate) struct User {
    pub(crate) profile: Rc<Profile>,
    pub(crate) connections: SmallVec<[Presence; 1]>,
    /// Whether the same user can come back: not so for ids that were drawn for one connection.
    pub(crate) durable: bool,
    pub(crate) rate: Bucket,
    /// What the user had played when the last connection went.
    pub(crate) quota: NoteQuota,
    /// Position in the order in which absent users are forgotten.
    absent_since: Option<NonZeroU64>,
}

impl User {
    /// Says whether nobody is at a connection.
    pub(crate) fn set_away(&mut self, conn: ConnId, away: bool) {
        if let Some(presence) = self.connections.iter_mut().find(|known| known.conn == conn) {
            presence.away = away;
        }
    }

    /// Whether nobody is at any of the connections, of which there are some.
    pub(crate) fn is_away(&self) -> bool {
        !self.connections.is_empty() && self.connections.iter().all(|presence| presence.away)
    }

    /// The connections on each shard, in order of shards.
    pub(crate) fn by_shard(&self) -> BTreeMap<ShardId, SmallVec<[ConnId; 1]>> {
        let mut shards: BTreeMap<ShardId, SmallVec<[ConnId; 1]>> = BTreeMap::new();
        for presence in &self.connections {
            shards.entry(presence.shard).or_default().push(presence.conn);
        }
        shards
    }
}

/// The records of a shard's users. The one place where profiles are kept.
#[derive(Debug)]
pub(crate) struct Users {
    records: Places<User>,
    by_id: PlaceIndex,
    /// The places of users without connections, longest absent first.
    absent: BTreeMap<NonZeroU64, u32>,
    /// The number of the last absence.
    absences: NonZeroU64,
    absent_max: usize,
    /// Those who were forgotten since somebody looked: what else is known of them goes, too.
    pub(crate) forgotten: Vec<UserId>,
}

impl Users {
    pub(crate) fn new(hasher: RandomState, absent_max: u32) -> Self {
        Users {
            records: Places::default(),
            by_id: PlaceIndex::new(hasher),
            absent: BTreeMap::new(),
            absences: NonZeroU64::MIN,
            absent_max: absent_max as usize,
            forgotten: Vec::new(),
        }
    }

    /// From now on so many users without connections are remembered.
    pub(crate) fn set_absent_max(&mut self, absent_max: u32) {
        self.absent_max = absent_max as usize;
        self.forget_absent();
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn get(&self, user: UserId) -> Option<&User> {
        self.find(user).map(|idx| &self.records[idx])
    }

    pub(crate) fn get_mut(&mut self, user: UserId) -> Option<&mut User> {
        self.find(user).map(|idx| &mut self.records[idx])
    }

    fn find(&self, user: UserId) -> Option<u32> {
        self.by_id.find(user, |idx| self.records[idx].profile.user)
    }

    fn insert(&mut self, record: User) -> u32 {
        let idx = self.records.insert(record);
        self.by_id.insert(idx, |idx| self.records[idx].profile.user);
        idx
    }

    fn forget(&mut self, idx: u32) {
        self.by_id.remove(self.records[idx].profile.user, idx);
        self.records.remove(idx);
    }

    /// A connection of `user` said hello; `profile` is who that was, where there is no record. `None` when the user has
    /// `max` already.
    pub(crate) fn arrive(
        &mut self,
        user: UserId,
        durable: bool,
        presence: Presence,
        max: Option<u32>,
        profile: impl FnOnce() -> Profile,
        nick: Option<&Nick>,
    ) -> Option<&User> {
        let idx = self.find(user).unwrap_or_else(|| {
            self.insert(User {
                profile: Rc::new(profile()),
                connections: SmallVec::new(),
                durable,
                rate: Bucket::default(),
                quota: NoteQuota::default(),
                absent_since: None,
            })
        });
        let record = &mut self.records[idx];
        record.durable |= durable;
        // Somebody at a terminal is one connection: one who came as this user and has another nick now stays it.
        let max = if nick.is_some() { Some(1) } else { max };
        if max.is_some_and(|max| record.connections.len() >= max as usize) {
            return None;
        }
        if let Some(nick) = nick {
            let profile = Rc::make_mut(&mut record.profile);
            profile.version += 1;
            profile.name = Some(nick.to_name());
            profile.door = DoorKind::Line;
        }
        if let Some(since) = record.absent_since.take() {
            self.absent.remove(&since);
        }
        record.connections.push(presence);
        Some(record)
    }

    /// A connection is now on another shard. Late news of an earlier move changes nothing, and is `false`.
    pub(crate) fn moved(&mut self, user: UserId, presence: Presence) -> bool {
        let known = self.get_mut(user).and_then(|record| {
            record.connections.iter_mut().find(|known| known.conn == presence.conn)
        });
        match known {
            Some(known) if known.hops < presence.hops => {
                *known = Presence { doomed: known.doomed, away: known.away, ..presence };
                true
            }
            _ => false,
        }
    }

    /// A connection is gone. The record of a user without any is kept only when the user can come back; the answer is
    /// when a user who can was first seen, if this was the last connection.
    pub(crate) fn depart(
        &mut self,
        user: UserId,
        conn: ConnId,
        quota: Option<NoteQuota>,
    ) -> Option<u64> {
        let idx = self.find(user)?;
        let record = &mut self.records[idx];
        let before = record.connections.len();
        record.connections.retain(|presence| presence.conn != conn);
        if record.connections.len() == before {
            return None;
        }
        record.quota = quota.unwrap_or(record.quota);
        if !record.connections.is_empty() {
            return None;
        }
        if !record.durable {
            self.forget(idx);
            return None;
        }
        let first_seen_ms = record.profile.first_seen_ms;
        self.absences = self.absences.checked_add(1).expect("absences are counted in 64 bits");
        record.absent_since = Some(self.absences);
        self.absent.insert(self.absences, idx);
        self.forget_absent();
        Some(first_seen_ms)
    }

    fn forget_absent(&mut self) {
        while self.absent.len() > self.absent_max
            && let Some((_, forgotten)) = self.absent.pop_first()
        {
            self.forgotten.push(self.records[forgotten].profile.user);
            self.forget(forgotten);
        }
    }

    /// All records, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &User> {
        self.records.iter().map(|(_, record)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn away_is_who_is_at_no_connection() {
        let mut users = Users::new(RandomState::with_seeds(1, 2, 3, 4), 2);
        let user = UserId([1; 12]);
        for n in [1, 2] {
            users.arrive(user, true, presence(n), None, || new(user), None);
        }
        let record = users.get_mut(user).unwrap();
        record.set_away(presence(1).conn, true);
        assert!(!record.is_away(), "somebody is at the other");
        record.set_away(presence(2).conn, true);
        assert!(record.is_away());
        assert!(users.moved(user, Presence { hops: 1, ..presence(1) }));
        assert!(users.get(user).unwrap().is_away(), "also when a connection goes on elsewhere");
        users.get_mut(user).unwrap().set_away(presence(1).conn, false);
        users.depart(user, presence(1).conn, None);
        assert!(users.get(user).unwrap().is_away(), "the one who was there is gone");
        users.depart(user, presence(2).conn, None);
        assert!(!users.get(user).unwrap().is_away(), "nobody says anything");
    }

    fn presence(serial: u64) -> Presence {
        Presence::new(ConnId::new(ShardId(0), serial), ShardId(0), 0)
    }

    fn new(user: UserId) -> Profile {
        Profile::new(user, 5)
    }

    #[test]
    fn absent_users_are_remembered_up_to_the_limit() {
        let mut users = Users::new(RandomState::with_seeds(1, 2, 3, 4), 2);
        for n in 1..=3u8 {
            let user = UserId([n; 12]);
            let arrived = users.arrive(user, true, presence(n.into()), Some(1), || new(user), None);
            assert!(arrived.is_some());
            assert!(
                users.arrive(user, true, presence(100), Some(1), || new(user), None).is_none(),
                "one connection each"
            );
            users.depart(user, presence(n.into()).conn, None);
        }
        assert!(users.get(UserId([1; 12])).is_none(), "the longest absent is forgotten");
        assert!(users.get(UserId([2; 12])).is_some() && users.get(UserId([3; 12])).is_some());
        let drawn = UserId([9; 12]);
        users.arrive(drawn, false, presence(9), None, || new(drawn), None);
        users.depart(UserId([9; 12]), presence(9).conn, None);
        assert!(users.get(UserId([9; 12])).is_none(), "a drawn id never returns");
    }
}
