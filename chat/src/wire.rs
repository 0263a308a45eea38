//! The payloads of frames: what this client sends, and what it understands.
//!
//! Fields are those of the page's tables, by name. What a server adds is ignored, and what it leaves out is the
//! default, except for what makes no sense without.

mod commands;
mod events;

pub use commands::{Command, Control, Signal, Upload};
pub use events::{
    Attachment, AuthFailed, AuthOk, CommandOk, Event, Fault, Goodbye, HelloAck, Limits, Malformed,
    Message, MessageAck, MessageDeleted, MessageEdited, Presence, Reacted, Reaction, Receipt,
    RoomClose, RoomHistory, RoomInit, RoomInvite, RoomList, RoomMoved, RoomSummary, RoomUpdated,
    ServerCommand, StreamOpen, Throttle, Typing, UploadAck, UploadCancelled, UploadInfo, UserInfo,
    UserJoined, UserLeft, UserUpdated,
};

/// Codes of the server's errors, section 14.1.
pub mod code {
    #![allow(missing_docs, reason = "the page says what each is")]
    pub const PERMISSION_DENIED: u32 = 1004;
    pub const NOT_FOUND: u32 = 1005;
    pub const RATE_LIMITED: u32 = 1006;
    pub const NAME_IN_USE: u32 = 1012;
    pub const EXPIRED: u32 = 1019;
}

/// Codes that close a connection, section 14.2.
pub mod close {
    #![allow(missing_docs, reason = "the page says what each is")]
    pub const NORMAL: u32 = 0x00;
    pub const PROTOCOL: u32 = 0x02;
    pub const AUTH_FAILED: u32 = 0x03;
    pub const TOO_LARGE: u32 = 0x07;
    pub const REMOVED: u32 = 0x0C;

    /// What a close code means, for people.
    pub fn name(code: u64) -> &'static str {
        match code {
            0x00 => "goodbye",
            0x01 => "the server is shutting down",
            0x02 => "protocol error",
            0x03 => "authentication failed",
            0x04 => "authentication took too long",
            0x05 => "the control stream is gone",
            0x06 => "pings were not answered",
            0x07 => "a frame was too large",
            0x08 => "over a limit of the server",
            0x09 => "too many refused commands",
            0x0A => "this client read too slowly",
            0x0B => "the token has expired",
            0x0C => "removed by an operator",
            0x0D => "internal error of the server",
            0x178 => "the server does not speak this protocol",
            _ => "closed",
        }
    }
}
