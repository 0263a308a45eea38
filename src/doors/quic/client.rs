//! What clients say: frames of theirs, read and checked.

use super::{
    ErrorCode,
    frame::kind,
    payload::{NUMBER_MAX, Payload, PayloadFault, required},
    session::RoomListing,
};
use crate::uploads::PIECE_BYTES_MAX;
use tutti_shards::{
    ChannelName, Color, Emoji, LookRequest, MessageId, Role, RoomCommand, RoomId, RoomRequest,
    RoomText, RoomWish, SeatRequest, SettingsPatch, TextFault, UploadId, UserName, UserNumber,
    Whom, clean,
};
use unicode_segmentation::UnicodeSegmentation as _;

/// Most UTF-16 code units of a name.
pub(super) const NAME_LENGTH_MAX: usize = 40;
/// Most UTF-16 code units of a text in any room; channels take less.
const TEXT_LENGTH_MAX: usize = 4_096;
/// Most bytes of credentials.
const CREDENTIALS_BYTES_MAX: usize = 8 << 10;
/// Most bytes of a text that is only shown.
const WORDS_BYTES_MAX: usize = 512;
/// Most bytes of what somebody is about.
const STATUS_BYTES_MAX: usize = 128;
/// Most files of a message.
const ATTACHMENTS_MAX: usize = 10;
/// Most bytes of what a file is called, and of its type.
const FILE_NAME_BYTES_MAX: usize = 128;
const MIME_BYTES_MAX: usize = 100;
/// Longest ban and mute, milliseconds.
const PENALTY_MS_MAX: u64 = 3_600_000;

/// Something refused before anybody else heard of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which error.
    pub code: ErrorCode,
    /// In words.
    pub message: String,
    /// As in what was refused.
    pub nonce: Option<String>,
    /// As in what was refused.
    pub room: Option<u64>,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), nonce: None, room: None }
    }

    fn unfit(key: &'static str, what: &'static str) -> Self {
        PayloadFault::Unfit(key, what).into()
    }
}

impl From<PayloadFault> for Refusal {
    fn from(fault: PayloadFault) -> Self {
        Refusal::new(ErrorCode::InvalidMessage, fault.to_string())
    }
}

/// A frame of the control stream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each field is that of the frame of the same name")]
pub enum Control {
    Hello { version: u64, capabilities: Vec<String>, encodings: Vec<String> },
    Auth { method: String, credentials: String },
    Ping { timestamp: u64 },
    Pong { timestamp: u64 },
    Goodbye,
}

impl Control {
    /// Reads a frame whose type is one of these.
    ///
    /// # Errors
    /// What the client is told; also for a type that is not one of these.
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, Refusal> {
        let mut payload = Payload::parse(payload)?;
        Ok(match kind {
            kind::HELLO => Control::Hello {
                version: required("version", payload.number("version", u32::MAX.into()))?,
                capabilities: payload.texts("capabilities", 64)?,
                encodings: payload.texts("encodings", 16)?,
            },
            kind::AUTH => Control::Auth {
                method: required("method", payload.text("method", 64))?,
                credentials: required(
                    "credentials",
                    payload.text("credentials", CREDENTIALS_BYTES_MAX),
                )?,
            },
            kind::PING => Control::Ping {
                timestamp: required("timestamp", payload.number("timestamp", NUMBER_MAX))?,
            },
            kind::PONG => Control::Pong {
                timestamp: required("timestamp", payload.number("timestamp", NUMBER_MAX))?,
            },
            kind::GOODBYE => Control::Goodbye,
            _ => return Err(Refusal::new(ErrorCode::InvalidFrame, "out of place")),
        })
    }
}

/// A chat command.
#[derive(Clone, PartialEq, Debug)]
pub enum Chat {
    /// In a room.
    Room(RoomId, RoomRequest),
    /// To sit down in one.
    Join(SeatRequest),
    /// The list of rooms.
    List(RoomListing),
    /// Another name, colour or picture.
    Look(Box<LookRequest>),
    /// To say something in a room that shows these files.
    Show(RoomId, RoomRequest, Vec<UploadId>),
}

