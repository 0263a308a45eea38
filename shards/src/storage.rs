//! What the core asks to be kept, and what it is answered: plain data. Where and how it is kept, the core does not
//! know, and it never waits: questions pause those who depend on the answer, nobody else.

use crate::{
    ChannelName, ChatMessage, Invitation, MessageId, Profile, Role, RoomId, RoomMember, Settings,
    UserId,
};
use serde::{Deserialize, Serialize};

/// One thing to keep, or to look up.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreRequest {
    /// Who a user was. Answered by [`StoreReply::User`].
    LoadUser {
        /// Whose record.
        user: UserId,
    },
    /// What a channel was. Answered by [`StoreReply::Channel`].
    LoadChannel {
        /// Which.
        channel: ChannelName,
        /// How many of the last messages.
        history: u32,
    },
    /// What the direct or group room of a number was. Answered by [`StoreReply::Room`].
    LoadRoom {
        /// Which.
        room: RoomId,
        /// How many of the last messages.
        history: u32,
    },
    /// A part of what was said in a channel. Answered by [`StoreReply::Messages`].
    LoadMessages {
        /// Names it in the answer.
        ticket: u64,
        /// Where.
        channel: ChannelName,
        /// Which part.
        page: Page,
    },
    /// A user's record as it is now.
    SaveUser {
        /// The record.
        profile: Box<Profile>,
        /// When, milliseconds since 1970.
        seen_ms: u64,
    },
    /// A user came for the first time, or went.
    SeeUser {
        /// Who.
        user: UserId,
        /// When the user was first seen, milliseconds since 1970.
        first_ms: u64,
        /// When last.
        last_ms: u64,
    },
    /// A channel's settings and crown as they are now. It is kept from the first of these on.
    SaveChannel {
        /// Which.
        channel: ChannelName,
        /// Its settings.
        settings: Box<Settings>,
        /// Who wears the crown, or did last; lobbies have none.
        crown: Option<UserId>,
    },
    /// What a channel that is kept is as a room.
    SaveRoom {
        /// Which.
        channel: ChannelName,
        /// Its number, when it is a direct or group room.
        number: Option<RoomId>,
        /// What it is.
        room: Box<StoredRoom>,
    },
    /// How somebody stands to a direct or group room that is kept.
    SavePerson {
        /// Which room.
        channel: ChannelName,
        /// Who.
        user: UserId,
        /// How; `None` for one who has nothing to do with it any more.
        person: Option<Box<RoomMember>>,
    },
    /// A channel that is kept has ended, because nobody was there.
    EndChannel {
        /// Which.
        channel: ChannelName,
        /// When, milliseconds since 1970.
        at_ms: u64,
    },
    /// Something was said in a channel that is kept.
    SaveMessage {
        /// Where.
        channel: ChannelName,
        /// The message's number: unique in its channel, restarts included.
        number: u64,
        /// What.
        message: Box<ChatMessage>,
        /// Whether it was said before and has changed: where it is not kept any more, it is not kept anew.
        again: bool,
    },
    /// A channel's chat was cleared.
    ClearMessages {
        /// Where.
        channel: ChannelName,
    },
    /// A channel's moderator acted. Answered by [`StoreReply::Kept`] once it is certain to last.
    Moderate {
        /// Names it in the answer.
        ticket: u64,
        /// What was done.
        act: Box<ModerationAct>,
    },
}

/// A part of what was said in a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// Where it begins.
    pub from: PageFrom,
    /// At most so many messages.
    pub limit: u32,
    /// Those that were there when the room began to count.
    pub loaded: Option<Loaded>,
}

/// Where a part begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageFrom {
    /// At the last message, backwards.
    End,
    /// Right before a message, backwards.
    Before(MessageId),
    /// Behind this number of the room, forwards.
    After(u64),
}

/// What a room found when it began to count anew: messages that it numbered one by one. What was kept before them has
/// no number any more, and what is kept behind them has its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The last of them.
    pub last: MessageId,
    /// Its number; 0 when the room had begun to count before it found them.
    pub seq: u64,
    /// How many of them are numbered, the last included; 0 as well then.
    pub count: u64,
}

/// A part of what was said, oldest first.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct StoredPage {
    /// The messages, each with its number in the room, or 0.
    pub messages: Vec<ChatMessage>,
    /// Whether there are more in the direction of the question.
    pub more: bool,
}

