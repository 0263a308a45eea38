//! Members on other shards.
//!
//! When one core's fan-out is the limit, a channel becomes *hot*: its owner hands connections of members to other
//! shards, which relay it. The owner stays the only authority. It sends each such shard every broadcast once, and
//! the shard writes it to its members; what those ask comes back as commands.
//!
//! Nothing is lost, repeated or reordered meanwhile, because all of it goes through the same queue in order:
//! - Away: the connection itself travels ahead of the first broadcast that the other shard gets for it.
//! - Home: the recall travels behind the last broadcast that the other shard gets for it. From then on the owner
//!   keeps what the member is to be sent, in a place for a connection whose socket is still on the way.

use super::flush::LOG_BYTES_MAX;
use super::{Actor, FanRef, Flow, Output, Relay, Shard};
use crate::{
    ChannelRef, Command, ConnId, Entry, Format, NoteQuota, Now, Profile, ShardId, UserId, Wire,
    channel::{At, Away, has_moved},
    conn::{Awaits, JoinRequest, Purpose, Seat},
    fan_out::FanOut,
    mesh::{Batch, BatchEntry, BatchPart, Mesh},
    timers::Timer,
};
use smallvec::SmallVec;
use std::{rc::Rc, sync::Arc};

/// How often it is looked which channels are hot, in microseconds: rates are messages in such a window.
const HEAT_WINDOW_US: u64 = 1_000_000;

impl<W: Wire> Shard<W> {
    /// Counts a message of a channel.
    pub(super) fn warm(&mut self, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        channel.heat.messages += 1;
        if !channel.heat.listed && self.shards > 1 && self.config.hot.max > 0 {
            channel.heat.listed = true;
            self.heat_watch.push((idx, channel.serial));
        }
    }

    /// Starts looking at heat, if there is something to look at.
    pub(super) fn arm_heat(&mut self, now: Now) {
        if !self.heat_armed && !self.heat_watch.is_empty() {
            self.heat_armed = true;
            self.arm(now.mono_us + HEAT_WINDOW_US, Timer::Heat);
        }
    }

    pub(super) fn look_at_heat(&mut self, now: Now) {
        self.heat_armed = false;
        let hot = self.config.hot;
        for (idx, serial) in std::mem::take(&mut self.heat_watch) {
            let Some(channel) = self.channels.get_mut(idx as usize).filter(|c| c.serial == serial)
            else {
                continue;
            };
            let rate = std::mem::take(&mut channel.heat.messages);
            channel.heat.listed = rate > 0 || channel.heat.hot;
            if channel.heat.listed {
                self.heat_watch.push((idx, serial));
            }
            if !channel.heat.hot {
                let members = channel.fan.members.len();
                if rate >= hot.promote_rate
                    && members >= hot.promote_members as usize
                    && self.n_hot < hot.max
                {
                    self.promote(now, idx);
                }
            } else if rate >= hot.demote_rate {
                channel.heat.cool_since_us = None;
            } else {
                let since = *channel.heat.cool_since_us.get_or_insert(now.mono_us);
                if now.mono_us - since >= hot.demote_after.as_micros() as u64 {
                    self.demote(now, idx);
                }
            }
        }
        self.arm_heat(now);
    }

    /// Spreads the members of a channel evenly over the shards.
    fn promote(&mut self, now: Now, idx: u32) {
        self.n_hot += 1;
        self.stats.promotions += 1;
        let channel = &mut self.channels[idx as usize];
        channel.heat.hot = true;
        channel.heat.cool_since_us = None;
        let members = channel.fan.members.clone();
        let keep = members.len().div_ceil(usize::from(self.shards));
        let others: Vec<ShardId> =
            (0..self.shards).map(ShardId).filter(|&s| s != self.id).collect();
        for (n, &slot) in members[keep..].iter().enumerate() {
            self.spread(now, idx, slot, others[n % others.len()]);
        }
    }

    /// Gives a new member of a hot channel to the shard with the fewest.
    pub(super) fn spread_if_hot(&mut self, now: Now, idx: u32, slot: u32) {
        let channel = &self.channels[idx as usize];
        if !channel.heat.hot {
            return;
        }
        let here = channel.fan.members.len();
        let least = (0..self.shards)
            .map(ShardId)
            .filter(|&shard| shard != self.id)
            .map(|shard| {
                let away = channel.away.iter().find(|away| away.shard == shard);
                (away.map_or(0, |away| away.members() as usize), shard)
            })
            .min();
        if let Some((members, shard)) = least
            && members + 1 < here
        {
            self.spread(now, idx, slot, shard);
        }
    }

