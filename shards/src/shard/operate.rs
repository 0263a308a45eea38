//! What operators do and ask, on the shard that owns what they name.

use super::{Announcement, Shard, govern::Removal};
use crate::{
    ChannelDetail, ChannelFilter, ChannelKind, ChannelName, ChannelSeen, CloseReason, Config,
    ConnId, Departure, DoorKind, Event, Key, Named, Notice, Now, Order, OrderPlace, Outcome,
    SeatSeen, SlowReader, UserFilter, UserId, UserSeen, Wire,
    channel::Channel,
    conn::{Awaits, JoinRequest, NameWish, Seat},
    mesh::{Mesh, Payload},
    users::Presence,
};
use smallvec::smallvec;
use std::{cmp::Reverse, sync::Arc};

/// As whom an operator acts in a channel.
const OPERATOR: &str = "Server";

impl<W: Wire> Shard<W> {
    /// Carries out an operator's order. To be given to the shards that [`Order::place`] names.
    ///
    /// # Panics
    /// When another shard owns what it names.
    pub fn operate(&mut self, now: Now, order: Order) -> Outcome {
        if let OrderPlace::One(owner) = order.place(&self.placement) {
            assert_eq!(owner, self.id, "an order goes to the owner of what it names");
        }
        match order {
            Order::Say { channel, text } => match self.find_channel(&channel) {
                Some(idx) => {
                    let members = self.count_members(idx);
                    self.staff_chat(now, channel, text);
                    Outcome::Done(members)
                }
                None => Outcome::NoSuchChannel,
            },
            Order::NotifyAll(notice) => {
                self.announce(now, Announcement::Notice(Arc::new(Notice::Operator(notice))));
                Outcome::Done(0)
            }
            Order::NotifyChannel { channel, notice } => match self.find_channel(&channel) {
                Some(idx) => {
                    let members = self.count_members(idx);
                    self.tell_channel(channel, Notice::Operator(notice));
                    Outcome::Done(members)
                }
                None => Outcome::NoSuchChannel,
            },
            Order::NotifyUser { user, notice } => {
                self.deliver_to_user(now, user, Payload::Notice(Arc::new(Notice::Operator(notice))))
            }
            Order::Kick { user, reason } => {
                if let Some(record) = self.users.get_mut(user) {
                    record.connections.iter_mut().for_each(|presence| presence.doomed = true);
                }
                let notice = Arc::new(Notice::Kicked { reason });
                self.deliver_to_user(now, user, Payload::Close(CloseReason::Kicked, notice))
            }
            Order::Disconnect { conn, reason } => {
                let payload =
                    Payload::Close(CloseReason::Kicked, Arc::new(Notice::Kicked { reason }));
                let here = self.conns.find(conn).is_some();
                let passed_on = self.forwarding.contains_key(&conn);
                self.send_to_conns(now, &[conn], &payload);
                match (here, passed_on) {
                    (true, _) => Outcome::Done(1),
                    // On its way, or gone meanwhile.
                    (false, true) => Outcome::Done(0),
                    (false, false) => Outcome::NoSuchConnection,
                }
            }
            Order::Ban { channel, user, ms } => self.operator_ban(now, &channel, user, ms),
            Order::Unban { channel, user } => match self.find_channel(&channel) {
                Some(idx) if self.lift_ban(now, idx, user, OPERATOR.into(), None).is_some() => {
                    Outcome::Done(0)
                }
                Some(_) => Outcome::NothingToLift,
                None => Outcome::NoSuchChannel,
            },
            Order::Mute { user, until_ms } => self.mute(now, user, until_ms),
            Order::MuteIn { channel, user, ms } => self.mute_in(now, &channel, user, ms),
            Order::Close { channel, reason } => self.close_channel(now, &channel, reason),
            Order::Profile { user, change } => {
                let Some(connections) = self.count_connections(user) else {
                    return Outcome::NoSuchUser;
                };
                let record = self.users.get(user);
                let is_own = record.is_some_and(|record| record.profile.has_own_name());
                if is_own && connections > 0 && change.name.is_some() {
                    return Outcome::OwnName;
                }
                self.change_profile(now, user, None, change);
                Outcome::Done(connections)
            }
            Order::MuteGuests(younger_ms) => {
                self.guests_muted_ms = younger_ms;
                Outcome::Done(0)
            }
        }
    }

