//! Events as frames.
//!
//! What goes to a seat is frames of the protocol, encoded once for all members of a room, and between them *marks* for
//! the session itself: frames whose types the protocol leaves free, which never leave the server ([`mark`]).

use super::frame::{self, kind};
use serde::Serialize;
use std::collections::BTreeMap;
use tutti_shards::{
    Answer, Attachment, ChannelView, ChatMessage, Departure, DoorKind, Event, Format, Notice,
    NumberKey, Occupant, Profile, Reaction, RoomEvent, RoomFault, RoomId, RoomView, UserId,
    UserNumber,
};

/// Most bytes of a `RoomInit` and of a `RoomHistory`; the oldest messages are left out until it fits.
const INIT_BYTES_MAX: usize = 256 << 10;
/// Most bytes of it that members take: people with long names and pictures must not leave no room for messages.
const MEMBERS_BYTES_MAX: usize = INIT_BYTES_MAX / 2;
/// Most users named beside a reaction.
const REACTION_USERS_SHOWN: usize = 20;

/// When it is worth asking again for what the storage did not answer, milliseconds.
const KEPT_RETRY_MS: u64 = 1_000;

/// Frames that the core's bytes hold for the session alone.
pub mod mark {
    /// The session's user is known: its name follows.
    pub const WELCOME: u8 = 0xe0;
    /// The session's user has too many connections.
    pub const TOO_MANY: u8 = 0xe1;
    /// The seat is there: room and number of the last event, 8 bytes each, big end first.
    pub const SEATED: u8 = 0xe2;
    /// The seat is gone: why (1), by whom (8), until when (8).
    pub const CLOSED: u8 = 0xe3;
    /// The room became busy (1) or quiet (0); the number of the next event follows (8).
    pub const BUSY: u8 = 0xe4;
    /// Somebody is there or away: who (8), the number of the change (4), and the frame that says so.
    pub const PRESENCE: u8 = 0xe5;
    /// To a session: its user belongs to these rooms, 8 bytes each.
    pub const BELONGS: u8 = 0xe6;
    /// Whether the seat may post: which question (8), and an error frame if it may not.
    pub const MAY_POST: u8 = 0xe7;
    /// To a seat that was taken because its user belongs to a room (8): it is not to be had now, and may be later.
    pub const LATER: u8 = 0xe8;
}

/// The encoder.
#[derive(Clone, Debug, Default)]
pub struct QuicWire {
    key: NumberKey,
}

/// Appends a frame with a JSON payload.
pub fn json(kind: u8, payload: &impl Serialize, out: &mut Vec<u8>) {
    frame::append(kind, out, |out| {
        // Writing into memory fails only for a map whose keys are no texts, and there is none.
        let written = serde_json::to_writer(&mut *out, payload);
        debug_assert!(written.is_ok(), "payloads of ours are JSON");
    });
}

/// Appends a piece of a file: the length of what is said about it, that, and the bytes.
pub fn chunk(upload: u64, offset: u64, data: &[u8], out: &mut Vec<u8>) {
    let about = serde_json::json!({ "upload_id": upload, "offset": offset, "size": data.len() });
    let about = about.to_string();
    frame::append(kind::UPLOAD_CHUNK, out, |out| {
        out.extend_from_slice(&(about.len() as u16).to_be_bytes());
        out.extend_from_slice(about.as_bytes());
        out.extend_from_slice(data);
    });
}

#[derive(Serialize)]
struct UserInfo<'a> {
    user_id: UserNumber,
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<&'static str>,
    color: String,
    door: &'static str,
}

#[derive(Serialize)]
struct ReactionInfo<'a> {
    emoji: &'a str,
    count: usize,
    user_ids: &'a [UserNumber],
}

#[derive(Serialize)]
struct AttachmentInfo<'a> {
    upload_id: u64,
    filename: &'a str,
    mime_type: &'a str,
    size: u64,
    checksum: &'a str,
    url: &'a str,
}

#[derive(Serialize)]
struct MessageInfo<'a> {
    message_id: u64,
    room_id: u64,
    sender: UserInfo<'a>,
    content: &'a str,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    attachments: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    seq: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<u64>,
    deleted: bool,
    reactions: Vec<ReactionInfo<'a>>,
    attachment_info: Vec<AttachmentInfo<'a>>,
}

