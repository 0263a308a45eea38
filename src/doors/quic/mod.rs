//! The QUIC door: chat over many streams, so that one busy room delays no other (`docs/protocol/quic-chat.md`).
//!
//! ```text
//!   link ── bytes ──▶ frame ──▶ payload ──▶ client ──▶ session ── asks ──▶ core
//!     ▲                                                   │
//!     └── lanes, hot streams, control ◀── wire ◀──────────┴◀─── bytes of seats
//! ```
//!
//! A session is one connection. It lives on its home shard and has a *seat* in the core for each room that it is in.
//! What the core sends to a seat is frames, encoded once for all members of the room; the session puts each on the
//! stream where it belongs.
//!
//! Reading order: `frame`, `payload`, `client` (what comes in), `wire` (what goes out), `auth`, `session`, `host`.

pub mod auth;
pub mod check;
pub mod client;
pub mod frame;
pub mod host;
pub mod payload;
pub mod session;
pub mod settings;
pub mod wire;

pub use settings::{SessionError, SessionSettings};

/// What a client is told is wrong (protocol page, section 14.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names are those of the page")]
#[repr(u32)]
pub enum ErrorCode {
    Unknown = 1000,
    InvalidFrame = 1001,
    AuthRequired = 1002,
    AuthFailed = 1003,
    PermissionDenied = 1004,
    NotFound = 1005,
    RateLimited = 1006,
    InvalidMessage = 1007,
    RoomFull = 1008,
    UploadFailed = 1009,
    ServerError = 1010,
    AlreadyExists = 1011,
    NameInUse = 1012,
    UnsupportedVersion = 1013,
    Banned = 1014,
    Muted = 1015,
    TooLarge = 1016,
    LimitReached = 1018,
    Expired = 1019,
    WrongStream = 1020,
}

/// Why a connection is closed (protocol page, section 14.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names are those of the page")]
#[repr(u32)]
pub enum CloseCode {
    Normal = 0x00,
    Stopping = 0x01,
    Protocol = 0x02,
    AuthFailed = 0x03,
    AuthTimeout = 0x04,
    ControlGone = 0x05,
    Dead = 0x06,
    TooLarge = 0x07,
    Limit = 0x08,
    Flood = 0x09,
    TooSlow = 0x0a,
    Expired = 0x0b,
    Removed = 0x0c,
    Internal = 0x0d,
}

impl CloseCode {
    /// How many there are; each is below this.
    pub const COUNT: usize = 0x0e;
}

/// Why a single stream is stopped or reset (protocol page, section 14.2).
pub mod stream_code {
    /// Cancelled.
    pub const CANCELLED: u32 = 0x10;
    /// It carries what does not belong there, or is one too many.
    pub const WRONG: u32 = 0x11;
    /// An upload or download is refused.
    pub const REFUSED: u32 = 0x12;
    /// Nothing came for too long.
    pub const STALLED: u32 = 0x13;
}