impl Chat {
    /// Reads a frame of the chat stream.
    ///
    /// # Errors
    /// What the client is told.
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, Refusal> {
        let mut payload = Payload::parse(payload)?;
        let nonce = payload.text("nonce", 64)?;
        if nonce.as_deref().is_some_and(|nonce| !is_nonce(nonce)) {
            return Err(Refusal::unfit("nonce", "1 to 64 printable characters"));
        }
        let room = payload.id("room_id")?;
        read(kind, &mut payload, room, nonce.clone()).map_err(|refusal| Refusal {
            nonce,
            room,
            ..refusal
        })
    }
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

fn read(
    kind: u8,
    payload: &mut Payload,
    room: Option<u64>,
    nonce: Option<String>,
) -> Result<Chat, Refusal> {
    match kind {
        kind::JOIN_ROOM => {
            let name = payload.text("name", usize::MAX)?;
            let wish = match (room, name) {
                (Some(room), None) => RoomWish::Numbered(RoomId(room)),
                (None, Some(name)) => RoomWish::named(room_name(&name)?),
                _ => return Err(Refusal::unfit("room_id", "all there is, or the name is")),
            };
            return Ok(Chat::Join(SeatRequest::new(wish, nonce.map(Into::into), Some(kind))));
        }
        kind::CREATE_ROOM => return create(payload, nonce),
        kind::LIST_ROOMS => {
            return Ok(Chat::List(RoomListing {
                filter: payload.text("filter", WORDS_BYTES_MAX)?,
                after: payload.text("after", WORDS_BYTES_MAX * 8)?,
                limit: limit(payload, 200)?,
                nonce,
            }));
        }
        kind::SET_PROFILE => {
            let name = payload.text("username", WORDS_BYTES_MAX)?;
            let color = payload.text("color", 16)?;
            let avatar = payload.text("avatar_url", WORDS_BYTES_MAX)?.map(avatar).transpose()?;
            let unfit = Refusal::unfit("username", "1 to 40 characters");
            let name = name
                .map(|name| UserName::parse(&name, NAME_LENGTH_MAX).ok_or(unfit))
                .transpose()?;
            let unfit = Refusal::unfit("color", "#rrggbb");
            let color = color.map(|color| Color::parse(&color).ok_or(unfit)).transpose()?;
            let nonce = nonce.map(Into::into);
            return Ok(Chat::Look(Box::new(LookRequest { nonce, kind, name, color, avatar })));
        }
        kind::OPEN_DIRECT => {
            let wish = RoomWish::Direct(whom(required("user_id", payload.id("user_id"))?));
            return Ok(Chat::Join(SeatRequest::new(wish, nonce.map(Into::into), Some(kind))));
        }
        _ => {}
    }
    let room = room.ok_or(PayloadFault::Missing("room_id"))?;
    let command = room_command(kind, payload, nonce.is_some())?;
    let request = RoomRequest { nonce: nonce.map(Into::into), kind, command };
    let shown = match kind {
        kind::SEND_MESSAGE => payload.ids("attachments", ATTACHMENTS_MAX)?,
        _ => Vec::new(),
    };
    if shown.is_empty() {
        return Ok(Chat::Room(RoomId(room), request));
    }
    Ok(Chat::Show(RoomId(room), request, shown.into_iter().map(UploadId).collect()))
}

fn room_command(kind: u8, payload: &mut Payload, has_nonce: bool) -> Result<RoomCommand, Refusal> {
    let message =
        |payload: &mut Payload| required("message_id", payload.id("message_id")).map(MessageId);
    let user = |payload: &mut Payload| required("user_id", payload.id("user_id")).map(UserNumber);
    let reason = payload.text("reason", WORDS_BYTES_MAX)?;
    let command = match kind {
        kind::SEND_MESSAGE => {
            if !has_nonce {
                return Err(PayloadFault::Missing("nonce").into());
            }
            let action = match payload.text("kind", 16)?.as_deref() {
                None | Some("text") => false,
                Some("action") => true,
                Some(_) => return Err(Refusal::unfit("kind", "text or action")),
            };
            let reply_to = payload.id("reply_to")?.map(MessageId);
            RoomCommand::Say { text: text(payload)?, reply_to, action, attachments: Vec::new() }
        }
        kind::EDIT_MESSAGE => {
            RoomCommand::Edit { message: message(payload)?, text: text(payload)? }
        }
        kind::DELETE_MESSAGE => RoomCommand::Delete { message: message(payload)? },
        kind::ADD_REACTION => {
            RoomCommand::React { message: message(payload)?, emoji: emoji(payload)? }
        }
        kind::REMOVE_REACTION => RoomCommand::Unreact {
            message: message(payload)?,
            emoji: emoji(payload)?,
            of: payload.id("user_id")?.map(UserNumber),
        },
        kind::LEAVE_ROOM => RoomCommand::Leave,
        kind::KICK_USER => RoomCommand::Kick { user: user(payload)?, reason: reason_text(reason) },
        kind::BAN_USER => {
            let ms = required("duration_ms", payload.number("duration_ms", PENALTY_MS_MAX))?;
            if ms == 0 {
                return Err(Refusal::unfit("duration_ms", "1 to 3600000"));
            }
            RoomCommand::Ban { user: user(payload)?, ms }
        }
        kind::UNBAN_USER => RoomCommand::Unban(whom(user(payload)?.0)),
        kind::SET_ROLE => {
            let role = required("role", payload.text("role", 16))?;
            let role = Role::parse(&role).ok_or(PayloadFault::Unfit("role", "a role"))?;
            RoomCommand::SetRole { user: user(payload)?, role }
        }
        kind::MUTE_USER => {
            let ms = required("duration_ms", payload.number("duration_ms", PENALTY_MS_MAX))?;
            RoomCommand::Mute { user: user(payload)?, ms }
        }
        kind::UPDATE_ROOM => update(payload)?,
        kind::DELETE_ROOM => RoomCommand::Dissolve,
        kind::INVITE_USER => RoomCommand::Invite(whom(user(payload)?.0)),
        kind::FETCH_HISTORY => {
            let before = payload.id("before_id")?.map(MessageId);
            let after = payload.number("after_seq", NUMBER_MAX)?;
            if before.is_some() && after.is_some() {
                return Err(Refusal::unfit("before_id", "all there is, or after_seq is"));
            }
            RoomCommand::History { before, after, limit: limit(payload, 100)? as u32 }
        }
        _ => return Err(Refusal::new(ErrorCode::InvalidFrame, "out of place")),
    };
    Ok(command)
}

/// A reason of moderators, cleaned; blank ones are none.
fn reason_text(reason: Option<String>) -> Option<Box<str>> {
    reason.and_then(|reason| clean(&reason))
}

fn create(payload: &mut Payload, nonce: Option<String>) -> Result<Chat, Refusal> {
    let name = required("name", payload.text("name", usize::MAX))?;
    let room_type = required("room_type", payload.text("room_type", 16))?;
    let members = payload.ids("members", 100)?;
    let topic = payload.text("topic", WORDS_BYTES_MAX)?;
    let topic = topic.and_then(|topic| clean(&topic));
    let invites = members.iter().map(|&member| whom(member)).collect();
    let wish = match (&*room_type, &*members) {
        ("channel" | "public", _) => {
            RoomWish::Named { name: room_name(&name)?, topic, new: true, invites }
        }
        ("group" | "private", _) => {
            RoomWish::Group { title: room_name(&name)?.as_str().into(), topic, invites }
        }
        ("direct" | "dm", &[other]) => RoomWish::Direct(whom(other)),
        ("direct" | "dm", _) => return Err(Refusal::unfit("members", "the one other user")),
        _ => return Err(Refusal::unfit("room_type", "channel, group or direct")),
    };
    Ok(Chat::Join(SeatRequest::new(wish, nonce.map(Into::into), Some(kind::CREATE_ROOM))))
}

fn update(payload: &mut Payload) -> Result<RoomCommand, Refusal> {
    let title = payload.text("name", usize::MAX)?;
    let title = title.map(|title| room_name(&title)).transpose()?;
    let title = title.map(|title| title.as_str().into());
    let topic = payload.text("topic", WORDS_BYTES_MAX)?;
    let post_role = match payload.text("post_role", 16)?.as_deref() {
        None => None,
        Some("member") => Some(Role::Member),
        Some("moderator") => Some(Role::Moderator),
        Some(_) => return Err(Refusal::unfit("post_role", "member or moderator")),
    };
    let visible = payload.flag("visible")?;
    let set = Box::new(SettingsPatch { visible, ..SettingsPatch::default() });
    let topic = topic.map(|topic| clean(&topic).unwrap_or_default());
    Ok(RoomCommand::Update { title, topic, post_role, set })
}

/// Somebody named by number; whose account that is, the session knows.
fn whom(number: u64) -> Whom {
    Whom { number: UserNumber(number), user: None }
}

/// Where a picture is; an empty text says that there is none.
fn avatar(url: String) -> Result<Option<Box<str>>, Refusal> {
    let fits = url.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    match (url.is_empty(), fits && clean(&url).as_deref() == Some(&url)) {
        (true, _) => Ok(None),
        (_, true) => Ok(Some(url.into())),
        _ => Err(Refusal::unfit("avatar_url", "an https address")),
    }
}

fn room_name(name: &str) -> Result<ChannelName, Refusal> {
    let unfit = || Refusal::unfit("name", "a room's name");
    if tutti_shards::utf16_len(name) > 4 * tutti_shards::CHANNEL_NAME_LENGTH_MAX {
        return Err(Refusal::new(ErrorCode::TooLarge, "the name is too long"));
    }
    let name = clean(name).ok_or_else(unfit)?;
    if tutti_shards::utf16_len(&name) > tutti_shards::CHANNEL_NAME_LENGTH_MAX {
        return Err(Refusal::new(ErrorCode::TooLarge, "the name is too long"));
    }
    ChannelName::parse(&name).ok_or_else(unfit)
}

fn text(payload: &mut Payload) -> Result<RoomText, Refusal> {
    let content = required("content", payload.text("content", usize::MAX))?;
    RoomText::parse(&content, TEXT_LENGTH_MAX).map_err(|fault| match fault {
        TextFault::Blank => Refusal::unfit("content", "a text: it is blank"),
        TextFault::TooLong => Refusal::new(ErrorCode::TooLarge, "the text is too long"),
    })
}

fn emoji(payload: &mut Payload) -> Result<Emoji, Refusal> {
    let text = required("emoji", payload.text("emoji", 32))?;
    let one = text.graphemes(true).count() == 1;
    Emoji::new(&text).filter(|_| one).ok_or_else(|| Refusal::unfit("emoji", "one emoji"))
}

fn limit(payload: &mut Payload, max: u64) -> Result<usize, Refusal> {
    match payload.number("limit", NUMBER_MAX)? {
        None => Ok(50),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit as usize),
        Some(_) => Err(Refusal::unfit("limit", "in its range")),
    }
}

