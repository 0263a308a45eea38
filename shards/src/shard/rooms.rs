//! What is said and done in rooms beyond what every door knows: numbered events, edits, reactions, roles.
//!
//! All of it happens at the owner of the channel, which numbers each event; people at other doors see of it what their
//! doors show.

use super::{Actor, Output, Shard, acts::Asker, history::Part, moderate::Update, private::Going};
use crate::{
    Answer, Attachment, AttachmentNews, ChatMessage, ChatText, ConnId, Departure, Emoji, Event,
    Limit, MessageId, MessageRef, Now, Profile, Reaction, Role, RoomCommand, RoomEvent, RoomFault,
    RoomRequest, RoomText, UserId, UserNumber, Wire, channel::Member, fan_out::Class, first_count,
    private::Private, room_state::Turn, timers::Timer,
};

/// Most different emoji at a message, and most people behind one.
const EMOJI_MAX: usize = 20;
const REACTIONS_MAX: usize = 1_000;
/// In rooms of more people nobody is told who is writing.
const TYPING_MEMBERS_MAX: usize = 100;
/// How often at most the piano is shown again what was said, microseconds.
const RETELL_US: u64 = 1_000_000;
/// How often it is looked which rooms are busy, microseconds.
const BEAT_US: u64 = 1_000_000;

/// What a request came to.
pub(super) enum Outcome {
    /// It was done, possibly to a message.
    Done(Option<MessageId>),
    Said(MessageId, u64),
    /// It was done, and is answered when it is certain to last: the ticket of that, unless it is.
    Kept(Option<u64>),
    /// Nothing is answered, or it was answered already.
    Silent,
}

/// What somebody says in a room, as it was asked.
struct Words {
    text: RoomText,
    reply_id: Option<MessageId>,
    action: bool,
    attachments: Vec<Attachment>,
}

/// What somebody says.
#[derive(Debug)]
pub(crate) struct Saying {
    pub(crate) text: ChatText,
    pub(crate) reply_to: Option<MessageRef>,
    pub(crate) reply_id: Option<MessageId>,
    pub(crate) action: bool,
    /// Digits of the handle of whoever says it.
    pub(crate) digits: u8,
    pub(crate) nonce: Option<Box<str>>,
    pub(crate) attachments: Vec<Attachment>,
}

impl Saying {
    pub(crate) fn plain(text: ChatText, reply_to: Option<MessageRef>) -> Self {
        Saying {
            text,
            reply_to,
            reply_id: None,
            action: false,
            digits: 0,
            nonce: None,
            attachments: Vec::new(),
        }
    }
}

