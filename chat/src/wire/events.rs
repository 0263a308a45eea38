//! What a server sends.

use crate::frame::{Frame, kind};
use serde::{Deserialize, Serialize};

/// A payload that does not say what its type needs.
#[derive(Debug, thiserror::Error)]
#[error("the server sent a frame of type {kind:#04x} that cannot be read: {source}")]
pub struct Malformed {
    /// The frame's type.
    pub kind: u8,
    /// Where and why.
    source: serde_json::Error,
}

/// Makes payloads whose fields are the page's, with the sort of stream they come on.
macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[allow(missing_docs, reason = "fields are those of the page")]
        pub struct $name { $($(#[$attr])* pub $field: $type,)* }
    )* };
}

payloads! {
    /// 0x01: the server's side of the handshake.
    HelloAck {
        version: u32,
        session_id: String,
        num_shards: u8,
        #[serde(default = "json")] encoding: String,
        #[serde(default)] server_time: u64,
        #[serde(default)] server_epoch: u64,
        #[serde(default)] auth_methods: Vec<String>,
        #[serde(default)] limits: Limits,
    }
    /// What the server allows a client.
    Limits {
        #[serde(default = "message_chars")] message_chars: u32,
        #[serde(default = "upload_bytes")] upload_bytes: u64,
        #[serde(default = "upload_chunk")] upload_chunk: u32,
        #[serde(default = "rooms")] rooms: u32,
        #[serde(default = "ping_interval")] ping_interval_ms: u32,
        #[serde(default = "idle_timeout")] idle_timeout_ms: u32,
        #[serde(default = "messages_per_s")] messages_per_s: u32,
        #[serde(default)] datagrams: bool,
    }
    /// 0x03: who one is.
    AuthOk {
        user_id: u64,
        username: String,
        #[serde(default)] rooms: Vec<u64>,
        expires_at: Option<u64>,
    }
    /// 0x04.
    AuthFailed { code: u32, #[serde(default)] message: String, }
    /// 0x07: the server asks to wait.
    Throttle { room_id: Option<u64>, delay_ms: u32, #[serde(default)] reason: String, }
    /// 0x08: the server is about to close.
    Goodbye { #[serde(default)] reason: String, code: Option<u32>, retry_after_ms: Option<u32>, }
    /// 0x09: `notice`, `reauth`, `shutdown`, or one that is not known here.
    ServerCommand { command: String, #[serde(default)] params: serde_json::Value, }
    /// 0x0A: a command was done.
    CommandOk { nonce: Option<String>, command: u8, room_id: Option<u64>, message_id: Option<u64>, }
    /// 0xFF: a command was refused, or something else went wrong.
    Fault {
        code: u32,
        #[serde(default)] message: String,
        context: Option<String>,
        command: Option<u8>,
        nonce: Option<String>,
        room_id: Option<u64>,
        retry_after_ms: Option<u32>,
    }
    /// A person as rooms show them.
    UserInfo {
        user_id: u64,
        username: String,
        avatar_url: Option<String>,
        role: Option<String>,
        presence: Option<String>,
        color: Option<String>,
        door: Option<String>,
    }
    /// Who reacted to a message with one emoji; `user_ids` are the first 20 of `count`.
    Reaction { emoji: String, #[serde(default)] count: u32, #[serde(default)] user_ids: Vec<u64>, }
    /// A file of a message.
    Attachment {
        upload_id: u64,
        filename: String,
        #[serde(default)] mime_type: String,
        size: u64,
        #[serde(default)] checksum: String,
        #[serde(default)] url: String,
    }
    /// 0x30.
    Message {
        message_id: u64,
        room_id: u64,
        sender: UserInfo,
        content: String,
        timestamp: u64,
        reply_to: Option<u64>,
        #[serde(default)] attachments: Vec<String>,
        nonce: Option<String>,
        #[serde(default)] seq: u64,
        #[serde(default = "text")] kind: String,
        edited_at: Option<u64>,
        #[serde(default)] deleted: bool,
        #[serde(default)] reactions: Vec<Reaction>,
        #[serde(default)] attachment_info: Vec<Attachment>,
    }
    /// 0x31.
    MessageEdited {
        message_id: u64, room_id: u64, editor_id: u64, content: String, edited_at: u64, seq: u64,
    }
    /// 0x32.
    MessageDeleted { message_id: u64, room_id: u64, deleted_by: u64, deleted_at: u64, seq: u64, }
    /// 0x33 and 0x34.
    Reacted { message_id: u64, room_id: u64, user_id: u64, emoji: String, seq: u64, }
    /// 0x35.
    UserJoined { room_id: u64, user: UserInfo, #[serde(default)] joined_at: u64, seq: u64, }
    /// 0x36.
    UserLeft {
        room_id: u64,
        user_id: u64,
        #[serde(default)] left_at: u64,
        seq: u64,
        #[serde(default)] reason: String,
    }
    /// 0x37: a room as it is when one enters.
    RoomInit {
        room_id: u64,
        name: String,
        room_type: String,
        #[serde(default)] members: Vec<UserInfo>,
        #[serde(default)] recent_messages: Vec<Message>,
        seq: u64,
        #[serde(default)] member_count: u32,
        #[serde(default = "member")] role: String,
        topic: Option<String>,
        #[serde(default = "member")] post_role: String,
        #[serde(default = "message_chars")] max_message_chars: u32,
        muted_until: Option<u64>,
        #[serde(default = "yes")] chat_enabled: bool,
        membership: u32,
    }
    /// 0x38: one is out.
    RoomClose {
        room_id: u64, reason: String, by: Option<u64>, until: Option<u64>, membership: u32,
    }
    /// 0x39.
    UserUpdated {
        room_id: u64,
        user: UserInfo,
        by: Option<u64>,
        #[serde(default)] at: u64,
        muted_until: Option<u64>,
        seq: u64,
    }
    /// 0x3A.
    RoomUpdated {
        room_id: u64,
        name: String,
        topic: Option<String>,
        #[serde(default = "member")] post_role: String,
        #[serde(default = "yes")] visible: bool,
        #[serde(default = "yes")] chat_enabled: bool,
        by: Option<u64>,
        #[serde(default)] at: u64,
        seq: u64,
    }
    /// 0x3B: older messages, the oldest first.
    RoomHistory {
        room_id: u64,
        #[serde(default)] messages: Vec<Message>,
        #[serde(default)] more: bool,
        nonce: Option<String>,
    }
    /// 0x3C.
    RoomList {
        #[serde(default)] rooms: Vec<RoomSummary>,
        next: Option<String>,
        nonce: Option<String>,
    }
    /// A line of the list of rooms.
    RoomSummary {
        room_id: u64,
        name: String,
        room_type: String,
        #[serde(default)] member_count: u32,
        topic: Option<String>,
    }
    /// 0x3D.
    RoomInvite { room_id: u64, name: String, room_type: String, by: UserInfo, }
    /// 0x51 and 0x52: from `first_seq` on the room's frames come on another stream.
    RoomMoved { room_id: u64, stream_id: u64, first_seq: u64, }
    /// 0x53: what the stream that it stands first on is for.
    StreamOpen { kind: String, shard_id: Option<u8>, room_id: Option<u64>, first_seq: Option<u64>, }
    /// 0x60 and 0x61, from the server.
    Receipt { message_id: u64, room_id: u64, user_id: u64, }
    /// 0x62: a message was accepted.
    MessageAck { nonce: String, message_id: u64, timestamp: u64, room_id: u64, }
    /// 0x73, from the server.
    UploadCancelled { upload_id: u64, #[serde(default)] reason: String, }
    /// 0x74.
    UploadAck { upload_id: u64, bytes_received: u64, url: Option<String>, nonce: Option<String>, }
    /// 0x76.
    UploadInfo {
        upload_id: u64,
        filename: String,
        #[serde(default)] mime_type: String,
        size: u64,
        checksum: String,
    }
    /// 0x80 and 0x81.
    Typing { room_id: u64, user_id: u64, }
    /// 0x82 to 0x84.
    Presence {
        user_id: u64,
        #[serde(default)] pseq: u32,
        status: Option<String>,
        last_seen: Option<u64>,
        away_since: Option<u64>,
    }
}

fn json() -> String {
    "json".into()
}
fn text() -> String {
    "text".into()
}
fn member() -> String {
    "member".into()
}
fn yes() -> bool {
    true
}
fn message_chars() -> u32 {
    512
}
fn upload_bytes() -> u64 {
    25 * 1024 * 1024
}
fn upload_chunk() -> u32 {
    256 * 1024
}
fn rooms() -> u32 {
    64
}
fn ping_interval() -> u32 {
    25_000
}
fn idle_timeout() -> u32 {
    300_000
}
fn messages_per_s() -> u32 {
    5
}

impl Default for Limits {
    /// The page's defaults.
    fn default() -> Self {
        Self {
            message_chars: message_chars(),
            upload_bytes: upload_bytes(),
            upload_chunk: upload_chunk(),
            rooms: rooms(),
            ping_interval_ms: ping_interval(),
            idle_timeout_ms: idle_timeout(),
            messages_per_s: messages_per_s(),
            datagrams: false,
        }
    }
}

/// One frame of a server, understood.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
#[allow(missing_docs, reason = "variants are the page's frames; their payloads say what each is")]
pub enum Event {
    HelloAck(HelloAck),
    AuthOk(AuthOk),
    AuthFailed(AuthFailed),
    Ping { timestamp: u64 },
    Pong { timestamp: u64 },
    Throttle(Throttle),
    Goodbye(Goodbye),
    ServerCommand(ServerCommand),
    CommandOk(CommandOk),
    Fault(Fault),
    Message(Message),
    MessageEdited(MessageEdited),
    MessageDeleted(MessageDeleted),
    ReactionAdded(Reacted),
    ReactionRemoved(Reacted),
    UserJoined(UserJoined),
    UserLeft(UserLeft),
    RoomInit(Box<RoomInit>),
    RoomClose(RoomClose),
    UserUpdated(UserUpdated),
    RoomUpdated(RoomUpdated),
    RoomHistory(RoomHistory),
    RoomList(RoomList),
    RoomInvite(RoomInvite),
    ShardAssignment,
    RoomPromoted(RoomMoved),
    RoomDemoted(RoomMoved),
    StreamOpen(StreamOpen),
    Delivered(Receipt),
    Read(Receipt),
    MessageAck(MessageAck),
    UploadCancelled(UploadCancelled),
    UploadAck(UploadAck),
    UploadInfo(UploadInfo),
    Typing(Typing),
    StopTyping(Typing),
    Online(Presence),
    Offline(Presence),
    Away(Presence),
}

#[derive(Deserialize)]
struct Stamp {
    timestamp: u64,
}

fn parse<'a, T: Deserialize<'a>>(frame: &'a Frame) -> Result<T, Malformed> {
    // An empty payload stands for an object without keys.
    let json: &[u8] = if frame.payload.is_empty() { b"{}" } else { &frame.payload };
    serde_json::from_slice(json).map_err(|source| Malformed { kind: frame.kind, source })
}

impl Event {
    /// Understands `frame`; `Ok(None)` is a type that this client does not know, which it has to skip.
    ///
    /// # Errors
    /// [`Malformed`] when the payload is not what the type needs.
    pub fn read(frame: &Frame) -> Result<Option<Self>, Malformed> {
        Ok(Some(match frame.kind {
            kind::HELLO_ACK => Self::HelloAck(parse(frame)?),
            kind::AUTH_OK => Self::AuthOk(parse(frame)?),
            kind::AUTH_FAILED => Self::AuthFailed(parse(frame)?),
            kind::PING => Self::Ping { timestamp: parse::<Stamp>(frame)?.timestamp },
            kind::PONG => Self::Pong { timestamp: parse::<Stamp>(frame)?.timestamp },
            kind::THROTTLE => Self::Throttle(parse(frame)?),
            kind::GOODBYE => Self::Goodbye(parse(frame)?),
            kind::SERVER_COMMAND => Self::ServerCommand(parse(frame)?),
            kind::COMMAND_OK => Self::CommandOk(parse(frame)?),
            kind::ERROR => Self::Fault(parse(frame)?),
            kind::ROOM_MESSAGE => Self::Message(parse(frame)?),
            kind::ROOM_MESSAGE_EDITED => Self::MessageEdited(parse(frame)?),
            kind::ROOM_MESSAGE_DELETED => Self::MessageDeleted(parse(frame)?),
            kind::ROOM_REACTION_ADDED => Self::ReactionAdded(parse(frame)?),
            kind::ROOM_REACTION_REMOVED => Self::ReactionRemoved(parse(frame)?),
            kind::ROOM_USER_JOINED => Self::UserJoined(parse(frame)?),
            kind::ROOM_USER_LEFT => Self::UserLeft(parse(frame)?),
            kind::ROOM_INIT => Self::RoomInit(parse(frame)?),
            kind::ROOM_CLOSE => Self::RoomClose(parse(frame)?),
            kind::ROOM_USER_UPDATED => Self::UserUpdated(parse(frame)?),
            kind::ROOM_UPDATED => Self::RoomUpdated(parse(frame)?),
            kind::ROOM_HISTORY => Self::RoomHistory(parse(frame)?),
            kind::ROOM_LIST => Self::RoomList(parse(frame)?),
            kind::ROOM_INVITE => Self::RoomInvite(parse(frame)?),
            kind::SHARD_ASSIGNMENT => Self::ShardAssignment,
            kind::ROOM_PROMOTED => Self::RoomPromoted(parse(frame)?),
            kind::ROOM_DEMOTED => Self::RoomDemoted(parse(frame)?),
            kind::STREAM_OPEN => Self::StreamOpen(parse(frame)?),
            kind::MESSAGE_DELIVERED => Self::Delivered(parse(frame)?),
            kind::MESSAGE_READ => Self::Read(parse(frame)?),
            kind::MESSAGE_ACK => Self::MessageAck(parse(frame)?),
            kind::UPLOAD_CANCEL => Self::UploadCancelled(parse(frame)?),
            kind::UPLOAD_ACK => Self::UploadAck(parse(frame)?),
            kind::UPLOAD_INFO => Self::UploadInfo(parse(frame)?),
            kind::TYPING => Self::Typing(parse(frame)?),
            kind::STOP_TYPING => Self::StopTyping(parse(frame)?),
            kind::PRESENCE_ONLINE => Self::Online(parse(frame)?),
            kind::PRESENCE_OFFLINE => Self::Offline(parse(frame)?),
            kind::PRESENCE_AWAY => Self::Away(parse(frame)?),
            _ => return Ok(None),
        }))
    }

    /// The room of a room event, of section 6.3.
    pub fn room_id(&self) -> Option<u64> {
        match self {
            Self::Message(e) => Some(e.room_id),
            Self::MessageEdited(e) => Some(e.room_id),
            Self::MessageDeleted(e) => Some(e.room_id),
            Self::ReactionAdded(e) | Self::ReactionRemoved(e) => Some(e.room_id),
            Self::UserJoined(e) => Some(e.room_id),
            Self::UserLeft(e) => Some(e.room_id),
            Self::RoomInit(e) => Some(e.room_id),
            Self::RoomClose(e) => Some(e.room_id),
            Self::UserUpdated(e) => Some(e.room_id),
            Self::RoomUpdated(e) => Some(e.room_id),
            Self::RoomHistory(e) => Some(e.room_id),
            _ => None,
        }
    }

    /// The room and the number in it, of a sequenced event.
    pub fn sequence(&self) -> Option<(u64, u64)> {
        match self {
            Self::Message(e) => Some((e.room_id, e.seq)),
            Self::MessageEdited(e) => Some((e.room_id, e.seq)),
            Self::MessageDeleted(e) => Some((e.room_id, e.seq)),
            Self::ReactionAdded(e) | Self::ReactionRemoved(e) => Some((e.room_id, e.seq)),
            Self::UserJoined(e) => Some((e.room_id, e.seq)),
            Self::UserLeft(e) => Some((e.room_id, e.seq)),
            Self::UserUpdated(e) => Some((e.room_id, e.seq)),
            Self::RoomUpdated(e) => Some((e.room_id, e.seq)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn read(kind: u8, json: &'static str) -> Result<Option<Event>, Malformed> {
        Event::read(&Frame { kind, payload: Bytes::from_static(json.as_bytes()) })
    }

    #[test]
    fn absent_and_null_are_the_default_and_unknown_keys_are_ignored() {
        let short = read(
            0x30,
            r#"{"message_id":9,"room_id":1,"sender":{"user_id":2,"username":"b"},"content":"hi",
            "timestamp":5,"seq":3,"deleted":false,"kind":"text","new_in_2":[1]}"#,
        );
        let long = read(
            0x30,
            r#"{"message_id":9,"room_id":1,"sender":{"user_id":2,"username":"b","role":null},
            "content":"hi","timestamp":5,"seq":3,"reply_to":null,"nonce":null,"edited_at":null}"#,
        );
        let (short, long) = (short.unwrap().unwrap(), long.unwrap().unwrap());
        assert_eq!(short, long);
        assert_eq!(short.sequence(), Some((1, 3)));
        assert_eq!(short.room_id(), Some(1));
    }

    #[test]
    fn an_unknown_type_is_skipped_and_a_bad_payload_is_named() {
        assert_eq!(read(0x0F, "not even JSON").unwrap(), None);
        for (kind, json) in
            [(0x05, ""), (0x30, "{}"), (0x37, "[]"), (0x62, r#"{"nonce":1}"#), (0xFF, "{")]
        {
            assert_eq!(read(kind, json).unwrap_err().kind, kind);
        }
    }
}
