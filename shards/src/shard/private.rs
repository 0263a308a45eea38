//! Direct and group rooms at their owner: who comes in, who belongs to them, who is invited, and how they end.

use super::{Actor, Shard, rooms::Outcome};
use crate::{
    Answer, ChannelName, ConnId, Departure, Event, GROUP_MEMBERS_MAX, INVITED_MAX, Invitation,
    ModerationAct, ModerationKind, Now, Occupant, ParticipantView, Position, Profile, Role,
    RoomEvent, RoomFault, RoomId, RoomKind, RoomMember, Settings, Standing, StoredRoom, UserId,
    UserNumber, Whom, Wire,
    channel::{Ban, Channel},
    mesh::{Belonging, Seek},
    private::Private,
    timers::Timer,
};
use std::rc::Rc;

/// How long a room in which nobody is connected stays in memory where it can be loaded again, microseconds: as long as
/// what is sent twice is recognised.
const RESTS_US: u64 = 600_000_000;

/// Somebody goes for good.
pub(super) struct Going {
    pub(super) user: UserId,
    pub(super) how: Departure,
    /// Who does it, by number, when it is somebody else.
    pub(super) by: Option<UserNumber>,
    /// For how long they may not come again, milliseconds.
    pub(super) banned_ms: u64,
    /// The moderator whose act it is, if it is one.
    pub(super) act: Option<UserId>,
}

impl<W: Wire> Shard<W> {
    /// Makes a direct or group room.
    pub(super) fn found_private(&mut self, name: ChannelName, title: &str) -> u32 {
        let kind = name.room_kind();
        let idx = self.create_channel(name, None);
        let channel = &mut self.channels[idx as usize];
        channel.private = Some(Box::new(Private::new(kind, title)));
        channel.settings = Settings { visible: false, limit: None, ..Settings::new(channel.kind) };
        channel.room.told = channel.now_told();
        idx
    }

    /// Makes the room of two people.
    pub(super) fn found_direct(&mut self, name: ChannelName, me: &Profile, other: &Profile) -> u32 {
        let idx = self.found_private(name, "");
        let private = self.private_mut(idx);
        for profile in [me, other] {
            private.put(profile, Role::Member, Standing::Closed);
        }
        idx
    }

    /// Makes a group, which belongs to whoever made it.
    pub(super) fn found_group(
        &mut self,
        name: ChannelName,
        by: &Profile,
        title: &str,
        topic: Option<&str>,
    ) -> u32 {
        let idx = self.found_private(name, title);
        self.private_mut(idx).put(by, Role::Owner, Standing::Invited(Box::new(by.clone())));
        self.channels[idx as usize].room.set_topic(topic.unwrap_or_default());
        idx
    }

    /// Makes a direct or group room that was kept, if somebody is left to whom it belongs.
    pub(super) fn restore_private(
        &mut self,
        name: &ChannelName,
        room: &Option<StoredRoom>,
        people: Vec<RoomMember>,
    ) -> Option<u32> {
        let people = Private::sound(name.room_kind(), people)?;
        if self.channels.len() >= self.config.channels_max as usize {
            return None;
        }
        let title = room.as_ref().map(|room| &*room.title).unwrap_or_default();
        let idx = self.found_private(name.clone(), title);
        self.private_mut(idx).restore(people);
        Some(idx)
    }

    fn private_mut(&mut self, idx: u32) -> &mut Private {
        let private = &mut self.channels[idx as usize].private;
        private.as_deref_mut().expect("only of private rooms")
    }

    /// Whether a user may come into a direct or group room. Whoever has nothing to do with it learns nothing.
    pub(super) fn may_enter_private(
        &self,
        now: Now,
        idx: u32,
        user: UserId,
    ) -> Result<(), RoomFault> {
        let channel = &self.channels[idx as usize];
        let private = channel.private.as_deref().ok_or(RoomFault::NotFound)?;
        let person = private.get(user).ok_or(RoomFault::NotFound)?;
        if let Some(until) = channel.bans.until(user, None, now.mono_us) {
            return Err(RoomFault::Banned((until - now.mono_us).div_ceil(1_000)));
        }
        if !person.is_listed() && private.count() >= GROUP_MEMBERS_MAX {
            return Err(RoomFault::Full);
        }
        Ok(())
    }