    /// Hands a member's connection to another shard, where it stays a member.
    fn spread(&mut self, now: Now, idx: u32, slot: u32, to: ShardId) {
        let conn = &self.conns[slot];
        if !conn.attached || conn.awaits().is_some() || conn.format == Format::QUIC {
            return;
        }
        let Seat::Owned { channel, participant } = self.conns[slot].seat else {
            unreachable!("a member of an owned channel sits in it");
        };
        assert_eq!(channel, idx, "and in no other");
        self.ship(idx);
        self.absorb(slot);
        let (conn, format) = (self.conns[slot].id, self.conns[slot].format);
        let channel = &mut self.channels[idx as usize];
        channel.fan.remove(slot, &mut self.conns);
        self.conns[slot].seat = Seat::None;
        self.member_mut(Actor { channel: idx, participant, conn, at: At::Here(slot) }).at =
            At::Away(to, format);
        self.add_away(idx, to, format);
        self.away.insert(conn, (idx, participant));
        let channel = ChannelRef { owner: self.id, channel: idx };
        self.hand_over(now, slot, to, Purpose::Spread { channel });
    }

    pub(super) fn add_away(&mut self, idx: u32, to: ShardId, format: Format) {
        let channel = &mut self.channels[idx as usize];
        let ends = log_ends(&channel.fan);
        let place = channel.away.iter().position(|away| away.shard == to).unwrap_or_else(|| {
            channel.away.push(Away { shard: to, formats: Default::default(), shipped: ends });
            channel.away.len() - 1
        });
        let away = &mut channel.away[place];
        let f = format.index();
        if away.formats[f] == 0 {
            away.shipped[f] = ends[f];
        }
        away.formats[f] += 1;
    }

    fn sub_away(&mut self, idx: u32, from: ShardId, format: Format) {
        let away = &mut self.channels[idx as usize].away;
        let place = away.iter().position(|away| away.shard == from);
        let place = place.expect("a shard with relayed members is listed");
        away[place].formats[format.index()] -= 1;
        if away[place].members() == 0 {
            away.remove(place);
        }
    }

    /// Calls all members home.
    fn demote(&mut self, now: Now, idx: u32) {
        self.n_hot -= 1;
        self.stats.demotions += 1;
        self.ship(idx);
        let channel = &mut self.channels[idx as usize];
        channel.heat.hot = false;
        channel.heat.cool_since_us = None;
        let members: Vec<_> = channel.roster.members().collect();
        for (participant, member) in members {
            let At::Away(shard, format) = member.at else { continue };
            if format == Format::QUIC {
                // Seats stay with their sessions.
                continue;
            }
            let slot = self.conns.insert(member.conn, format, now.mono_ms());
            let profile = self.channels[idx as usize].roster[participant].profile.clone();
            let conn = &mut self.conns[slot];
            conn.attached = false;
            conn.blocked = true;
            conn.profile = Some(profile);
            conn.seat = Seat::Owned { channel: idx, participant };
            conn.follows_custom = member.follows_custom;
            conn.binary_custom = member.binary_custom;
            self.n_blocked += 1;
            self.channels[idx as usize].fan.add(slot, &mut self.conns[slot]);
            let actor = Actor { channel: idx, participant, conn: member.conn, at: member.at };
            self.member_mut(actor).at = At::Here(slot);
            self.away.remove(&member.conn);
            self.sub_away(idx, shard, format);
            self.mesh(shard, Mesh::Recall { conn: member.conn });
        }
    }

    /// Sends other shards what has been broadcast since the last time.
    pub(super) fn ship(&mut self, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        if channel.away.is_empty() {
            return;
        }
        let ends = log_ends(&channel.fan);
        let mut last: Option<(Away, Arc<Batch>)> = None;
        for away in channel.away.iter_mut() {
            let before = *away;
            away.shipped = ends;
            let waiting = |f: usize| before.formats[f] > 0 && before.shipped[f] < ends[f];
            if !(0..Format::COUNT).any(waiting) {
                continue;
            }
            let same = |other: &Away| {
                other.shipped == before.shipped
                    && (0..Format::COUNT).all(|f| (other.formats[f] > 0) == (before.formats[f] > 0))
            };
            let batch = match &last {
                Some((other, batch)) if same(other) => batch.clone(),
                _ => {
                    let parts = (0..Format::COUNT).filter(|&f| waiting(f));
                    let parts = parts.map(|f| part(&channel.fan, f, before.shipped[f]));
                    Arc::new(Batch { parts: parts.collect::<SmallVec<[BatchPart; 1]>>() })
                }
            };
            last = Some((before, batch.clone()));
            self.stats.relay_batches += 1;
            let channel = ChannelRef { owner: self.id, channel: idx };
            let message = crate::MeshMessage(Mesh::Broadcast { channel, batch });
            self.outputs.push_back(Output::Mesh { to: away.shard, message });
        }
    }

