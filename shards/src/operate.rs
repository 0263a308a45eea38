//! What operators order and ask, and what they are answered: plain data.
//!
//! An order goes to the shard that owns what it names ([`Order::place`]), and is carried out there at once; what it
//! means for connections on other shards travels on as messages of the mesh, in order with everything else.

use crate::{
    ChannelName, ChatText, ConnId, Crown, NumberKey, OperatorNotice, Profile, ProfileChange,
    RoomId, Settings, ShardId, UserId, Whom,
};
use ahash::RandomState;

/// Where things belong. The only routing rule, the same on all shards of a process.
#[derive(Clone, Debug)]
pub struct Placement {
    hasher: RandomState,
    numbers: NumberKey,
    shards: u16,
}

impl Placement {
    /// Over so many shards, by a key that nobody outside knows.
    #[must_use]
    pub fn new(key: [u64; 4], numbers: NumberKey, shards: u16) -> Self {
        let [a, b, c, d] = key;
        Placement { hasher: RandomState::with_seeds(a, b, c, d), numbers, shards }
    }

    /// The shard that owns a channel.
    #[must_use]
    pub fn of_channel(&self, channel: &ChannelName) -> ShardId {
        self.of_room(self.numbers.room(channel))
    }

    /// The shard that owns a room: the same, by its number.
    #[must_use]
    pub fn of_room(&self, room: RoomId) -> ShardId {
        self.place(&room.0.to_le_bytes())
    }

    /// The shard that owns a user's record: the one that the number of a user without an account leads to as well.
    #[must_use]
    pub fn of_user(&self, user: UserId) -> ShardId {
        self.place(&self.numbers.stranger(user).0.to_le_bytes())
    }

    /// The shard that owns the record of somebody who was named by number.
    #[must_use]
    pub fn of_whom(&self, whom: Whom) -> ShardId {
        match whom.user {
            Some(user) => self.of_user(user),
            None => self.place(&whom.number.0.to_le_bytes()),
        }
    }

    /// The shard that keeps a nick, as it is without regard to case.
    #[must_use]
    pub fn of_nick(&self, key: &str) -> ShardId {
        self.place(key.as_bytes())
    }

    fn place(&self, bytes: &[u8]) -> ShardId {
        let hash = self.hasher.hash_one(bytes);
        ShardId(((u128::from(hash) * u128::from(self.shards)) >> 64) as u16)
    }
}

/// What an operator wants done. Reasons and texts are cleaned by whoever took them from a person.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Says something in a channel as the server.
    Say {
        /// Where.
        channel: ChannelName,
        /// What.
        text: ChatText,
    },
    /// Shows a notification to everyone.
    NotifyAll(Box<OperatorNotice>),
    /// Shows a notification to a channel.
    NotifyChannel {
        /// Which.
        channel: ChannelName,
        /// What.
        notice: Box<OperatorNotice>,
    },
    /// Shows a notification to a user, wherever they are.
    NotifyUser {
        /// Whom.
        user: UserId,
        /// What.
        notice: Box<OperatorNotice>,
    },
    /// Closes all connections of a user.
    Kick {
        /// Whose.
        user: UserId,
        /// What they are told, besides that it happened.
        reason: Option<Box<str>>,
    },
    /// Closes one connection. For every shard, since only the one that has it knows.
    Disconnect {
        /// Which.
        conn: ConnId,
        /// What its peer is told, besides that it happened.
        reason: Option<Box<str>>,
    },
    /// Sends a user out of a channel, and keeps them out for a time; 0 only sends them out.
    Ban {
        /// Out of which.
        channel: ChannelName,
        /// Whom.
        user: UserId,
        /// For how long.
        ms: u64,
    },
    /// Lets a user into a channel again.
    Unban {
        /// Into which.
        channel: ChannelName,
        /// Whom.
        user: UserId,
    },
    /// Refuses what a user says, in every channel.
    Mute {
        /// Whose.
        user: UserId,
        /// Until when, milliseconds since 1970; 0 ends it.
        until_ms: u64,
    },
    /// Refuses what a user says in one channel, for as long as that lives.
    MuteIn {
        /// Where.
        channel: ChannelName,
        /// Whose.
        user: UserId,
        /// For how long; 0 ends it.
        ms: u64,
    },
    /// Sends everyone in a channel to the lobby and ends it.
    Close {
        /// Which.
        channel: ChannelName,
        /// What they are told, besides that it happened.
        reason: Option<Box<str>>,
    },
    /// Changes a user's name, colour or tag.
    Profile {
        /// Whose.
        user: UserId,
        /// The change.
        change: ProfileChange,
    },
    /// Refuses what guests say: users first seen less than so many milliseconds ago. `None` hears them again. For
    /// every shard.
    MuteGuests(Option<u64>),
}

