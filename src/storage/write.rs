//! What can be kept. Each write is plain data, so that one that failed can be tried again.

use super::{
    audit::{self, AuditEntry},
    bans::{self, Ban, BanTarget},
};
use rusqlite::Connection;

/// One change of what is kept.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// Bans somebody, in place of an older ban of the same target in the same place.
    Ban(Box<Ban>),
    /// Lifts a ban.
    Lift {
        /// In which channel; `None` for the whole site.
        channel: Option<String>,
        /// Whose.
        target: BanTarget,
    },
    /// Appends to the audit log.
    Audit(Box<AuditEntry>),
}

impl Write {
    /// Makes the change in the transaction that is open.
    pub(super) fn apply(&self, db: &Connection) -> rusqlite::Result<()> {
        match self {
            Write::Ban(ban) => bans::insert(db, ban),
            Write::Lift { channel, target } => bans::lift(db, channel.as_deref(), target),
            Write::Audit(entry) => audit::append(db, entry),
        }
    }
}