#[derive(Serialize)]
struct Init<'a> {
    room_id: u64,
    name: &'a str,
    room_type: &'static str,
    members: Vec<UserInfo<'a>>,
    recent_messages: Vec<MessageInfo<'a>>,
    seq: u64,
    member_count: u32,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    post_role: &'static str,
    max_message_chars: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<u64>,
    chat_enabled: bool,
    /// Counted by each session, which writes it in: it has to be the last field.
    membership: u32,
}

#[derive(Serialize)]
struct History<'a> {
    room_id: u64,
    messages: Vec<MessageInfo<'a>>,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// The word for a door.
fn door(door: DoorKind) -> &'static str {
    match door {
        DoorKind::Piano => "mpp",
        DoorKind::Line => "tcp",
        DoorKind::Quic => "quic",
    }
}

/// The word for how somebody left.
#[must_use]
pub fn departure(how: Departure) -> &'static str {
    match how {
        Departure::Left | Departure::Deleted => "left",
        Departure::Disconnected => "disconnected",
        Departure::Kicked => "kicked",
        Departure::Banned => "banned",
    }
}

impl QuicWire {
    /// One that numbers users with this key.
    #[must_use]
    pub fn new(key: NumberKey) -> Self {
        QuicWire { key }
    }

    fn user<'a>(&self, profile: &'a Profile) -> UserInfo<'a> {
        UserInfo {
            user_id: self.key.user(profile),
            username: profile.display_name(),
            avatar_url: profile.avatar(),
            role: None,
            presence: None,
            color: profile.color.to_string(),
            door: door(profile.door),
        }
    }

    fn occupant<'a>(&self, who: &Occupant<'a>) -> UserInfo<'a> {
        let role = Some(who.role.word());
        let presence = match (who.present, who.view.profile.away) {
            (false, _) => "offline",
            (true, true) => "away",
            (true, false) => "online",
        };
        let presence = Some(presence);
        UserInfo { role, presence, ..self.user(who.view.profile) }
    }

    fn message<'a>(&self, room: u64, message: &'a ChatMessage) -> MessageInfo<'a> {
        let reaction = |reaction: &'a Reaction| ReactionInfo {
            emoji: reaction.emoji.as_str(),
            count: reaction.users.len(),
            user_ids: reaction.users.get(..REACTION_USERS_SHOWN).unwrap_or(&reaction.users),
        };
        let attachment = |file: &'a Attachment| AttachmentInfo {
            upload_id: file.id.0,
            filename: &file.name,
            mime_type: &file.mime,
            size: file.size,
            checksum: &file.checksum,
            url: &file.url,
        };
        MessageInfo {
            message_id: message.id.0,
            room_id: room,
            sender: self.user(&message.by),
            content: message.text.as_str(),
            timestamp: message.sent_ms,
            reply_to: message.reply_id.map(|id| id.0),
            attachments: message.attachments.iter().map(|file| &*file.url).collect(),
            nonce: message.nonce.as_deref(),
            seq: message.seq,
            kind: if message.is_action { "action" } else { "text" },
            edited_at: message.edited_ms,
            deleted: message.deleted,
            reactions: message.reactions.iter().map(reaction).collect(),
            attachment_info: message.attachments.iter().map(attachment).collect(),
        }
    }

    fn room(&self, event: &RoomEvent<'_>, out: &mut Vec<u8>) {
        match *event {
            RoomEvent::Init { messages, members, .. } => {
                let shown = members.get(..self.fitting_members(members)).unwrap_or(members);
                fitting(messages, false, out, |messages, out| {
                    self.init(event, messages, shown, out)
                });
            }
            RoomEvent::Message { room, message } => {
                json(kind::ROOM_MESSAGE, &self.message(room.0, message), out);
            }
            RoomEvent::Edited { room, message, by, text, at_ms, seq } => {
                let payload = serde_json::json!({
                    "message_id": message, "room_id": room, "editor_id": by, "content": text,
                    "edited_at": at_ms, "seq": seq,
                });
                json(kind::ROOM_MESSAGE_EDITED, &payload, out);
            }
            RoomEvent::Deleted { room, message, by, at_ms, seq } => {
                let payload = serde_json::json!({
                    "message_id": message, "room_id": room, "deleted_by": by,
                    "deleted_at": at_ms, "seq": seq,
                });
                json(kind::ROOM_MESSAGE_DELETED, &payload, out);
            }
            RoomEvent::Reaction { room, message, user, emoji, added, seq } => {
                let payload = serde_json::json!({
                    "message_id": message, "room_id": room, "user_id": user, "emoji": emoji,
                    "seq": seq,
                });
                let kind =
                    if added { kind::ROOM_REACTION_ADDED } else { kind::ROOM_REACTION_REMOVED };
                json(kind, &payload, out);
            }
            RoomEvent::Joined { room, who, at_ms, seq } => {
                let payload = serde_json::json!({
                    "room_id": room, "user": self.occupant(&who), "joined_at": at_ms, "seq": seq,
                });
                json(kind::ROOM_USER_JOINED, &payload, out);
            }
            RoomEvent::Left { room, user, how, at_ms, seq } => {
                let payload = serde_json::json!({
                    "room_id": room, "user_id": user, "left_at": at_ms, "seq": seq,
                    "reason": departure(how),
                });
                json(kind::ROOM_USER_LEFT, &payload, out);
            }
            RoomEvent::UserUpdated { room, who, by, muted_until_ms, at_ms, seq } => {
                let payload = serde_json::json!({
                    "room_id": room, "user": self.occupant(&who), "by": by, "at": at_ms,
                    "muted_until": muted_until_ms, "seq": seq,
                });
                json(kind::ROOM_USER_UPDATED, &payload, out);
            }
            RoomEvent::Updated { view, by, at_ms, seq } => {
                let RoomView { room, name, topic, post_role, visible, chat, .. } = view;
                let payload = serde_json::json!({
                    "room_id": room, "name": name, "topic": topic,
                    "post_role": post_role.word(), "visible": visible, "chat_enabled": chat,
                    "by": by, "at": at_ms, "seq": seq,
                });
                json(kind::ROOM_UPDATED, &payload, out);
            }
            RoomEvent::History { room, messages, forwards, more, nonce } => {
                let all = messages.len();
                fitting(messages, forwards, out, |messages, out| {
                    let more = more || messages.len() < all;
                    let messages =
                        messages.iter().map(|message| self.message(room.0, message)).collect();
                    let payload = History { room_id: room.0, messages, more, nonce };
                    json(kind::ROOM_HISTORY, &payload, out);
                });
            }
            RoomEvent::Typing { room, user, on } => {
                let payload = serde_json::json!({ "room_id": room, "user_id": user });
                json(if on { kind::TYPING } else { kind::STOP_TYPING }, &payload, out);
            }
            RoomEvent::Receipt { room, message, user, read, at_ms } => {
                let (kind, at) = if read {
                    (kind::MESSAGE_READ, "read_at")
                } else {
                    (kind::MESSAGE_DELIVERED, "delivered_at")
                };
                let payload = serde_json::json!({
                    "message_id": message, "room_id": room, "user_id": user, at: at_ms,
                });
                json(kind, &payload, out);
            }
            RoomEvent::Presence { user, away, status, number, at_ms } => {
                frame::append(mark::PRESENCE, out, |out| {
                    out.extend_from_slice(&user.0.to_be_bytes());
                    out.extend_from_slice(&number.to_be_bytes());
                    let (kind, payload) = match away {
                        true => (
                            kind::PRESENCE_AWAY,
                            serde_json::json!({
                                "user_id": user, "away_since": at_ms, "pseq": number,
                            }),
                        ),
                        false => (
                            kind::PRESENCE_ONLINE,
                            serde_json::json!({
                                "user_id": user, "status": status, "pseq": number,
                            }),
                        ),
                    };
                    json(kind, &payload, out);
                });
            }
            RoomEvent::Done { answer, message } => {
                let Answer { nonce, kind, room } = answer;
                let payload = serde_json::json!({
                    "nonce": nonce, "command": kind, "room_id": room, "message_id": message,
                });
                json(kind::COMMAND_OK, &payload, out);
            }
            RoomEvent::Accepted { answer, message, sent_ms } => {
                let payload = serde_json::json!({
                    "nonce": answer.nonce.unwrap_or_default(), "message_id": message,
                    "timestamp": sent_ms, "room_id": answer.room,
                });
                json(kind::MESSAGE_ACK, &payload, out);
            }
            RoomEvent::Refused { answer, fault } => refused(answer, fault, out),
            RoomEvent::Invited(invitation) => {
                let payload = serde_json::json!({
                    "room_id": invitation.room, "name": invitation.title,
                    "room_type": invitation.kind.word(), "by": self.user(&invitation.by),
                });
                json(kind::ROOM_INVITE, &payload, out);
            }
            RoomEvent::Enters(room) => belongs(&[room], out),
            RoomEvent::Later(room) => frame::append(mark::LATER, out, |out| {
                out.extend_from_slice(&room.0.to_be_bytes());
            }),
            RoomEvent::Belongs(rooms) => belongs(rooms, out),
            RoomEvent::MayPost { answer, ticket, fault } => {
                frame::append(mark::MAY_POST, out, |out| {
                    out.extend_from_slice(&ticket.to_be_bytes());
                    if let Some(fault) = fault {
                        refused(answer, fault, out);
                    }
                });
            }
            RoomEvent::Closed { how, by, until_ms } => {
                frame::append(mark::CLOSED, out, |out| {
                    out.push(how as u8);
                    out.extend_from_slice(&by.map_or(0, |by| by.0).to_be_bytes());
                    out.extend_from_slice(&until_ms.unwrap_or(0).to_be_bytes());
                });
            }
            RoomEvent::Busy { on, first_seq } => frame::append(mark::BUSY, out, |out| {
                out.push(u8::from(on));
                out.extend_from_slice(&first_seq.to_be_bytes());
            }),
            RoomEvent::Seated { room, seq } => frame::append(mark::SEATED, out, |out| {
                out.extend_from_slice(&room.0.to_be_bytes());
                out.extend_from_slice(&seq.to_be_bytes());
            }),
        }
    }

    /// How many of the first members may be shown.
    fn fitting_members(&self, members: &[Occupant<'_>]) -> usize {
        let mut bytes = 0;
        let fits = |who: &&Occupant<'_>| {
            bytes += serde_json::to_vec(&self.occupant(who)).map_or(0, |json| json.len() + 1);
            bytes <= MEMBERS_BYTES_MAX
        };
        members.iter().take_while(fits).count()
    }

    fn init(
        &self,
        event: &RoomEvent<'_>,
        messages: &[&ChatMessage],
        members: &[Occupant<'_>],
        out: &mut Vec<u8>,
    ) {
        let RoomEvent::Init { view, seq, role, muted_until_ms, member_count, .. } = *event else {
            return;
        };
        let payload = Init {
            room_id: view.room.0,
            name: view.name,
            room_type: view.kind.word(),
            members: members.iter().map(|who| self.occupant(who)).collect(),
            recent_messages: messages
                .iter()
                .map(|message| self.message(view.room.0, message))
                .collect(),
            seq,
            member_count,
            role: role.word(),
            topic: view.topic,
            post_role: view.post_role.word(),
            max_message_chars: view.text_length_max as u32,
            muted_until: muted_until_ms,
            chat_enabled: view.chat,
            membership: 0,
        };
        json(kind::ROOM_INIT, &payload, out);
    }
}