impl<W: Wire> Shard<W> {
    pub(super) fn room_act(&mut self, now: Now, actor: Actor, request: RoomRequest) {
        let RoomRequest { nonce, kind, command } = request;
        let outcome = match command {
            RoomCommand::Say { text, reply_to, action, attachments } => {
                let words = Words { text, reply_id: reply_to, action, attachments };
                self.room_say(now, actor, words, (nonce.as_deref(), kind))
            }
            RoomCommand::Edit { message, text } => self.edit(now, actor, message, text),
            RoomCommand::Delete { message } => self.delete(now, actor, message),
            RoomCommand::React { message, emoji } => self.react(now, actor, message, &emoji),
            RoomCommand::Unreact { message, emoji, of } => {
                self.unreact(now, actor, message, &emoji, of)
            }
            RoomCommand::Kick { user, reason } => self.room_kick(now, actor, user, reason),
            RoomCommand::Ban { user, ms } => self.room_ban(now, actor, user, ms),
            RoomCommand::Unban(whom) => self.room_unban(now, actor, whom),
            RoomCommand::SetRole { user, role } => self.set_role(now, actor, user, role),
            RoomCommand::Mute { user, ms } => self.room_mute(now, actor, user, ms),
            RoomCommand::Update { title, topic, post_role, set } => {
                let (title, topic) = (title.as_deref(), topic.as_deref());
                self.update_room(now, actor, Update { title, topic, post_role, set: &set })
            }
            RoomCommand::Invite(whom) => self.invite(now, actor, whom, (nonce.as_deref(), kind)),
            RoomCommand::History { before, after, limit } => {
                let part = Part { before, after, limit };
                self.fetch_history(now, actor, part, (nonce.as_deref(), kind))
            }
            RoomCommand::Typing(on) => {
                self.typing(actor, on);
                Ok(Outcome::Silent)
            }
            RoomCommand::MayPost { ticket } => {
                let fault = self.may_post(now, actor).err();
                let room = Some(self.channels[actor.channel as usize].room.id);
                let answer = Answer { nonce: nonce.as_deref(), kind, room };
                let event = RoomEvent::MayPost { answer, ticket, fault };
                self.answer(actor, &[Event::Room(event)]);
                Ok(Outcome::Silent)
            }
            RoomCommand::Receipt { message, read } => {
                self.receipt(now, actor, message, read);
                Ok(Outcome::Silent)
            }
            RoomCommand::Dissolve => {
                let room = Some(self.channels[actor.channel as usize].room.id);
                let answer = Answer { nonce: nonce.as_deref(), kind, room };
                match self.dissolve(now, actor, answer) {
                    // There is nowhere left to answer, and it was answered.
                    Ok(()) => return,
                    Err(fault) => Err(fault),
                }
            }
            RoomCommand::Leave | RoomCommand::Unseat => {
                let channel = &self.channels[actor.channel as usize];
                let (room, is_private) = (Some(channel.room.id), channel.private.is_some());
                let answer = Answer { nonce: nonce.as_deref(), kind, room };
                if is_private && command == RoomCommand::Leave {
                    let (how, by, banned_ms) = (Departure::Left, None, 0);
                    let act = None;
                    let going = Going { user: self.acting_user(actor), how, by, banned_ms, act };
                    let asked = Some((actor.conn, answer));
                    self.go_from_private(now, actor.channel, going, asked);
                    return;
                }
                let last = self.room_bytes(&[
                    RoomEvent::Done { answer, message: None },
                    RoomEvent::Closed { how: Departure::Left, by: None, until_ms: None },
                ]);
                let member = *self.member_mut(actor);
                return self.take_seat(now, actor.channel, actor.participant, member, last);
            }
        };
        let room = Some(self.channels[actor.channel as usize].room.id);
        let answer = Answer { nonce: nonce.as_deref(), kind, room };
        let event = match outcome {
            Ok(Outcome::Silent) => return,
            Ok(Outcome::Kept(Some(ticket))) => {
                return self.awaits_act(ticket, Asker { conn: actor.conn, nonce, kind });
            }
            Ok(Outcome::Kept(None)) => RoomEvent::Done { answer, message: None },
            Ok(Outcome::Done(message)) => RoomEvent::Done { answer, message },
            Ok(Outcome::Said(message, sent_ms)) => RoomEvent::Accepted { answer, message, sent_ms },
            Err(fault) => RoomEvent::Refused { answer, fault },
        };
        self.answer(actor, &[Event::Room(event)]);
    }

    pub(super) fn acting_user(&self, actor: Actor) -> UserId {
        self.channels[actor.channel as usize].roster[actor.participant].profile.user
    }

    pub(super) fn number_of(&self, actor: Actor) -> UserNumber {
        let roster = &self.channels[actor.channel as usize].roster;
        self.config.number_key.user(&roster[actor.participant].profile)
    }

    /// Whether somebody may post now.
    pub(super) fn may_post(&self, now: Now, actor: Actor) -> Result<(), RoomFault> {
        let channel = &self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        if !channel.may_post(user) {
            return Err(RoomFault::Denied);
        }
        self.may_be_heard(now, actor)
    }

