//! What a channel is beyond itself as a room: its numbering, who may what, what was already said, and how busy it is.

use crate::{
    Bucket, MessageId, NumberKey, Role, RoomId, StoredRoom, UserId, channel::Channel,
    shard::Gathered,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Most roles of one room; the first by user makes room.
const ROLES_MAX: usize = 1_000;
/// Pairs of user and nonce that a room remembers, and for how long, microseconds.
const NONCES_MAX: usize = 1_024;
const NONCE_KEPT_US: u64 = 600_000_000;

#[derive(Debug)]
pub(crate) struct RoomState {
    pub(crate) id: RoomId,
    /// The number of the last event.
    pub(crate) seq: u64,
    /// When the last message was said, so that times never fall.
    pub(crate) last_ms: u64,
    /// The least role that may post.
    pub(crate) post_role: Role,
    /// Before this moment the piano is not told of deletions again.
    pub(crate) retell_at_us: u64,
    pub(crate) retell_armed: bool,
    /// What members were told last of owner, visibility and chat.
    pub(crate) told: Told,
    pub(crate) beat: Beat,
    /// What was said lately, by anybody.
    pub(crate) said_lately: Bucket,
    rare: Option<Box<Rare>>,
}

/// What of a channel is an event of its own in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub(crate) owner: Option<UserId>,
    pub(crate) visible: bool,
    pub(crate) chat: bool,
}

/// What few rooms have.
#[derive(Debug, Default)]
struct Rare {
    topic: Option<Box<str>>,
    roles: BTreeMap<UserId, Role>,
    /// What was said with a nonce: the message, its time, and when it was said on the monotonic clock.
    said: BTreeMap<(UserId, Arc<str>), (MessageId, u64, u64)>,
    said_in_order: VecDeque<(u64, UserId, Arc<str>)>,
    receipts: Gathered,
}

impl RoomState {
    pub(crate) fn new(id: RoomId) -> Self {
        RoomState {
            id,
            seq: 0,
            last_ms: 0,
            post_role: Role::Member,
            retell_at_us: 0,
            retell_armed: false,
            told: Told { owner: None, visible: true, chat: true },
            beat: Beat::default(),
            said_lately: Bucket::default(),
            rare: None,
        }
    }

    /// The number of the next event.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Receipts that are about to be told.
    pub(crate) fn receipts(&mut self) -> &mut Gathered {
        &mut self.rare().receipts
    }

    pub(crate) fn topic(&self) -> Option<&str> {
        self.rare.as_ref()?.topic.as_deref()
    }

    /// An empty topic is none.
    pub(crate) fn set_topic(&mut self, topic: &str) {
        if !topic.is_empty() || self.rare.is_some() {
            self.rare().topic = (!topic.is_empty()).then(|| topic.into());
        }
    }

    /// Whether it is anything that a new room is not.
    pub(crate) fn is_special(&self) -> bool {
        let rare = self.rare.as_ref();
        self.post_role != Role::Member
            || rare.is_some_and(|rare| rare.topic.is_some() || !rare.roles.is_empty())
    }

    /// What is to be kept of it.
    pub(crate) fn to_store(&self, title: Box<str>) -> StoredRoom {
        let (topic, post_role) = (self.topic().map(Into::into), self.post_role);
        let roles = self.rare.iter().flat_map(|rare| &rare.roles);
        let roles = roles.map(|(&user, &role)| (user, role)).collect();
        StoredRoom { title, topic, post_role, roles }
    }

    /// Makes it what was kept.
    pub(crate) fn restore(&mut self, room: &StoredRoom) {
        self.set_topic(room.topic.as_deref().unwrap_or_default());
        self.post_role = room.post_role;
        for &(user, role) in &room.roles {
            self.set_role(user, role);
        }
    }

    /// A role that was given, apart from the crown.
    fn given_role(&self, user: UserId) -> Role {
        let given = self.rare.as_ref().and_then(|rare| rare.roles.get(&user));
        given.copied().unwrap_or(Role::Member)
    }

    pub(crate) fn set_role(&mut self, user: UserId, role: Role) {
        let roles = &mut self.rare().roles;
        if role == Role::Member {
            roles.remove(&user);
        } else {
            roles.insert(user, role);
        }
        if roles.len() > ROLES_MAX {
            roles.pop_first();
        }
    }

    /// What a message became that the user sent with this nonce before.
    pub(crate) fn said(&self, user: UserId, nonce: &str, now_us: u64) -> Option<(MessageId, u64)> {
        let &(id, sent_ms, at_us) = self.rare.as_ref()?.said.get(&(user, nonce.into()))?;
        (now_us < at_us + NONCE_KEPT_US).then_some((id, sent_ms))
    }

    pub(crate) fn remember_nonce(
        &mut self,
        user: UserId,
        nonce: &str,
        said: (MessageId, u64),
        now_us: u64,
    ) {
        let rare = self.rare();
        let nonce: Arc<str> = nonce.into();
        rare.said.insert((user, nonce.clone()), (said.0, said.1, now_us));
        rare.said_in_order.push_back((now_us, user, nonce));
        while rare.said_in_order.len() > NONCES_MAX
            || rare.said_in_order.front().is_some_and(|first| first.0 + NONCE_KEPT_US <= now_us)
        {
            let oldest = rare.said_in_order.pop_front();
            oldest.and_then(|(_, user, nonce)| rare.said.remove(&(user, nonce)));
        }
    }
}

