//! Who a connection is: hellos, profiles, and messages to users wherever they are.
//!
//! A user's record is owned by one shard. An id that is drawn for one connection is drawn so that this shard owns it,
//! and nobody has to be asked; any other is asked for once, while the connection is paused.

use super::{Actor, Flow, Output, Shard};
use crate::{
    CloseReason, Color, Command, ConnId, DoorKind, Event, Format, Guise, Key, Limit, Nick,
    NoteQuota, Notice, Now, Profile, ProfileChange, ShardId, StoreRequest, UserId, UserName, Wire,
    channel::Participant,
    conn::{Awaits, ProfileWish, Seat},
    fan_out::Class,
    mesh::{Mesh, Payload},
    timers::Timer,
    users::Presence,
};
use smallvec::{SmallVec, smallvec};
use std::rc::Rc;

impl<W: Wire> Shard<W> {
    pub(super) fn hello(
        &mut self,
        now: Now,
        slot: u32,
        user: Option<UserId>,
        token: Option<Box<str>>,
    ) {
        let rate = self.config.rates.hello;
        let conn = &mut self.conns[slot];
        if let Some(profile) = conn.profile.clone() {
            if !conn.extra().hello.take(rate, now.mono_us, 1) {
                return self.stats.limit(Limit::HelloRate);
            }
            // A token for another user than the connection has would make its client come back as somebody else.
            let token = token.filter(|_| user == Some(profile.user));
            return self.say_hello(now, slot, &profile, token.as_deref());
        }
        let (user, durable) = match user {
            Some(user) => (user, true),
            None => (self.draw_user(), false),
        };
        self.come(now, slot, user, durable, token, (None, None));
    }

    /// A connection belongs to this user from now on, unless the user has too many. `name` is the key of the name that
    /// it has claimed.
    pub(super) fn come(
        &mut self,
        now: Now,
        slot: u32,
        user: UserId,
        durable: bool,
        token: Option<Box<str>>,
        (guise, name): (Option<Box<Guise>>, Option<Box<str>>),
    ) {
        let owner = self.owner_of_user(user);
        let conn = &mut self.conns[slot];
        if owner != self.id {
            conn.extra().awaits = Some(Awaits::Welcome { user, token, nick: None, name });
            let conn = conn.id;
            return self.mesh(owner, Mesh::Hello { user, conn, nick: None, guise });
        }
        let presence = Presence::new(conn.id, self.id, conn.hops);
        if durable && self.waits_for_user(now, user, presence, None, guise.as_deref()) {
            let awaits = Awaits::Welcome { user, token, nick: None, name };
            self.conns[slot].extra().awaits = Some(awaits);
            return;
        }
        let new = || Profile::new(user, now.wall_ms);
        let welcome = self.arrive(user, durable, presence, (None, guise), new);
        self.welcome(now, slot, welcome, (token.as_deref(), name));
    }

    /// A connection of a user whose record is here has come, and looks as its door says.
    pub(super) fn arrive(
        &mut self,
        user: UserId,
        durable: bool,
        presence: Presence,
        (nick, guise): (Option<&Nick>, Option<Box<Guise>>),
        new: impl FnOnce() -> Profile,
    ) -> Option<(Rc<Profile>, NoteQuota)> {
        let max = self.config.connections_per_user;
        let max = if guise.as_ref().is_some_and(|guise| guise.alone) { Some(1) } else { max };
        self.users.arrive(user, durable, presence, max, new, nick)?;
        if let Some(guise) = guise {
            if guise.account.is_none() {
                self.enlist_number(user);
            }
            self.dress(user, *guise);
            self.tell_memberships(self.now, user, presence);
        }
        self.settle_presence(user);
        self.users.get(user).map(|record| (record.profile.clone(), record.quota))
    }

