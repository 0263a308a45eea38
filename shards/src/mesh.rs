//! What shards tell each other.
//!
//! Messages from one shard to another arrive in the order in which they were sent, handovers included; between
//! different senders there is no order. Nothing here is ever dropped.

use crate::{
    AdminCommand, Bundle, ChannelInfo, ChannelName, ChannelRef, ChatText, Class, CloseReason,
    Command, ConnId, Custom, CustomBody, CustomTarget, Departure, Format, Guise, Invitation,
    LineError, Nick, NoteQuota, Notice, Profile, ProfileChange, RoomId, RoomRequest, SeatRequest,
    ShardId, UserId, Whom, conn::JoinRequest, shard::Announcement,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// One message between shards.
#[derive(Clone, Debug)]
pub struct MeshMessage(pub(crate) Mesh);

#[derive(Clone, Debug)]
pub(crate) enum Mesh {
    // To the shard that owns a user's record.
    /// A connection says whose it is.
    Hello { user: UserId, conn: ConnId, nick: Option<Nick>, guise: Option<Box<Guise>> },
    /// A connection came from another shard, with this version of the record; `waits` for an answer on the way.
    Moved { user: UserId, conn: ConnId, hops: u16, version: u32, waits: bool },
    /// A connection is gone; `quota` is what its user had played, where that is known.
    Departed { user: UserId, conn: ConnId, quota: Option<NoteQuota> },
    /// A change of the record; `conn` waits for what becomes of it.
    ChangeProfile { user: UserId, conn: Option<ConnId>, change: Box<ProfileChange> },
    /// Something that a connection waits for, which the sender has not any more.
    Follow { user: UserId, conn: ConnId, message: Box<Mesh> },
    /// Whether somebody is at a connection of a user, and what they are about.
    SetPresence { user: UserId, conn: ConnId, away: bool, status: Option<Box<str>> },
    /// For all connections of a user but some.
    ToUser { user: UserId, payload: Payload, except: SmallVec<[ConnId; 1]> },
    /// Whether a user is connected, for a ban by a holder.
    FindForBan { user: UserId, ban: Box<BanOrder> },

    /// Somebody who was named by number is looked for.
    FindUser { whom: Whom, finder: Box<Finder> },
    /// A user belongs to a room from now on, or not any more, or is invited.
    Belongs { user: UserId, room: RoomId, how: Belonging },

    /// Something private for a user, wherever they are.
    LetterTo { user: UserId, letter: Box<Letter> },
    /// The same for somebody who has rooms, to the shard that owns the room of the two.
    LetterToRoom { to: Box<Profile>, letter: Box<Letter> },

    // To the shard that keeps a nick.
    /// A connection claims it, which is of this user already.
    ClaimNick { key: Box<str>, conn: ConnId, hops: u16, user: Option<UserId> },
    /// A connection gives it back.
    ReleaseNick { key: Box<str>, conn: ConnId },
    /// The connection that has it came from another shard.
    NickMoved { key: Box<str>, conn: ConnId, hops: u16 },
    /// Something private for whoever has it.
    LetterToNick { key: Box<str>, letter: Box<Letter> },

    // Between the shards of two people who write to each other, and back.
    /// Whether the connection, which had been handed over so often, has the nick now.
    NickClaimed { key: Box<str>, conn: ConnId, hops: u16, user: Option<UserId>, granted: bool },
    /// Something private for a connection.
    Letter { conn: ConnId, letter: Box<Letter> },
    /// What became of a private message: whom it reached, if anybody.
    LetterDone { letter: Box<Letter>, to: Option<Box<Profile>> },
    /// A relayed member at a terminal waits for what becomes of a private message from now on.
    Writes { conn: ConnId, text: ChatText },
    /// A relayed member at a terminal waits until what it did is kept.
    Moderates { conn: ConnId },
    /// It is, or it is known that it is not: what a terminal is told.
    Moderated { conn: ConnId, user: UserId, bytes: Box<[u8]> },

    // To the shard that owns a room, and back.
    /// A connection of a shard wants a seat.
    SeekSeat(Box<Seeker>),
    /// It is kept.
    SeatKept { conn: ConnId, user: UserId, request: Box<JoinRequest> },
    /// It is not to be had.
    SeatRefused { conn: ConnId, user: UserId, error: Box<LineError> },

    // From the shard that owns a user's record.
    /// The answer to `Hello`; `None` when the user has too many connections.
    Welcome { conn: ConnId, welcome: Option<Box<(Profile, NoteQuota)>> },
    /// The record as it is now.
    Profile { profile: Box<Profile>, conns: SmallVec<[ConnId; 1]> },
    /// A session's change of the record was made, or may be tried again after so many milliseconds.
    Looked { conn: ConnId, wait_ms: Option<u32> },
    /// For these connections.
    ToConns { conns: SmallVec<[ConnId; 1]>, payload: Payload },
    /// Who it is that was looked for, if anybody.
    UserFound { finder: Box<Finder>, found: Option<Box<Profile>> },
    /// The user that a holder wants to ban is connected.
    FoundForBan { ban: Box<BanOrder>, profile: Box<Profile> },

    // Between the owner of a channel and the shards that relay it.
    /// Messages for the relayed members.
    Broadcast { channel: ChannelRef, batch: Arc<Batch> },
    /// Bytes for one relayed member.
    ToMember { conn: ConnId, bytes: Box<[u8]>, messages: u32 },
    /// A relayed member's format from here on.
    Reformat { conn: ConnId, format: Format },
    /// A relayed member may go where it asked to.
    Released { conn: ConnId, request: Box<JoinRequest>, quota: NoteQuota },
    /// A relayed member stays: its request led to where it is.
    Stay { conn: ConnId },
    /// A relayed member has been removed and goes to `test/awkward`, or where staff send it.
    Dismissed { conn: ConnId, request: Box<JoinRequest>, quota: NoteQuota },
    /// A relayed member's command is done.
    Settled { conn: ConnId },
    /// What a terminal asked for as a member was not done, because it was removed meanwhile.
    Undone { conn: ConnId },
    /// Somebody wrote privately to a relayed member.
    Wrote { conn: ConnId, by: UserId },
    /// A relayed member is called home.
    Recall { conn: ConnId },
    /// A relayed member's command.
    FromMember { conn: ConnId, command: Box<Command> },
    /// A relayed member asks to leave.
    MayLeave { conn: ConnId, request: Box<JoinRequest> },
    /// A relayed member is gone.
    MemberGone { conn: ConnId, user: UserId },
    /// A relayed member's user is called otherwise now.
    MemberProfile { conn: ConnId, profile: Box<Profile> },
    /// A relayed member missed cursor moves and can take them again.
    MemberCursors { conn: ConnId },
    /// A session's seat wants to sit in a room.
    Sit { conn: ConnId, profile: Box<Profile>, request: Box<SeatRequest> },
    /// It sits in this channel from now on.
    Seated { conn: ConnId, of: ChannelRef },
    /// Its wish leads to another room.
    SitElsewhere { conn: ConnId, request: Box<SeatRequest> },
    /// It does not sit there, or not any more; its session is told this.
    SeatEnded { conn: ConnId, bytes: Box<[u8]>, heard: u32 },
    /// What a seat asked arrived behind its end, and was not done.
    SeatLate { conn: ConnId, request: Box<RoomRequest> },
    /// Its session is gone.
    SeatGone { conn: ConnId, how: Departure },

    // To everyone.
    /// What changed in the sender's part of the channel list; numbered from 1 by each sender.
    Directory { sequence: u64, entries: Arc<[Arc<ChannelInfo>]> },
    /// Something for many; numbered from 1 by each sender.
    Announcement { sequence: u64, announcement: Announcement },

    // To the owner of a channel, from staff.
    /// Shows a notice in it.
    ChannelNotice { channel: ChannelName, notice: Box<Notice> },
    /// Says something in it as the server.
    ChannelChat { channel: ChannelName, text: ChatText },
}

/// Something for a user wherever they are.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Notice(Arc<Notice>),
    Custom {
        from: Arc<Profile>,
        body: Arc<CustomBody>,
    },
    /// Staff send the user to another channel.
    Move(Box<JoinRequest>),
    /// An operator closes the connection, which is told so first.
    Close(CloseReason, Arc<Notice>),
    /// For sessions: what there is of rooms for them.
    Rooms(RoomNews),
}