/// A frame of an upload's stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UploadFrame<'a> {
    /// The first one.
    Start(UploadStart),
    /// A later one, and the number of the upload that it is of: 0 for the stream's own.
    Part(u64, UploadPart<'a>),
}

/// What somebody wants to send.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each field is that of the frame of the same name")]
pub struct UploadStart {
    pub room: u64,
    pub name: String,
    pub mime: String,
    pub size: u64,
    pub checksum: String,
    pub nonce: String,
}

/// What comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is the frame of the same name")]
pub enum UploadPart<'a> {
    Chunk { offset: u64, data: &'a [u8] },
    Complete,
    Cancel,
}

impl<'a> UploadFrame<'a> {
    /// Reads a frame whose type is one of these.
    ///
    /// # Errors
    /// What the client is told; also for a type that is not one of these.
    pub fn parse(kind: u8, payload: &'a [u8]) -> Result<Self, Refusal> {
        if kind == kind::UPLOAD_CHUNK {
            return chunk(payload);
        }
        let mut payload = Payload::parse(payload)?;
        match kind {
            kind::UPLOAD_START => {
                let (nonce, room) = (payload.text("nonce", 64)?, payload.id("room_id")?);
                if !nonce.as_deref().is_some_and(is_nonce) {
                    return Err(Refusal::unfit("nonce", "1 to 64 printable characters"));
                }
                upload_start(&mut payload, room, nonce.clone().unwrap_or_default())
                    .map(UploadFrame::Start)
                    .map_err(|refusal| Refusal { nonce, room, ..refusal })
            }
            kind::UPLOAD_COMPLETE | kind::UPLOAD_CANCEL => {
                let id = payload.number("upload_id", NUMBER_MAX)?.unwrap_or(0);
                let part = match kind {
                    kind::UPLOAD_COMPLETE => UploadPart::Complete,
                    _ => UploadPart::Cancel,
                };
                Ok(UploadFrame::Part(id, part))
            }
            _ => Err(Refusal::new(ErrorCode::InvalidFrame, "out of place")),
        }
    }
}