    /// Gives a user's record what its door says, and tells those who have seen another.
    fn dress(&mut self, user: UserId, guise: Guise) {
        let Some(record) = self.users.get_mut(user) else { return };
        let profile = Rc::make_mut(&mut record.profile);
        // A name that was chosen in place of this one stays.
        let given = profile.details.as_ref().and_then(|details| details.given_name.as_ref());
        let keeps = guise.account.is_some() && given == Some(&guise.name);
        let name = if keeps { profile.name.clone() } else { Some(guise.name) };
        let same = profile.name == name
            && profile.tag == guise.tag
            && (profile.door, profile.account) == (guise.door, guise.account);
        if same {
            return;
        }
        if !keeps {
            profile.change_details(|details| details.given_name = None);
        }
        // Whoever comes for the first time has not been seen by anybody.
        profile.version += u32::from(record.connections.len() > 1);
        (profile.name, profile.tag) = (name, guise.tag);
        (profile.door, profile.account) = (guise.door, guise.account);
        if record.connections.len() < 2 {
            return;
        }
        let (profile, shards) = (record.profile.clone(), record.by_shard());
        for (shard, conns) in shards {
            self.send_profile(shard, profile.clone(), conns);
        }
    }

    /// A new user id whose record belongs here.
    pub(super) fn draw_user(&mut self) -> UserId {
        loop {
            let user = UserId(self.rng.bytes12());
            if self.owner_of_user(user) == self.id && self.users.get(user).is_none() {
                return user;
            }
        }
    }

    fn welcome(
        &mut self,
        now: Now,
        slot: u32,
        welcome: Option<(Rc<Profile>, NoteQuota)>,
        (token, name): (Option<&str>, Option<Box<str>>),
    ) {
        let Some((profile, quota)) = welcome else {
            self.stats.limit(Limit::ConnectionsPerUser);
            if let Some(name) = name {
                self.give_nick_back(name, self.conns[slot].id);
            }
            let reason = CloseReason::TooManyConnections;
            return self.refuse(now, slot, &Notice::TooManyConnections, reason);
        };
        let conn = &mut self.conns[slot];
        if quota != NoteQuota::default() {
            conn.extra().quota = quota;
        }
        conn.profile = Some(profile.clone());
        conn.heard_ms = now.mono_ms();
        // Mostly it only had to wait, and never does so again.
        conn.tidy(&self.config.quotas, now.mono_us);
        self.say_hello(now, slot, &profile, token);
    }

    /// Tells a connection why it has to go; nothing that it asks is done any more.
    pub(super) fn refuse(&mut self, now: Now, slot: u32, notice: &Notice, reason: CloseReason) {
        self.conns[slot].refused = true;
        self.tell(slot, &[Event::Notice(notice)]);
        let Key { slot, generation } = self.conns.key(slot);
        // Old clients come back 50 ms after a socket that was open closes, so closing at once would make them a
        // storm.
        let kept_us = self.config.refused_kept.as_micros() as u64;
        self.arm(now.mono_us + kept_us, Timer::Refused { slot, generation, reason });
    }

    fn say_hello(&mut self, now: Now, slot: u32, profile: &Profile, token: Option<&str>) {
        let hello = Event::Hello { profile, token, wall_ms: now.wall_ms };
        let preset = match self.conns[slot].seat {
            Seat::None => self.config.quotas.normal,
            Seat::Owned { channel, .. } => {
                self.channels[channel as usize].preset(&self.config, profile.user)
            }
            Seat::Relayed { relay } => {
                // Which quota it is, the owner of its channel knows.
                let (conn, owner) = (self.conns[slot].id, self.relays[relay as usize].of.owner);
                let command = Box::new(Command::Hello { user: None, token: None });
                self.mesh(owner, Mesh::FromMember { conn, command });
                return self.tell(slot, &[hello]);
            }
        };
        self.tell(slot, &[hello, Event::Quota(preset)]);
    }

    pub(super) fn on_hello(
        &mut self,
        now: Now,
        from: ShardId,
        user: UserId,
        conn: ConnId,
        (nick, guise): (Option<&Nick>, Option<Box<Guise>>),
    ) {
        let presence = Presence::new(conn, from, 0);
        if self.waits_for_user(now, user, presence, nick, guise.as_deref()) {
            return;
        }
        let new = || Profile::new(user, now.wall_ms);
        let welcome = self.arrive(user, true, presence, (nick, guise), new);
        let welcome = welcome.map(|(profile, quota)| Box::new(((*profile).clone(), quota)));
        self.mesh(from, Mesh::Welcome { conn, welcome });
    }