/// What a session is told of rooms in which it does not sit.
#[derive(Clone, Debug)]
pub(crate) enum RoomNews {
    /// Its user belongs to one: it takes a seat there.
    Enters(RoomId),
    /// Its user belongs to these.
    Belongs(Arc<[RoomId]>),
    /// Its user is invited.
    Invited(Arc<Invitation>),
}

/// How a user stands to a room.
#[derive(Clone, Debug)]
pub(crate) enum Belonging {
    In,
    /// Was in it before and comes again, which the user's owner may not know: the storage was silent when it asked.
    Stays,
    Out,
    Invited(Box<Invitation>),
}

/// For whom somebody is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    /// The shard that is answered.
    pub(crate) at: ShardId,
    /// The seat there that asks, or the member who invites.
    pub(crate) conn: ConnId,
    pub(crate) seek: Seek,
}

/// Why somebody is looked for.
#[derive(Clone, Debug)]
pub(crate) enum Seek {
    /// To sit in the direct room with them.
    Direct(Box<SeatRequest>),
    /// To invite them into a room, with the request that is answered, if any.
    Invite { room: RoomId, nonce: Option<Box<str>>, kind: Option<u8> },
}

/// A ban that a holder ordered, while it is found out whether its target is connected.
#[derive(Clone, Debug)]
pub(crate) struct BanOrder {
    pub(crate) channel: ChannelName,
    pub(crate) by: UserId,
    pub(crate) user: UserId,
    pub(crate) ms: u64,
    pub(crate) reason: Option<ChatText>,
}