    /// Whether somebody is not muted.
    fn may_be_heard(&self, now: Now, actor: Actor) -> Result<(), RoomFault> {
        let channel = &self.channels[actor.channel as usize];
        match self.muted_for(now, channel, actor.participant) {
            Some(seconds) => Err(RoomFault::Muted(seconds * 1_000)),
            None => Ok(()),
        }
    }

    /// Whether a text is short enough for a room.
    fn fits(&self, idx: u32, text: &RoomText) -> Result<(), RoomFault> {
        let max = self.channels[idx as usize].text_length_max();
        if crate::utf16_len(text.as_str()) > max { Err(RoomFault::TooLong) } else { Ok(()) }
    }

    fn room_say(
        &mut self,
        now: Now,
        actor: Actor,
        words: Words,
        (nonce, kind): (Option<&str>, u8),
    ) -> Result<Outcome, RoomFault> {
        let Words { text, reply_id, action, attachments } = words;
        let user = self.acting_user(actor);
        let room = &self.channels[actor.channel as usize].room;
        if let Some((id, sent_ms)) = nonce.and_then(|nonce| room.said(user, nonce, now.mono_us)) {
            return Ok(Outcome::Said(id, sent_ms));
        }
        self.may_post(now, actor)?;
        self.fits(actor.channel, &text)?;
        let reply_to = reply_id.and_then(|id| MessageRef::parse(&format!("{:08x}", id.short())));
        let text = ChatText::of_room(text);
        let digits = self.channels[actor.channel as usize].roster[actor.participant].digits;
        let said_with = nonce.map(Into::into);
        let saying =
            Saying { text, reply_to, reply_id, action, digits, nonce: said_with, attachments };
        let roster = &self.channels[actor.channel as usize].roster;
        let by = Profile::clone(&roster[actor.participant].profile);
        let private = self.channels[actor.channel as usize].private.as_deref();
        if let Some(to) = private.and_then(Private::at_another_door) {
            return self.say_to_other_door(now, actor, (by, to), saying, kind);
        }
        self.spend_room_rate(now, actor.channel)?;
        let (id, sent_ms) = self.say(now, actor.channel, by, saying);
        if let Some(nonce) = nonce {
            let room = &mut self.channels[actor.channel as usize].room;
            room.remember_nonce(user, nonce, (id, sent_ms), now.mono_us);
        }
        self.summon_other(now, actor.channel);
        Ok(Outcome::Said(id, sent_ms))
    }

    /// Counts a message that is about to be said in a room against what everybody may say there.
    pub(super) fn spend_room_rate(&mut self, now: Now, idx: u32) -> Result<(), RoomFault> {
        let rate = self.config.rates.room;
        let said = &mut self.channels[idx as usize].room.said_lately;
        if said.take(rate, now.mono_us, 1) {
            return Ok(());
        }
        let wait_us = said.ready_at_us(rate).saturating_sub(now.mono_us);
        self.stats.limit(Limit::RoomRate);
        Err(RoomFault::RoomTooFast(
            u32::try_from(wait_us.div_ceil(1_000)).unwrap_or(u32::MAX).max(1),
        ))
    }

