//! Events: what peers are told. A door turns them into bytes, once for each format in use.

use crate::{
    Attachment, ChannelKind, ChannelName, ChatText, Color, CustomBody, LineEvent, MessageId,
    MessageRef, Note, Position, QuotaPreset, Reaction, RoomEvent, Settings, Tag, UserId, UserName,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, num::NonZeroU64, sync::Arc};

/// How a connection wants its bytes. The core only compares and counts formats; doors give them meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Format(pub u8);

impl Format {
    /// Formats are numbered below this, at most 8: sets of them are one byte.
    pub const COUNT: usize = 7;
    /// Multiplayer Piano, JSON text frames.
    pub const MPP_TEXT: Format = Format(0);
    /// Multiplayer Piano, binary frames where they lose nothing.
    pub const MPP_QUICK: Format = Format(1);
    /// Line chat, lines that end with LF.
    pub const LINE: Format = Format(2);
    /// Line chat, lines that end with CR LF.
    pub const LINE_CRLF: Format = Format(3);
    /// Line chat without the lines that tell who joins and leaves.
    pub const LINE_QUIET: Format = Format(4);
    /// The same, with CR LF.
    pub const LINE_QUIET_CRLF: Format = Format(5);
    /// Frames of the QUIC protocol.
    pub const QUIC: Format = Format(6);

    /// The format's position in arrays of [`Format::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether this is one of the four of line chat.
    #[must_use]
    pub fn is_line(self) -> bool {
        (Format::LINE.0..=Format::LINE_QUIET_CRLF.0).contains(&self.0)
    }
}

/// Which door somebody came in by.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum DoorKind {
    /// Multiplayer Piano.
    #[default]
    Piano,
    /// Line chat.
    Line,
    /// QUIC.
    Quic,
}

/// From when on presence is numbered, seconds since 1970 (2020-01-01): 32 bits then last until 2156.
const PRESENCE_EPOCH_S: u64 = 1_577_836_800;

/// A user as everyone sees them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// Who.
    pub user: UserId,
    /// Counts changes, so that late news of an old one is recognised.
    pub version: u32,
    /// Where they came in. The name of one who came in by line chat is a nick.
    #[serde(default)]
    pub door: DoorKind,
    /// Whether they said that they are away.
    #[serde(default)]
    pub away: bool,
    /// `None` until the user chose one ("Anonymous").
    pub name: Option<UserName>,
    /// Their colour.
    pub color: Color,
    /// Their label.
    pub tag: Option<Box<Tag>>,
    /// When the user was first seen, milliseconds since 1970.
    pub first_seen_ms: u64,
    /// The number of the user's account, for those who have one.
    #[serde(default)]
    pub account: Option<NonZeroU64>,
    /// Until when what the user says is refused everywhere, milliseconds since 1970; 0 for not.
    #[serde(default)]
    pub muted_until_ms: u64,
    /// Rises with each change of whether they are there, also over restarts.
    #[serde(default)]
    pub presence_seq: u32,
    /// What few people have.
    #[serde(default)]
    pub details: Option<Box<Details>>,
}

/// What few people have.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Details {
    /// Where their picture is: an https address of at most 512 bytes.
    pub avatar: Option<Box<str>>,
    /// What their door called them when they chose another name, which they keep until it calls them otherwise.
    pub given_name: Option<UserName>,
    /// What they are about, at most 128 bytes.
    #[serde(skip)]
    pub status: Option<Box<str>>,
}

impl Profile {
    /// A user nobody has seen before.
    #[must_use]
    pub fn new(user: UserId, first_seen_ms: u64) -> Self {
        Profile {
            user,
            version: 0,
            door: DoorKind::Piano,
            away: false,
            name: None,
            color: user.default_color(),
            tag: None,
            first_seen_ms,
            account: None,
            muted_until_ms: 0,
            presence_seq: 0,
            details: None,
        }
    }

    /// Where their picture is.
    #[must_use]
    pub fn avatar(&self) -> Option<&str> {
        self.details.as_ref()?.avatar.as_deref()
    }