    /// Removes a relayed member. `message` tells its shard, behind all that it was still sent.
    pub(super) fn release(
        &mut self,
        now: Now,
        idx: u32,
        participant: u32,
        conn: ConnId,
        message: impl FnOnce(NoteQuota) -> Option<Mesh>,
    ) -> NoteQuota {
        self.ship(idx);
        let (_, member) =
            self.channels[idx as usize].find_member(conn).expect("a relayed member is a member");
        let At::Away(shard, format) = member.at else { unreachable!("and is away") };
        let quota = self.channels[idx as usize].roster[participant].quota;
        if let Some(message) = message(quota) {
            self.mesh(shard, message);
        }
        self.away.remove(&conn);
        self.sub_away(idx, shard, format);
        self.remove_member(now, idx, participant, conn);
        quota
    }

    /// A relayed member as one who acts, as the shard `from` says.
    pub(super) fn relayed_actor(&self, from: ShardId, conn: ConnId) -> Option<Actor> {
        if let Some(&(channel, participant)) = self.away.get(&conn) {
            let roster = &self.channels[channel as usize].roster;
            let member = roster[participant].members.iter().find(|member| member.conn == conn)?;
            // One that was removed and came back another way is not where old messages come from.
            return matches!(member.at, At::Away(shard, _) if shard == from).then_some(Actor {
                channel,
                participant,
                conn,
                at: member.at,
            });
        }
        // On its way home: what it asked before it left arrives before it does.
        let slot = self.conns.find(conn).filter(|&slot| !self.conns[slot].attached)?;
        match self.conns[slot].seat {
            Seat::Owned { channel, participant } => {
                Some(Actor { channel, participant, conn, at: At::Here(slot) })
            }
            _ => None,
        }
    }

    pub(super) fn on_member_command(
        &mut self,
        now: Now,
        from: ShardId,
        conn: ConnId,
        command: Command,
    ) {
        if let Command::Room(request) = command {
            return self.on_seat_request(now, from, conn, *request);
        }
        let settles = match &command {
            Command::Line(_) => true,
            Command::Speak(format) => format.is_line(),
            _ => false,
        };
        let actor = self.relayed_actor(from, conn);
        let undone = actor.is_none() && matches!(command, Command::Line(_));
        if let Some(actor) = actor {
            self.act(now, actor, command);
        }
        if undone {
            // It was removed while this was on the way. Somebody at a terminal waits for an answer to each line.
            self.mesh(from, Mesh::Undone { conn });
        }
        if settles {
            // One that was removed or called home meanwhile has gone on already, and this finds nobody.
            self.mesh(from, Mesh::Settled { conn });
        }
    }

    /// A relayed member wants to go elsewhere.
    pub(super) fn may_leave(
        &mut self,
        now: Now,
        from: ShardId,
        conn: ConnId,
        request: JoinRequest,
    ) {
        // One that was removed meanwhile has been told, and goes on from there.
        let Some(actor) = self.relayed_actor(from, conn) else { return };
        let stays = self.channels[actor.channel as usize].name == request.name();
        match actor.at {
            _ if stays => {
                if request.entry == Entry::Piano {
                    self.show_channel(now, actor, request.entry);
                }
                if let At::Away(shard, _) = actor.at {
                    self.mesh(shard, Mesh::Stay { conn });
                }
            }
            At::Here(slot) => {
                self.join(now, slot, request);
            }
            At::Away(..) => {
                self.release(now, actor.channel, actor.participant, conn, |quota| {
                    Some(Mesh::Released { conn, request: Box::new(request), quota })
                });
            }
        }
    }

    pub(super) fn member_gone(&mut self, now: Now, from: ShardId, conn: ConnId, user: UserId) {
        let Some(actor) = self.relayed_actor(from, conn) else {
            match self.conns.find(conn).filter(|&slot| !self.conns[slot].attached) {
                // It was to be closed or to go elsewhere as soon as it came home.
                Some(slot) => self.end_homecoming(now, slot),
                // It was let go while it ended; its shard leaves it to us to say so.
                None => self.depart_user(now, user, conn, None),
            }
            return;
        };
        match actor.at {
            At::Here(slot) => self.end_homecoming(now, slot),
            At::Away(..) => {
                let quota = self.release(now, actor.channel, actor.participant, conn, |_| None);
                self.depart_user(now, user, conn, Some(quota));
            }
        }
    }

