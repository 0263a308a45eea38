//! Rooms, messages and people as a person sees them. No I/O: events go in, what changed is there to be drawn.

use crate::wire::{Attachment, AuthOk, Event, Message, Reaction, RoomInit, UserInfo};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Entries that a room keeps; the oldest go.
pub const ENTRIES_MAX: usize = 5_000;
/// How long somebody is typing after having said so.
const TYPING: Duration = Duration::from_secs(6);

/// One line of a room's history.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The message with this number.
    Message(u64),
    /// Something that happened, and when, Unix milliseconds.
    Notice(u64, String),
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "fields are those of the page")]
pub struct Said {
    pub message_id: u64,
    pub sender: UserInfo,
    pub content: String,
    pub timestamp: u64,
    pub reply_to: Option<u64>,
    pub action: bool,
    pub edited: bool,
    pub deleted: bool,
    pub reactions: Vec<Reaction>,
    pub attachments: Vec<Attachment>,
}

impl From<&Message> for Said {
    fn from(message: &Message) -> Self {
        Self {
            message_id: message.message_id,
            sender: message.sender.clone(),
            content: message.content.clone(),
            timestamp: message.timestamp,
            reply_to: message.reply_to,
            action: message.kind == "action",
            edited: message.edited_at.is_some(),
            deleted: message.deleted,
            reactions: message.reactions.clone(),
            attachments: message.attachment_info.clone(),
        }
    }
}

/// A message of one's own that the server has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// By which its acknowledgement finds it.
    pub nonce: String,
    /// What it says.
    pub content: String,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
}

/// A room that one is in, or was in.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "fields are those of the page")]
pub struct Room {
    pub room_id: u64,
    pub name: String,
    pub room_type: String,
    pub topic: Option<String>,
    pub role: String,
    pub members: BTreeMap<u64, UserInfo>,
    pub member_count: u32,
    pub muted_until: Option<u64>,
    pub chat_enabled: bool,
    /// Whether one is in it.
    pub inside: bool,
    /// Whether its events come on a stream of their own.
    pub hot: bool,
    /// In the order in which they are shown.
    pub entries: VecDeque<Entry>,
    pub messages: HashMap<u64, Said>,
    pub pending: Vec<Pending>,
    /// Messages since it was looked at last.
    pub unread: usize,
    /// Whether one of them names the user.
    pub mentioned: bool,
    /// Whether the server may have older messages.
    pub more: bool,
    typing: HashMap<u64, Instant>,
}

impl Room {
    fn new(init: &RoomInit) -> Self {
        Self {
            room_id: init.room_id,
            name: init.name.clone(),
            room_type: init.room_type.clone(),
            topic: None,
            role: String::new(),
            members: BTreeMap::new(),
            member_count: 0,
            muted_until: None,
            chat_enabled: true,
            inside: true,
            hot: false,
            entries: VecDeque::new(),
            messages: HashMap::new(),
            pending: Vec::new(),
            unread: 0,
            mentioned: false,
            more: true,
            typing: HashMap::new(),
        }
    }

    /// The room as people name it: with a number sign where it is a channel.
    pub fn title(&self, me: u64) -> String {
        match self.room_type.as_str() {
            "channel" => format!("#{}", self.name),
            "direct" => {
                let other = self.members.values().find(|member| member.user_id != me);
                other.map_or_else(|| self.name.clone(), |other| format!("@{}", other.username))
            }
            _ => self.name.clone(),
        }
    }

    /// Those who are typing now, by name.
    pub fn typing(&self, now: Instant) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .typing
            .iter()
            .filter(|&(_, &since)| now.duration_since(since) < TYPING)
            .map(|(user, _)| self.name_of(*user))
            .collect();
        names.sort_unstable();
        names
    }

    /// A person's name, also of one who has left.
    pub fn name_of(&self, user_id: u64) -> &str {
        if let Some(member) = self.members.get(&user_id) {
            return &member.username;
        }
        let by_message = self.messages.values().find(|said| said.sender.user_id == user_id);
        by_message.map_or("somebody", |said| &said.sender.username)
    }

    /// The oldest message that is here.
    pub fn oldest(&self) -> Option<u64> {
        self.messages.keys().min().copied()
    }

    /// Puts a message where its number belongs; one that is there already is replaced.
    fn insert(&mut self, message: &Message) {
        let said = Said::from(message);
        let id = said.message_id;
        if self.messages.insert(id, said).is_some() {
            return;
        }
        // Almost always at the end or in front.
        let after = self.entries.iter().rposition(|entry| match entry {
            Entry::Message(other) => *other < id,
            Entry::Notice(at, _) => *at <= message.timestamp,
        });
        self.entries.insert(after.map_or(0, |at| at + 1), Entry::Message(id));
    }

    fn notice(&mut self, at: u64, text: String) {
        self.entries.push_back(Entry::Notice(at, text));
    }

    fn trim(&mut self) {
        while self.entries.len() > ENTRIES_MAX {
            if let Some(Entry::Message(id)) = self.entries.pop_front() {
                self.messages.remove(&id);
            }
            self.more = true;
        }
    }
}

