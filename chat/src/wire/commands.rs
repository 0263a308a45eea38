//! What a client sends.

use crate::frame::{self, kind};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

/// Frames of the control stream.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "fields are those of the page, section 6.1")]
pub enum Control {
    Hello { version: u32, capabilities: Vec<String>, encodings: [&'static str; 1], client: String },
    Auth { method: &'static str, credentials: String },
    Ping { timestamp: u64 },
    Pong { timestamp: u64 },
    Goodbye { reason: String },
}

/// Frames of the chat command stream.
///
/// Each carries a nonce when it is sent, by which the answer finds its question.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "fields are those of the page, section 6.2")]
pub enum Command {
    SendMessage {
        room_id: u64,
        content: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<u64>,
        /// `text` or `action`.
        kind: &'static str,
    },
    EditMessage {
        room_id: u64,
        message_id: u64,
        content: String,
    },
    DeleteMessage {
        room_id: u64,
        message_id: u64,
    },
    AddReaction {
        room_id: u64,
        message_id: u64,
        emoji: String,
    },
    RemoveReaction {
        room_id: u64,
        message_id: u64,
        emoji: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_id: Option<u64>,
    },
    JoinById {
        room_id: u64,
    },
    JoinByName {
        name: String,
    },
    LeaveRoom {
        room_id: u64,
    },
    CreateRoom {
        name: String,
        room_type: String,
        members: Vec<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
    },
    KickUser {
        room_id: u64,
        user_id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    BanUser {
        room_id: u64,
        user_id: u64,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    UnbanUser {
        room_id: u64,
        user_id: u64,
    },
    SetRole {
        room_id: u64,
        user_id: u64,
        role: String,
    },
    MuteUser {
        room_id: u64,
        user_id: u64,
        duration_ms: u64,
    },
    UpdateRoom {
        room_id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        post_role: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        visible: Option<bool>,
    },
    DeleteRoom {
        room_id: u64,
    },
    InviteUser {
        room_id: u64,
        user_id: u64,
    },
    OpenDirect {
        user_id: u64,
    },
    ListRooms {
        #[serde(skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        limit: u32,
    },
    FetchHistory {
        room_id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        before_id: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after_seq: Option<u64>,
        limit: u32,
    },
    SetProfile {
        #[serde(skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        color: Option<String>,
    },
}

/// Frames that say how far somebody has read, and signals that travel in datagrams.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "fields are those of the page, sections 6.5 and 6.7")]
pub enum Signal {
    Delivered {
        room_id: u64,
        message_id: u64,
        delivered_at: u64,
    },
    Read {
        room_id: u64,
        message_id: u64,
        read_at: u64,
    },
    Typing {
        room_id: u64,
    },
    StopTyping {
        room_id: u64,
    },
    Online {
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<String>,
        pseq: u32,
    },
    Away {
        away_since: u64,
        pseq: u32,
    },
}

/// Frames of upload streams and of download streams, other than chunks.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "fields are those of the page, section 6.6")]
pub enum Upload {
    Start {
        room_id: u64,
        filename: String,
        mime_type: String,
        size: u64,
        checksum: String,
        nonce: String,
    },
    Cancel {
        upload_id: u64,
        reason: String,
    },
    Fetch {
        upload_id: u64,
        offset: u64,
    },
    Complete {
        upload_id: u64,
    },
}

fn encode(kind: u8, payload: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(payload).expect("texts and numbers are JSON");
    let mut out = BytesMut::new();
    frame::put(&mut out, kind, &json);
    out.freeze()
}

impl Control {
    /// The whole frame.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Hello { .. } => kind::HELLO,
            Self::Auth { .. } => kind::AUTH,
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::Goodbye { .. } => kind::GOODBYE,
        };
        encode(kind, self)
    }
}

impl Command {
    /// The frame's type, which `CommandOk` and `Error` name.
    pub fn kind(&self) -> u8 {
        match self {
            Self::SendMessage { .. } => kind::SEND_MESSAGE,
            Self::EditMessage { .. } => kind::EDIT_MESSAGE,
            Self::DeleteMessage { .. } => kind::DELETE_MESSAGE,
            Self::AddReaction { .. } => kind::ADD_REACTION,
            Self::RemoveReaction { .. } => kind::REMOVE_REACTION,
            Self::JoinById { .. } | Self::JoinByName { .. } => kind::JOIN_ROOM,
            Self::LeaveRoom { .. } => kind::LEAVE_ROOM,
            Self::CreateRoom { .. } => kind::CREATE_ROOM,
            Self::KickUser { .. } => kind::KICK_USER,
            Self::BanUser { .. } => kind::BAN_USER,
            Self::UnbanUser { .. } => kind::UNBAN_USER,
            Self::SetRole { .. } => kind::SET_ROLE,
            Self::MuteUser { .. } => kind::MUTE_USER,
            Self::UpdateRoom { .. } => kind::UPDATE_ROOM,
            Self::DeleteRoom { .. } => kind::DELETE_ROOM,
            Self::InviteUser { .. } => kind::INVITE_USER,
            Self::OpenDirect { .. } => kind::OPEN_DIRECT,
            Self::ListRooms { .. } => kind::LIST_ROOMS,
            Self::FetchHistory { .. } => kind::FETCH_HISTORY,
            Self::SetProfile { .. } => kind::SET_PROFILE,
        }
    }

    /// The whole frame, with `nonce` (1 to 64 printable ASCII characters).
    pub fn encode(&self, nonce: &str) -> Bytes {
        #[derive(Serialize)]
        struct WithNonce<'a> {
            #[serde(flatten)]
            command: &'a Command,
            nonce: &'a str,
        }
        encode(self.kind(), &WithNonce { command: self, nonce })
    }
}

impl Signal {
    /// The whole frame: for the ACK stream, for a datagram, or for control where there are no datagrams.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Delivered { .. } => kind::MESSAGE_DELIVERED,
            Self::Read { .. } => kind::MESSAGE_READ,
            Self::Typing { .. } => kind::TYPING,
            Self::StopTyping { .. } => kind::STOP_TYPING,
            Self::Online { .. } => kind::PRESENCE_ONLINE,
            Self::Away { .. } => kind::PRESENCE_AWAY,
        };
        encode(kind, self)
    }