/// Which shards an order is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderPlace {
    /// This one.
    One(ShardId),
    /// Any one.
    Any,
    /// Every one.
    All,
}

impl Order {
    /// Which shards it is for.
    #[must_use]
    pub fn place(&self, placement: &Placement) -> OrderPlace {
        match self {
            Order::Say { channel, .. }
            | Order::NotifyChannel { channel, .. }
            | Order::Ban { channel, .. }
            | Order::Unban { channel, .. }
            | Order::MuteIn { channel, .. }
            | Order::Close { channel, .. } => OrderPlace::One(placement.of_channel(channel)),
            Order::NotifyUser { user, .. }
            | Order::Kick { user, .. }
            | Order::Mute { user, .. }
            | Order::Profile { user, .. } => OrderPlace::One(placement.of_user(*user)),
            Order::NotifyAll(_) => OrderPlace::Any,
            Order::Disconnect { .. } | Order::MuteGuests(_) => OrderPlace::All,
        }
    }
}

/// What became of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done, and concerned so many connections or members that are there now.
    Done(u32),
    /// Nobody of that id is known.
    NoSuchUser,
    /// There is no channel of that name.
    NoSuchChannel,
    /// No connection of that number is on this shard.
    NoSuchConnection,
    /// There was nothing to lift.
    NothingToLift,
    /// Nobody is removed from a lobby: it would lead to the next.
    Lobby,
    /// The channel is there for ever.
    Permanent,
    /// The name is the connection's own, as those at terminals and of logins by a name alone are.
    OwnName,
}

/// Which users are asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct UserFilter {
    /// In names and ids, whatever the case of letters; lower-case.
    pub text: Option<Box<str>>,
    /// Those too who are not connected, as far as they are remembered.
    pub absent: bool,
    /// Only those who are muted everywhere.
    pub muted: bool,
    /// Most users that each shard answers with.
    pub limit: u32,
}

/// A user as their record says.
#[derive(Clone, PartialEq, Debug)]
pub struct UserSeen {
    /// Who.
    pub profile: Profile,
    /// Their connections, and the shard of each.
    pub connections: Vec<(ConnId, ShardId)>,
}

/// A user as a participant of a channel.
#[derive(Clone, PartialEq, Debug)]
pub struct SeatSeen {
    /// Where.
    pub channel: ChannelName,
    /// The connections that sit there.
    pub connections: Vec<ConnId>,
    /// Whether they wear its crown.
    pub crowned: bool,
    /// How much longer they are muted there, milliseconds; 0 for not.
    pub muted_ms: u64,
}

/// Which channels are asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ChannelFilter {
    /// In names, whatever the case of letters; lower-case.
    pub text: Option<Box<str>>,
    /// Only those that the list does not show.
    pub hidden: bool,
    /// Only those with participants.
    pub peopled: bool,
    /// Most channels that each shard answers with: those with the most participants.
    pub limit: u32,
}

/// A channel as its owner sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelSeen {
    /// Its name.
    pub name: ChannelName,
    /// The shard that owns it.
    pub shard: ShardId,
    /// Its settings.
    pub settings: Settings,
    /// Participants.
    pub count: u32,
    /// Connections of theirs.
    pub members: u32,
    /// Its crown; lobbies have none.
    pub crown: Option<Crown>,
    /// Whether its members are spread over the shards.
    pub hot: bool,
    /// Chat messages kept.
    pub history: u32,
    /// Users that may not come in.
    pub banned: u32,
}

/// All that there is to know of a channel.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelDetail {
    /// The channel.
    pub seen: ChannelSeen,
    /// Who is there, in order of arrival, and with how many connections.
    pub participants: Vec<(Profile, u32)>,
    /// Who may not come in, and for how many milliseconds yet.
    pub bans: Vec<(UserId, u64)>,
    /// Who is muted here, and for how many milliseconds yet.
    pub mutes: Vec<(UserId, u64)>,
}

/// A connection that does not take what is sent to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowReader {
    /// Which.
    pub conn: ConnId,
    /// Whose.
    pub user: Option<UserId>,
    /// Bytes that wait for it.
    pub waiting: u64,
}