    pub(super) fn on_welcome(
        &mut self,
        now: Now,
        conn: ConnId,
        welcome: Option<Box<(Profile, NoteQuota)>>,
    ) {
        let welcome = welcome.map(|welcome| (Rc::new(welcome.0), welcome.1));
        self.welcomed(now, conn, welcome);
    }

    /// A connection that waited for it learns who its user is.
    pub(super) fn welcomed(
        &mut self,
        now: Now,
        conn: ConnId,
        welcome: Option<(Rc<Profile>, NoteQuota)>,
    ) {
        // A connection that closed meanwhile has said so behind its hello.
        let Some(slot) = self.conns.find(conn) else { return };
        let Some(Awaits::Welcome { token, nick, name, .. }) =
            self.conns[slot].extra().awaits.take()
        else {
            return;
        };
        let key = self.conns.key(slot);
        match nick {
            Some(nick) => self.welcome_line(now, slot, welcome, nick),
            None => self.welcome(now, slot, welcome, (token.as_deref(), name)),
        }
        if let Some(slot) = self.conns.slot(key) {
            self.resume(slot);
        }
    }

    pub(super) fn resume(&mut self, slot: u32) {
        let key = self.conns.key(slot);
        if self.conns[slot].attached && self.flow(key) == Flow::Continue {
            self.outputs.push_back(Output::Resume { key });
        }
    }

    pub(super) fn depart_user(
        &mut self,
        now: Now,
        user: UserId,
        conn: ConnId,
        quota: Option<NoteQuota>,
    ) {
        let owner = self.owner_of_user(user);
        if owner == self.id {
            self.forget_waiting(user, conn);
            if let Some(first_ms) = self.users.depart(user, conn, quota) {
                let last_ms = now.wall_ms;
                self.store(StoreRequest::SeeUser { user, first_ms, last_ms });
            }
            self.followed_to_end(conn);
            self.forget_absent_numbers(user);
            self.settle_presence(user);
        } else {
            self.mesh(owner, Mesh::Departed { user, conn, quota });
        }
    }

    pub(super) fn want_profile(
        &mut self,
        now: Now,
        slot: u32,
        name: Option<UserName>,
        color: Option<Color>,
    ) {
        if name.is_none() && color.is_none() {
            return;
        }
        let change = ProfileChange { name, color, ..ProfileChange::default() };
        self.want_change(now, slot, ProfileWish::Plain, change);
    }

    /// Changes the user of a connection, which waits for what becomes of it.
    pub(super) fn want_change(
        &mut self,
        now: Now,
        slot: u32,
        wish: ProfileWish,
        change: ProfileChange,
    ) {
        let conn = &mut self.conns[slot];
        let user = conn.profile.as_ref().expect("only those who said hello get here").user;
        let id = conn.id;
        let owner = self.owner_of_user(user);
        if owner == self.id {
            self.change_profile(now, user, Some((self.id, id)), change);
            if wish != ProfileWish::Plain {
                self.conns[slot].extra().awaits = Some(Awaits::Profile(wish));
                self.settle_profile(slot);
            }
            return;
        }
        // Paused, so that what the user says next is said under the new name.
        self.conns[slot].extra().awaits = Some(Awaits::Profile(wish));
        self.mesh(owner, Mesh::ChangeProfile { user, conn: Some(id), change: Box::new(change) });
    }

