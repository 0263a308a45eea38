//! Going from channel to channel.
//!
//! A connection leaves its channel before anything of the next is sent. When the next is owned by another shard, the
//! connection is handed over with its wish, and that shard decides; a full lobby leads on to the next lobby, a
//! refusal to `test/awkward`, each possibly on yet another shard.

use super::{Actor, NOWHERE, Output, Shard};
use crate::{
    Bucket, Bundle, ChannelKind, ChannelName, CloseReason, ConnId, Crown, CrownOnLeave, Entry,
    Event, JoinTarget, Limit, LineEvent, NoteQuota, Notice, Now, ParticipantView, Position,
    Profile, Settings, SettingsPatch, ShardId, UserId, Wire,
    channel::{At, Channel, Member, Participant, RareRates, dropped_at, on_screen},
    conn::{Awaits, JoinRequest, Purpose, Seat},
    fan_out::Class,
    mesh::Mesh,
    timers::Timer,
};
use std::rc::Rc;

/// The version of what [`Bundle`] holds.
const BUNDLE_VERSION: u16 = 1;
/// How long messages for a connection that went elsewhere are sent after it.
const FORWARDED_US: u64 = 10_000_000;

/// What somebody who enters a channel brings along.
#[derive(Default)]
pub(super) struct Coming {
    pub(super) quota: NoteQuota,
    pub(super) rates: Option<Box<RareRates>>,
    /// Whether people without a nick have to be told apart.
    pub(super) reads_lines: bool,
}

/// What became of a wish to join a channel that is owned here.
pub(super) enum Admission {
    Enter,
    Overflow,
    Refuse(Limit, Notice),
}

impl JoinRequest {
    pub(crate) fn to(name: ChannelName) -> Self {
        JoinRequest {
            target: JoinTarget::Named(name),
            set: None,
            overflows: 0,
            entry: Entry::Piano,
        }
    }

    pub(super) fn name(&self) -> ChannelName {
        match &self.target {
            JoinTarget::Named(name) => name.clone(),
            JoinTarget::LobbyBackdoor => ChannelName::lobby(),
        }
    }
}

impl<W: Wire> Shard<W> {
    /// A peer wants to join. Over the rate only the latest wish is kept, until the rate allows it.
    pub(super) fn want_join(
        &mut self,
        now: Now,
        slot: u32,
        target: JoinTarget,
        set: Option<Box<SettingsPatch>>,
    ) {
        let request = JoinRequest { target, set, overflows: 0, entry: Entry::Piano };
        let rate = self.config.rates.join;
        let conn = &mut self.conns[slot];
        // The first join costs no memory: members that came and stayed have no `Extra`.
        if conn.seat != Seat::None || conn.extra.is_some() {
            let extra = conn.extra();
            if extra.deferred.is_some() {
                extra.deferred = Some(request);
                return self.stats.limit(Limit::JoinRate);
            }
            if !extra.join.take(rate, now.mono_us, 1) {
                extra.deferred = Some(request);
                let at = extra.join.ready_at_us(rate);
                self.stats.limit(Limit::JoinRate);
                return self.arm_deferred(at, slot);
            }
        }
        self.go(now, slot, request);
    }

    pub(super) fn arm_deferred(&mut self, at_us: u64, slot: u32) {
        let key = self.conns.key(slot);
        self.arm(at_us, Timer::Deferred { slot: key.slot, generation: key.generation });
    }

    /// Serves a join that was kept.
    pub(super) fn serve_deferred(&mut self, now: Now, slot: u32) {
        let rate = self.config.rates.join;
        let conn = &mut self.conns[slot];
        if conn.awaits().is_some() || !conn.attached {
            // Paused: it is served when it goes on.
            return self.arm_deferred(now.mono_us + 10_000, slot);
        }
        let Some(request) = conn.extra().deferred.take() else { return };
        conn.extra().join.take(rate, now.mono_us, 1);
        self.go(now, slot, request);
    }

    /// Goes where a request leads, from wherever the connection is. Whether it has to wait for the storage where it is.
    pub(super) fn go(&mut self, now: Now, slot: u32, request: JoinRequest) -> bool {
        if let Seat::Relayed { relay } = self.conns[slot].seat {
            // The owner of its channel decides in the order of everything else that it was told.
            let owner = self.relays[relay as usize].of.owner;
            let conn = self.conns[slot].id;
            self.conns[slot].extra().awaits = Some(Awaits::Release(request.clone()));
            self.mesh(owner, Mesh::MayLeave { conn, request: Box::new(request) });
            return false;
        }
        self.join(now, slot, request)
    }