/// All rooms of one person.
#[derive(Debug, Default)]
pub struct Model {
    /// Who one is, once that is known.
    pub me: Option<AuthOk>,
    /// By number.
    pub rooms: BTreeMap<u64, Room>,
    /// The last `pseq` of each person's presence.
    presence: HashMap<u64, u32>,
    /// Notices are shown for changes of the crown and of membership.
    pub show_joins: bool,
}

fn by(room: &Room, user: Option<u64>) -> String {
    user.map_or_else(String::new, |user| format!(" by {}", room.name_of(user)))
}

impl Model {
    /// A model that knows nothing yet.
    pub fn new() -> Self {
        Self { show_joins: true, ..Self::default() }
    }

    /// One's own number; 0 before the login.
    pub fn my_id(&self) -> u64 {
        self.me.as_ref().map_or(0, |me| me.user_id)
    }

    /// A session has begun: nobody is typing, and rooms are entered anew.
    pub fn begin(&mut self, me: AuthOk) {
        self.me = Some(me);
        self.presence.clear();
        for room in self.rooms.values_mut() {
            room.inside = false;
            room.hot = false;
            room.typing.clear();
        }
    }

    /// Takes one event. `clock` is the time of day, Unix milliseconds, for what has none of its own.
    pub fn apply(&mut self, event: &Event, now: Instant, clock: u64) {
        let me = self.my_id();
        match event {
            Event::RoomInit(init) => return self.enter(init, clock),
            Event::Online(p) | Event::Offline(p) | Event::Away(p) => {
                let last = self.presence.entry(p.user_id).or_default();
                if p.pseq <= *last {
                    return;
                }
                *last = p.pseq;
                let is = match event {
                    Event::Online(_) => "online",
                    Event::Away(_) => "away",
                    _ => "offline",
                };
                for room in self.rooms.values_mut() {
                    if let Some(member) = room.members.get_mut(&p.user_id) {
                        member.presence = Some(is.into());
                    }
                }
                return;
            }
            Event::MessageAck(ack) => {
                // The message itself comes on the room's stream, before or after.
                if let Some(room) = self.rooms.get_mut(&ack.room_id) {
                    room.pending.retain(|pending| pending.nonce != ack.nonce);
                }
                return;
            }
            Event::Fault(fault) => {
                let Some(nonce) = &fault.nonce else { return };
                for room in self.rooms.values_mut() {
                    if let Some(pending) = room.pending.iter_mut().find(|p| p.nonce == *nonce) {
                        pending.refused = Some(fault.message.clone());
                    }
                }
                return;
            }
            _ => {}
        }
        let room_id = match event {
            Event::Typing(e) | Event::StopTyping(e) => Some(e.room_id),
            Event::RoomPromoted(e) | Event::RoomDemoted(e) => Some(e.room_id),
            other => other.room_id(),
        };
        let show_joins = self.show_joins;
        let my_name = self.me.as_ref().map(|me| me.username.to_lowercase());
        let Some(room) = room_id.and_then(|id| self.rooms.get_mut(&id)) else { return };
        match event {
            Event::Message(message) => {
                room.insert(message);
                room.typing.remove(&message.sender.user_id);
                if message.sender.user_id == me {
                    room.pending.retain(|pending| message.nonce.as_ref() != Some(&pending.nonce));
                } else {
                    room.unread += 1;
                    let content = message.content.to_lowercase();
                    room.mentioned |= room.room_type == "direct"
                        || my_name.is_some_and(|name| content.contains(&name));
                }
            }
            Event::MessageEdited(edit) => {
                if let Some(said) = room.messages.get_mut(&edit.message_id) {
                    said.content.clone_from(&edit.content);
                    said.edited = true;
                }
            }
            Event::MessageDeleted(deletion) => {
                if let Some(said) = room.messages.get_mut(&deletion.message_id) {
                    said.deleted = true;
                    said.content.clear();
                    said.reactions.clear();
                    said.attachments.clear();
                }
            }
            Event::ReactionAdded(added) => {
                let Some(said) = room.messages.get_mut(&added.message_id) else { return };
                match said.reactions.iter_mut().find(|reaction| reaction.emoji == added.emoji) {
                    Some(reaction) => {
                        reaction.count += 1;
                        reaction.user_ids.push(added.user_id);
                    }
                    None => said.reactions.push(Reaction {
                        emoji: added.emoji.clone(),
                        count: 1,
                        user_ids: vec![added.user_id],
                    }),
                }
            }
            Event::ReactionRemoved(removed) => {
                let Some(said) = room.messages.get_mut(&removed.message_id) else { return };
                if let Some(reaction) = said.reactions.iter_mut().find(|r| r.emoji == removed.emoji)
                {
                    reaction.count = reaction.count.saturating_sub(1);
                    reaction.user_ids.retain(|user| *user != removed.user_id);
                }
                said.reactions.retain(|reaction| reaction.count > 0);
            }
            Event::UserJoined(joined) => {
                let new = room.members.insert(joined.user.user_id, joined.user.clone()).is_none();
                room.member_count += u32::from(new);
                if show_joins && new {
                    room.notice(joined.joined_at, format!("{} joined", joined.user.username));
                }
            }
            Event::UserLeft(left) => {
                let name = room.name_of(left.user_id).to_owned();
                room.member_count = room.member_count.saturating_sub(1);
                room.members.remove(&left.user_id);
                room.typing.remove(&left.user_id);
                let how = match left.reason.as_str() {
                    "kicked" => "was kicked",
                    "banned" => "was banned",
                    "disconnected" => "disconnected",
                    _ => "left",
                };
                if show_joins || matches!(left.reason.as_str(), "kicked" | "banned") {
                    room.notice(left.left_at, format!("{name} {how}"));
                }
            }
            Event::UserUpdated(updated) => {
                let before = room.members.insert(updated.user.user_id, updated.user.clone());
                let who = &updated.user.username;
                let by = by(room, updated.by);
                if let Some(before) = before {
                    if before.username != *who {
                        room.notice(
                            updated.at,
                            format!("{} is now known as {who}", before.username),
                        );
                    }
                    if before.role != updated.user.role {
                        let role = updated.user.role.as_deref().unwrap_or("member");
                        room.notice(updated.at, format!("{who} is now {role}{by}"));
                    }
                }
                if updated.user.user_id == me {
                    room.role = updated.user.role.clone().unwrap_or_else(|| room.role.clone());
                    room.muted_until = updated.muted_until;
                }
                if updated.muted_until.is_some_and(|until| until > clock) {
                    room.notice(updated.at, format!("{who} was muted{by}"));
                }
            }
            Event::RoomUpdated(updated) => {
                let by = by(room, updated.by);
                if updated.topic != room.topic {
                    let topic = updated.topic.as_deref().unwrap_or("none");
                    room.notice(updated.at, format!("the topic is now: {topic}{by}"));
                }
                if updated.chat_enabled != room.chat_enabled {
                    let is = if updated.chat_enabled { "on" } else { "off" };
                    room.notice(updated.at, format!("chat is now {is}{by}"));
                }
                room.name.clone_from(&updated.name);
                room.topic.clone_from(&updated.topic);
                room.chat_enabled = updated.chat_enabled;
            }
            Event::RoomHistory(history) => {
                for message in &history.messages {
                    room.insert(message);
                }
                room.more = history.more;
                return;
            }
            Event::RoomClose(closed) => {
                room.inside = false;
                room.hot = false;
                let text = match closed.reason.as_str() {
                    "left" => "you left".into(),
                    reason => format!("you are out: {reason}{}", by(room, closed.by)),
                };
                room.notice(clock, text);
            }
            Event::Typing(e) if e.user_id != me => {
                room.typing.insert(e.user_id, now);
            }
            Event::StopTyping(e) => {
                room.typing.remove(&e.user_id);
            }
            Event::RoomPromoted(_) => room.hot = true,
            Event::RoomDemoted(_) => room.hot = false,
            _ => {}
        }
        room.trim();
    }