    /// Says something to everyone in a channel of this shard, and keeps it.
    pub(super) fn say(
        &mut self,
        now: Now,
        idx: u32,
        by: Profile,
        saying: Saying,
    ) -> (MessageId, u64) {
        let id = self.next_message(now);
        let channel = &mut self.channels[idx as usize];
        let sent_ms = channel.room.last_ms.max(now.wall_ms);
        channel.room.last_ms = sent_ms;
        let seq = channel.room.next_seq();
        let Saying { text, reply_to, reply_id, action, digits, nonce, attachments } = saying;
        if !attachments.is_empty() {
            let uploads = attachments.iter().map(|attachment| attachment.id).collect();
            let news = AttachmentNews::Shown { message: id, uploads };
            self.outputs.push_back(Output::Attachments(news));
        }
        let channel = &mut self.channels[idx as usize];
        let reply_id = reply_id.or_else(|| {
            let short = u32::from_str_radix(reply_to.as_ref()?.as_str(), 16).ok()?;
            channel.history.iter().rev().find(|said| said.id.short() == short).map(|said| said.id)
        });
        let said = ChatMessage::new(id, sent_ms, by, text);
        let message = ChatMessage {
            seq,
            reply_to,
            reply_id,
            is_action: action,
            digits,
            nonce,
            attachments,
            ..said
        };
        let room = channel.room.id;
        self.broadcast(idx, None, Class::Notes, Event::Chat(&message));
        let event = Event::Room(RoomEvent::Message { room, message: &message });
        self.broadcast(idx, None, Class::Notes, event);
        let ring = self.config.history_kept();
        self.keep_message(idx, &message, false);
        let channel = &mut self.channels[idx as usize];
        channel.remember(message, ring);
        channel.room.beat.count();
        if !channel.room.beat.listed && channel.formats() & 1 << crate::Format::QUIC.0 != 0 {
            channel.room.beat.listed = true;
            self.beat_watch.push((idx, channel.serial));
            if !self.beat_armed {
                self.beat_armed = true;
                self.arm(now.mono_us + BEAT_US, Timer::Beat);
            }
        }
        (id, sent_ms)
    }

    /// A number for a message, which no message had before, also before a restart.
    pub(super) fn next_message(&mut self, now: Now) -> MessageId {
        if self.message_count == 0 {
            self.message_count = first_count(now.wall_ms);
        }
        self.message_count += 1;
        MessageId::new(self.id, self.message_count)
    }

    /// Numbers no message like one that was kept: a server that starts twice within a second, or whose clock was put
    /// back, would.
    pub(super) fn pass_over_number(&mut self, now: Now, id: MessageId) {
        if let Some(count) = id.count_of(self.id) {
            self.message_count = self.message_count.max(first_count(now.wall_ms)).max(count);
        }
    }

    pub(super) fn tell_room(&mut self, idx: u32, by: Option<Actor>, event: RoomEvent<'_>) {
        self.broadcast(idx, by, Class::Prompt, Event::Room(event));
    }

    /// Where a message is in the ring of a room.
    fn find_message(&self, idx: u32, id: MessageId) -> Result<usize, RoomFault> {
        let history = &self.channels[idx as usize].history;
        let found = history.iter().rposition(|message| message.id == id && !message.deleted);
        found.ok_or(RoomFault::NotFound)
    }

    fn edit(
        &mut self,
        now: Now,
        actor: Actor,
        id: MessageId,
        text: RoomText,
    ) -> Result<Outcome, RoomFault> {
        let (idx, user, by) = (actor.channel, self.acting_user(actor), self.number_of(actor));
        let at = self.find_message(idx, id)?;
        if self.channels[idx as usize].history[at].by.user != user {
            return Err(RoomFault::Denied);
        }
        self.may_post(now, actor)?;
        self.fits(idx, &text)?;
        let channel = &mut self.channels[idx as usize];
        let message = &mut channel.history[at];
        if message.text.as_str() == text.as_str() {
            return Ok(Outcome::Done(Some(id)));
        }
        message.text = ChatText::of_room(text);
        message.edited_ms = Some(now.wall_ms);
        let message = message.clone();
        let (room, seq) = (channel.room.id, channel.room.next_seq());
        self.keep_message(idx, &message, true);
        let text = message.text.as_str();
        let edited = RoomEvent::Edited { room, message: id, by, text, at_ms: now.wall_ms, seq };
        self.tell_room(idx, None, edited);
        let shown_as = self.next_message(now);
        let event = Event::Edited { message: &message, id: shown_as };
        self.broadcast(idx, None, Class::Prompt, event);
        Ok(Outcome::Done(Some(id)))
    }