    /// The same for a connection that is not a relayed member.
    pub(super) fn join(&mut self, now: Now, slot: u32, mut request: JoinRequest) -> bool {
        if !self.conns[slot].attached {
            // Its socket is still on the way here; it goes on from here as soon as it arrives.
            self.unseat(now, slot);
            self.conns[slot].extra().deferred = Some(request);
            return false;
        }
        if request.entry == Entry::Piano && self.conns[slot].format.is_line() {
            // Somebody sends it who does not know where it reads that.
            let to_lobby = request.name().kind() == ChannelKind::Lobby;
            request.entry = if to_lobby { Entry::Returned } else { Entry::Joined };
        }
        loop {
            let name = request.name();
            let owner = self.owner(&name);
            if let Seat::Owned { channel, participant } = self.conns[slot].seat
                && self.channels[channel as usize].name == name
            {
                let actor =
                    Actor { channel, participant, conn: self.conns[slot].id, at: At::Here(slot) };
                if request.entry == Entry::Piano {
                    self.show_channel(now, actor, request.entry);
                }
                return false;
            }
            if owner != self.id {
                // Lobbies that the directory knows to be full are passed without a visit.
                if request.overflows > 0
                    && request.overflows < self.config.lobby_overflows_max
                    && let (Some(info), Some(capacity)) =
                        (self.directory.get(&name), self.config.lobby_capacity)
                    && info.count >= capacity
                {
                    request.target = JoinTarget::Named(name.next_lobby());
                    request.overflows += 1;
                    continue;
                }
                self.unseat(now, slot);
                self.hand_over(now, slot, owner, Purpose::Join(request));
                return false;
            }
            if self.waits_for_channel(now, slot, &request) {
                return true;
            }
            let profile = self.conns[slot].profile.clone().expect("only those who said hello join");
            let conn = &self.conns[slot];
            let line = conn.extra.as_ref().and_then(|extra| extra.line.as_ref());
            let (id, origin) = (conn.id, line.map(|line| line.origin));
            match self.admit(now, &profile, origin, id, &request) {
                Admission::Enter => {
                    self.unseat(now, slot);
                    self.enter(now, slot, &profile, name, &request);
                    return false;
                }
                Admission::Overflow if request.overflows < self.config.lobby_overflows_max => {
                    self.stats.limit(Limit::LobbyCapacity);
                    request.target = JoinTarget::Named(name.next_lobby());
                    request.overflows += 1;
                }
                Admission::Overflow => request = JoinRequest::to(ChannelName::awkward()),
                Admission::Refuse(limit, notice) if request.entry != Entry::Piano => {
                    // It was let in a moment ago, and something came between.
                    self.stats.limit(limit);
                    self.refuse_line(slot, &super::line::line_error(&notice));
                    if self.may_stay(slot) {
                        return false;
                    }
                    // Where not even another lobby can be made, there is one place left that takes everyone in.
                    request = match name.kind() {
                        ChannelKind::Lobby => JoinRequest {
                            entry: Entry::Joined,
                            ..JoinRequest::to(ChannelName::awkward())
                        },
                        _ => JoinRequest::to_lobby(Entry::Returned),
                    };
                }
                Admission::Refuse(limit, notice) => {
                    self.stats.limit(limit);
                    self.tell(slot, &[Event::Notice(&notice)]);
                    request = JoinRequest::to(ChannelName::awkward());
                }
            }
        }
    }

    /// Whether a connection is somewhere, and not where everyone has to go.
    fn may_stay(&self, slot: u32) -> bool {
        match self.conns[slot].seat {
            Seat::None => false,
            Seat::Owned { channel, .. } => !self.channels[channel as usize].closing,
            Seat::Relayed { .. } => true,
        }
    }

