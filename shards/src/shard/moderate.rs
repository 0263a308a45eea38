//! What people in rooms do to each other: removing, muting, roles, and what a room is set to.

use super::{Actor, Shard, private::Going, rooms::Outcome};
use crate::{
    ChatText, Departure, Event, ModerationAct, ModerationKind, Now, Role, RoomFault, SettingsPatch,
    UserId, UserNumber, Whom, Wire, channel::Ban, mesh::BanOrder,
};

/// Most UTF-16 code units of a reason.
const REASON_LENGTH_MAX: usize = 512;

/// What is to be changed of a room.
pub(super) struct Update<'a> {
    pub(super) title: Option<&'a str>,
    pub(super) topic: Option<&'a str>,
    pub(super) post_role: Option<Role>,
    pub(super) set: &'a SettingsPatch,
}

impl<W: Wire> Shard<W> {
    /// Whether the actor, with at least the role `least`, may act on somebody of rank `theirs`.
    pub(super) fn outranks(
        &self,
        actor: Actor,
        least: Role,
        theirs: Role,
    ) -> Result<(), RoomFault> {
        let mine = self.channels[actor.channel as usize].role(self.acting_user(actor));
        if mine < least || mine <= theirs { Err(RoomFault::Denied) } else { Ok(()) }
    }

    /// A member by number, connected or not, and what role it has.
    fn member_by_number(&self, idx: u32, user: UserNumber) -> Result<(UserId, Role), RoomFault> {
        let (channel, key) = (&self.channels[idx as usize], self.config.number_key);
        let found = match channel.private.as_deref() {
            Some(private) => private.find_number(key, user),
            None => channel.find_number(key, user).map(|p| channel.roster[p].profile.user),
        };
        let found = found.ok_or(RoomFault::NotFound)?;
        Ok((found, channel.role(found)))
    }

    pub(super) fn room_kick(
        &mut self,
        now: Now,
        actor: Actor,
        user: UserNumber,
        reason: Option<Box<str>>,
    ) -> Result<Outcome, RoomFault> {
        let (target, theirs) = self.member_by_number(actor.channel, user)?;
        self.outranks(actor, Role::Moderator, theirs)?;
        let reason = reason.and_then(|reason| ChatText::parse(&reason, REASON_LENGTH_MAX));
        Ok(Outcome::Kept(self.remove(now, actor, target, 0, reason)))
    }

    pub(super) fn room_ban(
        &mut self,
        now: Now,
        actor: Actor,
        user: UserNumber,
        ms: u64,
    ) -> Result<Outcome, RoomFault> {
        let ms = ms.min(self.config.ban_max.as_millis() as u64).max(1);
        if let Ok((target, theirs)) = self.member_by_number(actor.channel, user) {
            self.outranks(actor, Role::Admin, theirs)?;
            return Ok(Outcome::Kept(self.remove(now, actor, target, ms, None)));
        }
        // One who is gone can be banned for what is still to be seen.
        let channel = &self.channels[actor.channel as usize];
        let key = self.config.number_key;
        let author = channel.history.iter().rev().find(|said| key.user(&said.by) == user);
        let author = author.map(|said| said.by.clone()).ok_or(RoomFault::NotFound)?;
        self.outranks(actor, Role::Admin, channel.role(author.user))?;
        if channel.private.is_some() {
            return Ok(Outcome::Kept(self.remove(now, actor, author.user, ms, None)));
        }
        let order = self.order(actor, author.user, ms, None);
        Ok(Outcome::Kept(self.ban(now, order, &author)))
    }

    fn order(&self, actor: Actor, user: UserId, ms: u64, reason: Option<ChatText>) -> BanOrder {
        let channel = self.channels[actor.channel as usize].name.clone();
        BanOrder { channel, by: self.acting_user(actor), user, ms, reason }
    }

    fn remove(
        &mut self,
        now: Now,
        actor: Actor,
        user: UserId,
        ms: u64,
        reason: Option<ChatText>,
    ) -> Option<u64> {
        let channel = &self.channels[actor.channel as usize];
        if channel.private.is_some() {
            let (how, by) = (Departure::of_ban(ms), Some(self.number_of(actor)));
            let act = Some(self.acting_user(actor));
            let going = Going { user, how, by, banned_ms: ms, act };
            return self.go_from_private(now, actor.channel, going, None);
        }
        let target = channel.roster.find(user).expect("it was found a moment ago");
        let profile = channel.roster[target].profile.clone();
        let order = self.order(actor, user, ms, reason);
        self.ban(now, order, &profile)
    }

    pub(super) fn room_unban(
        &mut self,
        now: Now,
        actor: Actor,
        whom: Whom,
    ) -> Result<Outcome, RoomFault> {
        self.outranks(actor, Role::Admin, Role::Member)?;
        let (idx, key) = (actor.channel, self.config.number_key);
        let channel = &self.channels[idx as usize];
        let said = channel.history.iter().rev().find(|said| key.user(&said.by) == whom.number);
        let banned = channel.bans.users(now.mono_us);
        let user = said
            .map(|said| said.by.user)
            .or(whom.user)
            .or_else(|| banned.iter().copied().find(|&user| key.stranger(user) == whom.number))
            .ok_or(RoomFault::NotFound)?;
        let me = &channel.roster[actor.participant].profile;
        let (name, by) = (me.display_name().into(), me.user);
        let lifted = self.lift_ban(now, idx, user, name, Some(by));
        Ok(lifted.map_or(Outcome::Done(None), Outcome::Kept))
    }