    fn delete(&mut self, now: Now, actor: Actor, id: MessageId) -> Result<Outcome, RoomFault> {
        let (idx, user, by) = (actor.channel, self.acting_user(actor), self.number_of(actor));
        let channel = &self.channels[idx as usize];
        let at = channel.history.iter().rposition(|message| message.id == id);
        let at = at.ok_or(RoomFault::NotFound)?;
        let author = channel.history[at].by.user;
        let (mine, theirs) = (channel.role(user), channel.role(author));
        if author != user && (mine < Role::Moderator || mine <= theirs) || mine == Role::Guest {
            return Err(RoomFault::Denied);
        }
        let channel = &mut self.channels[idx as usize];
        let message = &mut channel.history[at];
        if message.deleted {
            return Ok(Outcome::Done(Some(id)));
        }
        let before = message.clone();
        message.deleted = true;
        message.text = ChatText::nothing();
        message.reactions.clear();
        message.attachments.clear();
        let after = message.clone();
        let (room, seq) = (channel.room.id, channel.room.next_seq());
        self.keep_message(idx, &after, true);
        self.attachments_gone(&before);
        let deleted = RoomEvent::Deleted { room, message: id, by, at_ms: now.wall_ms, seq };
        self.tell_room(idx, None, deleted);
        self.broadcast(idx, None, Class::Prompt, Event::Deleted(&before));
        self.retell(now, idx);
        Ok(Outcome::Done(Some(id)))
    }

    /// Tells of the files of a message that is gone.
    fn attachments_gone(&mut self, message: &ChatMessage) {
        if message.attachments.is_empty() {
            return;
        }
        let uploads = message.attachments.iter().map(|attachment| attachment.id).collect();
        let news = AttachmentNews::Gone { message: message.id, uploads };
        self.outputs.push_back(Output::Attachments(news));
    }

    /// Shows the piano what was said once more, unless it was shown a moment ago: then in a moment.
    pub(super) fn retell(&mut self, now: Now, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        let serial = channel.serial;
        if now.mono_us < channel.room.retell_at_us {
            if !channel.room.retell_armed {
                channel.room.retell_armed = true;
                let at = channel.room.retell_at_us;
                self.arm(at, Timer::Retell { channel: idx, serial });
            }
            return;
        }
        channel.room.retell_armed = false;
        channel.room.retell_at_us = now.mono_us + RETELL_US;
        let history = std::mem::take(&mut channel.history);
        self.broadcast(idx, None, Class::Prompt, Event::Retold(&history));
        self.channels[idx as usize].history = history;
    }

    fn react(
        &mut self,
        now: Now,
        actor: Actor,
        id: MessageId,
        emoji: &Emoji,
    ) -> Result<Outcome, RoomFault> {
        let (idx, user) = (actor.channel, self.number_of(actor));
        self.may_react(now, actor)?;
        let at = self.find_message(idx, id)?;
        let channel = &mut self.channels[idx as usize];
        let reactions = &mut channel.history[at].reactions;
        let n_emoji = reactions.len();
        match reactions.iter_mut().find(|reaction| reaction.emoji == *emoji) {
            Some(reaction) if reaction.users.contains(&user) => return Ok(Outcome::Done(Some(id))),
            Some(reaction) if reaction.users.len() >= REACTIONS_MAX => {
                return Err(RoomFault::Limit);
            }
            Some(reaction) => reaction.users.push(user),
            None if n_emoji >= EMOJI_MAX => return Err(RoomFault::Limit),
            None => reactions.push(Reaction { emoji: emoji.clone(), users: vec![user] }),
        }
        self.tell_reaction(idx, at, user, emoji, true);
        Ok(Outcome::Done(Some(id)))
    }