fn belongs(rooms: &[RoomId], out: &mut Vec<u8>) {
    frame::append(mark::BELONGS, out, |out| {
        rooms.iter().for_each(|room| out.extend_from_slice(&room.0.to_be_bytes()));
    });
}

/// Appends a frame with as many of the newest messages as fit into it, or of the oldest: whoever goes forwards asks on
/// behind the last of them, and would never get what is left out before it.
fn fitting(
    messages: &[&ChatMessage],
    forwards: bool,
    out: &mut Vec<u8>,
    write: impl Fn(&[&ChatMessage], &mut Vec<u8>),
) {
    let start = out.len();
    let mut rest = messages;
    loop {
        write(rest, out);
        if out.len() - start <= INIT_BYTES_MAX || rest.is_empty() {
            return;
        }
        out.truncate(start);
        // A tenth at a time: the bytes of what is left out are not known.
        let left_out = rest.len().div_ceil(10);
        let range = if forwards { 0..rest.len() - left_out } else { left_out..rest.len() };
        rest = rest.get(range).unwrap_or_default();
    }
}

const ROOM_TOO_FAST: &str = "too many messages in this room";

/// Appends the error for something that was refused in a room.
fn refused(answer: Answer<'_>, fault: RoomFault, out: &mut Vec<u8>) {
    use super::ErrorCode;
    if let RoomFault::RoomTooFast(delay_ms) = fault {
        let payload = serde_json::json!({
            "room_id": answer.room, "delay_ms": delay_ms, "reason": ROOM_TOO_FAST,
        });
        json(kind::THROTTLE, &payload, out);
    }
    let (code, message, retry_after) = match fault {
        RoomFault::Denied => (ErrorCode::PermissionDenied, "not allowed here", None),
        RoomFault::NotFound => (ErrorCode::NotFound, "not found", None),
        RoomFault::TooFast(ms) => (ErrorCode::RateLimited, "too fast", Some(u64::from(ms))),
        RoomFault::RoomTooFast(ms) => (ErrorCode::RateLimited, ROOM_TOO_FAST, Some(u64::from(ms))),
        RoomFault::Invalid => (ErrorCode::InvalidMessage, "it means nothing here", None),
        RoomFault::Full => (ErrorCode::RoomFull, "the room is full", None),
        RoomFault::Exists(_) => (ErrorCode::AlreadyExists, "the name is taken", None),
        RoomFault::NameTaken => (ErrorCode::NameInUse, "the name is in use", None),
        RoomFault::Banned(ms) => (ErrorCode::Banned, "banned from this room", Some(ms)),
        RoomFault::Muted(ms) => (ErrorCode::Muted, "muted in this room", Some(ms)),
        RoomFault::Limit => (ErrorCode::LimitReached, "a limit is reached", None),
        RoomFault::TooLong => (ErrorCode::TooLarge, "the text is too long", None),
        RoomFault::Unavailable => {
            (ErrorCode::ServerError, "what was kept cannot be read now", Some(KEPT_RETRY_MS))
        }
        RoomFault::NotKept => {
            (ErrorCode::ServerError, "done, but not certain to last over a restart", None)
        }
    };
    let room = match fault {
        RoomFault::Exists(room) => Some(room),
        _ => answer.room,
    };
    error(
        &ErrorInfo {
            code,
            message,
            context: None,
            command: Some(answer.kind),
            nonce: answer.nonce,
            room_id: room.map(|room| room.0),
            retry_after_ms: retry_after,
        },
        out,
    );
}

