//! Commands: what a peer asks, decoded and checked by a door.
//!
//! They are plain data, because those that follow a join in the same read travel with the connection to its new shard.

use crate::{
    ChannelName, ChatText, Color, Format, Guise, LineCommand, Login, RoomRequest, SettingsPatch,
    UserId, UserName,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// One thing that a peer asks for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Says who the peer is. A connection may do nothing else before this, and repeating it changes nothing.
    Hello {
        /// The user that the door made of the peer's token or address; `None` draws a new one for this connection.
        user: Option<UserId>,
        /// A token that the peer should keep and did not send.
        token: Option<Box<str>>,
    },
    /// Says who a session is, as its door has made sure.
    Enter {
        /// The user.
        user: UserId,
        /// What the door says of the user.
        guise: Box<Guise>,
    },
    /// Says who somebody at a terminal wants to be, in place of a hello, and takes them to the lobby.
    Login(Box<Login>),
    /// What somebody at a terminal asks for.
    Line(Box<LineCommand>),
    /// Ends the connection.
    Bye,
    /// Goes to a channel, creating it if need be.
    Join {
        /// Which.
        target: JoinTarget,
        /// Settings for a channel that does not exist yet.
        set: Option<Box<SettingsPatch>>,
    },
    /// Changes the channel's settings.
    ChangeSettings(Box<SettingsPatch>),
    /// Gives the crown to a user, takes a lying one (naming oneself), or drops it (`None`, and unknown ids).
    GiveCrown(Option<UserId>),
    /// Says something to the channel.
    Chat {
        /// What.
        text: ChatText,
        /// The message that this answers.
        reply_to: Option<MessageRef>,
    },
    /// Says something to one user of the same channel.
    Direct {
        /// To whom.
        to: UserId,
        /// What.
        text: ChatText,
        /// The message that this answers.
        reply_to: Option<MessageRef>,
    },
    /// Plays.
    Play(NoteBatch),
    /// Moves the cursor.
    Move(Position),
    /// Changes the user's name, colour, or both.
    SetProfile {
        /// The new name.
        name: Option<UserName>,
        /// The new colour.
        color: Option<Color>,
    },
    /// Removes a user from the channel for a time.
    Ban {
        /// Whom.
        user: UserId,
        /// For how long; 0 only removes.
        ms: u64,
    },
    /// Lets a user in again.
    Unban(UserId),
    /// Asks for the server's clock.
    Time {
        /// Sent back as it came.
        echo: Option<f64>,
    },
    /// Starts (with the whole list) or stops following the channel list.
    FollowList(bool),
    /// Starts or stops receiving custom messages addressed to subscribers.
    FollowCustom(bool),
    /// Sends a custom message.
    Custom(Box<Custom>),
    /// The peer was heard speaking another format; what follows is sent in it.
    Speak(Format),
    /// The peer has shown that it understands custom messages with a binary part.
    SpeakBinaryCustom,
    /// A staff message whose password was right.
    Admin(Box<AdminCommand>),
    /// A request of a seat.
    Room(Box<RoomRequest>),
    /// A session's user wants to look otherwise; the session is told what comes of it.
    Look(Box<LookRequest>),
}

/// How a session's user wants to look.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct LookRequest {
    /// Sent back with the answer.
    pub nonce: Option<Box<str>>,
    /// The door's own number of the command, sent back with the answer.
    pub kind: u8,
    /// The new name.
    pub name: Option<UserName>,
    /// The new colour.
    pub color: Option<Color>,
    /// Where the new picture is, or that there is none.
    pub avatar: Option<Option<Box<str>>>,
}

/// Where a join leads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum JoinTarget {
    /// The channel of this name, or where it overflows to.
    Named(ChannelName),
    /// `lobby`, however full it is.
    LobbyBackdoor,
}

/// The id of a chat message as a peer refers to it: 1 to 64 of `[0-9A-Za-z_-]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageRef(Box<str>);

impl MessageRef {
    /// Checks length and alphabet.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        valid.then(|| MessageRef(text.into()))
    }

    /// The id as sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A place on a peer's window, in hundredths of a percent of its width and height.