    pub(super) fn set_role(
        &mut self,
        now: Now,
        actor: Actor,
        user: UserNumber,
        role: Role,
    ) -> Result<Outcome, RoomFault> {
        let idx = actor.channel;
        let (target, theirs) = self.member_by_number(idx, user)?;
        self.outranks(actor, Role::Admin, theirs)?;
        let is_private = self.channels[idx as usize].private.is_some();
        let (me, by) = (self.acting_user(actor), Some(self.number_of(actor)));
        if role == Role::Owner {
            self.outranks(actor, Role::Owner, theirs)?;
            if is_private {
                self.give_private_role(idx, me, Role::Admin, by);
                self.give_private_role(idx, target, Role::Owner, by);
            } else {
                self.give_crown(now, actor, Some(target));
            }
            return Ok(Outcome::Done(None));
        }
        self.outranks(actor, Role::Admin, role)?;
        if theirs == role {
            return Ok(Outcome::Done(None));
        }
        if is_private {
            self.give_private_role(idx, target, role, by);
        } else {
            self.channels[idx as usize].room.set_role(target, role);
            self.keep_room(idx);
            self.tell_updated(idx, target, by);
        }
        Ok(Outcome::Done(None))
    }

    pub(super) fn room_mute(
        &mut self,
        now: Now,
        actor: Actor,
        user: UserNumber,
        ms: u64,
    ) -> Result<Outcome, RoomFault> {
        let idx = actor.channel;
        let (target, theirs) = self.member_by_number(idx, user)?;
        self.outranks(actor, Role::Moderator, theirs)?;
        let me = Some(self.acting_user(actor));
        let Some(ticket) = self.mute_here(now, idx, target, ms, me) else {
            return Ok(Outcome::Done(None));
        };
        self.tell_updated(idx, target, Some(self.number_of(actor)));
        if let Some(participant) = self.channels[idx as usize].roster.find(target) {
            let notice = crate::Notice::Muted { seconds: ms.div_ceil(1_000) };
            self.tell_participant(idx, participant, &[Event::Notice(&notice)]);
        }
        Ok(Outcome::Kept(ticket))
    }

    /// Takes a user's word in a channel that is owned here, or gives it back (0); `None` when they had it. The ticket
    /// is that of [`Shard::moderate`].
    pub(super) fn mute_here(
        &mut self,
        now: Now,
        idx: u32,
        user: UserId,
        ms: u64,
        by: Option<UserId>,
    ) -> Option<Option<u64>> {
        let max = self.config.bans_max;
        let channel = &mut self.channels[idx as usize];
        let kind = if ms > 0 {
            let until_us = now.mono_us.saturating_add(ms.saturating_mul(1_000));
            let mute = Ban { until_us, origin: None, name: Box::default() };
            channel.mutes.insert(user, mute, now.mono_us, max);
            ModerationKind::Mute { until_ms: now.wall_ms.saturating_add(ms) }
        } else if channel.mutes.remove(user, now.mono_us) {
            ModerationKind::Unmute
        } else {
            return None;
        };
        let called = channel.occupant(user).map(|who| who.view.profile.display_name().into());
        let name: Box<str> = called.unwrap_or_else(|| user.to_string().into());
        let (channel, at_ms) = (channel.name.clone(), now.wall_ms);
        let (in_lines, origin) = (Box::default(), None);
        let act = ModerationAct { channel, kind, user, name, in_lines, origin, by, at_ms };
        Some(self.moderate(now, act, Vec::new()))
    }

    pub(super) fn update_room(
        &mut self,
        now: Now,
        actor: Actor,
        update: Update<'_>,
    ) -> Result<Outcome, RoomFault> {
        let Update { title, topic, post_role, set } = update;
        let idx = actor.channel;
        self.outranks(actor, Role::Admin, Role::Member)?;
        let by = Some(self.number_of(actor));
        let channel = &mut self.channels[idx as usize];
        if channel.kind.is_lobby() {
            return Err(RoomFault::Denied);
        }
        let mut changed = false;
        match (title, channel.private.as_deref_mut()) {
            (None, _) => {}
            // A channel is its name.
            (Some(_), None) => return Err(RoomFault::Invalid),
            (Some(title), Some(private)) => {
                changed = *private.title != *title;
                private.title = title.into();
            }
        }
        let (old_topic, old_role) =
            (channel.room.topic().map(Box::<str>::from), channel.room.post_role);
        if let Some(topic) = topic {
            channel.room.set_topic(topic);
        }
        channel.room.post_role = post_role.unwrap_or(old_role);
        changed |= channel.room.topic() != old_topic.as_deref()
            || channel.room.post_role != old_role
            || channel.private.is_none()
                && set.visible.is_some_and(|visible| visible != channel.settings.visible);
        if channel.private.is_none() {
            channel.settings.change(set);
        }
        if changed {
            channel.room.told = channel.now_told();
            self.keep_room(idx);
            self.tell_changed_room(idx, by);
            self.broadcast_channel(idx, None);
            self.touch_list(idx, now.mono_us);
        }
        Ok(Outcome::Done(None))
    }
}