    /// Whether a user may enter a channel that is owned here (protocol page, section 5.3). `origin` stands for the
    /// address of one at a terminal, `conn` for whom a seat may be kept.
    pub(super) fn admit(
        &self,
        now: Now,
        profile: &Profile,
        origin: Option<u64>,
        conn: ConnId,
        request: &JoinRequest,
    ) -> Admission {
        let name = &request.name();
        let Some(&idx) = self.by_name.get(name) else {
            let full = self.channels.len() >= self.config.channels_max as usize;
            return if full && !name.is_permanent() {
                Admission::Refuse(Limit::Channels, Notice::NoMoreChannels { channel: name.clone() })
            } else {
                Admission::Enter
            };
        };
        let channel = &self.channels[idx as usize];
        let kept = channel.reserved.iter().filter(|&&(_, until)| until > now.mono_us);
        let has_seat = kept.clone().any(|&(whose, _)| whose == conn);
        let count = channel.roster.len() as u32 + kept.count() as u32;
        if channel.roster.find(profile.user).is_some() {
            return Admission::Enter;
        }
        match channel.kind {
            ChannelKind::TestLobby => return Admission::Enter,
            ChannelKind::Lobby => {
                let backdoor = request.target == JoinTarget::LobbyBackdoor;
                let full = self.config.lobby_capacity.is_some_and(|capacity| count >= capacity);
                return if full && !backdoor && !has_seat {
                    Admission::Overflow
                } else {
                    Admission::Enter
                };
            }
            ChannelKind::Normal => {}
        }
        let channel_name = channel.name.clone();
        if let Some(until) = channel.bans.until(profile.user, origin, now.mono_us) {
            let seconds = (until - now.mono_us).div_ceil(1_000_000);
            return Admission::Refuse(
                Limit::Banned,
                Notice::StillBanned { channel: channel_name, seconds },
            );
        }
        if has_seat {
            return Admission::Enter;
        }
        if channel.crown.is_some_and(|crown| crown.user == profile.user) {
            return Admission::Enter;
        }
        let limit = channel.settings.limit.filter(|_| self.config.channel_limits);
        if limit.is_some_and(|limit| count >= u32::from(limit)) {
            return Admission::Refuse(
                Limit::ChannelLimit,
                Notice::ChannelFull { channel: channel_name },
            );
        }
        let known_ms = now.wall_ms.saturating_sub(profile.first_seen_ms);
        if let Some(required_ms) = channel.settings.min_online_ms
            && known_ms < u64::from(required_ms)
        {
            return Admission::Refuse(
                Limit::MinOnline,
                Notice::TooNew { channel: channel_name, required_ms },
            );
        }
        Admission::Enter
    }

    pub(super) fn create_channel(&mut self, name: ChannelName, set: Option<&SettingsPatch>) -> u32 {
        let settings = match set {
            Some(set) => Settings::created(name.kind(), set),
            None => Settings::new(name.kind()),
        };
        self.serial += 1;
        let number = self.config.number_key.room(&name);
        let hasher = self.hasher.clone();
        let mut channel = Channel::new(name.clone(), settings, self.serial, number, hasher);
        channel.room.seq = self.seq_floor;
        let idx = self.channels.insert(channel) as u32;
        self.by_name.insert(name, idx);
        self.by_number.entry(number).or_insert(idx);
        self.stats.channels_created += 1;
        idx
    }

    /// Seats a connection that sits nowhere in a channel that is owned here.
    fn enter(
        &mut self,
        now: Now,
        slot: u32,
        profile: &Rc<Profile>,
        name: ChannelName,
        request: &JoinRequest,
    ) {
        let idx = match self.by_name.get(&name) {
            Some(&idx) => idx,
            None => self.found_channel(now, profile.user, name, request.set.as_deref()),
        };
        let conn = &self.conns[slot];
        let member = Member {
            conn: conn.id,
            at: At::Here(slot),
            follows_custom: conn.follows_custom,
            binary_custom: conn.binary_custom,
        };
        let quota = conn.extra.as_ref().map(|extra| extra.quota).unwrap_or_default();
        let line = conn.extra.as_ref().and_then(|extra| extra.line.as_ref());
        let rates = line
            .map(|line| Box::new(RareRates { origin: Some(line.origin), ..RareRates::default() }));
        let reads_lines = conn.format.is_line();
        let channel = &mut self.channels[idx as usize];
        channel.reserved.retain(|&(conn, until)| conn != member.conn && until > now.mono_us);
        let coming = Coming { quota, rates, reads_lines };
        let (participant, crowned) = self.take_part(now, idx, profile, coming);
        let channel = &mut self.channels[idx as usize];
        channel.roster[participant].members.push(member);
        let conn = &mut self.conns[slot];
        conn.seat = Seat::Owned { channel: idx, participant };
        channel.fan.add(slot, conn);
        let conn = conn.id;
        let actor = Actor { channel: idx, participant, conn, at: At::Here(slot) };
        self.show_channel(now, actor, request.entry);
        if crowned {
            self.broadcast_channel(idx, Some(conn));
            self.tell_crowned(idx, participant);
        }
        self.show_profile(idx, participant, profile);
        self.spread_if_hot(now, idx, slot);
    }