    /// Somebody who was not connected to a direct or group room is now.
    pub(super) fn arrive_in_private(&mut self, now: Now, idx: u32, participant: u32) {
        let channel = &self.channels[idx as usize];
        let (room, profile) = (channel.room.id, channel.roster[participant].profile.clone());
        let private = self.private_mut(idx);
        let person = private.get(profile.user).expect("whoever comes in belongs to it");
        let (before, role) = (person.standing.clone(), person.role);
        match before {
            Standing::In => {
                if self.renew_person(idx, &profile) {
                    self.tell_updated(idx, profile.user, None);
                }
                return self.tell_belonging(now, profile.user, room, Belonging::Stays);
            }
            Standing::Closed => {
                let person = private.get_mut(profile.user).expect("it was there a moment ago");
                person.standing = Standing::In;
                if self.renew_person(idx, &profile) {
                    self.tell_updated(idx, profile.user, None);
                }
            }
            Standing::Invited(_) | Standing::Former => {
                // Whoever owned it may have left before anybody else came: then it has no heir but this one.
                let is_first = private.kind == RoomKind::Group && private.count() == 0;
                let role = if is_first { Role::Owner } else { role };
                private.put(&profile, role, Standing::In);
                self.tell_joined(now, idx, participant);
            }
        }
        self.keep_person(idx, profile.user);
        self.tell_belonging(now, profile.user, room, Belonging::In);
    }

    /// A member is there, or goes, as it is now; whether it looks otherwise than before.
    pub(super) fn renew_person(&mut self, idx: u32, profile: &Profile) -> bool {
        let Some(private) = self.channels[idx as usize].private.as_deref_mut() else {
            return false;
        };
        let Some(person) = private.get_mut(profile.user) else { return false };
        let before = std::mem::replace(&mut person.profile, profile.clone());
        let changed = !before.looks_like(profile);
        if changed {
            self.keep_person(idx, profile.user);
        }
        changed
    }

    /// The last connection of somebody is gone. One with an account stays a member, who is not there.
    pub(super) fn depart_from_private(&mut self, now: Now, idx: u32, profile: &Profile) {
        let user = profile.user;
        self.renew_person(idx, profile);
        let Some(private) = self.channels[idx as usize].private.as_deref() else { return };
        let person = private.get(user).filter(|person| person.standing == Standing::In);
        let Some(person) = person else { return };
        if !person.lasts() {
            self.strike_off(idx, user, Departure::Disconnected);
            self.tell_struck_off(now, idx, profile, true);
        }
    }

    /// Takes somebody off the list of a room: who that was, and whether as one of its members.
    fn strike_off(&mut self, idx: u32, user: UserId, how: Departure) -> Option<(Profile, bool)> {
        let private = self.private_mut(idx);
        let kind = private.kind;
        let person = private.get_mut(user)?;
        let (profile, was_listed) = (person.profile.clone(), person.is_listed());
        if kind == RoomKind::Direct {
            // Both stay what they are to each other; the next message opens it again.
            person.standing = Standing::Closed;
        } else if matches!(how, Departure::Kicked | Departure::Banned) {
            (person.standing, person.role) = (Standing::Former, Role::Member);
            private.trim_former();
        } else {
            private.remove(user);
        }
        self.keep_person(idx, user);
        Some((profile, was_listed))
    }

    /// Tells those who stay that somebody is off the list, and what follows from it. Nobody knew of those who were not
    /// listed: one who was only invited, or was sent out before.
    fn tell_struck_off(&mut self, now: Now, idx: u32, profile: &Profile, was_listed: bool) {
        let room = self.channels[idx as usize].room.id;
        if was_listed && self.private_mut(idx).kind == RoomKind::Group {
            self.tell_left(now, idx, profile);
        }
        self.tell_belonging(now, profile.user, room, Belonging::Out);
        self.pass_ownership_on(idx);
    }

