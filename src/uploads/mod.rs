//! Files that people send: kept in the data folder, by one thread that shards never wait for.
//!
//! ```text
//!   sessions ── requests, one at a time ──▶┌───────┐     ┌────────┐     uploads/ID.part ─ sync, rename ─▶ uploads/ID
//!   cores ───── what is shown, and gone ──▶│ queue │────▶│ worker │────▶ records, in the database
//!                                          └───────┘     └────────┘
//!   sessions ◀── answers, as messages ────────────────────────┘
//! ```
//!
//! A session asks for the next thing of a stream when the last was answered, and reads no more of the stream before:
//! so a client sends as fast as the disk takes it, and what waits here is one piece for each upload and download.
//!
//! What people call their files is kept and shown, and never a path: files are named by number.
//! With `uploads.public_url` each that a message shows has an address on the web, which nobody can guess.
//!
//! **Invariants worth naming.**
//! - A file has its own name only when all of it is on the disk and its size and checksum are right.
//! - What has a record has a file, and nothing else is in the folder under a name of ours, from each start on.
//! - Nobody is told that a file is kept before its record is on the disk.
//!
//! Reading order: this file (what is asked and answered), `store` (rules and files), `quota`, `secret` (what makes
//! addresses unguessable), `worker` (the thread).

mod quota;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod worker;

pub use secret::Secret;
pub use store::{Record, Records};
pub use worker::{Answers, Counts, Handle, OpenError, Uploads};

use crate::quic::{ConnKey, StreamId};
use std::{path::PathBuf, time::Duration};
use tutti_shards::{Attachment, RoomId, ShardId, UploadId, UserId};

/// Most bytes of a piece, on the way in and on the way out.
pub const PIECE_BYTES_MAX: usize = 256 << 10;

/// What an operator sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where the files are.
    pub folder: PathBuf,
    /// Most bytes of one.
    pub file_bytes_max: u64,
    /// Most bytes that a user sends in 24 h.
    pub user_bytes_max: u64,
    /// Most bytes of all.
    pub total_bytes_max: u64,
    /// Most that are on their way here at once.
    pub at_once_max: usize,
    /// Most of these of one connection.
    pub per_connection_max: usize,
    /// How long nothing may come of one, or be taken of a download.
    pub stall: Duration,
    /// How long one is kept that no message shows.
    pub unattached: Duration,
    /// How long one is kept that a message shows.
    pub attached: Duration,
    /// What the addresses of files on the web begin with, without a slash at the end; `None` when they have none.
    pub public_url: Option<Box<str>>,
}

/// What somebody wants to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Who.
    pub user: UserId,
    /// For which room.
    pub room: RoomId,
    /// What it is called: 1 to 128 bytes.
    pub name: Box<str>,
    /// Its type.
    pub mime: Box<str>,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256, 64 hex digits in lower case.
    pub checksum: Box<str>,
}

/// What a session asks for. One stream's requests are answered one after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Begin an upload. Answered by [`Answer::Started`].
    Start(Box<Start>),
    /// Take a piece. Answered by [`Answer::Taken`].
    Chunk {
        /// Of which.
        upload: UploadId,
        /// Where it belongs.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// That was all. Answered by [`Answer::Kept`].
    Complete(UploadId),
    /// It is not wanted any more. Not answered.
    Cancel(UploadId),
    /// Its connection is gone; its user may go on with it. Not answered.
    Interrupt(UploadId),
    /// Whether somebody may show these in a room. Answered by [`Answer::Claimed`].
    Claim {
        /// Who.
        user: UserId,
        /// Where.
        room: RoomId,
        /// Which.
        uploads: Vec<UploadId>,
    },
    /// What a file is that some message shows. Answered by [`Answer::Found`].
    Find(UploadId),
    /// The same, asked by somebody who has its address. Answered by [`Answer::Opened`].
    Open {
        /// Which.
        upload: UploadId,
        /// What the address has besides.
        secret: Secret,
    },
    /// A piece of one. Answered by [`Answer::Piece`].
    Read {
        /// Of which.
        upload: UploadId,
        /// From where.
        offset: u64,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It may be sent: its number, and how many bytes of it are here from before.
    Started(Result<(UploadId, u64), Fault>),
    /// Not an answer: its user goes on with it over another connection, and this one is done with it.
    TakenOver(UploadId),
    /// The piece was taken: how many bytes are here. After a fault nothing is kept of the upload.
    Taken(Result<u64, Fault>),
    /// It is kept. After a fault nothing is.
    Kept(Result<Box<Attachment>, Fault>),
    /// All of them, in order, or that one of them may not be shown.
    Claimed(Option<Vec<Attachment>>),
    /// What it is, and in which room it is shown.
    Found(Option<Box<(RoomId, Attachment)>>),
    /// What it is; `None` when there is no such address.
    Opened(Option<Box<Attachment>>),
    /// The next bytes, at least one; `None` when it is gone.
    Piece(Option<Vec<u8>>),
}

/// Who asks, for the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// Where the connection is.
    pub shard: ShardId,
    /// Which it is there.
    pub line: Line,
}

/// Which of a shard's connections asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// A stream of a session.
    Stream(ConnKey, StreamId),
    /// A socket that is sent a file over HTTP, as the driver knows it.
    Socket {
        /// Its place.
        idx: u32,
        /// Which of those who have had that place.
        generation: u32,
    },
}

/// Why a file is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Fault {
    /// It is larger than one may be.
    #[error("the file is too large")]
    TooLarge,
    /// Its user has sent so much already.
    #[error("you have sent too much in the last 24 hours")]
    UserQuota,
    /// There is no room for it, and nothing that could go.
    #[error("the server has no room for more files")]
    TotalQuota,
    /// Too many are on their way.
    #[error("too many uploads at the moment")]
    Busy,
    /// A piece is not the one that comes next.
    #[error("the offset is not the number of bytes received")]
    Offset,
    /// It is longer or shorter than was announced.
    #[error("the size is not the announced one")]
    Size,
    /// Its checksum is not the one that was announced.
    #[error("the checksum is not the announced one")]
    Checksum,
    /// The disk is full.
    #[error("the server's disk is full")]
    DiskFull,
    /// The disk or the database refuses.
    #[error("the server cannot keep the file")]
    Disk,
    /// It is not there any more.
    #[error("there is no such upload")]
    Gone,
}

impl Fault {
    /// All of them, for whoever counts.
    pub const ALL: [Fault; 10] = [
        Fault::TooLarge,
        Fault::UserQuota,
        Fault::TotalQuota,
        Fault::Busy,
        Fault::Offset,
        Fault::Size,
        Fault::Checksum,
        Fault::DiskFull,
        Fault::Disk,
        Fault::Gone,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Fault::TooLarge => "too_large",
            Fault::UserQuota => "user_quota",
            Fault::TotalQuota => "total_quota",
            Fault::Busy => "busy",
            Fault::Offset => "offset",
            Fault::Size => "size",
            Fault::Checksum => "checksum",
            Fault::DiskFull => "disk_full",
            Fault::Disk => "disk",
            Fault::Gone => "gone",
        }
    }
}
