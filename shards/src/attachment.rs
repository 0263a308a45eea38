//! Files that messages carry, as plain data: what they are and where they are found. The bytes are somebody else's,
//! who is told which files are shown and which are not any more.

use crate::{MessageId, RoomId, ShardId};
use serde::{Deserialize, Serialize};

/// Names a file that somebody has sent, for ever. At most 2^53 - 1, like the numbers of messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub u64);

impl UploadId {
    /// The `count`th file, sent by somebody whose connection is on the shard.
    #[must_use]
    pub fn new(shard: ShardId, count: u64) -> Self {
        UploadId(MessageId::new(shard, count).0)
    }

    /// What [`UploadId::new`] counted.
    #[must_use]
    pub fn count(self) -> u64 {
        MessageId(self.0).count()
    }
}

/// A file at a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// Which.
    pub id: UploadId,
    /// What its sender calls it, 1 to 128 bytes. It is shown, and never a path.
    pub name: Box<str>,
    /// Of what type it is, as its sender says: `type/subtype`, at most 100 bytes.
    pub mime: Box<str>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, 64 hex digits in lower case.
    pub checksum: Box<str>,
    /// Where it is found.
    pub url: Box<str>,
}

/// What became of files, for whoever keeps them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttachmentNews {
    /// A message shows them: told before anybody sees the message.
    Shown {
        /// The message.
        message: MessageId,
        /// Its files.
        uploads: Vec<UploadId>,
    },
    /// The message that showed them is gone.
    Gone {
        /// The message.
        message: MessageId,
        /// The files that it had.
        uploads: Vec<UploadId>,
    },
    /// All that was said in a room so far is gone, whether it was in memory or not.
    Cleared(RoomId),
    /// A room has ended, with all that was said in it.
    RoomOver(RoomId),
}