    /// What they are about.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.details.as_ref()?.status.as_deref()
    }

    /// Whether the name is one that only a single connection may have, which claims it where it is kept.
    #[must_use]
    pub fn has_own_name(&self) -> bool {
        match self.door {
            DoorKind::Line => true,
            DoorKind::Quic => self.account.is_none(),
            DoorKind::Piano => false,
        }
    }

    /// Whether they look the same as `other`, apart from whether they are there.
    #[must_use]
    pub(crate) fn looks_like(&self, other: &Profile) -> bool {
        self.name == other.name
            && self.color == other.color
            && self.tag == other.tag
            && (self.door, self.account) == (other.door, other.account)
            && self.muted_until_ms == other.muted_until_ms
            && self.avatar() == other.avatar()
    }

    /// Puts what the door said of the user, who looked like `before`, over what was known of them: everything but a
    /// name that they chose in place of the door's.
    pub(crate) fn keep_guise(&mut self, before: Profile) {
        let given = self.details.as_ref().and_then(|details| details.given_name.as_ref());
        let chosen = before.account.is_some() && given.is_some() && given == before.name.as_ref();
        (self.door, self.account, self.tag) = (before.door, before.account, before.tag);
        if !chosen {
            self.name = before.name;
            self.change_details(|details| details.given_name = None);
        }
    }

    /// Changes the details, which go when nothing is in them.
    pub(crate) fn change_details(&mut self, change: impl FnOnce(&mut Details)) {
        let mut details = self.details.take().unwrap_or_default();
        change(&mut details);
        self.details = (*details != Details::default()).then_some(details);
    }

    /// Says whether they are away, and what they are about; the number of the change is higher than any before.
    pub(crate) fn show_presence(&mut self, away: bool, status: Option<Box<str>>, wall_ms: u64) {
        self.away = away;
        self.change_details(|details| details.status = status);
        // Seconds, because a record that was forgotten does not know how far it had counted.
        let seconds = (wall_ms / 1_000).saturating_sub(PRESENCE_EPOCH_S);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.presence_seq = self.presence_seq.saturating_add(1).max(seconds);
    }

    /// Whether what the user says is refused everywhere.
    #[must_use]
    pub fn is_muted(&self, wall_ms: u64) -> bool {
        self.muted_until_ms > wall_ms
    }

    /// The name to show.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_ref().map_or("Anonymous", UserName::as_str)
    }
}

/// The crown of a channel.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Crown {
    /// The holder, or the last one while it lies.
    pub user: UserId,
    /// Whether `user` holds it now.
    pub held: bool,
    /// When it was taken or dropped, milliseconds since 1970.
    pub since_ms: u64,
    /// Where its way begins.
    pub start: Position,
    /// Where it lies or goes.
    pub end: Position,
}

/// What the channel list says of a channel.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// Its settings.
    pub settings: Settings,
    /// Participants, not connections.
    pub count: u32,
    /// Its crown; lobbies have none.
    pub crown: Option<Crown>,
    /// Who is banned there, sorted.
    pub banned: Arc<[UserId]>,
    /// What it is about.
    pub topic: Option<Box<str>>,
}

impl ChannelInfo {
    /// What its name makes it.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        self.name.kind()
    }
}

/// A participant as shown to others.
#[derive(Clone, Copy, Debug)]
pub struct ParticipantView<'a> {
    /// Who.
    pub profile: &'a Profile,
    /// Where their cursor is.
    pub position: Position,
    /// Digits of their handle in lines; 0 stands for the fewest.
    pub digits: u8,
}

