//! The shard's own invariants, all of them. Dear; for the simulator, after each step.

use super::Shard;
use crate::{
    ChannelName, ChatMessage, ConnId, Crown, Now, Position, Profile, Role, RoomId, Settings,
    UserId, UserNumber, Wire, channel::At, conn::Seat,
};
use std::collections::BTreeMap;

/// A room as its members have to know it, for checks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomSeen {
    /// The number of its last event.
    pub seq: u64,
    /// Whether it is a direct or group room.
    pub is_private: bool,
    /// Everyone who is shown in it, with what they may do.
    pub people: Vec<(UserNumber, Role)>,
}

impl<W: Wire> Shard<W> {
    /// Checks every invariant of this shard that does not need another shard to be looked at.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn verify(&self) {
        let mut seated: BTreeMap<ConnId, u32> = BTreeMap::new();
        for (idx, channel) in &self.channels {
            assert_eq!(
                self.by_name.get(&channel.name),
                Some(&(idx as u32)),
                "a channel is found by its name"
            );
            assert_eq!(self.owner(&channel.name), self.id, "a shard owns its channels");
            assert_eq!(channel.private.is_some(), channel.name.is_private(), "its name says it");
            if let Some(private) = &channel.private {
                private.verify();
                assert!(!channel.settings.visible && !channel.published, "nobody finds it");
                for (_, p) in channel.roster.iter() {
                    assert!(private.is_in(p.profile.user), "only its people are there");
                }
            }
            if let Some(crown) = channel.crown {
                assert!(!channel.kind.is_lobby(), "lobbies have no crown");
                assert!(
                    !crown.held || channel.roster.find(crown.user).is_some(),
                    "a held crown is on a present participant"
                );
            } else {
                let has_none = channel.kind.is_lobby() || channel.private.is_some();
                assert!(has_none, "only lobbies and private rooms have no crown");
            }
            for (participant, p) in channel.roster.iter() {
                assert!(!p.members.is_empty(), "a participant has a connection");
                assert_eq!(channel.roster.find(p.profile.user), Some(participant), "found by user");
                assert_eq!(p.cursor_pending, channel.moved.contains(&participant), "gathered once");
            }
            let mut away = BTreeMap::new();
            for (participant, member) in channel.roster.members() {
                let before = seated.insert(member.conn, idx as u32);
                assert!(before.is_none(), "{} sits in one place", member.conn);
                match member.at {
                    At::Here(slot) => {
                        let conn = self.conns.get(slot).expect("a member's connection is here");
                        assert_eq!(conn.id, member.conn);
                        assert_eq!(conn.seat, Seat::Owned { channel: idx as u32, participant });
                        assert_eq!(channel.fan.members[conn.member_idx as usize], slot);
                    }
                    At::Away(shard, format) => {
                        assert_ne!(shard, self.id);
                        assert_eq!(self.away.get(&member.conn), Some(&(idx as u32, participant)));
                        *away.entry((shard, format)).or_insert(0u32) += 1;
                    }
                }
            }
            let counted: u32 = channel.away.iter().map(|away| away.members()).sum();
            assert_eq!(counted, away.values().sum::<u32>(), "relayed members are counted");
            for ((shard, format), count) in away {
                let away = channel.away.iter().find(|away| away.shard == shard);
                assert_eq!(away.expect("listed").formats[format.index()], count);
            }
            let here =
                channel.roster.members().filter(|(_, m)| matches!(m.at, At::Here(_))).count();
            assert_eq!(
                channel.fan.members.len(),
                here,
                "the fan-out holds the members that are here"
            );
            let spoken = channel.fan.members.iter().map(|&slot| 1u8 << self.conns[slot].format.0);
            assert_eq!(channel.fan.formats, spoken.fold(0, |a, b| a | b), "and what they speak");
        }
        assert_eq!(self.by_name.len(), self.channels.len());
        let hot = self.channels.iter().filter(|(_, c)| c.heat.hot).count();
        assert_eq!(hot, self.n_hot as usize, "hot channels are counted");
        let (mut blocked, mut waiting, mut relayed) = (0, 0, 0);
        for (slot, conn) in self.conns.iter() {
            assert_eq!(self.conns.find(conn.id), Some(slot), "a connection is found by its id");
            blocked += u64::from(conn.blocked);
            waiting += if conn.blocked { conn.outbox.len() as u64 } else { 0 };
            match conn.seat {
                Seat::None => {}
                Seat::Owned { .. } => assert!(seated.contains_key(&conn.id), "seats are mutual"),
                Seat::Relayed { relay } => {
                    relayed += 1;
                    let relay = &self.relays[relay as usize];
                    assert_eq!(relay.fan.members[conn.member_idx as usize], slot);
                }
            }
        }
        assert_eq!(blocked, self.n_blocked, "blocked connections are counted");
        assert_eq!(waiting, self.waiting_bytes, "waiting bytes are counted");
        for record in self.users.iter().filter(|record| !record.connections.is_empty()) {
            assert_eq!(record.profile.away, record.is_away(), "away is who is at no connection");
        }
        let members: usize = self.relays.iter().map(|(_, relay)| relay.fan.members.len()).sum();
        assert_eq!(members, relayed, "relayed members are in a fan-out");
        assert!(
            self.relays.iter().all(|(_, relay)| !relay.fan.members.is_empty()),
            "and no relay is empty"
        );
    }

    /// Where each connection of this shard's channels sits, for checks across shards.
    pub fn seats(&self) -> impl Iterator<Item = (&ChannelName, ConnId)> {
        self.channels.iter().flat_map(|(_, channel)| {
            channel.roster.members().map(move |(_, member)| (&channel.name, member.conn))
        })
    }

    /// The connections whose sockets are here.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.conns.iter().filter(|(_, conn)| conn.attached).map(|(_, conn)| conn.id)
    }

    /// The visible part of the directory: names and counts.
    pub fn listed(&self) -> impl Iterator<Item = (&ChannelName, u32)> {
        self.directory.listed_after(None).map(|info| (&info.name, info.count))
    }

    /// The channels owned here that belong into the directory: names and counts.
    pub fn to_be_listed(&self) -> impl Iterator<Item = (&ChannelName, u32)> {
        let shown = |channel: &&crate::channel::Channel| {
            channel.settings.visible && (!channel.roster.is_empty() || channel.name.is_permanent())
        };
        let channels = self.channels.iter().map(|(_, channel)| channel);
        channels.filter(shown).map(|channel| (&channel.name, channel.roster.len() as u32))
    }

    /// How many connections the users' records of this shard count.
    #[must_use]
    pub fn presences(&self) -> usize {
        self.users.iter().map(|user| user.connections.len()).sum()
    }

    /// Everyone who participates in a channel that is owned here, and where their cursor is.
    pub fn participants(&self) -> impl Iterator<Item = (&ChannelName, UserId, Position)> {
        self.channels.iter().flat_map(|(_, channel)| {
            channel.roster.iter().map(|(_, p)| (&channel.name, p.profile.user, p.position))
        })
    }

    /// What a room that is owned here shows of itself.
    #[must_use]
    pub fn room_seen(&self, room: RoomId) -> Option<RoomSeen> {
        let channel = &self.channels[*self.by_number.get(&room)? as usize];
        let (occupants, _) = channel.occupants(usize::MAX);
        let key = self.config.number_key;
        let people = occupants.iter().map(|who| (key.user(who.view.profile), who.role)).collect();
        let (seq, is_private) = (channel.room.seq, channel.private.is_some());
        Some(RoomSeen { seq, is_private, people })
    }

    /// Whether a user may post in a channel that is owned here, apart from being muted.
    #[must_use]
    pub fn lets_post(&self, channel: &ChannelName, user: UserId) -> bool {
        self.by_name.get(channel).is_some_and(|&idx| self.channels[idx as usize].may_post(user))
    }

    /// The crown of a channel that is owned here and has one.
    #[must_use]
    pub fn crown(&self, channel: &ChannelName) -> Option<Crown> {
        self.channels[*self.by_name.get(channel)? as usize].crown
    }

    /// What a channel that is owned here has that is kept: settings, and what was said, oldest first.
    #[must_use]
    pub fn remembered(&self, channel: &ChannelName) -> Option<(&Settings, Vec<&ChatMessage>)> {
        let channel = &self.channels[*self.by_name.get(channel)? as usize];
        Some((&channel.settings, channel.history.iter().collect()))
    }

    /// Whether a user may not enter a channel that is owned here.
    #[must_use]
    pub fn is_banned(&self, channel: &ChannelName, user: UserId, now: Now) -> bool {
        self.by_name.get(channel).is_some_and(|&idx| {
            self.channels[idx as usize].bans.until(user, None, now.mono_us).is_some()
        })
    }

    /// A user whose record is owned here.
    #[must_use]
    pub fn profile(&self, user: UserId) -> Option<&Profile> {
        self.users.get(user).map(|record| &*record.profile)
    }

    /// Checks that nothing waits and nothing is kept for what is gone: for a shard whose peers have read everything
    /// and to which nothing is on its way, some seconds after the last of it.
    ///
    /// # Panics
    /// When something does.
    pub fn verify_at_rest(&self, now: Now) {
        assert!(self.outputs.is_empty(), "all outputs were acted on");
        assert_eq!(self.asked.len(), 0, "nobody waits for the storage for ever");
        assert_eq!(self.pending(), super::Pending::Nothing, "nothing is to be flushed");
        assert!(self.dirty_fans.is_empty() && self.list_news.is_empty() && !self.prompt);
        assert!(self.publish.is_empty() && self.ended.is_empty(), "everything is published");
        let stale = self.forwarding.values().filter(|&&(_, until)| until < now.mono_us);
        assert_eq!(stale.count(), 0, "nothing is sent for ever after those who went");
        assert_eq!((self.n_blocked, self.waiting_bytes), (0, 0), "nobody waits for bytes");
        for (_, conn) in self.conns.iter() {
            let id = conn.id;
            assert!(conn.attached, "{id} has come home");
            assert!(!conn.blocked && conn.outbox.is_empty(), "{id} was sent everything");
            assert!(!conn.listed && conn.awaits().is_none(), "{id} goes on");
            assert!(!conn.stale, "{id} knows where the cursors are");
            if let Some(extra) = &conn.extra {
                assert!(extra.deferred.is_none(), "{id} went where it wanted");
                assert!(extra.list_due.is_none(), "{id} has the whole list");
                assert!(extra.doom.is_none());
            }
        }
        let fans = self.channels.iter().map(|(_, channel)| &channel.fan);
        for fan in fans.chain(self.relays.iter().map(|(_, relay)| &relay.fan)) {
            assert!(!fan.listed && fan.pending_bytes() == 0, "everything broadcast was sent");
        }
        for (_, channel) in &self.channels {
            assert!(channel.moved.is_empty(), "all cursor moves went out");
            let lasts = !channel.roster.is_empty()
                || channel.name.is_permanent()
                || channel.private.as_ref().is_some_and(|private| private.lasts());
            assert!(lasts, "empty channels end, {} too", channel.name);
        }
        let away: usize = self
            .channels
            .iter()
            .flat_map(|(_, channel)| &channel.away)
            .map(|away| away.members() as usize)
            .sum();
        assert_eq!(away, self.away.len(), "relayed members are known by their connection");
        assert!(self.asking.is_at_rest(), "all that seats asked is answered");
        let followers = self.conns.iter().filter(|(_, conn)| conn.follows_custom).count();
        assert_eq!(followers, self.custom_followers.len(), "subscribers are listed once");
        let followers = self.conns.iter().filter(|(_, conn)| conn.list_idx != super::NOWHERE);
        assert_eq!(followers.count(), self.followers.len(), "followers are listed once");
    }
}