fn upload_start(
    payload: &mut Payload,
    room: Option<u64>,
    nonce: String,
) -> Result<UploadStart, Refusal> {
    let room = room.ok_or(PayloadFault::Missing("room_id"))?;
    let name = required("filename", payload.text("filename", FILE_NAME_BYTES_MAX))?;
    let is_odd = |c: char| c.is_control() || c == '/' || c == '\\';
    // Cleaning takes out what turns the direction of writing around and so makes one type look like another.
    if name.starts_with('.') || name.contains(is_odd) || clean(&name).as_deref() != Some(&name) {
        return Err(Refusal::unfit(
            "filename",
            "a plain name: no separators of paths, no dot first",
        ));
    }
    let mime = required("mime_type", payload.text("mime_type", MIME_BYTES_MAX))?;
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    if !mime.split_once('/').is_some_and(|(of, what)| is_token(of) && is_token(what)) {
        return Err(Refusal::unfit("mime_type", "type/subtype"));
    }
    let size = required("size", payload.number("size", NUMBER_MAX))?;
    let checksum = required("checksum", payload.text("checksum", 64))?;
    if checksum.len() != 64 || !checksum.bytes().all(|b| b"0123456789abcdef".contains(&b)) {
        return Err(Refusal::unfit("checksum", "64 hex digits in lower case"));
    }
    Ok(UploadStart { room, name, mime, size, checksum, nonce })
}