    /// Makes a channel that `user` is the first to enter.
    pub(super) fn found_channel(
        &mut self,
        now: Now,
        user: UserId,
        name: ChannelName,
        set: Option<&SettingsPatch>,
    ) -> u32 {
        let idx = self.create_channel(name, set);
        let channel = &mut self.channels[idx as usize];
        if !channel.kind.is_lobby() {
            let (start, end) = dropped_at(Position::OFF_SCREEN);
            channel.crown = Some(Crown { user, held: true, since_ms: now.wall_ms, start, end });
        }
        channel.room.told = channel.now_told();
        if !channel.kind.is_lobby() && channel.settings != Settings::new(channel.kind) {
            self.keep_channel(idx);
        }
        idx
    }

    /// The participant that a user is in a channel; one who was not there is announced. Whether it got its crown back.
    pub(super) fn take_part(
        &mut self,
        now: Now,
        idx: u32,
        profile: &Rc<Profile>,
        coming: Coming,
    ) -> (u32, bool) {
        let Coming { quota, rates, reads_lines } = coming;
        let user = profile.user;
        let channel = &mut self.channels[idx as usize];
        let (participant, new) = match channel.roster.find(user) {
            Some(participant) => (participant, false),
            None => {
                let participant = channel.roster.insert(Participant {
                    profile: profile.clone(),
                    position: Position::OFF_SCREEN,
                    cursor_pending: false,
                    digits: 0,
                    cursor_by: None,
                    quota,
                    chat: Bucket::default(),
                    rates,
                    members: smallvec::SmallVec::new(),
                });
                (participant, true)
            }
        };
        let mut crowned = false;
        if reads_lines || channel.is_read_in_lines() {
            channel.roster.give_handles();
        }
        if new {
            let digits = channel.roster[participant].digits;
            let view = ParticipantView { profile, position: Position::OFF_SCREEN, digits };
            self.broadcast(idx, None, Class::Presence, Event::Participant(view));
            if self.channels[idx as usize].private.is_some() {
                self.arrive_in_private(now, idx, participant);
            } else {
                self.tell_joined(now, idx, participant);
            }
            if let Some(crown) = &mut self.channels[idx as usize].crown
                && !crown.held
                && crown.user == user
            {
                crown.held = true;
                crown.since_ms = now.wall_ms;
                crowned = true;
            }
            self.touch_list(idx, now.mono_us);
        }
        (participant, crowned)
    }

    /// Sends one member all that it has to know of its channel.
    pub(super) fn show_channel(&mut self, now: Now, actor: Actor, how: Entry) {
        let channel = &self.channels[actor.channel as usize];
        let me = channel.roster[actor.participant].profile.user;
        if how != Entry::Piano {
            let (view, history, wall_ms) = (channel.view(), &channel.history, now.wall_ms);
            let entered = LineEvent::Entered { how, view, me, history, wall_ms };
            let bytes = self.encoded(actor, entered);
            return self.deliver_member(actor.channel, actor.conn, actor.at, &bytes, 1);
        }
        let events = [
            Event::Channel { view: channel.view(), me },
            Event::History(&channel.history),
            Event::Quota(channel.preset(&self.config, me)),
        ];
        let format = self.format_at(actor.at);
        let mut bytes = self.pool.scratch();
        self.wire.encode(format, &events, &mut bytes);
        for kind in [crate::EventKind::Channel, crate::EventKind::History, crate::EventKind::Quota]
        {
            self.stats.event(kind, 1);
        }
        self.deliver_member(actor.channel, actor.conn, actor.at, &bytes, 3);
        self.pool.put_back(bytes);
    }