    /// Changes a record that is owned here. `by` waits for the outcome; staff (`None`) are not limited.
    pub(super) fn change_profile(
        &mut self,
        now: Now,
        user: UserId,
        by: Option<(ShardId, ConnId)>,
        change: ProfileChange,
    ) {
        let rates = &self.config.rates;
        let Some(record) = self.users.get_mut(user) else { return };
        // At a terminal the door limits it.
        let rate = match record.profile.door {
            DoorKind::Piano => Some(rates.profile),
            DoorKind::Quic => Some(rates.look),
            DoorKind::Line => None,
        };
        let is_session = record.profile.door == DoorKind::Quic;
        if let Some((shard, conn)) = by
            && let Some(rate) = rate
            && !record.rate.take(rate, now.mono_us, 1)
        {
            let profile = record.profile.clone();
            let ready_us = record.rate.ready_at_us(rate);
            self.stats.limit(Limit::ProfileRate);
            if is_session {
                let wait_ms = ready_us.saturating_sub(now.mono_us).div_ceil(1_000);
                return self.tell_looked(shard, conn, Some(wait_ms.min(u32::MAX.into()) as u32));
            }
            return self.send_profile(shard, profile, smallvec![conn]);
        }
        if let Some((_, conn)) = by
            && let Some(away) = change.away
        {
            record.set_away(conn, away);
        }
        let away = record.is_away();
        let wall_ms = now.wall_ms;
        self.update_profile(now, user, |profile| {
            // Such a name is the connection's own: another would not be kept anywhere.
            if let Some(name) = change.name
                && (by.is_some() || !profile.has_own_name())
            {
                let before = profile.name.replace(name);
                if profile.account.is_some() {
                    profile.change_details(|details| {
                        details.given_name = details.given_name.take().or(before);
                    });
                }
            }
            if away != profile.away {
                profile.show_presence(away, None, wall_ms);
            }
            profile.color = change.color.unwrap_or(profile.color);
            if let Some(tag) = change.tag {
                profile.tag = tag;
            }
            if let Some(avatar) = change.avatar {
                profile.change_details(|details| details.avatar = avatar);
            }
        });
        if is_session && let Some((shard, conn)) = by {
            self.tell_looked(shard, conn, None);
        }
    }

    /// Changes a record that is owned here and is known, and shows it wherever the user is.
    pub(super) fn update_profile(
        &mut self,
        now: Now,
        user: UserId,
        change: impl FnOnce(&mut Profile),
    ) {
        let record = self.users.get_mut(user).expect("the caller has found it");
        let profile = Rc::make_mut(&mut record.profile);
        profile.version += 1;
        change(profile);
        self.spread_profile(user);
        self.keep_user(now, user);
    }

    /// Tells all connections of a user who they are now.
    pub(super) fn spread_profile(&mut self, user: UserId) {
        let Some(record) = self.users.get(user) else { return };
        let (profile, shards) = (record.profile.clone(), record.by_shard());
        for (shard, conns) in shards {
            self.send_profile(shard, profile.clone(), conns);
        }
    }

    fn send_profile(&mut self, to: ShardId, profile: Rc<Profile>, conns: SmallVec<[ConnId; 1]>) {
        if to == self.id {
            self.on_profile(profile, &conns);
        } else {
            self.mesh(to, Mesh::Profile { profile: Box::new((*profile).clone()), conns });
        }
    }

    /// A connection is on another shard now. What it was to be told may have missed it, if the way was long.
    pub(super) fn on_moved(&mut self, now: Now, user: UserId, to: Presence, told: (u32, bool)) {
        let (version, waits) = told;
        if !self.users.moved(user, to) {
            return;
        }
        let Some(record) = self.users.get(user) else { return };
        let doomed = record.connections.iter().any(|known| known.conn == to.conn && known.doomed);
        if waits || version < record.profile.version {
            let profile = record.profile.clone();
            self.send_profile(to.shard, profile, smallvec![to.conn]);
        }
        if doomed {
            self.kick_again(now, to);
        }
        self.followed_to(now, to.conn, to.shard);
    }