    fn enter(&mut self, init: &RoomInit, clock: u64) {
        let me = self.my_id();
        let room = self.rooms.entry(init.room_id).or_insert_with(|| Room::new(init));
        let newest = room.messages.keys().max().copied();
        let oldest = init.recent_messages.first().map(|message| message.message_id);
        // After a long absence there may be a gap between what is here and what the room begins with.
        let gap = newest.zip(oldest).is_some_and(|(newest, oldest)| newest < oldest);
        if gap {
            room.entries.clear();
            room.messages.clear();
            room.more = true;
        }
        for message in &init.recent_messages {
            let new = newest.is_some_and(|newest| message.message_id > newest);
            room.unread += usize::from(new && message.sender.user_id != me);
            room.insert(message);
        }
        // A room that sends few has no more; one fetch tells.
        room.more |= init.recent_messages.len() >= 50;
        room.members = init.members.iter().map(|user| (user.user_id, user.clone())).collect();
        room.name.clone_from(&init.name);
        room.room_type.clone_from(&init.room_type);
        room.topic.clone_from(&init.topic);
        room.role.clone_from(&init.role);
        room.member_count =
            init.member_count.max(u32::try_from(init.members.len()).unwrap_or(u32::MAX));
        room.muted_until = init.muted_until;
        room.chat_enabled = init.chat_enabled;
        if !room.inside && newest.is_some() {
            room.notice(clock, "you are back".into());
        }
        room.inside = true;
        room.trim();
    }
}

#[cfg(test)]
mod tests;