    /// Takes a connection of this shard out of the channel of this shard in which it sits, if it does.
    pub(super) fn unseat(&mut self, now: Now, slot: u32) {
        let Seat::Owned { channel, participant } = self.conns[slot].seat else { return };
        self.absorb(slot);
        self.channels[channel as usize].fan.remove(slot, &mut self.conns);
        self.conns[slot].seat = Seat::None;
        let conn = self.conns[slot].id;
        if let Some(left) = self.remove_member(now, channel, participant, conn) {
            self.conns[slot].extra().quota = left.quota;
        }
    }

    /// Removes a member whose connection is no longer in the fan-out. The last of a participant takes it away.
    pub(super) fn remove_member(
        &mut self,
        now: Now,
        idx: u32,
        participant: u32,
        conn: ConnId,
    ) -> Option<Participant> {
        let channel = &mut self.channels[idx as usize];
        let members = &mut channel.roster[participant].members;
        let before = members.len();
        members.retain(|member| member.conn != conn);
        assert_eq!(members.len() + 1, before, "a member leaves once");
        if !members.is_empty() {
            return None;
        }
        let left = channel.roster.remove(participant);
        channel.moved.retain(|&moved| moved != participant);
        let user = left.profile.user;
        let was_holder = channel.is_holder(user);
        if self.stopping || channel.closing {
            // Everyone leaves: those who are left are about to be told that themselves, and nothing else.
            if let Some(crown) = channel.crown.as_mut().filter(|_| was_holder) {
                crown.held = false;
            }
        } else {
            self.broadcast(idx, None, Class::Presence, Event::Left(left.view()));
            if self.channels[idx as usize].private.is_some() {
                self.depart_from_private(now, idx, &left.profile);
            } else {
                self.tell_left(now, idx, &left.profile);
            }
            if was_holder {
                self.pass_crown_on(now, idx, &left);
            }
        }
        let channel = &mut self.channels[idx as usize];
        if channel.roster.is_empty() {
            self.arm_empty(now, idx);
        }
        self.touch_list(idx, now.mono_us);
        Some(left)
    }

    /// Nobody is in a channel: it ends after a while, if it can.
    pub(super) fn arm_empty(&mut self, now: Now, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        channel.empties += 1;
        if !channel.name.is_permanent() {
            let timer =
                Timer::Empty { channel: idx, serial: channel.serial, empties: channel.empties };
            let rests_us = self.rests_us(&self.channels[idx as usize]);
            self.arm(now.mono_us + rests_us, timer);
        }
    }

    /// The holder has left.
    fn pass_crown_on(&mut self, now: Now, idx: u32, left: &Participant) {
        let channel = &mut self.channels[idx as usize];
        let heir = match self.config.crown_on_leave {
            CrownOnLeave::Transfer => channel.roster.first(),
            CrownOnLeave::Drop => None,
        };
        let Some(crown) = &mut channel.crown else { return };
        crown.since_ms = now.wall_ms;
        match heir {
            Some(heir) => {
                crown.user = channel.roster[heir].profile.user;
                crown.start = on_screen(left.position);
                crown.end = on_screen(channel.roster[heir].position);
            }
            None => {
                crown.held = false;
                (crown.start, crown.end) = dropped_at(left.position);
            }
        }
        self.broadcast_channel(idx, None);
        self.save_channel(idx);
        if let Some(heir) = heir {
            self.tell_crowned(idx, heir);
            self.tell_participant(idx, heir, &[Event::Quota(self.config.quotas.crown)]);
        }
    }

    /// Sends a connection to another channel on somebody else's order.
    pub(super) fn move_elsewhere(&mut self, now: Now, slot: u32, request: JoinRequest) {
        if let Some(extra) = &mut self.conns[slot].extra
            && let Some(Awaits::Release(_)) = extra.awaits
        {
            // It is about to leave by its own wish, which is served after this one.
            extra.deferred = Some(request);
            return self.arm_deferred(now.mono_us, slot);
        }
        let key = self.conns.key(slot);
        let mut waited = false;
        if let Some(extra) = &mut self.conns[slot].extra {
            extra.awaits = match extra.awaits.take() {
                Some(Awaits::Channel(wish)) => {
                    // It waits for where it wants to go, which comes next.
                    extra.deferred = Some(wish);
                    waited = true;
                    None
                }
                other => other,
            };
        }
        if waited {
            self.arm_deferred(now.mono_us, slot);
        }
        let waits = self.go(now, slot, request);
        let Some(slot) = self.conns.slot(key) else { return };
        if waits {
            // Nobody who is sent away stays for that.
            self.unseat(now, slot);
        }
        if waited {
            self.resume(slot);
        }
    }

