//! What people at terminals ask and are told, as plain data: nicks, commands, replies.
//!
//! The line door turns lines into these and these into lines; the words are the door's.

use crate::{
    ChannelName, ChannelView, ChatMessage, ChatText, Color, ParticipantView, UserId, UserName,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A name at a terminal, unique without regard to case: 3 to 20 of `[A-Za-z0-9_-]`, and not reserved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Nick(Box<str>);

/// Why a text is no nick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NickFault {
    /// Fewer than [`Nick::LENGTH_MIN`] characters.
    TooShort,
    /// More than [`Nick::LENGTH_MAX`] characters.
    TooLong,
    /// Something else than ASCII letters, digits, `_` and `-`.
    Alphabet,
    /// It would pass for the server's or an operator's.
    Reserved,
}

impl Nick {
    /// Fewest characters.
    pub const LENGTH_MIN: usize = 3;
    /// Most characters.
    pub const LENGTH_MAX: usize = 20;
    /// Nicks that nobody may have.
    pub const RESERVED: [&str; 7] =
        ["server", "system", "admin", "root", "lobby", "you", "everyone"];

    /// Checks the rules of the line chat's protocol page, section 5.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, NickFault> {
        let length = text.chars().count();
        if length < Nick::LENGTH_MIN {
            return Err(NickFault::TooShort);
        }
        if length > Nick::LENGTH_MAX {
            return Err(NickFault::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(NickFault::Alphabet);
        }
        if Nick::RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
            return Err(NickFault::Reserved);
        }
        Ok(Nick(text.into()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is unique of it.
    #[must_use]
    pub fn key(&self) -> Box<str> {
        self.0.to_ascii_lowercase().into()
    }

    /// As the name of a user.
    #[must_use]
    pub fn to_name(&self) -> UserName {
        UserName::parse(&self.0, Nick::LENGTH_MAX).expect("a nick is a good name")
    }
}

/// Says who somebody at a terminal wants to be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Login {
    /// The nick that is claimed.
    pub nick: Nick,
    /// The user that address and nick stand for; `None` draws one.
    pub user: Option<UserId>,
    /// Stands for the address: what a ban of this person holds for, besides the user.
    pub origin: u64,
    /// Whether the connection is closed when the nick is taken.
    pub last: bool,
}

/// What somebody at a terminal asks for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum LineCommand {
    /// Says something to the room.
    Say(ChatText),
    /// Does something, in words.
    Act(ChatText),
    /// Takes another nick.
    Rename(Nick),
    /// Goes to a room. One that cannot be entered leaves the person where it was.
    Go(ChannelName),
    /// Goes back to the lobby.
    Leave,
    /// Lists the rooms.
    Rooms,
    /// Lists who is in the room.
    Users,
    /// Says something to one person: a nick, or the handle of somebody in the room.
    Write {
        /// To whom.
        to: Box<str>,
        /// What.
        text: ChatText,
    },
    /// Says something to the person who wrote last.
    Answer(ChatText),
    /// Shows the last messages.
    History(u8),
    /// Is away, or back.
    Away(bool),
    /// Whether to be told who joins and leaves.
    ShowJoins(bool),
    /// Takes another colour.
    Color(Color),
    /// Sends somebody to the lobby.
    Kick {
        /// Whom: a nick or a handle.
        who: Box<str>,
        /// Shown to the room.
        reason: Option<ChatText>,
    },
    /// The same, and keeps them out.
    Ban {
        /// Whom: a nick or a handle.
        who: Box<str>,
        /// For how long.
        minutes: u16,
    },
    /// Lets somebody in again.
    Unban(Box<str>),
}

/// How somebody at a terminal came to be in a room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// Not at a terminal.
    #[default]
    Piano,
    /// Just connected.
    Welcome,
    /// By wish.
    Joined,
    /// Went back, or was sent.
    Returned,
}