    fn unreact(
        &mut self,
        now: Now,
        actor: Actor,
        id: MessageId,
        emoji: &Emoji,
        of: Option<UserNumber>,
    ) -> Result<Outcome, RoomFault> {
        let (idx, me) = (actor.channel, self.number_of(actor));
        let user = of.unwrap_or(me);
        let at = self.find_message(idx, id)?;
        if user == me {
            self.may_react(now, actor)?;
        } else {
            let channel = &self.channels[idx as usize];
            let theirs = channel.find_number(self.config.number_key, user);
            let theirs =
                theirs.map_or(Role::Member, |p| channel.role(channel.roster[p].profile.user));
            self.outranks(actor, Role::Moderator, theirs)?;
        }
        let reactions = &mut self.channels[idx as usize].history[at].reactions;
        let place = reactions.iter().position(|reaction| reaction.emoji == *emoji);
        let held = place.and_then(|place| {
            let users = &mut reactions[place].users;
            let user = users.iter().position(|&other| other == user)?;
            users.remove(user);
            Some(place)
        });
        if let Some(place) = held {
            if reactions[place].users.is_empty() {
                reactions.remove(place);
            }
            self.tell_reaction(idx, at, user, emoji, false);
        }
        Ok(Outcome::Done(Some(id)))
    }

    /// Members may react unless they are muted; guests never.
    fn may_react(&self, now: Now, actor: Actor) -> Result<(), RoomFault> {
        let channel = &self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        if channel.role(user) == Role::Guest {
            return Err(RoomFault::Denied);
        }
        self.may_be_heard(now, actor)
    }

    /// Keeps and tells a change of who reacted to the message at `at` of the ring.
    fn tell_reaction(&mut self, idx: u32, at: usize, user: UserNumber, emoji: &Emoji, added: bool) {
        let changed = self.channels[idx as usize].history[at].clone();
        let message = changed.id;
        self.keep_message(idx, &changed, true);
        let room = &mut self.channels[idx as usize].room;
        let (seq, room) = (room.next_seq(), room.id);
        let emoji = emoji.as_str();
        let event = RoomEvent::Reaction { room, message, user, emoji, added, seq };
        self.tell_room(idx, None, event);
    }

    fn typing(&mut self, actor: Actor, on: bool) {
        let channel = &self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        if !channel.may_post(user) || channel.roster.len() > TYPING_MEMBERS_MAX {
            return;
        }
        let event = RoomEvent::Typing { room: channel.room.id, user: self.number_of(actor), on };
        self.tell_room(actor.channel, Some(actor), event);
    }

    // What happens in channels anyway, as people in rooms are told of it.

    /// Somebody has come.
    pub(super) fn tell_joined(&mut self, now: Now, idx: u32, participant: u32) {
        let channel = &mut self.channels[idx as usize];
        let (seq, room) = (channel.room.next_seq(), channel.room.id);
        if !self.has_seats(idx) {
            return;
        }
        let channel = &self.channels[idx as usize];
        let profile = channel.roster[participant].profile.clone();
        let view = crate::ParticipantView {
            profile: &profile,
            position: crate::Position::OFF_SCREEN,
            digits: 0,
        };
        let who = crate::Occupant { view, role: channel.role(profile.user), present: true };
        self.tell_room(idx, None, RoomEvent::Joined { room, who, at_ms: now.wall_ms, seq });
    }

    /// Somebody has left, as [`Shard::departure`] says.
    pub(super) fn tell_left(&mut self, now: Now, idx: u32, profile: &Profile) {
        let room = &mut self.channels[idx as usize].room;
        let (seq, room) = (room.next_seq(), room.id);
        let (user, how) = (self.config.number_key.user(profile), self.departure);
        self.tell_room(idx, None, RoomEvent::Left { room, user, how, at_ms: now.wall_ms, seq });
    }

