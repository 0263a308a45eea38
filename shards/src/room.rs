//! Rooms: channels as people see them who sit in several at once, with numbers, roles, edits and reactions.
//!
//! A room is a channel. What is here is what those doors need beyond it, as plain data: what their peers ask
//! ([`RoomCommand`]) and what they are told ([`RoomEvent`]). Numbers are at most 2^53 - 1, because JavaScript peers
//! hold no larger ones exactly.

use crate::{
    Attachment, ChannelName, ChatMessage, DoorKind, Invitation, ParticipantView, Profile, RoomKind,
    SettingsPatch, Tag, UserId, UserName, Whom,
};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::{fmt, hash::Hasher as _};

/// Keys the hashes that make numbers of names and ids. Kept, so that numbers survive a restart.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberKey(pub [u64; 2]);

impl fmt::Debug for NumberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberKey")
    }
}

impl NumberKey {
    /// 52 bits of the keyed hash of `bytes`; `context` keeps uses apart.
    fn hash(self, context: u8, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write_u8(context);
        hasher.write(bytes);
        hasher.finish() >> 12
    }

    /// The number of the channel of this name: 1 for the lobby, else never below 4096.
    #[must_use]
    pub fn room(self, name: &ChannelName) -> RoomId {
        if name.as_str() == crate::text::LOBBY {
            return RoomId::LOBBY;
        }
        let hash = self.hash(1, name.as_str().as_bytes());
        RoomId(if hash < RoomId::HASHED_MIN { hash + RoomId::HASHED_MIN } else { hash })
    }

    /// The number by which people in rooms know a user: the one of their account, or one made of their id.
    #[must_use]
    pub fn user(self, profile: &Profile) -> UserNumber {
        match profile.account {
            Some(account) => UserNumber(account.get()),
            None => self.stranger(profile.user),
        }
    }

    /// The number of a user without an account.
    #[must_use]
    pub fn stranger(self, user: UserId) -> UserNumber {
        UserNumber(1 << 52 | self.hash(2, &user.0))
    }
}

/// A room's number, the same after a restart and with any number of shards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RoomId(pub u64);

impl RoomId {
    /// The lobby.
    pub const LOBBY: RoomId = RoomId(1);
    /// Numbers made of names begin here.
    pub const HASHED_MIN: u64 = 4096;
}

/// A user's number: below 2^48 for accounts, from 2^52 on for everybody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct UserNumber(pub u64);

/// A message's number: never used twice, not even after a restart.
///
/// 8 bits shard, then 44 bits that count up from the seconds since 1970 times 4096 when the shard began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct MessageId(pub u64);

/// Bits of the number of a message or a file that count; above them is the shard.
const COUNT_BITS: u32 = 44;

/// Where a process that starts at this time (milliseconds since 1970) begins to count messages and files, so that none
/// has the number of one before.
#[must_use]
pub fn first_count(wall_ms: u64) -> u64 {
    wall_ms / 1_000 * 4_096
}

impl MessageId {
    /// The `count`th message that the shard numbers.
    #[must_use]
    pub fn new(shard: crate::ShardId, count: u64) -> Self {
        MessageId(u64::from(shard.0 as u8) << COUNT_BITS | MessageId(count).count())
    }

    /// What [`MessageId::new`] counted.
    #[must_use]
    pub fn count(self) -> u64 {
        self.0 & ((1 << COUNT_BITS) - 1)
    }

    /// How many messages the shard had numbered with this one, if it is one of the shard's.
    #[must_use]
    pub fn count_of(self, shard: crate::ShardId) -> Option<u64> {
        (MessageId::new(shard, self.count()) == self).then(|| self.count())
    }

    /// The last 32 bits, which are the message's id on the piano.
    #[must_use]
    pub fn short(self) -> u32 {
        self.0 as u32
    }
}

/// What somebody may do in a room. In order of rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Only reads.
    Guest,
    /// Everybody, unless said otherwise.
    Member,
    /// Removes people and messages of lower rank.
    Moderator,
    /// Bans, changes roles and the room as well.
    Admin,
    /// Holds the crown.
    Owner,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Guest => "guest",
            Role::Member => "member",
            Role::Moderator => "moderator",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// The inverse of [`Role::word`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Role::Guest, Role::Member, Role::Moderator, Role::Admin, Role::Owner]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

/// A text as somebody wrote it in a room: cleaned, with its line breaks and tabs, not empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoomText(pub(crate) Box<str>);

/// Why a text is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextFault {
    /// Nothing is left of it.
    Blank,
    /// It is too long.
    TooLong,
}