/// Visits the participants of a channel, in the order in which they came.
pub trait Participants {
    /// Calls `visit` once for each.
    fn visit(&self, visit: &mut dyn FnMut(ParticipantView<'_>));
}

/// A channel as its members see it.
#[derive(Clone, Copy)]
pub struct ChannelView<'a> {
    /// Its name.
    pub name: &'a ChannelName,
    /// Its settings.
    pub settings: &'a Settings,
    /// Participants, not connections.
    pub count: u32,
    /// Its crown; lobbies have none.
    pub crown: Option<&'a Crown>,
    /// Who is there.
    pub participants: &'a dyn Participants,
}

/// Something said to a channel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Its number; the last 8 hex digits are its id on the piano.
    pub id: MessageId,
    /// Its number in its room.
    #[serde(default)]
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub sent_ms: u64,
    /// Who, as they were then.
    pub by: Profile,
    /// What.
    pub text: ChatText,
    /// The message that this answers.
    pub reply_to: Option<MessageRef>,
    /// The same by its number, where it is known.
    #[serde(default)]
    pub reply_id: Option<MessageId>,
    /// Whether the text is what they do, not what they say.
    #[serde(default)]
    pub is_action: bool,
    /// Digits of their handle in lines; 0 stands for the fewest.
    #[serde(default)]
    pub digits: u8,
    /// What its author recognises it by.
    #[serde(default)]
    pub nonce: Option<Box<str>>,
    /// When its text was changed last.
    #[serde(default)]
    pub edited_ms: Option<u64>,
    /// Whether it was deleted: the text is then empty.
    #[serde(default)]
    pub deleted: bool,
    /// Who reacted to it.
    #[serde(default)]
    pub reactions: Vec<Reaction>,
    /// Files that came with it.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

impl ChatMessage {
    /// A message as it was said, that answers none.
    #[must_use]
    pub fn new(id: MessageId, sent_ms: u64, by: Profile, text: ChatText) -> Self {
        ChatMessage {
            id,
            seq: 0,
            sent_ms,
            by,
            text,
            reply_to: None,
            reply_id: None,
            is_action: false,
            digits: 0,
            nonce: None,
            edited_ms: None,
            deleted: false,
            reactions: Vec::new(),
            attachments: Vec::new(),
        }
    }
}

/// One message to a peer.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// The first thing on every connection; some clients wait for it.
    Challenge,
    /// The answer to a hello.
    Hello {
        /// Who the peer is.
        profile: &'a Profile,
        /// A token to keep.
        token: Option<&'a str>,
        /// The server's clock.
        wall_ms: u64,
    },
    /// The note quota that the peer should keep to.
    Quota(QuotaPreset),
    /// The channel that the peer is in, with everyone there.
    Channel {
        /// The channel.
        view: ChannelView<'a>,
        /// Who the peer is in it.
        me: UserId,
    },
    /// Someone came.
    Participant(ParticipantView<'a>),
    /// Someone changed their name, colour or label, or is away or back.
    Changed {
        /// As they are now.
        view: ParticipantView<'a>,
        /// As they were.
        before: &'a Profile,
    },
    /// Someone left.
    Left(ParticipantView<'a>),
    /// Someone holds the crown now. For those who are not sent the channel itself.
    Crowned(ParticipantView<'a>),
    /// Chat was switched on or off. For those who are not sent the channel itself.
    ChatSwitched(bool),
    /// Someone's cursor moved.
    Cursor {
        /// Whose.
        user: UserId,
        /// Where to.
        position: Position,
    },
    /// Someone played.
    Notes {
        /// Who.
        user: UserId,
        /// Server time of the first note, milliseconds, finite.
        at_ms: f64,
        /// What; not empty.
        notes: &'a [Note],
    },
    /// Someone said something.
    Chat(&'a ChatMessage),
    /// What was said before the peer came, oldest first; deleted ones among it.
    History(&'a VecDeque<ChatMessage>),
    /// The same again, because something of it is gone.
    Retold(&'a VecDeque<ChatMessage>),
    /// A message has another text now.
    Edited {
        /// The message as it is now.
        message: &'a ChatMessage,
        /// A number of its own, for doors that show it as another message.
        id: MessageId,
    },
    /// A message is gone; it is shown as it was.
    Deleted(&'a ChatMessage),
    /// Something that only those are told who sit in several rooms at once.
    Room(RoomEvent<'a>),
    /// Someone said something to one user.
    Direct {
        /// What, and by whom.
        message: &'a ChatMessage,
        /// To whom.
        to: &'a Profile,
    },
    /// The channel list, whole or what changed.
    List {
        /// Whether this replaces what the peer knew.
        complete: bool,
        /// The channels.
        entries: &'a [&'a ChannelInfo],
        /// The receiver, when it is banned in one of them.
        banned: Option<UserId>,
    },
    /// Something that people should read.
    Notice(&'a Notice),
    /// The answer to a clock request.
    Time {
        /// The server's clock.
        wall_ms: u64,
        /// What the peer sent along.
        echo: Option<f64>,
    },
    /// A custom message.
    Custom {
        /// From whom.
        from: &'a Profile,
        /// What.
        body: &'a CustomBody,
        /// Whether the receiver takes the binary part.
        with_blob: bool,
    },
    /// For one person at a terminal.
    Line(LineEvent<'a>),
}

/// Somebody as a notice names them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Named {
    /// By their name.
    pub name: Box<str>,
    /// As lines call them.
    pub in_lines: Box<str>,
}

impl Named {
    /// One who is called the same everywhere.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Named { name: name.into(), in_lines: name.into() }
    }
}

/// A thing that people should read. The core says what happened; doors find the words.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Notice {
    /// A batch of notes was refused by the quota.
    TooFast,
    /// To a user who was removed from a channel.
    Removed {
        /// From where.
        channel: ChannelName,
        /// For how long; 0 for not at all.
        minutes: u64,
        /// Who did it.
        by: Named,
    },
    /// To the channel from which someone was removed.
    RemovedFromHere {
        /// Whom it hit.
        name: Named,
        /// Who did it.
        by: Named,
        /// For how long; 0 for not at all.
        minutes: u64,
        /// Why, if it was said.
        reason: Option<ChatText>,
    },
    /// To the channel and the user, when holders remove themselves.
    RemovedThemselves {
        /// Who.
        name: Box<str>,
    },
    /// To the channel in which someone may come again.
    Unbanned {
        /// Who may come.
        name: Box<str>,
        /// Who decided it.
        by: Box<str>,
    },
    /// To a user who wanted to join a channel in which they are banned.
    StillBanned {
        /// Where.
        channel: ChannelName,
        /// For how long yet, rounded up.
        seconds: u64,
    },
    /// To a user who wanted to join a full channel.
    ChannelFull {
        /// Which.
        channel: ChannelName,
    },
    /// To a user who has not been known for long enough.
    TooNew {
        /// Where they wanted to go.
        channel: ChannelName,
        /// How long a user must have been known, milliseconds.
        required_ms: u32,
    },
    /// To a user for whose channel there is no room on the server.
    NoMoreChannels {
        /// Where they wanted to go.
        channel: ChannelName,
    },
    /// To a moderator whose act holds, but could not be written down.
    NotKept,
    /// To a connection of a user that has too many; it is closed soon after.
    TooManyConnections,
    /// To a user whose words are refused from now on.
    Muted {
        /// For how long; 0 when they are heard again.
        seconds: u64,
    },
    /// To a user whose words have just been refused.
    StillMuted {
        /// For how long yet, rounded up.
        seconds: u64,
    },
    /// To a connection that an operator closes.
    Kicked {
        /// Why, in the operator's words.
        reason: Option<Box<str>>,
    },
    /// To a connection of somebody who is banned from the server.
    SiteBanned {
        /// Why, in the operator's words.
        reason: Option<Box<str>>,
    },
    /// To everyone in a channel that an operator closes: they go to the lobby.
    ChannelClosed {
        /// Which.
        channel: ChannelName,
        /// Why, in the operator's words.
        reason: Option<Box<str>>,
    },
    /// Written by an operator.
    Operator(Box<OperatorNotice>),
}

/// A notification in an operator's words. Fields that are absent take the client's defaults.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct OperatorNotice {
    /// Names it, so that a later one replaces it; only `[A-Za-z0-9_-]`.
    pub id: Option<Box<str>>,
    /// Its title.
    pub title: Option<Box<str>>,
    /// Its text.
    pub text: Option<Box<str>>,
    /// Its HTML, where no text is given.
    pub html: Option<Box<str>>,
    /// `classic` or `short`.
    pub class: Option<Box<str>>,
    /// A selector of the page: `#piano`, `#room`, `#names` or `#chat`.
    pub target: Option<Box<str>>,
    /// Milliseconds; negative stays.
    pub duration_ms: Option<i32>,
}

/// Why a connection is closed by the core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum CloseReason {
    /// The peer said bye.
    Bye,
    /// The server stops.
    Stopping,
    /// Too many bytes came in.
    BytesIn,
    /// The peer does not read what is sent to it.
    Backlog,
    /// Nothing was heard for too long.
    Silent,
    /// No hello came in time.
    NoHello,
    /// Too many messages came in.
    MessagesIn,
    /// The user has too many connections.
    TooManyConnections,
    /// Every nick that the peer tried was taken.
    NickTaken,
    /// It has taken nothing of what waits for it for too long.
    Stalled,
    /// It has asked for nothing for as long as the operator allows.
    Idle,
    /// An operator closed it.
    Kicked,
    /// The user or the address is banned from the server.
    Banned,
}

/// Turns events into bytes. Implemented by the doors, and by the simulator's own.
///
/// What is appended is complete in itself (for WebSocket: whole frames, headers included), so that it can be written
/// to any number of connections of the format as it is.
pub trait Wire {
    /// Appends `events`, in order, as one unit where the format has one.
    fn encode(&self, format: Format, events: &[Event<'_>], out: &mut Vec<u8>);

    /// Appends a channel event that is addressed to nobody yet, so that it need be encoded only once for all members.
    ///
    /// Returns where, counted from the first appended byte, [`Wire::address`] has to write.
    fn encode_unaddressed(&self, format: Format, view: ChannelView<'_>, out: &mut Vec<u8>)
    -> usize;

    /// Addresses a copy of what [`Wire::encode_unaddressed`] appended to `me`.
    fn address(&self, format: Format, encoded: &mut [u8], hole: usize, me: UserId);

    /// Appends what makes a live peer answer something.
    fn ping(&self, format: Format, out: &mut Vec<u8>);
}