/// A piece: the length of what is said about it (2 bytes, big end first), that, and the bytes.
fn chunk(payload: &[u8]) -> Result<UploadFrame<'_>, Refusal> {
    let unfit = |what: &str| Refusal::new(ErrorCode::UploadFailed, what);
    let parts = payload
        .split_first_chunk::<2>()
        .and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()));
    let (about, data) = parts.ok_or_else(|| unfit("a piece that is cut off"))?;
    let mut about = Payload::parse(about)?;
    let upload = about.number("upload_id", NUMBER_MAX)?.unwrap_or(0);
    let offset = required("offset", about.number("offset", NUMBER_MAX))?;
    let size = required("size", about.number("size", NUMBER_MAX))?;
    if size != data.len() as u64 || data.is_empty() || data.len() > PIECE_BYTES_MAX {
        return Err(unfit("a piece has 1 to 262144 bytes, as many as it says"));
    }
    Ok(UploadFrame::Part(upload, UploadPart::Chunk { offset, data }))
}

/// Which file is fetched, and from which byte on; `None` when the frame does not say.
#[must_use]
pub fn fetch(payload: &[u8]) -> Option<(UploadId, u64)> {
    let mut payload = Payload::parse(payload).ok()?;
    let id = payload.id("upload_id").ok()??;
    Some((UploadId(id), payload.number("offset", NUMBER_MAX).ok()?.unwrap_or(0)))
}

/// How far somebody has received or read a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The room.
    pub room: RoomId,
    /// All messages up to this one.
    pub message: MessageId,
    /// Whether they were read, not only received.
    pub read: bool,
}

impl Receipt {
    /// Reads a frame of the ACK stream.
    ///
    /// # Errors
    /// What the client is told.
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, Refusal> {
        let mut payload = Payload::parse(payload)?;
        let read = kind == kind::MESSAGE_READ;
        let at = if read { "read_at" } else { "delivered_at" };
        required(at, payload.number(at, NUMBER_MAX))?;
        Ok(Receipt {
            room: required("room_id", payload.id("room_id")).map(RoomId)?,
            message: required("message_id", payload.id("message_id")).map(MessageId)?,
            read,
        })
    }
}

/// What a datagram says, or a frame that travels on control in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Is writing in a room, or not any more.
    Typing(RoomId, bool),
    /// Is there, or away.
    Presence {
        /// Whether nobody is there.
        away: bool,
        /// What they are about.
        status: Option<Box<str>>,
    },
}

impl Signal {
    /// Reads one; what is none says nothing, and nobody is told.
    #[must_use]
    pub fn parse(kind: u8, payload: &[u8]) -> Option<Self> {
        let mut payload = Payload::parse(payload).ok()?;
        Some(match kind {
            kind::TYPING | kind::STOP_TYPING => {
                Signal::Typing(RoomId(payload.id("room_id").ok()??), kind == kind::TYPING)
            }
            kind::PRESENCE_ONLINE => {
                let status = payload.text("status", STATUS_BYTES_MAX).ok()?;
                let status = status.and_then(|status| clean(&status));
                Signal::Presence { away: false, status }
            }
            kind::PRESENCE_AWAY => Signal::Presence { away: true, status: None },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