/// What an error says.
#[derive(Clone, Copy, Debug)]
pub struct ErrorInfo<'a> {
    /// Which.
    pub code: super::ErrorCode,
    /// In words.
    pub message: &'a str,
    /// About what.
    pub context: Option<&'a str>,
    /// The command that was refused.
    pub command: Option<u8>,
    /// As in the command.
    pub nonce: Option<&'a str>,
    /// The room.
    pub room_id: Option<u64>,
    /// When it may work.
    pub retry_after_ms: Option<u64>,
}

/// Appends an error.
pub fn error(info: &ErrorInfo<'_>, out: &mut Vec<u8>) {
    let mut fields: BTreeMap<&str, serde_json::Value> = BTreeMap::new();
    fields.insert("code", (info.code as u32).into());
    fields.insert("message", info.message.into());
    let optional = [
        ("context", info.context.map(Into::into)),
        ("command", info.command.map(Into::into)),
        ("nonce", info.nonce.map(Into::into)),
        ("room_id", info.room_id.map(Into::into)),
        ("retry_after_ms", info.retry_after_ms.map(|ms| ms.min(u32::MAX.into()).into())),
    ];
    fields.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
    json(kind::ERROR, &fields, out);
}

impl tutti_shards::Wire for QuicWire {
    fn encode(&self, _format: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            match event {
                Event::Room(event) => self.room(event, out),
                Event::Hello { profile, .. } => frame::append(mark::WELCOME, out, |out| {
                    out.extend_from_slice(profile.display_name().as_bytes());
                }),
                Event::Notice(Notice::TooManyConnections) => {
                    frame::append(mark::TOO_MANY, out, |_| {});
                }
                Event::Notice(Notice::Operator(notice)) => {
                    let text = notice.text.as_deref().or(notice.title.as_deref());
                    let payload = serde_json::json!({
                        "command": "notice", "params": { "text": text.unwrap_or_default() },
                    });
                    json(kind::SERVER_COMMAND, &payload, out);
                }
                // What other doors show otherwise, and what is nothing here.
                _ => {}
            }
        }
    }

    fn encode_unaddressed(&self, _: Format, _: ChannelView<'_>, _: &mut Vec<u8>) -> usize {
        0
    }

    fn address(&self, _: Format, _: &mut [u8], _: usize, _: UserId) {}

    fn ping(&self, _: Format, _: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests;