/// What the moderator of a channel did.
#[derive(Clone, PartialEq, Debug)]
pub struct ModerationAct {
    /// Where.
    pub channel: ChannelName,
    /// What.
    pub kind: ModerationKind,
    /// Whom it hits.
    pub user: UserId,
    /// What that user is called.
    pub name: Box<str>,
    /// The same in lines.
    pub in_lines: Box<str>,
    /// Stands for the address of one who is at a terminal.
    pub origin: Option<u64>,
    /// Who did it; `None` for the operator, who keeps a log of their own acts.
    pub by: Option<UserId>,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// Kinds of moderation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModerationKind {
    /// Removed, and may come again.
    Kick,
    /// Removed, and may not come until then (milliseconds since 1970).
    Ban {
        /// When it ends.
        until_ms: u64,
    },
    /// May come again.
    Unban,
    /// Is not heard until then (milliseconds since 1970).
    Mute {
        /// When it ends.
        until_ms: u64,
    },
    /// Is heard again.
    Unmute,
}

/// An answer. One that cannot be had is an answer, too: nothing is known, nothing was kept.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreReply {
    /// Who a user was; `None` for one nobody has seen.
    User {
        /// Whose record.
        user: UserId,
        /// The record; its version counts for nothing.
        found: Option<Box<Profile>>,
        /// The direct and group rooms that the user is in, and those into which they are invited, oldest first.
        rooms: Vec<(RoomId, Option<Invitation>)>,
    },
    /// What a direct or group room was; `None` for one that is not kept.
    Room {
        /// Its number.
        room: RoomId,
        /// Its name, and what it was.
        found: Option<Box<(ChannelName, StoredChannel)>>,
        /// Whether it was looked for; otherwise nobody knows.
        looked: bool,
    },
    /// What a channel was; `None` for one that is not kept.
    Channel {
        /// Which.
        channel: ChannelName,
        /// What it was.
        found: Option<Box<StoredChannel>>,
    },
    /// A part of what was said; `None` when it cannot be read.
    Messages {
        /// Which question.
        ticket: u64,
        /// The part.
        found: Option<Box<StoredPage>>,
    },
    /// What became of a moderator's act.
    Kept {
        /// Which.
        ticket: u64,
        /// Whether it is certain to last.
        lasts: bool,
    },
}

/// A channel as it was.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct StoredChannel {
    /// Its settings, where they are known.
    pub settings: Option<Settings>,
    /// Who wore the crown last.
    pub crown: Option<UserId>,
    /// Who may not come in.
    pub bans: Vec<StoredBan>,
    /// Who is not heard, and until when (milliseconds since 1970).
    pub mutes: Vec<(UserId, u64)>,
    /// What was said last, oldest first.
    pub history: Vec<ChatMessage>,
    /// What it was as a room, if it was more than a channel.
    pub room: Option<StoredRoom>,
    /// Who belongs to it, when it is a direct or group room, or did.
    pub people: Vec<RoomMember>,
}

/// A ban of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBan {
    /// Whose.
    pub user: UserId,
    /// When it ends, milliseconds since 1970.
    pub until_ms: u64,
    /// Stands for the address that it holds for as well.
    pub origin: Option<u64>,
    /// What lines called them; empty when that is not known.
    pub in_lines: Box<str>,
}

/// What a channel is as a room, beyond its settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StoredRoom {
    /// What a group is called.
    pub title: Box<str>,
    /// What it is about.
    pub topic: Option<Box<str>>,
    /// The least role that may post.
    pub post_role: Role,
    /// The roles that were given in a channel; those of direct and group rooms are with their people.
    pub roles: Vec<(UserId, Role)>,
}

impl StoreRequest {
    /// What to answer when it cannot be asked at all; `None` where nobody waits.
    #[must_use]
    pub fn unanswered(&self) -> Option<StoreReply> {
        match self {
            StoreRequest::LoadUser { user } => {
                Some(StoreReply::User { user: *user, found: None, rooms: Vec::new() })
            }
            StoreRequest::LoadRoom { room, .. } => {
                Some(StoreReply::Room { room: *room, found: None, looked: false })
            }
            StoreRequest::LoadChannel { channel, .. } => {
                Some(StoreReply::Channel { channel: channel.clone(), found: None })
            }
            StoreRequest::LoadMessages { ticket, .. } => {
                Some(StoreReply::Messages { ticket: *ticket, found: None })
            }
            StoreRequest::Moderate { ticket, .. } => {
                Some(StoreReply::Kept { ticket: *ticket, lasts: false })
            }
            _ => None,
        }
    }
}

// What travels between threads is plain data.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<StoreRequest>();
    is_send::<StoreReply>();
};
