//! What a shard wants to be done.

use crate::{
    AttachmentNews, Bundle, CloseReason, ConnId, Key, MeshMessage, RoomRequest, ShardId,
    StoreRequest,
};

/// What the caller has to do. In the order given, and before it waits again.
#[derive(Debug)]
pub enum Output {
    /// Send a message to another shard, behind everything sent to it before.
    Mesh {
        /// To which.
        to: ShardId,
        /// What.
        message: MeshMessage,
    },
    /// Hand a connection to another shard, in the same order as the messages: with its socket, and with all that was
    /// read from it and is not yet a command that was handled. The key is no longer valid.
    Handover {
        /// Which connection.
        key: Key,
        /// To which shard.
        to: ShardId,
        /// To be adopted there.
        bundle: Box<Bundle>,
    },
    /// Close a connection after sending these bytes and saying why. The key is no longer valid.
    Close {
        /// Which connection.
        key: Key,
        /// The same, for logs.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
        /// What has still to be sent.
        unsent: Vec<u8>,
    },
    /// A seat is gone, with what its session is still to be told of it. The key is no longer valid.
    SeatEnded {
        /// Which seat.
        key: Key,
        /// What was still to be sent to it.
        last: Vec<u8>,
        /// What it asked while it ended: nobody has answered that, or will.
        undone: Vec<RoomRequest>,
    },
    /// Keep something, or look something up, in the order given. What the storage answers comes back through
    /// [`crate::Shard::stored`], however much later. One that has no room answers [`StoreRequest::unanswered`] at once.
    Store(StoreRequest),
    /// Tell whoever keeps files what became of some.
    Attachments(AttachmentNews),
    /// Go on with a connection that was paused.
    Resume {
        /// Which connection.
        key: Key,
    },
}