///
/// Whole hundredths, because the wire carries two decimals and integers print faster than floats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Position {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
}

impl Position {
    /// Where the cursor of a user who never moved is: off screen (200, 100).
    pub const OFF_SCREEN: Position = Position { x: 20_000, y: 10_000 };
    /// Coordinates are clamped to this on either side of 0 (10 000 percent).
    pub const MAX: i32 = 1_000_000;

    /// From percents, which must be finite; `None` otherwise. Clamped to ±10 000 percent.
    #[must_use]
    pub fn from_percent(x: f64, y: f64) -> Option<Self> {
        let hundredths = |v: f64| {
            let max = f64::from(Position::MAX);
            v.is_finite().then(|| (v * 100.0).round().clamp(-max, max) as i32)
        };
        Some(Position { x: hundredths(x)?, y: hundredths(y)? })
    }
}

/// The number of piano keys, `a-1` (0) to `c7` (87).
pub const KEYS: u8 = 88;

/// One note of a batch.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Note {
    /// `key < KEYS`.
    pub key: u8,
    /// Whether the note ends here.
    pub stop: bool,
    /// 0 to 1.
    pub velocity: Option<f32>,
    /// Milliseconds after the batch's time, 0 to 10 000.
    pub delay_ms: Option<f32>,
}

/// Notes that were sent together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NoteBatch {
    /// When the first sounds: server time in milliseconds, possibly fractional; finite.
    pub at_ms: f64,
    /// How many notes the peer sent, invalid ones too. The quota counts these.
    pub sent: u32,
    /// The valid ones.
    pub notes: SmallVec<[Note; 3]>,
}

/// A custom message. The core does not look into it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Custom {
    /// To whom.
    pub target: CustomTarget,
    /// Also to users of other channels.
    pub global: bool,
    /// What.
    pub body: CustomBody,
}

/// What a custom message carries.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CustomBody {
    /// Compact JSON text of the data; `null` when there was none.
    pub json: Box<str>,
    /// The binary part.
    pub blob: Option<Box<[u8]>>,
}

impl CustomBody {
    /// What the quota counts, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.json.len() + self.blob.as_ref().map_or(0, |blob| blob.len())
    }
}

/// To whom a custom message goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CustomTarget {
    /// All connections that follow custom messages.
    Subscribed,
    /// All connections of these users; the door bounds how many.
    Users(SmallVec<[UserId; 1]>),
}

/// A label beside a user's name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tag {
    /// At most 50 characters, cleaned.
    pub text: Box<str>,
    /// `#rgb` or `#rrggbb`.
    pub color: Box<str>,
}

/// What staff can do in the rooms.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum AdminCommand {
    /// Shows a notification.
    Notify {
        /// To whom.
        audience: Audience,
        /// What.
        notice: Box<crate::OperatorNotice>,
    },
    /// Empties the chat history of the channel that the peer is in.
    ClearChat,
    /// Changes a user's name, colour or tag; `Some(None)` takes the tag away.
    Profile {
        /// Whose.
        user: UserId,
        /// The change.
        change: ProfileChange,
    },
    /// Sends a user (or the peer itself) to another channel.
    Move {
        /// Whom; `None` for the peer itself.
        user: Option<UserId>,
        /// Where to.
        channel: ChannelName,
        /// Settings for a channel that does not exist yet.
        set: Option<Box<SettingsPatch>>,
    },
    /// Says something as the server.
    Chat {
        /// Where; `None` for the channel that the peer is in.
        channel: Option<ChannelName>,
        /// What.
        text: ChatText,
    },
}

/// Who sees an operator's notification.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Audience {
    /// The peer's own channel.
    Here,
    /// Everyone.
    Everyone,
    /// One channel.
    Channel(ChannelName),
    /// One user.
    User(UserId),
}

/// A change of a user's profile.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct ProfileChange {
    /// The new name.
    pub name: Option<UserName>,
    /// The new colour.
    pub color: Option<Color>,
    /// The new tag, or its end.
    pub tag: Option<Option<Box<Tag>>>,
    /// Away, or back.
    pub away: Option<bool>,
    /// Where the new picture is, or that there is none.
    pub avatar: Option<Option<Box<str>>>,
}