    /// From now on these settings are in force. What was decided by the old ones stays as it is.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.users.set_absent_max(config.profiles_max);
        let number_key = self.config.number_key;
        // What it makes has to stay the same.
        self.config = match config.number_key == number_key {
            true => config,
            false => Arc::new(Config { number_key, ..Config::clone(&config) }),
        };
    }

    /// From now on events are encoded by this wire, whose formats are the same.
    pub fn rewire(&mut self, wire: W) {
        self.wire = wire;
    }

    /// Whom a connection belongs to, also when its user's shard was not heard yet.
    #[must_use]
    pub fn user_of(&self, key: Key) -> Option<UserId> {
        let conn = &self.conns[self.conns.slot(key)?];
        match conn.awaits() {
            Some(
                Awaits::Welcome { user, .. }
                | Awaits::Name { wish: NameWish::Login { user, .. }, .. },
            ) => Some(*user),
            _ => conn.profile.as_ref().map(|profile| profile.user),
        }
    }

    /// Which connection a key names.
    #[must_use]
    pub fn conn_of(&self, key: Key) -> Option<ConnId> {
        self.conns.slot(key).map(|slot| self.conns[slot].id)
    }

    /// Closes a connection of somebody who is not wanted on this server, and says so first.
    pub fn expel(&mut self, now: Now, key: Key, reason: Option<Box<str>>) {
        let Some(slot) = self.conns.slot(key) else { return };
        self.tell(slot, &[Event::Notice(&Notice::SiteBanned { reason })]);
        self.close(now, slot, CloseReason::Banned);
    }

    /// Says to a connection that its user is not wanted on this server, and closes it after a while: old clients come
    /// back 50 ms after a socket that was open closes.
    pub fn refuse_banned(&mut self, now: Now, key: Key, reason: Option<Box<str>>) {
        let Some(slot) = self.conns.slot(key) else { return };
        let notice = Notice::SiteBanned { reason };
        self.refuse(now, slot, &notice, CloseReason::Banned);
    }

    /// A connection that an operator had closed has arrived somewhere: it was on its way for longer than messages are
    /// sent after it.
    pub(super) fn kick_again(&mut self, now: Now, to: Presence) {
        let notice = Arc::new(Notice::Kicked { reason: None });
        let payload = Payload::Close(CloseReason::Kicked, notice);
        if to.shard == self.id {
            self.send_to_conns(now, &[to.conn], &payload);
        } else {
            self.mesh(to.shard, Mesh::ToConns { conns: smallvec![to.conn], payload });
        }
    }

    fn find_channel(&self, channel: &ChannelName) -> Option<u32> {
        self.by_name.get(channel).copied()
    }

    fn count_members(&self, idx: u32) -> u32 {
        self.channels[idx as usize].roster.members().count() as u32
    }

    fn count_connections(&self, user: UserId) -> Option<u32> {
        self.users.get(user).map(|record| record.connections.len() as u32)
    }

    fn deliver_to_user(&mut self, now: Now, user: UserId, payload: Payload) -> Outcome {
        match self.count_connections(user) {
            None | Some(0) => Outcome::NoSuchUser,
            Some(connections) => {
                self.send_to_user(now, user, payload, &[]);
                Outcome::Done(connections)
            }
        }
    }

    fn operator_ban(&mut self, now: Now, channel: &ChannelName, user: UserId, ms: u64) -> Outcome {
        let Some(idx) = self.find_channel(channel) else { return Outcome::NoSuchChannel };
        let channel = &self.channels[idx as usize];
        if channel.kind.is_lobby() {
            return Outcome::Lobby;
        }
        let present = channel.roster.find(user);
        let (name, door, members) = match present {
            Some(participant) => {
                let participant = &channel.roster[participant];
                let (name, door) = (participant.named(), participant.profile.door);
                (name, door, participant.members.len() as u32)
            }
            None if ms == 0 => return Outcome::NoSuchUser,
            None => (Named::plain(&user.to_string()), DoorKind::Piano, 0),
        };
        let by_name = Named::plain(OPERATOR);
        let (number, by, themselves, reason) = (None, None, false, None);
        let removal = Removal { user, ms, number, by, by_name, themselves, name, door, reason };
        self.carry_out_ban(now, idx, removal);
        Outcome::Done(members)
    }

    fn mute(&mut self, now: Now, user: UserId, until_ms: u64) -> Outcome {
        let Some(record) = self.users.get_mut(user) else { return Outcome::NoSuchUser };
        let was_muted = record.profile.is_muted(now.wall_ms);
        if until_ms == 0 && !was_muted {
            return Outcome::NothingToLift;
        }
        let connections = record.connections.len() as u32;
        self.update_profile(now, user, |profile| profile.muted_until_ms = until_ms);
        let seconds = until_ms.saturating_sub(now.wall_ms).div_ceil(1_000);
        let notice = Arc::new(Notice::Muted { seconds });
        self.send_to_user(now, user, Payload::Notice(notice), &[]);
        Outcome::Done(connections)
    }

    fn mute_in(&mut self, now: Now, channel: &ChannelName, user: UserId, ms: u64) -> Outcome {
        let Some(idx) = self.find_channel(channel) else { return Outcome::NoSuchChannel };
        if self.mute_here(now, idx, user, ms, None).is_none() {
            return Outcome::NothingToLift;
        }
        let Some(participant) = self.channels[idx as usize].roster.find(user) else {
            return Outcome::Done(0);
        };
        let members = self.channels[idx as usize].roster[participant].members.len() as u32;
        let notice = Notice::Muted { seconds: ms.div_ceil(1_000) };
        self.tell_participant(idx, participant, &[Event::Notice(&notice)]);
        Outcome::Done(members)
    }

    fn close_channel(&mut self, now: Now, name: &ChannelName, reason: Option<Box<str>>) -> Outcome {
        let Some(idx) = self.find_channel(name) else { return Outcome::NoSuchChannel };
        if name.is_permanent() {
            return Outcome::Permanent;
        }
        if name.kind() == ChannelKind::Lobby {
            // Those who are sent to a full lobby could come back to this one.
            return Outcome::Lobby;
        }
        let notice = Notice::ChannelClosed { channel: name.clone(), reason };
        let channel = &mut self.channels[idx as usize];
        // Those who are left are about to go themselves: they need not hear of each other's going, nor of crowns.
        channel.closing = true;
        let members: Vec<_> = channel.roster.members().collect();
        for &(participant, member) in &members {
            self.tell_member(idx, member.conn, member.at, &[Event::Notice(&notice)]);
            let lobby = JoinRequest::to(ChannelName::lobby());
            self.departure = Departure::Deleted;
            self.dismiss(now, idx, participant, member, lobby);
            // One that has to wait for what a lobby was waits outside.
            if let Some(slot) = self.conns.find(member.conn)
                && matches!(self.conns[slot].seat, Seat::Owned { channel, .. } if channel == idx)
            {
                self.unseat(now, slot);
            }
            self.departure = Departure::default();
        }
        let channel = &mut self.channels[idx as usize];
        assert!(channel.roster.is_empty(), "whoever is dismissed leaves at once");
        if members.is_empty() {
            // Its end was due anyway.
            channel.empties += 1;
        }
        let empties = channel.empties;
        self.end_if_empty(now, idx, empties);
        Outcome::Done(members.len() as u32)
    }

    /// For how many seconds yet a participant's words are refused; `None` when they are heard.
    pub(super) fn muted_for(&self, now: Now, channel: &Channel, participant: u32) -> Option<u64> {
        let profile = &channel.roster[participant].profile;
        let here_us = channel.mutes.until(profile.user, None, now.mono_us).unwrap_or(now.mono_us);
        let guest_until_ms = self.guests_muted_ms.map_or(0, |ms| profile.first_seen_ms + ms);
        let everywhere_ms = profile.muted_until_ms.max(guest_until_ms);
        let left_ms =
            everywhere_ms.saturating_sub(now.wall_ms).max((here_us - now.mono_us).div_ceil(1_000));
        (left_ms > 0).then(|| left_ms.div_ceil(1_000))
    }

    /// For how many seconds yet a connection's words are refused wherever it is.
    pub(super) fn muted_everywhere(&self, now: Now, slot: u32) -> Option<u64> {
        let profile = self.conns[slot].profile.as_ref()?;
        let guest_until_ms = self.guests_muted_ms.map_or(0, |ms| profile.first_seen_ms + ms);
        let left_ms = profile.muted_until_ms.max(guest_until_ms).saturating_sub(now.wall_ms);
        (left_ms > 0).then(|| left_ms.div_ceil(1_000))
    }

    /// The users whose records this shard owns and that a filter lets through.
    #[must_use]
    pub fn users_seen(&self, now: Now, filter: &UserFilter) -> Vec<UserSeen> {
        let fits = |profile: &crate::Profile| {
            filter.text.as_deref().is_none_or(|text| {
                profile.display_name().to_lowercase().contains(text)
                    || profile.user.to_string().contains(text)
            }) && (!filter.muted || profile.is_muted(now.wall_ms))
        };
        // Copied are only those who are shown: a shard may have a hundred thousand.
        let mut seen: Vec<&crate::users::User> = self
            .users
            .iter()
            .filter(|record| filter.absent || !record.connections.is_empty())
            .filter(|record| fits(&record.profile))
            .collect();
        seen.sort_by_key(|record| (Reverse(record.connections.len()), record.profile.user));
        seen.truncate(filter.limit as usize);
        seen.into_iter().map(seen_user).collect()
    }

    /// One user whose record this shard owns.
    #[must_use]
    pub fn user_seen(&self, user: UserId) -> Option<UserSeen> {
        self.users.get(user).map(seen_user)
    }

    /// Where a user sits in channels of this shard.
    #[must_use]
    pub fn seats_seen(&self, now: Now, user: UserId) -> Vec<SeatSeen> {
        let seat = |channel: &Channel| {
            let participant = channel.roster.find(user)?;
            let members = &channel.roster[participant].members;
            let until = channel.mutes.until(user, None, now.mono_us).unwrap_or(now.mono_us);
            Some(SeatSeen {
                channel: channel.name.clone(),
                connections: members.iter().map(|member| member.conn).collect(),
                crowned: channel.is_holder(user),
                muted_ms: (until - now.mono_us).div_ceil(1_000),
            })
        };
        self.channels.iter().filter_map(|(_, channel)| seat(channel)).collect()
    }

    /// The channels of this shard that a filter lets through, those with the most participants first.
    #[must_use]
    pub fn channels_seen(&self, now: Now, filter: &ChannelFilter) -> Vec<ChannelSeen> {
        let fits = |channel: &Channel| {
            let text = filter.text.as_deref();
            text.is_none_or(|text| channel.name.as_str().to_lowercase().contains(text))
                && (!filter.hidden || !channel.settings.visible)
                && (!filter.peopled || !channel.roster.is_empty())
        };
        let mut fitting: Vec<&Channel> =
            self.channels.iter().map(|(_, channel)| channel).filter(|c| fits(c)).collect();
        fitting.sort_by(|a, b| {
            (Reverse(a.roster.len()), a.name.as_str())
                .cmp(&(Reverse(b.roster.len()), b.name.as_str()))
        });
        fitting.truncate(filter.limit as usize);
        fitting.into_iter().map(|channel| self.seen_channel(now, channel)).collect()
    }

    /// One channel that this shard owns.
    #[must_use]
    pub fn channel_seen(&self, now: Now, name: &ChannelName) -> Option<ChannelDetail> {
        let channel = &self.channels[self.find_channel(name)? as usize];
        let left = |list: &crate::channel::Bans| {
            list.iter(now.mono_us)
                .map(|(user, until)| (user, (until - now.mono_us).div_ceil(1_000)))
                .collect()
        };
        Some(ChannelDetail {
            seen: self.seen_channel(now, channel),
            participants: channel
                .roster
                .iter()
                .map(|(_, p)| ((*p.profile).clone(), p.members.len() as u32))
                .collect(),
            bans: left(&channel.bans),
            mutes: left(&channel.mutes),
        })
    }

    fn seen_channel(&self, now: Now, channel: &Channel) -> ChannelSeen {
        ChannelSeen {
            name: channel.name.clone(),
            shard: self.id,
            settings: channel.settings.clone(),
            count: channel.roster.len() as u32,
            members: channel.roster.members().count() as u32,
            crown: channel.crown,
            hot: channel.heat.hot,
            history: channel.history.len() as u32,
            banned: channel.bans.iter(now.mono_us).count() as u32,
        }
    }

    /// The connections for which most bytes wait, at most so many.
    #[must_use]
    pub fn slow_readers(&self, limit: usize) -> Vec<SlowReader> {
        let mut slow: Vec<SlowReader> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.blocked && conn.attached)
            .map(|(_, conn)| SlowReader {
                conn: conn.id,
                user: conn.profile.as_ref().map(|profile| profile.user),
                waiting: conn.outbox.len() as u64,
            })
            .collect();
        slow.sort_by_key(|slow| (Reverse(slow.waiting), slow.conn));
        slow.truncate(limit);
        slow
    }
}

fn seen_user(record: &crate::users::User) -> UserSeen {
    UserSeen {
        profile: (*record.profile).clone(),
        connections: record.connections.iter().map(|p| (p.conn, p.shard)).collect(),
    }
}