    /// A connection that was on its way here ended before it left.
    fn end_homecoming(&mut self, now: Now, slot: u32) {
        assert!(!self.conns[slot].attached, "only one whose socket is elsewhere ends like this");
        self.unseat(now, slot);
        let conn = self.extract(slot);
        let quota = conn.extra.as_ref().map(|extra| extra.quota).unwrap_or_default();
        let user = conn.profile.as_ref().expect("members have said hello").user;
        self.depart_user(now, user, conn.id, Some(quota));
    }

    pub(super) fn member_profile(&mut self, from: ShardId, conn: ConnId, profile: Profile) {
        let profile = Rc::new(profile);
        let Some(actor) = self.relayed_actor(from, conn) else {
            return self.rename_waiting_seat(conn, &profile);
        };
        if let At::Here(slot) = actor.at
            && self.conns[slot].profile.as_ref().is_none_or(|known| known.version < profile.version)
        {
            self.conns[slot].profile = Some(profile.clone());
        }
        self.show_profile(actor.channel, actor.participant, &profile);
    }

    /// A relayed member can take cursor moves again: it is told where everyone is now.
    pub(super) fn member_cursors(&mut self, from: ShardId, conn: ConnId) {
        if let Some(actor) = self.relayed_actor(from, conn) {
            self.tell_cursors(actor);
        }
    }

    /// Tells one member where the cursors of all others are.
    pub(super) fn tell_cursors(&mut self, actor: Actor) {
        let roster = &self.channels[actor.channel as usize].roster;
        let moved: Vec<_> = roster
            .iter()
            .filter(|&(p, _)| p != actor.participant)
            .filter(|(_, p)| has_moved(p.position))
            .map(|(_, p)| crate::Event::Cursor { user: p.profile.user, position: p.position })
            .collect();
        if !moved.is_empty() {
            self.answer(actor, &moved);
        }
    }

    /// Changes the format of a connection that was heard speaking another.
    pub(super) fn speak(&mut self, slot: u32, format: Format) {
        if self.conns[slot].format == format || format.index() >= Format::COUNT {
            return;
        }
        self.absorb(slot);
        match self.conns[slot].seat {
            Seat::None => self.conns[slot].format = format,
            Seat::Owned { channel, .. } => {
                self.channels[channel as usize].fan.reformat(&mut self.conns[slot], format);
            }
            Seat::Relayed { relay } => {
                // The owner decides from which message on.
                let (conn, owner) = (self.conns[slot].id, self.relays[relay as usize].of.owner);
                let command = Box::new(Command::Speak(format));
                self.mesh(owner, Mesh::FromMember { conn, command });
                if format.is_line() {
                    // Its next line is read in the light of this one.
                    self.conns[slot].extra().awaits = Some(Awaits::Settled);
                }
            }
        }
    }

    pub(super) fn reformat_away(&mut self, actor: Actor, format: Format) {
        match actor.at {
            At::Here(slot) => self.speak(slot, format),
            At::Away(_, old) if old == format => {}
            At::Away(shard, old) => {
                self.ship(actor.channel);
                self.sub_away(actor.channel, shard, old);
                self.add_away(actor.channel, shard, format);
                self.member_mut(actor).at = At::Away(shard, format);
                self.mesh(shard, Mesh::Reformat { conn: actor.conn, format });
            }
        }
    }

    // The other side: channels of other shards that are relayed here.

    /// Seats a connection that came to be a member here of its old shard's channel.
    pub(super) fn seat_relayed(&mut self, slot: u32, owner: ShardId, of: ChannelRef) {
        assert_eq!(owner, of.owner, "only the owner spreads its members");
        let relay = match self.relay_of.get(&of) {
            Some(&relay) => relay,
            None => {
                self.serial += 1;
                let relay = Relay { of: of.clone(), fan: FanOut::default(), serial: self.serial };
                let relay = self.relays.insert(relay) as u32;
                self.relay_of.insert(of, relay);
                relay
            }
        };
        self.conns[slot].seat = Seat::Relayed { relay };
        self.relays[relay as usize].fan.add(slot, &mut self.conns[slot]);
    }

    /// Takes a relayed member out of its channel's fan-out here.
    pub(super) fn unseat_relayed(&mut self, slot: u32) {
        let Seat::Relayed { relay } = self.conns[slot].seat else {
            unreachable!("only relayed members are taken out like this");
        };
        self.absorb(slot);
        self.relays[relay as usize].fan.remove(slot, &mut self.conns);
        self.conns[slot].seat = Seat::None;
        if self.relays[relay as usize].fan.members.is_empty() {
            let relay = self.relays.remove(relay as usize);
            self.relay_of.remove(&relay.of);
        }
    }

