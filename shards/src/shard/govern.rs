//! What the holder of the crown does: settings, the crown itself, bans.

use super::{Actor, Shard};
use crate::{
    ChannelName, ChatText, ConnId, Departure, DoorKind, Entry, Event, Limit, ModerationAct,
    ModerationKind, Named, Notice, Now, Profile, Role, SettingsPatch, ShardId, UserId, UserNumber,
    Wire,
    channel::{At, Ban, Member, dropped_at, on_screen},
    conn::JoinRequest,
    fan_out::Class,
    mesh::{BanOrder, Mesh, Payload},
    timers::Timer,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// A user is sent out of a channel.
pub(super) struct Removal {
    pub(super) user: UserId,
    /// Who does it, by number, when it is somebody in the channel.
    pub(super) number: Option<UserNumber>,
    /// For how long they are kept out; 0 for not.
    pub(super) ms: u64,
    /// Who wants it; `None` for the operator.
    pub(super) by: Option<UserId>,
    pub(super) by_name: Named,
    /// Whether they did it to themselves.
    pub(super) themselves: bool,
    /// What the user is called.
    pub(super) name: Named,
    /// By which door the user came in: people at terminals go to the lobby.
    pub(super) door: DoorKind,
    /// Why, for the channel to read.
    pub(super) reason: Option<ChatText>,
}

impl<W: Wire> Shard<W> {
    pub(super) fn change_settings(&mut self, now: Now, actor: Actor, patch: &SettingsPatch) {
        let rate = self.config.rates.settings;
        let channel = &mut self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        if channel.kind.is_lobby() || patch.is_empty() || !channel.is_holder(user) {
            return;
        }
        if !channel.roster[actor.participant].rates().settings.take(rate, now.mono_us, 1) {
            return self.stats.limit(Limit::SettingsRate);
        }
        let chat = channel.settings.chat;
        channel.settings.change(patch);
        let now_chat = channel.settings.chat;
        self.broadcast_channel(actor.channel, None);
        if chat != now_chat {
            self.broadcast(actor.channel, None, Class::Prompt, Event::ChatSwitched(now_chat));
        }
        self.keep_channel(actor.channel);
        self.touch_list(actor.channel, now.mono_us);
    }

    pub(super) fn give_crown(&mut self, now: Now, actor: Actor, to: Option<UserId>) {
        let rate = self.config.rates.crown;
        let pickup_ms = self.config.crown_pickup.as_millis() as u64;
        let channel = &mut self.channels[actor.channel as usize];
        let me = channel.roster[actor.participant].profile.user;
        let Some(crown) = channel.crown else { return };
        let heir =
            to.and_then(|user| channel.roster.find(user).map(|participant| (user, participant)));
        let holds = crown.held && crown.user == me;
        let allowed = match heir {
            // A holder who names themselves keeps it.
            Some((user, _)) if holds => user != me,
            None => holds,
            Some(_) if crown.held => false,
            // It lies: the last holder may take or give it, others may take it after a while.
            Some(_) if crown.user == me => true,
            Some((user, _)) => user == me && now.wall_ms >= crown.since_ms + pickup_ms,
        };
        if !allowed {
            return;
        }
        if !channel.roster[actor.participant].rates().crown.take(rate, now.mono_us, 1) {
            return self.stats.limit(Limit::CrownRate);
        }
        let from = channel.roster.find(crown.user);
        let giver = channel.roster[actor.participant].position;
        let crown = channel.crown.as_mut().expect("it was there a moment ago");
        crown.since_ms = now.wall_ms;
        match heir {
            Some((user, participant)) => {
                crown.user = user;
                crown.held = true;
                crown.start = on_screen(giver);
                crown.end = on_screen(channel.roster[participant].position);
            }
            None => {
                crown.held = false;
                (crown.start, crown.end) = dropped_at(giver);
            }
        }
        self.broadcast_channel(actor.channel, None);
        self.save_channel(actor.channel);
        let heir = heir.map(|(_, participant)| participant);
        if let Some(from) = from.filter(|_| holds) {
            self.tell_participant(actor.channel, from, &[Event::Quota(self.config.quotas.normal)]);
        }
        if let Some(heir) = heir {
            self.tell_crowned(actor.channel, heir);
            self.tell_participant(actor.channel, heir, &[Event::Quota(self.config.quotas.crown)]);
        }
        self.touch_list(actor.channel, now.mono_us);
    }

    /// A holder wants somebody gone. Whether that user is connected at all, the user's shard knows.
    pub(super) fn want_ban(&mut self, now: Now, actor: Actor, user: UserId, ms: u64) {
        let Some((channel, by)) = self.may_ban(now, actor) else { return };
        let max = self.config.ban_max.as_millis() as u64;
        let ban = Box::new(BanOrder { channel, by, user, ms: ms.min(max), reason: None });
        let roster = &self.channels[actor.channel as usize].roster;
        if let Some(participant) = roster.find(user) {
            let profile = roster[participant].profile.clone();
            self.ban(now, *ban, &profile);
            return;
        }
        self.find_for_ban(now, self.id, user, ban);
    }

    fn may_ban(&mut self, now: Now, actor: Actor) -> Option<(ChannelName, UserId)> {
        let rate = self.config.rates.ban;
        let channel = &mut self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        if channel.kind.is_lobby() || !channel.is_holder(user) {
            return None;
        }
        if !channel.roster[actor.participant].rates().ban.take(rate, now.mono_us, 1) {
            self.stats.limit(Limit::BanRate);
            return None;
        }
        Some((channel.name.clone(), user))
    }

    /// Looks whether a user is connected, on behalf of a channel of the shard `asker`.
    pub(super) fn find_for_ban(
        &mut self,
        now: Now,
        asker: ShardId,
        user: UserId,
        ban: Box<BanOrder>,
    ) {
        let owner = self.owner_of_user(user);
        if owner != self.id {
            return self.mesh(owner, Mesh::FindForBan { user, ban });
        }
        let Some(record) = self.users.get(user) else { return };
        if record.connections.is_empty() {
            return;
        }
        let profile = record.profile.clone();
        if asker == self.id {
            self.ban(now, *ban, &profile);
        } else {
            let profile = Box::new(Profile::clone(&profile));
            self.mesh(asker, Mesh::FoundForBan { ban, profile });
        }
    }

    /// Carries a ban out, for a target that is connected somewhere. The ticket is that of [`Shard::moderate`].
    pub(super) fn ban(&mut self, now: Now, order: BanOrder, target: &Profile) -> Option<u64> {
        let BanOrder { channel, by, user, ms, reason } = order;
        let &idx = self.by_name.get(&channel)?;
        let channel = &self.channels[idx as usize];
        // The crown may have passed on while the target was looked for.
        let least = if ms > 0 { Role::Admin } else { Role::Moderator };
        if channel.role(by) < least || channel.kind.is_lobby() {
            return None;
        }
        let number = channel
            .roster
            .find(by)
            .map(|holder| self.config.number_key.user(&channel.roster[holder].profile));
        let by_name = match channel.roster.find(by) {
            Some(holder) => channel.roster[holder].named(),
            None => Named::plain(""),
        };
        let name = match channel.roster.find(user) {
            Some(participant) => channel.roster[participant].named(),
            None => {
                Named { name: target.display_name().into(), in_lines: crate::line_name(target, 0) }
            }
        };
        let (by, themselves, door) = (Some(by), by == user, target.door);
        let removal = Removal { user, ms, number, by, by_name, themselves, name, door, reason };
        self.carry_out_ban(now, idx, removal)
    }

    /// Sends a user out of a channel that is owned here, and keeps them out for a time.
    pub(super) fn carry_out_ban(&mut self, now: Now, idx: u32, removal: Removal) -> Option<u64> {
        let Removal { user, ms, number, by, by_name, themselves, name, door, reason } = removal;
        let bans_max = self.config.bans_max;
        let channel = &mut self.channels[idx as usize];
        let channel_name = channel.name.clone();
        let present = channel.roster.find(user).map(|p| &channel.roster[p]);
        let origin = present.and_then(|p| p.rates.as_ref()?.origin);
        if ms > 0 {
            let until = now.mono_us.saturating_add(ms.saturating_mul(1_000));
            let ban = Ban { until_us: until, origin, name: name.in_lines.clone() };
            channel.bans.insert(user, ban, now.mono_us, bans_max);
            let timer = Timer::BanEnds { channel: idx, serial: channel.serial };
            self.arm(until, timer);
        }
        let minutes = ms / 60_000;
        let channel = &self.channels[idx as usize];
        let how = if ms > 0 { Departure::Banned } else { Departure::Kicked };
        let removed = Arc::new(Notice::Removed {
            channel: channel_name.clone(),
            minutes,
            by: by_name.clone(),
        });
        let certificate =
            themselves.then(|| Arc::new(Notice::RemovedThemselves { name: name.name.clone() }));
        // Those who are removed learn it here, before they go; the user's other connections wherever they are.
        let mut told = SmallVec::<[ConnId; 1]>::new();
        if let Some(participant) = channel.roster.find(user) {
            let members = channel.roster[participant].members.clone();
            for member in members {
                told.push(member.conn);
                if self.is_seat(member) {
                    let until = (ms > 0).then(|| now.wall_ms + ms);
                    self.departure = how;
                    self.take_seat_away(now, idx, participant, member.conn, number, until);
                    self.departure = Departure::default();
                    continue;
                }
                let mut events = vec![Event::Notice(&removed)];
                events.extend(certificate.as_deref().map(Event::Notice));
                self.tell_member(idx, member.conn, member.at, &events);
                let request = match door {
                    DoorKind::Line => JoinRequest::to_lobby(Entry::Returned),
                    _ => JoinRequest::to(ChannelName::awkward()),
                };
                self.departure = how;
                self.dismiss(now, idx, participant, member, request);
                self.departure = Departure::default();
            }
        }
        // The channel is still there: an empty one ends after a delay.
        let (called, in_lines) = (name.name.clone(), name.in_lines.clone());
        let here = Notice::RemovedFromHere { name, by: by_name, minutes, reason };
        let mut notices = vec![here];
        notices.extend(certificate.as_deref().cloned());
        let at_ms = now.wall_ms;
        let kind = match ms {
            0 => ModerationKind::Kick,
            _ => ModerationKind::Ban { until_ms: at_ms.saturating_add(ms) },
        };
        let (channel, name) = (channel_name, called);
        let act = ModerationAct { channel, kind, user, name, in_lines, origin, by, at_ms };
        let ticket = self.moderate(now, act, notices);
        self.send_to_user(now, user, Payload::Notice(removed), &told);
        self.touch_list(idx, now.mono_us);
        ticket
    }

    /// Sends a member elsewhere, wherever its connection is.
    pub(super) fn dismiss(
        &mut self,
        now: Now,
        idx: u32,
        participant: u32,
        member: Member,
        request: JoinRequest,
    ) {
        if self.is_seat(member) {
            // Sessions have rooms of their own choice: one that is taken away leads nowhere.
            return self.take_seat_away(now, idx, participant, member.conn, None, None);
        }
        match member.at {
            At::Here(slot) => self.move_elsewhere(now, slot, request),
            At::Away(..) => {
                let (conn, request) = (member.conn, Box::new(request));
                self.release(now, idx, participant, conn, |quota| {
                    Some(Mesh::Dismissed { conn, request, quota })
                });
            }
        }
    }

    pub(super) fn unban(&mut self, now: Now, actor: Actor, user: UserId) {
        if self.may_ban(now, actor).is_none() {
            return;
        }
        let roster = &self.channels[actor.channel as usize].roster;
        let holder = &roster[actor.participant].profile;
        let (by_name, by) = (holder.display_name().into(), holder.user);
        self.lift_ban(now, actor.channel, user, by_name, Some(by));
    }

    /// Lets a user into a channel that is owned here; `None` when they were not kept out. The ticket is that of
    /// [`Shard::moderate`].
    pub(super) fn lift_ban(
        &mut self,
        now: Now,
        idx: u32,
        user: UserId,
        by_name: Box<str>,
        by: Option<UserId>,
    ) -> Option<Option<u64>> {
        if !self.channels[idx as usize].bans.remove(user, now.mono_us) {
            return None;
        }
        let channel = self.channels[idx as usize].name.clone();
        let name: Box<str> = self.users.get(user).map_or_else(
            || user.to_string().into_boxed_str(),
            |record| record.profile.display_name().into(),
        );
        let notice = Notice::Unbanned { name: name.clone(), by: by_name };
        let (kind, at_ms) = (ModerationKind::Unban, now.wall_ms);
        let (in_lines, origin) = (Box::default(), None);
        let act = ModerationAct { channel, kind, user, name, in_lines, origin, by, at_ms };
        let ticket = self.moderate(now, act, vec![notice]);
        self.touch_list(idx, now.mono_us);
        Some(ticket)
    }
}