impl Channel {
    /// What a user may do here.
    pub(crate) fn role(&self, user: UserId) -> Role {
        if let Some(private) = &self.private {
            private.role(user)
        } else if self.is_holder(user) {
            Role::Owner
        } else if self.kind.is_lobby() {
            Role::Member
        } else {
            self.room.given_role(user)
        }
    }

    /// Whether a user may post, apart from being muted.
    pub(crate) fn may_post(&self, user: UserId) -> bool {
        self.settings.chat && self.role(user) >= self.room.post_role
    }

    pub(crate) fn now_told(&self) -> Told {
        Told {
            owner: self.crown.filter(|crown| crown.held).map(|crown| crown.user),
            visible: self.settings.visible,
            chat: self.settings.chat,
        }
    }

    /// The participant of this number.
    pub(crate) fn find_number(&self, key: NumberKey, number: crate::UserNumber) -> Option<u32> {
        self.roster.iter().find(|(_, p)| key.user(&p.profile) == number).map(|(idx, _)| idx)
    }
}

/// How busy a room is: messages of each of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    /// The oldest first; at most as many as [`crate::Busy::window`] has.
    seconds: VecDeque<u32>,
    /// In the second that is not over.
    now: u32,
    pub(crate) listed: bool,
    pub(crate) busy: bool,
    cool_s: u32,
}

/// What a second brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// It became busy.
    Busy,
    /// It is quiet again.
    Quiet,
    /// It is as before, and is looked at again.
    Same,
    /// Nothing was said for so long that it need not be looked at.
    Still,
}

impl Beat {
    pub(crate) fn count(&mut self) {
        self.now += 1;
    }

    /// A second is over.
    pub(crate) fn second(&mut self, config: crate::Busy) -> Turn {
        let window_s = config.window.as_secs().max(1);
        self.seconds.push_back(std::mem::take(&mut self.now));
        while self.seconds.len() as u64 > window_s {
            self.seconds.pop_front();
        }
        let sum: u64 = self.seconds.iter().map(|&count| u64::from(count)).sum();
        let reaches = |rate: u32| sum >= u64::from(rate) * window_s;
        if !self.busy {
            if reaches(config.rate.max(1)) {
                (self.busy, self.cool_s) = (true, 0);
                return Turn::Busy;
            }
            if sum == 0 {
                // A silent room owns no memory for this.
                self.seconds = VecDeque::new();
                return Turn::Still;
            }
            return Turn::Same;
        }
        self.cool_s = if reaches(config.cool_rate) { 0 } else { self.cool_s + 1 };
        if u64::from(self.cool_s) >= config.cool_after.as_secs().max(1) {
            self.busy = false;
            return Turn::Quiet;
        }
        Turn::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Busy, ShardId};

    const USER: UserId = UserId([1; 12]);

    #[test]
    fn nonces_are_remembered_for_a_time_and_in_a_number() {
        let mut room = RoomState::new(RoomId::LOBBY);
        let said = |n| (MessageId::new(ShardId(0), n), n);
        assert_eq!(room.said(USER, "a", 0), None);
        for n in 0..=NONCES_MAX as u64 {
            room.remember_nonce(USER, &n.to_string(), said(n), n);
        }
        assert_eq!(room.said(USER, "0", 2_000), None, "the oldest made room");
        assert_eq!(room.said(USER, "1", 2_000), Some(said(1)));
        assert_eq!(room.said(UserId([2; 12]), "1", 2_000), None, "another user's");
        room.remember_nonce(USER, "late", said(9), NONCE_KEPT_US + 1_000);
        assert_eq!(room.said(USER, "1000", NONCE_KEPT_US + 1_000), None, "its time is over");
        assert!(room.said(USER, "1001", NONCE_KEPT_US + 1_000).is_some());
    }

    #[test]
    fn a_room_becomes_busy_stays_so_in_between_and_cools_after_a_while() {
        let config = Busy::default();
        let mut beat = Beat::default();
        let mut second = |messages: u32| {
            (0..messages).for_each(|_| beat.count());
            beat.second(config)
        };
        for _ in 0..9 {
            assert_eq!(second(100), Turn::Same);
        }
        assert_eq!(second(100), Turn::Busy, "1,000 in 10 s");
        for _ in 0..100 {
            assert_eq!(second(50), Turn::Same, "between the rates");
        }
        for _ in 0..50 {
            assert_eq!(second(0), Turn::Same);
        }
        assert_eq!(second(250), Turn::Same, "one busy second starts the wait anew");
        // It counts for ten seconds; after these the wait of sixty begins.
        for n in 0..68 {
            assert_eq!(second(0), Turn::Same, "{n}");
        }
        assert_eq!(second(0), Turn::Quiet, "it was silent");
        assert_eq!(second(0), Turn::Still);
    }
}