    /// Somebody is called otherwise, or may do other things.
    pub(super) fn tell_updated(&mut self, idx: u32, user: UserId, by: Option<UserNumber>) {
        let channel = &mut self.channels[idx as usize];
        let (seq, room) = (channel.room.next_seq(), channel.room.id);
        if !self.has_seats(idx) {
            return;
        }
        let now = self.now;
        let channel = &self.channels[idx as usize];
        let Some(who) = channel.occupant(user) else { return };
        let (profile, role, present) = (who.view.profile.clone(), who.role, who.present);
        let participant = channel.roster.find(user);
        let muted_s = participant.and_then(|p| self.muted_for(now, channel, p));
        let view = crate::ParticipantView {
            profile: &profile,
            position: crate::Position::OFF_SCREEN,
            digits: 0,
        };
        let who = crate::Occupant { view, role, present };
        let muted_until_ms = muted_s.map(|seconds| now.wall_ms + seconds * 1_000);
        let at_ms = now.wall_ms;
        let event = RoomEvent::UserUpdated { room, who, by, muted_until_ms, at_ms, seq };
        self.tell_room(idx, None, event);
    }

    pub(super) fn tell_changed_room(&mut self, idx: u32, by: Option<UserNumber>) {
        let channel = &mut self.channels[idx as usize];
        let seq = channel.room.next_seq();
        let (at_ms, view) = (self.now.wall_ms, channel.room_view());
        let name = Box::<str>::from(view.name);
        let topic = view.topic.map(Box::<str>::from);
        let view = crate::RoomView { name: &name, topic: topic.as_deref(), ..view };
        self.tell_room(idx, None, RoomEvent::Updated { view, by, at_ms, seq });
    }

    /// Tells of what has changed of a channel since it was told last: owner, visibility, chat.
    pub(super) fn tell_changes(&mut self, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        let now_told = channel.now_told();
        let before = std::mem::replace(&mut channel.room.told, now_told);
        if before == now_told {
            return;
        }
        if before.owner != now_told.owner {
            for user in [before.owner, now_told.owner].into_iter().flatten() {
                if self.channels[idx as usize].roster.find(user).is_some() {
                    self.tell_updated(idx, user, None);
                }
            }
        }
        if (before.visible, before.chat) != (now_told.visible, now_told.chat) {
            self.tell_changed_room(idx, None);
        }
    }

    pub(super) fn has_seats(&self, idx: u32) -> bool {
        self.channels[idx as usize].formats() & 1 << crate::Format::QUIC.0 != 0
    }

    /// Whether a member is a session's seat.
    pub(super) fn is_seat(&self, member: Member) -> bool {
        self.format_at(member.at) == crate::Format::QUIC
    }

    /// Takes a member's seat away because somebody ordered it, with the words for its session.
    pub(super) fn take_seat_away(
        &mut self,
        now: Now,
        idx: u32,
        participant: u32,
        conn: ConnId,
        by: Option<UserNumber>,
        until_ms: Option<u64>,
    ) {
        let how = self.departure;
        let last = self.room_bytes(&[RoomEvent::Closed { how, by, until_ms }]);
        let members = &self.channels[idx as usize].roster[participant].members;
        let member = members.iter().find(|member| member.conn == conn);
        let member = *member.expect("whoever is removed is a member");
        self.take_seat(now, idx, participant, member, last);
    }

    /// Once a second: which rooms have become busy, and which are quiet again.
    pub(super) fn look_at_beats(&mut self, now: Now) {
        self.beat_armed = false;
        let busy = self.config.busy;
        for (idx, serial) in std::mem::take(&mut self.beat_watch) {
            let Some(channel) = self.channels.get_mut(idx as usize).filter(|c| c.serial == serial)
            else {
                continue;
            };
            let turn = channel.room.beat.second(busy);
            if turn == Turn::Still {
                channel.room.beat.listed = false;
                continue;
            }
            let first_seq = channel.room.seq + 1;
            self.beat_watch.push((idx, serial));
            if turn != Turn::Same {
                let on = turn == Turn::Busy;
                self.tell_room(idx, None, RoomEvent::Busy { on, first_seq });
            }
        }
        if !self.beat_watch.is_empty() {
            self.beat_armed = true;
            self.arm(now.mono_us + BEAT_US, Timer::Beat);
        }
    }
}
