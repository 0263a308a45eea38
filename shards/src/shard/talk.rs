//! Chat, direct messages and custom messages.

use super::{Actor, Announcement, Shard, rooms::Saying};
use crate::{
    ChatMessage, ChatText, Custom, CustomTarget, Event, Limit, MessageRef, Notice, Now, Profile,
    UserId, Wire, channel::Member, mesh::Payload,
};
use std::sync::Arc;

impl<W: Wire> Shard<W> {
    pub(super) fn chat(
        &mut self,
        now: Now,
        actor: Actor,
        text: ChatText,
        reply_to: Option<MessageRef>,
    ) {
        let channel = &self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        if !channel.may_post(user) || !self.may_talk(now, actor) {
            return;
        }
        if self.spend_room_rate(now, actor.channel).is_err() {
            return;
        }
        self.say_as(now, actor, text, reply_to, false);
    }

    /// A member says something, or does it in words.
    pub(super) fn say_as(
        &mut self,
        now: Now,
        actor: Actor,
        text: ChatText,
        reply_to: Option<MessageRef>,
        is_action: bool,
    ) {
        let by = &self.channels[actor.channel as usize].roster[actor.participant];
        let (by, digits) = (Profile::clone(&by.profile), by.digits);
        let said = Saying { action: is_action, digits, ..Saying::plain(text, reply_to) };
        self.say(now, actor.channel, by, said);
    }

    fn may_talk(&mut self, now: Now, actor: Actor) -> bool {
        let channel = &self.channels[actor.channel as usize];
        let muted_for = self.muted_for(now, channel, actor.participant);
        let channel = &mut self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        let rates = &self.config.rates;
        let rate = if channel.is_holder(user) { rates.chat_holder } else { rates.chat };
        let granted = channel.roster[actor.participant].chat.take(rate, now.mono_us, 1);
        if !granted {
            self.stats.limit(Limit::ChatRate);
            return false;
        }
        if let Some(seconds) = muted_for {
            // Behind the rate, so that one who goes on talking is not answered without end.
            self.stats.limit(Limit::Muted);
            self.answer(actor, &[Event::Notice(&Notice::StillMuted { seconds })]);
            return false;
        }
        true
    }

    pub(super) fn direct(
        &mut self,
        now: Now,
        actor: Actor,
        to: UserId,
        text: ChatText,
        reply_to: Option<MessageRef>,
    ) {
        let channel = &self.channels[actor.channel as usize];
        let Some(target) = channel.roster.find(to) else { return };
        if !channel.settings.chat || !self.may_talk(now, actor) {
            return;
        }
        let roster = &self.channels[actor.channel as usize].roster;
        let recipient = roster[target].profile.clone();
        let by = &roster[actor.participant];
        let (by, digits) = (Profile::clone(&by.profile), by.digits);
        let id = self.next_message(now);
        let said = ChatMessage::new(id, now.wall_ms, by, text);
        let message = ChatMessage { reply_to, digits, ..said };
        let given = self.give_letter(actor, target, &message);
        let event = Event::Direct { message: &message, to: &recipient };
        if given == super::line::Given::Done && target != actor.participant {
            self.tell_participant(actor.channel, actor.participant, &[event]);
        }
    }

    pub(super) fn custom(&mut self, now: Now, actor: Actor, custom: Custom) {
        let rate = self.config.rates.custom_bytes;
        let channel = &mut self.channels[actor.channel as usize];
        let sender = &mut channel.roster[actor.participant];
        let cost = custom.body.cost() as u64;
        if !sender.rates().custom_bytes.take(rate, now.mono_us, cost) {
            return self.stats.limit(Limit::CustomRate);
        }
        let from = sender.profile.clone();
        if custom.global {
            return self.custom_everywhere(now, &from, custom);
        }
        let Custom { target, body, .. } = custom;
        let receivers: Vec<Member> = channel
            .roster
            .members()
            .filter(|(_, member)| match &target {
                CustomTarget::Subscribed => member.follows_custom,
                CustomTarget::Users(_) => true,
            })
            .filter(|&(p, _)| {
                let user = channel.roster[p].profile.user;
                let chosen = match &target {
                    CustomTarget::Subscribed => true,
                    CustomTarget::Users(users) => users.contains(&user),
                };
                chosen && user != from.user
            })
            .map(|(_, member)| member)
            .collect();
        for member in receivers {
            let with_blob = member.binary_custom && body.blob.is_some();
            let event = Event::Custom { from: &from, body: &body, with_blob };
            self.tell_member(actor.channel, member.conn, member.at, &[event]);
        }
    }

    /// A custom message of a connection that sits nowhere.
    pub(super) fn custom_outside(&mut self, now: Now, slot: u32, custom: Custom) {
        if !custom.global {
            return;
        }
        let rate = self.config.rates.custom_bytes;
        let conn = &mut self.conns[slot];
        if !conn.extra().custom_bytes.take(rate, now.mono_us, custom.body.cost() as u64) {
            return self.stats.limit(Limit::CustomRate);
        }
        let from = conn.profile.clone().expect("only those who said hello get here");
        self.custom_everywhere(now, &from, custom);
    }

    fn custom_everywhere(&mut self, now: Now, from: &Profile, custom: Custom) {
        let (from, body) = (Arc::new(from.clone()), Arc::new(custom.body));
        match custom.target {
            CustomTarget::Subscribed => {
                self.announce(now, Announcement::Custom { from, body });
            }
            CustomTarget::Users(users) => {
                for user in users.into_iter().filter(|&user| user != from.user) {
                    let payload = Payload::Custom { from: from.clone(), body: body.clone() };
                    self.send_to_user(now, user, payload, &[]);
                }
            }
        }
    }
}