    /// Hands a connection that sits nowhere (or is a relayed member on its way) to another shard.
    pub(super) fn hand_over(&mut self, now: Now, slot: u32, to: ShardId, purpose: Purpose) {
        assert!(self.conns[slot].attached, "only a connection that is here can be handed over");
        let key = self.conns.key(slot);
        let follows_list = self.conns[slot].list_idx != NOWHERE;
        if follows_list {
            // What it says it has seen, it must have been told.
            self.tell_followers();
        }
        let list_due = self.conns[slot].extra.as_ref().and_then(|extra| extra.list_due.clone());
        let heard = self.heard_by(slot);
        let mut conn = self.extract(slot);
        if let Some(extra) = &mut conn.extra {
            extra.list_due = list_due;
            extra.heard_ahead = None;
        }
        self.stats.handed_over += 1;
        let bundle = Bundle {
            version: BUNDLE_VERSION,
            conn: conn.id,
            hops: conn.hops.saturating_add(1),
            format: conn.format,
            profile: conn.profile.as_deref().cloned(),
            follows_custom: conn.follows_custom,
            binary_custom: conn.binary_custom,
            stale: conn.stale,
            heard_ms: conn.heard_ms,
            bytes_in: conn.bytes_in,
            messages_in: conn.messages_in,
            extra: conn.extra,
            unsent: conn.outbox.into_unsent(),
            list_seen: follows_list.then(|| self.directory.seen().to_vec()),
            heard,
            purpose,
        };
        let until = now.mono_us + FORWARDED_US;
        self.forwarding.insert(bundle.conn, (to, until));
        if self.forwarding_until.is_empty() {
            self.arm(until, Timer::Forwarding);
        }
        self.forwarding_until.push_back((until, bundle.conn));
        self.outputs.push_back(Output::Handover { key, to, bundle: Box::new(bundle) });
    }

    pub(super) fn forget_forwarding(&mut self, now: Now) {
        while let Some((_, conn)) =
            self.forwarding_until.pop_front_if(|(until, _)| *until <= now.mono_us)
        {
            // One that came back and went away again has a later end.
            if self.forwarding.get(&conn).is_some_and(|&(_, until)| until <= now.mono_us) {
                self.forwarding.remove(&conn);
            }
        }
        if let Some(&(until, _)) = self.forwarding_until.front() {
            self.arm(until, Timer::Forwarding);
        }
    }