/// Something that one person says to another.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Who waits for it to arrive, and on which shard.
    pub(crate) from: Writer,
    pub(crate) at: ShardId,
    pub(crate) message: crate::ChatMessage,
    /// Whether `from` is to be told what became of it: of several copies one is answered.
    pub(crate) is_answered: bool,
}

/// Where a letter was written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writer {
    /// At a connection of a user.
    Conn(ConnId, UserId),
    /// As a member of a room, whose connection was on this shard.
    Member { room: RoomId, conn: ConnId, user: UserId, via: ShardId },
    /// In a direct room, as the message of this number that waits there.
    Room { room: RoomId, number: u64 },
}

/// Who wants a seat, and where.
#[derive(Clone, Debug)]
pub(crate) struct Seeker {
    pub(crate) conn: ConnId,
    pub(crate) at: ShardId,
    pub(crate) profile: Profile,
    pub(crate) origin: u64,
    pub(crate) request: JoinRequest,
}

/// Messages of a channel, encoded, for members on another shard.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) parts: SmallVec<[BatchPart; 1]>,
}

#[derive(Clone, Debug)]
pub(crate) struct BatchPart {
    pub(crate) format: Format,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) entries: Box<[BatchEntry]>,
}

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchEntry {
    /// Where it ends; it begins where the one before ends.
    pub(crate) end: u32,
    /// The member that it is not for.
    pub(crate) by: Option<ConnId>,
    pub(crate) class: Class,
}

// What travels between threads is plain data.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<MeshMessage>();
    is_send::<Bundle>();
    is_send::<Custom>();
    is_send::<CustomTarget>();
    is_send::<AdminCommand>();
};