impl RoomText {
    /// Cleans a text of at most `length_max` UTF-16 code units.
    ///
    /// # Errors
    /// [`TextFault`].
    pub fn parse(text: &str, length_max: usize) -> Result<Self, TextFault> {
        let kept: String =
            text.chars().filter(|&c| matches!(c, '\n' | '\t') || !crate::is_forbidden(c)).collect();
        let text = kept.trim();
        match (text.is_empty(), crate::utf16_len(text) > length_max) {
            (true, _) => Err(TextFault::Blank),
            (_, true) => Err(TextFault::TooLong),
            _ => Ok(RoomText(text.into())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One emoji: 1 to 32 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Emoji(Box<str>);

impl Emoji {
    /// Takes 1 to 32 bytes; that they are one cluster of characters is for the door to know.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let valid = (1..=32).contains(&text.len())
            && !text.chars().any(crate::is_forbidden)
            && !text.chars().all(crate::is_invisible);
        valid.then(|| Emoji(text.into()))
    }

    /// The emoji.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who reacted to a message with what, in order of their first appearance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reaction {
    /// With what.
    pub emoji: Emoji,
    /// Who.
    pub users: Vec<UserNumber>,
}

/// A command that names a room, with what its answer is recognised by.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RoomRequest {
    /// Sent back with the answer.
    pub nonce: Option<Box<str>>,
    /// The door's own number of the command, sent back with the answer.
    pub kind: u8,
    /// What is asked.
    pub command: RoomCommand,
}

/// What somebody asks in a room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum RoomCommand {
    /// Says something.
    Say {
        /// What.
        text: RoomText,
        /// The message that this answers.
        reply_to: Option<MessageId>,
        /// Whether it is something done rather than said.
        action: bool,
        /// Files, which the door knows to be the speaker's and of this room.
        attachments: Vec<Attachment>,
    },
    /// Puts another text in place of an own message's.
    Edit {
        /// Which.
        message: MessageId,
        /// The new one.
        text: RoomText,
    },
    /// Empties a message.
    Delete {
        /// Which.
        message: MessageId,
    },
    /// Reacts to a message.
    React {
        /// Which.
        message: MessageId,
        /// With what.
        emoji: Emoji,
    },
    /// Takes a reaction back.
    Unreact {
        /// Of which message.
        message: MessageId,
        /// Which.
        emoji: Emoji,
        /// Whose, when it is not the own one.
        of: Option<UserNumber>,
    },
    /// Removes somebody from the room, who may come back.
    Kick {
        /// Whom.
        user: UserNumber,
        /// Why, in words.
        reason: Option<Box<str>>,
    },
    /// Removes somebody from the room for a time.
    Ban {
        /// Whom.
        user: UserNumber,
        /// For how long.
        ms: u64,
    },
    /// Lets somebody in again.
    Unban(Whom),
    /// Takes somebody's word for a time.
    Mute {
        /// Whose.
        user: UserNumber,
        /// For how long; 0 gives it back.
        ms: u64,
    },
    /// Changes somebody's role.
    SetRole {
        /// Whose.
        user: UserNumber,
        /// To which.
        role: Role,
    },
    /// Changes the room.
    Update {
        /// What a group is called.
        title: Option<Box<str>>,
        /// Its topic; empty takes it away.
        topic: Option<Box<str>>,
        /// Who may post: members, or moderators and above.
        post_role: Option<Role>,
        /// Its settings.
        set: Box<SettingsPatch>,
    },
    /// Asks for messages from before.
    History {
        /// Those before this one.
        before: Option<MessageId>,
        /// Those after this number.
        after: Option<u64>,
        /// At most so many.
        limit: u32,
    },
    /// Is writing, or not any more.
    Typing(bool),
    /// Asks whether it may post, ahead of a file. Answered by [`RoomEvent::MayPost`], which names the ticket.
    MayPost {
        /// The session's own number of the question.
        ticket: u64,
    },
    /// Has received or read everything up to a message.
    Receipt {
        /// Which.
        message: MessageId,
        /// Whether it was read, not only received.
        read: bool,
    },
    /// Invites somebody into a group.
    Invite(Whom),
    /// Leaves the room; a group or direct room with all of the user's connections.
    Leave,
    /// Takes this seat away, and no other.
    Unseat,
    /// Ends a group for everybody.
    Dissolve,
}

/// A wish to sit in a room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SeatRequest {
    /// Which room.
    pub room: RoomWish,
    /// Sent back with the answer.
    pub nonce: Option<Box<str>>,
    /// The door's own number of the command, sent back with the answer; `None` when nobody asked.
    pub kind: Option<u8>,
    /// Full lobbies passed on the way.
    pub(crate) overflows: u16,
    /// What the name of a new group is made of.
    pub(crate) drawn: [u8; 12],
}

impl SeatRequest {
    /// A wish that has not been anywhere yet.
    #[must_use]
    pub fn new(room: RoomWish, nonce: Option<Box<str>>, kind: Option<u8>) -> Self {
        SeatRequest { room, nonce, kind, overflows: 0, drawn: [0; 12] }
    }
}