    /// A group whose owner has left belongs to somebody else.
    fn pass_ownership_on(&mut self, idx: u32) {
        let private = self.private_mut(idx);
        if private.kind != RoomKind::Group {
            return;
        }
        if let Some(heir) = private.heir() {
            self.give_private_role(idx, heir, Role::Owner, None);
        }
    }

    pub(super) fn give_private_role(
        &mut self,
        idx: u32,
        user: UserId,
        role: Role,
        by: Option<UserNumber>,
    ) {
        if let Some(person) = self.private_mut(idx).get_mut(user) {
            person.role = role;
            self.keep_person(idx, user);
            self.tell_updated(idx, user, by);
        }
    }

    /// Somebody leaves a direct or group room with all connections, by their own wish or somebody else's. `asked` is
    /// the connection that asked for it, with what it is told ahead of the rest. The ticket is that of
    /// [`Shard::moderate`].
    pub(super) fn go_from_private(
        &mut self,
        now: Now,
        idx: u32,
        going: Going,
        asked: Option<(ConnId, Answer<'_>)>,
    ) -> Option<u64> {
        let Going { user, how, by, banned_ms, act } = going;
        let bans_max = self.config.bans_max;
        let channel = &mut self.channels[idx as usize];
        let serial = channel.serial;
        if banned_ms > 0 {
            let until_us = now.mono_us.saturating_add(banned_ms.saturating_mul(1_000));
            let ban = Ban { until_us, origin: None, name: Box::default() };
            channel.bans.insert(user, ban, now.mono_us, bans_max);
            self.arm(until_us, Timer::BanEnds { channel: idx, serial });
        }
        let until_ms = (banned_ms > 0).then(|| now.wall_ms + banned_ms);
        let act = act.map(|by| {
            let channel = &self.channels[idx as usize];
            let called = channel.occupant(user).map(|who| who.view.profile.display_name().into());
            let name: Box<str> = called.unwrap_or_else(|| user.to_string().into());
            let kind =
                until_ms.map_or(ModerationKind::Kick, |until_ms| ModerationKind::Ban { until_ms });
            let (in_lines, origin) = (Box::default(), None);
            let (channel, by, at_ms) = (channel.name.clone(), Some(by), now.wall_ms);
            ModerationAct { channel, kind, user, name, in_lines, origin, by, at_ms }
        });
        self.departure = how;
        let struck = self.strike_off(idx, user, how);
        self.take_all_seats(now, idx, user, RoomEvent::Closed { how, by, until_ms }, asked);
        if let Some((profile, was_listed)) = struck {
            self.tell_struck_off(now, idx, &profile, was_listed);
        }
        self.departure = Departure::default();
        // Behind the change of the list of people: once the act is certain to last, that is, too.
        let ticket = act.and_then(|act| self.moderate(now, act, Vec::new()));
        if self.private_mut(idx).count() == 0 {
            let empties = self.channels[idx as usize].empties;
            self.end_if_empty(now, idx, empties);
        }
        ticket
    }

    fn take_all_seats(
        &mut self,
        now: Now,
        idx: u32,
        user: UserId,
        closed: RoomEvent<'_>,
        asked: Option<(ConnId, Answer<'_>)>,
    ) {
        let roster = &self.channels[idx as usize].roster;
        let Some(participant) = roster.find(user) else { return };
        for member in roster[participant].members.clone() {
            let answer = asked.filter(|(conn, _)| *conn == member.conn);
            let answer = answer.map(|(_, answer)| RoomEvent::Done { answer, message: None });
            let events: Vec<_> = answer.into_iter().chain([closed]).collect();
            let last = self.room_bytes(&events);
            self.take_seat(now, idx, participant, member, last);
        }
    }

    /// Ends a group for everybody.
    pub(super) fn dissolve(
        &mut self,
        now: Now,
        actor: Actor,
        answer: Answer<'_>,
    ) -> Result<(), RoomFault> {
        let idx = actor.channel;
        let private = self.channels[idx as usize].private.as_deref().ok_or(RoomFault::Denied)?;
        if private.role(self.acting_user(actor)) < Role::Owner {
            return Err(RoomFault::Denied);
        }
        let private = self.private_mut(idx);
        let people: Vec<UserId> = private.people().map(|person| person.profile.user).collect();
        let by = Some(self.number_of(actor));
        // Those who are left are about to go themselves.
        self.channels[idx as usize].closing = true;
        let room = self.channels[idx as usize].room.id;
        let closed = RoomEvent::Closed { how: Departure::Deleted, by, until_ms: None };
        self.departure = Departure::Deleted;
        for user in people {
            self.take_all_seats(now, idx, user, closed, Some((actor.conn, answer)));
            self.private_mut(idx).remove(user);
            self.tell_belonging(now, user, room, Belonging::Out);
        }
        self.departure = Departure::default();
        let empties = self.channels[idx as usize].empties;
        self.end_if_empty(now, idx, empties);
        Ok(())
    }

    /// Nothing is left of a room: whoever was still invited is not any more.
    pub(super) fn forget_people(&mut self, now: Now, channel: &Channel) {
        let room = channel.room.id;
        for person in channel.private.iter().flat_map(|private| private.people()) {
            self.tell_belonging(now, person.profile.user, room, Belonging::Out);
        }
    }

    /// For how long a room in which nobody is connected stays in memory, microseconds.
    pub(super) fn rests_us(&self, channel: &Channel) -> u64 {
        let empty_us = self.config.channel_empty.as_micros() as u64;
        match &channel.private {
            Some(private) if private.lasts() => empty_us.max(RESTS_US),
            _ => empty_us,
        }
    }

    /// The other of two is shown that something was said, if they are not in the room.
    pub(super) fn summon_other(&mut self, now: Now, idx: u32) {
        let channel = &self.channels[idx as usize];
        let Some(private) = channel.private.as_deref() else { return };
        if private.kind != RoomKind::Direct {
            return;
        }
        let (room, mut absent) = (channel.room.id, Vec::new());
        for person in private.people() {
            if channel.roster.find(person.profile.user).is_none() && !person.is_at_another_door() {
                absent.push(person.profile.user);
            }
        }
        for user in absent {
            let person = self.private_mut(idx).get_mut(user).expect("it was there a moment ago");
            if person.standing == Standing::Closed {
                // Also of one without an account: whoever is told to come is let in. A second session that is told
                // late, when its user has closed the room again, is not.
                person.standing = Standing::In;
                self.keep_person(idx, user);
            }
            self.tell_belonging(now, user, room, Belonging::In);
        }
    }

    // Invitations.

    pub(super) fn invite(
        &mut self,
        now: Now,
        actor: Actor,
        whom: Whom,
        (nonce, kind): (Option<&str>, u8),
    ) -> Result<Outcome, RoomFault> {
        let channel = &self.channels[actor.channel as usize];
        match &channel.private {
            None => return Err(RoomFault::Invalid),
            Some(private) if private.kind == RoomKind::Direct => return Err(RoomFault::Denied),
            Some(_) => {}
        }
        let room = channel.room.id;
        self.outranks(actor, Role::Moderator, Role::Member)?;
        self.asking.invites(actor.conn, nonce, kind);
        let seek = Seek::Invite { room, nonce: nonce.map(Into::into), kind: Some(kind) };
        let finder = self.finder(actor.conn, seek);
        self.find_user(now, whom, finder);
        Ok(Outcome::Silent)
    }

    /// Invites all whom the maker of a room has named. Those whom nobody knows are left out.
    pub(super) fn invite_all(&mut self, now: Now, actor: Actor, invites: &[Whom]) {
        let room = self.channels[actor.channel as usize].room.id;
        for &whom in invites {
            let seek = Seek::Invite { room, nonce: None, kind: None };
            let finder = self.finder(actor.conn, seek);
            self.find_user(now, whom, finder);
        }
    }

    /// It is known who it is that a member invites.
    pub(super) fn on_invitee_found(
        &mut self,
        now: Now,
        room: RoomId,
        conn: ConnId,
        (nonce, kind): (Option<&str>, Option<u8>),
        found: Option<Box<Profile>>,
    ) {
        let is_open = kind.is_some_and(|kind| self.asking.invited(conn, nonce, kind));
        let Some(&idx) = self.by_number.get(&room) else { return };
        // One who has gone meanwhile was answered then.
        let Some((participant, member)) = self.channels[idx as usize].find_member(conn) else {
            return;
        };
        let actor = Actor { channel: idx, participant, conn, at: member.at };
        let done = found.ok_or(RoomFault::NotFound).and_then(|found| {
            let by = self.channels[idx as usize].roster[participant].profile.clone();
            self.put_invitation(now, idx, &by, &found)
        });
        let Some(kind) = kind.filter(|_| is_open) else { return };
        let answer = Answer { nonce, kind, room: Some(room) };
        let event = match done {
            Ok(()) => RoomEvent::Done { answer, message: None },
            Err(fault) => RoomEvent::Refused { answer, fault },
        };
        self.answer(actor, &[Event::Room(event)]);
    }

    fn put_invitation(
        &mut self,
        now: Now,
        idx: u32,
        by: &Rc<Profile>,
        whom: &Profile,
    ) -> Result<(), RoomFault> {
        let channel = &mut self.channels[idx as usize];
        let (room, kind, by) = (channel.room.id, channel.name.room_kind(), Profile::clone(by));
        let view = channel.room_view();
        let invitation = Box::new(Invitation { room, kind, title: view.name.into(), by });
        let Some(private) = channel.private.as_deref_mut() else {
            // Whoever likes may come into a channel: it is no more than a word.
            let news = crate::mesh::RoomNews::Invited((*invitation).into());
            self.send_to_user(now, whom.user, crate::mesh::Payload::Rooms(news), &[]);
            return Ok(());
        };
        if private.role(invitation.by.user) < Role::Moderator {
            return Err(RoomFault::Denied);
        }
        match private.get(whom.user) {
            Some(person) if person.is_listed() => return Ok(()),
            None if private.invited() >= INVITED_MAX => return Err(RoomFault::Limit),
            _ => {}
        }
        let standing = Standing::Invited(Box::new(invitation.by.clone()));
        private.put(whom, Role::Member, standing);
        self.keep_person(idx, whom.user);
        self.tell_belonging(now, whom.user, room, Belonging::Invited(invitation));
        Ok(())
    }
}

impl Channel {
    /// A user as people in rooms see them: one who is there, or belongs to it.
    pub(crate) fn occupant(&self, user: UserId) -> Option<Occupant<'_>> {
        let role = self.role(user);
        if let Some(participant) = self.roster.find(user) {
            let view = self.roster[participant].view();
            return Some(Occupant { view, role, present: true });
        }
        let person = self.private.as_deref()?.get(user)?;
        let (profile, position) = (&person.profile, Position::OFF_SCREEN);
        let view = ParticipantView { profile, position, digits: 0 };
        // Who has no rooms is not in this one, and was there when it was opened.
        let present = person.is_at_another_door();
        Some(Occupant { view, role, present })
    }

    /// Those who are shown to a newcomer, at most so many, and how many there are.
    pub(crate) fn occupants(&self, most: usize) -> (Vec<Occupant<'_>>, usize) {
        let users: Vec<UserId> = match self.private.as_deref() {
            Some(private) => private.listed().iter().map(|person| person.profile.user).collect(),
            None => self.roster.iter().map(|(_, p)| p.profile.user).collect(),
        };
        let shown = users.iter().take(most).filter_map(|&user| self.occupant(user));
        (shown.collect(), users.len())
    }

    /// Most UTF-16 code units of a text here. What people at other doors get is as short as there.
    pub(crate) fn text_length_max(&self) -> usize {
        let is_between = self.private.as_deref().and_then(Private::at_another_door).is_some();
        let kind = if is_between { RoomKind::Channel } else { self.kind_of_room() };
        kind.text_length_max()
    }

    pub(crate) fn kind_of_room(&self) -> RoomKind {
        self.private.as_ref().map_or(RoomKind::Channel, |private| private.kind)
    }
}