    /// Takes a connection over from another shard. Its socket belongs to the returned key from now on, and its
    /// commands go on when [`Shard::flow`] says so: the outputs tell whether it went elsewhere at once.
    pub fn adopt(&mut self, now: Now, from: ShardId, bundle: Bundle) -> super::Key {
        self.stats.adopted += 1;
        let Bundle { conn: id, purpose, profile, extra, unsent, list_seen, .. } = bundle;
        self.forwarding.remove(&id);
        let slot = match self.conns.find(id) {
            // It has been a member here while its socket was on the way.
            Some(slot) => slot,
            None => self.conns.insert(id, bundle.format, now.mono_ms()),
        };
        let homecoming = !self.conns[slot].attached;
        let deferred = extra.as_ref().is_some_and(|extra| extra.deferred.is_some());
        let conn = &mut self.conns[slot];
        conn.attached = true;
        conn.hops = bundle.hops;
        conn.heard_ms = bundle.heard_ms;
        conn.stale |= bundle.stale;
        conn.bytes_in = bundle.bytes_in;
        conn.messages_in = bundle.messages_in;
        conn.follows_custom = bundle.follows_custom;
        conn.binary_custom = bundle.binary_custom;
        let (mut doom, mut released, mut moved_on) = (None, false, None);
        if homecoming {
            let waiting = conn.extra.take();
            conn.extra = extra;
            let mut awaits = None;
            if let Some(waiting) = waiting {
                awaits = waiting.awaits;
                doom = waiting.doom;
                moved_on = waiting.deferred;
                if conn.seat == Seat::None || waiting.quota != Default::default() {
                    conn.extra().quota = waiting.quota;
                }
            }
            if let Some(extra) = &mut conn.extra
                && let Some(Awaits::Release(_)) = extra.awaits
            {
                // Whether it may leave was asked on the way and is answered here.
                released = true;
            }
            if let Some(extra) = &mut conn.extra
                && extra.awaits == Some(Awaits::Settled)
            {
                // What it asked for arrived before it did.
                extra.awaits = awaits;
            }
        } else {
            conn.extra = extra;
        }
        if conn.blocked {
            conn.blocked = false;
            self.n_blocked -= 1;
            self.waiting_bytes -= conn.outbox.len() as u64;
        }
        conn.outbox.prepend(unsent);
        if (!conn.outbox.is_empty() || conn.stale) && !conn.listed {
            conn.listed = true;
            self.dirty_conns.push(self.conns.key(slot));
            self.prompt = true;
        }
        let key = self.conns.key(slot);
        if let Some(profile) = profile {
            self.adopt_profile(slot, profile);
            doom = doom.or(self.conns[slot].extra.as_mut().and_then(|extra| extra.doom.take()));
        }
        self.tell_keepers(slot);
        if bundle.follows_custom {
            self.custom_followers.insert(slot);
        }
        self.catch_up_announcements(slot, bundle.heard);
        // Not a whole span from now: one that others send about would be closed for silence without a ping.
        let check = bundle.heard_ms * 1_000 + self.config.ping_after.as_micros() as u64;
        let check = check.max(now.mono_us);
        self.wheel.arm(check, now.mono_us, key);
        if deferred && let Some(extra) = &self.conns[slot].extra {
            let at = extra.join.ready_at_us(self.config.rates.join).max(now.mono_us);
            self.arm_deferred(at, slot);
        }
        if let Some(seen) = list_seen {
            self.adopt_follower(slot, &seen);
        }
        if let Some(reason) = doom.or(self.stopping.then_some(CloseReason::Stopping)) {
            if let Purpose::Spread { channel } = purpose {
                // Its channel has to be told, like that of any relayed member.
                self.seat_relayed(slot, from, channel);
            }
            self.close(now, slot, reason);
            return key;
        }
        match purpose {
            Purpose::Join(request) => {
                self.join(now, slot, request);
            }
            Purpose::Spread { channel } => self.seat_relayed(slot, from, channel),
            Purpose::Home => {
                if released && let Some(extra) = &mut self.conns[slot].extra {
                    // Its question arrived before it did, and was kept as where it goes on to; unless it was
                    // removed before that: then what it asked comes after where it is sent.
                    let wish = extra.awaits.take();
                    if let (Some(sent), Some(Awaits::Release(wish))) = (&moved_on, wish)
                        && *sent != wish
                    {
                        extra.deferred = Some(wish);
                        self.arm_deferred(now.mono_us, slot);
                    }
                }
                if let Some(request) = moved_on {
                    self.join(now, slot, request);
                }
            }
        }
        self.followed_to(now, id, self.id);
        key
    }

    /// Tells the user's shard where the connection is now, and shares the profile with who has it here already.
    fn adopt_profile(&mut self, slot: u32, profile: Profile) {
        let (user, conn, hops) = (profile.user, self.conns[slot].id, self.conns[slot].hops);
        let waits = matches!(self.conns[slot].awaits(), Some(Awaits::Profile(_)));
        let owner = self.owner_of_user(user);
        let mut shared = Rc::new(profile);
        let mut settles = false;
        if owner == self.id {
            let to = crate::users::Presence::new(conn, self.id, hops);
            self.users.moved(user, to);
            if let Some(record) = self.users.get(user) {
                if record.profile.version >= shared.version {
                    shared = record.profile.clone();
                }
                if record.connections.iter().any(|known| known.conn == conn && known.doomed) {
                    self.conns[slot].extra().doom = Some(CloseReason::Kicked);
                }
            }
            settles = waits;
        } else {
            let version = shared.version;
            self.mesh(owner, Mesh::Moved { user, conn, hops, version, waits });
        }
        // News of its user may have come here before its socket.
        if let Some(known) = &self.conns[slot].profile
            && known.version > shared.version
        {
            shared = known.clone();
        }
        self.conns[slot].profile = Some(shared.clone());
        if let Seat::Owned { channel, participant } = self.conns[slot].seat {
            self.show_profile(channel, participant, &shared);
        }
        if settles {
            // What it asked for is in the record.
            self.settle_profile(slot);
        }
    }
}