    pub(super) fn on_broadcast(&mut self, of: &ChannelRef, batch: &Batch) {
        let Some(&relay) = self.relay_of.get(of) else { return };
        let Relay { fan, serial, .. } = &mut self.relays[relay as usize];
        for part in &batch.parts {
            let mut from = 0;
            for entry in &part.entries {
                let log = &mut fan.logs[part.format.index()];
                log.open(&mut self.pool);
                let start = log.bytes.len();
                log.bytes.extend_from_slice(&part.bytes[from as usize..entry.end as usize]);
                from = entry.end;
                let own = entry.by.and_then(|conn| self.conns.find(conn));
                let own = own.map(|slot| &mut self.conns[slot]);
                let own = own.filter(|conn| conn.seat == Seat::Relayed { relay });
                fan.push(part.format, start, entry.by, own, entry.class);
            }
        }
        self.prompt |= fan.prompt;
        self.pressed |= fan.pending_bytes() > LOG_BYTES_MAX;
        if !fan.listed {
            fan.listed = true;
            self.dirty_fans.push(FanRef::Relay { relay, serial: *serial });
        }
    }

    /// The slot of a connection that is a relayed member here.
    fn relayed_slot(&self, conn: ConnId) -> Option<u32> {
        let slot = self.conns.find(conn)?;
        matches!(self.conns[slot].seat, Seat::Relayed { .. }).then_some(slot)
    }

    pub(super) fn on_member_bytes(&mut self, conn: ConnId, bytes: &[u8], messages: u32) {
        if let Some(slot) = self.relayed_slot(conn) {
            self.deliver(slot, bytes, messages);
        }
    }

    pub(super) fn on_reformat(&mut self, conn: ConnId, format: Format) {
        let Some(slot) = self.relayed_slot(conn) else { return };
        self.absorb(slot);
        if let Seat::Relayed { relay } = self.conns[slot].seat {
            self.relays[relay as usize].fan.reformat(&mut self.conns[slot], format);
        }
    }

    /// A relayed member left its channel, by its own wish or not, and goes where `request` leads.
    pub(super) fn on_released(
        &mut self,
        now: Now,
        conn: ConnId,
        request: JoinRequest,
        quota: NoteQuota,
        dismissed: bool,
    ) {
        let Some(slot) = self.relayed_slot(conn) else { return };
        self.unseat_relayed(slot);
        let key = self.conns.key(slot);
        let extra = self.conns[slot].extra();
        extra.quota = quota;
        let wish = match extra.awaits.take() {
            Some(Awaits::Release(wish)) => Some(wish),
            // What it asked for was done before it was let go.
            Some(Awaits::Settled) => None,
            other => {
                extra.awaits = other;
                None
            }
        };
        if dismissed && let Some(wish) = wish {
            // It had asked to go elsewhere just before: that comes next.
            extra.deferred = Some(wish);
            self.arm_deferred(now.mono_us, slot);
        }
        self.join(now, slot, request);
        if self.flow(key) == Flow::Continue {
            self.outputs.push_back(Output::Resume { key });
        }
    }

    pub(super) fn on_stay(&mut self, conn: ConnId) {
        let Some(slot) = self.relayed_slot(conn) else { return };
        self.conns[slot].extra().awaits = None;
        self.resume(slot);
    }

    pub(super) fn on_recall(&mut self, now: Now, from: ShardId, conn: ConnId) {
        let Some(slot) = self.relayed_slot(conn) else { return };
        self.unseat_relayed(slot);
        self.hand_over(now, slot, from, Purpose::Home);
    }
}

fn log_ends(fan: &FanOut) -> [u32; Format::COUNT] {
    std::array::from_fn(|f| fan.logs[f].entries.len() as u32)
}

/// The messages of a format's log from the entry `from` on.
fn part(fan: &FanOut, format: usize, from: u32) -> BatchPart {
    let log = &fan.logs[format];
    let new = &log.entries[from as usize..];
    let start = new.first().map_or(log.bytes.len() as u32, |entry| entry.start);
    BatchPart {
        format: Format(format as u8),
        bytes: log.bytes[start as usize..].into(),
        entries: new
            .iter()
            .map(|entry| BatchEntry { end: entry.end - start, by: entry.by, class: entry.class })
            .collect(),
    }
}