/// Which room somebody wants to sit in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum RoomWish {
    /// The channel of this name, which is made if need be; a full lobby leads to the next.
    Named {
        /// The name.
        name: ChannelName,
        /// Its topic, if it has to be made here.
        topic: Option<Box<str>>,
        /// Whether it has to be new.
        new: bool,
        /// Who is told of it, if it is made here.
        invites: Box<[Whom]>,
    },
    /// The direct room with somebody, which is made if need be.
    Direct(Whom),
    /// The same, when it is known who that is.
    With(Box<Profile>),
    /// A new group.
    Group {
        /// What it is called.
        title: Box<str>,
        /// What it is about.
        topic: Option<Box<str>>,
        /// Who is invited.
        invites: Box<[Whom]>,
    },
    /// The room of this number, which has to be there.
    Numbered(RoomId),
}

impl RoomWish {
    /// The channel of this name.
    #[must_use]
    pub fn named(name: ChannelName) -> Self {
        RoomWish::Named { name, topic: None, new: false, invites: Box::default() }
    }
}

/// Why something in a room was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RoomFault {
    /// The role is too low, or chat is switched off.
    Denied,
    /// There is no such room, message or user, as far as the asker may know.
    NotFound,
    /// The asker is too fast; when it may try again, milliseconds.
    TooFast(u32),
    /// All people of the room together are; when the asker may try again, milliseconds.
    RoomTooFast(u32),
    /// The value means nothing here.
    Invalid,
    /// The channel's limit is reached.
    Full,
    /// The name is taken, by this room.
    Exists(RoomId),
    /// Somebody else is called so.
    NameTaken,
    /// The asker is banned for so many more milliseconds.
    Banned(u64),
    /// The asker is muted for so many more milliseconds.
    Muted(u64),
    /// A limit is reached.
    Limit,
    /// The text is too long for the room.
    TooLong,
    /// What was kept cannot be looked up at the moment.
    Unavailable,
    /// It was done, and holds until the server ends: it could not be written down.
    NotKept,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// As in the request.
    pub nonce: Option<&'a str>,
    /// As in the request.
    pub kind: u8,
    /// The room, where it is known.
    pub room: Option<RoomId>,
}

/// How a room is set up, as its members are told.
#[derive(Clone, Copy, Debug)]
pub struct RoomView<'a> {
    /// Its number.
    pub room: RoomId,
    /// What it is.
    pub kind: RoomKind,
    /// What it is called.
    pub name: &'a str,
    /// What it is about.
    pub topic: Option<&'a str>,
    /// Who may post.
    pub post_role: Role,
    /// Whether it is listed.
    pub visible: bool,
    /// Whether chat is on.
    pub chat: bool,
    /// Most UTF-16 code units of a text.
    pub text_length_max: usize,
}

/// Somebody in a room.
#[derive(Clone, Copy)]
pub struct Occupant<'a> {
    /// Who.
    pub view: ParticipantView<'a>,
    /// Their role.
    pub role: Role,
    /// Whether they are connected.
    pub present: bool,
}