/// Why something was not done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum LineError {
    /// Somebody has the nick.
    NickTaken,
    /// The person is in that room.
    SameRoom,
    /// There is nobody of that name.
    NotFound,
    /// Several people in the room fit the name.
    Ambiguous(Box<str>),
    /// Nobody has written to the person.
    NobodyWrote,
    /// Banned there.
    Banned {
        /// Where.
        channel: ChannelName,
        /// For how long yet, rounded up.
        seconds: u64,
    },
    /// The room is full.
    Full(ChannelName),
    /// The room is for people who have been known for longer.
    TooNew {
        /// Which.
        channel: ChannelName,
        /// How long one must have been known, milliseconds.
        required_ms: u32,
    },
    /// The server has no room for another channel.
    NoMoreChannels,
    /// Chat is off there.
    ChatOff(ChannelName),
    /// Only the holder of the crown may, and nobody in a lobby.
    NotAllowed,
    /// An operator has muted the person, for so many seconds yet.
    Muted(u64),
    /// There were too many messages in the room lately.
    RoomTooFast,
    /// Something of ours.
    Server,
}

/// One thing that somebody at a terminal is told, besides what everyone is.
#[derive(Clone, Copy)]
pub enum LineEvent<'a> {
    /// The nick at the prompt is taken; whether another may be tried.
    NickTaken {
        /// Whether the prompt comes again.
        again: bool,
    },
    /// What was asked was not done.
    Error(&'a LineError),
    /// In a room now.
    Entered {
        /// How.
        how: Entry,
        /// The room.
        view: ChannelView<'a>,
        /// Who the person is.
        me: UserId,
        /// What was said there.
        history: &'a VecDeque<ChatMessage>,
        /// The server's clock.
        wall_ms: u64,
    },
    /// Has another nick now.
    Renamed(&'a str),
    /// Has another colour now.
    Colored(Color),
    /// Is away now, or back.
    Away(bool),
    /// Is told who joins and leaves, or is not.
    JoinsShown(bool),
    /// Who is in the room.
    Users {
        /// The room.
        view: ChannelView<'a>,
        /// Who the person is.
        me: UserId,
    },
    /// The last messages.
    History {
        /// Where they were said.
        channel: &'a ChannelName,
        /// What was said there.
        history: &'a VecDeque<ChatMessage>,
        /// How many of them at most.
        last: usize,
        /// The server's clock.
        wall_ms: u64,
    },
    /// A private message has arrived.
    Sent {
        /// At whom.
        to: ParticipantView<'a>,
        /// What it said.
        text: &'a ChatText,
    },
    /// Somebody was kicked.
    Kicked(ParticipantView<'a>),
    /// Somebody was banned.
    Banned {
        /// Who.
        who: ParticipantView<'a>,
        /// For how long.
        minutes: u64,
    },
    /// Somebody may come again.
    Unbanned(&'a str),
    /// Lines about who joins and leaves were left out while the peer did not read.
    LeftOut,
    /// Silent for so long that it is closed soon.
    Idle,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicks_are_plain_and_unreserved() {
        let fault = |text: &str| Nick::parse(text).unwrap_err();
        assert_eq!(fault("ab"), NickFault::TooShort);
        assert_eq!(fault("a23456789012345678901"), NickFault::TooLong);
        for text in ["alice!", "a b", "\u{430}lice", "a~b1", "\u{e9}\u{e9}\u{e9}"] {
            assert_eq!(fault(text), NickFault::Alphabet, "{text}");
        }
        for text in Nick::RESERVED {
            assert_eq!(fault(&text.to_uppercase()), NickFault::Reserved);
        }
        let nick = Nick::parse("Al-ice_9").unwrap();
        assert_eq!(
            (nick.as_str(), &*nick.key(), nick.to_name().as_str()),
            ("Al-ice_9", "al-ice_9", "Al-ice_9")
        );
        assert!(Nick::parse("abc").is_ok() && Nick::parse("a2345678901234567890").is_ok());
    }
}