    /// Whether it travels on the ACK stream, in order and without loss.
    pub fn is_receipt(&self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::Read { .. })
    }
}

impl Upload {
    /// The whole frame.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Start { .. } => kind::UPLOAD_START,
            Self::Complete { .. } => kind::UPLOAD_COMPLETE,
            Self::Cancel { .. } => kind::UPLOAD_CANCEL,
            Self::Fetch { .. } => kind::FETCH_UPLOAD,
        };
        encode(kind, self)
    }

    /// One chunk of `upload_id` (0 is the upload of the stream it is sent on) at `offset`, bytes.
    ///
    /// # Panics
    /// When `data` is longer than 4 GiB.
    pub fn chunk(upload_id: u64, offset: u64, data: &[u8]) -> Bytes {
        #[derive(Serialize)]
        struct Chunk {
            upload_id: u64,
            offset: u64,
            size: u32,
        }
        let size = u32::try_from(data.len()).expect("a chunk is small");
        let meta =
            serde_json::to_vec(&Chunk { upload_id, offset, size }).expect("numbers are JSON");
        let mut payload = BytesMut::with_capacity(2 + meta.len() + data.len());
        payload.put_u16(u16::try_from(meta.len()).expect("three numbers are short"));
        payload.put_slice(&meta);
        payload.put_slice(data);
        let mut out = BytesMut::new();
        frame::put(&mut out, kind::UPLOAD_CHUNK, &payload);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], kind: u8, json: &str) {
        assert_eq!(bytes[0], kind);
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
        assert_eq!(std::str::from_utf8(&bytes[5..]).unwrap(), json);
    }

    #[test]
    fn frames_are_those_of_the_page() {
        let hello = Control::Hello {
            version: 1,
            capabilities: vec!["chat".into()],
            encodings: ["json"],
            client: "x".into(),
        };
        let json = r#"{"version":1,"capabilities":["chat"],"encodings":["json"],"client":"x"}"#;
        check(&hello.encode(), 0x00, json);
        let auth = Control::Auth { method: "username", credentials: "ann".into() };
        check(&auth.encode(), 0x02, r#"{"method":"username","credentials":"ann"}"#);
        let send = Command::SendMessage {
            room_id: 1,
            content: "hi".into(),
            reply_to: None,
            attachments: vec![],
            kind: "text",
        };
        let json = r#"{"room_id":1,"content":"hi","kind":"text","nonce":"n1"}"#;
        check(&send.encode("n1"), 0x10, json);
        let join = Command::JoinByName { name: "jam".into() };
        check(&join.encode("n2"), 0x15, r#"{"name":"jam","nonce":"n2"}"#);
        check(&Signal::Typing { room_id: 7 }.encode(), 0x80, r#"{"room_id":7}"#);
        let stop = Signal::StopTyping { room_id: 7 };
        check(&stop.encode(), 0x81, r#"{"room_id":7}"#);
        let complete = Upload::Complete { upload_id: 3 };
        check(&complete.encode(), 0x72, r#"{"upload_id":3}"#);
    }

    #[test]
    fn a_chunk_has_its_metadata_in_front() {
        let chunk = Upload::chunk(0, 5, b"abc");
        let meta = br#"{"upload_id":0,"offset":5,"size":3}"#;
        assert_eq!(chunk[0], 0x71);
        assert_eq!(chunk[5..7], (meta.len() as u16).to_be_bytes());
        assert_eq!(&chunk[7..7 + meta.len()], meta);
        assert_eq!(&chunk[7 + meta.len()..], b"abc");
    }
}