/// Something that happens in a room, or an answer. Those with `seq` are numbered by the room, without a gap.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "each field is that of the frame of the same name")]
pub enum RoomEvent<'a> {
    /// The first thing that a member is told.
    Init {
        view: RoomView<'a>,
        seq: u64,
        role: Role,
        muted_until_ms: Option<u64>,
        members: &'a [Occupant<'a>],
        member_count: u32,
        messages: &'a [&'a ChatMessage],
    },
    Message {
        room: RoomId,
        message: &'a ChatMessage,
    },
    Edited {
        room: RoomId,
        message: MessageId,
        by: UserNumber,
        text: &'a str,
        at_ms: u64,
        seq: u64,
    },
    Deleted {
        room: RoomId,
        message: MessageId,
        by: UserNumber,
        at_ms: u64,
        seq: u64,
    },
    Reaction {
        room: RoomId,
        message: MessageId,
        user: UserNumber,
        emoji: &'a str,
        added: bool,
        seq: u64,
    },
    Joined {
        room: RoomId,
        who: Occupant<'a>,
        at_ms: u64,
        seq: u64,
    },
    Left {
        room: RoomId,
        user: UserNumber,
        how: Departure,
        at_ms: u64,
        seq: u64,
    },
    UserUpdated {
        room: RoomId,
        who: Occupant<'a>,
        by: Option<UserNumber>,
        muted_until_ms: Option<u64>,
        at_ms: u64,
        seq: u64,
    },
    Updated {
        view: RoomView<'a>,
        by: Option<UserNumber>,
        at_ms: u64,
        seq: u64,
    },
    /// The answer to a question for messages, oldest first.
    History {
        room: RoomId,
        messages: &'a [&'a ChatMessage],
        /// Whether it was asked for what comes behind a number, so that the first of them matter most.
        forwards: bool,
        more: bool,
        nonce: Option<&'a str>,
    },
    /// Somebody is writing, or not any more.
    Typing {
        room: RoomId,
        user: UserNumber,
        on: bool,
    },
    /// Somebody is there, or away. Of several that say so, the one with the highest number is right.
    Presence {
        user: UserNumber,
        away: bool,
        status: Option<&'a str>,
        number: u32,
        at_ms: u64,
    },
    /// It was done.
    Done {
        answer: Answer<'a>,
        message: Option<MessageId>,
    },
    /// It was said.
    Accepted {
        answer: Answer<'a>,
        message: MessageId,
        sent_ms: u64,
    },
    /// It was refused.
    Refused {
        answer: Answer<'a>,
        fault: RoomFault,
    },
    /// Whether somebody may post who asked.
    MayPost {
        answer: Answer<'a>,
        ticket: u64,
        fault: Option<RoomFault>,
    },
    /// Behind this the seat is gone.
    Closed {
        how: Departure,
        by: Option<UserNumber>,
        until_ms: Option<u64>,
    },
    /// The room became busy, or quiet again: what follows is numbered from `first_seq` on.
    Busy {
        on: bool,
        first_seq: u64,
    },
    /// Somebody has received or read everything up to this message.
    Receipt {
        room: RoomId,
        message: MessageId,
        user: UserNumber,
        read: bool,
        at_ms: u64,
    },
    /// To a session: somebody invites its user.
    Invited(&'a Invitation),
    /// To a session: its user belongs to a room, and so it sits there.
    Enters(RoomId),
    /// To a seat that was taken because its user belongs to this room: it is not to be had now, and may be later.
    Later(RoomId),
    /// To a session, ahead of its welcome: the rooms that its user belongs to.
    Belongs(&'a [RoomId]),
    /// The seat is there: what follows is the room's.
    Seated {
        room: RoomId,
        seq: u64,
    },
}

/// How somebody left a room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub enum Departure {
    /// By their own wish.
    #[default]
    Left,
    /// Their connection is gone.
    Disconnected,
    /// Somebody removed them.
    Kicked,
    /// Somebody removed them for a time.
    Banned,
    /// The room was closed.
    Deleted,
}

impl Departure {
    /// How somebody leaves who is kept out for so long; 0 for not at all.
    pub(crate) fn of_ban(ms: u64) -> Self {
        if ms > 0 { Departure::Banned } else { Departure::Kicked }
    }
}

/// What a door says of somebody who comes through it, in place of what is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Guise {
    /// Through which door.
    pub door: DoorKind,
    /// The number of their account.
    pub account: Option<std::num::NonZeroU64>,
    /// What they are called.
    pub name: UserName,
    /// Their label.
    pub tag: Option<Box<Tag>>,
    /// Whether nobody else may be this user meanwhile.
    pub alone: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: NumberKey = NumberKey([7, 9]);

    #[test]
    fn rooms_are_numbered_by_their_names() {
        let number = |name: &str| KEY.room(&ChannelName::parse(name).unwrap());
        assert_eq!(number("lobby"), RoomId::LOBBY);
        assert_eq!(number("garden"), number("garden"));
        for name in ["garden", "Garden", "lobby2", "test/awkward"] {
            assert!((RoomId::HASHED_MIN..1 << 53).contains(&number(name).0), "{name}");
        }
        assert_ne!(number("garden"), number("Garden"));
        let other = NumberKey([7, 10]).room(&ChannelName::parse("garden").unwrap());
        assert_ne!(number("garden"), other, "nobody outside can compute it");
    }

    #[test]
    fn strangers_and_accounts_are_never_mixed_up() {
        let number = KEY.stranger(UserId([3; 12])).0;
        assert!((1 << 52..1 << 53).contains(&number));
    }

    #[test]
    fn a_message_keeps_its_number_within_53_bits() {
        let id = MessageId::new(crate::ShardId(255), u64::MAX);
        assert!(id.0 < 1 << 53);
        assert_eq!(MessageId::new(crate::ShardId(1), 5).0, 1 << 44 | 5);
        assert_eq!(MessageId::new(crate::ShardId(1), 0x1_2345_6789).short(), 0x2345_6789);
    }

    #[test]
    fn room_text_keeps_line_breaks_and_tabs() {
        let text = RoomText::parse(" a\n\tb\u{7}\u{202e} ", 10).unwrap();
        assert_eq!(text.as_str(), "a\n\tb");
        assert_eq!(RoomText::parse(" \n\t ", 10), Err(TextFault::Blank));
        assert_eq!(RoomText::parse("🌹🌹", 3), Err(TextFault::TooLong));
        assert!(RoomText::parse("🌹🌹", 4).is_ok());
    }
}