    /// The record of these connections' user is now this.
    pub(super) fn on_profile(&mut self, profile: Rc<Profile>, conns: &[ConnId]) {
        for &conn in conns {
            let Some(slot) = self.conns.find(conn) else {
                let message =
                    Mesh::Profile { profile: Box::new((*profile).clone()), conns: smallvec![conn] };
                self.forward(conn, message);
                continue;
            };
            let known = &mut self.conns[slot].profile;
            if known.as_ref().is_some_and(|known| known.version < profile.version) {
                *known = Some(profile.clone());
                match self.conns[slot].seat {
                    Seat::None => self.rename_seats(self.conns.key(slot), &profile),
                    Seat::Owned { channel, participant } => {
                        self.show_profile(channel, participant, &profile);
                    }
                    Seat::Relayed { relay } => {
                        let owner = self.relays[relay as usize].of.owner;
                        let profile = Box::new((*profile).clone());
                        self.mesh(owner, Mesh::MemberProfile { conn, profile });
                    }
                }
            }
            if matches!(self.conns[slot].awaits(), Some(Awaits::Profile(_))) {
                self.settle_profile(slot);
                self.resume(slot);
            }
        }
    }

    /// Shows a channel who a participant is now, unless it knows.
    pub(super) fn show_profile(&mut self, channel: u32, participant: u32, profile: &Rc<Profile>) {
        let shown: &mut Participant = &mut self.channels[channel as usize].roster[participant];
        if shown.profile.version < profile.version {
            let before = std::mem::replace(&mut shown.profile, profile.clone());
            let (position, digits) = (shown.position, shown.digits);
            let is_presence = before.presence_seq != profile.presence_seq;
            if is_presence {
                self.tell_presence(channel, participant);
            }
            let only_presence = is_presence && before.looks_like(profile);
            if only_presence && before.away == profile.away {
                return;
            }
            // At a terminal the answer says it.
            let shown = &self.channels[channel as usize].roster[participant];
            let by = shown.members.first().filter(|_| profile.door == DoorKind::Line);
            let by =
                by.map(|member| Actor { channel, participant, conn: member.conn, at: member.at });
            let view = crate::ParticipantView { profile, position, digits };
            self.broadcast(channel, by, Class::Prompt, Event::Changed { view, before: &before });
            self.renew_person(channel, profile);
            if !only_presence {
                self.tell_updated(channel, profile.user, None);
            }
        }
    }

    /// Sends something to all connections of a user but `except`, wherever they are.
    pub(super) fn send_to_user(
        &mut self,
        now: Now,
        user: UserId,
        payload: Payload,
        except: &[ConnId],
    ) {
        let owner = self.owner_of_user(user);
        if owner != self.id {
            return self.mesh(owner, Mesh::ToUser { user, payload, except: except.into() });
        }
        let Some(record) = self.users.get(user) else { return };
        for (shard, mut conns) in record.by_shard() {
            conns.retain(|conn| !except.contains(conn));
            if shard == self.id {
                self.send_to_conns(now, &conns, &payload);
            } else if !conns.is_empty() {
                self.mesh(shard, Mesh::ToConns { conns, payload: payload.clone() });
            }
        }
    }

    pub(super) fn send_to_conns(&mut self, now: Now, conns: &[ConnId], payload: &Payload) {
        for &conn in conns {
            let Some(slot) = self.conns.find(conn) else {
                let payload = payload.clone();
                self.forward(conn, Mesh::ToConns { conns: smallvec![conn], payload });
                continue;
            };
            match payload {
                Payload::Notice(notice) => self.tell(slot, &[Event::Notice(notice)]),
                Payload::Rooms(news) => self.tell_room_news(slot, news),
                Payload::Custom { from, body } => {
                    let with_blob = self.conns[slot].binary_custom && body.blob.is_some();
                    self.tell(slot, &[Event::Custom { from, body, with_blob }]);
                }
                // Sessions have rooms of their own choice.
                Payload::Move(_) if self.conns[slot].format == Format::QUIC => {}
                Payload::Move(request) => self.move_elsewhere(now, slot, (**request).clone()),
                Payload::Close(reason, notice) => {
                    self.tell(slot, &[Event::Notice(notice)]);
                    self.close(now, slot, *reason);
                }
            }
        }
    }
}
